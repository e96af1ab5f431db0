"""Codes on a sphere: Bessel functions, density, draws and KL against scipy and integrals; fits on directions."""

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from sklearn.datasets import load_iris
from torch.distributions import kl_divergence

from skvae import UniformSphere, VAETransformer, VonMisesFisher
from skvae.distributions.spherical import VonMisesFisher as Distribution
from skvae.distributions.spherical import log_area, log_h_and_mean

pytestmark = pytest.mark.one_in(2)

IRIS = load_iris().data
KAPPA = np.array([0.01, 0.5, 3.0, 40.0, 900.0, 3000.0])


def axis(K, kappa):
    """Distributions about the first axis, (B, K), in float64."""
    loc = torch.eye(K, dtype=torch.float64)[0].expand(len(kappa), K)
    return Distribution(loc, torch.as_tensor(kappa, dtype=torch.float64))


@pytest.mark.parametrize("K", [2, 3, 8, 51, 90])
def test_bessel_functions_against_scipy(K):
    """Olver's expansion leaves 1e-9 at order 32; ratios lose nothing of it on the way down."""
    order = K / 2 - 1
    log_h, mean = log_h_and_mean(K, torch.as_tensor(KAPPA))
    bessel, above = special.ive(order, KAPPA), special.ive(order + 1, KAPPA)
    is_finite = above > 1e-290
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = special.gammaln(K / 2) + order * np.log(2 / KAPPA) + np.log(bessel), above / bessel
    np.testing.assert_allclose(log_h.numpy()[is_finite], expected[0][is_finite], atol=2e-9, rtol=0)
    np.testing.assert_allclose(mean.numpy()[is_finite], expected[1][is_finite], rtol=1e-9)
    assert is_finite[1:].all()


@pytest.mark.parametrize("K", [2, 3, 6])
def test_density_and_kl_against_scipy_and_an_integral(K):
    kappa = KAPPA[1:4]
    q = axis(K, kappa)
    z = stats.uniform_direction(K, seed=0).rvs(7)
    for i, number in enumerate(kappa):
        expected = stats.vonmises_fisher(np.eye(K)[0], number).logpdf(z)
        np.testing.assert_allclose(q.log_prob(torch.as_tensor(z)[:, None])[:, i], expected, atol=1e-8)
        expected = stats.vonmises_fisher(np.eye(K)[0], number).entropy()
        np.testing.assert_allclose(q.entropy()[i], expected, atol=1e-8)

        def integrand(t, log_q=lambda t, i=i: q.log_prob(torch.eye(K).double()[0] * np.cos(t))[i].item()):
            return np.exp(log_q(t) + log_area(K - 1)) * np.sin(t) ** (K - 2) * (log_q(t) + log_area(K))

        kl = kl_divergence(q, UniformSphere().build(K)())[i].item()
        assert kl == pytest.approx(integrate.quad(integrand, 0, np.pi, epsabs=1e-11)[0], abs=1e-8)


def test_without_concentration_a_code_costs_nothing():
    """kappa^2 / 2 K to the leading order, and the distribution is uniform."""
    q, p = axis(5, [1e-3]), UniformSphere().build(5)()
    assert kl_divergence(q, p).item() == pytest.approx(1e-6 / 10, rel=1e-2)
    torch.testing.assert_close(
        q.log_prob(torch.eye(5).double()[2]), torch.tensor([-log_area(5)]).double(), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("K", [2, 3, 6, 10, 50, 200])
def test_draws_have_the_angle_and_no_other_preference(K):
    """The cosine by scipy's draws and its mean, the rest uniform; 3000 draws, p above one in a thousand."""
    generator = torch.Generator().manual_seed(0)
    q = axis(K, [0.01, 2.0, 300.0])
    z = q.push(torch.randn(3000, 3, K + 1, generator=generator, dtype=torch.float64))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(3000, 3).double())
    for i in range(3):
        drawn = stats.vonmises_fisher(np.eye(K)[0], q.concentration[i].item()).rvs(3000, random_state=1)
        assert stats.ks_2samp(z[:, i, 0].numpy(), drawn[:, 0]).pvalue > 1e-3
        assert stats.ks_2samp(z[:, i, -1].numpy(), drawn[:, -1]).pvalue > 1e-3
    torch.testing.assert_close(z.var(0), q.variance, rtol=0.15, atol=0)
    error = (q.variance / 3000).sqrt()
    assert bool(((z.mean(0) - q.mean).abs() < 4 * error).all())


WIDE = np.array([0.05, 2.7, 20.0, 148.0, 2900.0])
QUANTILES = np.linspace(-6, 6, 25)


def angles(K, kappa, u):
    """Angles to mu of draws with the noise u, and their derivatives by kappa, (...) as kappa and u broadcast to."""
    kappa, u = (torch.from_numpy(number.copy()) for number in np.broadcast_arrays(kappa, u))
    noise = torch.cat([torch.ones(*u.shape, K), u.unsqueeze(-1)], -1)
    z = Distribution(torch.eye(K).double()[0].expand(*u.shape, K), kappa.requires_grad_()).push(noise)
    angle = torch.atan2(z[..., 1:].norm(dim=-1), z[..., 0])
    (slope,) = torch.autograd.grad(angle.sum(), kappa)
    return angle.detach().numpy(), slope.numpy()


def density_of_angles(K, kappa):
    """A grid of 200 000 angles, closer at both ends, and the shares of the trapezoid rule between neighbours."""
    t = np.pi * np.sin(np.linspace(0, np.pi / 2, 200_001)) ** 2
    log_f = special.xlogy(K - 2, np.sin(t)) + kappa * np.cos(t)
    f = np.exp(log_f - log_f.max())
    share = (f[1:] + f[:-1]) * np.diff(t)
    return t, share / share.sum()


@pytest.mark.parametrize("K", [2, 3, 10, 50, 200])
def test_angles_are_quantiles_out_to_six_deviations(K):
    """By either tail of a fine grid, of which dozens of steps are in the last 1e-9: 1e-4 deviations."""
    angle, _ = angles(K, WIDE, QUANTILES[:, None])
    assert (np.diff(angle, axis=0) > 0).all()
    for i, kappa in enumerate(WIDE):
        t, share = density_of_angles(K, kappa)
        below, above = np.append(0, share.cumsum()), np.append(share[::-1].cumsum()[::-1], 0)
        u_below, u_above = (special.ndtri(np.interp(angle[:, i], t, tail)) for tail in (below, above))
        np.testing.assert_allclose(np.where(QUANTILES < 0, u_below, -u_above), QUANTILES, atol=1e-4, rtol=0)


@pytest.mark.parametrize("K", [2, 10, 50, 200])
def test_derivatives_of_draws_against_finite_differences(K):
    """A step of 1e-4 of kappa leaves 1e-8 of a derivative, and rounding of an angle below pi 1e-15 / 1e-4."""
    _, slope = angles(K, WIDE, QUANTILES[:, None])
    ends = [angles(K, WIDE * factor, QUANTILES[:, None])[0] for factor in (1 + 1e-4, 1 - 1e-4)]
    np.testing.assert_allclose(slope * WIDE, (ends[0] - ends[1]) / 2e-4, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("K", [2, 3, 50])
def test_variance_in_float32_against_an_integral(K):
    """Along mu it is 1 / 2 kappa^2 at K = 2, of terms near 1: it was negative."""
    kappa = [5.0, 500.0, 1000.0, 2981.0]
    q = Distribution(torch.eye(K)[0].expand(4, K), torch.tensor(kappa))
    assert bool((q.stddev > 0).all())
    for number, along in zip(kappa, q.variance[:, 0].tolist(), strict=True):
        t, share = density_of_angles(K, number)
        lost = 2 * np.sin((t[1:] + t[:-1]) / 4) ** 2  # 1 - cos t in the middle of each step
        assert along == pytest.approx(share @ (lost - share @ lost) ** 2, rel=1e-4)


def directions(n=400, seed=0):
    """Rows that differ in direction: a circle of three columns in five."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    return circle @ np.linalg.qr(rng.normal(size=(5, 2)))[0].T + 0.05 * rng.normal(size=(n, 5)), angle


def test_codes_of_a_circle_are_its_angles():
    """Two columns of code hold one number, which a normal code of two spends more nats on."""
    X, angle = directions()
    options = {"max_iter": 30, "random_state": 0, "prior": "auto"}
    vae = VAETransformer(2, posterior="von_mises_fisher", **options).fit(X)
    Z = vae.transform(X)
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1, rtol=1e-6)
    turned = np.exp(1j * np.arctan2(Z[:, 1], Z[:, 0]))
    agreement = max(abs(np.mean(turned * np.exp(sign * 1j * angle))) for sign in (1, -1))
    assert agreement > 0.98
    made = vae.sample(2000, random_state=0)
    share = np.histogram(np.arctan2(*(made @ np.linalg.svd(X)[2][:2].T).T), bins=6, range=(-np.pi, np.pi))[0] / 2000
    assert 0.1 < share.min() <= share.max() < 0.25


def test_importance_weights_find_the_integral_over_the_circle():
    """ln p(x) by 2000 equal steps of the angle; 500 draws are within four standard errors over 40 rows."""
    X, _ = directions()
    vae = VAETransformer(2, posterior="von_mises_fisher", max_iter=2, random_state=0).fit(X)
    steps = (np.arange(2000) + 0.5) / 2000 * 2 * np.pi
    p = vae.decode(np.column_stack([np.cos(steps), np.sin(steps)]))
    log_px = np.array([np.asarray(p.log_prob(np.tile(x, (2000, 1)))) for x in X[:40]])
    exact = special.logsumexp(log_px.reshape(40, 2000, -1).sum(-1), axis=1) - np.log(2000)
    difference = vae.score_samples(X[:40], n_importance_samples=500) - exact
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(40) + 1e-3
    assert (vae.score_samples(X[:40]) < exact + 0.05).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"prior": "normal"}, "one lives on a sphere"),
        ({"posterior": "diag", "prior": "sphere"}, "one lives on a sphere"),
        ({"posterior": "dirichlet", "prior": "sphere"}, "do not go together"),
        ({"n_components": 1}, "n_components >= 2"),
    ],
)
def test_what_cannot_be_on_a_sphere_explains(parameters, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(**{"n_components": 2, "posterior": VonMisesFisher(), **parameters}, max_iter=0).fit(IRIS)
