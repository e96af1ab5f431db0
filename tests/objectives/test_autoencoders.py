"""Autoencoders without a critic: what the penalties of the regularised one are, and what they do."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

from skvae import AE, RAE, Gaussian, VAETransformer
from skvae.objectives.autoencoders import squared_slopes

IRIS = load_iris().data
LINEAR = {"hidden_layer_sizes": (), "likelihood": Gaussian(noise=1.0, background=0), "scaling": None}


def test_slopes_of_a_linear_decoder_are_its_weights():
    """|W|_F^2 in the mean over directions v: 20 000 of them have a standard error of 2 |W W'|_F / 141."""
    vae = VAETransformer(3, objective="rae", max_iter=0, **LINEAR).fit(IRIS)
    W = vae.module_.decoder.affine.weight.detach()
    torch.manual_seed(0)
    slopes = squared_slopes(vae.module_, torch.zeros(1, 20_000, 3), None)
    assert slopes.shape == (20_000,)
    error = np.sqrt(2) * torch.linalg.norm(W @ W.T).item() / np.sqrt(20_000)
    assert slopes.mean().item() == pytest.approx(W.square().sum().item(), abs=4 * error)


def test_the_loss_by_hand():
    vae = VAETransformer(2, objective="rae", max_iter=0, **LINEAR).fit(IRIS)
    x, u = torch.randn(7, 4), torch.zeros(1, 7, 0)
    plain, small = (objective(vae.module_, x, None, u) for objective in (AE(), RAE(0.5, 0.0)))
    z = vae.module_.encode(x).mean
    torch.testing.assert_close(small["loss"], plain["loss"] + 0.25 * z.square().sum(-1))
    torch.manual_seed(0)
    both = RAE(0.5, 2.0)(vae.module_, x, None, u)
    torch.testing.assert_close(both["loss"], small["loss"] + 2 * both["slopes"])
    assert "slopes" not in small


def test_a_decoder_that_looks_at_the_batch_has_no_slopes():
    def with_batch_norm(n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_out))

    with pytest.raises(ValueError, match=r"BatchNorm1d.* at 'decoder\..*Use LayerNorm, or RAE.gradient_penalty=0.0"):
        VAETransformer(2, objective="rae", decoder=with_batch_norm, max_iter=1).fit(IRIS)
    for parameters in (
        {"objective": RAE(gradient_penalty=0.0), "decoder": with_batch_norm},
        {"objective": "rae", "encoder": with_batch_norm},
    ):
        assert np.isfinite(VAETransformer(2, max_iter=1, **parameters).fit_transform(IRIS)).all()


def test_small_codes_and_flat_decoders():
    """A linear model in closed form, which plain autoencoders leave at any scale of the codes.

    With noise 1 and one component w w' of a column pair of variance L along it, the loss in code scale s (z = s t) is
    (1 - s w)^2 L / 2 + lambda s^2 L / 2 + gamma w^2. At the minimum the two penalties are equal,
    lambda s^2 L / 2 = gamma w^2, and r = s w obeys 1 - r = sqrt(2 lambda gamma / L).
    """
    rng = np.random.default_rng(0)
    weight, penalty, direction = 0.5, 0.25, np.array([0.6, 0.8])
    t = rng.normal(size=2000)
    X = (2 * t / t.std())[:, None] * direction
    X -= X.mean(0)
    L = np.mean((X @ direction) ** 2)
    options = {"max_iter": 60, "learning_rate": 0.02, "early_stopping": False, "random_state": 0, **LINEAR}
    vae = VAETransformer(1, objective=RAE(weight, penalty), **options).fit(X)
    w, s = vae.inverse_transform([[1.0], [0.0]]), vae.transform(X)[:, 0].std() / np.sqrt(L)
    w = np.linalg.norm(w[0] - w[1])
    assert weight * s**2 * L / 2 == pytest.approx(penalty * w**2, rel=0.1)
    assert 1 - s * w == pytest.approx(np.sqrt(2 * weight * penalty / L), rel=0.1)
