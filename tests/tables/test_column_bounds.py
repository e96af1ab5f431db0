"""Made and imputed values stay within bounds, and what contradicts them is refused."""

import datetime
import pickle

import numpy as np
import pandas as pd
import pytest

from skvae import VAEImputer, VAEOversampler, VAETransformer

FAST = {"n_components": 1, "max_iter": 0, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    """Numbers near an end, so that a normal distribution goes beyond it."""
    rng = np.random.default_rng(0)
    wait = rng.exponential(3, 400)
    return pd.DataFrame(
        {
            "age": 18 + rng.poisson(1, 400),
            "wait": wait.round(1),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(wait.round(), unit="D"),
            "place": rng.choice(["a", "b"], 400),
        }
    )


BOUNDS = {"age": (17.5, None), "wait": (0, 30), "day": (datetime.date(2020, 1, 1), None)}


def is_inside(made):
    is_old = made["age"].dropna() >= 18  # no whole number between 17.5 and 18
    return bool(is_old.all() and made["wait"].between(0, 30).all() and (made["day"] >= "2020-01-01").all())


def test_made_and_imputed_values_are_inside(table, tmp_path):
    free, vae = VAETransformer(**FAST).fit(table), VAETransformer(**FAST, bounds=BOUNDS).fit(table)
    assert not is_inside(free.sample(500, random_state=0))
    made = vae.sample(500, random_state=0)
    assert is_inside(made)
    outside = free.sample(500, random_state=0)["wait"] < 0
    assert (made["wait"][outside] == 0).all()
    assert (made["wait"] == free.sample(500, random_state=0)["wait"])[~outside].all()  # others are as they were
    assert is_inside(vae.sample(200, random_state=0, given={"place": "a"}))
    holes = table.astype({"age": "Int64"})
    holes.loc[::2, ["age", "wait", "day"]] = None
    assert not all(is_inside(draw) for draw in free.impute(holes, n_draws=3, random_state=0))
    assert all(is_inside(draw) for draw in vae.impute(holes, n_draws=3, random_state=0))
    assert vae.score(table) == free.score(table)
    np.testing.assert_array_equal(vae.transform(table), free.transform(table))
    vae.save(tmp_path / "model")
    for again in (pickle.loads(pickle.dumps(vae)), VAETransformer.load(tmp_path / "model")):
        assert again.bounds == BOUNDS
        pd.testing.assert_frame_equal(again.sample(500, random_state=0), made)


def test_arrays_by_number():
    X = np.random.default_rng(0).exponential(size=(300, 2))
    vae = VAETransformer(**FAST, bounds={-1: (0, 2**60)}).fit(X)
    made = vae.sample(500, random_state=0)
    assert made[:, 0].min() < 0 == made[:, 1].min()
    missing = np.full_like(X, np.nan)
    assert vae.impute(missing, n_draws=1, random_state=0)[0][:, 1].min() == 0


@pytest.mark.parametrize(("low", "high"), [(0, 0.1), (0.3, 0.7)])
def test_what_float32_has_for_an_end_is_that_end(low, high):
    """0.1 is more in float32 than in float64, 0.7 less; what is made of such a table is one that can be fitted."""
    p = np.linspace(low, high, 50).astype(np.float32)
    assert any(float(end) != given for end, given in zip(p[[0, -1]], (low, high), strict=True))
    frame, bounds = pd.DataFrame({"p": p, "q": p[::-1].copy()}), {"p": (low, high)}
    vae = VAETransformer(**FAST, bounds=bounds).fit(frame)
    made = vae.sample(300, random_state=0)
    assert made["p"].dtype == np.float32
    assert made["p"].min() == p[0]
    assert made["p"].max() == p[-1]
    VAETransformer(**FAST, bounds=bounds).fit_statistics(lambda: iter([made, frame])).partial_fit(made)
    VAETransformer(**FAST, bounds={0: (low, high)}).fit(frame.to_numpy())
    assert (vae.sample(3, given={"p": p[-1]})["p"] == p[-1]).all()
    beyond = np.nextafter(p[-1], np.float32(1))
    with pytest.raises(ValueError, match=rf"'p' has the value {float(beyond)!r}, outside of its 'bounds'"):
        vae.partial_fit(frame.assign(p=beyond))


def test_jobs_know_them(table):
    """An imputer's own limits come on top; behind an oversampler's target -1 is still the last column of X."""
    holes = table[["wait", "day"]].copy()
    holes.loc[::2] = None
    imputer = VAEImputer(
        VAETransformer(**FAST, bounds={"wait": (0, None)}),
        max_value={"day": datetime.date(2020, 1, 4), "wait": 2.5},
        sample_posterior=True,
        random_state=0,
    )
    filled = imputer.fit_transform(holes)
    assert filled["wait"][::2].between(0, 2.5).all()
    assert (filled["day"][::2] <= "2020-01-04").all()
    X, y = table[["age", "wait"]].to_numpy(), (table["place"] == "a") & (table["age"] > 19)
    made, _ = VAEOversampler(VAETransformer(**FAST, bounds={-1: (0, None)}), random_state=0).fit_resample(X, y)
    assert made[len(X) :, 1].min() >= 0


def test_fitted_values_that_contradict_are_refused(table):
    for bounds, value in (({"wait": (0.5, None)}, "0.0"), ({"wait": (None, 1)}, f"{table['wait'].max()}")):
        with pytest.raises(ValueError, match=rf"'wait' has the value {value}, outside of its 'bounds'"):
            VAETransformer(**FAST, bounds=bounds).fit(table)
    with pytest.raises(ValueError, match=r"'day' has the value 2020-01-01 00:00:00, outside .*\(2020-01-02"):
        VAETransformer(**FAST, bounds={"day": (datetime.date(2020, 1, 2), None)}).fit(table)
    vae = VAETransformer(**FAST, bounds={"wait": (0, None)})
    with pytest.raises(ValueError, match=r"X_val: Column 'wait' has the value -1"):
        vae.fit(table, X_val=table.assign(wait=-1.0))
    with pytest.raises(ValueError, match=r"'wait' has the value -1"):
        vae.partial_fit(table).partial_fit(table.assign(wait=-1.0))
    with pytest.raises(ValueError, match=r"'wait' has the value -1"):
        vae.fit_statistics(lambda: iter([table, table.assign(wait=-1.0)])).partial_fit(table)


WRONG = {
    "unknown": ({"weight": (0, 1)}, "'bounds' parameter names the column 'weight', which X does not have"),
    "category": ({"place": (0, 1)}, "'place', which holds categories"),
    "twice": ({"age": (0, None), 0: (0, None)}, "names column 'age' twice"),
    "no pair": ({"age": 18}, r"must be a pair \(low, high\)"),
    "crossed": ({"age": (99, 18)}, "no value between its ends"),
    "a word": ({"age": ("old", None)}, "'age', which holds numbers. Use a value such as 18"),
    "a number for a date": (
        {"day": (0, None)},
        "which holds times without a time zone. Use a value such as datetime.datetime",
    ),
    "a time zone": (
        {"day": (datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), None)},
        r"'bounds' parameter has .*utc.* for column 'day', which holds times without a time zone. Use .*\(2024, 2",
    ),
    "a period": (
        {"day": (None, pd.Period("2024-01", "M"))},
        r"'bounds' parameter has Period\('2024-01', 'M'\) for column 'day', which holds times",
    ),
    "not a dict": ([("age", 0, 1)], "'bounds' parameter of VAETransformer must be"),
}


@pytest.mark.parametrize(("bounds", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused(table, bounds, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(**FAST, bounds=bounds).fit(table)


def test_a_naive_time_is_one_on_the_wall_of_the_column():
    """In a column with a time zone: the same as with the zone, as a bound and as a given value."""
    day = pd.date_range("2024-01-01", periods=60, tz="Europe/Berlin")
    frame = pd.DataFrame({"day": day, "x": np.arange(60.0)})
    naive, zoned = datetime.datetime(2024, 1, 1), pd.Timestamp("2024-01-01", tz="Europe/Berlin")
    made = []
    for low in (naive, zoned, zoned.tz_convert("UTC"), np.datetime64("2024-01-01")):
        vae = VAETransformer(**FAST, bounds={"day": (low, None)}).fit(frame)
        assert vae.fitted_.schema.bounds == {0: (19723, np.inf)}
        made.append(vae.sample(100, given={"day": low}, random_state=0))
        assert (made[-1]["day"] == zoned).all()
        assert vae.sample(300, random_state=0)["day"].min() == zoned
    pd.testing.assert_frame_equal(made[0], made[1])
    for wrong in (datetime.timedelta(1), pd.Period("2024-01", "M")):
        with pytest.raises(ValueError, match=r"'given' parameter has .* which holds times of the time zone 'Europe/B"):
            vae.sample(1, given={"day": wrong})
    periods = frame.assign(day=day.tz_localize(None).to_period("D"))
    with pytest.raises(ValueError, match=r"holds periods of the frequency 'D'. Use .*Period\('2024-02-29', 'D'\)"):
        VAETransformer(**FAST, bounds={"day": (pd.Period("2024-01", "M"), None)}).fit(periods)


def test_given_conditions_and_later_fits(table):
    with pytest.raises(ValueError, match=r"'age', which is one of the 'conditions'"):
        VAETransformer(**FAST, bounds={"age": (0, 99)}, conditions=["age"]).fit(table)
    vae = VAETransformer(**FAST, bounds={"age": (18, None)}, warm_start=True).fit(table)
    with pytest.raises(ValueError, match=r"'given' has a value for column 'age' that is outside of its 'bounds'"):
        vae.sample(1, given={"age": 17})
    with pytest.raises(ValueError, match=r"'bounds' parameter of VAETransformer cannot change"):
        vae.set_params(bounds=None).fit(table)
