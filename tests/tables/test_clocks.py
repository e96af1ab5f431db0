"""Dates, times, durations and periods are numbers inside and what they were outside."""

import datetime
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone

from skvae import VAETransformer
from skvae._tables.clocks import Clock
from skvae._tables.decoding import draws, fill, means
from skvae._tables.encoding import encode, recoded
from skvae._tables.frames import Column
from skvae._tables.schema import Schema
from skvae._tables.union import union

BERLIN = "Europe/Berlin"
DAYS = np.array([18000, 18001, 18262, 18400, 19000])
NAIVE = pd.Series(pd.to_datetime(DAYS, unit="D"))
COLUMNS = {
    "nanoseconds": NAIVE.astype("datetime64[ns]"),
    "seconds": NAIVE.astype("datetime64[s]"),
    "midnights of a zone": NAIVE.dt.tz_localize(BERLIN),
    "fixed offset": NAIVE.dt.tz_localize("UTC+02:00"),
    "arrow": pd.Series(NAIVE.dt.date, dtype=pd.ArrowDtype(pa.date32())),
    "arrow times": NAIVE.dt.tz_localize(BERLIN).astype("timestamp[ms, tz=Europe/Berlin][pyarrow]"),
    "date objects": pd.Series(NAIVE.dt.date, dtype=object),
    "datetime objects": pd.Series(NAIVE.dt.to_pydatetime(), dtype=object),
    "objects with a zone": pd.Series(NAIVE.dt.tz_localize(BERLIN), dtype=object),
    "durations": pd.Series(pd.to_timedelta(DAYS, unit="D")),
    "duration objects": pd.Series([datetime.timedelta(int(d)) for d in DAYS], dtype=object),
    "periods": pd.Series(pd.PeriodIndex.from_ordinals(DAYS, freq="D")),
    "period objects": pd.Series(pd.PeriodIndex.from_ordinals(DAYS, freq="D")).astype(object),
    "arrow offset": NAIVE.dt.tz_localize("UTC").astype("timestamp[us, tz=+02:00][pyarrow]") - pd.Timedelta(2, "h"),
    "polars dates": pl.Series(NAIVE.dt.date.tolist()),
    "polars times": pl.Series(NAIVE.tolist(), dtype=pl.Datetime("ms")),
    "polars zone": pl.Series(NAIVE.dt.tz_localize(BERLIN)),
    "polars durations": pl.Series([datetime.timedelta(int(d)) for d in DAYS], dtype=pl.Duration("ns")),
    "pyarrow dates": pa.chunked_array([pa.array(NAIVE.dt.date.tolist())]),
    "pyarrow zone": pa.chunked_array([pa.array(NAIVE.dt.tz_localize(BERLIN))]),
    "pyarrow offset": pa.chunked_array([pa.array(DAYS * 86_400 + 5 * 3600 + 1800, pa.timestamp("s", "-05:30"))]),
    "pyarrow durations": pa.chunked_array([pa.array([datetime.timedelta(int(d)) for d in DAYS])]),
}


def frame(column):
    if isinstance(column, pl.Series):
        return pl.DataFrame({"when": column})
    return pa.table({"when": column}) if isinstance(column, pa.ChunkedArray) else pd.DataFrame({"when": column})


def dtype_of(table):
    if isinstance(table, pa.Table):
        return table.schema.types
    return list(table.schema.values()) if isinstance(table, pl.DataFrame) else list(table.dtypes)


def cells_of(table):
    return table["when"].to_list() if hasattr(table["when"], "to_list") else table["when"].to_pylist()


@pytest.mark.parametrize("name", COLUMNS)
def test_days_are_whole_numbers_and_come_back(name):
    """In every library and zone: the oracle is the number of the day that the column was made of."""
    X = frame(COLUMNS[name])
    schema = Schema.learn(X)
    assert schema.kinds == ["real"]
    assert schema.clocks[0].fineness == 1
    np.testing.assert_array_equal(encode(schema, X)[:, 0], DAYS)
    for give in (draws, means):
        back = give(schema, encode(schema, X) + 0.3)
        assert dtype_of(back) == dtype_of(X)
        assert cells_of(back) == cells_of(X)
        assert [type(c) for c in cells_of(back)] == [type(c) for c in cells_of(X)] or "objects" in name


@pytest.mark.parametrize("name", COLUMNS)
def test_missing_cells_are_filled_and_others_stay(name):
    whole = COLUMNS[name]
    if isinstance(whole, pd.Series):
        column = whole.copy()
        column[[1, 3]] = None
    else:
        series = pl.Series([None, *whole.to_list()])[[1, 0, 3, 0, 5]] if isinstance(whole, pl.Series) else None
        column = whole.take([0, None, 2, None, 4]) if series is None else series.cast(whole.dtype)
    X = frame(column)
    schema = Schema.learn(X)
    assert np.isnan(encode(schema, X)[:, 0]).tolist() == [False, True, False, True, False]
    filled = fill(schema, X, DAYS[:, None].astype(float))
    assert dtype_of(filled) == dtype_of(X)
    assert cells_of(filled) == cells_of(frame(whole))


@pytest.mark.parametrize(
    ("unit", "fineness"), [("D", 1), ("h", 24), ("min", 1440), ("s", 86400), ("ms", 86400000), ("us", 86400000000)]
)
def test_resolution_is_that_of_the_cells(unit, fineness):
    when = pd.Series(pd.to_datetime([1_700_000_000_001_001, 1_650_000_000_000_000], unit="us")).dt.floor(unit)
    X = pd.DataFrame({"when": when.astype("datetime64[ns]")})
    schema = Schema.learn(X)
    assert schema.clocks[0].fineness == fineness
    pd.testing.assert_frame_equal(draws(schema, encode(schema, X)), X)
    noisy = draws(schema, encode(schema, X) + 0.123456789)["when"]
    assert (noisy == noisy.dt.floor(unit)).all()


def test_nanoseconds_of_observed_cells_stay():
    when = pl.Series([1_700_000_000_000_000_001, None, 5], dtype=pl.Datetime("ns"))
    X = pl.DataFrame({"when": when})
    filled = fill(Schema.learn(X), X, np.full((3, 1), 7.0))
    assert filled["when"].cast(pl.Int64).to_list() == [1_700_000_000_000_000_001, 7 * 86_400 * 10**9, 5]


def test_a_zone_that_skips_an_hour_and_cells_of_other_zones():
    """At 2:00 on 29 March 2020 clocks in Berlin went to 3:00."""
    wall = pd.to_datetime(["2020-03-29 01:30", "2020-03-29 03:30"]).tz_localize(BERLIN)
    X = pd.DataFrame({"when": wall})
    schema = Schema.learn(X)
    first, last = encode(schema, X)[:, 0]
    assert last - first == pytest.approx(2 / 24, abs=1e-11)  # on the wall, one hour after the other
    skipped = draws(schema, np.array([[first + 1 / 24]]))["when"]
    assert skipped[0] == pd.Timestamp("2020-03-29 03:30", tz=BERLIN)
    np.testing.assert_array_equal(encode(schema, pd.DataFrame({"when": wall.tz_convert("UTC")})), encode(schema, X))
    objects = pd.DataFrame({"when": pd.Series(list(wall.tz_convert("Asia/Tokyo")), dtype=object)})
    np.testing.assert_array_equal(encode(schema, objects), encode(schema, X))


def test_far_values_stay_within_what_the_dtype_can_hold():
    for column in (NAIVE.astype("datetime64[ns]"), pl.Series(NAIVE.dt.date.tolist()), COLUMNS["date objects"]):
        X = frame(column)
        far = draws(Schema.learn(X), np.array([[1e9], [-1e9]]))
        assert cells_of(far)[0] > cells_of(X)[-1]
        assert cells_of(far)[1] < cells_of(X)[0]


def test_two_tables_have_the_finer_resolution():
    days, hours = (pd.DataFrame({"when": NAIVE + pd.Timedelta(h, "h")}) for h in (0, 5))
    both = union(Schema.learn(days), Schema.learn(hours))
    assert both.clocks[0].fineness == 24
    rows = encode(Schema.learn(days), days)
    np.testing.assert_array_equal(recoded(both, rows, Schema.learn(days)), encode(both, days))
    blank = pd.DataFrame({"when": pd.Series([pd.NaT] * 2)})
    assert union(Schema.learn(blank), Schema.learn(hours)).clocks[0].fineness == 24


ARROW = pd.ArrowDtype(pa.date32())
BLANK = {
    "another zone": (COLUMNS["midnights of a zone"], pd.Series([pd.NaT] * 5, dtype="datetime64[ns, UTC]")),
    "another zone of polars": (COLUMNS["polars zone"], pl.Series([None] * 5, dtype=pl.Datetime("us", "UTC"))),
    "arrow dates": (COLUMNS["arrow"], pd.Series([None] * 5, dtype=ARROW)),
    "another kind": (COLUMNS["durations"], pd.Series([pd.NaT] * 5, dtype="datetime64[s]")),
    "numbers": (COLUMNS["periods"], pd.Series([np.nan] * 5)),
}


@pytest.mark.parametrize(("fitted", "blank"), BLANK.values(), ids=BLANK)
def test_a_column_without_cells_is_read_as_missing(fitted, blank):
    assert np.isnan(encode(Schema.learn(frame(fitted)), frame(blank))).all()


BLANK_DTYPES = {
    "date32[day][pyarrow]": ("date", None, None),
    "date64[ms][pyarrow]": ("date", None, None),
    "timestamp[ms, tz=Europe/Berlin][pyarrow]": ("datetime", BERLIN, None),
    "duration[us][pyarrow]": ("duration", None, None),
    "datetime64[s]": ("datetime", None, None),
    "period[W-SUN]": ("period", None, "W-SUN"),
}


@pytest.mark.parametrize("dtype", BLANK_DTYPES)
def test_the_dtype_says_what_a_column_without_cells_is(dtype):
    clock = Schema.learn(pd.DataFrame({"when": pd.Series([None] * 3, dtype=dtype)})).clocks[0]
    assert (clock.kind, clock.zone, clock.frequency) == BLANK_DTYPES[dtype]


def test_chunks_without_cells_say_nothing_of_a_column():
    """The first, a later one, and one after statistics; a model goes on with what its table has."""
    x = np.arange(5.0)
    held = pd.DataFrame({"x": x, "when": COLUMNS["arrow"]})
    blank = held.assign(when=pd.Series([None] * 5, dtype=ARROW))
    new = VAETransformer(1, max_iter=0, random_state=0)
    begun = clone(new).partial_fit(blank).partial_fit(held)
    known = clone(new).fit_statistics(lambda: iter([blank, held])).partial_fit(blank)
    for vae in (begun, known, clone(new).partial_fit(held).partial_fit(blank)):
        drawn = vae.sample(3, random_state=0)
        assert drawn["when"].dtype == ARROW
        assert drawn["when"].notna().all()
    assert known.fitted_.schema.clocks == Schema.learn(held).clocks


HELD = pd.DataFrame({"when": NAIVE})
WRONG = {
    "numbers": (HELD, pd.DataFrame({"when": [1.0, 2.0]}), "held times .* holds 1.0"),
    "durations": (HELD, frame(COLUMNS["durations"]), "held times .* it holds durations"),
    "a zone": (HELD, frame(COLUMNS["midnights of a zone"]), "time zone is Europe/Berlin, not None"),
    "another frequency": (
        frame(COLUMNS["periods"]),
        pd.DataFrame({"when": pd.period_range("2020", periods=2, freq="M")}),
        "frequency is 'M', not 'D'",
    ),
    "times for numbers": (pd.DataFrame({"when": [1.5]}), HELD, "held numbers or bools"),
}


@pytest.mark.parametrize(("fitted", "now", "message"), WRONG.values(), ids=WRONG)
def test_another_kind_of_cells_is_refused_by_name(fitted, now, message):
    with pytest.raises(ValueError, match=f"'when'.*{message}"):
        encode(Schema.learn(fitted), now)


REFUSED = {
    "several kinds": ([datetime.date(2020, 1, 1), datetime.timedelta(1)], "dates beside durations"),
    "several zones": (
        [pd.Timestamp("2020", tz="UTC").to_pydatetime(), pd.Timestamp("2020", tz=BERLIN).to_pydatetime()],
        "several time zones: Europe/Berlin, UTC",
    ),
    "several frequencies": ([pd.Period("2020", "M"), pd.Period("2020", "Y")], "several frequencies: M, Y"),
    "dates and numbers": ([datetime.date(2020, 1, 1), 1.0], "several types: date, float"),
    "times of day": ([datetime.time(1)], "cells of type time"),
}


@pytest.mark.parametrize(("cells", "message"), REFUSED.values(), ids=REFUSED)
def test_columns_of_several_kinds_are_refused(cells, message):
    with pytest.raises(ValueError, match=message):
        Schema.learn(pd.DataFrame({"when": pd.Series(cells, dtype=object)}))


def test_a_column_of_dates_is_no_category_and_an_array_no_table():
    with pytest.raises(ValueError, match=r"categorical_features.*'when', which holds dates"):
        Schema.learn(HELD, ["when"])
    with pytest.raises(ValueError, match=r"array of dates.*pandas.DataFrame"):
        Schema.learn(np.array([["2020-01-01"]], dtype="M8[D]"))


def test_a_clock_reads_an_array_of_objects():
    cells = np.array([np.datetime64("2020-01-01"), datetime.datetime(2020, 1, 2, 12), None], dtype=object)
    clock = Clock.of(Column(cells, "x0"))
    assert (clock.kind, clock.fineness) == ("datetime", 24)
    np.testing.assert_array_equal(clock.numbers(Column(cells, "x0")), [18262, 18263.5, np.nan])


# ---------------------------------------------------------------- a model


@pytest.fixture(scope="module")
def table():
    """The day is a line in x, so that it can be imputed; the rest comes with it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    days = np.round(18000 + 300 * x + 60 * rng.normal(size=300)).astype(int)
    table = pd.DataFrame(
        {
            "x": x,
            "day": pd.to_datetime(days, unit="D").tz_localize(BERLIN),
            "month": pd.to_datetime(days, unit="D").to_period("M"),
            "took": pd.to_timedelta(np.exp(x).round(1) + 0.1, unit="h").round("s"),
            "due": [datetime.date(1970, 1, 1) + datetime.timedelta(int(d)) for d in days],
        }
    )
    return table.astype({"due": object})


@pytest.fixture(scope="module")
def vae(table):
    return VAETransformer(2, likelihood=[("log_normal", ["took"])], max_iter=5, random_state=0).fit(table)


def test_methods_give_dates_back(vae, table):
    holes = table.copy()
    for name in table.columns[1:]:
        holes.loc[::7, name] = None
    for back in (vae.sample(50, random_state=0), vae.reconstruct(table), vae.inverse_transform(vae.transform(table))):
        assert list(back.dtypes) == list(table.dtypes)
        assert (back["day"] == back["day"].dt.normalize()).all()
        assert (back["took"] > pd.Timedelta(0)).all()
        assert {type(c) for c in back["due"]} == {datetime.date}
    imputed = vae.impute(holes)
    assert list(imputed.dtypes) == list(table.dtypes)
    assert not imputed.isna().any(axis=None)
    off = (imputed["day"] - table["day"]).abs()[::7]
    assert off.mean() < pd.Timedelta(70, "D") < table["day"].std() / 4
    pd.testing.assert_series_equal(imputed["day"].drop(index=off.index), table["day"].drop(index=off.index))


def test_dates_are_given_and_are_conditions(vae, table):
    given = datetime.date(2020, 1, 1)
    rows = vae.sample(50, random_state=0, given={"due": given})
    assert (rows["due"] == given).all()
    assert abs(rows["month"].dt.to_timestamp().mean() - pd.Timestamp(given)) < pd.Timedelta(60, "D")
    conditional = VAETransformer(1, conditions=["day"], max_iter=0, random_state=0).fit(table[["x", "day"]])
    for day in ("2018-01-01", "2021-01-01"):
        rows = conditional.sample(200, given={"day": pd.Timestamp(day, tz=BERLIN)}, random_state=0)
        assert (rows["day"] == pd.Timestamp(day, tz=BERLIN)).all()
        expected = ((pd.Timestamp(day) - pd.Timestamp(0)).days - 18000) / 300
        assert rows["x"].mean() == pytest.approx(expected, abs=0.1)
    for wrong in (20000.0, pd.NaT, "2021-01-01"):
        with pytest.raises(ValueError, match=r"'day', which holds times of .* Use a value such as datetime.datetime"):
            vae.sample(1, given={"day": wrong})


def test_storage_keeps_the_clocks(vae, table, tmp_path):
    vae.save(tmp_path / "model")
    drawn = vae.sample(5, random_state=0)
    for again in (pickle.loads(pickle.dumps(vae)), VAETransformer.load(tmp_path / "model")):
        assert again.fitted_.schema == vae.fitted_.schema
        pd.testing.assert_frame_equal(again.sample(5, random_state=0), drawn)
        np.testing.assert_array_equal(again.transform(table), vae.transform(table))


def test_chunks_and_their_statistics(table):
    first = table.iloc[:150].assign(day=table["day"].iloc[:150])
    second = table.iloc[150:].assign(day=table["day"].iloc[150:] + pd.Timedelta(6, "h"))
    vae = VAETransformer(1, max_iter=1, random_state=0).fit_batches(lambda: iter([first, second]))
    assert vae.fitted_.schema.clocks[1].fineness == 24
    assert list(vae.sample(3).dtypes) == list(table.dtypes)
