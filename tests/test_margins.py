"""Calibrated margins of made rows: what `fit` keeps for them, and what `sample` makes of it."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance
from sklearn.datasets import load_iris

from skvae import VAETransformer
from skvae._inference.fitted import REFERENCE

FAST = {"n_components": 2, "hidden_layer_sizes": (16,), "max_iter": 10, "random_state": 0}


def table(n=1500, seed=0):
    """Atoms, whole numbers, decimals, numbers without repetition, bounded ones, categories, and missing cells."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "age": np.clip(40 + 12 * z + 5 * rng.normal(size=n), 18, 80).astype(np.int64),
            "hours": np.where(rng.random(n) < 0.5, 40, rng.integers(10, 60, n)),
            "gain": np.where(rng.random(n) < 0.9, 0.0, np.round(rng.lognormal(7, 1, n), 2)),
            "rent": np.round(np.exp(6 + 0.5 * z + 0.3 * rng.normal(size=n)), 1),
            "weight": (70 + 9 * z + rng.normal(size=n)).astype(np.float32),
            "share": rng.beta(0.5, 0.5, n),
            "kind": np.where(z + 0.3 * rng.normal(size=n) > 0, "a", "b"),
        }
    )
    frame.loc[rng.random(n) < 0.2, "rent"] = np.nan
    return frame


@pytest.fixture(scope="module")
def fitted():
    return VAETransformer(**FAST).fit(table())


def numbers(frame):
    return [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]


def same_margins(one, other):
    """Whether two fits keep the same bits for the calibration."""
    a, b = one.fitted_.calibration, other.fitted_.calibration
    pairs = zip(a.fitted, b.fitted, strict=True)
    same = all(np.array_equal(m.levels, k.levels) and np.array_equal(m.values, k.values) for m, k in pairs)
    return a.columns == b.columns and np.array_equal(a.made, b.made) and same


def test_values_stay_in_the_range_and_atoms_keep_their_shares(fitted):
    """20 000 made rows against 1500 fitted ones: 0.03 is three standard deviations of a share of one half."""
    real, made = table(), fitted.sample(20_000, random_state=1)
    assert made.dtypes.equals(real.dtypes)
    for name in numbers(real):
        assert made[name].min() >= real[name].min()
        assert made[name].max() <= real[name].max()
        atoms = real[name].value_counts(normalize=True)
        for value, share in atoms[atoms > 0.02].items():
            assert (made[name] == value).mean() == pytest.approx(share, abs=0.03), (name, value)
        distance = wasserstein_distance(made[name], real[name].dropna()) / real[name].std()
        assert distance < 0.05, name  # the error of 1500 rows; the model's own is 0.1 to 0.5
    assert made["rent"].notna().all()
    assert np.allclose(made["rent"], made["rent"].round(1))
    assert (made["hours"] % 1 == 0).all()


def test_values_that_no_row_shares_are_not_given_out(fitted):
    real, made = table(), fitted.sample(20_000, random_state=1)
    single = real["share"][~real["share"].duplicated(keep=False)]
    assert not made["share"].isin(single).any()
    kept = dict(zip(real, fitted.fitted_.calibration.fitted, strict=False))["share"]
    assert not np.isin(vars(kept)["values"][1:-1], single).any()  # nor does the model keep more of them than the ends


def test_without_calibration_the_model_speaks_for_itself(fitted):
    real = table()
    own, made = (fitted.sample(3000, random_state=2, calibrate=c) for c in (False, True))
    assert own["gain"].min() < 0 <= made["gain"].min()  # a Gaussian knows of no border
    pd.testing.assert_series_equal(own["kind"], made["kind"])  # the same rows, but for their numbers
    # ... which keep their ranks
    assert own[["weight", "share"]].corrwith(made[["weight", "share"]], method="spearman").min() > 0.999
    assert wasserstein_distance(made["gain"], real["gain"]) < wasserstein_distance(own["gain"], real["gain"]) / 2
    with pytest.raises(ValueError, match=r"The 'calibrate' parameter of VAETransformer\.sample"):
        fitted.sample(2, calibrate="yes")


def test_codes_and_densities_are_those_of_the_model(fitted):
    """The last step of a fit is no part of it: a model without margins says the same of rows, and decodes alike."""
    twin = copy.copy(fitted)
    vars(twin)[REFERENCE] = replace(fitted.fitted_, calibration=None)
    rows = table().head(50)
    np.testing.assert_array_equal(twin.score_samples(rows), fitted.score_samples(rows))
    np.testing.assert_array_equal(twin.transform(rows), fitted.transform(rows))
    pd.testing.assert_frame_equal(twin.impute(rows), fitted.impute(rows))
    pd.testing.assert_frame_equal(twin.sample(50, random_state=0), fitted.sample(50, random_state=0, calibrate=False))


def test_order_does_not_matter_and_weights_are_repetitions(fitted):
    frame = table(300)
    weight = np.random.default_rng(0).integers(1, 4, len(frame))
    weighted = VAETransformer(**FAST).fit(frame, sample_weight=weight)
    repeated = frame.loc[frame.index.repeat(weight)].sample(frac=1, random_state=0)
    other = VAETransformer(**FAST).fit(repeated)
    assert same_margins(weighted, other)
    pd.testing.assert_frame_equal(weighted.sample(99, random_state=0), other.sample(99, random_state=0))


def test_linear_models_draw_from_their_own_density(wine):
    for exact in ({"max_iter": 0}, {"hidden_layer_sizes": (), "max_iter": 3}):
        vae = VAETransformer(2, random_state=0, **exact).fit(wine)
        assert vae.fitted_.calibration is None
        np.testing.assert_array_equal(vae.sample(9, random_state=0), vae.sample(9, random_state=0, calibrate=False))


def test_constants_conditions_categories_and_empty_columns_are_not_mapped():
    frame = table(200).assign(one=3.5, nothing=np.nan, truth=True, place=np.arange(200) % 3.0)
    vae = VAETransformer(**{**FAST, "max_iter": 1}, conditions=["place"]).fit(frame)
    names = [frame.columns[d] for d in vae.fitted_.calibration.columns]
    assert names == ["age", "hours", "gain", "rent", "weight", "share"]
    made = vae.sample(50, random_state=0)
    assert (made["one"] == 3.5).all()
    assert made["nothing"].isna().all()
    assert set(made["place"]) == {0, 1, 2}
    only = VAETransformer(**{**FAST, "max_iter": 1}).fit(frame[["kind", "truth"]])
    assert only.fitted_.calibration is None


def test_counts_stay_whole_and_zeros_frequent():
    rng = np.random.default_rng(0)
    X = np.where(rng.random((800, 3)) < 0.6, 0, rng.poisson(30, (800, 3))).astype(float)
    for likelihood in ("poisson", "zero_inflated_gamma", "negative_binomial"):
        made = VAETransformer(**FAST, likelihood=likelihood).fit(X).sample(20_000, random_state=0)
        np.testing.assert_allclose((made == 0).mean(0), (X == 0).mean(0), atol=0.03)
        assert made.max() <= X.max()
        if likelihood != "zero_inflated_gamma":
            assert (made % 1 == 0).all()


def test_a_stream_has_the_margins_of_its_statistics_and_of_nothing_else(fitted):
    frame = table(600)
    chunks = [frame[:200], frame[200:400], frame[400:]]
    plain = VAETransformer(**FAST).partial_fit(chunks[0]).partial_fit(chunks[1])
    assert plain.fitted_.calibration is None  # the first chunk may be unlike the rest
    stream = VAETransformer(**FAST).fit_statistics(lambda: iter(chunks)).partial_fit(chunks[0])
    first = stream.fitted_.calibration
    stream.partial_fit(chunks[1])
    last = stream.fitted_.calibration
    assert last.fitted is first.fitted
    assert not np.array_equal(last.made, first.made)
    made = stream.sample(5000, random_state=0)
    assert (made["gain"] == 0).mean() == pytest.approx((frame["gain"] == 0).mean(), abs=0.04)
    assert made["age"].max() <= frame["age"].max()


def test_a_warm_start_takes_the_margins_of_its_table():
    vae = VAETransformer(**FAST, warm_start=True).fit(table(300)[["age", "weight"]])
    vae.fit(table(300)[["age", "weight"]] + 100)
    assert vae.sample(100, random_state=0)["age"].min() >= 118


def test_given_cells_stay_and_the_rest_of_a_known_normal_is_right():
    """x1 | x0 = 1.5 is normal around 0.8 x 1.5 with sd 0.6. Errors of 0.1 are those of the net's."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    X = np.column_stack([x, 0.8 * x + 0.6 * rng.normal(size=4000), rng.normal(size=4000)])
    vae = VAETransformer(**{**FAST, "max_iter": 20}).fit(X)
    own, made = (vae.sample(4000, given={0: 1.5}, random_state=0, calibrate=c) for c in (False, True))
    assert (made[:, 0] == 1.5).all()
    np.testing.assert_allclose(made[:, 1:].mean(0), [1.2, 0.0], atol=0.1)
    np.testing.assert_allclose(made[:, 1:].std(0), [0.6, 1.0], atol=0.06)
    np.testing.assert_allclose(made[:, 1:].mean(0), own[:, 1:].mean(0), atol=0.05)


def test_flowers_of_a_kind_are_no_further_from_those_of_the_table():
    """Mean Wasserstein distance of four columns in three kinds, in standard deviations."""
    iris = load_iris(as_frame=True)
    frame = iris.data.assign(kind=iris.target_names[iris.target])
    vae = VAETransformer(2, hidden_layer_sizes=(32,), max_iter=60, random_state=0).fit(frame)

    def distance(calibrate):
        made = {k: vae.sample(1000, given={"kind": k}, random_state=0, calibrate=calibrate) for k in iris.target_names}
        return np.mean(
            [
                wasserstein_distance(made[kind][name], rows[name]) / frame[name].std()
                for kind, rows in frame.groupby("kind")
                for name in iris.data
            ]
        )

    assert distance(True) < distance(False)


# ---------------------------------------------------------------- missing cells


def incomplete(n=600):
    """`table` with cells of three kinds that are missing: two of them together, and of large weights only."""
    frame = table(n)
    heavy = frame["weight"] > 75
    frame["hours"] = frame["hours"].astype("Int64").mask(heavy)
    frame["kind"] = frame["kind"].mask(heavy)
    return frame


@pytest.mark.filterwarnings("ignore:.*have collapsed")
def test_made_rows_lack_cells_as_those_of_the_table_do():
    frame = incomplete(1500)
    vae = VAETransformer(**FAST).fit(frame)
    made, whole = (vae.sample(5000, random_state=0, missing=missing) for missing in (True, False))
    assert whole.notna().all(axis=None)
    pd.testing.assert_frame_equal(made.where(made.notna(), whole), whole)  # the same rows otherwise
    assert made.dtypes.equals(frame.dtypes)
    np.testing.assert_allclose(made.isna().mean(), frame.isna().mean(), atol=0.05)
    assert (made["hours"].isna() == made["kind"].isna()).mean() > 0.97  # of the table always
    assert (
        made["hours"].isna()[made["weight"] > 80].mean() > 0.7 > 0.2 > made["hours"].isna()[made["weight"] < 65].mean()
    )
    given = vae.sample(200, given={"rent": 500.0}, random_state=0, missing=True)
    assert (given["rent"] == 500).all()
    assert given["kind"].isna().any()
    with pytest.raises(ValueError, match=r"The 'missing' parameter of VAETransformer\.sample"):
        vae.sample(2, missing=1.5)


def test_complete_tables_linear_models_and_arrays(wine):
    assert np.isfinite(VAETransformer(2, max_iter=0).fit(wine).sample(50, random_state=0, missing=True)).all()
    holes = np.where(np.random.default_rng(0).random(wine.shape) < 0.3, np.nan, wine)
    for options in ({"max_iter": 0}, {"max_iter": 2}):
        made = VAETransformer(2, random_state=0, **options).fit(holes).sample(2000, random_state=0, missing=True)
        np.testing.assert_allclose(np.isnan(made).mean(0), np.isnan(holes).mean(0), atol=0.06)


def test_missing_cells_by_weight_in_any_order_and_of_streams():
    frame = incomplete(200)
    weight = np.random.default_rng(0).integers(1, 4, len(frame))
    weighted = VAETransformer(**FAST).fit(frame, sample_weight=weight)
    other = VAETransformer(**FAST).fit(frame.loc[frame.index.repeat(weight)].sample(frac=1, random_state=0))
    rows, others = (vae.sample(99, random_state=0, missing=True) for vae in (weighted, other))
    pd.testing.assert_frame_equal(rows, others)
    chunk = VAETransformer(**FAST).partial_fit(frame)
    with pytest.raises(ValueError, match="no chunk of partial_fit tells"):
        chunk.sample(2, missing=True)
    stream = VAETransformer(**FAST).fit_statistics(lambda: iter([frame])).partial_fit(frame[:100])
    assert stream.partial_fit(frame[100:]).sample(99, random_state=0, missing=True).isna().any(axis=None)


@pytest.mark.parametrize("unit", [1.0, 1 / 2000, 0.3])
def test_atoms_do_not_depend_on_the_unit_of_the_weights(unit):
    """900 rows without a fine are one distinct row, of which a weight of 900 units is as many rows."""
    fine = np.append(np.zeros(900), 1 + np.arange(100) / 7)
    X = np.column_stack([fine, fine + 0.1])
    vae = VAETransformer(1, hidden_layer_sizes=(8,), max_iter=2, random_state=0)
    vae.fit(X, sample_weight=np.full(1000, unit))
    made = vae.sample(4000, random_state=0)[:, 0]
    assert (made == 0).mean() == pytest.approx(0.9, abs=0.015)
    assert not np.isin(made[made > 0], fine).any()
    assert (pickle.loads(pickle.dumps(vae)).sample(9, random_state=0) == vae.sample(9, random_state=0)).all()


def test_hardly_any_missing_cell_is_no_error():
    X = np.random.default_rng(0).normal(size=(5000, 2))
    X[17, 0] = np.nan
    vae = VAETransformer(1, max_iter=0, random_state=0).fit(X)
    assert np.isnan(vae.sample(1000, random_state=0, missing=True)).mean() < 0.01
    assert (pickle.loads(pickle.dumps(vae)).sample(9, random_state=0) == vae.sample(9, random_state=0)).all()


def test_rows_under_given_conditions_are_not_mapped_to_the_margins_of_the_table():
    """A draw a little above the lower of two groups would be mapped into the gap between them."""
    rng = np.random.default_rng(0)
    group = rng.choice(["low", "high"], 400)
    is_low = (group == "low")[:, None]
    numbers = np.where(is_low, 0.0, 5.0) + rng.normal(size=(400, 3)) * np.where(is_low, 0.2, 1.0)
    frame = pd.DataFrame(numbers, columns=["a", "b", "c"]).assign(group=group)
    vae = VAETransformer(2, conditions=["group"], max_iter=3, random_state=0).fit(frame)
    assert vae.fitted_.calibration is not None
    mapped, own = (
        vae.sample(500, given={"group": "low"}, random_state=0, calibrate=calibrate) for calibrate in (True, False)
    )
    pd.testing.assert_frame_equal(mapped, own)
    drawn, plain = (vae.sample(500, random_state=0, calibrate=calibrate) for calibrate in (True, False))
    assert not drawn.equals(plain)  # conditions that are drawn are the table's
