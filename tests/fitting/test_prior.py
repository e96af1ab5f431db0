"""The prior that is fitted to the codes after the training."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris

from skvae import ELBO, FlowPrior, NormalMixture, StandardNormal, VAETransformer, metrics
from skvae._fitting.prior import Codes, choose_normals, standard_normal
from skvae._utils.random import exclusive

IRIS = load_iris().data
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 8, "random_state": 0}


def groups(n=600, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)) + 6 * rng.choice([-1.0, 1.0], n)[:, None] * [1, 1, -1, 0.5]


@pytest.fixture(scope="module")
def grouped():
    return VAETransformer(2, **SMALL).fit(groups())


@pytest.fixture(scope="module")
def plain():
    return VAETransformer(2, **SMALL, prior="normal").fit(groups())


def test_groups_of_codes_have_members_and_the_rest_of_the_model_stays(grouped, plain):
    X = groups()
    prior = grouped.fitted_.parts.prior
    assert isinstance(prior, NormalMixture)
    assert prior.n_members >= 2
    np.testing.assert_array_equal(grouped.transform(X), plain.transform(X))
    np.testing.assert_array_equal(grouped.kl_per_component_, plain.kl_per_component_)
    assert grouped.history_[-1]["valid_loss"] == plain.history_[-1]["valid_loss"]
    new = groups(seed=1)
    assert grouped.score(new) > plain.score(new) + 0.3
    assert grouped.prior_responsibilities(new).shape == (600, prior.n_members)
    assert not hasattr(plain, "prior_responsibilities")


@pytest.mark.parametrize("n_members", [1, 4])
def test_normal_codes_keep_the_normal_prior(n_members):
    """Of ten tables of normal codes none of the sizes takes another; of grouped ones each does."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        far = 3.0 * rng.normal(size=(n_members, 3)) if n_members > 1 else np.zeros((1, 3))
        z = (rng.normal(size=(600, 3)) + far[rng.integers(n_members, size=600)])[:, None].repeat(2, axis=1)
        train, test = (Codes(part, np.ones(len(part)), standard_normal(3)) for part in (z[:500], z[500:]))
        chosen = choose_normals([(train, test)], 0)
        assert (chosen is None) == (n_members == 1)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_the_last_step_of_em_raises_the_evidence_by_more_than_it_costs_the_bound(covariance):
    """Cells x = z + noise of two groups: q under N(0, I) and ln p(x) under any mixture have closed forms."""
    rng = np.random.default_rng(0)
    z, variance = 0.4 * rng.normal(size=(2000, 2)) + 1.2 * rng.choice([-1.0, 1.0], (2000, 1)), 0.5
    x = z + np.sqrt(variance) * rng.normal(size=z.shape)
    u = rng.normal(size=(2000, 4, 2))
    draws = x[:, None] / (1 + variance) + np.sqrt(variance / (1 + variance)) * np.concatenate([u, -u], 1)
    train, test = (Codes(draws[part], np.ones(1000), standard_normal(2)) for part in (slice(1000), slice(1000, None)))
    stepped = train.fit_to_the_end(covariance, 2, seed=0)
    plain = Codes(train.z, train.weight, None).fit_to_the_end(covariance, 2, seed=0)

    def evidence(p):
        spreads = [np.diag(L**2) if L.ndim == 1 else L @ L.T for L in p.factors]
        parts = zip(p.weights, p.means, spreads, strict=True)
        return np.log(sum(w * multivariate_normal(mu, S + variance * np.eye(2)).pdf(x[1000:]) for w, mu, S in parts))

    def bound(p):
        return p.log_prob(draws[1000:].reshape(-1, 2)).mean()

    gain = evidence(stepped).mean() - evidence(plain).mean()
    assert gain > 0.03
    assert bound(plain) - bound(stepped) < 0.5 * gain
    own = multivariate_normal(np.zeros(2), (1 + variance) * np.eye(2)).logpdf(x[1000:])
    most = evidence(stepped).mean() - own.mean()
    assert bound(stepped) - bound(standard_normal(2)) < test.bound(stepped).mean() < most


def test_the_score_is_the_bound_under_the_fitted_prior(grouped, plain):
    """E_q ln p(z) differs, and nothing else: SciPy's mixture at many draws of q."""
    X = groups(50, seed=2)
    p, q = grouped.prior_, grouped.encode(X)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = q.sample((4000,)).numpy()
    members = p.component_distribution
    full = isinstance(members, torch.distributions.MultivariateNormal)
    spreads = members.covariance_matrix if full else torch.diag_embed(members.variance)
    parts = zip(p.mixture_distribution.probs.numpy(), members.mean.numpy(), spreads.numpy(), strict=True)
    log_pz = np.log(sum(w * multivariate_normal(mu, c).pdf(z) for w, mu, c in parts))
    gain = (log_pz - multivariate_normal(np.zeros(2), np.eye(2)).logpdf(z)).mean(0)
    np.testing.assert_allclose(grouped.score_samples(X) - plain.score_samples(X), gain, atol=0.1)
    assert np.mean(grouped.score_samples(X) - plain.score_samples(X) - gain) == pytest.approx(0, abs=0.01)


def test_the_prior_has_the_order_and_signs_of_transform(grouped):
    X = groups()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codes, drawn = grouped.encode(X).sample().numpy(), grouped.prior_.sample((20_000,)).numpy()
    np.testing.assert_allclose(drawn.mean(0), codes.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), atol=0.1)
    np.testing.assert_allclose(grouped.prior_.mean, drawn.mean(0), atol=0.03)
    assert grouped.prior_.log_prob(torch.from_numpy(codes)).shape == (600,)


def test_sample_and_impute_take_it(grouped, plain):
    X = groups(seed=3)
    between = lambda vae: (np.abs(vae.sample(2000, random_state=0, calibrate=False)[:, 0]) < 2).mean()  # noqa: E731
    assert between(grouped) < 0.02 < between(plain)
    X[:, :3] = np.nan  # the last column alone says little about the group
    sides = grouped.impute(X, n_draws=1, random_state=0)[0][:, 0]
    assert (np.abs(sides) < 2).mean() < 0.05


@pytest.mark.parametrize("n", [150, 1500])
def test_row_order_and_weights_as_copies_do_not_matter(n):
    """Bit for bit, both where rows are held out once and where they are held out in folds."""
    X = groups(n)
    weight = np.arange(n) % 3 + 1
    order = np.random.default_rng(0).permutation(n)
    vae = VAETransformer(2, **SMALL).fit(X, sample_weight=weight)
    assert vae.fitted_.prior_is_fitted
    other = VAETransformer(2, **SMALL).fit(np.repeat(X[order], weight[order], axis=0))
    np.testing.assert_array_equal(vae.score_samples(X), other.score_samples(X))
    np.testing.assert_array_equal(vae.sample(5, random_state=0), other.sample(5, random_state=0))


@pytest.mark.parametrize(
    "parameters",
    [
        {"prior": "normal"},
        {"max_iter": 0},
        {"hidden_layer_sizes": ()},
        {"posterior": "laplace"},
        {"objective": "wae_mmd"},
        {"objective": "gan"},
    ],
    ids=str,
)
def test_linear_models_other_codes_and_what_is_asked_for_keep_theirs(parameters):
    vae = VAETransformer(2, **{**SMALL, **parameters}).fit(groups(200))
    assert not vae.fitted_.prior_is_fitted
    assert type(vae.fitted_.parts.prior) is type(StandardNormal()) or parameters == {"posterior": "laplace"}
    assert vae.prior_.sample((3,)).shape == (3, 2)


def test_few_rows_keep_the_normal_prior():
    assert not VAETransformer(2, **SMALL).fit(groups(99)).fitted_.prior_is_fitted
    assert VAETransformer(2, **SMALL).fit(groups(150)).fitted_.prior_is_fitted


@pytest.mark.parametrize(
    "parameters",
    [
        {"posterior": "full"},
        pytest.param({"posterior": "flow"}, marks=pytest.mark.slow),
        {"objective": ELBO(beta=2.0)},
    ],
)
def test_other_posteriors_and_weights_of_the_kl_have_it_too(parameters):
    vae = VAETransformer(2, **SMALL, **parameters).fit(groups())
    assert vae.fitted_.prior_is_fitted
    normal = VAETransformer(2, **SMALL, prior="normal", **parameters).fit(groups())
    assert vae.score(groups(seed=1)) > normal.score(groups(seed=1))
    assert metrics.aggregate_posterior_kl(vae, groups()) < metrics.aggregate_posterior_kl(normal, groups())


@pytest.mark.parametrize("n", [1, 3, 12, 40, 300])
def test_autoencoders_always_have_a_mixture(n):
    vae = VAETransformer(1, objective="ae", **SMALL).fit(groups(n))
    assert vae.fitted_.prior_is_fitted
    assert np.isfinite(vae.sample(20, random_state=0)).all()


def test_a_fit_that_goes_on_trains_under_the_normal_prior_and_fits_anew():
    X = groups()
    settings = {**SMALL, "early_stopping": False, "warm_start": True, "max_iter": 3}
    whole = VAETransformer(2, **{**settings, "max_iter": 6}).fit(X)
    half = VAETransformer(2, **settings).fit(X)
    first = half.prior_.component_distribution.mean
    np.testing.assert_array_equal(half.fit(X).score_samples(X), whole.score_samples(X))
    assert half.fitted_.prior_is_fitted
    assert not torch.equal(first[:1], half.prior_.component_distribution.mean[:1])


def test_single_passes_keep_the_prior_that_they_find(grouped):
    X = groups()
    vae = copy.deepcopy(grouped)
    before = vae.prior_.component_distribution.mean
    again = vae.partial_fit(X).partial_fit(X)
    assert torch.equal(again.prior_.component_distribution.mean, before)
    assert again.n_iter_ == grouped.n_iter_ + 2
    assert not VAETransformer(2, **SMALL).partial_fit(X).fitted_.prior_is_fitted


def test_copies_and_files_know_it(grouped, tmp_path):
    X = groups(20)
    grouped.save(tmp_path / "model")
    for twin in (pickle.loads(pickle.dumps(grouped)), VAETransformer.load(tmp_path / "model"), copy.deepcopy(grouped)):
        np.testing.assert_array_equal(twin.score_samples(X), grouped.score_samples(X))
        assert twin.fitted_.prior_is_fitted
        assert twin.partial_fit(X).fitted_.prior_is_fitted


def test_the_graph_of_scores_has_its_members(grouped):
    from skvae._inference.torch_modules import ScoreSamples

    X = groups(20)
    bound = ScoreSamples(grouped, torch.float64)(torch.from_numpy(X))
    np.testing.assert_allclose(bound, grouped.score_samples(X), rtol=1e-9)


def ring(n=1000, seed=0):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    X = np.column_stack([np.cos(angle), np.sin(angle)]) @ rng.normal(size=(2, 5)) + 0.05 * rng.normal(size=(n, 5))
    return X[n // 2 :], X[: n // 2]


def test_a_flow_is_fitted_to_the_codes_of_a_plain_autoencoder(tmp_path):
    """New codes on a ring: above any normal by 0.2 nats, four standard errors; the model is that without."""
    X, new = ring()
    options = {**SMALL, "objective": "ae", "max_iter": 3}
    vae = VAETransformer(2, prior="flow", **options).fit(X)
    plain = VAETransformer(2, prior="normal", **options).fit(X)
    np.testing.assert_array_equal(vae.transform(X), plain.transform(X))
    np.testing.assert_array_equal(vae.inverse_transform(np.eye(2)), plain.inverse_transform(np.eye(2)))
    Z = vae.transform(X)
    normal = multivariate_normal(Z.mean(0), np.cov(Z.T)).logpdf(vae.transform(new)).mean()
    with torch.no_grad():
        log_pz = vae.prior_.log_prob(torch.as_tensor(vae.transform(new), dtype=torch.float32)).mean().item()
    assert log_pz > normal + 0.2
    again = VAETransformer(2, prior="flow", **options).fit(X)
    np.testing.assert_array_equal(again.sample(5, random_state=0), vae.sample(5, random_state=0))
    vae.save(tmp_path / "model")
    stored = VAETransformer.load(tmp_path / "model")
    np.testing.assert_array_equal(stored.sample(5, random_state=0), vae.sample(5, random_state=0))


@pytest.mark.parametrize("K", [1, 2])
def test_a_flow_of_codes_knows_their_location_and_scale(K):
    """New codes of N(100, 50^2), and of N(100, 0.1^2) beside them: a flow is as good as the normal that is fitted."""
    rng, scale = np.random.default_rng(0), np.array([50.0, 0.1])[:K]
    z, new = (100 + scale * rng.normal(size=(n, K)) for n in (600, 4000))
    z[:200] -= 3 * scale
    weight = np.r_[np.zeros(200), np.ones(400)]
    prior = FlowPrior()
    with exclusive(0):
        module = prior.build(K).float()
    prior.fit_codes(module, z, weight, seed=0)
    normal = multivariate_normal(z[200:].mean(0), np.cov(z[200:].T)).logpdf(new).mean()
    with torch.no_grad():
        p = module()
        assert abs(p.log_prob(torch.tensor(new).float()).mean().item() - normal) < 0.1
        drawn = p.sample((4000,)).numpy()
    np.testing.assert_allclose((drawn.mean(0) - 100) / scale, 0, atol=0.2)
    np.testing.assert_allclose(drawn.std(0) / scale, 1, atol=0.2)


def test_a_mixture_of_codes_of_a_plain_autoencoder_has_groups():
    X = groups()
    vae = VAETransformer(2, objective="ae", prior=NormalMixture(n_members=2), **SMALL).fit(X)
    is_first = X[:, 0] > 0
    assert max(np.mean(vae.predict(X) == is_first), np.mean(vae.predict(X) != is_first)) == 1.0
    assert not hasattr(vae, "score")
