"""Every family x a few properties, each against quadrature, scipy or a seeded simulation."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from torch import distributions as td

import skvae
from skvae import (
    ELBO,
    MLP,
    DirichletPosterior,
    DirichletPrior,
    Elliptical,
    EllipticalPrior,
    MeanField,
    StandardNormal,
    VAETransformer,
)
from skvae._tables.assignment import suits
from skvae._tables.columns import Columns
from skvae._tables.schema import Schema
from skvae.components import Parts
from skvae.distributions import discrete, quantiles
from skvae.distributions import univariate as densities
from skvae.distributions.contaminated import Contaminated
from skvae.distributions.divergences import marginals
from skvae.distributions.inflated import Inflated
from skvae.distributions.latent import joint_log_prob, kl
from skvae.families import FAMILIES, LIKELIHOODS
from skvae.families.base import Family, FamilyHead
from skvae.families.domains import DOMAINS, families_for
from skvae.model import LatentVariableModel
from skvae.priors.fixed import Standard

pytestmark = pytest.mark.one_in(4)

CONSTRUCTORS = {
    "gaussian": lambda: skvae.Gaussian(),
    "gaussian row": lambda: skvae.Gaussian(noise="row"),
    "contaminated_gaussian": lambda: skvae.ContaminatedGaussian(background=0.02),
    "contaminated_gaussian row": lambda: skvae.ContaminatedGaussian(noise="row", background=0.02),
    "laplace": lambda: skvae.Laplace(),
    "laplace row": lambda: skvae.Laplace(noise="row"),
    "student_t": lambda: skvae.StudentT(),
    "student_t row": lambda: skvae.StudentT(df=7.0, noise="row"),
    "logistic": lambda: skvae.Logistic(),
    "logistic row": lambda: skvae.Logistic(noise="row"),
    "gumbel": lambda: skvae.Gumbel(),
    "gumbel row": lambda: skvae.Gumbel(noise="row"),
    "cauchy": lambda: skvae.Cauchy(),
    "log_normal": lambda: skvae.LogNormal(),
    "log_normal row": lambda: skvae.LogNormal(noise="row"),
    "gamma": lambda: skvae.Gamma(),
    "gamma row": lambda: skvae.Gamma(noise="row"),
    "exponential": lambda: skvae.Exponential(),
    "weibull": lambda: skvae.Weibull(),
    "rayleigh": lambda: skvae.Rayleigh(),
    "gompertz": lambda: skvae.Gompertz(),
    "pareto": lambda: skvae.Pareto(),
    "reciprocal": lambda: skvae.Reciprocal(),
    "erlang": lambda: skvae.Erlang(shape=3),
    "chi2": lambda: skvae.Chi2(),
    "fisher_snedecor": lambda: skvae.FisherSnedecor(),
    "uniform": lambda: skvae.Uniform(),
    "triangular": lambda: skvae.Triangular(),
    "beta": lambda: skvae.Beta(),
    "beta row": lambda: skvae.Beta(noise="row"),
    "continuous_bernoulli": lambda: skvae.ContinuousBernoulli(),
    "bernoulli": lambda: skvae.Bernoulli(),
    "categorical": lambda: skvae.Categorical(n_classes=5),
    "ordinal": lambda: skvae.Ordinal(n_classes=5),
    "poisson": lambda: skvae.Poisson(),
    "negative_binomial": lambda: skvae.NegativeBinomial(),
    "negative_binomial row": lambda: skvae.NegativeBinomial(noise="row"),
    "zero_inflated_poisson": lambda: skvae.ZeroInflatedPoisson(),
    "zero_inflated_poisson row": lambda: skvae.ZeroInflatedPoisson(noise="row"),
    "zero_inflated_negative_binomial": lambda: skvae.ZeroInflatedNegativeBinomial(),
    "zero_inflated_negative_binomial row": lambda: skvae.ZeroInflatedNegativeBinomial(noise="row"),
    "zero_inflated_gamma": lambda: skvae.ZeroInflatedGamma(),
    "zero_inflated_gamma row": lambda: skvae.ZeroInflatedGamma(noise="row"),
    "zero_inflated_log_normal": lambda: skvae.ZeroInflatedLogNormal(),
    "zero_inflated_log_normal row": lambda: skvae.ZeroInflatedLogNormal(noise="row"),
    "zero_one_inflated_beta": lambda: skvae.ZeroOneInflatedBeta(),
    "zero_one_inflated_beta row": lambda: skvae.ZeroOneInflatedBeta(noise="row"),
}
JOINT = {
    "dirichlet": (lambda: DirichletPosterior(), lambda: DirichletPrior()),
    "elliptical": (lambda: Elliptical(df=5.0), lambda: EllipticalPrior(df=5.0)),
}
COMPONENTS = {**CONSTRUCTORS, **{f"{name} {kind}": make for name, pair in JOINT.items() for kind, make in
                                 zip(("posterior", "prior"), pair, strict=True)}}  # fmt: skip
CODED = (skvae.Categorical, skvae.Ordinal)  # category indices 0 .. 4, whose mean is their mode
MONTE_CARLO = {"student_t", "student_t row", "logistic", "logistic row", "gompertz", "fisher_snedecor", "triangular"}

named = lambda table: [pytest.param(make, id=name) for name, make in table.items()]  # noqa: E731
EVERY = named(CONSTRUCTORS)
CODES = named({name: make for name, make in CONSTRUCTORS.items() if make().reparameterized})
CODES_BY_NAME = [(name, make) for name, make in CONSTRUCTORS.items() if make().reparameterized]
OBSERVED = named({name: make for name, make in CONSTRUCTORS.items() if make().observable})


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def member(family, n=3, rows=1, seed=0, scale=1.0):
    """A head in float64 with numbers of its own that are not the default ones, and one of its distributions."""
    head = FamilyHead(family, n).double()
    for i, number in enumerate(head.own):
        if number.requires_grad:
            number.data += 0.5 * seeded(*number.shape, seed=100 + i)
    return head, head(scale * seeded(rows, head.n_raw, seed=seed))


def grid_of(p):
    """Points x (n, 1, 1) of the support of p (1, n) and the weights of a quadrature over them; counts have weight 1."""
    if isinstance(p, Inflated):
        x, weight = grid_of(p.base)
        inside = p.base.support.check(x[:, 0, 0])
        atoms = torch.tensor(p.atoms).double()
        return torch.cat([atoms[:, None, None], x[inside]]), torch.cat([torch.ones_like(atoms), weight[inside]])
    if isinstance(p, discrete.CategoryIndex):
        x = torch.arange(p.probs.shape[-1]).double()
        return x[:, None, None], torch.ones_like(x)
    if isinstance(p, (td.Bernoulli, td.Poisson, td.NegativeBinomial, discrete.ZeroInflated)):
        x = torch.arange(2 if isinstance(p, td.Bernoulli) else 4000).double()
        return x[:, None, None], torch.ones_like(x)
    t = torch.linspace(-36, 36, 60_001, dtype=torch.float64)
    if isinstance(p, (densities.Between, densities.Triangular, densities.ContinuousBernoulli)):
        x = torch.linspace(0, 1, 60_001, dtype=torch.float64)
        slope = torch.ones_like(x)
        t = x
    elif isinstance(p, td.Beta):
        x, slope = torch.sigmoid(t), torch.sigmoid(t) * torch.sigmoid(-t)
    elif isinstance(p, (td.Normal, Contaminated, td.Laplace, td.StudentT, td.Cauchy, td.Gumbel, densities.Logistic)):
        x, slope = torch.sinh(t), torch.cosh(t)
    else:
        x = slope = torch.exp(t)
    return x[:, None, None], slope * (t[1] - t[0])


def mass(p):
    """Probability of each cell of the grid, (n, 1, n_variables)."""
    x, weight = grid_of(p)
    density = p.log_prob(x).exp()
    return x, density * weight[:, None, None]


def expectation(q, family, f):
    """E_q[f(z)] by the trapezoid rule in the normal noise of `push`: smooth, so exact to many digits."""
    u = torch.linspace(-9, 9, 1801, dtype=torch.float64)
    weight = torch.softmax(-0.5 * u.square(), 0)
    return torch.einsum("s,sbn->bn", weight, f(family.push(q, u[:, None, None])))


def table(family, rows=150):
    """Five correlated columns inside the family's support."""
    rng = np.random.default_rng(0)
    line = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(rows, 5))
    if family.units == "standard":
        return 3 * line + 10
    if family.atoms == (0.0,):
        return 100 * np.exp(line / 2) * (line > -1)
    if family.atoms == (0.0, 1.0):
        return np.clip(1.2 / (1 + np.exp(-line)) - 0.1, 0, 1)
    if family.units == "scale":
        return 100 * np.exp(line / 2)
    if family.support is densities.inside_unit_interval or isinstance(family, skvae.ContinuousBernoulli):
        return 1 / (1 + np.exp(-line))
    if isinstance(family, skvae.Bernoulli):
        return (line > 0).astype(float)
    if isinstance(family, CODED):
        return np.clip(np.round(line), -2, 2) + 2
    return rng.poisson(np.exp(line)).astype(float)


def with_missing(X):
    return np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)


# ---------------------------------------------------------------- the table itself


def test_every_family_is_in_the_table():
    covered = {type(make()) for make in COMPONENTS.values()}
    public = {value for name in skvae.__all__ if isinstance(value := getattr(skvae, name), type)}
    assert {c for c in public if issubclass(c, Family)} - {Family, skvae.Constant, skvae.Given} <= covered
    assert set(FAMILIES.values()) <= covered
    assert covered <= public


@pytest.mark.parametrize("make", named(COMPONENTS))
def test_component_is_a_value(make):
    component = make()
    for copied in (clone(component), pickle.loads(pickle.dumps(component))):
        assert repr(copied) == repr(component)
        assert copied.get_params() == component.get_params()


@pytest.mark.parametrize(
    ("component", "parameter"),
    [
        (skvae.Laplace(noise="shared"), "noise"),
        (skvae.Gamma(floor=0.0), "floor"),
        (skvae.Gaussian(background=1.0), "background"),
        (skvae.Gaussian(background=-1e-3), "background"),
        (skvae.ContaminatedGaussian(background=0.0), "background"),
        (skvae.ContaminatedGaussian(noise="auto"), "noise"),
        (skvae.StudentT(df=2.0), "df"),
        (skvae.ZeroInflatedPoisson(noise=0.5), "noise"),
        (skvae.Categorical(n_classes=0), "n_classes"),
        (skvae.Ordinal(n_classes=1), "n_classes"),
    ],
)
def test_bad_parameters_of_likelihoods(component, parameter):
    with pytest.raises(ValueError, match=rf"The {parameter!r} parameter of {type(component).__name__} must be"):
        VAETransformer(2, likelihood=component, max_iter=0).fit(table(component))


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        (MeanField(skvae.Erlang(shape=1.5)), "'shape' parameter of Erlang must be"),
        (MeanField(skvae.Reciprocal(low=2.0, high=1.0)), "0 < low < high"),
        (Elliptical(df=1.0), "'df' parameter of Elliptical must be"),
        (MeanField("bernoulli"), "'family' parameter of MeanField must be"),
    ],
)
def test_bad_parameters_of_posteriors(posterior, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(2, posterior=posterior, max_iter=0).fit(load_iris().data)


def test_a_dirichlet_code_needs_two_components():
    with pytest.raises(ValueError, match="n_components >= 2"):
        VAETransformer(1, posterior="dirichlet", prior="dirichlet", max_iter=0).fit(load_iris().data)


# ---------------------------------------------------------------- densities


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", EVERY)
def test_shapes_and_types(make, dtype):
    head = FamilyHead(make(), 3).to(dtype)
    p = head(seeded(2, 5, head.n_raw).to(dtype))
    assert p.batch_shape == (2, 5, 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = p.sample()
    for tensor in (p.log_prob(x), x, p.mean, p.variance if head.family.observable else x):
        assert tensor.shape == (2, 5, 3)
        assert tensor.dtype == dtype
    assert torch.isfinite(p.log_prob(x)).all()
    assert bool(head.family.support.check(x).all())


@pytest.mark.parametrize("make", EVERY)
def test_density_integrates_to_one(make):
    _, p = member(make())
    _, cells = mass(p)
    torch.testing.assert_close(cells.sum(0), torch.ones(1, 3).double(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("make", EVERY)
def test_moments_and_mode_against_quadrature(make):
    family = make()
    _, p = member(family, scale=0.5)
    x, cells = mass(p)
    if isinstance(family, skvae.Cauchy):
        return
    mean = (x * cells).sum(0)
    if not isinstance(family, CODED):
        torch.testing.assert_close(p.mean, mean, rtol=2e-3, atol=2e-3)
    heavy = isinstance(family, (skvae.Pareto, skvae.FisherSnedecor))  # tails the grid does not reach
    torch.testing.assert_close(p.variance, ((x - mean).square() * cells).sum(0), rtol=0.1 if heavy else 4e-3, atol=3e-3)
    if family.observable and not family.atoms:
        assert bool((p.log_prob(p.mode) >= p.log_prob(x).amax(0) - 1e-2).all())


ORACLES = {
    "logistic": (densities.Logistic(torch.tensor(1.0), torch.tensor(2.0)), stats.logistic(1, 2)),
    "triangular": (densities.Triangular(torch.tensor(0.2), torch.tensor(0.7)), stats.triang(0.5, 0.2, 0.5)),
    "uniform": (densities.Between(torch.tensor(0.2), torch.tensor(0.7)), stats.uniform(0.2, 0.5)),
    "log uniform": (
        densities.LogUniform(torch.tensor(-1.0), torch.tensor(1.5)),
        stats.loguniform(np.exp(-1), np.exp(1.5)),
    ),
    "gompertz": (densities.Gompertz(torch.tensor(2.0), torch.tensor(0.7)), stats.gompertz(0.7, scale=2.0)),
    "zero-inflated": (discrete.ZeroInflated(td.Poisson(torch.tensor(2.0)), torch.tensor(-30.0)), stats.poisson(2.0)),
}


@pytest.mark.parametrize(("p", "oracle"), ORACLES.values(), ids=ORACLES)
def test_densities_against_scipy(p, oracle):
    x = oracle.rvs(50, random_state=0).astype(float)
    log_prob = oracle.logpmf if hasattr(oracle.dist, "logpmf") else oracle.logpdf
    np.testing.assert_allclose(p.log_prob(torch.from_numpy(x)), log_prob(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose([p.mean, p.variance], oracle.stats("mv"), rtol=1e-5)
    if p.has_rsample:
        np.testing.assert_allclose(p.cdf(torch.from_numpy(x)), oracle.cdf(x), rtol=1e-5, atol=1e-6)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            assert stats.kstest(p.rsample((3000,)).numpy(), oracle.cdf).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("a", [300.0, 30.0, 5.0, 0.21, 0.19, 1e-3])
def test_continuous_bernoulli_against_scipy(a, dtype):
    """A truncated exponential distribution or its mirror image; torch's own has no logits beyond 16 in float32."""
    oracle = stats.truncexpon(a, scale=1 / a)
    x = torch.tensor([0.0, 1e-3, 0.1, 0.5, 0.9, 1.0], dtype=dtype)
    for logit, at in ((-a, x), (a, 1 - x)):
        p = densities.ContinuousBernoulli(torch.tensor(logit, dtype=dtype))
        np.testing.assert_allclose(p.log_prob(at), oracle.logpdf(1 - at if logit > 0 else at), rtol=1e-4, atol=1e-5)
        below = oracle.cdf(at) if logit < 0 else oracle.sf(1 - at)
        np.testing.assert_allclose(p.cdf(at), below, rtol=1e-3, atol=1e-5)
        mean, variance = oracle.stats("mv")
        np.testing.assert_allclose([p.mean, p.variance], [mean if logit < 0 else 1 - mean, variance], rtol=2e-4)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            drawn = p.sample((2000,)).numpy()
        assert stats.kstest(drawn if logit < 0 else 1 - drawn, oracle.cdf).pvalue > 1e-3


INFLATED_ORACLES = {
    "zero_inflated_gamma": (td.Gamma(torch.tensor(2.0), torch.tensor(0.5)), stats.gamma(2, scale=2)),
    "zero_inflated_log_normal": (
        td.LogNormal(torch.tensor(0.3), torch.tensor(0.7)),
        stats.lognorm(0.7, 0, np.exp(0.3)),
    ),
    "zero_one_inflated_beta": (densities.Beta(torch.tensor(2.0), torch.tensor(0.7)), stats.beta(2, 0.7)),
}


@pytest.mark.parametrize("name", INFLATED_ORACLES)
def test_densities_with_atoms_against_scipy(name):
    base, oracle = INFLATED_ORACLES[name]
    atoms = FAMILIES[name].atoms
    pi = np.array([0.3, 0.1][: len(atoms)])
    log_odds = torch.as_tensor(np.log(pi / (1 - pi.sum())), dtype=torch.float32)
    p = Inflated(base, log_odds, atoms)
    x = oracle.rvs(50, random_state=0)
    np.testing.assert_allclose(p.log_prob(torch.from_numpy(x)), np.log(1 - pi.sum()) + oracle.logpdf(x), rtol=1e-5)
    np.testing.assert_allclose(p.log_prob(torch.tensor(atoms)).exp(), pi, rtol=1e-5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = p.sample((40_000,)).numpy()
    shares = [(drawn == atom).mean() for atom in atoms]
    np.testing.assert_allclose(shares, pi, atol=5 * np.sqrt(0.25 / 40_000))
    assert stats.kstest(drawn[~np.isin(drawn, atoms)][:3000], oracle.cdf).pvalue > 1e-3
    mean, variance = oracle.stats("mv")
    second = pi @ np.square(atoms) + (1 - pi.sum()) * (variance + mean**2)
    expected = pi @ atoms + (1 - pi.sum()) * mean
    np.testing.assert_allclose([p.mean, p.variance], [expected, second - expected**2], rtol=1e-5)
    assert p.mode == base.mode
    assert Inflated(base, log_odds + 3, atoms).mode == atoms[0]
    if name != "zero_one_inflated_beta":  # torch has no CDF of a beta distribution
        at = torch.tensor([-1.0, 0.0, 0.5, 3.0])
        below = np.where(at < 0, 0, pi[0] + (1 - pi[0]) * oracle.cdf(at))
        np.testing.assert_allclose(p.cdf(at), below, rtol=1e-5, atol=1e-7)


def test_multivariate_student_t_against_scipy():
    L = torch.tril(seeded(3, 3)) + 2 * torch.eye(3).double()
    p = densities.MultivariateStudentT(5.0, seeded(3, seed=1), L)
    oracle = stats.multivariate_t(p.loc.numpy(), (L @ L.T).numpy(), df=5)
    x = oracle.rvs(20, random_state=0)
    np.testing.assert_allclose(p.log_prob(torch.from_numpy(x)), oracle.logpdf(x))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = p.rsample((5000,))
    e = torch.linalg.solve_triangular(L, (draws - p.loc).T, upper=False)
    assert stats.kstest((e.square().sum(0) / 3).numpy(), stats.f(3, 5).cdf).pvalue > 1e-3
    torch.testing.assert_close(p.variance, p.covariance_matrix.diagonal())


# ---------------------------------------------------------------- draws


@pytest.mark.parametrize("how", ["push", "rsample"])
@pytest.mark.parametrize("make", CODES)
def test_draws_match_the_density(make, how):
    family = make().amortized()
    _, q = member(family)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = getattr(family, how)(q, seeded(3000, 1, 3, seed=3)).detach()
    assert z.shape == (3000, 1, 3)
    x, cells = mass(q)
    for k in range(3):
        cdf = lambda v, k=k: np.interp(v, x[:, 0, 0], cells[:, 0, k].detach().cumsum(0))  # noqa: E731
        assert stats.kstest(z[:, 0, k].numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("make", CODES)
def test_gradient_of_an_expectation(make):
    """d E[f(z)] / d raw through rsample against central differences of a quadrature."""
    family = make().amortized()
    head = FamilyHead(family, 1).double()
    raw = (0.5 * seeded(1, head.n_raw, seed=5)).requires_grad_()

    def f(z):
        return z / (1 + z.abs()) + 1 / (1 + z.square())

    S = 20_000
    rows = raw.expand(S, -1).detach().requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        u = seeded(1, S, 1, seed=7)
        f(family.rsample(head(rows), u)).sum().backward()
    estimate, error = rows.grad.mean(0), rows.grad.std(0) / np.sqrt(S)
    for j, step in enumerate(1e-4 * torch.eye(head.n_raw).double()):
        up, down = (expectation(head(raw.detach() + sign * step), family, f).item() for sign in (1, -1))
        assert estimate[j].item() == pytest.approx((up - down) / 2e-4, abs=5 * error[j].item() + 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", CODES)
def test_posterior_stays_finite_at_extreme_numbers(make, dtype):
    family = make().amortized()
    head = FamilyHead(family, 1).to(dtype)
    signs = torch.cartesian_prod(*[torch.tensor([-30.0, -3.0, 0.0, 3.0, 30.0])] * head.n_raw).reshape(-1, head.n_raw)
    q, p = head(signs.to(dtype)), family.standard(torch.zeros(1, dtype=dtype))
    z = family.push(q, torch.tensor([-6.0, -1.0, 0.0, 1.0, 6.0], dtype=dtype)[:, None, None])
    assert z.dtype == dtype
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = family.rsample(q, torch.randn(50, *z.shape[1:], dtype=dtype))
    for draws in (z, drawn):
        assert torch.isfinite(draws).all()
        assert torch.isfinite(q.log_prob(draws)).all()
        assert torch.isfinite(p.log_prob(draws)).all()
    assert torch.isfinite(family.center(q)).all()
    assert torch.isfinite(kl(q, p, z)).all()
    assert bool((z.diff(dim=0) >= 0).all())


@pytest.mark.parametrize("make", CODES)
def test_a_mixture_of_posteriors_has_a_gradient(make):
    """Draws of one row under the densities of the others, which may be as narrow as they come elsewhere."""
    family = make().amortized()
    head = FamilyHead(family, 2)
    raw = (4 * seeded(6, head.n_raw)).float().requires_grad_()
    q = head(raw)
    z = family.push(q, torch.linspace(-3, 3, 7)[:, None, None]).detach()
    mixed = q.log_prob(z.unsqueeze(-2)).logsumexp(-2)
    (gradient,) = torch.autograd.grad(mixed.sum(), raw)
    assert torch.isfinite(mixed).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("make", CODES)
def test_draws_are_the_same_in_both_precisions(make):
    family = make().amortized()
    head = FamilyHead(family, 2).double()
    raw, u = seeded(1, head.n_raw), torch.linspace(-6, 6, 25).double()[:, None, None]
    wide, narrow = family.push(head(raw), u), family.push(head.float()(raw.float()), u.float())
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-3, atol=1e-5)


def test_quantiles_against_scipy():
    u = torch.linspace(-6, 6, 13).double()
    k = torch.tensor(0.7).double()
    lower = u <= 0  # above, scipy's own complement loses digits
    v = stats.norm.cdf(u)
    for ours, theirs in (
        (quantiles.exponential(u), stats.expon.ppf(v)),
        (quantiles.gumbel(u), stats.gumbel_r.ppf(v)),
        (quantiles.logistic(u), stats.logistic.ppf(v)),
        (quantiles.laplace(u), stats.laplace.ppf(v)),
        (quantiles.cauchy(u), stats.cauchy.ppf(v)),
        (quantiles.student_t(4.0, u), stats.t(4).ppf(v)),
        (quantiles.gamma(k, u), stats.gamma(0.7).ppf(v)),
        (quantiles.beta(k, 2 * k, u), stats.beta(0.7, 1.4).ppf(v)),
        (quantiles.fisher_snedecor(4 * k, 9 * k, u), stats.f(2.8, 6.3).ppf(v)),
    ):
        np.testing.assert_allclose(ours[lower], theirs[lower], rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-12)


# ---------------------------------------------------------------- KL


def by_quadrature(q, p, family):
    return expectation(q, family, lambda z: q.log_prob(z) - p.log_prob(z))


@pytest.mark.parametrize(("name", "make"), CODES_BY_NAME)
def test_closed_form_kl_against_quadrature(name, make):
    family = make().amortized()
    _, q = member(family, scale=0.7)
    p = family.standard(torch.zeros(3).double())
    if name in MONTE_CARLO:
        with pytest.raises(NotImplementedError):
            kl(q, p)
        z = family.push(q, seeded(20_000, 1, 3))
        log_ratio = q.log_prob(z) - p.log_prob(z)
        error = (log_ratio.std(0) / np.sqrt(len(z))).max().item()
        torch.testing.assert_close(kl(q, p, z), by_quadrature(q, p, family), atol=5 * error, rtol=0)
    else:
        torch.testing.assert_close(kl(q, p), by_quadrature(q, p, family), rtol=1e-4, atol=1e-5)


PAIRS = {
    "weibull-weibull": (skvae.Weibull(), td.Weibull(torch.tensor(0.7).double(), torch.tensor(1.6).double())),
    "weibull-gamma": (skvae.Weibull(), td.Gamma(torch.tensor(0.7).double(), torch.tensor(1.6).double())),
    "weibull-exponential": (skvae.Weibull(), td.Exponential(torch.tensor(1.6).double())),
    "rayleigh-rayleigh": (skvae.Rayleigh(), skvae.Rayleigh().distribution(torch.tensor(0.3).double())),
    "log_normal-gamma": (skvae.LogNormal("row"), td.Gamma(torch.tensor(0.7).double(), torch.tensor(1.6).double())),
    "log_normal-exponential": (skvae.LogNormal("row"), td.Exponential(torch.tensor(1.6).double())),
    "laplace-normal": (skvae.Laplace("row"), td.Normal(torch.tensor(0.3).double(), torch.tensor(1.6).double())),
    "gamma-exponential": (skvae.Gamma("row"), td.Exponential(torch.tensor(1.6).double())),
    "beta-uniform": (skvae.Beta("row"), densities.Between(torch.tensor(0.0).double(), torch.tensor(1.0).double())),
    "chi2-gamma": (skvae.Chi2(), td.Gamma(torch.tensor(0.7).double(), torch.tensor(1.6).double())),
    "log_normal-log_uniform's": (
        skvae.Reciprocal(),
        td.LogNormal(torch.tensor(0.3).double(), torch.tensor(1.6).double()),
    ),
}


@pytest.mark.parametrize(("family", "p"), PAIRS.values(), ids=PAIRS)
def test_closed_form_kl_between_families(family, p):
    _, q = member(family, scale=0.5, seed=1)
    torch.testing.assert_close(kl(q, p), by_quadrature(q, p, family), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- starts


def test_categorical_start_has_the_margins_and_slopes_of_its_indicators():
    """Two columns of three levels: softmax at 0 near the frequencies, d pi / dz the covariance of indicator and z."""
    rng = np.random.default_rng(0)
    p = np.array([0.2, 0.3, 0.5, 0.6, 0.3, 0.1])
    loadings = 0.02 * rng.normal(size=(2, 3, 2))
    loadings = (loadings - loadings.mean(1, keepdims=True)).reshape(6, 2)  # indicators sum to one
    weight, bias, own = skvae.Categorical(3).start(p, loadings, np.full(6, 0.1))
    head = FamilyHead(skvae.Categorical(3), 2).double()
    probabilities = lambda z: head(torch.as_tensor(weight @ z + bias)).probs.flatten().numpy()  # noqa: E731
    assert own == []
    np.testing.assert_allclose(probabilities(np.zeros(2)), p, atol=1e-3)
    slope = np.stack([(probabilities(1e-4 * e) - probabilities(-1e-4 * e)) / 2e-4 for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(slope, loadings, atol=2e-4)


@pytest.mark.parametrize("make", OBSERVED)
def test_likelihood_start_matches_mean_slope_and_noise(make):
    family, n, K = make(), 4, 2
    if family.nominal:  # above
        return
    rng = np.random.default_rng(0)
    counts = family.support is torch.distributions.constraints.nonnegative_integer
    mean = rng.uniform(1.5, 2.5, n) if counts or isinstance(family, CODED) else rng.uniform(0.3, 0.7, n)
    loadings = 0.02 * rng.normal(size=(n, K))  # small: there the margins are exact to second order
    noise = np.full(n, 0.5 if family.units == "standard" else 0.02)
    if counts:
        noise = 1.5 * mean
    if isinstance(family, CODED):
        noise = np.full(n, 0.5)
    shares = {}
    if family.atoms:
        noise, shares = np.full(n, 0.1), {"shares": np.full((len(family.atoms), n), 0.1)}
    head = FamilyHead(family, n).double()
    weight, bias, own = family.start(mean, loadings, noise, **shares)
    assert len(own) == len(head.own)
    for parameter, number in zip(head.own, own, strict=True):
        parameter.data.copy_(torch.as_tensor(number).expand(parameter.shape))

    def decoded(z):
        p = head(torch.as_tensor(weight @ z + bias))
        if isinstance(family, CODED):
            return (p.probs @ torch.arange(5).double()).detach().numpy()
        return p.mean.detach().numpy()

    np.testing.assert_allclose(decoded(np.zeros(K)), mean, atol=1e-2)
    slope = np.stack([(decoded(1e-4 * e) - decoded(-1e-4 * e)) / 2e-4 for e in np.eye(K)], axis=1)
    np.testing.assert_allclose(slope, loadings, rtol=5e-2)
    one_number = isinstance(family, (skvae.Bernoulli, skvae.ContinuousBernoulli, skvae.Poisson))
    two_noises = isinstance(family, skvae.ZeroInflatedNegativeBinomial)
    if not one_number:
        variance = head(torch.as_tensor(bias)).variance.detach().numpy()
        np.testing.assert_allclose(variance, noise, rtol=0.25 if two_noises else 0.05)


INFLATED = {name: make for name, make in CONSTRUCTORS.items() if make().atoms and "row" not in name}


@pytest.mark.parametrize(("name", "make"), INFLATED.items())
def test_inflated_start_keeps_shares_means_and_covariances_over_the_code(name, make):
    """By simulation, with loadings that are not small: an amount, or a fraction, and its atoms depend on one z."""
    rng, family = np.random.default_rng(0), make()
    z, e, o = rng.normal(size=(3, 200_000))
    if name == "zero_one_inflated_beta":
        y = stats.norm.cdf(z + e)
        x = np.where(z + o < -1.5, 0.0, np.where(z + o > 2.0, 1.0, 0.1 + 0.8 * y))
    else:
        x = 3 * np.exp(0.4 * z + 0.4 * e) * (0.8 * z + o > -0.5)
    mean, loading = np.array([x.mean()]), np.array([[np.cov(x, z)[0, 1]]])
    shares = np.array([[(x == atom).mean()] for atom in family.atoms])
    weight, bias, own = family.start(mean, loading, x.var() - loading[0] ** 2, shares=shares)
    numbers = torch.as_tensor(z[:, None] * weight[:, 0] + bias)
    p = FamilyHead(family, 1).double()
    for parameter, number in zip(p.own, own, strict=True):
        parameter.data.copy_(torch.as_tensor(number))
    p = p(numbers)
    decoded = p.mean[:, 0].detach().numpy()
    assert decoded.mean() == pytest.approx(x.mean(), rel=0.03)
    assert np.cov(decoded, z)[0, 1] == pytest.approx(loading.item(), rel=0.15)
    assert (p.variance.mean() + decoded.var()).item() == pytest.approx(x.var(), rel=0.15)
    for atom in family.atoms:
        assert p.log_prob(torch.tensor(atom).double()).exp().mean().item() == pytest.approx((x == atom).mean(), rel=0.1)


@pytest.mark.parametrize("make", OBSERVED)
def test_likelihood_start_of_odd_columns_is_finite(make):
    """Constant and nearly constant columns, and loadings that no such column can have."""
    family = make()
    mean, noise = np.array([1e-9, 0.5, 1.0, 4.0]), np.array([1e-12, 1e-3, 0.5, 100.0])
    loadings = np.array([[1.0, 0.0], [0.0, 0.0], [5.0, -5.0], [0.1, 30.0]])
    if family.nominal:
        mean, loadings, noise = (np.repeat(a, family.n_raw, axis=0) for a in (mean, loadings, noise))
    weight, bias, own = family.start(mean, loadings, noise, noise / 100)
    assert all(np.isfinite(a).all() for a in (weight, bias, *own))
    head = FamilyHead(family, 4).double()
    for parameter, number in zip(head.own, own, strict=True):
        parameter.data.copy_(torch.as_tensor(number))
    p = head(torch.as_tensor(bias))
    assert all(torch.isfinite(a).all() for a in (p.mean, p.variance, p.mode))


#: Kolmogorov distance of the aggregate posterior to the prior; families of one number cannot have every spread.
DISTANCES = {
    "exponential": 0.25,
    "chi2": 0.25,
    "rayleigh": 0.2,
    "erlang": 0.2,
    "fisher_snedecor": 0.22,
    "pareto": 0.12,
    "gompertz": 0.12,
}


@pytest.mark.parametrize(("name", "make"), CODES_BY_NAME)
def test_initial_codes_are_distributed_like_the_prior(name, make):
    family, S = make().amortized(), 4000
    variance = np.array([0.05, 0.4, 1.0])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(S, 3))
    weight, bias, slope, offset = family.code_start(np.zeros(3), np.diag(np.sqrt(1 - variance)), variance)
    head = FamilyHead(family, 3).double()
    q = head(torch.as_tensor(x @ weight.T + bias))
    z = family.push(q, seeded(1, S, 3, seed=2))[0]
    p = family.standard(torch.zeros(3).double())
    expected = family.push(p, torch.as_tensor(stats.norm.ppf((np.arange(S) + 0.5) / S))[:, None, None])[:, 0]
    for k in range(3):
        assert stats.ks_2samp(z[:, k].numpy(), expected[:, k].numpy()).statistic < DISTANCES.get(name, 0.08)
        assert variance[k] == 1 or stats.spearmanr(x[:, k], family.center(q)[:, k].detach()).statistic > 0.99
    t = slope * expected.numpy() + offset  # as codes of the normal model, as far as an affine map goes
    assert np.corrcoef(t[:, 0], stats.norm.ppf((np.arange(S) + 0.5) / S))[0, 1] > (0.05 if name == "cauchy" else 0.7)


@pytest.mark.parametrize("name", ["gaussian", "laplace", "student_t", "logistic", "gumbel"])
def test_start_on_the_line_matches_moments(name):
    family = CONSTRUCTORS[name]().amortized()
    mean, projection, variance = np.array([0.3, -1.0]), np.array([[1.0, 2.0], [0.5, 0.0]]), np.array([0.2, 0.9])
    weight, bias, slope, offset = family.code_start(mean, projection, variance)
    x = np.random.default_rng(0).normal(size=(7, 2))
    q = FamilyHead(family, 2).double()(torch.as_tensor(x @ weight.T + bias))
    np.testing.assert_allclose(slope * q.mean.numpy() + offset, x @ projection.T + mean)
    np.testing.assert_allclose(slope**2 * q.variance.numpy(), np.broadcast_to(variance, (7, 2)), rtol=1e-6)


# ---------------------------------------------------------------- likelihoods at the edge


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", OBSERVED)
def test_likelihood_stays_finite_at_extreme_numbers(make, dtype):
    family = make()
    head = FamilyHead(family, 1).to(dtype)
    values = [-30.0, 0.0, 30.0] if head.n_raw < 4 else [-30.0, 30.0]
    raw = torch.cartesian_prod(*[torch.tensor(values)] * head.n_raw).reshape(-1, head.n_raw)
    raw = raw.to(dtype).requires_grad_()
    p = head(raw)
    x = torch.as_tensor(np.unique(table(family)[:, 0])[[0, 1, -1]], dtype=dtype)[:, None, None]
    for value in (x, torch.full_like(x, family.interior)):
        log_prob = p.log_prob(value)
        assert torch.isfinite(log_prob).all()
        (gradient,) = torch.autograd.grad(log_prob.sum(), raw, retain_graph=True)
        assert torch.isfinite(gradient).all()
    for statistic in (p.mean, p.variance, p.mode, p.sample((3,))):
        assert torch.isfinite(statistic).all()


FAR = [sign * size for size in (1e2, 1e3, 1e4) for sign in (1, -1)]  # e^-104 is 0 in float32


def far_numbers(n_raw):
    """Rows of raw numbers of which one is far out, (6 n_raw, n_raw), and which one it is."""
    rows = 0.3 * torch.ones(len(FAR) * n_raw, n_raw)
    which = torch.arange(len(rows)) % n_raw
    rows[torch.arange(len(rows)), which] = torch.tensor(FAR).repeat_interleave(n_raw)
    return rows.requires_grad_(), which


@pytest.mark.parametrize("make", OBSERVED)
def test_no_number_of_a_likelihood_is_too_far_out_to_come_back(make):
    family = make()
    raw, which = far_numbers(family.n_raw)
    p = FamilyHead(family, 1)(raw)
    cells = np.unique(table(family))
    cells = np.append(cells[:: max(len(cells) // 5, 1)], [cells[-1], 0.5])
    felt = torch.zeros(len(raw), dtype=torch.bool)
    cells = [torch.full((len(raw), 1), float(x)) for x in cells[family.support.check(torch.from_numpy(cells)).numpy()]]
    if isinstance(family, skvae.ContaminatedGaussian):  # the background takes what is far off: only near cells pull
        cells.append(raw[:, :1].detach() + 0.1)
    for cell in cells:
        log_px = p.log_prob(cell)
        (gradient,) = torch.autograd.grad(log_px.sum(), raw, retain_graph=True)
        assert torch.isfinite(gradient).all()
        felt |= gradient[torch.arange(len(raw)), which] != 0
    assert felt.all(), raw[~felt]


@pytest.mark.parametrize("make", OBSERVED)
def test_no_own_number_is_too_far_out_to_come_back(make):
    head = FamilyHead(make(), 1)
    trained = [number for number in head.own if number.requires_grad]
    near = [0.4] if isinstance(head.family, skvae.ContaminatedGaussian) else []  # a background takes all others
    for number, far in [(number, far) for number in trained for far in FAR]:
        inside, number.data = number.data, torch.full_like(number, far)
        cells = torch.as_tensor([*np.unique(table(make()))[[0, 1, 3, -1]], *near], dtype=torch.float32)[:, None]
        (gradient,) = torch.autograd.grad(head(0.3 * torch.ones(len(cells), head.n_raw)).log_prob(cells).sum(), number)
        assert torch.isfinite(gradient).all()
        assert gradient.any()
        number.data = inside


@pytest.mark.parametrize("make", CODES)
def test_no_number_of_a_posterior_is_too_far_out_to_come_back(make):
    family = make().amortized()
    raw, which = far_numbers(family.n_raw)
    q, p = FamilyHead(family, 1)(raw), family.standard(torch.zeros(1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = family.rsample(q, torch.linspace(-2, 2, 6)[:, None, None])
    loss = kl(q, p, z).sum() + torch.atan(z - 0.3).sum()
    (gradient,) = torch.autograd.grad(loss, raw)
    assert torch.isfinite(gradient).all()
    assert gradient[torch.arange(len(raw)), which].all(), raw[gradient[torch.arange(len(raw)), which] == 0]


def test_no_member_of_a_mixture_is_too_narrow_or_wide_to_come_back():
    module = skvae.NormalMixture(n_members=len(FAR)).build(2)
    module.log_scale.data[:] = torch.tensor(FAR)[:, None]
    module.loc.data[:] = 0
    (gradient,) = torch.autograd.grad(
        module().log_prob(torch.tensor([[0.0, 0.0], [1e-5, 1.0]])).sum(), module.log_scale
    )
    assert torch.isfinite(gradient).all()
    assert gradient.any()


@pytest.mark.parametrize("posterior", [DirichletPosterior(), Elliptical(), skvae.FullCovariance()], ids=repr)
def test_no_number_of_a_joint_posterior_is_too_far_out_to_come_back(posterior):
    head = posterior.build(2)
    raw, which = far_numbers(head.n_raw)
    q, p = head(raw), posterior.prior().build(2)()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = head.rsample(q, torch.randn(6, 1, head.n_noise))
    (gradient,) = torch.autograd.grad(kl(q, p, z).sum(), raw)
    assert torch.isfinite(gradient).all()
    assert gradient[torch.arange(len(raw)), which].all()


@pytest.mark.parametrize("far", FAR[::2])
def test_a_gumbel_code_far_on_the_left_is_pulled_back(far):
    """Its KL and the density of its prior rise like e^-z there: a clamp left the wrong sign of the gradient."""
    family = skvae.Gumbel("row", floor=1e-9)
    loc = torch.tensor([-far], requires_grad=True)
    q, p = family.distribution(loc, torch.zeros(1), torch.zeros(1)), family.standard(torch.zeros(1))
    for loss in (kl(q, p).sum(), -p.log_prob(loc).sum()):
        (gradient,) = torch.autograd.grad(loss, loc)
        assert gradient < 0


@pytest.mark.parametrize("make", OBSERVED)
def test_a_gradient_reaches_every_number_of_a_likelihood(make):
    family = make()
    model = LatentVariableModel(5, 2, MeanField(), StandardNormal(), [(family, range(5))], MLP((6,)), MLP((6,)))
    columns = Columns.unscaled(Schema.learn(table(family)), [family] * 5, "standard")
    columns = columns.fitted_to(table(family), np.ones(150))
    x, _ = columns.tensors(table(family)[:9], "cpu", torch.float32)
    check_gradients(model, x, torch.rand(9, 5, generator=torch.Generator().manual_seed(0)) < 0.8)


MEAN_FIELDS = {name: lambda make=make: MeanField(make()) for name, make in CODES_BY_NAME}


@pytest.mark.parametrize("make", named(MEAN_FIELDS) + named({name: pair[0] for name, pair in JOINT.items()}))
def test_a_gradient_reaches_every_number_of_a_posterior(make):
    posterior = make()
    model = LatentVariableModel(
        4, 2, posterior, posterior.prior(), [(skvae.Gaussian(), range(4))], MLP((6,)), MLP((6,))
    )
    check_gradients(model, seeded(9, 4).float(), None)


def check_gradients(model, x, mask):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():  # the last layers are zero: nothing flows through them yet
        if parameter.requires_grad and parameter.numel():  # without a column of numbers there is no affine weight
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        u = torch.randn(2, len(x), model.posterior.n_noise)
        ELBO()(model, x, mask, u)["loss"].mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.numel():
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.any(), name


# ---------------------------------------------------------------- the estimator


def results_of_methods(vae, X):
    Z = vae.transform(X)
    return (Z, vae.inverse_transform(Z), vae.score_samples(X), vae.score_samples(X, n_importance_samples=5),
            vae.sample(7, random_state=0), vae.kl_per_component_, vae.noise_variance_)  # fmt: skip


@pytest.mark.parametrize("make", OBSERVED)
def test_every_likelihood_fits_and_every_method_runs(make):
    family = make()
    X = table(family)
    for data in (X, with_missing(X)):
        vae = VAETransformer(2, hidden_layer_sizes=(8,), likelihood=family, max_iter=2, random_state=0).fit(data)
        assert all(np.isfinite(result).all() for result in results_of_methods(vae, data))
        np.testing.assert_allclose(vae.score_samples(data[:4]), vae.score_samples(data)[:4])
        narrow = vae.score_samples(data.astype(np.float32))
        np.testing.assert_allclose(narrow, vae.score_samples(data), rtol=1e-2, atol=1e-2)
    again = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(again.score_samples(data), vae.score_samples(data))
    assert bool(family.support.check(torch.as_tensor(vae.sample(50, random_state=0))).all())


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        *[pytest.param(MeanField(make()), Standard(make()), id=name) for name, make in CODES_BY_NAME],
        *[pytest.param(*(make() for make in pair), id=name) for name, pair in JOINT.items()],
    ],
)
def test_every_posterior_fits_and_every_method_runs(posterior, prior):
    X = load_iris().data
    arguments = {"posterior": posterior, "prior": prior, "random_state": 0}
    vae = VAETransformer(2, hidden_layer_sizes=(8,), max_iter=2, **arguments).fit(X)
    assert all(np.isfinite(result).all() for result in results_of_methods(vae, X))
    for n in (None, 5):
        np.testing.assert_allclose(vae.score_samples(X[:4], n), vae.score_samples(X, n)[:4])
    narrow = vae.score_samples(X.astype(np.float32))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, vae.score_samples(X), rtol=1e-2, atol=1e-2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(vae)).score_samples(X), vae.score_samples(X))
    assert type(posterior.prior()) is type(prior) or isinstance(posterior.prior(), StandardNormal)


@pytest.mark.parametrize("name", [*FAMILIES, "dirichlet", "elliptical"])
def test_short_names(name):
    family = FAMILIES.get(name)
    if name in LIKELIHOODS:
        vae = VAETransformer(2, likelihood=name, max_iter=0).fit(table(CONSTRUCTORS[name]()))
        assert type(vae.likelihoods_["x0"]) is family
    if family is None or family.reparameterized:
        vae = VAETransformer(2, posterior=name, prior=name if family is None else Standard(family()), max_iter=0)
        component = Parts.of(vae.get_params(deep=False)).posterior
        assert isinstance(component, MeanField) == (family is not None)
        assert family is None or component.family == name
        assert np.isfinite(vae.fit(load_iris().data).score(load_iris().data))


@pytest.mark.parametrize("make", CODES)
def test_standard_members_state_their_support(make):
    """A posterior and a prior are paired by it."""
    family = make().amortized()
    p = family.standard(torch.zeros(2))
    inside = family.push(p, torch.linspace(-6, 6, 25)[:, None, None])
    assert bool(p.support.check(inside).all())
    assert bool(p.support.check(torch.tensor([-5.0])).all()) == bool((inside < 0).any())


@pytest.mark.parametrize(("posterior", "prior"), [("gamma", "normal"), ("weibull", Standard(skvae.Gamma()))])
def test_a_posterior_inside_another_familys_prior_fits(posterior, prior):
    X = load_iris().data
    vae = VAETransformer(2, posterior=posterior, prior=prior, max_iter=2, random_state=0).fit(X)
    assert all(np.isfinite(result).all() for result in results_of_methods(vae, X))


def test_the_score_integrates_a_kl_without_closed_form():
    """Against a finer quadrature: 32 whitened draws are 0.025 nats off on iris, with the same sign for every row."""
    X = load_iris().data
    vae = VAETransformer(2, posterior="logistic", prior=Standard(skvae.Logistic()), max_iter=0, random_state=0).fit(X)
    x, mask = vae.fitted_.columns.tensors(X, "cpu", torch.float64)
    module = vae.fitted_.module_in(torch.float64)
    with torch.no_grad():
        q, p = module.encode(x, mask), module.prior()
        expected = by_quadrature(q, p, module.posterior.family).mean(0)
    torch.testing.assert_close(torch.as_tensor(vae.kl_per_component_), expected, atol=1e-4, rtol=0)


def test_a_family_of_posteriors_is_no_likelihood():
    with pytest.raises(ValueError, match="must be"):
        VAETransformer(likelihood="uniform").fit(load_iris().data)
    with pytest.raises(ValueError, match="no column can be of it"):
        VAETransformer(likelihood=skvae.Uniform()).fit(load_iris().data)


def test_positive_columns_are_divided_and_counts_are_left_alone():
    X = table(skvae.Gamma())
    fit = lambda X, likelihood: VAETransformer(2, likelihood=likelihood, max_iter=0, random_state=0).fit(X)  # noqa: E731
    for likelihood in ("gamma", "log_normal"):
        small, large = fit(X, likelihood), fit(1000 * X, likelihood)
        assert not small.fitted_.columns.shift.any()
        assert small.score(X) - large.score(1000 * X) == pytest.approx(5 * np.log(1000))
    for name in ("poisson", "categorical", "beta", "bernoulli", "continuous_bernoulli"):
        vae = fit(table(CONSTRUCTORS[name]()), name)
        assert (vae.fitted_.columns.scale == 1).all()
        assert vae.fitted_.columns.log_jacobian(None, None).item() == 0


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix, lambda X: pd.DataFrame(X, columns=list("abcde"))])
@pytest.mark.parametrize(
    ("name", "cells", "value", "fitting"),
    [
        ("log_normal", [0.0], "0", "'zero_inflated_gamma', 'zero_inflated_log_normal' or 'gaussian'"),
        ("gamma", [0.0], "0", "'zero_inflated_gamma', 'zero_inflated_log_normal' or 'gaussian'"),
        ("gamma", [3.0, -1.0], "-1", "'student_t', 'laplace' or 'gaussian'"),
        ("zero_inflated_gamma", [-1.0], "-1", "'student_t', 'laplace' or 'gaussian'"),
        ("beta", [0.0], "0", "'zero_one_inflated_beta', 'continuous_bernoulli' or 'gaussian'"),
        ("beta", [1.0], "1", "'zero_one_inflated_beta', 'continuous_bernoulli' or 'gaussian'"),
        ("beta", [1.5], "1.5", "'gamma', 'log_normal' or 'gaussian'"),
        (
            "zero_one_inflated_beta",
            [1.5, 0.0],
            "1.5",
            "'zero_inflated_gamma', 'zero_inflated_log_normal' or 'gaussian'",
        ),
        ("continuous_bernoulli", [-0.5], "-0.5", "'student_t', 'laplace' or 'gaussian'"),
        ("poisson", [0.0, 2.5], "2.5", "'zero_inflated_gamma', 'zero_inflated_log_normal' or 'gaussian'"),
        ("negative_binomial", [-2.0], "-2", "'student_t', 'laplace' or 'gaussian'"),
        ("zero_inflated_poisson", [-2.0], "-2", "'student_t', 'laplace' or 'gaussian'"),
        ("bernoulli", [2.0], "2", "'ordinal', 'categorical', 'negative_binomial', 'poisson' or 'gaussian'"),
        ("bernoulli", [20.0], "20", "'negative_binomial', 'poisson', .* 'zero_inflated_poisson' or 'gaussian'"),
        ("bernoulli", [0.5], "0.5", "'zero_one_inflated_beta', 'continuous_bernoulli' or 'gaussian'"),
        ("ordinal", [-1.0], "-1", "'student_t', 'laplace' or 'gaussian'"),
        ("categorical", [2.5, 0.0], "2.5", "'zero_inflated_gamma', 'zero_inflated_log_normal' or 'gaussian'"),
    ],
)
def test_values_outside_the_support_are_an_error_that_names_what_fits(name, cells, value, fitting, wrap):
    X = table(CONSTRUCTORS[name]())
    X[3 : 3 + len(cells), 2] = cells
    label = "c" if wrap(X) is not X and not sparse.issparse(wrap(X)) else "x2"
    message = rf"Column '{label}' has the value {value}, outside the support .* Use a likelihood that .*, {fitting}, or"
    with pytest.raises(ValueError, match=message):
        VAETransformer(2, likelihood=name).fit(wrap(X))


def test_the_families_that_an_error_names_hold_the_column():
    """Each name of a domain, and each family with a border of its own in some domain."""
    border = {name for name in LIKELIHOODS if CONSTRUCTORS[name]().units != "standard"}
    assert border == {name for _, names in DOMAINS for name in names} - {"student_t", "laplace"}
    examples = [[0, 1], [0, 7], [0, 700], [0.2, 0.9], [0, 0.9, 1], [0.2, 9], [0, 0.2, 9], [-1, 5.5]]
    for (domain, names), cells in zip(DOMAINS, examples, strict=True):
        values = np.array(cells, dtype=float)
        assert families_for(np.append(values, np.nan)) == [*names, "gaussian"]
        for name in names:
            support = FAMILIES[name]().for_column(values).support
            assert bool(support.check(torch.from_numpy(values)).all()), (domain, name)


@pytest.mark.parametrize("name", ["zero_inflated_gamma", "zero_inflated_log_normal"])
def test_units_move_densities_and_leave_the_probabilities_of_atoms(name):
    X = table(CONSTRUCTORS[name]())
    X[3, 1], X[5] = np.nan, np.nan
    small, large = (VAETransformer(2, likelihood=name, max_iter=1, random_state=0).fit(k * X) for k in (1, 1024))
    n_densities = (X > 0).sum(1)
    for n in (None, 5):
        expected = small.score_samples(X, n) - n_densities * np.log(1024)
        np.testing.assert_allclose(large.score_samples(1024 * X, n), expected)
    expected = small.score_columns(X) - np.where(X > 0, np.log(1024), 0)
    np.testing.assert_allclose(large.score_columns(1024 * X), expected)
    np.testing.assert_allclose(large.score_samples(sparse.csr_matrix(1024 * X)), large.score_samples(1024 * X))
    moved = large.history_[1]["train_loss"] - small.history_[1]["train_loss"]
    assert moved / np.log(1024) == pytest.approx(n_densities.mean(), abs=0.2)
    # One distribution in data space: what decode says of cells integrates to one, and draws are from it.
    p = large.decode(large.transform(X[:1]))
    t = np.linspace(-10, 20, 3001)
    grid = np.concatenate([[0.0], np.exp(t)])
    density = p.log_prob(np.repeat(grid[:, None], 5, 1)).exp().numpy()
    np.testing.assert_allclose(density[0] + density[1:].T @ np.exp(t) * (t[1] - t[0]), 1, atol=2e-3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = p.sample((4000,))[:, 0].numpy()
    np.testing.assert_allclose((drawn == 0).mean(0), density[0], atol=0.03)
    np.testing.assert_allclose(drawn.mean(0), p.mean[0], rtol=0.1)


@pytest.mark.parametrize("make", INFLATED.values(), ids=INFLATED)
def test_atoms_come_and_go_with_the_code_and_are_imputed(make):
    """Zeros of one row come together, which one probability per column cannot say; cells that are missing are drawn."""
    family, rng = make(), np.random.default_rng(0)
    line = rng.normal(size=(400, 1)) + 0.7 * rng.normal(size=(400, 5))
    X = np.clip(0.5 + line / 3, 0, 1) if len(family.atoms) == 2 else np.exp(line / 2) * (line < 0.5)
    atom = family.atoms[-1]
    vae = VAETransformer(2, likelihood=family, max_iter=15, random_state=0).fit(pd.DataFrame(X, columns=list("abcde")))
    drawn = vae.sample(4000, random_state=0, calibrate=False)
    is_atom, was_atom = drawn.to_numpy() == atom, np.equal(X, atom)
    np.testing.assert_allclose(is_atom.mean(0), was_atom.mean(0), atol=0.05)
    assert is_atom.sum(1).var() > 1.5 * (is_atom.mean(0) * (1 - is_atom.mean(0))).sum()
    holes = pd.DataFrame(with_missing(X), columns=list("abcde"))
    for filled in (vae.impute(holes), *vae.impute(holes, n_draws=3, random_state=0)):
        assert bool(family.support.check(torch.as_tensor(filled.to_numpy())).all())
    assert (filled.to_numpy()[holes.isna()] == atom).any()


@pytest.mark.parametrize("name", ["gamma", "log_normal", "beta"])
@pytest.mark.parametrize("written", ["one decimal", "float32", "whole"])
def test_rounded_draws_stay_in_the_support(name, written):
    """An amount of 0.04 in a column of one decimal is not 0, nor a share of 0.997 one of 1."""
    rng = np.random.default_rng(0)
    line = 2 * (rng.normal(size=(100, 1)) + rng.normal(size=(100, 3)))
    X = np.exp(line) if name != "beta" else 1 / (1 + np.exp(-2 * line))
    if written == "whole":
        X = np.maximum(np.rint(X), 1).astype(int) if name != "beta" else X.round(2)
    elif written == "one decimal":
        X = np.clip(X.round(1), 0.1, 0.9 if name == "beta" else None)
    X = pd.DataFrame(X.astype(np.float32) if written == "float32" else X, columns=list("abc"))
    if name == "beta":
        X = X.clip(0.01, 0.99)
    vae = VAETransformer(1, likelihood=name, max_iter=1, random_state=0).fit(X)
    holes = X.mask(rng.random(X.shape) < 0.3)
    made = [vae.sample(2000, random_state=0), vae.reconstruct(X, sample=True, random_state=0), vae.impute(holes)]
    for drawn in (*made, *vae.impute(holes, n_draws=2, random_state=0)):
        assert np.isfinite(vae.score(drawn))
    assert (made[0].dtypes == X.dtypes).all()
    if written == "one decimal":
        np.testing.assert_array_equal(made[0], made[0].round(1))


def test_missing_cells_hold_a_point_of_the_support():
    X = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [0.2, 0.3, np.nan], "c": [np.nan, 1.0, 2.0]})
    likelihood = [(skvae.Gamma(), ["a"]), (skvae.Beta(), ["b"]), (skvae.Poisson(), ["c"])]
    vae = VAETransformer(1, likelihood=likelihood, max_iter=0).fit(X)
    x, mask = vae.fitted_.columns.tensors(X.to_numpy(), "cpu", torch.float64)
    assert x[~mask].tolist() == [0.0, 1.0, 0.5]
    for d, family in enumerate(vae.fitted_.columns.families):
        assert bool(family.support.check(x[:, d]).all())


def test_a_table_of_log_normal_noise_prefers_log_normal():
    """Families are not interchangeable: each explains its own data best, and a heavy tail is what StudentT is for."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(300, 1)) @ rng.normal(size=(1, 6))
    positive, heavy = np.exp(Z + 0.3 * rng.normal(size=Z.shape)), Z + 0.3 * rng.standard_t(2.5, size=Z.shape)
    counts = rng.negative_binomial(1, 1 / (1 + np.exp(0.5 * Z + 1))).astype(float)
    excess = counts * (rng.random(counts.shape) < 0.3)

    def score(X, name, max_iter=8):
        return VAETransformer(1, likelihood=name, max_iter=max_iter, random_state=0).fit(X).score(X)

    assert score(positive, "log_normal") > score(positive, "gaussian") + 1
    assert score(heavy, "student_t") > score(heavy, skvae.Gaussian(background=0)) + 0.3
    assert score(counts, "negative_binomial") > score(counts, "poisson") + 0.3
    for max_iter in (0, 100):  # after 8 epochs the one row with a count of 2767 still decides
        assert score(excess, "zero_inflated_poisson", max_iter) > score(excess, "poisson", max_iter) + 0.3


def test_large_counts_are_learned():
    """The encoder sees them divided by their size; as they are, no epoch of Adam was better than the initialisation."""
    rng = np.random.default_rng(0)
    rate = np.exp(rng.normal(size=(400, 2)) @ rng.normal(size=(2, 8)) * 0.5 + rng.uniform(0, 7, 8))
    X = rng.poisson(rate * rng.gamma(3, 1 / 3, size=rate.shape)).astype(float)
    vae = VAETransformer(2, likelihood="negative_binomial", max_iter=30, random_state=0).fit(X)
    assert vae.best_iter_ > 10
    start = VAETransformer(2, likelihood="negative_binomial", max_iter=0, random_state=0).fit(X)
    assert vae.score(X) > start.score(X) + 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ordered_categories_against_the_difference_of_sigmoids(dtype):
    family = skvae.Ordinal(n_classes=5)
    numbers = [seeded(3, seed=k) for k in range(4)]
    theta = torch.stack([numbers[0], *(number.exp() for number in numbers[1:])], -1).cumsum(-1)
    eta = torch.linspace(-8, 8, 17).double()[:, None].expand(-1, 3)
    below = torch.sigmoid(theta - eta[..., None])
    expected = torch.diff(below, prepend=torch.zeros(17, 3, 1), append=torch.ones(17, 3, 1)).movedim(-1, 0)
    p = family.distribution(eta.to(dtype), *(number.to(dtype) for number in numbers))
    x = torch.arange(5)[:, None, None].to(dtype)
    torch.testing.assert_close(p.log_prob(x).double(), expected.log(), rtol=1e-5, atol=1e-5)
    far = torch.tensor([[-1e4], [1e4]], dtype=dtype).expand(-1, 3).clone().requires_grad_()
    log_prob = family.distribution(far, *(number.to(dtype) for number in numbers)).log_prob(x)
    (gradient,) = torch.autograd.grad(log_prob[2].sum(), far)
    torch.testing.assert_close(log_prob[0, 1], (theta[:, 0] - 1e4).to(dtype))
    torch.testing.assert_close(gradient, torch.tensor([[1.0], [-1.0]], dtype=dtype).expand(-1, 3))
    narrow = family.distribution(eta.to(dtype), *[torch.full((3,), -30.0, dtype=dtype)] * 4).log_prob(x)
    assert torch.isfinite(narrow).all()


def test_two_ordered_categories_are_bernoulli():
    eta, threshold = seeded(7, 3), seeded(3, seed=1)
    p, bernoulli = skvae.Ordinal(n_classes=2).distribution(eta, threshold), discrete.Bernoulli(logits=eta - threshold)
    for x in (torch.zeros(7, 3).double(), torch.ones(7, 3).double()):
        torch.testing.assert_close(p.log_prob(x), bernoulli.log_prob(x))
    torch.testing.assert_close(p.variance, bernoulli.variance)


@pytest.mark.parametrize("mean", [0.3, 2.0, 3.5])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_ordinal_start_keeps_margins_and_covariances(mean, share):
    """Over z, by simulation, with loadings that are not small: what the indices of a cut normal variable have."""
    rng = np.random.default_rng(0)
    z, e = rng.normal(size=(2, 100_000))
    line = mean + np.sqrt(share) * z + np.sqrt(1 - share) * e
    indices = np.clip(np.round(line), 0, 4)
    loading, family = np.cov(indices, z)[0, 1], skvae.Ordinal(n_classes=5)
    weight, bias, own = family.start(np.array([mean]), np.array([[loading]]), np.array([13 / 12 - loading**2]))
    p = family.distribution(torch.as_tensor(z[:, None] * weight[0] + bias), *map(torch.as_tensor, own))
    np.testing.assert_allclose(p.probs.mean(0)[0], np.bincount(indices.astype(int), minlength=5) / len(z), atol=0.02)
    decoded = (p.probs @ torch.arange(5).double())[:, 0].numpy()
    assert np.cov(decoded, z)[0, 1] == pytest.approx(loading, rel=0.1)


def test_ordinal_numbers_of_classes_are_the_columns():
    family = skvae.Ordinal()
    assert family.for_column(np.array([0.0, 3.0])).n_classes == 4
    assert family.for_column(np.zeros(3)).n_classes == 2
    assert family.for_column(np.array([])).n_classes == 2
    assert skvae.Ordinal(n_classes=7).for_column(np.zeros(3)).n_classes == 7
    numbers = skvae.Ordinal(n_classes=7).own_numbers(3)
    assert [(number.shape, trained) for number, trained in numbers] == [((3,), True)] * 6
    theta = np.cumsum([numbers[0][0], *(np.exp(number) for number, _ in numbers[1:])], axis=0)
    np.testing.assert_allclose(theta, -theta[::-1])  # symmetric about 0 before any start


def test_grades_prefer_ordinal():
    """Seven uneven grades of one latent variable: few rows say more about one slope than about seven."""
    rng = np.random.default_rng(0)
    line = rng.normal(size=(1100, 1)) * rng.uniform(1, 2, 8) + rng.logistic(size=(1100, 8))
    X = np.searchsorted([-3.0, -2.5, -1.0, 0.0, 0.3, 2.0], line).astype(float)
    linear = {"hidden_layer_sizes": (), "learning_rate": 0.01, "max_iter": 100, "early_stopping": False}
    ordinal, categorical = (
        VAETransformer(1, likelihood=name, random_state=0, **linear).fit(X[:100]).score(X[100:])
        for name in ("ordinal", "categorical")
    )
    assert ordinal > categorical + 0.05


class HalfNormal(Family):
    """A user's own family in a few lines: torch's inverse CDF and the generic start do the rest."""

    support = torch.distributions.constraints.nonnegative
    units = "scale"

    def distribution(self, log_scale):
        return td.HalfNormal(log_scale.exp(), validate_args=False)

    def start(self, mean, loadings, noise, resolution=None):
        return loadings / mean[:, None], np.log(mean), []


def test_a_users_own_family_is_a_posterior_too():
    X = load_iris().data
    vae = VAETransformer(2, posterior=MeanField(HalfNormal()), prior=Standard(HalfNormal()), max_iter=2).fit(X)
    assert all(np.isfinite(result).all() for result in results_of_methods(vae, X))
    assert (vae.transform(X) * vae.signs_ > 0).all()


# ---------------------------------------------------------------- one likelihood per column


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    z = rng.normal(size=120)
    return pd.DataFrame(
        {
            "height": z + rng.normal(size=120),
            "visits": rng.poisson(np.exp(0.5 * z)).astype(float),
            "colour": rng.integers(0, 3, 120).astype(float),
            "size": rng.integers(0, 5, 120).astype(float),
            "income": np.exp(z + rng.normal(size=120)),
            "member": z > 0,
        }
    )


def test_likelihood_by_column(frame):
    categories, incomes = skvae.Categorical(), skvae.LogNormal("row")
    likelihood = [("poisson", ["visits"]), (categories, ["colour", "size"]), (incomes, "income")]
    vae = VAETransformer(2, likelihood=likelihood, max_iter=2, random_state=0).fit(frame)
    kinds = {name: repr(family) for name, family in vae.likelihoods_.items()}
    assert kinds == {
        "height": "ContaminatedGaussian(noise='row')",  # two epochs have beaten the initialisation
        "visits": "Poisson()",
        "colour": "Categorical(n_classes=3)",
        "size": "Categorical(n_classes=5)",
        "income": "LogNormal(noise='row')",
        "member": "Bernoulli()",
    }
    assert all(np.isfinite(result).all(axis=None) for result in results_of_methods(vae, frame))
    assert set(np.unique(vae.sample(200, random_state=0)["colour"])) == {0.0, 1.0, 2.0}
    assert set(np.unique(vae.inverse_transform(vae.transform(frame))["size"])) <= set(range(5))
    assert categories.n_classes is None  # the user's own component is not written into
    again = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(again.score_samples(frame), vae.score_samples(frame))
    assert repr(clone(vae)) == repr(vae)
    assert "Categorical()" in repr(vae)
    np.testing.assert_array_equal(clone(vae).fit(frame).score_samples(frame), vae.score_samples(frame))
    with pytest.raises(ValueError, match=r"Column 'size' has the value 5, outside the support"):
        vae.score(frame.assign(size=5.0))


def test_columns_of_arrays(frame):
    X = frame.to_numpy(dtype=float)
    mask = [False, False, False, False, True, False]
    specification = [("poisson", slice(1, 2)), ("categorical", [2, 3]), ("gamma", mask), ("bernoulli", -1)]
    fitted = VAETransformer(2, likelihood=specification, max_iter=1, random_state=0).fit(X)
    names = [type(family).__name__ for family in fitted.likelihoods_.values()]
    assert names == ["ContaminatedGaussian", "Poisson", "Categorical", "Categorical", "Gamma", "Bernoulli"]
    counts = sparse.csr_matrix(X[:, 1:4])
    wide = VAETransformer(2, likelihood=[("poisson", [0]), ("categorical", [1, 2])], max_iter=1).fit(counts)
    assert [family.n_raw for family in wide.likelihoods_.values()] == [1, 3, 5]
    same = VAETransformer(2, likelihood=[("poisson", slice(None))], max_iter=1, random_state=0).fit(counts)
    alike = VAETransformer(2, likelihood="poisson", max_iter=1, random_state=0).fit(counts)
    assert same.score(counts) == alike.score(counts)


@pytest.mark.parametrize(
    ("likelihood", "message"),
    [
        ([("poisson", ["visits"]), ("gaussian", ["visits"])], "names column 'visits' twice"),
        ([("auto", ["visits"]), ("auto", "visits")], "names column 'visits' twice"),
        ([("poisson", ["visits", "visits"])], "names column 'visits' twice"),
        ([("poisson", ["clicks"])], "names the column 'clicks', which X does not have"),
        ([("poisson", [9])], "names the column 9, which X does not have"),
        (
            [("poison", ["visits"])],
            r"for columns \['visits'\] must be one of .*Family. Got 'poison'",
        ),
        ([("cauchy", ["height"])], "must be one of"),
        ([(skvae.Cauchy(), ["height"])], r"no column can be of it, but \['height'\] are to be"),
        (["poisson"], r"must be pairs \(likelihood, columns\)"),
        ([("poisson", [True, False])], "bool mask .* has 2 entries; X has 6 columns"),
        ([("poisson", ["height"])], "Column 'height' has the value .*, outside the support"),
        ([("categorical", ["height"])], "Column 'height' has the value .*, outside the support"),
    ],
)
def test_bad_likelihood_lists(frame, likelihood, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(2, likelihood=likelihood, max_iter=1).fit(frame)


def test_names_need_a_frame_and_lists_have_no_parameters(frame):
    vae = VAETransformer(2, likelihood=[("poisson", ["visits"])])
    with pytest.raises(ValueError, match="it has 6 columns without names"):
        vae.fit(frame.to_numpy(dtype=float))
    with pytest.raises(ValueError, match="has no parameters"):
        vae.set_params(likelihood__noise="row")
    assert vae.set_params(likelihood="laplace").set_params(likelihood__noise="row").likelihood.noise == "row"


def test_a_list_of_likelihoods_goes_on(frame):
    make = lambda: VAETransformer(2, likelihood=[("poisson", ["visits"])], random_state=0)  # noqa: E731
    twice = make().partial_fit(frame).partial_fit(frame)
    once = make().set_params(max_iter=2, early_stopping=False).fit(frame)
    for name, tensor in once.module_.state_dict().items():
        assert torch.equal(tensor, twice.module_.state_dict()[name])
    with pytest.raises(ValueError, match="'likelihood' parameter of VAETransformer cannot change"):
        twice.set_params(likelihood=[("negative_binomial", ["visits"])]).partial_fit(frame)


def test_columns_share_a_distribution_within_an_entry():
    info = Schema.learn(np.zeros((3, 4)))
    X = np.array([[0.0, 1, 2, 0], [1.0, 1, 0, 1], [2.0, 2, 1, 3]])
    columns = Columns.decide(X, info, [(skvae.Categorical(), [0, 1, 2, 3])], "standard")
    assert [positions for _, positions in columns.groups] == [[0, 1, 2], [3]]


# ---------------------------------------------------------------- joint posteriors


@pytest.mark.parametrize("how", ["push", "rsample"])
@pytest.mark.parametrize("name", JOINT)
def test_joint_draws_match_their_marginals(name, how):
    head = JOINT[name][0]().build(3).double()
    q = head(seeded(1, head.n_raw))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = getattr(head, how)(q, seeded(3000, 1, head.n_noise, seed=3))
    assert z.shape == (3000, 1, 3)
    assert joint_log_prob(q, z).shape == (3000, 1)
    factors = head.marginals(q)
    torch.testing.assert_close(factors.mean, head.center(q))
    for k in range(3):
        if name == "dirichlet":
            cdf = stats.beta(factors.concentration1[0, k].item(), factors.concentration0[0, k].item()).cdf
        else:
            cdf = stats.t(5, factors.loc[0, k].item(), factors.scale[0, k].item()).cdf
        assert stats.kstest(z[:, 0, k].numpy(), cdf).pvalue > 1e-3
    covariance = torch.cov(z[:, 0].T)
    if name == "elliptical":  # fourth moments are finite for df = 5, but only just
        torch.testing.assert_close(covariance, q.covariance_matrix[0], rtol=0.25, atol=0.25)
    else:
        alpha = q.concentration[0]
        expected = -alpha[0] * alpha[1] / alpha.sum() ** 2 / (alpha.sum() + 1)
        assert covariance[0, 1].item() == pytest.approx(expected.item(), rel=0.15)


def test_dirichlet_kl_is_torchs_and_matches_monte_carlo():
    head, p = DirichletPosterior().build(3).double(), DirichletPrior(0.5).build(3).double()()
    q = head(seeded(1, 3))
    z = head.push(q, seeded(20_000, 1, 3))
    log_ratio = joint_log_prob(q, z) - joint_log_prob(p, z)
    assert kl(q, p).item() == pytest.approx(log_ratio.mean().item(), abs=5 * log_ratio.std().item() / np.sqrt(20_000))
    one, other = marginals(q), marginals(p)
    assert kl(one, other).shape == (1, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", JOINT)
def test_joint_posteriors_stay_finite_at_extreme_numbers(name, dtype):
    head, prior = JOINT[name][0]().build(2).to(dtype), JOINT[name][1]().build(2).to(dtype)
    raw = torch.cartesian_prod(*[torch.tensor([-30.0, 0.0, 30.0])] * head.n_raw).to(dtype)
    q, u = head(raw), torch.cartesian_prod(*[torch.tensor([-6.0, 0.0, 6.0])] * head.n_noise)[:, None].to(dtype)
    z = head.push(q, u)
    assert z.dtype == dtype
    for tensor in (z, q.log_prob(z), prior().log_prob(z), head.center(q), kl(q, prior(), z)):
        assert torch.isfinite(tensor).all()


def test_elliptical_start_matches_moments():
    rng = np.random.default_rng(0)
    A, c, root = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=(3, 3))
    covariance = root @ root.T + np.eye(3)
    head = Elliptical(df=6.0).build(3).double()
    weight, bias, basis, offset = head.start(c, A, covariance)
    x = rng.normal(size=(7, 5))
    q = head(torch.as_tensor(x @ weight.T + bias))
    np.testing.assert_allclose(q.mean.numpy() @ basis.T + offset, x @ A.T + c)
    np.testing.assert_allclose(basis @ q.covariance_matrix[0].numpy() @ basis.T, covariance, rtol=1e-6)


def test_dirichlet_start_is_near_its_prior():
    K, variance = 4, 0.3
    head = DirichletPosterior().build(K).double()
    weight, bias, basis, offset = head.start(np.zeros(K), np.sqrt(1 - variance) * np.eye(K), variance * np.eye(K))
    x = np.random.default_rng(0).normal(size=(4000, K))
    z = head.push(head(torch.as_tensor(x @ weight.T + bias)), seeded(1, 4000, K))[0].numpy()
    for k in range(K):
        assert stats.kstest(z[:, k], stats.beta(1, K - 1).cdf).statistic < 0.1
    t = z @ basis.T + offset
    assert np.corrcoef(t[:, 0], x[:, 0])[0, 1] > 0.5


# ---------------------------------------------------------------- a background


def wild(rows=200, seed=0):
    """Four columns of one code, and a copy in which a single cell lies a million standard deviations out."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 1)) @ rng.normal(size=(1, 4)) + 0.3 * rng.normal(size=(rows, 4))
    spoilt = X.copy()
    spoilt[3, 1] += 1e5 * X[:, 1].std()
    return X, spoilt


@pytest.mark.parametrize("settings", [{}, {"background": 0.0}, {"noise": "feature"}])
def test_the_main_training_is_the_same_with_and_without_a_background(settings):
    X, _ = wild()
    scores = [
        VAETransformer(2, likelihood=family, max_iter=0, random_state=0).fit(X).score_samples(X)
        for family in (skvae.Gaussian(noise="feature", background=0.0), skvae.Gaussian(**settings))
    ]
    np.testing.assert_array_equal(*scores)
    numbers = [skvae.Gaussian(**p).own_numbers(3) for p in (settings, {"noise": "feature", "background": 0.0})]
    assert str(numbers[0]) == str(numbers[1])


@pytest.mark.parametrize(
    ("family", "without_atom", "with_atom", "afterwards"),
    [
        (skvae.Gaussian(), skvae.ContaminatedGaussian("row"), None, skvae.ContaminatedGaussian()),
        (
            skvae.Gaussian("auto", 0.01, 0.02),
            skvae.ContaminatedGaussian("row", 0.01, 0.02),
            None,
            skvae.ContaminatedGaussian("feature", 0.01, 0.02),
        ),
        (skvae.Gaussian("feature"), None, None, skvae.ContaminatedGaussian()),
        *[(f, None, None, None) for f in (skvae.Gaussian("shared"), skvae.Gaussian(0.5), skvae.Gaussian(background=0))],
        *[(f, None, None, None) for f in (skvae.Gaussian("row"), skvae.Laplace(), skvae.ContaminatedGaussian())],
    ],
    ids=repr,
)
def test_families_around_training(family, without_atom, with_atom, afterwards):
    assert repr(family.in_training(has_atom=False)) == repr(without_atom or family)
    assert repr(family.in_training(has_atom=True)) == repr(with_atom or family)
    assert repr(family.with_background()) == repr(afterwards)


@pytest.mark.parametrize("name", ["auto", "feature"])
def test_a_richer_start_says_nearly_what_the_family_said(name):
    """Its share of the background is the only difference."""
    plain = skvae.Gaussian(name, background=1e-6)
    rich = plain.in_training(has_atom=False) if name == "auto" else plain.with_background()
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=4), 0.5 * rng.normal(size=(4, 2)), np.full(4, 0.3), np.full(4, 0.01)
    z, noise = torch.from_numpy(rng.normal(size=(50, 2))), torch.from_numpy(rng.normal(size=(50, 4)))
    x = torch.from_numpy(numbers[0]) + z @ torch.from_numpy(numbers[1]).mT + 0.3**0.5 * noise
    scores = []
    for family in (plain, rich):
        weight, bias, own = family.start(*numbers)
        head = FamilyHead(family, 4).double()
        for parameter, number in zip(head.own, own, strict=True):
            parameter.data.copy_(torch.as_tensor(number).expand(parameter.shape))
        scores.append(head(z @ torch.from_numpy(weight).mT + torch.from_numpy(bias)).log_prob(x).detach())
    torch.testing.assert_close(*scores, rtol=0, atol=1e-4)
    assert (scores[0] != scores[1]).any()
    np.testing.assert_allclose(own[-2], numbers[0])
    np.testing.assert_allclose(np.square(own[-1]), np.square(numbers[1]).sum(1) + 0.3)


def test_a_variance_per_row_has_a_background():
    X, spoilt = wild()
    row = VAETransformer(2, likelihood=skvae.Gaussian(noise="row"), max_iter=3, random_state=0).fit(X)
    assert {repr(f) for f in row.likelihoods_.values()} == {"ContaminatedGaussian(background=1e-06, noise='row')"}
    plain = skvae.Gaussian(noise="row", background=0.0)
    start, linear = (
        VAETransformer(2, likelihood=f, max_iter=0, random_state=0).fit(X) for f in ("gaussian", row.likelihood)
    )
    assert linear.score(X) == pytest.approx(start.score(X), abs=1e-3)
    bare = VAETransformer(2, likelihood=plain, max_iter=0, random_state=0).fit(X)
    assert {repr(f) for f in bare.likelihoods_.values()} == {repr(plain)}
    assert bare.score(spoilt) < -1e6
    assert linear.score_columns(spoilt)[3, 1] > linear.score_columns(X)[3, 1] - 60


def test_a_power_transformation_leaves_no_background_to_be_chosen():
    """The image of a heavy tail under exp has no mean, so that a decoded column would have none."""
    X = np.exp(wild()[0])
    family = skvae.Gaussian(noise="row")
    vae = VAETransformer(2, likelihood=[(family, [0, 1])], scaling="power", max_iter=1, random_state=0).fit(X)
    assert repr(vae.likelihoods_["x0"]) == repr(family)
    assert np.abs(vae.inverse_transform(vae.transform(X))).max() < 10 * X.max()
    assert suits(family, "power")
    assert not suits(family.for_column(X[:, 0]), "power")
    assert suits(family.for_column(X[:, 0]), "quantile")


def test_a_posterior_of_normals_has_no_background():
    for family in (skvae.Gaussian(), skvae.Gaussian("row")):
        assert repr(family.amortized()) == "Gaussian(background=0.0, floor=1e-09, noise='row')"
    with pytest.raises(ValueError, match="'family' parameter of MeanField must be"):
        VAETransformer(2, posterior=MeanField("contaminated_gaussian"), max_iter=0).fit(load_iris().data)
