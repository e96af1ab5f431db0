"""Families around the training: variances per row for nets, none for columns with an atom, and a late background."""

import itertools

import numpy as np
import pytest
import torch

from skvae import MLP, ConvNet, Gaussian, VAETransformer
from skvae._fitting.background import fit_background

N = 400


def factors(n_columns, seed=0):
    """Columns of two factors with half of their variance as noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, 2)) @ rng.normal(size=(2, n_columns)) + rng.normal(size=(N, n_columns))


def curved(n_columns, seed=0):
    """Columns that are no linear function of one factor, with noise that grows with it."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, size=(N, 1))
    columns = np.concatenate([np.sin(3 * t), t, t**2, np.cos(4 * t)], 1)[:, np.arange(n_columns) % 4]
    return columns + 0.2 * np.abs(t) * rng.normal(size=columns.shape)


def with_atoms(X):
    """The same, with everything below the mean put on one value, in steps far finer than the noise."""
    return np.maximum(X - X.mean(0), 0.0)


def families(vae):
    return [repr(family) for family in vae.likelihoods_.values()]


def shares(vae):
    """Of the background in each column of the first family."""
    return vae.module_.likelihood.heads[0](vae.module_.decoder(torch.zeros(1, 1, 2))[0]).share.detach()


def fitted(X, **parameters):
    return VAETransformer(2, random_state=0, **{"max_iter": 15, **parameters}).fit(X)


def test_nets_are_trained_with_a_variance_per_row_but_linear_models_are_not():
    X = curved(4)
    assert set(families(fitted(X))) == {"ContaminatedGaussian(noise='row')"}
    linear = [{"hidden_layer_sizes": ()}, {"decoder": MLP(())}]
    for parameters in ({"max_iter": 0}, {"early_stopping": False}, *linear):
        assert set(families(fitted(X, **parameters))) == {"Gaussian()"}
    assert set(families(fitted(X[:60]))) == {"Gaussian()"}  # nothing is held out
    assert set(families(fitted(X, likelihood=Gaussian(background=0)))) == {"Gaussian(background=0)"}


def test_a_column_with_an_atom_has_no_variance_per_row():
    """Half of the cells are 0 in the first column; the second one is of whole numbers, of which many are equal, too."""
    X = curved(4)
    X[:, 0] = with_atoms(X[:, :1])[:, 0]
    X[:, 1] = (10 * X[:, 1]).round()
    first, *others = families(fitted(X))
    assert first in ("Gaussian()", "ContaminatedGaussian()")
    assert set(others) == {"ContaminatedGaussian(noise='row')"}


def test_a_network_for_images_has_columns_of_one_family():
    X = curved(4)
    network = ConvNet(image_shape=(2, 2), channels=(4,), hidden_size=8, kernel_size=1)
    nets = {"encoder": network, "decoder": network, "scaling": "global", "max_iter": 2}
    assert len(set(families(fitted(X, **nets)))) == 1
    X[:, 0] = with_atoms(X[:, :1])[:, 0]
    assert len(set(families(fitted(X, **nets)))) == 1


def test_no_variance_is_below_that_of_rounding():
    """Columns of a few whole numbers, which a smaller variance would tell apart as spikes."""
    X = np.round(3 * curved(4))
    vae = fitted(X, max_iter=60)
    p = vae.decode(vae.transform(X))
    normal = p.p.normal.variance * torch.from_numpy(vae.fitted_.columns.scale).square()
    smallest = np.minimum(1 / 12, fitted(X, max_iter=0).noise_variance_ / 2)  # the initialisation is not changed
    assert (normal.min(0).values.numpy() >= smallest * (1 - 1e-3)).all()


def test_a_late_background_leaves_codes_and_network_as_they_are():
    X = with_atoms(factors(6))
    X[np.random.default_rng(1).random(X.shape) < 0.003] = 12.0
    plain, late = (fitted(X, likelihood=Gaussian(background=b)) for b in (0, 1e-3))
    assert set(families(late)) == {"ContaminatedGaussian()"}
    np.testing.assert_array_equal(plain.transform(X), late.transform(X))
    assert late.score(X) > plain.score(X) + 0.2
    networks = (vae.module_.decoder.state_dict() for vae in (plain, late))
    for one, other in zip(*(state.values() for state in networks), strict=True):
        assert torch.equal(one, other)


def test_em_finds_share_and_variance():
    """2 % of 20 000 cells are wild: the standard error of the share is 0.1 %, that of the variance 1 %."""
    rng = np.random.default_rng(2)
    loc = rng.normal(size=(20_000, 2))
    is_wild = rng.random(loc.shape) < 0.02
    spread = (0.98 * 1.25 / (1 - 0.02 * 3)) ** 0.5  # of all cells together
    wild = spread * rng.standard_t(3, size=loc.shape)
    x = torch.from_numpy(np.where(is_wild, wild, loc + 0.5 * rng.normal(size=loc.shape)))
    even, ones = torch.full_like(x, 1 / len(x)), torch.ones(2, dtype=torch.float64)
    variance, log_odds, *background = fit_background(x, even, torch.from_numpy(loc)[None], ones, 1e-3 * ones, 60)
    np.testing.assert_allclose(log_odds.sigmoid(), 0.02, atol=0.004)
    np.testing.assert_allclose(variance, 0.25, rtol=0.05)
    np.testing.assert_allclose(torch.stack(background), [x.mean(0).numpy(), x.std(0, unbiased=False).numpy()])


def test_without_wild_cells_a_background_costs_nothing():
    """Held-out rows are not surely better for it: each column keeps its variance, and the share is 1e-4."""
    X = factors(6)
    plain, late = (fitted(X, likelihood=Gaussian("feature", background=b)) for b in (0, 1e-3))
    gain = late.score_samples(X) - plain.score_samples(X)  # up to a hundredth, for the most unusual rows
    assert gain.min() > -1e-3
    assert gain.max() < 1e-2
    np.testing.assert_allclose(shares(late), 1e-4, rtol=1e-4)


@pytest.mark.parametrize("far", [30.0, 1000.0, -1000.0])
def test_a_wild_cell_costs_tens_of_nats(far):
    """In columns with a variance per row, and in some with an atom: 4 ln 1000 + ln 1e4 is 37."""
    X = np.concatenate([curved(3), with_atoms(factors(2))], 1)
    vae = fitted(X, max_iter=40)
    usual = vae.score_samples(X)
    for d in range(X.shape[1]):
        wild = X.copy()
        wild[:, d] = X[:, d].mean() + far * X[:, d].std()
        cost = usual - vae.score_samples(wild)
        assert np.quantile(cost, 0.95) < 60
        assert cost.max() < 100
        np.testing.assert_allclose(
            vae.transform(wild), vae.transform(np.where(np.arange(5) == d, np.nan, X)), atol=1e-9
        )


def test_the_encoder_reads_every_cell_of_the_fitted_table():
    X = curved(4)
    vae = fitted(X)
    low, high = vae.module_.reach
    x = vae.fitted_.columns.standardize(X)
    assert (x > low.numpy()).all()
    assert (x < high.numpy()).all()


def test_one_fit_for_rows_in_any_order_and_weights_as_repetition():
    X = np.concatenate([factors(3), with_atoms(factors(3, seed=1))], 1)
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 4, N)
    order = rng.permutation(N)
    first = VAETransformer(2, max_iter=5, random_state=0).fit(X, sample_weight=weight)
    others = [
        VAETransformer(2, max_iter=5, random_state=0).fit(X[order], sample_weight=weight[order]),
        VAETransformer(2, max_iter=5, random_state=0).fit(np.repeat(X, weight, axis=0)),
    ]
    for other in others:
        assert families(other) == families(first)
        np.testing.assert_array_equal(other.score_samples(X), first.score_samples(X))


def test_a_fit_goes_on_with_the_families_that_it_has():
    X = curved(4)
    vae = VAETransformer(2, max_iter=15, random_state=0, warm_start=True).fit(X)
    before = families(vae)
    assert families(vae.fit(X)) == before
    assert families(vae.partial_fit(X)) == before == ["ContaminatedGaussian(noise='row')"] * 4


def test_a_code_stands_at_the_border_of_those_of_the_fitted_rows():
    """Each cell may be within reach and the row still lie far out: what nets make of it is no code at all."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 1)) * [1.0, 2.0, -1.0, 0.5] + 0.3 * rng.normal(size=(400, 4))
    vae = VAETransformer(2, max_iter=20, random_state=0).fit(X)
    Z = vae.transform(X)
    margin = 0.25 * np.ptp(Z, axis=0)
    corners = np.array(list(itertools.product(*np.stack([X.min(0), X.max(0)], 1))))
    far = vae.transform(corners)
    assert np.all(far > Z.min(0) - 1.01 * margin)
    assert np.all(far < Z.max(0) + 1.01 * margin)
    assert np.isfinite(vae.score_samples(corners)).all()
    plain = VAETransformer(2, max_iter=0, random_state=0).fit(X)
    assert plain.fitted_.config["code_reach"] is None
    np.testing.assert_array_equal(vae.transform(X[:5]), Z[:5])
