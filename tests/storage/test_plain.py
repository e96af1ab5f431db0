"""What a state holds: plain data of every field, and nothing of other libraries or of our own modules."""

import os
import pickle
import pickletools
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
import skops.io
from stored_models import (
    IRIS,
    SMALL,
    VARIETY,
    WITH_FUNCTIONS,
    fitted,
    slower,
    through_a_file,
    through_pickle,
    through_skops,
)

import skvae
from skvae import ELBO, Gaussian, VAETransformer
from skvae._inference.fitted import Fitted
from skvae._storage.to_plain import to_plain
from skvae._tables import templates

pytestmark = pytest.mark.one_in(4)


def test_a_pickle_has_nothing_of_other_libraries():
    content = pickle.dumps(fitted("pandas"))
    others = (b"torch", b"skorch", b"pyarrow\n", b"pandas.core", b"narwhals", b"skvae._tables", b"skvae.families")
    for library in others:
        assert library not in content
    assert "polars." not in str(pickle.dumps(fitted("polars")))


def modules_of_ours(content):
    """What a pickle names of skvae: all strings that begin so, since opcodes take the name of a module from these."""
    arguments = [str(argument) for _, argument, _ in pickletools.genops(content)]
    return {argument for argument in arguments if argument.startswith("skvae")}


@pytest.mark.parametrize("name", sorted(set(VARIETY) - set(WITH_FUNCTIONS)))
def test_a_state_names_no_module_of_ours_but_the_estimators(name):
    assert modules_of_ours(pickle.dumps(fitted(name))) == {"skvae.estimator"}
    untrusted = skops.io.get_untrusted_types(data=skops.io.dumps(fitted(name)))
    assert untrusted == ["skvae.estimator.VAETransformer"]


def test_components_that_train_nothing_are_named_in_no_state():
    parameters = {
        "checkpoint": skvae.Checkpoint("runs"),
        "feature_loss": skvae.FeatureLoss(slower),
        "likelihood": [(Gaussian(noise="shared"), [0, 1]), ("laplace", slice(2, 4))],
        "schedule": skvae.Aggressive(),
        "column_weights": {"objective": ELBO(beta=2.0)},  # at any depth
    }
    for vae in (VAETransformer(**parameters), VAETransformer(**SMALL).fit(IRIS).set_params(**parameters)):
        assert modules_of_ours(pickle.dumps(vae)) == {"skvae.estimator"}


def test_every_field_is_in_a_state():
    state = to_plain(fitted("array").fitted_, keep_optimizer=True)
    # Those of the columns; what is known of conditions and of missing cells, which there are none of.
    without = {"likelihoods", "combinations", "missingness"}
    assert set(state) == {f.name for f in fields(Fitted)} - without | {"array_library"}


@pytest.mark.parametrize("name", VARIETY)
def test_a_state_of_a_fit_is_plain(name):
    """Whatever fields a fit will have: those that are neither plain nor turned into plain data fail here."""

    def check(value, path):
        if isinstance(value, dict):
            [check(entry, f"{path}.{key}") for key, entry in value.items()]
        elif type(value) in (list, tuple):
            [check(entry, f"{path}.{i}") for i, entry in enumerate(value)]
        else:
            is_of_the_user = getattr(value, "__name__", None) in ("square", "Adagrad")
            plain_types = (type(None), bool, int, float, str, slice, np.ndarray)
            assert type(value) in plain_types or is_of_the_user, f"{path} is a {type(value)}"

    check(to_plain(fitted(name).fitted_, keep_optimizer=True), "")


@pytest.mark.parametrize("name", ["pandas", "polars", "array"])
def test_loading_and_transforming_needs_no_frames(name, tmp_path):
    """In a process of its own, in which neither library can be imported."""
    vae, table = fitted(name), VARIETY[name][1]
    rows = np.asarray(table)[:9].astype(object)
    vae.save(tmp_path / "model")
    (tmp_path / "pickle").write_bytes(pickle.dumps(vae))
    (tmp_path / "rows").write_bytes(pickle.dumps([[None if pd.isna(c) else c for c in row] for row in rows.tolist()]))
    code = """
import sys, pickle, warnings
class Refuse:
    def find_spec(self, name, *args):
        if name.partition(".")[0] in ("pandas", "polars", "pyarrow"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from skvae import VAETransformer
warnings.simplefilter("ignore")
rows = np.array(pickle.load(open("rows", "rb")), dtype=object)
for vae in (VAETransformer.load("model"), pickle.load(open("pickle", "rb"))):
    np.save("codes.npy", vae.transform(rows))
    try:
        vae.sample(2)
        print("sampled")
    except ImportError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
                         env={**os.environ, "PYTHONPATH": str(Path(skvae.__file__).parents[1])})  # fmt: skip
    assert run.returncode == 0, run.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), vae.transform(table[:9]))
    said = "sampled" if name == "array" else f"pip install {name}"
    assert run.stdout.count(said) == 2


# Frames


CUT = pd.cut(IRIS[:, 0], 3)


ODD = {
    "interval": pd.DataFrame({"a": CUT, "x": IRIS[:, 1]}),
    "range": pd.DataFrame(IRIS),
    "numbers": pd.DataFrame(IRIS, columns=pd.Index([4, 2, 7, 1], name="n")),
    "tuples": pd.DataFrame(IRIS, columns=pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["k", None])),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray(IRIS[:, 0]), "b": IRIS[:, 1]}),
    "arrow": pd.DataFrame(
        {"a": pd.array(IRIS[:, 0], "double[pyarrow]"), "b": pd.Series(list("uv") * 75, dtype="category")}
    ),
    "dictionary": pd.DataFrame(
        {"a": pd.Series(list("uv") * 75, dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))), "b": IRIS[:, 0]}
    ),
    "strings": pd.DataFrame({"a": pd.array(list("uv") * 75, "string"), "b": pd.array([1, None] * 75, "UInt8")}),
    "objects": pd.DataFrame({"a": pd.Series(list("uv") * 75, dtype=object), "b": pd.Series([True, None, False] * 50)}),
    "polars": pl.DataFrame({"a": IRIS[:, 0]}, schema={"a": pl.Float32}).with_columns(
        b=pl.Series(list("uv") * 75, dtype=pl.Categorical)
    ),
    "dates": pd.DataFrame({"a": pd.Categorical(pd.to_datetime(["2020-01-01", "2021-01-01"] * 75)), "b": IRIS[:, 0]}),
}


@pytest.mark.filterwarnings("ignore:pandas.DataFrame with sparse columns:UserWarning")  # of scikit-learn
@pytest.mark.parametrize("name", ODD)
def test_frames_of_every_dtype_come_back(name, tmp_path):
    table = ODD[name]
    vae = VAETransformer(**SMALL).fit(table)
    drawn = vae.sample(4, random_state=0)
    copies = [through_pickle(vae)]
    if name == "dates":
        with pytest.raises(ValueError, match=r"cannot write _learned\.schema\.template\.frame"):
            vae.save(tmp_path / "model")
    else:
        assert b"pandas" not in pickle.dumps(vae).replace(b"\x06pandas", b"") or name == "polars"
        copies += [through_a_file(vae), through_skops(vae)]
    for again in copies:
        assert again.fitted_.schema == vae.fitted_.schema
        equal = polars.testing.assert_frame_equal if name == "polars" else pd.testing.assert_frame_equal
        equal(again.sample(4, random_state=0), drawn)
        np.testing.assert_array_equal(again.transform(table), vae.transform(table))


def test_descriptions_look_nothing_up_in_a_library():
    with pytest.raises(ValueError, match="not in tuple"):
        templates.rebuild({"library": "pandas", "dtypes": ["read_pickle"], "labels": None}, ["a"], {})
    for library in ("polars", "pyarrow"):
        with pytest.raises(KeyError):
            templates.rebuild({"library": library, "dtypes": ["read_csv"]}, ["a"], {})
    with pytest.raises(KeyError):
        templates.rebuild({"library": "os"}, ["a"], {})
