"""Rows to latent codes and back: transform, encode, decode, reconstruct."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_iris
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from skvae import Gaussian, VAETransformer
from skvae._inference.fitted import adopt
from skvae.distributions.latent import OneHots, PointMass, Reordered

IRIS = load_iris(as_frame=True).data


@pytest.mark.parametrize(
    ("posterior", "kind"),
    [("diag", Normal), ("full", MultivariateNormal), ("flow", Reordered), ("laplace", Reordered),
     ("categorical", OneHots), ("gamma", Reordered)],
)  # fmt: skip
def test_encode_agrees_with_transform(posterior, kind):
    vae = VAETransformer(3, posterior=posterior, max_iter=3, random_state=1).fit(IRIS)
    signs = np.array([1, -1, 1] if posterior != "categorical" else [1, 1, 1])
    adopt(vae, replace(vae.fitted_, order=np.array([2, 0, 1]), signs=signs))
    q = vae.encode(IRIS)
    assert isinstance(q, kind)
    np.testing.assert_allclose(q.mean, vae.transform(IRIS), rtol=1e-6)
    np.testing.assert_allclose(vae.inverse_transform(vae.transform(IRIS)), vae.reconstruct(IRIS), rtol=1e-5)
    draws = q.sample((4000,))
    error = 5 * (q.variance / 4000).sqrt() + 0.05
    assert bool(((draws.mean(0) - q.mean).abs() < error).all())
    assert q.log_prob(q.sample()).shape == ((150, 3) if not q.event_shape else (150,))
    # The density goes with the draws: that of the module at the module's own codes.
    inner, z = getattr(q, "q", None), q.sample()
    if inner is not None:
        own = torch.empty_like(z)
        own[:, vae.order_] = z * torch.as_tensor(vae.signs_)
        expected = inner.log_prob(own)
        expected = expected if q.event_shape else expected[:, vae.order_]
        torch.testing.assert_close(q.log_prob(z), expected)


def test_point_codes_are_reordered_too():
    ae = VAETransformer(2, objective="ae", max_iter=3, random_state=0).fit(IRIS)
    assert isinstance(ae.encode(IRIS), PointMass)
    np.testing.assert_allclose(ae.encode(IRIS).mean, ae.transform(IRIS))


def test_decode_is_a_distribution_in_data_space():
    vae = VAETransformer(2, likelihood=Gaussian(background=0), max_iter=5, random_state=0).fit(IRIS)
    Z = vae.transform(IRIS)
    p = vae.decode(Z)
    np.testing.assert_allclose(p.mean, vae.inverse_transform(Z), rtol=1e-6)
    scale = np.sqrt(vae.noise_variance_)
    np.testing.assert_allclose(p.log_prob(IRIS), stats.norm(p.mean, scale).logpdf(IRIS), rtol=1e-5)
    np.testing.assert_allclose(p.variance[0], vae.noise_variance_, rtol=1e-5)
    incomplete = IRIS.mask(IRIS > 5)
    assert bool((p.log_prob(incomplete)[np.isnan(incomplete.to_numpy())] == 0).all())
    torch.manual_seed(0)
    np.testing.assert_allclose(p.sample((2000,)).mean(0), p.mean, atol=0.1)


def test_decode_of_counts_and_booleans():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"visits": rng.poisson(3.0, 200), "member": rng.random(200) < 0.3, "height": rng.normal(size=200)}
    )
    vae = VAETransformer(2, likelihood=[("poisson", ["visits"])], max_iter=2, random_state=0).fit(table)
    p = vae.decode(vae.transform(table))
    np.testing.assert_allclose(p.log_prob(table)[:, 0], stats.poisson(p.mean[:, 0]).logpmf(table["visits"]), rtol=1e-5)
    np.testing.assert_allclose(
        p.log_prob(table)[:, 1], Bernoulli(p.mean[:, 1]).log_prob(torch.as_tensor(table["member"].to_numpy(float)))
    )
    assert set(np.unique(p.mode[:, 1])) <= {0.0, 1.0}


def test_reconstruct_through_the_center_and_by_the_test_phase():
    frame = IRIS.set_index(IRIS.index + 1000)
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(frame)
    through = vae.reconstruct(frame)
    pd.testing.assert_frame_equal(through, vae.inverse_transform(pd.DataFrame(vae.transform(frame), frame.index)))
    drawn = [vae.reconstruct(frame, sample=True, random_state=s) for s in (0, 0, 1)]
    pd.testing.assert_frame_equal(drawn[0], drawn[1])
    assert not drawn[0].equals(drawn[2])
    many = np.mean([vae.reconstruct(frame, sample=True, random_state=s) for s in range(200)], axis=0)
    np.testing.assert_allclose(many, through, atol=0.3)
