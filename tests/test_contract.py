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
from skvae import ELBO, Bernoulli, FullCovariance, Gaussian, Joint, MeanField, Standard, StandardNormal, VAETransformer
from skvae.distributions import joint_log_prob, kl
from skvae.estimator import COMPONENTS
from skvae.family import Family, FamilyHead
from skvae.likelihoods import ColumnLikelihood
from skvae.model import LatentVariableModel

FAMILIES = {
    "gaussian": lambda: Gaussian(),
    "gaussian shared": lambda: Gaussian(noise="shared"),
    "gaussian row": lambda: Gaussian(noise="row"),
    "gaussian fixed": lambda: Gaussian(noise=0.5),
    "bernoulli": lambda: Bernoulli(),
}
POSTERIORS = {"diag": lambda: MeanField(), "full": lambda: FullCovariance()}
PRIORS = {"normal": lambda: StandardNormal(), "standard": lambda: Standard(Gaussian())}
OBJECTIVES = {"elbo": lambda: ELBO(), "beta": lambda: ELBO(beta=2.0), "two draws": lambda: ELBO(n_samples=2)}
SCHEDULES = {"joint": lambda: Joint()}
TABLES = {
    "likelihood": FAMILIES,
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "objective": OBJECTIVES,
    "schedule": SCHEDULES,
}
EVERY = [
    pytest.param(kind, make, id=f"{kind}-{name}") for kind, table in TABLES.items() for name, make in table.items()
]
generator = torch.Generator().manual_seed(0)


def table(family):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(150, 5))
    return X if family.units == "standard" else (X > 0).astype(float)


def test_every_public_variant_is_in_the_table():
    covered = {type(make()) for kinds in (*TABLES.values(), FAMILY_TABLE) for make in kinds.values()}
    public = {value for name in skvae.__all__ if isinstance(value := getattr(skvae, name), type)}
    bases = {base for _, base in COMPONENTS.values()}
    assert {c for c in public if issubclass(c, tuple(bases))} - bases == covered
    assert {type(make()) for short_names, _ in COMPONENTS.values() for make in short_names.values()} <= covered


@pytest.mark.parametrize(("kind", "make"), EVERY)
def test_component_is_a_value(kind, make):
    component = make()
    assert isinstance(component, COMPONENTS[kind][1])
    assert isinstance(component, BaseEstimator)
    for copied in (clone(component), pickle.loads(pickle.dumps(component))):
        assert repr(copied) == repr(component)
        assert repr(copied.get_params()) == repr(component.get_params())
    before = dict(vars(component))
    VAETransformer(2, max_iter=1, random_state=0, **{kind: component}).fit(table(Gaussian()) > 0)
    assert vars(component) == before  # fit writes nothing into it


@pytest.mark.parametrize(("kind", "make"), EVERY)
def test_every_variant_fits_and_every_verb_runs(kind, make):
    component = make()
    X = table(component if kind == "likelihood" else Gaussian())
    vae = VAETransformer(2, hidden_layer_sizes=(8,), max_iter=3, random_state=0, **{kind: component}).fit(X)
    again = pickle.loads(pickle.dumps(vae))
    for verb in (
        vae.transform(X),
        vae.inverse_transform(vae.transform(X)),
        vae.sample(7, random_state=0),
        vae.score_samples(X),
        vae.score_samples(X, n_importance_samples=8),
        vae.kl_per_component_,
        vae.noise_variance_,
    ):
        assert np.isfinite(verb).all()
    np.testing.assert_array_equal(again.score_samples(X), vae.score_samples(X))
    assert np.all(np.diff(vae.kl_per_component_) <= 0)


@pytest.mark.parametrize(("kind", "make"), EVERY)
def test_a_gradient_reaches_every_parameter(kind, make):
    parts = {"posterior": MeanField(), "prior": StandardNormal(), "likelihood": Gaussian(), "objective": ELBO()}
    parts[kind] = make()
    torch.manual_seed(0)
    network = {"hidden_layer_sizes": (6,)}
    model = LatentVariableModel(4, 2, parts["posterior"], parts["prior"], [(parts["likelihood"], range(4))], network)
    for parameter in model.parameters():  # the last layers are zero: nothing flows through them yet
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    x, u = torch.randint(0, 2, (9, 4)).float(), torch.randn(2, 9, 2, generator=generator)
    parts["objective"](model, x, None, u)["loss"].mean().backward()
    trained = [p for group in model.groups().values() for p in group]
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


@pytest.mark.parametrize("make", POSTERIORS.values(), ids=POSTERIORS)
def test_posterior_draws_match_its_density(make):
    head = make().build(3).double()
    raw = torch.randn(1, head.n_raw, generator=generator, dtype=torch.float64)
    q = head(raw)
    assert head.center(q).shape == (1, 3)
    u = torch.randn(4000, 1, 3, generator=generator, dtype=torch.float64)
    z = head.push(q, u)
    assert z.shape == (4000, 1, 3)
    marginals = head.marginals(q)
    for k in range(3):
        p = stats.kstest(
            z[:, 0, k].numpy(), "norm", (marginals.mean[0, k].item(), marginals.stddev[0, k].item())
        ).pvalue
        assert p > 1e-3  # one in a thousand by chance, and the seed is fixed
    # log q by change of variables: log N(u) - log |dz/du|, the latter by autograd.
    jacobian = torch.autograd.functional.jacobian(lambda v: head.push(q, v)[0, 0], u[:1])[:, 0, 0]
    expected = Normal(0, 1).log_prob(u[:1]).sum() - jacobian.slogdet().logabsdet
    torch.testing.assert_close(joint_log_prob(q, z[:1])[0, 0], expected)


@pytest.mark.parametrize("make", POSTERIORS.values(), ids=POSTERIORS)
def test_posterior_start_is_an_affine_gaussian(make):
    rng = np.random.default_rng(0)
    A, c, root = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=(3, 3))
    covariance = root @ root.T + np.eye(3)
    head = make().build(3).double()
    weight, bias, *_ = head.start(c, A, covariance)
    x = rng.normal(size=(7, 5))
    q = head(torch.as_tensor(x @ weight.T + bias))
    np.testing.assert_allclose(q.mean, x @ A.T + c)
    np.testing.assert_allclose(head.marginals(q).variance[0], np.diag(covariance), rtol=1e-6)
    if q.event_shape:
        np.testing.assert_allclose(q.covariance_matrix[0], covariance, rtol=1e-6)


@pytest.mark.parametrize("make", POSTERIORS.values(), ids=POSTERIORS)
def test_closed_form_kl_against_monte_carlo(make):
    head = make().build(3).double()
    q, p = head(torch.randn(1, head.n_raw, generator=generator, dtype=torch.float64)), StandardNormal().build(3)()
    z = head.push(q, torch.randn(20000, 1, 3, generator=generator, dtype=torch.float64))
    log_ratio = joint_log_prob(q, z) - joint_log_prob(p, z)
    error = log_ratio.std().item() / np.sqrt(20000)
    assert kl(q, p).sum().item() == pytest.approx(log_ratio.mean().item(), abs=5 * error)


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
    raw = torch.randn(2, 5, likelihood.n_raw, generator=generator)
    p = likelihood(raw)
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


class MyPrior(skvae.Prior):
    """A user's own component: no registration, picklable."""

    def __init__(self, scale=2.0):
        self.scale = scale

    def build(self, n_components):
        return _Scaled(n_components, self.scale)


class _Scaled(torch.nn.Module):
    def __init__(self, n, scale):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.full((n,), float(np.log(scale))))

    def forward(self, encode=None):
        return Normal(torch.zeros_like(self.log_scale), self.log_scale.exp())


class Laplace(Family):
    """A user's own family in a few lines."""

    def distribution(self, loc, log_scale):
        return torch.distributions.Laplace(loc, log_scale.exp(), validate_args=False)

    def own_numbers(self, n):
        return [(np.zeros(n), True)]

    def start(self, mean, loadings, noise, resolution=None):
        return loadings, mean, [0.5 * np.log(noise / 2)]


def test_a_users_own_components_work_everywhere(cancer):
    vae = VAETransformer(3, prior=MyPrior(), likelihood=Laplace(), max_iter=30, random_state=0).fit(cancer)
    assert pickle.loads(pickle.dumps(vae)).score(cancer) == vae.score(cancer)
    assert vae.score(cancer) > VAETransformer(3, max_iter=0).fit(cancer).score(cancer)
    assert not torch.equal(vae.module_.prior.log_scale, MyPrior().build(3).log_scale)
    assert clone(vae).set_params(prior__scale=1.0).prior.scale == 1.0
