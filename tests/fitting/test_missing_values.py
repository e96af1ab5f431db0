"""Fits of tables with missing values."""

import numpy as np
import pandas as pd
import pytest
from linear_oracle import with_missing
from sklearn.datasets import load_iris

from skvae import IWAE, VAETransformer

pytestmark = pytest.mark.one_in(3)

IRIS = load_iris(as_frame=True).data


@pytest.mark.parametrize("objective", ["elbo", IWAE(n_samples=5), "ae", "avb"])
def test_objectives_train_on_missing_values(cancer, objective):
    """MIWAE is the importance-weighted bound over the observed cells (Mattei & Frellsen 2019, eq. 4)."""
    incomplete = with_missing(cancer, 0.3)
    settings = {"init": "factor_analysis", "learning_rate": 1e-3, "random_state": 0}
    vae = VAETransformer(5, objective=objective, max_iter=15, **settings).fit(incomplete)
    missing, scale = np.isnan(incomplete), cancer.std(0)
    assert np.square((vae.impute(incomplete) - cancer) / scale)[missing].mean() < 0.6
    if objective in ("ae", "avb"):
        return
    start = VAETransformer(5, init="factor_analysis", max_iter=0, random_state=0).fit(incomplete)
    assert vae.score_samples(incomplete, 50).mean() > start.score_samples(incomplete, 50).mean() + 1


def test_missing_cells_under_every_objective():
    X = IRIS.to_numpy().copy()
    X[::7, 1] = np.nan
    for objective in (
        "elbo",
        "iwae",
        "ae",
        "rae",
        "wae_mmd",
        "aae",
        "avb",
        "gan",
        "vae_gan",
        "beta_tc_vae",
        "info_vae",
    ):
        vae = VAETransformer(2, objective=objective, max_iter=2, random_state=0).fit(X)
        assert np.isfinite(vae.sample(5, random_state=0)).all()
        if hasattr(vae, "transform"):
            assert np.isfinite(vae.transform(X)).all()


def test_missing_values_keep_the_invariances(cancer):
    """Repetition, order, scale and pickling with missing cells."""
    X = with_missing(cancer[:150], 0.2)
    weight = np.random.default_rng(1).integers(0, 3, len(X))
    make = lambda: VAETransformer(3, max_iter=3, random_state=0)  # noqa: E731
    weighted = make().fit(X, sample_weight=weight)
    repeated = make().fit(np.repeat(X, weight, axis=0)[::-1])
    np.testing.assert_array_equal(weighted.transform(X), repeated.transform(X))
    scaled = make().fit(1000 * X + 7)
    np.testing.assert_allclose(scaled.transform(1000 * X + 7), make().fit(X).transform(X), atol=1e-4)


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_missing_values_in_bfloat16(wine, share):
    """Some rows with incomplete, then nearly all: conditioned alone, and together with the others."""
    X = with_missing(wine, share)
    vae = VAETransformer(3, precision="bfloat16", max_iter=3, early_stopping=False, random_state=0).fit(X)
    exact = VAETransformer(3, max_iter=3, early_stopping=False, random_state=0).fit(X)
    assert vae.score(X) == pytest.approx(exact.score(X), abs=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_a_category_that_is_mostly_missing(seed):
    """What its few cells say of a code is bounded, and training begins near the start: EM moves its shares past 1."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(600, 6))
    table = pd.DataFrame(X, columns=list("abcdef"))
    present, is_top = (table["a"] > table["a"].quantile(q) for q in (0.95, 0.985))
    table["rare"] = is_top.map({True: "top", False: "good"}).where(present, None)
    vae = VAETransformer(3, init="pca", max_iter=2, random_state=0).fit(table)
    information = vae.module_.encoder.precision.diagonal(dim1=1, dim2=2).sum(1)
    assert information[-1] < 2 * information[:-1].max()  # 3e5 times as much
    losses = [record["valid_loss"] for record in vae.history_]
    assert max(losses) < losses[0] + 0.5  # thousands
