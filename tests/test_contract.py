"""The contract table: every public variant x a few properties. A variant that is missing here fails a test."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import BaseEstimator, clone
from test_families import COMPONENTS as FAMILY_TABLE
from torch.distributions import MultivariateNormal, Normal

import skvae
from skvae import (
    AAE,
    AE,
    AVB,
    ELBO,
    GAN,
    IWAE,
    MLP,
    RAE,
    VAEGAN,
    WAEMMD,
    Aggressive,
    Annealing,
    Bernoulli,
    BetaTCVAE,
    CategoricalPosterior,
    CategoricalPrior,
    CyclicalAnnealing,
    ExactEM,
    FactorVAE,
    FlowPosterior,
    FlowPrior,
    FullCovariance,
    Gaussian,
    Implicit,
    InfoVAE,
    Joint,
    LinearAnnealing,
    MeanField,
    NormalMixture,
    Point,
    Product,
    ProductPrior,
    Standard,
    StandardNormal,
    UniformCategorical,
    UniformPrior,
    UniformSphere,
    VAETransformer,
    VampPrior,
    VariationalEM,
    VonMisesFisher,
)
from skvae.components import Parts
from skvae.distributions.latent import joint_log_prob, kl
from skvae.estimator import COMPONENTS
from skvae.families.base import FamilyHead
from skvae.families.likelihood import ColumnLikelihood
from skvae.model import LatentVariableModel

pytestmark = pytest.mark.one_in(3)

FAMILIES = {
    "gaussian": lambda: Gaussian(),
    "gaussian shared": lambda: Gaussian(noise="shared"),
    "gaussian row": lambda: Gaussian(noise="row"),
    "gaussian fixed": lambda: Gaussian(noise=0.5),
    "bernoulli": lambda: Bernoulli(),
}
POSTERIORS = {
    "diag": lambda: MeanField(),
    "diag homoscedastic": lambda: MeanField(Gaussian(noise=0.3)),
    "full": lambda: FullCovariance(),
    "flow": lambda: FlowPosterior(n_transforms=2, hidden_layer_sizes=(8,)),
    "implicit": lambda: Implicit(hidden_layer_sizes=(8,)),
    "point": lambda: Point(),
    "point in a box": lambda: Point(low=-1.0, high=1.0),
    "categorical": lambda: CategoricalPosterior(n_classes=3),
    "categorical exact": lambda: CategoricalPosterior(n_classes=3, temperature=None),
    "categorical product": lambda: Product(CategoricalPosterior(n_classes=3), MeanField()),
    "sphere": lambda: VonMisesFisher(),
}
PRIORS = {
    "normal": lambda: StandardNormal(),
    "standard": lambda: Standard(Gaussian()),
    "mixture": lambda: NormalMixture(n_members=3),
    "vamp": lambda: VampPrior(n_members=5),
    "flow": lambda: FlowPrior(n_transforms=2, hidden_layer_sizes=(8,)),
    "uniform": lambda: UniformPrior(low=-2.0, high=2.0),
    "uniform categorical": lambda: UniformCategorical(n_classes=3),
    "categorical": lambda: CategoricalPrior(n_classes=3),
    "categorical product": lambda: ProductPrior(CategoricalPrior(n_classes=3), StandardNormal()),
    "sphere": lambda: UniformSphere(),
    "mixture full": lambda: NormalMixture(n_members=3, covariance="full"),
}
OBJECTIVES = {
    "elbo": lambda: ELBO(),
    "elbo joint": lambda: ELBO(kl="joint"),
    "elbo analytic": lambda: ELBO(kl="analytic"),
    "elbo monte carlo": lambda: ELBO(kl="monte_carlo"),
    "beta": lambda: ELBO(beta=2.0),
    "two draws": lambda: ELBO(n_samples=2),
    "free bits": lambda: ELBO(free_bits=0.2),
    "free bits joint": lambda: ELBO(kl="joint", free_bits=0.2),
    "linear annealing": lambda: ELBO(beta=LinearAnnealing(n_epochs=2)),
    "cyclical annealing": lambda: ELBO(beta=CyclicalAnnealing(n_epochs=2, n_cycles=2)),
    "score function": lambda: ELBO(gradient="score_function", n_samples=4),
    "score function joint": lambda: ELBO(kl="joint", gradient="score_function", n_samples=4),
    "score function monte carlo": lambda: ELBO(kl="monte_carlo", gradient="score_function", n_samples=4),
    "iwae": lambda: IWAE(),
    "dreg": lambda: IWAE(gradient="doubly_reparameterized"),
    "vimco": lambda: IWAE(gradient="score_function"),
    "ae": lambda: AE(),
    "rae": lambda: RAE(),
    "wae_mmd": lambda: WAEMMD(),
    "wae_mmd rbf": lambda: WAEMMD(kernel="rbf"),
    "aae": lambda: AAE(),
    "avb": lambda: AVB(),
    "gan": lambda: GAN(),
    "gan without penalty": lambda: GAN(betas=None, gradient_penalty=0.0),
    "vae_gan": lambda: VAEGAN(),
    "beta_tc_vae": lambda: BetaTCVAE(),
    "factor_vae": lambda: FactorVAE(),
    "info_vae": lambda: InfoVAE(),
}
SCHEDULES = {
    "joint": lambda: Joint(),
    "em": lambda: VariationalEM(n_inference_steps=2, inference_learning_rate=2e-3),
    "exact_em": lambda: ExactEM(),
    "aggressive": lambda: Aggressive(max_inference_steps=20),
}
TABLES = {
    "likelihood": FAMILIES,
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "objective": OBJECTIVES,
    "schedule": SCHEDULES,
}
#: What a variant needs beside it, where the defaults do not do.
COMPANY = {
    "posterior-implicit": {"objective": AVB()},
    "posterior-point": {"objective": WAEMMD()},
    "posterior-point in a box": {"objective": WAEMMD(), "prior": UniformPrior(low=-1.0)},
    "posterior-categorical exact": {"objective": ELBO(gradient="score_function", n_samples=2)},
    "prior-uniform": {"objective": AAE()},
    "prior-uniform categorical": {"posterior": CategoricalPosterior(n_classes=3)},
    "prior-sphere": {"posterior": VonMisesFisher()},
    "prior-categorical": {"posterior": CategoricalPosterior(n_classes=3)},
    "prior-categorical product": {"posterior": Product(CategoricalPosterior(n_classes=3), MeanField())},
    "schedule-exact_em": {"hidden_layer_sizes": ()},
}
EVERY = [
    pytest.param(kind, make, COMPANY.get(f"{kind}-{name}", {}), id=f"{kind}-{name}")
    for kind, table in TABLES.items()
    for name, make in table.items()
]
WITH_DENSITY = {name: make for name, make in POSTERIORS.items() if make().has_density}
CONTINUOUS = {name: make for name, make in WITH_DENSITY.items() if name.split()[0] not in ("categorical", "sphere")}
generator = torch.Generator().manual_seed(0)


def table(family):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(150, 5))
    return X if family.units == "standard" else (X > 0).astype(float)


def test_every_public_variant_is_in_the_table():
    covered = {type(make()) for kinds in (*TABLES.values(), FAMILY_TABLE) for make in kinds.values()}
    covered |= {type(bound.beta) for make in OBJECTIVES.values() if hasattr(bound := make(), "beta")}
    public = {value for name in skvae.__all__ if isinstance(value := getattr(skvae, name), type)}
    # Nobody chooses Constant, which is for columns that nothing else can be asked of: tests/tables/test_constants.py.
    # Nor Given, which is for those that nothing is asked of: tests/test_conditions.py.
    bases = {*(base for _, base in COMPONENTS.values()), Annealing, skvae.Constant, skvae.Given}
    assert {c for c in public if issubclass(c, tuple(bases))} - bases == covered - {float}
    assert {type(make()) for short_names, _ in COMPONENTS.values() for make in short_names.values()} <= covered


@pytest.mark.parametrize(("kind", "make", "company"), EVERY)
def test_component_is_a_value(kind, make, company):
    component = make()
    assert isinstance(component, COMPONENTS[kind][1])
    assert isinstance(component, BaseEstimator)
    for copied in (clone(component), pickle.loads(pickle.dumps(component))):
        assert repr(copied) == repr(component)
        assert repr(copied.get_params()) == repr(component.get_params())
    before = dict(vars(component))
    X = table(Gaussian())
    VAETransformer(2, max_iter=1, random_state=0, **{kind: component}, **company).fit(
        X > 0 if kind == "likelihood" else X
    )
    assert vars(component) == before  # fit writes nothing into it


def results_of_methods(vae, X):
    """The result of every method on offer, by name, as arrays."""
    results = {"sample": vae.sample(7, random_state=0), "noise_variance_": vae.noise_variance_}
    Z = np.zeros((3, vae.module_.width))
    if hasattr(vae, "transform"):
        Z = vae.transform(X)
        q = vae.encode(X)
        with torch.random.fork_rng():
            results |= {"transform": Z, "draws": q.sample((2,))}
        results |= {"inverse_transform": vae.inverse_transform(Z), "reconstruct": vae.reconstruct(X)}
        results["reconstruct sample"] = vae.reconstruct(X, sample=True, random_state=0)
        results["error"] = skvae.metrics.reconstruction_error(vae, X)
        results["mmd"] = skvae.metrics.mmd_to_prior(vae, X)
    if hasattr(vae, "score"):
        results |= {"score_samples": vae.score_samples(X), "kl_per_component_": vae.kl_per_component_}
        results["importance weighted"] = vae.score_samples(X, n_importance_samples=8)
        results["log_prob"] = vae.encode(X).log_prob(vae.encode(X).sample())
        results["information"] = skvae.metrics.mutual_information(vae, X)
        results["aggregate"] = skvae.metrics.aggregate_posterior_kl(vae, X)
        results["effective"] = skvae.metrics.effective_sample_size(vae, X, 8)
    if hasattr(vae, "prior_responsibilities"):
        results["prior_responsibilities"] = vae.prior_responsibilities(X)
    if hasattr(vae, "predict"):
        results |= {"predict": vae.predict(X), "predict_proba": vae.predict_proba(X)}
    p = vae.decode(Z)
    results |= {"mean": p.mean, "mode": p.mode, "variance": p.variance}
    if len(Z) == len(X):
        results["log_px"] = p.log_prob(X)
    return {name: np.asarray(result) for name, result in results.items()}


@pytest.mark.parametrize(("kind", "make", "company"), EVERY)
def test_every_variant_fits_and_every_method_runs(kind, make, company):
    component = make()
    X = table(component if kind == "likelihood" else Gaussian())
    parameters = {"hidden_layer_sizes": (8,), kind: component, **company}
    vae = VAETransformer(2, max_iter=3, random_state=0, **parameters).fit(X)
    again = pickle.loads(pickle.dumps(vae))
    for name, result in results_of_methods(vae, X).items():
        assert np.isfinite(result).all(), name
    for name in ("transform", "score_samples"):
        if hasattr(vae, name):
            np.testing.assert_array_equal(getattr(again, name)(X), getattr(vae, name)(X))
            np.testing.assert_allclose(getattr(vae, name)(X[:7]), getattr(vae, name)(X)[:7], rtol=1e-9)  # row by row
    np.testing.assert_array_equal(again.sample(3, random_state=0), vae.sample(3, random_state=0))
    if hasattr(vae, "score"):
        assert np.all(np.diff(vae.kl_per_component_) <= 0)
    else:
        assert not hasattr(vae, "kl_per_component_")


@pytest.mark.parametrize(("kind", "make", "company"), EVERY)
def test_a_gradient_reaches_every_parameter(kind, make, company):
    parts = {"likelihood": Gaussian(), **company, kind: make()}
    vae = VAETransformer(**{k: v for k, v in parts.items() if k != "likelihood"})
    of = Parts.of(vae.get_params(deep=False))
    posterior, prior, objective = of.posterior, of.prior, of.objective
    torch.manual_seed(0)
    model = LatentVariableModel(
        4, 2, posterior, prior, [(parts["likelihood"], range(4))], MLP((6,)), MLP((6,)), objective
    )
    for parameter in model.parameters():  # the last layers are zero: nothing flows through them yet
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    x = torch.randint(0, 2, (9, 4)).float()
    u = torch.randn(objective.n_draws, 9, model.n_noise, generator=generator)
    objective = objective.at(1)
    groups = model.groups()
    loss = objective(model, x, None, u)["loss"].mean()
    loss.backward(inputs=[*groups["inference"], *groups["generative"]])
    if groups["auxiliary"]:
        objective.auxiliary_loss(model, x, None, u)["auxiliary_loss"].mean().backward(inputs=groups["auxiliary"])
    trained = [p for group in groups.values() for p in group]
    assert {id(p) for p in trained} == {id(p) for p in model.parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_family_shapes_and_densities(make, dtype):
    head = FamilyHead(make(), 3).to(dtype)
    raw = torch.randn(2, 5, head.n_raw, generator=generator).to(dtype)
    p = head(raw)
    assert p.batch_shape == (2, 5, 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = p.sample()
    assert p.log_prob(x).shape == (2, 5, 3)
    assert p.log_prob(x).dtype == dtype
    assert torch.isfinite(p.log_prob(x)).all()
    assert bool(head.family.support.check(x).all())
    grid = torch.tensor([0.0, 1.0]) if head.family.units != "standard" else torch.linspace(-30, 30, 6001)
    density = p.log_prob(grid.to(dtype)[:, None, None, None]).exp()
    total = density.sum(0) if head.family.units != "standard" else torch.trapezoid(density, grid.to(dtype), dim=0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-4, rtol=0)


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_family_start_matches_mean_and_slope(make):
    """Decoded mean at z = 0 and its slope against cov(x, z), by finite differences."""
    family = make()
    n, K = 4, 2
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.3, 0.7, n)
    loadings = 0.02 * rng.normal(size=(n, K))  # small: there the Bernoulli start is exact to second order
    head = FamilyHead(family, n).double()
    noise = np.full(n, 0.5)
    weight, bias, own = family.start(mean, loadings, noise)
    for parameter, number in zip(head.own, own, strict=True):
        parameter.data.copy_(torch.as_tensor(number))

    def decoded(z):
        return head(torch.as_tensor(weight @ z + bias)).mean.detach().numpy()

    np.testing.assert_allclose(decoded(np.zeros(K)), mean, atol=1e-3)
    slope = np.stack([(decoded(1e-4 * e) - decoded(-1e-4 * e)) / 2e-4 for e in np.eye(K)], axis=1)
    np.testing.assert_allclose(slope, loadings, rtol=1e-2)
    if isinstance(family, Gaussian):
        np.testing.assert_allclose(head(torch.as_tensor(bias)).variance.detach().numpy(), noise, rtol=1e-5)


def randomised(module):
    """The module in float64 with random numbers where it starts silent."""
    for parameter in module.double().parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return module


@pytest.mark.parametrize("make", CONTINUOUS.values(), ids=CONTINUOUS)
def test_posterior_draws_match_its_density(make):
    head = randomised(make().build(3))
    raw = torch.randn(1, head.n_raw, generator=generator, dtype=torch.float64)
    q = head(raw)
    assert head.center(q).shape == (1, 3)
    u = torch.randn(4000, 1, 3, generator=generator, dtype=torch.float64)
    z = head.push(q, u)
    assert z.shape == (4000, 1, 3)
    marginals = head.marginals(q)
    torch.testing.assert_close(z.mean(0), marginals.mean, atol=0.15, rtol=0.1)  # frozen moments rest on 64 draws
    torch.testing.assert_close(z.std(0), marginals.stddev, atol=0.1, rtol=0.25)
    if isinstance(q, (Normal, MultivariateNormal)):
        for k in range(3):
            cdf = Normal(marginals.mean[0, k], marginals.stddev[0, k]).cdf
            p = stats.kstest(z[:, 0, k].numpy(), lambda t, cdf=cdf: cdf(torch.as_tensor(t)).numpy()).pvalue
            assert p > 1e-3  # one in a thousand by chance, and the seed is fixed
    # log q by change of variables: log N(u) - log |dz/du|, the latter by autograd.
    jacobian = torch.autograd.functional.jacobian(lambda v: head.push(q, v)[0, 0], u[:1])[:, 0, 0].detach()
    expected = Normal(0, 1).log_prob(u[:1]).sum() - jacobian.slogdet().logabsdet
    torch.testing.assert_close(joint_log_prob(q, z[:1])[0, 0], expected)


@pytest.mark.parametrize("make", CONTINUOUS.values(), ids=CONTINUOUS)
def test_posterior_start_is_an_affine_gaussian(make):
    rng = np.random.default_rng(0)
    A, c, root = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=(3, 3))
    covariance = root @ root.T + np.eye(3)
    head = make().build(3).double()
    weight, bias, *_ = head.start(c, A, covariance)
    x = rng.normal(size=(7, 5))
    q = head(torch.as_tensor(x @ weight.T + bias))
    np.testing.assert_allclose(head.center(q).detach(), x @ A.T + c, rtol=1e-6)
    if "noise=0.3" not in repr(make()):
        np.testing.assert_allclose(head.marginals(q).variance[0].detach(), np.diag(covariance), rtol=0.05)
    if isinstance(q, MultivariateNormal):
        np.testing.assert_allclose(q.covariance_matrix[0], covariance, rtol=1e-6)


@pytest.mark.parametrize("make", WITH_DENSITY.values(), ids=WITH_DENSITY)
def test_closed_form_kl_against_monte_carlo(make):
    head = randomised(make().build(3))
    q = head(torch.randn(1, head.n_raw, generator=generator, dtype=torch.float64))
    p = make().prior().build(make().width(3)).double()()
    z = head.push(q, torch.randn(20000, 1, head.n_noise, generator=generator, dtype=torch.float64))
    log_ratio = joint_log_prob(q, z) - joint_log_prob(p, z)
    error = log_ratio.std().item() / np.sqrt(20000)
    assert kl(q, p, z).sum().item() == pytest.approx(log_ratio.mean().item(), abs=5 * error)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", POSTERIORS.values(), ids=POSTERIORS)
def test_posterior_shapes(make, dtype):
    head = make().build(3).to(dtype)
    K = make().width(3)
    q = head(torch.randn(5, head.n_raw, generator=generator).to(dtype))
    u = torch.randn(2, 1, head.n_noise, generator=generator).to(dtype)
    for z in (head.push(q, u), head.rsample(q, u)):
        assert z.shape == (2, 5, K)
        assert z.dtype == dtype
    assert head.center(q).shape == (5, K)
    if make().has_density:
        assert joint_log_prob(q, z).shape == (2, 5)
        assert torch.isfinite(joint_log_prob(q, z)).all()


@pytest.mark.parametrize("make", POSTERIORS.values(), ids=POSTERIORS)
def test_gradient_of_an_expectation_against_finite_differences(make):
    """Of E f(z) through rsample, with common noise; a relaxed code is its own expectation."""
    if not make().reparameterized:
        pytest.skip("no pathwise gradient")
    head = randomised(make().build(2))
    u = torch.randn(50, 1, head.n_noise, generator=generator, dtype=torch.float64)
    raw = torch.randn(1, head.n_raw, generator=generator, dtype=torch.float64, requires_grad=True)

    def expectation(raw):
        return head.rsample(head(raw), u).square().sum(-1).mean() + head.rsample(head(raw), u).sin().sum(-1).mean()

    (gradient,) = torch.autograd.grad(expectation(raw), raw)
    steps = 1e-5 * torch.eye(head.n_raw, dtype=torch.float64)[:, None]
    differences = torch.stack([(expectation(raw + h) - expectation(raw - h)) / 2e-5 for h in steps])
    torch.testing.assert_close(gradient[0], differences.detach(), atol=1e-6, rtol=1e-5)


def test_exact_categorical_draws_have_their_probabilities():
    head = CategoricalPosterior(n_classes=3).build(2).double()
    q = head(torch.randn(1, 6, generator=generator, dtype=torch.float64))
    z = head.push(q, torch.randn(40000, 1, 6, generator=generator, dtype=torch.float64))
    assert bool((z.unflatten(-1, (2, 3)).sum(-1) == 1).all())
    error = (q.mean * (1 - q.mean) / 40000).sqrt()
    assert bool(((z.mean(0) - q.mean).abs() < 5 * error).all())
    relaxed = head.rsample(q, torch.randn(5, 1, 6, generator=generator, dtype=torch.float64))
    torch.testing.assert_close(relaxed.unflatten(-1, (2, 3)).sum(-1), torch.ones(5, 1, 2, dtype=torch.float64))


@pytest.mark.parametrize("name", [name for name in PRIORS if "categorical" not in name and name != "sphere"])
def test_prior_integrates_to_one_and_draws_match(name):
    """On a grid over two components; draws by their mean and covariance, to five standard errors."""
    prior = PRIORS[name]()
    torch.manual_seed(0)
    module = randomised(prior.build(2, **({"n_features": 4} if prior.reads_rows else {})))
    head = randomised(MeanField().build(2))
    p = module(lambda inputs: head(inputs))
    axis = torch.linspace(-9, 9, 361, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    density = joint_log_prob(p, grid).exp().detach() * (axis[1] - axis[0]) ** 2
    assert density.sum().item() == pytest.approx(1.0, abs=0.03 if name == "uniform" else 1e-3)  # a box has edges
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = p.sample((20000,))
    assert z.shape == (20000, 2)
    mean = (density[..., None] * grid).sum((0, 1))
    variance = (density[..., None] * (grid - mean).square()).sum((0, 1))
    assert bool(((z.mean(0) - mean).abs() < 5 * (variance / 20000).sqrt() + 0.02).all())
    torch.testing.assert_close(z.var(0), variance, rtol=0.1, atol=0)
    torch.testing.assert_close(p.mean.detach(), mean, atol=0.3, rtol=0)  # of a flow by 64 frozen draws


def test_registered_kl_is_torchs_own_where_both_exist():
    L = torch.tensor([[1.0, 0.0], [0.5, 0.7]])
    q, p = (
        MultivariateNormal(torch.tensor([0.3, -1.0]), scale_tril=L),
        Normal(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.5])),
    )
    expected = kl(q, MultivariateNormal(p.loc, scale_tril=torch.diag(p.scale)))
    torch.testing.assert_close(kl(q, p), expected)


def test_kl_falls_back_to_monte_carlo_and_says_so_without_draws():
    q, p = Normal(torch.zeros(1, 1), 1.0), torch.distributions.StudentT(5.0)
    with pytest.raises(NotImplementedError):
        kl(q, p)
    assert kl(q, p, torch.randn(50, 1, 1, generator=generator)).shape == (1, 1)


def test_columns_are_grouped_by_family():
    likelihood = ColumnLikelihood([(Gaussian(), [0, 3]), (Bernoulli(), [1, 2])])
    raw = torch.randn(2, 5, likelihood.n_plain, generator=generator)
    p = likelihood([raw])
    x = torch.tensor([[0.3, 1.0, 0.0, -2.0]]).expand(5, 4)
    expected = torch.stack(
        [
            Normal(raw[..., 0], 1.0).log_prob(x[:, 0]),
            torch.distributions.Bernoulli(logits=raw[..., 2]).log_prob(x[:, 1]),
            torch.distributions.Bernoulli(logits=raw[..., 3]).log_prob(x[:, 2]),
            Normal(raw[..., 1], 1.0).log_prob(x[:, 3]),
        ],
        -1,
    )
    torch.testing.assert_close(p.log_prob(x), expected)
    for statistic in (p.mean, p.mode, p.variance, p.sample()):
        assert statistic.shape == (2, 5, 4)
    torch.testing.assert_close(p.mean[..., [0, 3]], raw[..., :2])
