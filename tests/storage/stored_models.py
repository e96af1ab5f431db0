"""Fitted models of every kind, the ways of storing them, and components of a user's own: for the tests beside."""

import copy
import importlib.util
import io
import pickle
import re
import tempfile
import threading
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
from sklearn.datasets import load_iris
from skorch.callbacks import Callback

import skvae
from skvae import (
    AAE,
    ELBO,
    GAN,
    MLP,
    ConvNet,
    Gaussian,
    LinearAnnealing,
    MeanField,
    NormalMixture,
    Standard,
    VAETransformer,
)

DATA = Path(__file__).parents[1] / "data"


IRIS = load_iris().data


SMALL = {"n_components": 2, "hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}


def without_addresses(value):
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
    return skops.io.loads(content, trusted=untrusted)


def through_a_file(vae, components=None):
    with tempfile.TemporaryDirectory() as folder:
        vae.save(Path(folder) / "model.safetensors")
        return type(vae).load(Path(folder) / "model.safetensors", components=components)


WAYS = {
    "pickle": through_pickle,
    "joblib": through_joblib,
    "skops": through_skops,
    "save": through_a_file,
    "deepcopy": copy.deepcopy,
}


ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def csr(X):
    return sparse.csr_array(np.where(X > 3, X, 0.0))


def with_missing(X):
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
    "incomplete": ({"posterior": "full"}, with_missing(IRIS)),
    "pandas": ({"scaling": "quantile", "column_weights": {"age": 0.5}}, MIXED),
    "pandas, plain": ({"likelihood": [("gamma", slice(0, 2)), (Gaussian(noise="shared"), ["c"])]},
                      pd.DataFrame(IRIS, columns=NAMES)),
    "polars": ({"scaling": "power"}, POLARS),
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
    "product": ({"posterior": "product"}, IRIS),
    "dirichlet": ({"posterior": "dirichlet"}, IRIS),
    "elliptical": ({"posterior": "elliptical"}, IRIS),
    "sphere": ({"posterior": "von_mises_fisher"}, IRIS),
    "point": ({"objective": "ae"}, IRIS),
    "flow of codes": ({"objective": "rae", "prior": "flow"}, IRIS),
    "critic": ({"objective": AAE(hidden_layer_sizes=(4,)), "prior": "uniform"}, IRIS),
    "implicit": ({"objective": "avb"}, IRIS),
    "generator": ({"objective": GAN(betas=None, gradient_penalty=0.5)}, IRIS),
    "bound and critic": ({"objective": "vae_gan"}, IRIS),
    "parts of the KL": ({"objective": "factor_vae"}, IRIS),
    "box": ({"objective": "ae", "posterior": skvae.Point(0.0, 2.0)}, IRIS),
    "standard prior": ({"posterior": MeanField("logistic"), "prior": Standard(skvae.Logistic())}, IRIS),
    "networks": ({"hidden_layer_sizes": "auto", "encoder": MLP((4, 3)), "decoder": ConvNet((2, 2), channels=(2,)),
                  "scaling": "global"}, IRIS),
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
    assert type(x) is type(y)
    assert plain(x) == plain(y)
    if hasattr(x, "dtypes"):
        assert list(x.dtypes) == list(y.dtypes)
    assert_same_weights(a, b)
    assert set(vars(a)) == set(vars(b))
    assert a.history_ == b.history_
    assert repr(a.likelihoods_) == repr(b.likelihoods_)
    assert [list(record) for record in a.history_[-1:]] == [list(record) for record in b.history_[-1:]]


def assert_same_weights(a, b, but_for_the_prior=False):
    states = [vae.module_.state_dict() for vae in (a, b)]
    if but_for_the_prior:
        states = [{m: x for m, x in state.items() if not m.startswith("prior.")} for state in states]
    assert set(states[0]) == set(states[1])
    assert all(torch.equal(x, states[1][m]) for m, x in states[0].items())


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


def small_net(n_in, n_out):
    return torch.nn.Linear(n_in, n_out)


def my_adam(groups, lr, weight_decay):
    """A user's own optimizer: a function, of which the address is another one in every process."""
    return torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay)


class Locked(VAETransformer):
    """A user's own estimator, which drops what cannot be pickled, and adds something."""

    def __init__(self, n_components=2, *, hidden_layer_sizes=(4,), max_iter=2, random_state=0):
        super().__init__(
            n_components, hidden_layer_sizes=hidden_layer_sizes, max_iter=max_iter, random_state=random_state
        )
        self.lock = threading.Lock()

    def __getstate__(self):
        state = super().__getstate__()
        del state["lock"]
        return state | {"cache": "empty"}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.lock = threading.Lock()
