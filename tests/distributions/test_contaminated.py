"""The contaminated normal against scipy's two parts, quadrature and draws, near its centre and far out."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import expit, logit

from skvae.distributions.contaminated import Contaminated, StudentT3
from skvae.distributions.univariate import Normal

E, LOC, SCALE, CENTER, SPREAD = 0.03, 1.5, 0.2, -0.5, 2.0
FAR = np.array([-1e6, -300.0, -8.0, -0.5, 1.0, 1.5, 3.0, 25.0, 1e4, 1e9])


def contaminated(e=E, loc=LOC, scale=SCALE, center=CENTER, spread=SPREAD, dtype=torch.float64):
    loc, scale, center, spread, eta = (torch.tensor(v, dtype=dtype) for v in (loc, scale, center, spread, logit(e)))
    return Contaminated(Normal(loc, scale), StudentT3(center, spread), eta)


def oracle(name, x, e=E):
    normal, background = stats.norm(LOC, SCALE), stats.t(3, CENTER, SPREAD)
    return (1 - e) * getattr(normal, name)(x) + e * getattr(background, name)(x)


def test_three_degrees_of_freedom_against_scipy():
    p, theirs = StudentT3(torch.tensor(0.25).double(), torch.tensor(2.0).double()), stats.t(3, 0.25, 2.0)
    x = np.concatenate([sign * np.geomspace(1e-3, 1e8, 200) for sign in (-1, 1)])
    np.testing.assert_allclose(p.log_prob(torch.from_numpy(x)), theirs.logpdf(x), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(p.cdf(torch.from_numpy(x)), theirs.cdf(x), rtol=1e-12)
    np.testing.assert_allclose(p.log_cdf(torch.from_numpy(x)), theirs.logcdf(x), rtol=1e-12)
    u = torch.linspace(-25, 25, 501).double()
    below = theirs.ppf(stats.norm.cdf(-u.abs().numpy())) - 0.25
    np.testing.assert_allclose(p.quantile(u), 0.25 - np.sign(u.numpy()) * below, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(
        StudentT3(p.loc.float(), p.scale.float()).quantile(u.float() / 5), p.quantile(u / 5), rtol=2e-5
    )
    np.testing.assert_allclose([p.mean, p.variance], theirs.stats("mv"))
    assert p.expand((4, 2)).log_prob(torch.zeros(4, 2).double()).shape == (4, 2)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_density_and_cdf_against_scipy(dtype, rtol):
    p, x = contaminated(dtype=dtype), torch.as_tensor(FAR, dtype=dtype)
    assert p.log_prob(x).dtype == dtype
    np.testing.assert_allclose(p.log_prob(x), np.log(oracle("pdf", x.double().numpy())), rtol=rtol)
    np.testing.assert_allclose(p.cdf(x), oracle("cdf", x.double().numpy()), rtol=10 * rtol)


def test_moments_against_quadrature():
    p = contaminated()
    moments = [0.0, 0.0]
    for k in (1, 2):  # tails like x^-4: the second moment converges slowly, and in pieces
        pieces = [(-np.inf, -50), (-50, 0.5), (0.5, 2.5), (2.5, 50), (50, np.inf)]
        moments[k - 1] = sum(integrate.quad(lambda x, k=k: x**k * oracle("pdf", x), *ends)[0] for ends in pieces)
    assert p.mean.item() == pytest.approx(moments[0], rel=1e-9)
    assert p.variance.item() == pytest.approx(moments[1] - moments[0] ** 2, rel=1e-7)


@pytest.mark.parametrize("e", [0.03, 0.999])
def test_the_mode_is_that_of_the_higher_peak(e):
    x = np.linspace(-5, 5, 20_001)
    assert contaminated(e).mode.item() == pytest.approx(x[oracle("pdf", x, e).argmax()], abs=2e-3)


def test_draws():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = contaminated(0.3).sample((4000,)).numpy()
        shape = contaminated(loc=[0.0, 1.0]).sample((3, 4)).shape
    assert stats.kstest(drawn, lambda x: oracle("cdf", x, 0.3)).pvalue > 1e-3
    assert shape == (3, 4, 2)


@pytest.mark.parametrize("e", [1e-6, 1e-3, 0.3, 0.9])
def test_quantiles_invert_the_cdf_in_both_tails(e):
    """Where the background takes over, between two groups and at probabilities that 1 - p has no digits for."""
    p = contaminated(e)
    u = torch.linspace(-30, 30, 601, dtype=torch.float64)
    x = p.quantile(u)
    lower = u < 0
    np.testing.assert_allclose(p.cdf(x[lower]), torch.special.log_ndtr(u[lower]).exp(), rtol=1e-9)
    upper = oracle("sf", x[~lower].numpy(), e)
    np.testing.assert_allclose(upper, torch.special.log_ndtr(-u[~lower]).exp(), rtol=1e-9)
    assert (x.diff() > 0).all()
    inside = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    np.testing.assert_allclose(p.cdf(p.icdf(inside)), inside, rtol=1e-12)


def test_quantiles_of_any_shares_and_scales():
    """Random parameters over the whole range that training can reach: x is right to a billionth of a scale."""
    rng, n = np.random.default_rng(0), 20_000
    spread = 10 ** rng.uniform(-2, 2, n)
    center = rng.normal(size=n)
    scale, loc = spread * 10 ** rng.uniform(-2, 0.5, n), center + 3 * spread * rng.normal(size=n)
    u = torch.from_numpy(rng.uniform(-30, 30, n))
    p = contaminated(expit(rng.uniform(-15, 15, n)), loc, scale, center, spread)
    x = p.quantile(u)
    side = torch.where(u > 0, -1.0, 1.0).double()
    mirrored = p._mirrored(side)
    step = 1e-9 * (x.abs() + torch.from_numpy(np.minimum(scale, spread)))
    target = torch.special.log_ndtr(-u.abs()).exp()
    assert (mirrored.cdf(side * x - step) < target).all()
    assert (target < mirrored.cdf(side * x + step)).all()
    narrow = contaminated(expit(rng.uniform(-15, 15, n)), loc, scale, center, spread, torch.float32)
    assert narrow.quantile(u.float() / 3).isfinite().all()


def test_one_wild_cell_costs_tens_of_nats_and_moves_nothing():
    """Against 5e11 nats of a normal; up to a million standard deviations the background charges ln(1000) + 4 ln x."""
    loc = torch.zeros(1, requires_grad=True)
    log_scale, eta = torch.zeros(1, requires_grad=True), torch.tensor([float(logit(1e-3))], requires_grad=True)
    p = Contaminated(Normal(loc, log_scale.exp()), StudentT3(torch.zeros(1), torch.ones(1)), eta)
    at = torch.tensor([0.0, 1e3, 9e5])
    cost = p.log_prob(at[:1]) - p.log_prob(at)
    expected = stats.norm.logpdf(0) - np.log(1e-3) - stats.t(3).logpdf([1e3, 9e5])  # 32.4 and 59.6
    np.testing.assert_allclose(cost[1:].detach(), expected, atol=1e-2)
    assert cost[2] < 60
    gradients = torch.autograd.grad(p.log_prob(torch.tensor([1e3, 1e6, 1e12])).sum(), (loc, log_scale, eta))
    assert gradients[0] == gradients[1] == 0
    assert gradients[2].item() == pytest.approx(3, abs=0.01)  # each of the three cells raises the log-odds, by 1 - e
