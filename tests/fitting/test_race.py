"""`init="auto"`: the race of the initialisations, and the rule where there is nothing to race on."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skvae import Gaussian, VAETransformer
from skvae._inference import evaluation
from skvae._inference.summaries import mean_bound
from skvae._starts.linear_gaussian import SecondMoments, factor_analysis, probabilistic_pca
from skvae._utils.random import whitened_pairs

pytestmark = pytest.mark.one_in(2)


def assert_same(a, b):
    pairs = zip(a.module_.state_dict().values(), b.module_.state_dict().values(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)


def linear_table(n, noise, seed=0):
    """n rows of two components in six columns with the given noise variances."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(n, 6)) * np.sqrt(noise)


UNEQUAL = np.array([0.05, 0.1, 3.0, 0.05, 4.0, 0.1])


@pytest.mark.parametrize("settings", [{}, {"early_stopping": False}, {"max_iter": 0}, {"likelihood": "laplace"}])
def test_auto_is_bit_for_bit_the_fit_of_its_winner(cancer, settings):
    vae = VAETransformer(3, init="auto", random_state=0).set_params(**{"max_iter": 4, **settings}).fit(cancer)
    named = clone(vae).set_params(init=vae.init_).fit(cancer)
    assert_same(vae, named)
    np.testing.assert_array_equal(vae.transform(cancer), named.transform(cancer))
    drop_time = lambda history: [{k: v for k, v in record.items() if k != "dur"} for record in history]  # noqa: E731
    assert drop_time(vae.history_) == drop_time(named.history_)


@pytest.mark.parametrize("early_stopping", ["auto", True])
def test_the_race_takes_the_initialisation_with_the_better_held_out_bound(cancer, early_stopping):
    losses = {}
    for init in ("pca", "early_factor_analysis"):
        vae = VAETransformer(5, init=init, max_iter=1, early_stopping=early_stopping, random_state=0).fit(cancer)
        losses[init] = vae.history_[0]["valid_loss"]
    auto = VAETransformer(5, init="auto", max_iter=1, early_stopping=early_stopping, random_state=0).fit(cancer)
    assert auto.init_ == min(losses, key=losses.get)


@pytest.mark.parametrize(("noise", "winner"), [(np.full(6, 0.3), "pca"), (UNEQUAL, "early_factor_analysis")])
def test_without_held_out_rows_akaike_decides(noise, winner):
    X = linear_table(80, noise)
    Z = (X - X.mean(0)) / X.std(0)
    vae = VAETransformer(2, init="auto", scaling="global", random_state=0)
    assert vae.fit(X).init_ == winner
    assert clone(vae).set_params(max_iter=0).fit(X).init_ == winner
    assert clone(vae).partial_fit(X).init_ == winner
    assert clone(vae).set_params(early_stopping=False, max_iter=1).fit(X).init_ == winner
    moments, tie = SecondMoments(Z, np.ones(80)), Gaussian().tie_noise
    shared = lambda psi: np.full_like(psi, psi.mean())  # noqa: E731
    levels = [probabilistic_pca(moments, 2, shared), factor_analysis(moments, 2, tie, max_iter=10)]
    gain = np.diff([moments.log_likelihood(level) for level in levels])[0]
    standard = VAETransformer(2, init="auto", max_iter=0, random_state=0).fit(X)
    assert standard.init_ == ("early_factor_analysis" if 80 * gain > 5 else "pca")


def test_the_choice_counts_copies_as_weights():
    X = linear_table(60, UNEQUAL)
    times = np.random.default_rng(1).integers(1, 4, size=60)
    for settings in ({"max_iter": 2}, {"max_iter": 2, "early_stopping": True}):
        vae = VAETransformer(2, init="auto", random_state=0, **settings)
        weighted, repeated = clone(vae).fit(X, sample_weight=times), clone(vae).fit(np.repeat(X, times, axis=0))
        assert weighted.init_ == repeated.init_
        assert_same(weighted, repeated)


def test_x_val_is_raced_on_only_where_it_may_stop_the_fit(cancer):
    settings = {"n_components": 3, "init": "auto", "max_iter": 2, "random_state": 0}
    rows, X_val = cancer[:400], cancer[400:]
    blind = VAETransformer(early_stopping=False, **settings)
    assert_same(clone(blind).fit(rows), clone(blind).fit(rows, X_val=X_val))
    raced = VAETransformer(**settings).fit(rows, X_val=X_val)
    assert_same(raced, VAETransformer(**{**settings, "init": raced.init_}).fit(rows, X_val=X_val))


@pytest.mark.parametrize("objective", ["gan", "aae"])
def test_models_without_a_number_to_watch_are_initialised_by_pca(cancer, objective):
    vae = VAETransformer(2, init="auto", objective=objective, max_iter=1, random_state=0).fit(cancer)
    assert vae.init_ == "pca"


def test_missing_values_and_going_on(cancer):
    X = cancer.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    vae = VAETransformer(3, init="auto", max_iter=3, random_state=0).fit(X)
    assert vae.init_ in ("pca", "early_factor_analysis")
    again = pickle.loads(pickle.dumps(vae))
    assert again.init_ == vae.init_
    vae.partial_fit(X)
    assert vae.init_ == again.init_
    assert vae.n_iter_ == again.n_iter_ + 1


@pytest.mark.parametrize(("n", "tolerance"), [(1500, 1e-12), (5000, 1e-12), (5000, 0.02)])
def test_the_bound_of_the_race_is_that_of_all_draws(n, tolerance):
    """Also of many rows, of which only some take all draws: to the last bits where none is missing."""
    X = linear_table(n, UNEQUAL)
    if tolerance > 1e-3:
        X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    module = VAETransformer(2, max_iter=0, prior="normal", random_state=0).fit(X).module_.double()
    x = torch.from_numpy((X - np.nanmean(X, 0)) / np.nanstd(X, 0))
    mask, x = (~x.isnan() if tolerance > 1e-3 else None), x.nan_to_num()
    w = torch.full((n,), 1 / n, dtype=torch.float64)
    u = whitened_pairs(6, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = float(w @ evaluation.elbo(module, x, mask, u))
    assert mean_bound(module, x, mask, w, u) == pytest.approx(expected, abs=tolerance)
