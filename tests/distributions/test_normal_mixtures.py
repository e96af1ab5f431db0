"""EM of normal mixtures against scikit-learn's, and what weights and floors promise."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from torch.distributions import MultivariateNormal

from skvae.distributions.latent import MemberNormals
from skvae.distributions.normal_mixtures import COVARIANCES, FittedNormals, clusters, em_step, fit_normals

covariances = pytest.mark.parametrize("covariance", COVARIANCES)


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    stretch = np.array([[1.0, 0.8, 0.0], [0.0, 0.5, 0.3], [0.0, 0.0, 1.0]])
    return np.concatenate([rng.normal(size=(200, 3)) @ stretch + 4 * rng.normal(size=3) for _ in range(4)])


@pytest.mark.parametrize("shape", [(1, 3), (50, 1, 3), (5, 50, 1, 3), (50, 4, 3), (3,)], ids=str)
def test_members_have_the_densities_of_torch(shape):
    """At one point for all members, which takes a product of its own, and at a point for each; expanded ones, too."""
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    scale_tril = draw(4, 3, 3).tril(-1) + torch.diag_embed(draw(4, 3).exp())
    loc = draw(4, 3)
    own, torchs = (kind(loc, scale_tril=scale_tril) for kind in (MemberNormals, MultivariateNormal))
    z = 3 * draw(*shape)
    torch.testing.assert_close(own.log_prob(z), torchs.log_prob(z), rtol=1e-12, atol=1e-10)
    z = 3 * draw(2, 4, 3)
    torch.testing.assert_close(own.expand((2, 4)).log_prob(z), torchs.log_prob(z), rtol=1e-12, atol=1e-10)


@covariances
def test_the_density_is_scipys(points, covariance):
    p = fit_normals(points, np.ones(len(points)), clusters(points, np.ones(len(points)), 3, 0), covariance)
    covariance_matrices = [np.diag(L**2) if L.ndim == 1 else L @ L.T for L in p.factors]
    parts = zip(p.weights, p.means, covariance_matrices, strict=True)
    density = sum(w * multivariate_normal(mu, c).pdf(points) for w, mu, c in parts)
    np.testing.assert_allclose(p.log_prob(points), np.log(density), rtol=1e-9)
    assert p.weights.sum() == pytest.approx(1)
    assert p.covariance == covariance


@covariances
def test_em_is_no_worse_than_scikit_learns(points, covariance):
    """From the same assignment, without a prior on covariances; tol and floors differ by a little."""
    weight = np.ones(len(points))
    member = clusters(points, weight, 5, 0)
    ours = fit_normals(points, weight, member, covariance, n_steps=500, tol=1e-9)
    first = fit_normals(points, weight, member, covariance, n_steps=0)
    precisions = [1 / L**2 if L.ndim == 1 else np.linalg.inv(L @ L.T) for L in first.factors]
    start = {"weights_init": first.weights, "means_init": first.means, "precisions_init": np.stack(precisions)}
    theirs = GaussianMixture(5, covariance_type=covariance, tol=1e-9, max_iter=500, reg_covar=0, **start).fit(points)
    assert ours.log_prob(points).mean() > theirs.score(points) - 1e-4
    assert first.log_prob(points).mean() < ours.log_prob(points).mean() - 0.001


@covariances
@pytest.mark.parametrize("strength", [0.0, 5.0])
def test_a_weight_is_as_many_copies(points, covariance, strength):
    weight = np.random.default_rng(1).integers(1, 4, len(points)).astype(float)
    member = clusters(points, weight, 4, 0)
    weighted = fit_normals(points, weight, member, covariance, strength)
    copies = np.repeat(np.arange(len(points)), weight.astype(int))
    copied = fit_normals(points[copies], np.ones(len(copies)), member[copies], covariance, strength)
    np.testing.assert_allclose(weighted.log_prob(points), copied.log_prob(points), rtol=1e-8)


@covariances
def test_one_step_more_stays_where_em_has_ended_and_follows_other_weights(points, covariance):
    weight = np.ones(len(points))
    p = fit_normals(points, weight, clusters(points, weight, 4, 0), covariance, 0.0, 500, 1e-12, breadth=3.0)
    again = em_step(p, points, weight, 0.0)
    np.testing.assert_allclose(again.log_prob(points), p.log_prob(points), rtol=1e-4)
    group = p.responsibilities(points)[0].argmax(0) == 0
    other = em_step(p, points, np.where(group, 0.0, weight), 0.0)  # nobody is left in the first member
    assert other.weights[0] < 0.05
    np.testing.assert_allclose(other.weights[1:4].sum(), 1, atol=0.05)


@covariances
def test_each_step_raises_what_it_maximises(points, covariance):
    """ln p of the points and of the inverse Wishart prior, up to a constant."""
    weight, strength = np.ones(len(points)), 7.0
    member = clusters(points, weight, 4, 0)
    pooled = fit_normals(points, weight, member, covariance, strength, 0)

    def raised(p):
        prior = [
            -strength * (np.log(np.diag(L)).sum() + 0.5 * np.trace(np.linalg.solve(L @ L.T, spread)))
            for L, spread in zip(map(_matrix, p.factors), [_pooled(points, member, covariance)] * 4, strict=True)
        ]
        return p.log_prob(points).sum() + sum(prior)

    values = [raised(fit_normals(points, weight, member, covariance, strength, n, -np.inf)) for n in range(8)]
    assert np.all(np.diff(values) > -1e-3)  # the floor of a millionth of the spread is no part of it
    assert raised(pooled) == values[0]


def _matrix(factor):
    return np.diag(factor) if factor.ndim == 1 else factor


def _pooled(points, member, covariance):
    means = np.stack([points[member == m].mean(0) for m in range(4)])
    spread = np.cov((points - means[member]).T, bias=True)
    return np.diag(np.diag(spread)) if covariance == "diag" else spread


def test_clusters_are_the_groups_that_are_far_apart():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(5), 40)
    z = rng.normal(size=(200, 2)) + 1e4 + 100 * np.stack([np.cos(group), np.sin(group)], 1) * (1 + group[:, None])
    member = clusters(z, np.ones(200), 5, 3)
    assert len(set(zip(group.tolist(), member.tolist(), strict=True))) == 5
    assert clusters(np.ones((10, 2)), np.ones(10), 4, 0).tolist() == [0] * 10
    assert set(clusters(z, np.where(group < 2, 1.0, 0.0), 2, 0)[group < 2]) == {0, 1}


@covariances
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e12])
def test_constant_components_single_points_and_far_ones_are_safe(covariance, scale):
    rng = np.random.default_rng(0)
    z = scale * np.c_[rng.normal(size=(60, 2)), np.ones(60)]
    z[0] *= 1e6
    p = fit_normals(z, np.ones(60), clusters(z, np.ones(60), 8, 0), covariance, 5.0)
    assert np.isfinite(p.log_prob(z)).all()
    one = fit_normals(z[:1], np.ones(1), np.zeros(1, int), covariance, 5.0)
    assert np.isfinite(one.log_prob(z)).all()


@covariances
def test_a_broad_member_takes_what_lies_far_out_and_costs_the_others_nothing(points, covariance):
    """Its mean and spread are those of all points, and its share is that of one of n + 1, by Laplace's rule."""
    n = len(points)
    member = clusters(points, np.ones(n), 3, 0)
    narrow = fit_normals(points, np.ones(n), member, covariance)
    both = fit_normals(points, np.ones(n), member, covariance, breadth=3.0)
    assert len(both.weights) == len(narrow.weights) + 1
    assert 1 / (n + 1) <= both.weights[-1] < 0.1
    np.testing.assert_allclose(both.means[-1], points.mean(0))
    spread = np.square(_matrix(both.factors[-1])).sum(1)
    np.testing.assert_allclose(spread, 9 * points.var(0), rtol=1e-4)
    assert abs(both.log_prob(points).mean() - narrow.log_prob(points).mean()) < 0.05
    far = points.mean(0) + 30 * points.std(0)
    assert both.log_prob(far[None])[0] > narrow.log_prob(far[None])[0] + 100


def test_one_standard_member():
    assert FittedNormals(np.ones(1), np.zeros((1, 2)), np.ones((1, 2))).log_prob(np.zeros((1, 2)))[0] == pytest.approx(
        -np.log(2 * np.pi)
    )
