"""p(x given z) in data space is one distribution: its moments are those of its draws."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from skvae import ContaminatedGaussian, Gaussian, VAETransformer
from skvae.families import LIKELIHOODS

pytestmark = pytest.mark.one_in(4)

N_DRAWS = 20_000
SCALINGS = [None, "standard", "global", "power", "quantile"]


def real(n=300, seed=0):
    """Skewed, three quarters zeros, a share, two groups, whole numbers."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    return np.c_[
        np.exp(z + 0.3 * rng.normal(size=n)),
        np.where(z > 0.7, np.exp(z + 0.5 * rng.normal(size=n)), 0.0).round(1),
        1 / (1 + np.exp(-2 * z - rng.normal(size=n))),
        rng.choice([-3.0, 3.0], n) + z,
        np.rint(18 + 20 * np.abs(z)),
    ]


def positive():
    return real()[:, [0, 2, 4]]


def fractions():
    return real()[:, [2]] * 0.98 + 0.01


def counts():
    return real()[:, [4]] // 8


def flags():
    return (real()[:, :2] > 1).astype(float)


TABLES = {
    **dict.fromkeys(("gaussian", "contaminated_gaussian", "laplace", "student_t", "logistic", "gumbel"), real),
    **dict.fromkeys(("gamma", "log_normal"), positive),
    **dict.fromkeys(("beta", "continuous_bernoulli"), fractions),
    "bernoulli": flags,
}


def table(likelihood):
    return TABLES.get(likelihood, fractions if "beta" in likelihood else counts)()


def of_draws(p):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return p.sample((N_DRAWS,)).numpy()


#: Not those of categories, and not exp(t): they have no mean.
HEAVY = "student_t", "contaminated_gaussian"
WITH_MEAN = [
    (scaling, likelihood)
    for scaling in SCALINGS
    for likelihood in LIKELIHOODS
    if likelihood not in ("categorical", "ordinal") and not (scaling == "power" and likelihood in HEAVY)
]


@pytest.mark.parametrize(("scaling", "likelihood"), WITH_MEAN, ids=str)
def test_mean_and_variance_are_those_of_draws(likelihood, scaling):
    X = table(likelihood)
    family = Gaussian(background=0) if likelihood == "gaussian" else likelihood
    vae = VAETransformer(2, likelihood=family, scaling=scaling, max_iter=2, random_state=0).fit(X)
    Z = [[0.0, 0.0], [1.0, -1.0], [-2.0, 0.5]]
    p = vae.decode(Z)
    drawn, mean, variance = of_draws(p), p.mean.numpy(), p.variance.numpy()
    np.testing.assert_allclose(vae.inverse_transform(Z), mean, rtol=1e-5, atol=1e-5)
    standard_error = drawn.std(0) / np.sqrt(N_DRAWS)
    assert (np.abs(mean - drawn.mean(0)) <= 4 * standard_error + 1e-3 * X.std(0)).all()
    squares = np.square(drawn - drawn.mean(0))
    limit = 4 * squares.std(0) / np.sqrt(N_DRAWS) + 0.02 * variance + 3e-3 * X.var(0)  # for tails that no draw hit
    assert (np.abs(variance - squares.mean(0)) <= limit).all()
    if scaling == "quantile" and TABLES.get(likelihood) is real:
        for values in (drawn, mean, p.mode.numpy()):
            assert (values.min((*range(values.ndim - 1),)) >= X.min(0) - 1e-9).all()
            assert (values.max((*range(values.ndim - 1),)) <= X.max(0) + 1e-9).all()


@pytest.mark.parametrize(
    "likelihood", ["gaussian", "contaminated_gaussian", "laplace", "student_t", "logistic", "gumbel"]
)
@pytest.mark.parametrize("scaling", ["power", "quantile"])
def test_quantiles_of_draws_are_images_of_quantiles(likelihood, scaling):
    """A monotone map takes quantiles to quantiles: the share of draws below an image is that below its origin."""
    vae = VAETransformer(2, likelihood=likelihood, scaling=scaling, max_iter=2, random_state=0).fit(real())
    p = vae.decode([[0.5, -0.5]])
    drawn, u = of_draws(p), torch.linspace(-1.5, 1.5, 7, dtype=torch.float64)
    [(family, _, part)] = p.likelihood.parts(p.p)
    images = vae.fitted_.columns.to_data(family.push(part, u.to(p.p.mean)[:, None, None]))
    for level, image in zip(stats.norm.cdf(u), images, strict=True):
        below, up_to = (drawn < image - 1e-6).mean(0), (drawn <= image + 1e-6).mean(0)
        limit = 4 * np.sqrt(level * (1 - level) / N_DRAWS) + 1e-3
        assert (below - limit <= level).all()
        assert (level <= up_to + limit).all()


@pytest.mark.parametrize("others", ["contaminated_gaussian", "laplace", "poisson"])
def test_a_large_background_counts_with_its_share(others):
    """In moments of transformed columns, next to columns that are no mixtures or have no transformation."""
    X = real(seed=1)
    X[:, 3] = np.abs(X[:, 3]).round()
    likelihood = [(ContaminatedGaussian(background=0.4), [4, 0, 1]), (others, [3, 2] if others != "poisson" else [3])]
    vae = VAETransformer(2, likelihood=likelihood, scaling="quantile", max_iter=0, random_state=0).fit(X)
    p = vae.decode([[1.5, -1.5], [0.0, 0.0]])
    drawn, mean = of_draws(p), p.mean.numpy()
    assert (np.abs(mean - drawn.mean(0)) <= 4 * drawn.std(0) / np.sqrt(N_DRAWS) + 1e-3 * X.std(0)).all()
    np.testing.assert_allclose(p.variance.numpy(), drawn.var(0), rtol=0.1)
    np.testing.assert_allclose(vae.inverse_transform([[1.5, -1.5], [0.0, 0.0]]), mean, rtol=1e-5)


def test_the_density_is_that_of_draws_inside_the_range():
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(500, 1)) + rng.normal(size=(500, 2)) / 2)
    vae = VAETransformer(1, scaling="quantile", max_iter=0, random_state=0).fit(X)
    p = vae.decode([[0.3]])
    drawn = of_draws(p)[:, 0]
    for d in range(2):
        grid = np.linspace(X[:, d].min(), X[:, d].max(), 4001)
        middle = np.repeat((grid[1:, None] + grid[:-1, None]) / 2, 2, 1)
        density = np.exp(p.log_prob(middle)[:, d].numpy())
        cumulative = np.cumsum(density * np.diff(grid))
        for at in (500, 1000, 2000, 3000):
            inside = (drawn[:, d] > grid[0]) & (drawn[:, d] <= grid[at + 1])  # the least value is an atom
            assert cumulative[at] == pytest.approx(inside.mean(), abs=0.02)
    beyond = vae.decode([[0.3]]).log_prob(2 * X.max(0)[None])
    assert beyond.isfinite().all()


def test_imputed_means_are_those_of_imputed_draws_and_in_range():
    rng = np.random.default_rng(0)
    wet, base = rng.random((150, 1)) < 0.4, rng.gamma(1, 5, (150, 1))
    rain = np.where((rng.random((150, 4)) < 0.8) & wet, base * rng.gamma(5, 0.2, (150, 4)), 0.0).round(1)
    missing = rng.random(rain.shape) < 0.2
    table = pd.DataFrame(rain, columns=list("abcd")).mask(missing)
    vae = VAETransformer(2, max_iter=20, scaling="quantile", random_state=0).fit(table)
    mean = vae.impute(table).to_numpy()[missing]
    draws = np.array([t.to_numpy()[missing] for t in vae.impute(table, n_draws=200, random_state=0)])
    assert mean.min() >= 0
    assert draws.min() >= 0
    standard_error = draws.std(0) / np.sqrt(200)
    off = np.abs(mean - draws.mean(0)) / (standard_error + 0.05)  # draws have one decimal
    assert np.quantile(off, 0.95) < 3
    assert mean.mean() == pytest.approx(draws.mean(), abs=0.1)
