"""Starts of columns whose likelihood is not normal: never below independent columns of the same family."""

import numpy as np
import pytest
from scipy import stats

from skvae import VAETransformer

pytestmark = pytest.mark.one_in(2)

N, D = 600, 5


def dispersed_counts(seed=0, factor=0.8):
    """Negative binomial counts with variance m + m^2, whose log means share a factor."""
    rng = np.random.default_rng(seed)
    mean = 5 * np.exp(factor * rng.normal(size=(N, 1)) - factor**2 / 2) * np.ones(D)
    return rng.poisson(mean * rng.gamma(1.0, size=(N, D))).astype(float)


def heavy(seed=0):
    """Student's t with two degrees of freedom around two factors."""
    rng = np.random.default_rng(seed)
    return 0.7 * rng.normal(size=(N, 2)) @ rng.normal(size=(2, D)) + rng.standard_t(2, size=(N, D))


def skewed(seed=0):
    return np.exp(1.5 * np.random.default_rng(seed).normal(size=(N, D)))


def fitted_by_scipy(family, X):
    """The mean log-density of independent columns, each at its maximum of the likelihood."""
    member = {"laplace": stats.laplace, "gumbel": stats.gumbel_r, "logistic": stats.logistic}[family]
    return sum(member(*member.fit(x)).logpdf(x).mean() for x in X.T)


@pytest.mark.parametrize("init", ["pca", "early_factor_analysis"])
@pytest.mark.parametrize("n_components", [2, 4])
@pytest.mark.parametrize("factor", [0.0, 0.8])
def test_dispersed_counts_start_above_independent_ones(factor, n_components, init):
    """Poisson's maximum is the mean; the slopes behind its log link used to cost up to a million nats."""
    X = dispersed_counts(factor=factor)
    vae = VAETransformer(n_components, likelihood="poisson", init=init, max_iter=0, random_state=0).fit(X)
    assert vae.score(X) > stats.poisson(X.mean(0)).logpmf(X).sum(1).mean()


def test_negative_binomial_counts_start_above_independent_ones():
    X = dispersed_counts()
    mean, variance = X.mean(0), X.var(0)
    dispersion = (variance - mean) / mean**2
    independent = stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)).logpmf(X).sum(1).mean()
    vae = VAETransformer(4, likelihood="negative_binomial", max_iter=0, random_state=0).fit(X)
    assert vae.score(X) > independent


@pytest.mark.parametrize("make", [heavy, skewed])
@pytest.mark.parametrize("family", ["laplace", "gumbel", "logistic"])
def test_heavy_tails_start_near_independent_ones(family, make):
    """Within a fifteenth of a nat per column, for what lies between two values that are tried."""
    X = make()
    vae = VAETransformer(2, likelihood=family, max_iter=0, random_state=0).fit(X)
    assert vae.score(X) > fitted_by_scipy(family, X) - D / 15


def test_what_fits_stays_as_it_is_solved():
    """Logistic noise around a factor: the slopes are those of the linear model, to the last bit."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 1)) @ rng.normal(size=(1, D)) * 3 + rng.logistic(size=(N, D)) * 0.4
    normal, logistic = (
        VAETransformer(1, likelihood=family, init="pca", max_iter=0, random_state=0).fit(X).module_.decoder.affine
        for family in ("gaussian", "logistic")
    )
    np.testing.assert_array_equal(normal.weight.detach(), logistic.weight.detach())


def test_other_columns_keep_what_they_say_of_a_code():
    """A column of counts that fits badly is left out; normal columns beside it keep their slopes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 1)) @ np.ones((1, D)) + 0.3 * rng.normal(size=(N, D))
    counts = rng.poisson(3 * rng.gamma(0.1, 10, size=N))
    likelihood = [("poisson", [D])]
    vae = VAETransformer(1, likelihood=likelihood, init="factor_analysis", max_iter=0, random_state=0).fit(
        np.c_[X, counts]
    )
    alone = VAETransformer(1, init="factor_analysis", max_iter=0, random_state=0).fit(X)
    independent = stats.poisson(counts.mean()).logpmf(counts).mean()
    assert vae.score(np.c_[X, counts]) > alone.score(X) + independent - 0.1
