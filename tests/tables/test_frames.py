"""Frames: what no method reads is refused with the way out."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skvae import TableStatistics, VAETransformer
from skvae._tables.frames import as_frame, refuse_duplicate_names

GOOD = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["a", "b", "c"])
TWICE = GOOD.set_axis(["a", "b", "a"], axis=1)
METHODS = ("transform", "reconstruct", "score", "score_samples", "score_columns", "impute")


@pytest.fixture(scope="module")
def fitted():
    return VAETransformer(1, max_iter=1, random_state=0).fit(GOOD)


FITS = {
    "fit": lambda vae: vae.fit(TWICE),
    "fit_transform": lambda vae: vae.fit_transform(TWICE),
    "partial_fit": lambda vae: vae.partial_fit(TWICE),
    "fit_batches": lambda vae: vae.fit_batches(lambda: iter([GOOD, TWICE])),
    "fit_statistics": lambda vae: vae.fit_statistics(lambda: iter([TWICE])),
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_fits_refuse_duplicate_names_and_say_what_to_do(fit):
    with pytest.raises(ValueError, match=r"several columns of the same name: \['a'\]. Rename or drop them: df.columns"):
        fit(VAETransformer(1))


@pytest.mark.parametrize("method", METHODS)
def test_methods_refuse_duplicate_names_and_say_what_to_do(fitted, method):
    with pytest.raises(ValueError, match=r"X has several columns of the same name: \['a'\]. Rename or drop them"):
        getattr(fitted, method)(TWICE)


def test_a_fitted_model_that_goes_on_refuses_duplicate_names(fitted):
    with pytest.raises(ValueError, match="X has several columns of the same name"):
        fitted.partial_fit(TWICE)
    with pytest.raises(ValueError, match="X_val has several columns of the same name"):
        VAETransformer(1).fit(GOOD, X_val=TWICE)


def test_statistics_refuse_duplicate_names():
    with pytest.raises(ValueError, match="Chunk 1: X has several columns of the same name: \\['a'\\]"):
        TableStatistics().update(TWICE)


def test_duplicate_names_of_other_kinds():
    pairs = GOOD.set_axis(pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)]), axis=1)
    arrow = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(ValueError, match=r"\[\('a', 1\)\]. Rename or drop them"):
        as_frame(pairs)
    with pytest.raises(ValueError, match=r"\[nan\]. Rename or drop them"):
        as_frame(GOOD.set_axis([np.nan, np.nan, 1.0], axis=1))
    with pytest.raises(ValueError, match=r"\['a'\]. Rename or drop them: table.rename_columns"):
        as_frame(arrow)


@pytest.mark.parametrize("X", [GOOD, pl.from_pandas(GOOD), GOOD.to_numpy(), [[1, 1]], None, "aa"], ids=type)
def test_what_has_no_duplicate_names_passes(X):
    refuse_duplicate_names(X)
