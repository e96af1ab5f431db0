"""Collections that are not in memory: refused by everything that reads a table, with lines that work."""

import importlib.util
import shutil
import textwrap
from pathlib import Path

import narwhals
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn

from skvae import VAETransformer, display, metrics
from skvae._tables.lazy import LINES

ROWS = np.random.default_rng(0).normal(size=(200, 4)) @ np.random.default_rng(1).normal(size=(4, 4))
FRAME = pd.DataFrame(ROWS, columns=list("abcd"))


class Opened(Exception):
    """Somebody has asked a lazy table for its rows."""


@pytest.fixture
def vae():
    return VAETransformer(2, max_iter=1, random_state=0).fit(FRAME)


def dask_array(rows):
    return pytest.importorskip("dask.array").from_array(rows, chunks=(70, 3))


def dask_frame(rows):
    return pytest.importorskip("dask.dataframe").from_pandas(pd.DataFrame(rows, columns=list("abcd")), npartitions=3)


def lazy_frame(rows):
    return pl.LazyFrame(rows, schema=list("abcd"))


def narwhals_frame(rows):
    return narwhals.from_native(lazy_frame(rows))


LAZY = [dask_array, dask_frame, lazy_frame, narwhals_frame]
READERS = {
    "fit": lambda vae, X: vae.fit(X),
    "weights": lambda vae, X: vae.fit(X, sample_weight=np.arange(200)),
    "X_val": lambda vae, X: vae.fit(FRAME, X_val=X),
    "fit_transform": lambda vae, X: vae.fit_transform(X),
    "partial_fit": lambda vae, X: vae.partial_fit(X),
    "first_partial_fit": lambda vae, X: sklearn.clone(vae).partial_fit(X),
    **{
        name: lambda vae, X, name=name: getattr(vae, name)(X)
        for name in ("transform", "encode", "reconstruct", "score_samples", "score_columns", "score", "impute")
    },
    "inverse_transform": lambda vae, X: vae.inverse_transform(X),
    "decode": lambda vae, X: vae.decode(X),
    "reconstruction_error": metrics.reconstruction_error,
    "mutual_information": metrics.mutual_information,
    "effective_sample_size": metrics.effective_sample_size,
    "LatentSpaceDisplay": display.LatentSpaceDisplay.from_estimator,
    "ReconstructionDisplay": display.ReconstructionDisplay.from_estimator,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("lazy", LAZY)
def test_refused_unread(lazy, reader, vae, monkeypatch):
    """By name, before a row is computed."""

    def opened(*args, **kwargs):
        raise Opened

    X = lazy(ROWS)
    if "dask" in type(X).__module__:
        import dask

        monkeypatch.setattr(dask.base, "get_scheduler", opened)
    monkeypatch.setattr(pl.LazyFrame, "collect", opened)
    before = vars(vae).copy()
    named = rf"is a {type(X).__module__}\.\w+, whose rows are not in memory"
    with pytest.raises(TypeError, match=named):
        READERS[reader](vae, X)
    assert vars(vae) == before


def test_the_parameter_is_named(vae):
    with pytest.raises(TypeError, match=r"^X_val is a polars"):
        vae.fit(FRAME, X_val=lazy_frame(ROWS))
    with pytest.raises(TypeError, match=r"^Z is a polars"):
        vae.inverse_transform(lazy_frame(ROWS))


def test_refused_under_array_api_dispatch(vae):
    with sklearn.config_context(array_api_dispatch=True), pytest.raises(TypeError, match="map_blocks"):
        vae.transform(dask_array(ROWS))


@pytest.mark.parametrize("kind", ["dask array", "dask", "pyspark"])
def test_the_guide_has_the_lines(kind):
    """All but the last, which fits."""
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "searches.md").read_text()
    assert "\n".join(textwrap.dedent(LINES[kind]).strip().splitlines()[:-1]) in guide


def lines_of(vae, X):
    with pytest.raises(TypeError) as refusal:
        vae.transform(X)
    return [line.strip() for line in str(refusal.value).splitlines()[1:]]


def run(lines, **names):
    """The value of the last of some lines."""
    *first, last = lines
    exec("\n".join(first), names)
    return eval(last, names)


@pytest.mark.parametrize("lazy", LAZY)
def test_the_lines_work(lazy, vae):
    """They give the shape, names and types before anything is computed, the right values after, and every row."""
    X = lazy(ROWS)
    if lazy is lazy_frame and not hasattr(X, "collect_batches"):
        pytest.skip("polars before collect_batches, which the line for lazy frames calls")
    known = vae.transform(FRAME)
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(ROWS) if lazy is dask_array else vae
    *encode, fit = lines_of(vae, X)
    codes = run(encode, vae=vae, X=X, narwhals=narwhals)
    if lazy is dask_array:
        assert (codes.shape, codes.chunks, codes.dtype) == ((200, 2), ((70, 70, 60), (2,)), float)
    if lazy is dask_frame:
        assert list(codes.columns) == ["vaetransformer0", "vaetransformer1"]
        assert (codes.npartitions, set(codes.dtypes)) == (3, {np.dtype(float)})
        pd.testing.assert_frame_equal(codes.compute(), vae.transform(FRAME))
    np.testing.assert_allclose(np.asarray(codes), known, atol=1e-12)
    fitted = run([fit], vae=sklearn.clone(vae), X=X, narwhals=narwhals)
    assert fitted.n_features_in_ == 4
    if "sample" not in fit:
        np.testing.assert_allclose(fitted.fitted_.columns.scale, ROWS.std(axis=0))


def test_scores_of_dask_collections(vae):
    """One number per row: the chunks lose their columns."""
    X, frame = dask_array(ROWS).rechunk({1: -1}), dask_frame(ROWS)
    known = vae.score_samples(FRAME)
    by_position = VAETransformer(2, max_iter=1, random_state=0).fit(ROWS)
    scores = X.map_blocks(by_position.score_samples, drop_axis=1, dtype=float)
    assert scores.chunks == ((70, 70, 60),)
    np.testing.assert_allclose(scores.compute(), known)
    series = frame.map_partitions(
        lambda part: pd.Series(vae.score_samples(part), part.index), meta=pd.Series(dtype=float)
    )
    np.testing.assert_allclose(series.compute(), known)


def test_the_spark_line_on_plain_frames(vae):
    """What `mapInPandas` calls, without Spark: an iterator of frames to an iterator of frames."""

    class Frame:
        def mapInPandas(self, function, schema):
            return pd.concat(function(iter([FRAME[:90], FRAME[90:]]))), schema

    Frame.__module__ = "pyspark.sql.classic.dataframe"
    X = Frame()
    *encode, fit = lines_of(vae, X)
    codes, schema = run(encode, vae=vae, X=X)
    assert schema == "vaetransformer0 double, vaetransformer1 double"
    pd.testing.assert_frame_equal(codes, vae.transform(FRAME), rtol=1e-12)
    assert "toPandas" in fit


@pytest.mark.slow
@pytest.mark.skipif(not (importlib.util.find_spec("pyspark") and shutil.which("java")), reason="needs pyspark and java")
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated:DeprecationWarning")  # of pandas, used by pyspark
def test_the_lines_work_on_spark(vae):
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        X = spark.createDataFrame(FRAME)
        *encode, fit = lines_of(vae, X)
        codes = run(encode, vae=vae, X=X)
        assert codes.dtypes == [("vaetransformer0", "double"), ("vaetransformer1", "double")]
        np.testing.assert_allclose(codes.toPandas(), vae.transform(FRAME), atol=1e-12)
        assert run([fit.replace("0.01", "0.5")], vae=sklearn.clone(vae), X=X).n_features_in_ == 4
    finally:
        spark.stop()
