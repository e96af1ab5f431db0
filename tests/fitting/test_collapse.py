"""The warning of components without information: by what the table holds, and silent where it holds nothing."""

import contextlib

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.mixture import GaussianMixture

from skvae import ELBO, VAETransformer

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 30, "random_state": 0}
N = 400


def corners(n_columns, seed=0):
    """Rows at the corners of a cube: every linear model sees independent columns of equal variance."""
    rng = np.random.default_rng(seed)
    return 4.0 * (2 * rng.integers(0, 2, (N, n_columns)) - 1) + rng.normal(size=(N, n_columns))


def ring():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, N)
    return np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.normal(size=(N, 2))


def factors():
    rng = np.random.default_rng(0)
    return 2 * rng.normal(size=(N, 3)) @ rng.normal(size=(3, 10)) + 0.5 * rng.normal(size=(N, 10))


def with_holes():
    X = corners(2)
    X[::5, 0] = np.nan
    return X


def with_a_category():
    kind = np.random.default_rng(1).choice(["u", "v", "w"], N)
    return pd.DataFrame(corners(2), columns=["a", "b"]).assign(kind=kind)


@pytest.mark.parametrize(("init", "rate"), [("auto", 4e-3), ("random", "auto")])
@pytest.mark.parametrize("make", [lambda: corners(2), lambda: corners(3), ring, with_holes, with_a_category])
def test_clusters_that_a_start_does_not_see(make, init, rate):
    X = make()  # one draw a step, and small ones: else even these few steps find most of them
    with pytest.warns(UserWarning, match=r"[01] of 2 components carry.*mixture of . normals.*collapsed"):
        vae = VAETransformer(2, init=init, objective=ELBO(n_samples=1), learning_rate=rate, **SMALL).fit(X)
    assert (vae.kl_per_component_ < 0.3).any()
    if isinstance(X, np.ndarray) and not np.isnan(X).any():  # an oracle sees them, too
        assert GaussianMixture(8, random_state=0).fit(X).score(X) > vae.score(X) + 0.3


def test_a_random_start_that_never_found_what_pca_has():
    with pytest.warns(UserWarning, match=r"0 of 5 components carry information.*PCA, which uses.*collapsed"):
        VAETransformer(5, init="random", objective=ELBO(beta=20.0), **SMALL).fit(factors())


def test_a_collapse_is_told_once():
    with pytest.warns(UserWarning, match="collapse") as told:
        VAETransformer(5, objective=ELBO(beta=20.0), learning_rate=0.03, **{**SMALL, "max_iter": 60}).fit(factors())
    assert len(told) == 1


def test_nothing_is_said_where_components_work():
    VAETransformer(5, **SMALL).fit(factors())
    VAETransformer(2, scaling="quantile", **SMALL).fit(corners(2))  # whose columns are normal ones in model space
    X = np.concatenate([factors(), corners(2)], 1)
    VAETransformer(5, **SMALL).fit(X)


NOISE = {
    "normal": lambda rng: rng.normal(size=(N, 5)),
    "uniform": lambda rng: rng.uniform(size=(N, 4)),
    "exponential": lambda rng: rng.exponential(size=(N, 4)),
    "Student's t": lambda rng: rng.standard_t(3, size=(N, 4)),
    "dice": lambda rng: rng.integers(1, 7, (N, 4)),
    "bits": lambda rng: rng.integers(0, 2, (N, 4)).astype(float),
    "categories": lambda rng: pd.DataFrame({name: rng.choice(list("abc"), N) for name in "xyz"}),
}


@pytest.mark.parametrize("init", ["auto", pytest.param("random", marks=pytest.mark.slow)])
@pytest.mark.parametrize("noise", NOISE)
def test_independent_noise_holds_nothing(noise, init):
    VAETransformer(4, init=init, **SMALL).fit(NOISE[noise](np.random.default_rng(0)))


def test_iris_at_the_default_settings():
    for n_components in (2, 10):
        VAETransformer(n_components, random_state=0).fit(load_iris().data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits, load_diabetes])
def test_no_false_alarm_at_the_default_settings(load, seed):
    for n_components in (2, 10):
        VAETransformer(n_components, random_state=seed).fit(load().data)


def test_few_epochs_and_single_passes_are_not_judged():
    with contextlib.nullcontext():  # warnings are errors here
        VAETransformer(2, init="random", **{**SMALL, "max_iter": 5}).fit(corners(2))
        VAETransformer(2, random_state=0).partial_fit(corners(2))
