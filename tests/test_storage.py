"""How a fitted model is kept: pickle, joblib, skops, and save and load; files of earlier releases; damaged files."""

import copy
import doctest
import importlib.util
import inspect
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
import skops.io
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

import skvae
from skvae import AAE, ELBO, MLP, ConvNet, Gaussian, LinearAnnealing, MeanField, NormalMixture, Standard, VAETransformer
from skvae._storage import files, registry
from skvae._storage.checks import FORMAT_VERSION
from skvae._tables import templates

DATA = Path(__file__).parent / "data"
IRIS = load_iris().data
SMALL = {"n_components": 2, "hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}


def told(value):
    """Text of a parameter without addresses, which differ between the workers of pytest-xdist."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


def _make():
    spec = importlib.util.spec_from_file_location("make", DATA / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _make()
MIXED = make.mixed()


def through_pickle(vae):
    return pickle.loads(pickle.dumps(vae))


def through_joblib(vae):
    file = io.BytesIO()
    joblib.dump(vae, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(vae):
    content = skops.io.dumps(vae)
    untrusted = skops.io.get_untrusted_types(data=content)
    assert all(name.startswith("skvae.") for name in untrusted), untrusted
    return skops.io.loads(content, trusted=untrusted)


def through_a_file(vae, components=None):
    path = Path(os.environ["PYTEST_STORAGE"]) / "model.safetensors"
    vae.save(path)
    return VAETransformer.load(path, components=components)


WAYS = {
    "pickle": through_pickle,
    "joblib": through_joblib,
    "skops": through_skops,
    "save": through_a_file,
    "deepcopy": copy.deepcopy,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_STORAGE", str(tmp_path))
    return tmp_path


def csr(X):
    return sparse.csr_array(np.where(X > 3, X, 0.0))


def with_holes(X):
    X = X.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    return X


NAMES = ["a", "b", "c", "d"]
POLARS = pl.DataFrame({"n": list(range(120)), "x": make.array()[:, 0]}).with_columns(
    level=pl.Series(list("abc") * 40, dtype=pl.Enum(["c", "b", "a"])), word=pl.Series(list("uv") * 60)
)
VARIETY = {
    "array": ({}, IRIS),
    "float32": ({}, IRIS.astype(np.float32)),
    "ints": ({}, make.array().astype(np.int16)),
    "csr": ({}, csr(IRIS)),
    "holes": ({"posterior": "full"}, with_holes(IRIS)),
    "pandas": ({"scaling": "quantile", "column_weights": {"age": 0.5}}, MIXED),
    "pandas, plain": ({"likelihood": [("gamma", slice(0, 2)), (Gaussian(noise="shared"), ["c"])]},
                      pd.DataFrame(IRIS, columns=NAMES)),
    "polars": ({"scaling": "power", "code_density": "mixture"}, POLARS),
    "arrow": ({}, pa.table({"x": IRIS[:, 0], "w": list("ab") * 75})),
    "objects": ({}, np.array([["u", 1, True], ["v", 2, False], ["u", 3, None]] * 40, dtype=object)),
    "named categories": ({"categorical_features": [0], "likelihood": [("ordinal", [0])]},
                         make.array().round().clip(-2, 2)),
    "global": ({"scaling": "global", "init": "random"}, IRIS),
    "unscaled": ({"scaling": None, "posterior": "gamma"}, IRIS),
    "laplace": ({"posterior": "laplace", "column_weights": [1.0, 2.0, 0.0, 1.0]}, IRIS),
    "flow": ({"posterior": "flow", "prior": "vamp"}, IRIS),
    "flow prior": ({"prior": "flow", "schedule": "em"}, IRIS),
    "mixture prior": ({"prior": NormalMixture(n_members=3), "objective": "iwae"}, IRIS),
    "categorical": ({"posterior": "categorical"}, IRIS),
    "dirichlet": ({"posterior": "dirichlet"}, IRIS),
    "elliptical": ({"posterior": "elliptical"}, IRIS),
    "point": ({"objective": "ae"}, IRIS),
    "critic": ({"objective": AAE(hidden_layer_sizes=(4,)), "prior": "uniform"}, IRIS),
    "implicit": ({"objective": "avb"}, IRIS),
    "generator": ({"objective": "gan"}, IRIS),
    "standard prior": ({"posterior": MeanField("logistic"), "prior": Standard(skvae.Logistic())}, IRIS),
    "networks": ({"encoder": MLP((4, 3)), "decoder": ConvNet((2, 2), channels=(2,)), "scaling": "global"}, IRIS),
    "feature loss": ({"feature_loss": skvae.FeatureLoss(torch.square, weight=0.1)}, IRIS),
    "callables": ({"optimizer": torch.optim.Adagrad}, IRIS),
    "annealing": ({"objective": ELBO(beta=LinearAnnealing(n_epochs=2), free_bits=0.1), "weight_decay": 0.1}, IRIS),
}  # fmt: skip
WITH_FUNCTIONS = {"callables": [torch.optim.Adagrad], "feature loss": [torch.square]}
_fitted = {}


def fitted(name):
    """The model of an entry of VARIETY; several tests look at it, none changes it."""
    if name not in _fitted:
        parameters, table = VARIETY[name]
        _fitted[name] = VAETransformer(**{**SMALL, **parameters}).fit(table)
    return _fitted[name]


def plain(table):
    """Any table as a list of rows."""
    table = table.to_numpy() if isinstance(table, pd.DataFrame) else table
    return [list(map(str, row)) for row in (table.rows() if isinstance(table, pl.DataFrame) else np.asarray(table))]


def assert_same(a, b, table):
    """Two models say the same, to the last bit, and know the same."""
    for name in ("transform", "score_samples"):
        assert hasattr(a, name) == hasattr(b, name)
        if hasattr(a, name):
            x, y = getattr(a, name)(table), getattr(b, name)(table)
            np.testing.assert_array_equal(x, y)
            assert type(x) is type(y)
    x, y = (vae.sample(5, random_state=0) for vae in (a, b))
    assert type(x) is type(y) and plain(x) == plain(y)
    if hasattr(x, "dtypes"):
        assert list(x.dtypes) == list(y.dtypes)
    assert_same_weights(a, b)
    assert set(vars(a)) == set(vars(b))
    assert a.history_ == b.history_ and repr(a.likelihoods_) == repr(b.likelihoods_)
    assert [list(record) for record in a.history_[-1:]] == [list(record) for record in b.history_[-1:]]


def assert_same_weights(a, b):
    pairs = zip(a.module_.state_dict().items(), b.module_.state_dict().items(), strict=True)
    assert all(m == n and torch.equal(x, y) for (m, x), (n, y) in pairs)


# The same model


@pytest.mark.filterwarnings("ignore:The given dtype:UserWarning")
@ways
@pytest.mark.parametrize("name", VARIETY)
def test_a_copy_says_the_same(name, way):
    vae = fitted(name)
    if name in WITH_FUNCTIONS:  # which skops shows to the user, and `load` wants to be given
        if way is through_skops:
            return
        way = partial(way, components=WITH_FUNCTIONS[name]) if way is through_a_file else way
    again = way(vae)
    assert_same(again, vae, VARIETY[name][1])
    assert repr(again) == repr(vae)
    assert repr(again.get_params()) == repr(vae.get_params())


@ways
def test_a_copy_of_a_copy(way):
    """What is described is described again, without the frame having been rebuilt."""
    vae = fitted("pandas")
    assert_same(way(way(vae)), vae, MIXED)


@ways
def test_an_unfitted_estimator(way):
    vae = VAETransformer(3, prior=NormalMixture(4), device=torch.device("cpu"))
    if way is through_a_file:
        with pytest.raises(NotFittedError):
            way(vae)
        return
    again = way(vae)
    assert repr(again.get_params()) == repr(
        vae.set_params(device=str(vae.device) if way is not copy.deepcopy else vae.device).get_params()
    )
    with pytest.raises(NotFittedError):
        again.transform(IRIS)


@ways
def test_set_output_and_names(way):
    frame = pd.DataFrame(IRIS, columns=NAMES)
    vae = VAETransformer(**SMALL).set_output(transform="polars").fit(frame)
    again = way(vae)
    assert isinstance(again.transform(frame), pl.DataFrame)
    assert list(again.feature_names_in_) == NAMES
    with pytest.raises(ValueError, match="feature names"):
        again.transform(frame[NAMES[::-1]])
    index = pd.Index([7, 8], name="row")
    assert again.inverse_transform(pd.DataFrame(np.zeros((2, 2)), index=index)).index.name == "row"


@ways
def test_tensors_stay_tensors(way):
    X = torch.as_tensor(IRIS)
    with config_context(array_api_dispatch=True):
        vae = VAETransformer(**SMALL).fit(X)
        again = way(vae)
        assert isinstance(again.order_, torch.Tensor) and isinstance(again.noise_variance_, torch.Tensor)
        assert torch.equal(again.transform(X), vae.transform(X))
    if way is through_pickle:
        assert b"torch.storage" not in pickle.dumps(vae)


def test_other_array_libraries_become_numpy(folder):
    xp = pytest.importorskip("array_api_strict")
    with config_context(array_api_dispatch=True):
        vae = VAETransformer(**SMALL).fit(xp.asarray(IRIS))
        again = through_pickle(vae)
    assert isinstance(again.order_, np.ndarray)
    np.testing.assert_array_equal(again.transform(IRIS), VAETransformer(**SMALL).fit(IRIS).transform(IRIS))


def test_in_a_pipeline():
    pipe = make_pipeline(StandardScaler(), VAETransformer(**SMALL)).fit(IRIS)
    for way in (through_pickle, through_skops, copy.deepcopy):
        np.testing.assert_array_equal(way(pipe).transform(IRIS), pipe.transform(IRIS))


@ways
def test_a_random_state_goes_on(way):
    vae = VAETransformer(**{**SMALL, "random_state": np.random.RandomState(3)}).fit(IRIS)
    assert_same_weights(way(vae).fit(IRIS), copy.deepcopy(vae).fit(IRIS))


# What is in a file


def test_a_pickle_has_nothing_of_other_libraries():
    content = pickle.dumps(fitted("pandas"))
    for library in (b"torch", b"skorch", b"pyarrow\n", b"pandas.core", b"narwhals", b"skvae.tables", b"skvae.columns"):
        assert library not in content
    assert "polars." not in str(pickle.dumps(fitted("polars")))


@pytest.mark.parametrize("name", ["array", "pandas", "polars", "critic", "networks"])
def test_skops_asks_for_trust_in_our_own_types_only(name):
    parameters = VARIETY[name][0].values()
    own = {f"{type(p).__module__}.{type(p).__name__}" for p in parameters if isinstance(p, BaseEstimator)}
    untrusted = skops.io.get_untrusted_types(data=skops.io.dumps(fitted(name)))
    assert set(untrusted) == {"skvae.estimator.VAETransformer", *own}


@pytest.mark.parametrize("name", ["pandas", "polars", "array"])
def test_loading_and_transforming_needs_no_frames(name, folder):
    """In a process of its own, in which neither library can be imported."""
    vae, table = fitted(name), VARIETY[name][1]
    rows = np.asarray(table)[:9].astype(object)
    vae.save(folder / "model")
    (folder / "pickle").write_bytes(pickle.dumps(vae))
    (folder / "rows").write_bytes(pickle.dumps([[None if pd.isna(c) else c for c in row] for row in rows.tolist()]))
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
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False,
                         env={**os.environ, "PYTHONPATH": str(Path(skvae.__file__).parents[1])})  # fmt: skip
    assert run.returncode == 0, run.stderr
    np.testing.assert_array_equal(np.load(folder / "codes.npy"), vae.transform(table[:9]))
    said = "sampled" if name == "array" else f"pip install {name}"
    assert run.stdout.count(said) == 2


def test_the_optimizer_is_kept_on_demand_only(folder):
    vae = VAETransformer(**{**SMALL, "hidden_layer_sizes": (64, 64)}).partial_fit(IRIS)
    keeping = clone(vae).set_params(keep_optimizer=True).partial_fit(IRIS)
    assert len(pickle.dumps(keeping)) > 3 * len(pickle.dumps(vae))
    assert through_pickle(vae)._training_state is None and through_a_file(vae)._training_state is None
    assert vae._training_state is not None and copy.deepcopy(vae)._training_state is not None
    with pytest.raises(ValueError, match="'keep_optimizer' parameter"):
        VAETransformer(keep_optimizer="yes").fit(IRIS)


# Going on


def my_adam(groups, lr, weight_decay):
    """A user's own optimizer: a function, of which the address is another one in every process."""
    return torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay)


@ways
@pytest.mark.parametrize(
    "parameters",
    [{}, {"optimizer": "sgd"}, {"objective": "aae"}, {"schedule": "aggressive"}, {"optimizer": my_adam}],
    ids=told,
)
def test_going_on_is_bit_for_bit_with_the_optimizer(way, parameters):
    if parameters.get("optimizer") is my_adam:
        if way is through_skops:
            return
        way = partial(way, components=[my_adam]) if way is through_a_file else way
    settings = {**SMALL, "early_stopping": False, "warm_start": True, "keep_optimizer": True, **parameters}
    whole = VAETransformer(**{**settings, "max_iter": 4}).fit(IRIS)
    half = VAETransformer(**settings).fit(IRIS)
    assert_same_weights(way(half).fit(IRIS), whole)
    assert_same_weights(way(half).partial_fit(IRIS).partial_fit(IRIS), whole)
    assert [r["epoch"] for r in way(half).fit(IRIS).history_] == [1, 2, 3, 4]


@ways
def test_going_on_without_the_optimizer(way):
    settings = {**SMALL, "max_iter": 30, "early_stopping": False, "warm_start": True}
    half = VAETransformer(**settings).fit(IRIS)
    again = way(half).fit(IRIS)
    assert again.n_iter_ == 60
    assert again.history_[30]["train_loss"] < half.history_[-1]["train_loss"] + 0.1  # it does not start anew
    assert again.score(IRIS) > half.score(IRIS) - 0.05
    in_process = half.fit(IRIS)
    same = all(map(torch.equal, in_process.module_.parameters(), again.module_.parameters()))
    assert same == (way is copy.deepcopy)


def test_a_warm_start_holds_the_same_rows_out():
    settings = {
        **SMALL,
        "early_stopping": True,
        "warm_start": True,
        "scaling": "quantile",
        "max_iter": 40,
        "hidden_layer_sizes": (16,),
    }
    X = np.exp(make.array())
    vae = VAETransformer(**settings).fit(X)
    assert vae.best_iter_  # else the units are those of all rows
    assert (vae._ordering.scale != vae._columns.scale).any()
    again = through_pickle(vae)
    key = lambda v: v._ordering.standardize(np.arange(15.0).reshape(3, 5))  # noqa: E731
    np.testing.assert_array_equal(key(again), key(vae))
    assert vae._training_state is None  # a best state was restored: nothing is lost in the pickle
    assert_same_weights(again.fit(X), vae.fit(X))
    last, other = ({k: v for k, v in v.history_[-1].items() if k != "dur"} for v in (again, vae))
    assert last == other and "valid_loss" in last


# Components


class Pair(NormalMixture):
    """A user's own prior, with a parameter of its own."""

    def __init__(self, n_members=2, family=None):
        super().__init__(n_members)
        self.family = family


class Counter(Callback):
    """A user's own callback."""

    def __init__(self, most=3):
        self.most = most


def slower(epoch):
    return 1 / (1 + epoch)


def test_components_of_the_users_own(folder):
    parameters = {"prior": Pair(3, Gaussian(noise=0.5)), "learning_rate_schedule": slower, "callbacks": [Counter(2)],
                  "encoder": small_net}  # fmt: skip
    vae = VAETransformer(**SMALL, **parameters).fit(IRIS)
    vae.save(folder / "own")
    own = [Pair, slower, Counter, small_net]
    again = VAETransformer.load(folder / "own", components=own)
    assert_same(again, vae, IRIS)
    assert type(again.prior) is Pair and again.prior.family.noise == 0.5 and again.callbacks[0].most == 2
    assert again.learning_rate_schedule is slower
    with pytest.raises(ValueError, match=r"\['Counter', 'slower'\].*components=\[Counter, Pair, slower, small_net\]"):
        VAETransformer.load(folder / "own", components=[Pair, small_net])
    with pytest.raises(ValueError, match="is no class of components"):
        Pair.__name__, slower.__name__ = "slower", "Pair"
        try:
            VAETransformer.load(folder / "own", components=own)
        finally:
            Pair.__name__, slower.__name__ = "Pair", "slower"
    for components in ("Pair", {"Pair": Pair}, [Pair()], Pair):
        with pytest.raises(ValueError, match="'components' parameter"):
            VAETransformer.load(folder / "own", components=components)
    assert_same(through_pickle(vae), vae, IRIS)


def small_net(n_in, n_out):
    return torch.nn.Linear(n_in, n_out)


def _namesake():
    class Pair(NormalMixture):
        """Another one of the same name."""

    return Pair


def test_a_class_of_the_users_with_a_name_of_ours(folder):
    mine = type("NormalMixture", (NormalMixture,), {"__doc__": "Of the user."})
    vae = VAETransformer(**SMALL, prior=mine()).fit(IRIS)
    vae.save(folder / "model")
    with pytest.raises(ValueError, match=r"\['NormalMixture'\]"):
        VAETransformer.load(folder / "model")
    again = VAETransformer.load(folder / "model", components=[mine])
    assert type(again.prior) is type(again._model_config["prior"]) is mine


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rate_schedule": lambda epoch: 1.0}, "learning_rate_schedule, a lambda"),
        ({"learning_rate_schedule": partial(slower)}, "learning_rate_schedule, a partial"),
        ({"column_weights": pd.Series([1.0] * 4)}, "column_weights, a Series"),
        ({"callbacks": [object()]}, r"callbacks\.0, a object"),
        ({"prior": Pair(), "callbacks": [_namesake()()]}, "second thing of the name 'Pair'"),
    ],
    ids=told,
)
def test_what_has_no_words_in_a_file(folder, parameters, message):
    vae = VAETransformer(**SMALL).fit(IRIS).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        vae.save(folder / "model")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("checkpoint", [Path("runs"), skvae.Checkpoint(Path("runs"), every_n_epochs=2)], ids=repr)
def test_a_path_is_a_string_in_a_file(folder, checkpoint):
    vae = VAETransformer(**SMALL).fit(IRIS).set_params(checkpoint=checkpoint)
    vae.save(folder / "model")
    again = VAETransformer.load(folder / "model").checkpoint
    assert again == "runs" if isinstance(checkpoint, Path) else (again.folder, again.every_n_epochs) == ("runs", 2)


def components():
    """An instance of every public component, some with parameters of every kind."""
    public = {value for name in skvae.__all__ if inspect.isclass(value := getattr(skvae, name))}
    kinds = {c for c in public if issubclass(c, BaseEstimator) and not inspect.isabstract(c)} - {VAETransformer}
    needed = {Standard: {"family": skvae.StudentT(df=7.0)}, ConvNet: {"image_shape": (1, 4, 4)}}
    needed |= {skvae.FeatureLoss: {"features": slower}, skvae.Checkpoint: {"folder": "runs"}}
    return kinds, [kind(**needed.get(kind, {})) for kind in sorted(kinds, key=lambda kind: kind.__name__)] + [
        ELBO(beta=skvae.CyclicalAnnealing(n_cycles=np.int64(3), end=np.float32(0.1)), free_bits=np.float64(0.5)),
        MeanField(Gaussian(noise=float("inf"))),
        MLP(hidden_layer_sizes=[3, 4]),
        MLP(hidden_layer_sizes=(), dropout=float("nan")),
        skvae.FlowPrior(hidden_layer_sizes=(np.int32(5),)),
    ]


def test_the_registry_is_what_is_public():
    kinds, _ = components()
    assert set(registry.built_in().values()) == kinds | {skvae.architectures.FromFactory}


@pytest.mark.parametrize("component", components()[1], ids=lambda component: type(component).__name__)
def test_every_component_round_trips(component, folder):
    files.write(folder / "file", {"it": component, "list": [(component, slice(1, None)), (None, {"a": component})]})
    again = files.read(folder / "file", lambda state: None, components=[slower])
    described = registry.made(pickle.loads(pickle.dumps(registry.described(component))))
    for copied in (again["it"], again["list"][0][0], again["list"][1][1]["a"], described):
        assert type(copied) is type(component)
        assert repr(copied.get_params()) == repr(component.get_params())
        assert [type(v) for v in vars(copied).values()] == [type(v) for v in vars(component).values()]


VALUES = [
    *(None, True, 0, -(2**70), 0.1, float("nan"), float("inf"), -float("inf"), "", "$array", "\ud800 ü\0"),
    *([], (), [1, (2, [3.0])], {}, {"$dict": 1, "b": (1,)}, {1: "a", "b": None, None: 2.5, (1, 2): [3]}),
    *({"component": "ELBO"}, slice(None, 3), range(2, 9, 3), {1, 2}, np.float32(0.1), np.int8(3), np.bool_(True)),
    *(np.arange(6).reshape(2, 3).T, np.array(2.5), np.zeros((0, 2)), np.array([True]), np.array([1], dtype=">i4")),
    *(np.array(["a", None, 3], dtype=object), np.array([["x", "yy"]]), np.float16(2), np.array([1.5], np.float16)),
]


@pytest.mark.parametrize("value", VALUES, ids=told)
def test_every_value_round_trips(value, folder):
    files.write(folder / "file", {"it": value, "twice": [value, value]})
    again = files.read(folder / "file", lambda state: None)
    for copied in (again["it"], *again["twice"]):
        assert type(copied) is type(value)
        assert repr(copied) == repr(value) or np.array_equal(copied, value)
        assert not isinstance(value, np.ndarray) or copied.shape == value.shape


def test_paths_that_meet_in_a_name(folder):
    files.write(folder / "file", {"a.b": np.zeros(1), "a": {"b": np.ones(1)}})
    again = files.read(folder / "file", lambda state: None)
    assert again["a.b"] == 0 and again["a"]["b"] == 1


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
def test_frames_of_every_dtype_come_back(name, folder):
    table = ODD[name]
    vae = VAETransformer(**SMALL).fit(table)
    drawn = vae.sample(4, random_state=0)
    copies = [through_pickle(vae)]
    if name == "dates":
        with pytest.raises(ValueError, match=r"no words for _schema\.levels"):
            vae.save(folder / "model")
    else:
        assert b"pandas" not in pickle.dumps(vae).replace(b"\x06pandas", b"") or name == "polars"
        copies += [through_a_file(vae), through_skops(vae)]
    for again in copies:
        assert again._schema == vae._schema
        equal = polars.testing.assert_frame_equal if name == "polars" else pd.testing.assert_frame_equal
        equal(again.sample(4, random_state=0), drawn)
        np.testing.assert_array_equal(again.transform(table), vae.transform(table))


def test_descriptions_look_nothing_up_in_a_library():
    with pytest.raises(ValueError):
        templates.rebuild({"library": "pandas", "dtypes": ["read_pickle"], "labels": None}, ["a"], {})
    for library in ("polars", "pyarrow"):
        with pytest.raises(KeyError):
            templates.rebuild({"library": library, "dtypes": ["read_csv"]}, ["a"], {})
    with pytest.raises(KeyError):
        templates.rebuild({"library": "os"}, ["a"], {})


# Files of releases


FORMATS = sorted(path.name for path in DATA.iterdir() if path.is_dir())
LOADERS = {
    "pickle": lambda path: pickle.loads(path.read_bytes()),
    "joblib": joblib.load,
    "skops": lambda path: skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path)),
    "safetensors": VAETransformer.load,
}
STORED = [(folder, path.name) for folder in FORMATS for path in sorted((DATA / folder).iterdir())
          if path.suffix[1:] in LOADERS]  # fmt: skip


def rows_of(numbers):
    if numbers["columns"] is None:
        return np.array(numbers["rows"])
    return pd.DataFrame(numbers["rows"], columns=numbers["columns"])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")  # of the mixture in format 1
@pytest.mark.parametrize(("release", "name"), STORED)
def test_stored_files_load(release, name):
    path, numbers = DATA / release / name, json.loads((DATA / release / "numbers.json").read_text())
    made_by, numbers = numbers["made_by"], numbers["models"][path.stem]
    if path.suffix in (".pickle", ".joblib") and np.__version__ < "2" <= made_by["numpy"]:
        pytest.skip("numpy 1 does not read the pickles of numpy 2")
    if release == "format1" and path.stem == "mixed" and int(pd.__version__.split(".")[0]) < 3:
        pytest.skip("format 1 has frames in it, which an older pandas does not read")
    assert path.stat().st_size < 250_000
    vae, rows = LOADERS[path.suffix[1:]](path), rows_of(numbers)
    np.testing.assert_allclose(vae.transform(rows), numbers["codes"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(vae.score_samples(rows), numbers["scores"], rtol=1e-5, atol=1e-7)
    assert vae.keep_optimizer == (release != "format1" and path.stem == "partial")
    assert "_format_version" not in vars(vae)
    assert (vae._training_state is not None) == (path.stem == "partial")
    again = through_a_file(through_pickle(vae))  # in the present format
    np.testing.assert_array_equal(again.transform(rows), vae.transform(rows))
    if path.stem == "mixed":
        assert list(vae.sample(3).columns) == numbers["columns"]
    goes_on = vae.set_params(warm_start=True).fit(make.mixed() if path.stem == "mixed" else make.array())
    assert goes_on.n_iter_ > again.n_iter_ and np.isfinite(goes_on.score(rows))


def test_the_present_format_is_among_the_stored():
    assert f"format{FORMAT_VERSION}" in FORMATS
    assert {Path(name).suffix[1:] for folder, name in STORED if folder == f"format{FORMAT_VERSION}"} == set(LOADERS)


# Files that are not what they should be


EVIL = "__import__('os').system('touch EVIL')"


def changed(state, path, value):
    """The state with the entry at a path of keys replaced."""
    state = copy.deepcopy(state)
    *way, last = path
    entry = state
    for key in way:
        entry = entry[key]
    if value is KeyError:
        del entry[last]
    else:
        entry[last] = value
    return state


def factory(function):
    return {"component": "FromFactory", "parameters": {"factory": function}}


DAMAGE = {
    "no module": (["module_"], {}),
    "a weight less": (["module_", "decoder.affine.weight"], KeyError),
    "a weight of objects": (["module_", "decoder.affine.weight"], np.array([[EVIL]], dtype=object)),
    "a weight of another shape": (["module_", "decoder.affine.weight"], np.zeros((7, 7), np.float32)),
    "a weight of another type": (["module_", "decoder.affine.bias"], np.zeros(5, np.float64)),
    "evil activation": (["_model_config", "encoder", "parameters", "activation"], EVIL),
    "evil network": (["_model_config", "encoder", "component"], "os.system"),
    "a network of no class": (["_model_config", "decoder"], {"component": "ELBO", "parameters": {}}),
    "a factory of nothing": (["_model_config", "encoder"], factory(EVIL)),
    "a factory of numpy": (["_model_config", "encoder"], factory(np.add)),
    "huge layers": (["_model_config", "encoder", "parameters", "hidden_layer_sizes"], (10**9, 10**9)),
    "huge table": (["_model_config", "n_features"], 10**12),
    "negative table": (["_model_config", "n_features"], -1),
    "evil prior": (["_model_config", "prior"], {"component": "eval", "parameters": {"source": EVIL}}),
    "a parameter that is none": (["_model_config", "prior"], {"component": "NormalMixture", "parameters": {"x": 1}}),
    "no prior": (["_model_config", "prior"], EVIL),
    "an objective for a prior": (["_model_config", "prior"], {"component": "ELBO", "parameters": {}}),
    "no posterior": (["_model_config", "posterior"], np.add),
    "another posterior": (["_model_config", "posterior"], {"component": "FullCovariance", "parameters": {}}),
    "an unknown argument": (["_model_config", "evil"], EVIL),
    "evil family": (["_columns", "families", 0, 0], {"component": "VAETransformer", "parameters": {}}),
    "family of objects": (["_columns", "families", 0, 0], EVIL),
    "columns twice": (["_columns", "families", 0, 1], [0, 0]),
    "few units": (["_columns", "shift"], np.zeros(1)),
    "units of objects": (["_columns", "scale"], np.array([EVIL] * 5, dtype=object)),
    "evil scaling": (["_columns", "maps"], [[0, {"power": EVIL}]]),
    "few kinds": (["_schema", "kinds"], ["real"]),
    "no schema": (["_schema"], None),
    "evil type": (["_schema", "number_types"], [[0, "os.system"]]),
    "order of nothing": (["order_"], np.array([5, 6])),
    "order twice": (["order_"], np.array([0, 0])),
    "signs": (["signs_"], np.ones(7)),
    "noise": (["_score_noise"], np.zeros((4, 1, 9))),
    "noise of objects": (["_score_noise"], np.array([EVIL], dtype=object)),
    "a method": (["transform"], EVIL),
    "a property": (["_n_nodes"], 3),
    "history": (["history_"], EVIL),
    "seed": (["_seed"], EVIL),
    "mixture": (["code_density_"], {"n_components": 1}),
    "version of text": (["_format_version"], "2"),
    "no version": (["_format_version"], KeyError),
    "optimizer's state": (["_training_state"], {"weights": {}, "optimizers": [], "n_steps": 1}),
    "optimizer's objects": (["_training_state"], {"weights": np.array([EVIL], dtype=object)}),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_value_error_and_runs_nothing(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    vae = VAETransformer(**SMALL).fit(make.array())
    state = changed(vae.__getstate__(), *DAMAGE[name])
    loaded = VAETransformer(n_components=7)
    before = dict(vars(loaded))
    with pytest.raises(ValueError, match=r"damaged"):
        loaded.__setstate__(state)
    assert vars(loaded) == before  # nothing half
    if name not in ("no posterior", "a factory of numpy"):  # a ufunc has no words in our file
        files.write("model", state)
        with pytest.raises(ValueError, match="damaged"):
            VAETransformer.load("model")
    assert not Path("EVIL").exists()


def skops_file(state):
    """A skops file of an estimator with this state, crafted by skops itself."""

    class Crafted(VAETransformer):
        def __getstate__(self):
            return state

    Crafted.__module__, Crafted.__qualname__, Crafted.__name__ = "skvae.estimator", "VAETransformer", "VAETransformer"
    return skops.io.dumps(Crafted())


@pytest.mark.parametrize("name", DAMAGE)
def test_a_crafted_skops_file_runs_nothing(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    state = changed(VAETransformer(**SMALL).fit(make.array()).__getstate__(), *DAMAGE[name])
    with pytest.raises(ValueError, match="damaged"):
        skops.io.loads(skops_file(state), trusted=["skvae.estimator.VAETransformer"])
    assert not Path("EVIL").exists()


@pytest.mark.parametrize("name", ["learning_rate_schedule", "optimizer", "encoder", "callbacks"])
def test_skops_refuses_functions(name):
    """Its own mechanism: they are among the types to trust, and nobody has to."""
    vae = VAETransformer(**SMALL).fit(IRIS).set_params(**{name: [os.system] if name == "callbacks" else os.system})
    content = skops.io.dumps(vae)
    assert "posix.system" in skops.io.get_untrusted_types(data=content)
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException):
        skops.io.loads(content, trusted=["skvae.estimator.VAETransformer"])


@pytest.mark.parametrize(
    "name", ["optimizer", "likelihood", "activation", "learning_rate_schedule", "encoder", "prior"]
)
def test_evil_parameters_load_and_are_refused_by_fit(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    state = VAETransformer(**SMALL).fit(IRIS).__getstate__() | {name: EVIL}
    loaded = skops.io.loads(skops_file(state), trusted=["skvae.estimator.VAETransformer"])
    assert loaded.transform(IRIS).shape == (150, 2)
    with pytest.raises(ValueError, match=name):
        loaded.fit(IRIS)
    assert not Path("EVIL").exists()


def rewritten(path, change):
    """Change the JSON in a file of ours."""
    content = path.read_bytes()
    (n,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + n])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + n :])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("__metadata__"),
        lambda header: header["__metadata__"].update(format="pt"),
        lambda header: header["__metadata__"].update(state="{"),
        lambda header: header["__metadata__"].update(state="[" * 100_000),
        lambda header: header["__metadata__"].update(state="[]"),
        lambda header: header["__metadata__"].pop("state"),
        lambda header: header.pop("order_"),
        lambda header: header["__metadata__"].update(state=header["__metadata__"]["state"].replace("$array", "$eval")),
        lambda header: header["__metadata__"].update(state=header["__metadata__"]["state"].replace("MLP", "eval")),
    ],
)
def test_damaged_headers(folder, change):
    path = folder / "model"
    VAETransformer(**SMALL).fit(IRIS).save(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match="damaged"):
        VAETransformer.load(path)


def test_other_files(folder):
    for content in (b"", b"not a model", pickle.dumps(fitted("array"))):
        (folder / "file").write_bytes(content)
        with pytest.raises(ValueError, match=r"is no file of VAETransformer\.save"):
            VAETransformer.load(folder / "file")
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, folder / "other")
    with pytest.raises(ValueError, match="no mark of skvae"):
        VAETransformer.load(folder / "other")
    with pytest.raises(FileNotFoundError):
        VAETransformer.load(folder / "none")


def test_a_newer_format(folder):
    state = VAETransformer(**SMALL).fit(IRIS).__getstate__() | {"_format_version": FORMAT_VERSION + 1}
    with pytest.raises(ValueError, match="newer skvae"):
        VAETransformer().__setstate__(state)
    files.write(folder / "model", state | {"prior": Pair()})  # said before anything else is
    with pytest.raises(ValueError, match="newer skvae"):
        VAETransformer.load(folder / "model")
    with pytest.raises(ValueError, match="newer skvae"):
        skops.io.loads(skops_file(state), trusted=["skvae.estimator.VAETransformer"])


def test_a_file_is_written_wholly_or_not_at_all(folder, monkeypatch):
    vae = VAETransformer(**SMALL).fit(IRIS)
    vae.save(str(folder / "model"))
    before = (folder / "model").read_bytes()

    def fail(*args):
        raise PermissionError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError):
        vae.save(folder / "model")
    assert [path.name for path in folder.iterdir()] == ["model"] and (folder / "model").read_bytes() == before
    with pytest.raises(OSError):
        vae.save(folder / "nowhere" / "model")
    with pytest.raises(OSError):
        vae.save(folder / "model" / "model")


def test_without_safetensors(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        VAETransformer(**SMALL).fit(IRIS).save(folder / "model")
    with pytest.raises(ImportError, match="pip install safetensors"):
        VAETransformer.load(folder / "model")


def test_a_subclass_with_more_to_say(folder):
    vae = Named(**SMALL, label="x").fit(IRIS)
    vae.note_ = {"rows": [1, 2], "when": (3, None)}
    for again in (through_pickle(vae), (vae.save(folder / "model"), Named.load(folder / "model"))[1]):
        assert type(again) is Named and again.label == "x" and again.note_ == vae.note_ and again.kind == "mine"
        np.testing.assert_array_equal(again.transform(IRIS), vae.transform(IRIS))


class Named(VAETransformer):
    """A user's own estimator."""

    kind = "theirs"

    def __init__(self, n_components=10, *, hidden_layer_sizes=(4,), max_iter=2, random_state=0, label=""):
        super().__init__(
            n_components, hidden_layer_sizes=hidden_layer_sizes, max_iter=max_iter, random_state=random_state
        )
        self.label = label
        self.kind = "mine"


def test_the_page_about_it_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    page = Path(skvae.__file__).parents[1] / "docs" / "persistence.md"
    assert doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS).failed == 0


def test_a_file_cannot_change_what_belongs_to_the_class(folder):
    """Such as the address behind the HTML repr, where script would run."""
    state = VAETransformer(**SMALL).fit(IRIS).__getstate__() | {"_doc_link_template": '"><script>alert(1)</script>'}
    with pytest.raises(ValueError, match="it has values for \\['_doc_link_template'\\]"):
        VAETransformer().__setstate__(state)


@pytest.mark.parametrize("parameters", [{"encoder": MLP((12,))}, {"prior": skvae.NormalMixture(n_members=3)}])
def test_a_file_cannot_ask_for_memory_that_it_does_not_fill(parameters):
    state = VAETransformer(**SMALL | parameters).fit(IRIS).__getstate__()
    config = state["_model_config"]
    [(name, _)] = parameters.items()
    size = "hidden_layer_sizes" if name == "encoder" else "n_members"
    config[name]["parameters"][size] = (10**12,) if name == "encoder" else 10**12
    with pytest.raises(ValueError, match="its networks have more weights than"):
        VAETransformer().__setstate__(state)
