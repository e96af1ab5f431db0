"""Numbers that are not numpy's: whole ones of any size, and decimals; and the cells that they come back as."""

import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.decomposition import PCA

from skvae import TableStatistics, VAETransformer
from skvae._tables.decoding import draws, fill, means
from skvae._tables.encoding import encode, missing
from skvae._tables.given import given_row
from skvae._tables.numbers import as_decimal, float_limits, integer_range, n_decimals, widest
from skvae._tables.schema import Schema

pytestmark = pytest.mark.one_in(3)

N = 30
RNG = np.random.default_rng(0)
REAL = RNG.normal(size=N).round(3)
MONEY = [Decimal(f"{x:.2f}") for x in 30 * REAL + 5 * RNG.normal(size=N)]
HUGE = [10**25 + int(x * 10**24) for x in REAL]
ABOVE = [2**53 + 1 + 2 * int(i) for i in RNG.integers(1000, size=N)]  # no float64


def holed(cells):
    return [None if i % 7 == 3 else cell for i, cell in enumerate(cells)]


def frames(cells, polars_dtype, *arrow_types):
    """The cells in every library that has a dtype for them, and as objects."""
    made = {
        "pandas": pd.DataFrame({"a": pd.Series(cells, dtype=object), "b": REAL}),
        "polars": pl.DataFrame({"a": cells, "b": REAL.tolist()}, schema={"a": polars_dtype, "b": pl.Float64}),
    }
    for t in arrow_types:
        made |= {
            str(t): pa.table({"a": pa.array(cells, t), "b": REAL}),
            f"pandas of {t}": pd.DataFrame({"a": pd.array(cells, pd.ArrowDtype(t)), "b": REAL}),
        }
    return made


def column(frame):
    """Column a of a frame as Python values."""
    cells = frame["a"].to_pylist() if isinstance(frame, pa.Table) else frame["a"].to_list()
    return [None if pd.isna(cell) else cell for cell in cells]


def dtype_of(frame):
    return frame.schema.field("a").type if isinstance(frame, pa.Table) else frame["a"].dtype


TYPES = (pa.decimal128(10, 2), pa.decimal256(50, 2))
DECIMALS = frames(holed(MONEY), pl.Decimal(10, 2), *TYPES)
WHOLE = {
    **{f"huge {k}": frame for k, frame in frames(holed(HUGE), pl.Int128).items()},
    **{f"above {k}": frame for k, frame in frames(holed(ABOVE), pl.Int64, pa.int64(), pa.uint64()).items()},
    "above nullable": pd.DataFrame({"a": pd.array(holed(ABOVE), "Int64"), "b": REAL}),
}


@pytest.mark.parametrize("frame", [*DECIMALS.values(), *WHOLE.values()], ids=[*DECIMALS, *WHOLE])
def test_cells_are_read_as_float_reads_them(frame):
    schema = Schema.learn(frame)
    assert schema.kinds == ["real", "real"]
    expected = [np.nan if cell is None else float(cell) for cell in column(frame)]
    np.testing.assert_array_equal(encode(schema, frame)[:, 0], expected)
    np.testing.assert_array_equal(missing(schema, frame)[:, 0], np.isnan(expected))
    assert schema == pickle.loads(pickle.dumps(schema))


@pytest.mark.parametrize("frame", DECIMALS.values(), ids=DECIMALS)
def test_decimals_come_back_as_decimals(frame):
    schema = Schema.learn(frame)
    values = np.array([[1.239, 0.5], [-7.0, 0.5], [np.nan, 0.5]])
    drawn = draws(schema, values)
    assert dtype_of(drawn) == dtype_of(frame)
    assert column(drawn) == [Decimal("1.24"), Decimal("-7.00"), None]
    assert column(means(schema, values))[:2] == [1.239, -7.0]
    filled = fill(schema, frame, np.full((N, 2), 3.14159))
    assert dtype_of(filled) == dtype_of(frame)
    assert column(filled) == [Decimal("3.14") if cell is None else cell for cell in holed(MONEY)]


@pytest.mark.parametrize("name", [k for k in WHOLE if "huge" in k])
def test_whole_numbers_of_any_size_come_back(name):
    frame = WHOLE[name]
    schema = Schema.learn(frame)
    drawn = draws(schema, np.array([[2.0**80, 0.5], [-(2.0**70), 0.5]]))
    assert dtype_of(drawn) == dtype_of(frame)
    assert column(drawn) == [2**80, -(2**70)]
    filled = fill(schema, frame, np.full((N, 2), 2.0**80))
    assert dtype_of(filled) == dtype_of(frame)
    assert column(filled) == [2**80 if cell is None else cell for cell in holed(HUGE)]


@pytest.mark.parametrize("name", [k for k in WHOLE if "above" in k])
def test_whole_numbers_that_no_float_holds_stay_as_they_are(name):
    frame = WHOLE[name]
    filled = fill(Schema.learn(frame), frame, np.full((N, 2), 2.0**60))
    assert dtype_of(filled) == dtype_of(frame)
    assert column(filled) == [2**60 if cell is None else cell for cell in holed(ABOVE)]


def test_draws_stay_inside_what_a_dtype_holds():
    narrow = pl.DataFrame({"a": [Decimal("1.5"), Decimal("99.9")]}, schema={"a": pl.Decimal(3, 1)})
    assert column(draws(Schema.learn(narrow), np.array([[1e6], [-1e6]]))) == [Decimal("99.9"), Decimal("-99.9")]
    wide = pl.DataFrame({"a": [1, 2**100]}, schema={"a": pl.Int128})
    low, high = column(draws(Schema.learn(wide), np.array([[-1e40], [1e40]])))
    assert low == -(2**127)
    assert high == int(np.nextafter(2.0**127, 0))


@pytest.mark.parametrize("frame", [*DECIMALS.values(), *WHOLE.values()], ids=[*DECIMALS, *WHOLE])
def test_a_model_of_them(frame, tmp_path):
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(frame)
    np.testing.assert_array_equal(np.isfinite(vae.transform(frame)), True)
    assert [a for a, b in zip(column(vae.impute(frame)), column(frame), strict=True) if b is not None] == [
        cell for cell in column(frame) if cell is not None
    ]
    drawn = vae.sample(20, random_state=0)
    assert dtype_of(drawn) == dtype_of(frame)
    seen = [cell for cell in column(frame) if cell is not None]
    spread = float(max(seen) - min(seen))
    assert all(float(min(seen)) - 3 * spread < cell < float(max(seen)) + 3 * spread for cell in column(drawn))
    assert len(set(column(drawn))) > 10  # not clipped
    vae.save(tmp_path / "vae.skvae")
    again = VAETransformer.load(tmp_path / "vae.skvae")
    assert column(again.sample(20, random_state=0)) == column(drawn)
    assert column(pickle.loads(pickle.dumps(vae)).sample(20, random_state=0)) == column(drawn)
    statistics = TableStatistics().update(frame[:10]).update(frame[10:])
    np.testing.assert_allclose(statistics.mean[0], np.nanmean(encode(vae.fitted_.schema, frame)[:, 0]))


def test_decimals_among_levels(tmp_path):
    frame = pd.DataFrame({"rate": [Decimal("0.5"), Decimal("2.5")] * 10, "b": REAL[:20]})
    vae = VAETransformer(1, categorical_features=["rate"], max_iter=0).fit(frame)
    vae.save(tmp_path / "vae.skvae")
    assert set(VAETransformer.load(tmp_path / "vae.skvae").sample(9, random_state=0)["rate"]) <= {
        Decimal("0.5"),
        Decimal("2.5"),
    }
    np.testing.assert_array_equal(vae.transform(frame), vae.transform(frame.astype(float)))


def test_decimals_fit_where_pca_takes_them():
    frame = pd.DataFrame({"price": MONEY, "kg": REAL})
    assert VAETransformer(1, max_iter=1).fit_transform(frame).shape == PCA(1).fit_transform(frame).shape
    rows = [[a, b] for a, b in zip(MONEY, REAL.tolist(), strict=True)]
    np.testing.assert_array_equal(
        VAETransformer(1, max_iter=1, random_state=0).fit_transform(rows),
        VAETransformer(1, max_iter=1, random_state=0).fit_transform(np.array(rows, dtype=float)),
    )


def test_cells_of_a_list_stay_what_they_are():
    rows = [[10**25, "u", Decimal("1.5")], [3, "v", Decimal("2.25")], [None, "u", None], [7, "u", Decimal("0.5")]]
    schema = Schema.learn(rows)
    assert schema.number_types == {0: int, 2: Decimal}
    assert draws(schema, np.array([[1e25, 0.0, 0.126]])).tolist() == [[int(1e25), "u", Decimal("0.13")]]
    filled = fill(schema, rows, np.full((4, 3), 1.0)).tolist()
    assert filled == [*rows[:2], [1, "u", Decimal("1.00")], rows[3]]
    assert type(filled[2][2]) is Decimal


def test_not_a_number_among_decimals_is_missing():
    frame = pd.DataFrame({"a": [Decimal("1"), Decimal("NaN"), None, Decimal("2")], "b": [1.0, 2.0, 3.0, 4.0]})
    schema = Schema.learn(frame)
    assert missing(schema, frame)[:, 0].tolist() == [False, True, True, False]
    assert column(fill(schema, frame, np.full((4, 2), 5.0))) == [1, 5, 5, 2]


def test_values_of_sample_given():
    schema = Schema.learn(pd.DataFrame({"a": MONEY, "b": HUGE}))
    np.testing.assert_array_equal(given_row(schema, {"a": Decimal("2.5"), "b": 10**25})[0], [[2.5, 1e25]])
    for value in (Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), 10**400):
        with pytest.raises(ValueError, match=r"for column 'a', which holds numbers. Use a finite number"):
            given_row(schema, {"a": value})


@pytest.mark.parametrize("cell", [10**400, Fraction(10**400)], ids=["int", "fraction"])
def test_whole_numbers_beyond_float64_are_refused_by_name(cell):
    rows = [[float(x), int(x)] for x in range(1, 9)]
    bad = [[x, cell] for x, _ in rows]
    vae = VAETransformer(1, max_iter=0).fit(rows)
    for X, name in ((bad, "x1"), (np.array(bad, dtype=object), "x1"), (pd.DataFrame(bad, columns=["a", "b"]), "b")):
        message = f"Column '{name}' holds a whole number that is too large for float64"
        with pytest.raises(ValueError, match=message):
            VAETransformer(1).fit(X)
        with pytest.raises(ValueError, match=f"Chunk 1: {message}"):
            TableStatistics().update(X)
    with pytest.raises(ValueError, match="Column 'x1' holds a whole number"):
        vae.transform(bad)


def test_chunks_of_other_types_of_numbers():
    def type_of(*chunks):
        statistics = TableStatistics()
        for chunk in chunks:
            statistics.update(pl.DataFrame({"a": chunk}))
        vae = VAETransformer(1, random_state=0).fit_statistics(statistics).partial_fit(pl.DataFrame({"a": chunks[0]}))
        return vae.sample(1, random_state=0)["a"].dtype

    small, wide = pl.Series([1, 2, 5]), pl.Series([1, 2**80, 7], dtype=pl.Int128)
    assert type_of(small, wide) == type_of(wide, small) == pl.Int128
    money, fine = (pl.Series(["1.5", "2.5", "4"]).cast(pl.Decimal(9, k)) for k in (1, 4))
    assert type_of(money, fine) == type_of(fine, money) == pl.Decimal(9, 4)


# ---------------------------------------------------------------- arrow's dictionaries


@pytest.mark.parametrize(
    "values", [[3, 1, None, 3, 1, 3], [0.5, 2.5, None, 0.5, 2.5, 0.5], ["u", "v", None, "u", "v", "u"]]
)
@pytest.mark.parametrize("library", ["pyarrow", "pandas"])
def test_dictionaries_of_any_values_come_back(values, library, tmp_path):
    cells = pa.array(values).dictionary_encode()
    frame = pa.table({"a": cells, "b": REAL[:6]})
    if library == "pandas":
        frame = pd.DataFrame({"a": pd.array(values, pd.ArrowDtype(cells.type)), "b": REAL[:6]})
    vae = VAETransformer(1, max_iter=0).fit(frame)
    assert vae.fitted_.schema.kinds[0] == "category"
    for table in (vae.sample(5, random_state=0), vae.reconstruct(frame), vae.impute(frame)):
        assert dtype_of(table) == dtype_of(frame)
        assert set(column(table)) <= set(values) - {None}
    vae.save(tmp_path / "vae.skvae")
    assert column(VAETransformer.load(tmp_path / "vae.skvae").sample(5, random_state=0)) == column(
        vae.sample(5, random_state=0)
    )


# ---------------------------------------------------------------- the types themselves


def test_types():
    assert integer_range("UInt128") == (0, 2**128 - 1)
    assert integer_range(np.dtype("int8")) == (-128, 127)
    assert integer_range("Float64") is None
    assert float_limits(pa.decimal128(4, 2)) == (-99.99, 99.99)
    low, high = float_limits(pl.Decimal(38, 0))
    assert int(high) <= 10**38 - 1 < int(np.nextafter(high, np.inf))
    assert low == -high
    assert as_decimal(0.1 + 0.2, 2) == Decimal("0.30")
    assert str(as_decimal(-0.001, 2)) == "0.00"
    assert as_decimal(1e300, 2) == Decimal("1e300")
    assert n_decimals([Decimal("1.500"), Decimal("20"), Decimal("0.125"), Decimal("Infinity")]) == 3
    assert n_decimals([]) == 0
    assert [widest(t) for t in ([np.int8, np.int32], [np.int8, int], [int, Decimal], [Decimal, np.float32])] == [
        np.int32,
        int,
        Decimal,
        np.float64,
    ]


@pytest.mark.parametrize("name", DECIMALS)
def test_draws_of_decimals_stay_in_the_support(name):
    """A price of 0.004 is 0.01 and not 0, of which no gamma distribution knows."""
    cells = [None if m is None else abs(m) / 1000 + Decimal("0.01") for m in holed(MONEY)]
    cells = [None if c is None else c.quantize(Decimal("0.01")) for c in cells]
    frame = frames(cells, pl.Decimal(10, 2), *TYPES)[name]
    vae = VAETransformer(1, likelihood=[("gamma", ["a"])], max_iter=1, random_state=0).fit(frame)
    drawn = vae.sample(500, random_state=0)
    assert dtype_of(drawn) == dtype_of(frame)
    assert min(column(drawn)) == Decimal("0.01")
    assert np.isfinite(vae.score(drawn))
