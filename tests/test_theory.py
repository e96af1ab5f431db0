"""The systems of the theory, each against a closed form or an independent computation."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from standardize import standardized
from torch.distributions import Normal

from skvae import (
    AAE,
    AVB,
    ELBO,
    IWAE,
    WAEMMD,
    Aggressive,
    CategoricalPosterior,
    CyclicalAnnealing,
    FullCovariance,
    Gaussian,
    LinearAnnealing,
    NormalMixture,
    VAETransformer,
    VampPrior,
    VariationalEM,
    metrics,
)
from skvae._inference.evaluation import importance_weighted
from skvae._utils.random import in_pairs
from skvae.distributions.latent import joint_log_prob, kl
from skvae.distributions.mmd import mmd

LINEAR = {"hidden_layer_sizes": (), "early_stopping": False, "random_state": 0}


def fitted(n_components, X, **parameters):
    """A model, its module in float64 and training mode, and rows for it."""
    vae = VAETransformer(n_components, random_state=0, **parameters).fit(X)
    module = vae.fitted_.module_in(torch.float64)
    x, _ = vae.fitted_.columns.tensors(np.asarray(X, dtype=float), "cpu", torch.float64)
    return vae, module.train(), x


def noise(n_draws, n_rows, module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_draws, n_rows, module.n_noise, generator=generator, dtype=torch.float64)


# ---------------------------------------------------------------- estimators of the ELBO


def estimates(objective, module, x, n_repeats):
    """-loss of every row for fresh noise, (n_repeats, B)."""
    with torch.no_grad():
        u = noise(n_repeats * objective.n_draws, len(x), module)
        return torch.stack([-objective(module, x, None, part)["loss"] for part in u.split(objective.n_draws)])


@pytest.mark.slow
def test_three_estimators_of_one_number(wine):
    _, module, x = fitted(3, wine, max_iter=20)
    analytic, joint, monte_carlo = (
        estimates(ELBO(kl=kl, n_samples=1), module, x[:20], 4000) for kl in ("analytic", "joint", "monte_carlo")
    )
    for other in (joint, monte_carlo):
        error = ((analytic.var(0) + other.var(0)) / 4000).sqrt()
        assert bool(((analytic.mean(0) - other.mean(0)).abs() < 5 * error).all())


def test_variances_of_the_three_estimators_at_the_exact_posterior(wine):
    """The linear model: joint has none, the analytic one 1/2 sum (1 - rho_k^2), the third twice that.

    rho_k = sigma^2 / l_k is the posterior variance of component k; see docs/mathematics.md.
    """
    vae, module, x = fitted(4, wine, max_iter=0, likelihood=Gaussian(noise="shared"))
    variance = {
        kl: estimates(ELBO(kl=kl, n_samples=1), module, x, 2000).var(0).mean().item()
        for kl in ("joint", "analytic", "monte_carlo")
    }
    # The reconstruction's variance at the exact posterior, averaged over the rows: the linear part vanishes, since
    # the gradient of ln p(x|z) at the mean is the mean itself, whose average square is 1 - rho.
    rho = vae.encode(wine).variance[0].numpy()
    expected = np.sum(rho * (1 - rho) + 0.5 * np.square(1 - rho))
    assert variance["joint"] < 1e-8
    assert variance["analytic"] == pytest.approx(expected, rel=0.05)
    assert variance["monte_carlo"] == pytest.approx(2 * expected, rel=0.05)


# ---------------------------------------------------------------- gradients


def gradients(objective, module, x, n_repeats, parameter):
    """Gradients of the loss in one parameter for fresh noise, (n_repeats, ...)."""
    rows = []
    for u in noise(n_repeats * objective.n_draws, len(x), module).split(objective.n_draws):
        (gradient,) = torch.autograd.grad(objective(module, x, None, u)["loss"].mean(), parameter)
        rows.append(gradient.flatten())
    return torch.stack(rows)


def paired_gradients(objective, module, x, n_repeats, parameter):
    """The same for one pair of draws in each repetition, as training has them."""
    rows = []
    for u in noise(n_repeats, len(x), module).split(1):
        (gradient,) = torch.autograd.grad(objective(module, x, None, in_pairs(u))["loss"].mean(), parameter)
        rows.append(gradient.flatten())
    return torch.stack(rows)


def assert_equal_in_expectation(a, b):
    error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
    assert bool(((a.mean(0) - b.mean(0)).abs() < 5 * error + 1e-12).all())
    assert bool((a.mean(0).abs() > 5 * a.std(0) / len(a) ** 0.5).any())  # there is something to agree on


def test_a_pair_of_draws_has_no_odd_terms(wine):
    """With a linear decoder the gradient in the mean of q is linear in u; with a net a pair is worth several draws."""
    assert ELBO().pairs_draws
    assert not ELBO(gradient="score_function").pairs_draws
    _, module, x = fitted(4, wine, max_iter=0, likelihood=Gaussian(noise="shared"))
    of_means = slice(4)  # of the numbers behind q
    bias = module.encoder.affine.bias
    paired, alone = (f(ELBO(n_samples=2), module, x[:5], 200, bias)[:, of_means] for f in (paired_gradients, gradients))
    assert paired.var(0).max() < 1e-20 < 1e-3 < alone.var(0).min()
    _, module, x = fitted(4, wine, max_iter=60, hidden_layer_sizes=(16,), early_stopping=False)
    bias = module.encoder.affine.bias
    paired, alone = (f(ELBO(n_samples=2), module, x[:20], 2000, bias) for f in (paired_gradients, gradients))
    assert_equal_in_expectation(paired, alone)
    assert paired.var(0).sum() < alone.var(0).sum() / 2


@pytest.mark.parametrize(
    "kl", ["analytic", *(pytest.param(k, marks=pytest.mark.slow) for k in ("joint", "monte_carlo"))]
)
def test_score_function_and_pathwise_gradients_agree(wine, kl):
    """In expectation; the pathwise one has the smaller variance."""
    _, module, x = fitted(2, wine, max_iter=2, init="random", hidden_layer_sizes=(4,))
    bias = module.encoder.affine.bias
    pathwise = gradients(ELBO(kl=kl, n_samples=4), module, x[:3], 1500, bias)
    score = gradients(ELBO(kl=kl, n_samples=4, gradient="score_function"), module, x[:3], 1500, bias)
    assert_equal_in_expectation(pathwise, score)
    assert score.var(0).sum() > 3 * pathwise.var(0).sum()
    generative = module.decoder.affine.bias
    assert_equal_in_expectation(
        gradients(ELBO(kl=kl, n_samples=4), module, x[:3], 500, generative),
        gradients(ELBO(kl=kl, n_samples=4, gradient="score_function"), module, x[:3], 500, generative),
    )


@pytest.mark.parametrize("gradient", ["doubly_reparameterized", "score_function"])
@pytest.mark.parametrize("posterior", ["diag", *(pytest.param(q, marks=pytest.mark.slow) for q in ("full", "flow"))])
def test_gradients_of_the_importance_weighted_bound_agree(wine, gradient, posterior):
    _, module, x = fitted(2, wine, max_iter=2, init="random", hidden_layer_sizes=(4,), posterior=posterior)
    n = 300 if posterior == "flow" else 1000
    for parameter in (module.encoder.affine.bias, module.decoder.affine.bias):
        pathwise = gradients(IWAE(n_samples=5), module, x[:3], n, parameter)
        other = gradients(IWAE(n_samples=5, gradient=gradient), module, x[:3], n, parameter)
        assert_equal_in_expectation(pathwise, other)


def test_doubly_reparameterized_gradient_has_the_smaller_variance(wine):
    _, module, x = fitted(2, wine, max_iter=5)
    bias = module.encoder.affine.bias
    pathwise = gradients(IWAE(n_samples=32), module, x[:3], 500, bias)
    doubly = gradients(IWAE(n_samples=32, gradient="doubly_reparameterized"), module, x[:3], 500, bias)
    assert doubly.var(0).sum() < 0.5 * pathwise.var(0).sum()


def test_score_function_of_the_joint_estimator_vanishes_at_the_exact_posterior(wine):
    """ln p(x, z) - ln q is constant there: no draw differs from the others, and nothing else may be left."""
    _, module, x = fitted(3, wine, max_iter=0)
    objective = ELBO(kl="joint", gradient="score_function", n_samples=4)
    assert gradients(objective, module, x[:5], 20, module.encoder.affine.bias).abs().max() < 1e-5


def test_score_function_of_classes_against_enumeration(wine):
    """The gradient of sum_c pi_c f(c), all classes summed, against draws."""
    posterior = CategoricalPosterior(n_classes=3, temperature=None)
    objective = ELBO(gradient="score_function", n_samples=4)
    _, module, x = fitted(1, wine, max_iter=2, posterior=posterior, objective=objective)
    x, bias = x[:3], module.encoder.affine.bias
    q = module.encode(x)
    log_px = module.log_likelihood(x, None, torch.eye(3, dtype=torch.float64)[:, None].expand(3, 3, 3))  # (C, B)
    kl = (q.mean * (q.mean.log() + math.log(3))).sum(-1)
    (exact,) = torch.autograd.grad((kl - (q.mean.T * log_px).sum(0)).mean(), bias)
    drawn = gradients(objective, module, x, 4000, bias)
    assert bool(((drawn.mean(0) - exact).abs() < 5 * drawn.std(0) / 4000**0.5).all())


# ---------------------------------------------------------------- importance weighting


def test_importance_weighted_bound_rises_to_the_quadrature(wine):
    plain = {"prior": "normal", "likelihood": Gaussian(background=0)}
    vae, module, x = fitted(1, wine, max_iter=60, hidden_layer_sizes=(16,), **plain)
    module.eval()
    grid = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    with torch.no_grad():
        log_pz = Normal(0, 1).log_prob(grid)
        log_px = torch.stack([module.log_likelihood(row[None], None, grid[:, None, None])[:, 0] for row in x], 1)
        exact = (log_px + log_pz[:, None]).logsumexp(0) + (grid[1] - grid[0]).log()
        many = x.repeat(50, 1)
        bounds = [importance_weighted(module, many, None, noise(S, len(many), module)).mean() for S in (1, 4, 16, 64)]
        tight = importance_weighted(module, x, None, noise(50000, 1, module))
    assert np.all(np.diff(bounds) > 0)
    assert bounds[-1] < exact.mean()
    torch.testing.assert_close(tight, exact, atol=0.05, rtol=0)  # five standard errors of the worst row
    assert metrics.marginal_log_likelihood(vae, wine, 1000) == pytest.approx(
        exact.mean().item() - np.log(vae.fitted_.columns.scale).sum(), abs=0.02
    )


def test_iwae_trains_a_better_likelihood_than_one_draw():
    """Where the posterior is not normal a tighter bound leaves the model more freedom; held against the ELBO's."""
    X = np.abs(standardized("wine"))
    parameters = {"likelihood": Gaussian(noise=0.05), "max_iter": 100, "early_stopping": False}
    single, many = (
        VAETransformer(2, objective=objective, random_state=0, **parameters).fit(X) for objective in ("elbo", IWAE(16))
    )
    assert metrics.marginal_log_likelihood(many, X, 500) > metrics.marginal_log_likelihood(single, X, 500)


# ---------------------------------------------------------------- weights on the KL


@pytest.mark.parametrize(("name", "K"), [("wine", 6), ("breast_cancer", 7)])
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.5, 4.0])
def test_beta_on_the_linear_model_reaches_the_closed_form(name, K, beta):
    """W W' = U (L - beta sigma^2) U' where L > beta sigma^2, KL_k = 1/2 ln(L_k / (beta sigma^2)), else nothing."""
    X = standardized(name)
    eigenvalues = np.linalg.eigvalsh(X.T @ X / len(X))[::-1][:K]
    vae = VAETransformer(K, likelihood=Gaussian(noise=0.5), objective=ELBO(beta=beta), max_iter=500, batch_size=len(X),
                         learning_rate=2e-2, learning_rate_schedule="inverse_sqrt", **LINEAR)  # fmt: skip
    with pytest.warns(UserWarning, match="collapsed") if beta * 0.5 > eigenvalues[-1] > 0.5 else nothing():
        vae.fit(X)
    live = eigenvalues > 0.5 * beta
    expected = np.where(live, 0.5 * np.log(np.where(live, eigenvalues / (0.5 * beta), 1.0)), 0.0)
    np.testing.assert_allclose(vae.kl_per_component_, expected, atol=0.03)
    if np.abs(np.log(eigenvalues / (0.5 * beta))).min() > 0.15:  # nothing on the edge
        assert metrics.live_components(vae, X, threshold=0.02) == live.sum()
    W = vae.module_.decoder.affine.weight.detach().double().numpy()
    found = np.linalg.eigvalsh(W @ W.T)[::-1][:K]
    np.testing.assert_allclose(found, np.where(live, eigenvalues - 0.5 * beta, 0.0), atol=0.05 * eigenvalues[0])


class nothing:
    def __enter__(self):
        return self

    def __exit__(self, *args):
        return False


def test_beta_changes_the_model_that_fit_returns(cancer):
    plain = {"likelihood": Gaussian(background=0), "max_iter": 30, "random_state": 0}
    models = [VAETransformer(5, objective=ELBO(beta=b), **plain).fit(cancer) for b in (1.0, 4.0)]
    assert models[1].best_iter_ > 0  # judged by its own objective, the start does not win
    assert models[1].kl_per_component_.sum() < 0.8 * models[0].kl_per_component_.sum()
    assert models[1].score(cancer) < models[0].score(cancer)


def test_annealed_weights_and_what_held_out_rows_see(cancer):
    annealed = ELBO(beta=LinearAnnealing(n_epochs=10, end=2.0))
    assert [annealed.at(epoch).beta for epoch in (0, 5, 10, math.inf)] == [0.0, 1.0, 2.0, 2.0]
    assert ELBO(beta=CyclicalAnnealing(n_epochs=4)).at(math.inf).beta == 1.0
    assert annealed.warm_up == 10
    vae, plain = (
        VAETransformer(3, objective=o, max_iter=3, random_state=0).fit(cancer) for o in (annealed, ELBO(beta=2.0))
    )
    assert vae.history_[0] == plain.history_[0]  # held-out rows are judged by the final weight from the start
    assert vae.history_[1]["train_loss"] < plain.history_[1]["train_loss"]  # and trained with none of it


def test_annealing_goes_by_absolute_epochs(wine):
    objective = ELBO(beta=LinearAnnealing(n_epochs=4))
    vae = VAETransformer(2, objective=objective, max_iter=4, early_stopping=False, random_state=0).fit(wine)
    steps = VAETransformer(2, objective=objective, random_state=0)
    for _ in range(4):
        steps.partial_fit(wine)
    np.testing.assert_array_equal(vae.transform(wine), steps.transform(wine))


def test_patience_waits_for_the_annealing(cancer):
    slow = ELBO(beta=LinearAnnealing(n_epochs=25))
    stuck = {"n_iter_no_change": 1, "learning_rate": 1e-9, "tol": 1e-4}  # a rounding error is no improvement
    vae = VAETransformer(3, objective=slow, **stuck, random_state=0).fit(cancer)
    assert vae.n_iter_ == 26


def test_free_bits_charge_a_flat_price(wine):
    _, module, x = fitted(3, wine, max_iter=0)
    u = noise(1, len(x), module)
    plain, free = (ELBO(free_bits=b)(module, x, None, u) for b in (0.0, 0.9))
    kl = (module.encode(x).loc.square() + module.encode(x).variance - 1 - module.encode(x).variance.log()) / 2
    expected = torch.where(kl.mean(0) > 0.9, kl, 0.9).sum(-1) - plain["reconstruction"]
    torch.testing.assert_close(free["loss"], expected)
    assert 0 < (kl.mean(0) < 0.9).sum() < 3  # some components on either side
    torch.testing.assert_close(free["kl"], plain["kl"])


def test_free_bits_keep_components_alive(wine):
    beta = {"likelihood": Gaussian(noise=0.5), "max_iter": 200, "learning_rate": 1e-2, **LINEAR}
    kept = VAETransformer(6, objective=ELBO(beta=4.0, free_bits=0.1), **beta).fit(wine)
    assert metrics.live_components(kept, wine) == 6
    with pytest.warns(UserWarning, match="collapsed"):
        lost = VAETransformer(6, objective=ELBO(beta=4.0), **beta).fit(wine)
    assert metrics.live_components(lost, wine) < 4


# ---------------------------------------------------------------- schedules


def test_exact_em_climbs_monotonically_to_the_closed_form():
    X = standardized("wine")
    for noise_, optimum in (("shared", -15.213), ("feature", None)):
        vae = VAETransformer(5, schedule="exact_em", init="random", likelihood=Gaussian(noise=noise_, floor=1e-6),
                             max_iter=500, **LINEAR).fit(X)  # fmt: skip
        climb = -np.array([record["train_loss"] for record in vae.history_])
        assert np.all(np.diff(climb) > -1e-9)
        assert climb[-1] - climb[0] > 0.3
        assert vae.score(X) == pytest.approx(climb[-1], abs=1e-4)  # the bound is the likelihood
        if optimum:
            assert vae.score(X) == pytest.approx(optimum, abs=2e-3)
    W, psi = vae.module_.decoder.affine.weight.detach().double().numpy(), vae.noise_variance_
    density = stats.multivariate_normal(np.zeros(13), W @ W.T + np.diag(psi))
    assert vae.score(X) == pytest.approx(density.logpdf(X).mean(), abs=1e-3)


def test_exact_em_goes_on_and_stops_early(cancer):
    vae = VAETransformer(3, hidden_layer_sizes=(), schedule="exact_em", init="random", random_state=0, max_iter=40)
    vae.fit(cancer)
    assert vae.history_[0]["valid_loss"] > vae.history_[-1]["valid_loss"]
    first = vae.score(cancer)
    assert vae.set_params(warm_start=True, max_iter=60).fit(cancer).score(cancer) >= first - 1e-6


def test_variational_em_reaches_the_ppca_optimum_and_shows_its_climb():
    X = standardized("wine")
    schedule = VariationalEM(n_inference_steps=2, inference_learning_rate=5e-3)
    vae = VAETransformer(5, schedule=schedule, likelihood=Gaussian(noise="shared"), init="random", max_iter=60,
                         **LINEAR).fit(X)  # fmt: skip
    assert vae.score(X) == pytest.approx(-15.213, abs=0.25)
    assert {"train_loss_inference", "train_loss_generative"} <= vae.history_[0].keys()
    assert vae.history_[-1]["train_loss_generative"] < vae.history_[0]["train_loss_inference"]


def test_each_em_step_moves_its_own_group(wine):
    frozen = VariationalEM(inference_learning_rate=1e-12)
    settings = LINEAR | {"hidden_layer_sizes": (4,), "prior": "normal"}
    vae = VAETransformer(2, schedule=frozen, max_iter=3, **settings).fit(wine)
    start = VAETransformer(2, max_iter=0, **settings).fit(wine)
    for name, parameter in vae.module_.named_parameters():
        same = torch.allclose(parameter, start.module_.state_dict()[name], atol=1e-7)
        assert same == (name.startswith("encoder") or not parameter.requires_grad), name


@pytest.mark.slow
def test_aggressive_inference_keeps_components_that_joint_training_loses():
    X = load_breast_cancer().data
    kept = []
    for seed in range(6):
        train = train_test_split(X, random_state=seed)[0]
        joint, aggressive = (
            VAETransformer(15, init="random", schedule=s, random_state=seed).fit(train) for s in ("joint", "aggressive")
        )
        kept.append((metrics.live_components(joint, train), metrics.live_components(aggressive, train)))
    joint, aggressive = np.transpose(kept)
    assert aggressive.min() >= 14
    assert np.median(aggressive - joint) >= 1


class Batches(list):
    """Three batches, and as many more as a schedule wants."""

    def __init__(self, history):
        super().__init__("abc")
        self.history = history

    def draw(self):
        return "random"


def played(schedule, history, losses):
    """The (optimizer, batch) pairs of an epoch whose inference steps return `losses` one after the other."""
    steps, played, losses = schedule.steps(Batches(history)), [], iter(losses)
    step = next(steps)
    try:
        while True:
            played.append(step)
            step = steps.send(torch.tensor([next(losses, 0.0)]) if step[0] == 0 else None)
    except StopIteration:
        return played


def test_aggressive_inference_steps_until_they_stop_paying():
    falling = [9.0] * 10 + [8.0] * 10 + [8.5] * 10  # the first batch; the others see zeros: two looks, no gain
    moves = [which for which, _ in played(Aggressive(), [], falling) if which != 2]
    assert moves == [0] * 30 + [1] + [0] * 20 + [1] + [0] * 20 + [1]
    assert [which for which, _ in played(Aggressive(5), [], []) if which != 2] == 3 * ([0] * 5 + [1])


def test_aggressive_inference_ends_when_information_stops_rising():
    rising, fallen = ([{"mutual_information": i} for i in levels] for levels in ([1.0, 1.2], [1.0, 1.2, 1.1, 1.5]))
    assert len(played(Aggressive(), rising, [])) > 100
    assert [step for step in played(Aggressive(), fallen, []) if step[0] != 2] == [
        (w, b) for b in "abc" for w in (0, 1)
    ]


def test_aggressive_inference_records_information_of_held_out_rows(cancer):
    vae = VAETransformer(3, init="random", schedule="aggressive", max_iter=3, random_state=0).fit(cancer)
    assert all(0 <= record["mutual_information"] <= np.log(57) + 1e-3 for record in vae.history_[1:])  # a tenth of 569


# ---------------------------------------------------------------- autoencoders


def test_mmd_against_a_double_loop():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3)), rng.normal(0.5, size=(7, 3))
    scales = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    kernels = {
        "imq": lambda s, t: np.mean([6 * c / (6 * c + np.sum((s - t) ** 2)) for c in scales]),
        "rbf": lambda s, t: np.mean([np.exp(-np.sum((s - t) ** 2) / (6 * c)) for c in scales]),
    }
    for name, k in kernels.items():
        pairs = list(itertools.permutations(range(7), 2))
        within = sum(k(a[i], a[j]) + k(b[i], b[j]) for i, j in pairs) / 42
        expected = within - 2 * sum(k(s, t) for s in a for t in b) / 49
        assert mmd(torch.from_numpy(a), torch.from_numpy(b), name).mean().item() == pytest.approx(expected, rel=1e-9)


def test_mmd_has_a_gradient_at_equal_codes():
    codes = torch.zeros(4, 2, requires_grad=True)
    mmd(codes, torch.ones(4, 2)).mean().backward()
    assert torch.isfinite(codes.grad).all()


@pytest.mark.slow
def test_wasserstein_and_adversarial_codes_match_the_prior():
    """On digits: the codes' MMD against a plain and a variational autoencoder's, at about the plain one's error."""
    options = {"hidden_layer_sizes": (128,), "scaling": "global", "batch_size": 128, "max_iter": 250, "random_state": 0}
    train, test = train_test_split(load_digits().data, random_state=0)
    models = {
        name: VAETransformer(8, objective=o, prior=p, **options).fit(train)
        for name, o, p in [
            ("ae", "ae", "auto"),
            ("vae", "elbo", "normal"),
            ("wae", WAEMMD(), "auto"),
            ("aae", AAE(), "auto"),
        ]
    }
    discrepancy = {name: metrics.mmd_to_prior(model, test) for name, model in models.items()}
    codes = torch.from_numpy(models["ae"].transform(test))  # whose prior is fitted to them afterwards
    z = torch.randn(codes.shape, generator=torch.Generator().manual_seed(0), dtype=codes.dtype)
    discrepancy["ae"] = float(mmd(codes, z).mean())
    error = {name: metrics.reconstruction_error(model, test) for name, model in models.items()}
    for name, factor in (("wae", 1.1), ("aae", 1.25)):  # AAE weighs the prior more: an MMD of .0006 for .0029
        assert discrepancy[name] < discrepancy["ae"] / 3
        assert discrepancy[name] <= discrepancy["vae"] + 1.4e-3  # the standard error of a difference, 450 codes
        assert error[name] < factor * error["ae"]


def test_adversarial_bayes_finds_the_kl_of_a_posterior_that_has_one(wine):
    """Against the closed form: a Laplace q, 0.072 nats from the normal one that its critic starts from."""
    _, module, x = fitted(1, wine, max_iter=0, objective=AVB(), posterior="laplace")
    module, x, objective = module.float(), x.float(), AVB()
    exact = kl(module.encode(x), module.prior(module.encode)).sum(-1).mean().item()
    optimizer = torch.optim.Adam(module.auxiliary.parameters(), lr=2e-3)
    start = objective(module, x, None, noise(256, len(x), module).float())["kl"].mean().item()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for step in range(600):
            u = noise(32, len(x), module, seed=step).float()
            optimizer.zero_grad()
            objective.auxiliary_loss(module, x, None, u)["auxiliary_loss"].mean().backward(
                inputs=list(module.auxiliary.parameters())
            )
            optimizer.step()
    found = objective(module, x, None, noise(256, len(x), module).float())["kl"].mean().item()
    assert start == pytest.approx(exact - 0.072, abs=0.025)  # five standard errors of 45 000 draws
    assert found - start == pytest.approx(0.072, abs=0.03)  # the same draws; the critic is still learning


def test_the_critic_learns_the_log_density_ratio():
    """Of two normals, where the optimum is a straight line through -1/2 (Goodfellow et al. 2014, proposition 1)."""
    generator = torch.Generator().manual_seed(0)
    critic = AAE(hidden_layer_sizes=(16,)).auxiliary(1, 1)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    from skvae.objectives.adversarial import logistic_loss

    for _ in range(600):
        real = 1 + torch.randn(512, 1, generator=generator)
        fake = torch.randn(512, 1, generator=generator)
        optimizer.zero_grad()
        logistic_loss(critic(real), critic(fake)).mean().backward()
        optimizer.step()
    z = torch.linspace(-1, 2, 7)[:, None]
    torch.testing.assert_close(critic(z).detach(), z[:, 0] - 0.5, atol=0.25, rtol=0)


def test_gan_learns_a_table():
    """Moments of generated rows against the data's, from a random initialisation."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]) + 0.3 * rng.normal(size=(600, 3)) + 3
    gan = VAETransformer(2, objective="gan", max_iter=150, random_state=0, init="random").fit(X)
    rows = gan.sample(4000, random_state=0, calibrate=False)
    np.testing.assert_allclose(rows.mean(0), X.mean(0), atol=0.3)
    np.testing.assert_allclose(np.corrcoef(rows.T), np.corrcoef(X.T), atol=0.2)
    np.testing.assert_allclose(rows.std(0), X.std(0), rtol=0.3)


def test_plain_autoencoder_reconstructs_best_and_samples_from_a_fitted_density(cancer):
    ae, vae = (VAETransformer(3, objective=o, max_iter=60, random_state=0).fit(cancer) for o in ("ae", "elbo"))
    assert metrics.reconstruction_error(ae, cancer) < metrics.reconstruction_error(vae, cancer)
    rows = ae.sample(3000, random_state=0, calibrate=False)
    assert np.all(np.abs(rows.mean(0) - cancer.mean(0)) < 0.2 * cancer.std(0))
    np.testing.assert_array_equal(rows, ae.sample(3000, random_state=0, calibrate=False))
    assert ae.prior_responsibilities(cancer).shape == (len(cancer), ae.fitted_.parts.prior.n_members)


# ---------------------------------------------------------------- posteriors and priors


def test_flow_starts_at_the_linear_solution_and_gains(wine):
    start = VAETransformer(3, posterior="flow", max_iter=0).fit(wine)
    assert start.score(wine) == pytest.approx(VAETransformer(3, max_iter=0).fit(wine).score(wine), abs=1e-5)
    np.testing.assert_allclose(
        start.transform(wine), VAETransformer(3, max_iter=0).fit(wine).transform(wine), atol=1e-5
    )


def test_categorical_codes_are_a_mixture_of_normals():
    """One variable of C classes: ln p(x) is a finite sum, the ELBO just below it, and groups are found."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=400)
    X = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])[y] + 0.5 * rng.normal(size=(400, 2))
    vae = VAETransformer(1, posterior=CategoricalPosterior(n_classes=3), max_iter=100, random_state=0).fit(X)
    p = vae.decode(np.eye(3))
    exact = torch.stack([p.log_prob(row).sum(-1) for row in X]).logsumexp(1).mean().item() - math.log(3)
    assert vae.score(X) <= exact + 0.01
    assert vae.score(X) > exact - 0.1
    codes = vae.transform(X)
    np.testing.assert_allclose(codes.sum(1), 1, rtol=1e-6)
    found = codes.argmax(1)
    assert sum(np.bincount(found[y == c]).max() for c in range(3)) > 390
    assert list(vae.get_feature_names_out()) == [f"vaetransformer0_{c}" for c in range(3)]
    assert vae.sample(5, random_state=0).shape == (5, 2)


def test_relaxed_and_score_function_training_find_the_same_classes():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=300)
    X = 3.0 * y[:, None] + rng.normal(size=(300, 3))
    for objective, temperature in (("elbo", 0.5), (ELBO(gradient="score_function", n_samples=8), None)):
        posterior = CategoricalPosterior(n_classes=2, temperature=temperature)
        vae = VAETransformer(1, posterior=posterior, objective=objective, max_iter=60, random_state=0).fit(X)
        agreement = np.mean(vae.transform(X).argmax(1) == y)
        assert max(agreement, 1 - agreement) > 0.97


def test_mixture_prior_separates_groups_and_tells_memberships():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=450)
    X = 4 * np.eye(3)[y] @ rng.normal(size=(3, 6)) + rng.normal(size=(450, 6))
    start = VAETransformer(2, prior=NormalMixture(n_members=3), max_iter=0, random_state=0).fit(X)
    assert start.score(X) > VAETransformer(2, max_iter=0).fit(X).score(X) + 0.3  # members stand where codes do
    vae = VAETransformer(2, prior=NormalMixture(n_members=3), max_iter=60, random_state=0).fit(X)
    members = vae.prior_responsibilities(X)
    np.testing.assert_allclose(members.sum(1), 1, rtol=1e-6)
    assert sum(np.bincount(members[y == c].argmax(1)).max() for c in range(3)) > 430
    assert vae.score(X) > VAETransformer(2, max_iter=60, random_state=0).fit(X).score(X)
    # Bishop (2006), eq. 9.13, by scipy, averaged over the frozen draws of one row.
    module = vae.fitted_.module_in(torch.float64)
    prior = module.prior
    weight = prior.logits.softmax(0).detach().numpy()
    with torch.no_grad():
        x, _ = vae.fitted_.columns.tensors(X[:1], "cpu", torch.float64)
        z = module.posterior.push(module.encode(x), vae.fitted_.score_noise)[:, 0].numpy()
        loc, scale = prior.loc.numpy(), prior.log_scale.exp().numpy()
    joint = weight * np.stack([stats.norm(loc[m], scale[m]).pdf(z).prod(1) for m in range(3)], 1)
    np.testing.assert_allclose(members[0], (joint / joint.sum(1, keepdims=True)).mean(0), rtol=1e-6)


@pytest.mark.parametrize("posterior", ["diag", "full", "flow"])
def test_vamp_prior_is_the_mean_of_posteriors(wine, posterior):
    _, module, _ = fitted(2, wine, prior=VampPrior(n_members=4), posterior=posterior, max_iter=2)
    z = noise(6, 1, module)
    prior = module.prior
    with torch.no_grad():
        q = module.encode(prior.inputs)
        expected = (joint_log_prob(q, z.unsqueeze(-2)) + prior.logits.log_softmax(0)).logsumexp(-1)
        torch.testing.assert_close(prior(module.encode).log_prob(z), expected)


def test_full_posterior_by_variance_of_importance_weights(cancer):
    """Sanity across heads: every normal posterior has the exact posterior's weights on the linear model."""
    for posterior in ("diag", FullCovariance(), "flow"):
        vae = VAETransformer(3, posterior=posterior, likelihood=Gaussian(noise="shared"), max_iter=0).fit(cancer)
        np.testing.assert_allclose(metrics.effective_sample_size(vae, cancer[:50], 40), 40, rtol=1e-3)


# ---------------------------------------------------------------- metrics


def test_information_and_aggregate_add_up_to_the_kl(cancer):
    vae = VAETransformer(3, max_iter=20, random_state=0).fit(cancer)
    total = metrics.mutual_information(vae, cancer) + metrics.aggregate_posterior_kl(vae, cancer)
    assert total == pytest.approx(vae.kl_per_component_.sum(), rel=0.1)  # one draw a row on the left


def test_information_of_separated_groups_is_the_logarithm_of_their_number():
    X = np.repeat(np.array([[0.0], [100.0], [200.0], [300.0]]), 50, axis=0)
    X = X + 1e-3 * np.random.default_rng(0).normal(size=X.shape)
    vae = VAETransformer(1, likelihood=Gaussian(noise=1e-2), max_iter=0).fit(np.tile(X, 2))
    assert metrics.mutual_information(vae, np.tile(X, 2)) == pytest.approx(np.log(4), abs=0.02)


def test_live_components_and_active_units_differ():
    """A component with a narrow posterior that never moves is paid for and not active; one that moves a bit is both."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    vae = VAETransformer(3, max_iter=0, hidden_layer_sizes=()).fit(X)
    with torch.no_grad():
        affine = vae.module_.encoder.affine
        affine.weight.zero_(), affine.bias.zero_()
        affine.weight[0, 0] = 0.2  # Var E[z|x] = 0.04, KL = 0.02
        affine.weight[1, 1] = 1.0  # KL = 0.5
        affine.bias[5] = -2.0  # raw log-variance: KL = 0.57
    assert metrics.active_units(vae, X) == 2
    assert metrics.live_components(vae, X) == 2
    assert metrics.live_components(vae, X, threshold=0.01) == 3
    assert metrics.active_units(vae, X, threshold=0.1) == 1
