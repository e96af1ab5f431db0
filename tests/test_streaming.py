"""Tables in chunks: statistics that merge, streams that start right, sources of any kind that become a file."""

import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pandas as pd
import polars as pl
import pytest
from chunks import cut, frame, source_of, statistics_of
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from test_large import table

import skvae._fitting.training
import skvae._tables.statistics
from skvae import ELBO, NormalMixture, TableStatistics, VAETransformer
from skvae._tables.columns import Columns
from skvae._tables.moments import moments
from skvae._tables.selection import RowSelection

FAST = {"n_components": 2, "hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ({"a": ["x"]}, {"a": [1.5]}, "Chunk 2: Column 'a' holds numbers, but it held strings or categories before"),
        ({"a": [True]}, {"a": [2]}, "Chunk 2: Column 'a' holds numbers, but it held bools before"),
        ({"a": [1]}, {"b": [1]}, "Chunk 2: X has the 1 columns 'b' of pandas, but there were the 1 columns 'a'"),
        ({"a": [1]}, np.ones((1, 1)), "Chunk 2: X has 1 columns without names, but there were the 1 columns 'a'"),
        (np.ones((1, 3)), np.ones((1, 2)), "Chunk 2: X has 2 columns without names, but there were 3 columns"),
        (np.ones((1, 2)), np.full((1, 2), np.inf), "Chunk 2: Input X contains infinity"),
        (np.ones((1, 2)), np.ones(2), "Chunk 2: (X has 0 columns without names|Expected 2D array)"),
        ({"a": [1]}, {"a": [pd.Timestamp(0)]}, "Chunk 2: Column 'a' holds dates or times"),
    ],
)
@pytest.mark.parametrize("method", ["fit_batches", "fit_statistics"])
def test_chunks_that_do_not_go_together(first, second, what, method):
    chunks = [pd.DataFrame(chunk) if isinstance(chunk, dict) else chunk for chunk in (first, second)]
    with pytest.raises(ValueError, match=what):
        getattr(VAETransformer(**FAST), method)(lambda: iter(chunks))


# A stream


def test_a_first_chunk_unlike_the_rest_starts_from_all_rows():
    """The start is that of `fit` on the whole table, whatever trains first: a learning rate of nearly 0 shows it."""
    X = frame()
    first = X[X["kind"] == "a"].assign(size=1.0)  # one kind, a constant, nothing missing
    X = pd.concat([first, X[X["kind"] != "a"]])
    still = {**FAST, "learning_rate": 1e-12, "early_stopping": False}
    streamed = VAETransformer(**still).fit_statistics(source_of(X)).partial_fit(first)
    whole = VAETransformer(**{**still, "max_iter": 1}).fit(X)
    for name in ("shift", "scale", "reach"):
        numbers = [getattr(vae.fitted_.columns, name)[whole.fitted_.columns.is_number] for vae in (streamed, whole)]
        np.testing.assert_allclose(*numbers, rtol=1e-10)
    assert str(streamed.likelihoods_) == str(whole.likelihoods_)
    assert str(streamed.likelihoods_["kind"]) == "Categorical(n_classes=6)"
    assert streamed.fitted_.config["incomplete"] == whole.fitted_.config["incomplete"] == [0, 1]
    np.testing.assert_array_equal(streamed.order_, whole.order_)
    np.testing.assert_array_equal(streamed.signs_, whole.signs_)
    np.testing.assert_allclose(streamed.transform(X), whole.transform(X), atol=1e-6)
    np.testing.assert_allclose(streamed.kl_per_component_, whole.kl_per_component_, atol=1e-6)
    np.testing.assert_allclose(streamed.noise_variance_, whole.noise_variance_, atol=1e-6)
    assert not hasattr(streamed, "statistics_")
    drawn = streamed.sample(50, random_state=0)
    assert drawn.dtypes.equals(whole.sample(2).dtypes)


@pytest.mark.parametrize("scaling", ["power", "quantile"])
def test_transformations_come_from_the_sample(scaling):
    X = np.exp(table(500, 3) / 3)
    a = VAETransformer(**FAST, scaling=scaling).fit_statistics(source_of(X)).partial_fit(X[:50])
    b = VAETransformer(**FAST, scaling=scaling).partial_fit(X)
    grid = np.linspace(X.min(0), X.max(0), 50)
    np.testing.assert_allclose(a.fitted_.columns.working_array(grid), b.fitted_.columns.working_array(grid), atol=1e-8)


def test_a_stream_of_a_sorted_first_chunk_learns_what_a_pass_over_all_learns():
    X = table(4000)
    rng = np.random.default_rng(0)
    chunks = [X[:500], *np.array_split(X[500 + rng.permutation(3500)], 7)]
    vae, naive = (VAETransformer(3, random_state=0) for _ in range(2))
    vae.fit_statistics(lambda: iter(chunks))
    for chunk in chunks:
        vae.partial_fit(chunk)
        naive.partial_fit(chunk)
    settings = {"max_iter": 1, "early_stopping": False, "batch_size": 32, "prior": "normal"}  # as many steps
    whole = VAETransformer(3, **settings, random_state=0).fit(X)
    assert vae.score(X) > whole.score(X) - 0.5
    assert naive.score(X) < whole.score(X) - 2  # scaling and initialisation of one cluster


def test_what_a_sample_may_miss_is_known_exactly(monkeypatch):
    """One row in thousands has the last class, one cell of a table of zeros and ones is neither."""
    monkeypatch.setattr(skvae._tables.statistics, "_CELLS_SAMPLED", 1000)
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (4000, 2)).astype(float)
    rows = statistics_of([X])._sample.rows
    assert len(rows) == 9
    X = np.column_stack([X, rng.normal(size=4000)])
    sampled = {row.tobytes() for row in statistics_of([X])._sample.rows}
    outside = next(i for i, row in enumerate(X) if row.tobytes() not in sampled)
    X[outside, 0] = 7
    named = [("categorical", [0]), ("ordinal", [1])]
    vae = VAETransformer(2, likelihood=named, random_state=0).fit_statistics(source_of(X)).partial_fit(X[:20])
    assert [vae.likelihoods_[name].n_classes for name in ("x0", "x1")] == [8, 3]
    mean, variance = moments(X, np.ones(4000))
    np.testing.assert_allclose(vae.fitted_.columns.shift[2], mean[2], rtol=1e-10)
    np.testing.assert_allclose(vae.fitted_.columns.scale[2], np.sqrt(variance[2]), rtol=1e-10)
    bits = rng.integers(0, 2, (4000, 12)).astype(float)
    vae = VAETransformer(2, random_state=0).fit_statistics(source_of(bits))
    assert set(map(str, vae.partial_fit(bits[:100]).likelihoods_.values())) == {"Bernoulli()"}
    for i in range(0, 4000, 500):  # wherever it is, and most are not in the sample
        one = bits.copy()
        one[i, 0] = 0.5
        vae = VAETransformer(2, random_state=0).fit_statistics(source_of(one)).partial_fit(one[:10])
        assert str(vae.likelihoods_["x0"]) == "Gaussian()"


def test_statistics_are_kept_until_they_are_used():
    X = frame()
    vae = VAETransformer(**FAST).fit(X)
    vae.fit_statistics(source_of(X))
    assert vae.statistics_.n_rows == len(X)
    assert not hasattr(vae, "module_")
    assert vae.feature_names_in_.tolist() == list(X)
    with pytest.raises(NotFittedError):
        vae.transform(X)
    again = pickle.loads(pickle.dumps(vae))
    with pytest.raises(ValueError, match="feature names"):
        vae.partial_fit(X.rename(columns={"size": "weight"}))
    assert vae.statistics_.n_rows == len(X)  # what failed has used nothing
    np.testing.assert_array_equal(vae.partial_fit(X[:99]).transform(X), again.partial_fit(X[:99]).transform(X))
    assert not hasattr(clone(again.fit_statistics(source_of(X))), "statistics_")
    ignored = again.fit(X[:300])
    assert not hasattr(ignored, "statistics_")
    np.testing.assert_array_equal(ignored.transform(X), VAETransformer(**FAST).fit(X[:300]).transform(X))


def test_given_statistics():
    X = frame()
    given = statistics_of(cut(X, 3))
    a = VAETransformer(**FAST).fit_statistics(given)
    given.update(X)  # is not theirs any more
    b = VAETransformer(**FAST).fit_statistics(source_of(X))
    np.testing.assert_allclose(a.partial_fit(X[:99]).score(X), b.partial_fit(X[:99]).score(X), rtol=1e-14)
    with pytest.raises(ValueError, match="category columns 'auto', but the 'categorical_features' parameter"):
        VAETransformer(categorical_features="from_dtype").fit_statistics(given)
    with pytest.raises(ValueError, match="no rows"):
        VAETransformer().fit_statistics(TableStatistics())
    with pytest.raises(ValueError, match=r"'categorical_features' parameter of TableStatistics must be.*Got 1 instead"):
        TableStatistics(1).update(X)
    with pytest.raises(
        TypeError, match=r"'other' parameter of TableStatistics.merge must be TableStatistics.*type DataFrame"
    ):
        given.merge(X)


@pytest.mark.parametrize(
    "parameters",
    [{"prior": "mixture"}, {"objective": "ae"}, {"posterior": "laplace"}],
    ids=str,
)
def test_every_kind_of_model_starts_from_statistics(parameters):
    X = frame()
    vae = VAETransformer(**FAST, **parameters).fit_statistics(source_of(X)).partial_fit(X[:100]).partial_fit(X[100:])
    assert np.isfinite(vae.transform(X)).all()
    assert vae.n_iter_ == 2


# A source


@pytest.fixture
def mapped(tmp_path):
    """Write an array to a file and map it."""

    def write(X):
        np.save(tmp_path / "rows.npy", X)
        return np.load(tmp_path / "rows.npy", mmap_mode="r")

    return write


def assert_same_fit(a, b, X):
    np.testing.assert_array_equal(a.transform(X), b.transform(X))
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(X))
    without_clock = [[{k: v for k, v in record.items() if k != "dur"} for record in vae.history_] for vae in (a, b)]
    assert without_clock[0] == without_clock[1]
    assert set(vars(a)) == set(vars(b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_batches_are_a_file_bit_for_bit(mapped, dtype):
    X = np.round(10 * table(2000)).astype(dtype)
    a = VAETransformer(**FAST).fit_batches(source_of(X))
    assert_same_fit(a, VAETransformer(**FAST).fit(mapped(X)), X)
    assert_same_fit(a, VAETransformer(**FAST).fit_statistics(source_of(X)).fit_batches(source_of(X, 2)), X)
    b = VAETransformer(**FAST).fit_batches(lambda: (sparse.csr_array(part) for part in cut(X, 4)))
    assert_same_fit(a, b, X)


def test_held_out_rows_and_a_warm_start_as_with_a_file(mapped):
    X = table(1500)
    keep = {"warm_start": True}
    a = VAETransformer(**FAST, **keep).fit_batches(source_of(X), X_val=X[:100]).fit_batches(source_of(X))
    b = VAETransformer(**FAST, **keep).fit(mapped(X), X_val=X[:100]).fit(mapped(X))
    assert a.n_iter_ == 6
    assert_same_fit(a, b, X)


def test_missing_values_transformations_and_priors_from_a_source(mapped):
    X = table(1500)
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    parameters = {**FAST, "scaling": "quantile", "prior": NormalMixture(3), "objective": ELBO(beta=0.5)}
    a = VAETransformer(**parameters).fit_batches(source_of(X))
    assert_same_fit(a, VAETransformer(**parameters).fit(mapped(X)), X)


@pytest.mark.parametrize("options", [{}, {"X_val": table(100)}], ids=["held out", "X_val"])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_losses_of_a_file_have_the_mean_log_jacobian_of_the_training_rows(mapped, monkeypatch, early_stopping, options):
    """The margins of the table tell it without another pass."""
    X = table(1500) * 10.0 ** np.arange(8)
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    X = X.astype(np.float32)
    vae = VAETransformer(**FAST, early_stopping=early_stopping)
    told = clone(vae).fit(mapped(X), **options).history_
    asked = []
    monkeypatch.setattr(Columns, "sum_of_log_jacobians", lambda *args: asked.append(args))
    read = clone(vae).fit(mapped(X), **options).history_
    assert asked
    for name in {"train_loss", "valid_loss"} & set(told[-1]):
        assert told[-1][name] == pytest.approx(read[-1][name], rel=1e-9)


@pytest.mark.parametrize("init", ["auto", "pca", "random"])
@pytest.mark.parametrize("share", [0.0, 0.001])
def test_a_file_is_read_few_times_before_training(mapped, monkeypatch, init, share):
    """Three times beside scikit-learn's check; four with missing cells, for EM."""
    n, read = 400_000, {"before": 0}
    X = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    X[np.random.default_rng(1).random(X.shape) < share] = np.nan
    take = RowSelection.take

    def counted(self, positions=slice(None)):
        rows = take(self, positions)
        read["before"] += len(rows) / n
        return rows

    def stopped(*args):
        raise InterruptedError

    monkeypatch.setattr(RowSelection, "take", counted)
    monkeypatch.setattr(skvae._fitting.training, "train", stopped)
    with pytest.raises(InterruptedError):
        VAETransformer(**FAST, init=init).fit(mapped(X))
    assert 1 < read["before"] < (3.5 if share == 0 else 4.5)


@pytest.fixture(scope="module")
def raw():
    """A frame that every source below can hold, and the model of its slices."""
    X = frame().drop(columns=["new", "grade"])
    return X, VAETransformer(**FAST).fit_batches(source_of(X))


def parquet(X, folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.Table.from_pandas(X), folder / "rows.parquet", row_group_size=130)

    def chunks():
        file = pq.ParquetFile(folder / "rows.parquet")
        return (file.read_row_group(i) for i in range(file.num_row_groups))

    return chunks


def record_batches(X, folder):
    pa = pytest.importorskip("pyarrow")
    return lambda: iter(pa.Table.from_pandas(X).to_batches(max_chunksize=100))


def polars_scan(X, folder):
    pl.from_pandas(X).write_parquet(folder / "rows.parquet")
    return lambda: (pl.scan_parquet(folder / "rows.parquet").slice(i, 100).collect() for i in range(0, len(X), 100))


def sql_cursor(X, folder):
    with closing(sqlite3.connect(folder / "rows.db")) as connection:
        X.to_sql("rows", connection, index=False)

    def chunks():
        with closing(sqlite3.connect(folder / "rows.db")) as connection:
            yield from pd.read_sql("select * from rows", connection, chunksize=100)

    return chunks


def dask_partitions(X, folder):
    dd = pytest.importorskip("dask.dataframe")
    X = dd.from_pandas(X, npartitions=4, sort=False)
    return lambda: (part.compute(scheduler="sync") for part in X.partitions)


def csv_chunks(X, folder):
    X.to_csv(folder / "rows.csv", index=False)

    def chunks():
        with pd.read_csv(folder / "rows.csv", chunksize=100) as reader:
            yield from reader

    return chunks


@pytest.mark.parametrize("make", [parquet, record_batches, polars_scan, sql_cursor, dask_partitions, csv_chunks])
def test_every_source_gives_the_same_model(raw, make, tmp_path):
    X, expected = raw
    source = make(X, tmp_path)
    vae = VAETransformer(**FAST).fit_batches(source)
    first, *_ = source()
    np.testing.assert_array_equal(vae.transform(X), expected.transform(X))
    assert vae.feature_names_in_.tolist() == list(X)
    assert vae.n_features_in_ == 3
    assert type(first).__name__ in ("RecordBatch", type(vae.sample(2)).__name__)
    assert type(vae.inverse_transform(vae.transform(X))) is type(vae.sample(2))
    named = vae.set_output(transform="pandas").transform(X)
    assert named.columns.tolist() == ["vaetransformer0", "vaetransformer1"]


def test_a_frame_from_batches_comes_back_as_one():
    X = frame()
    vae = VAETransformer(**FAST).fit_batches(source_of(X))
    assert vae.sample(5, random_state=0).dtypes.equals(VAETransformer(**FAST).fit(X).sample(5).dtypes)
    assert vae.impute(X, random_state=0).notna().all(axis=None)
    again = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(again.transform(X), vae.transform(X))


def test_a_sorted_table_costs_nothing_but_in_partial_fit():
    """Nor does a sorted file, which is the same bit for bit; see above."""
    X = table(6000)
    is_test = np.random.default_rng(1).uniform(size=len(X)) < 0.25
    X, test = X[~is_test], X[is_test]
    parameters = {"n_components": 3, "max_iter": 2, "random_state": 0}
    shuffled = VAETransformer(**parameters).fit(X).score(test)
    chunks = np.array_split(X, 12)
    batches = VAETransformer(**parameters).fit_batches(lambda: iter(chunks))
    assert batches.score(test) > shuffled - 0.1
    stream = VAETransformer(**parameters).fit_statistics(lambda: iter(chunks))
    for _ in range(2):
        for chunk in chunks:
            stream.partial_fit(chunk)
    assert stream.score(test) < shuffled - 0.5


def test_a_failure_leaves_the_earlier_fit_and_no_file(tmp_path):
    X = table(500)
    vae = VAETransformer(**FAST).fit(X)
    before = vae.transform(X)
    calls = []

    def breaks_in_the_second_pass():
        calls.append(0)
        yield X
        if len(calls) == 2:
            assert os.name != "posix" or list(tmp_path.iterdir()) == []  # nothing that a kill would leave
            raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        vae.fit_batches(breaks_in_the_second_pass, cache_dir=tmp_path)
    np.testing.assert_array_equal(vae.transform(X), before)
    vae.fit_batches(source_of(X), cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_source():
    X = table(100)
    once = iter([X, X])
    for method in ("fit_batches", "fit_statistics"):
        call = getattr(VAETransformer(**FAST), method)
        with pytest.raises(TypeError, match=r"'source' is an object of type ndarray\. It must be a function"):
            call(X)
        with pytest.raises(TypeError, match=r"'source' returned an object of type DataFrame\. It must be a function"):
            call(frame)
        with pytest.raises(TypeError, match="'source' returned an object of type NoneType"):
            call(lambda: None)
        for parameters in ({}, {"warm_start": True}):
            vae = VAETransformer(**FAST, **parameters).fit(X)
            with pytest.raises(ValueError, match="The source has no rows"):
                getattr(vae, method)(lambda: iter([X[:0]]))
    with pytest.raises(ValueError, match=r"200 rows the first time and 0 the second\. It must return a fresh iterator"):
        VAETransformer(**FAST).fit_batches(lambda: once)
    growing = [X]
    with pytest.raises(ValueError, match="gave 100 rows the first time and more the second"):
        VAETransformer(**FAST).fit_batches(lambda: (growing.append(X), iter(growing[1:]))[1])


def test_a_second_pass_without_an_end_ends():
    """Nothing is read, or written to disk, beyond the rows that there should be."""
    chunk = np.random.default_rng(0).normal(size=(50, 2))
    calls = []

    def source():
        calls.append(1)
        yield from [chunk] * (3 if len(calls) > 1 else 2)
        assert len(calls) == 1, "read on"

    with pytest.raises(ValueError, match="100 rows the first time and more the second"):
        VAETransformer(1, max_iter=1, random_state=0).fit_batches(source)


def test_no_space_and_no_folder_are_said_before_the_work(monkeypatch, tmp_path):
    def unread():
        raise AssertionError("the source was read")

    with pytest.raises(FileNotFoundError, match=r"nowhere' does not take: No such file.*Name a folder.*cache_dir="):
        VAETransformer().fit_batches(unread, cache_dir=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="The 'n_components' parameter"):
        VAETransformer(0).fit_batches(unread)
    monkeypatch.setattr(skvae._fitting.streams.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match=r"file of 6.4e-06 GB, but .* has only 1e-06 GB left. Name .*cache_dir="):
        VAETransformer().fit_batches(source_of(table(100)), cache_dir=tmp_path)


UNDER_A_LIMIT = """
import re, resource, sys
import numpy as np
from skvae import VAETransformer

N_CHUNKS, ROWS, D = int(sys.argv[1]), 25_000, 60

def chunks(n_chunks=N_CHUNKS, n_rows=ROWS):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n_rows, D), dtype=np.float32).astype(sys.argv[2]) for _ in range(n_chunks))

def small(source):
    vae = VAETransformer(2, hidden_layer_sizes=(8,), max_iter=1, batch_size=1024, random_state=0)
    return vae.fit_batches(source, cache_dir=sys.argv[3])

small(lambda: chunks(2, 250))  # libraries have loaded what they load
used = 1024 * int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1])
limit = N_CHUNKS * ROWS * D * np.dtype(sys.argv[2]).itemsize // 3
resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))
try:
    np.ones(2 * limit, np.int8)
    sys.exit("the limit does not hold")
except MemoryError:
    pass
vae = small(chunks)
rows = next(chunks())
assert vae.n_iter_ == 1 and np.isfinite(vae.score(rows)) and vae.transform(rows).shape == (ROWS, 2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mappings on Linux only")
@pytest.mark.parametrize(("n_chunks", "dtype"), [(40, "float32"), pytest.param(80, "float64", marks=pytest.mark.slow)])
def test_a_source_three_times_the_memory_that_is_allowed_trains(tmp_path, n_chunks, dtype):
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(n_chunks), dtype, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
