"""Large tables: no copy of the table whole, files that are read as they go, a cost per row that does not grow."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from skvae import VAETransformer
from skvae._tables.on_disk import draw_runs, mapped_rows


def table(n=6000, D=8, seed=0):
    """Rows in order of their cluster: what a file that was written group by group looks like."""
    rng = np.random.default_rng(seed)
    cluster = np.sort(rng.integers(6, size=n))
    return (
        rng.normal(size=(6, D))[cluster] * 3
        + rng.normal(size=(n, 2)) @ rng.normal(size=(2, D))
        + rng.normal(size=(n, D))
    )


@pytest.fixture
def mapped(tmp_path):
    """Write an array to a file and map it read-only."""

    def write(X, mode="r"):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
        np.save(file, X)
        return np.load(file, mmap_mode=mode)

    return write


# Rows of a file


def test_a_batch_from_a_file_has_rows_of_many_runs(mapped):
    rows, _ = mapped_rows(mapped(table(200_000, 2)), None, 0)
    assert rows.index.length == 64
    part = next(
        draw_runs(
            rows.index, np.broadcast_to(1.0, len(rows)), len(rows), [0, 100_000, 200_000], np.random.default_rng(0)
        )
    )
    assert len(np.unique(part[:256] // 64)) > 200


# Dtypes


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, bool])
def test_integers_give_what_the_same_numbers_give_as_float64(dtype):
    X = (
        np.clip(np.round(table(400, 5)) + (10 if dtype is np.uint16 else 0), 0 if dtype != np.int8 else -100, 100)
        if dtype is not bool
        else table(400, 5) > 0
    )
    X = X.astype(dtype)
    a, b = (VAETransformer(2, max_iter=3, random_state=0).fit(rows) for rows in (X, X.astype(np.float64)))
    np.testing.assert_array_equal(a.transform(X), b.transform(X.astype(np.float64)))
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(X.astype(np.float64)))
    csr = sparse.csr_array(X)
    assert a.transform(csr).dtype == np.float64
    np.testing.assert_allclose(a.transform(csr), a.transform(X), atol=1e-12)
    assert a.reconstruct(X).dtype == np.float64


# Memory


def peak_of(function):
    """Bytes at the peak of what Python and numpy allocate."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float32, *(pytest.param(d, marks=pytest.mark.slow) for d in (float, np.int8))])
def test_no_method_copies_the_table(dtype):
    X = np.round(table(200_000, 30)).astype(dtype)
    vae = VAETransformer(3, hidden_layer_sizes=(4,), max_iter=1, batch_size=1024, random_state=0)
    bound = 4 * 8 * len(X) + 30e6  # four numbers per row, and blocks; the table has 30, cast to float64 48 MB
    assert peak_of(lambda: vae.fit(X)) < bound
    assert peak_of(lambda: vae.transform(X)) < bound
    assert peak_of(lambda: vae.set_params(n_score_samples=2).score_samples(X)) < bound


# Files


def fitted(X, **parameters):
    return VAETransformer(3, **{"max_iter": 15, "random_state": 0, **parameters}).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, *(pytest.param(d, marks=pytest.mark.slow) for d in (float, np.int8))])
def test_a_file_trains_like_the_array(mapped, dtype):
    X = np.round(4 * table()).astype(dtype)
    is_test = np.random.default_rng(1).uniform(size=len(X)) < 0.3
    X, test = X[~is_test], X[is_test]
    file = mapped(X)
    a, b = fitted(X), fitted(file)
    linear = fitted(X, max_iter=0).score(test)
    gain = a.score(test) - linear
    assert gain > 0.3
    assert b.score(test) - linear > 0.8 * gain  # rows in order of their cluster would lose nats
    np.testing.assert_array_equal(b.transform(file), b.transform(X))
    np.testing.assert_array_equal(b.score_samples(file), b.score_samples(X))
    np.testing.assert_array_equal(b.reconstruct(file), b.reconstruct(X))
    np.testing.assert_array_equal(file, X)


def test_a_file_fits_reproducibly_and_resumes(mapped):
    X = mapped(table(2000))
    a, b = fitted(X, max_iter=4, early_stopping=False), VAETransformer(3, random_state=0)
    for _ in range(4):
        b.partial_fit(X)
    np.testing.assert_array_equal(a.transform(X)[:, np.argsort(a.order_)], b.transform(X)[:, np.argsort(b.order_)])
    np.testing.assert_array_equal(fitted(X).transform(X), fitted(X).transform(X))


def test_partial_fit_takes_files_and_arrays_in_turn(mapped):
    X = table(2000).astype(np.float32)
    vae = VAETransformer(3, random_state=0).partial_fit(mapped(X[::2])).partial_fit(X[1::2]).partial_fit(mapped(X[::2]))
    assert vae.n_iter_ == 3
    assert vae.score(X) > fitted(X, max_iter=0).score(X) - 0.1


def test_weights_of_a_file(mapped):
    """Weight 0 drops a row; a weight is a share of the epoch."""
    X = table(3000)
    X[::3] += 1000
    weight = np.ones(len(X))
    weight[::3] = 0
    vae = VAETransformer(3, max_iter=3, random_state=0).fit(mapped(X), sample_weight=weight)
    kept = X[weight > 0]
    np.testing.assert_allclose(vae.fitted_.columns.shift, kept.mean(0), atol=0.3)
    assert vae.score(kept) > fitted(kept, max_iter=0).score(kept)
    heavy = VAETransformer(3, max_iter=2, random_state=0).fit(mapped(X), sample_weight=1 + 2 * weight)
    assert np.isfinite(heavy.score(X))


def test_missing_values_transformations_and_held_out_files(mapped):
    X = table(3000)
    incomplete = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.1, np.nan, X)
    for scaling in ("standard", "quantile"):
        a, b = (fitted(rows, scaling=scaling, max_iter=5) for rows in (incomplete, mapped(incomplete)))
        assert abs(a.score(incomplete) - b.score(incomplete)) < 0.1
        assert a.history_[0]["valid_loss"] == pytest.approx(b.history_[0]["valid_loss"], abs=1.0)
    vae = VAETransformer(3, max_iter=2, random_state=0).fit(mapped(X), X_val=mapped(X[:100]))
    assert vae.history_[0]["valid_loss"] == pytest.approx(
        -vae.set_params(max_iter=0).fit(mapped(X)).score(X[:100]), abs=0.3
    )


def test_a_file_of_counts_and_of_categories(mapped):
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(rng.normal(size=(2000, 1)) * 0.5 + 1), size=(2000, 4)).astype(np.int16)
    vae = VAETransformer(2, likelihood="poisson", max_iter=2, random_state=0).fit(mapped(counts))
    assert np.isfinite(vae.score(mapped(counts)))
    with pytest.raises(ValueError, match="'x2' has the value -1"):
        vae.score(mapped(np.where(np.arange(4) == 2, -1, counts).astype(np.int16)))
    named = VAETransformer(2, categorical_features=[1], max_iter=2, random_state=0).fit(mapped(np.minimum(counts, 3)))
    assert named.likelihoods_["x1"].n_classes == 4


def test_what_is_not_finite_in_a_file(mapped):
    X = table(3000)
    X[2500, 3] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        VAETransformer(2).fit(mapped(X))
    X[2500, 3] = 1e300
    with pytest.raises(ValueError, match="Column 'x3' has values whose variance overflows"):
        VAETransformer(2).fit(mapped(X))


UNDER_A_LIMIT = """
import re, resource, sys
import numpy as np
from skvae import VAETransformer

def small(X):
    return VAETransformer(2, hidden_layer_sizes=(8,), max_iter=1, batch_size=1024, random_state=0).fit(X)

small(np.random.default_rng(0).normal(size=(500, 30)))  # libraries have loaded what they load
X = np.memmap(sys.argv[1], dtype=sys.argv[2], mode="r", shape=(int(sys.argv[3]), 30))
used = 1024 * int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1])
limit = X.nbytes // 3
resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))
try:
    np.ones(2 * limit, np.int8)
    sys.exit("the limit does not hold")
except MemoryError:
    pass
vae = small(X)
assert vae.n_iter_ == 1 and np.isfinite(vae.score(X[:100_000]))
assert vae.transform(X[:100_000]).shape == (100_000, 2)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mappings on Linux only")
@pytest.mark.parametrize(("dtype", "n_rows"), [("float32", 2_000_000), ("float64", 4_000_000)])
def test_a_file_three_times_the_memory_that_is_allowed_trains(tmp_path, dtype, n_rows):
    file = tmp_path / "table"
    rows = np.random.default_rng(0).normal(size=(n_rows // 40, 30)).astype(dtype)
    with open(file, "wb") as stream:
        for _ in range(40):
            stream.write(rows.tobytes())
    command = [sys.executable, "-c", UNDER_A_LIMIT, str(file), dtype, str(n_rows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
