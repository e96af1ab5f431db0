"""Columns of one value, or none: the model of the other columns is as without them, and they come back as they are."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from skvae import Constant, Gaussian, Poisson, VAETransformer
from skvae.display import ComponentDisplay

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))
VALUES = [0.005, 1e6, -3.0]
WIDE = np.insert(X, [1, 3, 4], VALUES, axis=1)
PLACES = [1, 4, 6]
VARYING = [0, 2, 3, 5]


def start(table, n_components=2, **options):
    return VAETransformer(n_components, max_iter=0, random_state=0, **options).fit(table)


@pytest.mark.parametrize(
    "options",
    [
        {"init": "pca"},
        {"init": "factor_analysis"},
        {"schedule": "exact_em", "hidden_layer_sizes": (), "early_stopping": False},
    ]
    + [{"scaling": scaling} for scaling in ("quantile", "power", "global", None)],
    ids=str,
)
def test_they_change_nothing_of_the_model_of_the_others(options):
    options = {"max_iter": 3 if "schedule" in options else 0, "random_state": 0} | options
    with_them, without = (VAETransformer(2, **options).fit(table) for table in (WIDE, X))
    np.testing.assert_allclose(with_them.score_samples(WIDE), without.score_samples(X), atol=1e-6)
    np.testing.assert_allclose(with_them.transform(WIDE), without.transform(X), atol=1e-6)
    np.testing.assert_allclose(with_them.noise_variance_[VARYING], without.noise_variance_, rtol=1e-6)
    assert (with_them.noise_variance_[PLACES] == 0).all()


def test_they_come_back_from_every_method_in_arrays():
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(WIDE)
    holes = WIDE.copy()
    holes[::3, PLACES] = np.nan
    holes[1::3, 0] = np.nan
    tables = [
        vae.sample(50, random_state=0),
        vae.sample(50, random_state=0, given={0: 1.0}),
        vae.inverse_transform(vae.transform(WIDE)),
        vae.reconstruct(holes),
        vae.impute(holes),
        *vae.impute(holes, n_draws=2, random_state=0),
        vae.decode(vae.transform(WIDE)).mode,
    ]
    for table in tables:
        assert (np.asarray(table)[:, PLACES] == VALUES).all()


def test_they_come_back_from_every_method_in_frames_with_their_dtypes():
    n = 120
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "fee": np.float32(0.1),
            "flag": False,
            "none": np.nan,
            "count": pd.Series([7] * n, dtype="Int64"),
            "level": pd.Categorical(["a"] * n),
        }
    )
    vae = VAETransformer(1, max_iter=3, random_state=0).fit(frame)
    kinds = [type(vae.likelihoods_[name]).__name__ for name in frame]
    assert kinds == ["ContaminatedGaussian", "Constant", "Constant", "Constant", "Constant", "Categorical"]
    for table in (vae.sample(n, random_state=0), vae.impute(frame), vae.impute(frame, n_draws=1, random_state=0)[0]):
        pd.testing.assert_frame_equal(table.drop(columns="x"), frame.drop(columns="x"))


def test_another_value_costs_twenty_nats_and_does_not_move_the_code():
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(WIDE)
    other = WIDE.copy()
    other[0, 1], other[1, 4], other[2, 6] = 7.0, 1e300, np.nan
    np.testing.assert_allclose(vae.score_samples(other)[:3] - vae.score_samples(WIDE)[:3], [-20, -20, 0], atol=1e-9)
    columns = vae.score_columns(other)[:3, PLACES]
    np.testing.assert_allclose(columns, [[-20, 0, 0], [0, -20, 0], [0, 0, np.nan]], atol=1e-12)
    np.testing.assert_array_equal(vae.transform(other[:2]), vae.transform(WIDE[:2]))
    assert vae.impute(other)[0, 1] == 7.0
    # The same number in float32 is no other one.
    np.testing.assert_allclose(vae.score_samples(WIDE.astype(np.float32)), vae.score_samples(WIDE), atol=1e-4)
    assert vae.score(sparse.csr_array(other)) == pytest.approx(vae.score(other))


@pytest.mark.parametrize("n_components", [1, 3])
def test_nothing_but_constants(n_components):
    table = np.tile([2.5, 0.0, np.nan], (150, 1))
    vae = VAETransformer(n_components, max_iter=3, random_state=0).fit(table)
    assert vae.score(table) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(vae.transform(table), 0, atol=1e-6)
    np.testing.assert_array_equal(vae.sample(4, random_state=0), table[:4])
    np.testing.assert_array_equal(vae.impute(table), table)


def test_fewer_varying_columns_than_components():
    table = np.c_[X[:, :1], np.full(len(X), 3.0), X[:, 1:2], np.zeros(len(X))]
    assert start(table, 4).score(table) == pytest.approx(start(X[:, :2], 4).score(X[:, :2]), abs=1e-9)


def test_a_column_without_values_is_missing_for_ever():
    table = np.insert(X, 2, np.nan, axis=1)
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(table)
    known = table.copy()
    known[:, 2] = 5.0
    np.testing.assert_array_equal(vae.score_samples(known), vae.score_samples(table))
    np.testing.assert_array_equal(vae.impute(table)[:, 2], table[:, 2])
    np.testing.assert_array_equal(vae.impute(known), known)


def test_constant_in_one_fold_only():
    table = np.c_[X, np.r_[np.zeros(200), rng.normal(size=100)]]
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(table[:200])
    scores = vae.score_samples(table[200:])
    np.testing.assert_allclose(scores - vae.score_samples(np.c_[X[200:], np.zeros(100)]), -20, atol=1e-9)


def test_zero_counts_and_flags_that_never_come():
    counts = np.c_[rng.poisson(3, (200, 2)), np.zeros((200, 1))]
    vae = VAETransformer(1, likelihood=Poisson(), max_iter=3, random_state=0).fit(counts)
    assert isinstance(vae.likelihoods_["x2"], Constant)
    assert (vae.sample(500, random_state=0)[:, 2] == 0).all()
    binary = (counts > 2).astype(float)
    vae = VAETransformer(1, max_iter=3, random_state=0).fit(binary)
    assert (vae.sample(500, random_state=0)[:, 2] == 0).all()


def test_a_value_outside_the_support_is_refused_all_the_same():
    with pytest.raises(ValueError, match="Column 'x2' has the value -1, outside the support"):
        VAETransformer(1, likelihood=[(Poisson(), [2])]).fit(np.c_[X[:, :2], np.full(len(X), -1.0)])


def test_chunks_may_bring_another_value_unless_the_table_is_known():
    first, second = (np.c_[X[:150], np.full(150, value)] for value in (0.005, 0.006))
    vae = VAETransformer(2, random_state=0).partial_fit(first)
    assert isinstance(vae.likelihoods_["x4"], Gaussian)
    assert np.abs(vae.sample(500, random_state=0)[:, 4] - 0.005).max() < 0.005  # the noise has the column's unit
    source = [first, second]
    vae = VAETransformer(2, random_state=0).fit_statistics(lambda: iter(source)).partial_fit(first)
    assert isinstance(vae.likelihoods_["x4"], Gaussian)
    vae = VAETransformer(2, random_state=0).fit_statistics(lambda: iter([first, first])).partial_fit(first)
    assert isinstance(vae.likelihoods_["x4"], Constant)
    vae = VAETransformer(2, max_iter=2, random_state=0).fit_batches(lambda: iter([first, first]))
    assert (vae.sample(5, random_state=0)[:, 4] == 0.005).all()


def test_a_file_keeps_them(tmp_path):
    table = np.insert(WIDE, 0, np.nan, axis=1)
    vae = VAETransformer(2, max_iter=2, random_state=0).fit(table)
    vae.save(tmp_path / "model")
    loaded = VAETransformer.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.sample(5, random_state=0), vae.sample(5, random_state=0))
    assert loaded.score(table) == vae.score(table)


def test_the_family_is_refused_for_a_column_that_varies():
    with pytest.raises(ValueError, match="of a column of one value"):
        VAETransformer(1, likelihood=Constant(), max_iter=0).fit(X)


def test_components_have_no_effect_on_them():
    frame = pd.DataFrame(X, columns=list("abcd")).assign(fee=0.005, never=np.nan)
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(frame)
    display = ComponentDisplay.from_estimator(vae, frame)
    effects = dict(zip(display.names, display.effects, strict=True))
    assert not effects["fee"].any()
    assert not effects["never"].any()
    assert display.image_.get_clim()[1] == pytest.approx(np.abs(display.effects).max())
