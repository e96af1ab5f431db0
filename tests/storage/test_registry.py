"""Components as plain data, by the names of their classes."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from stored_models import IRIS, SMALL, assert_same, slower, ways, without_addresses

import skvae
from skvae import ELBO, MLP, ConvNet, Gaussian, MeanField, Standard, VAETransformer
from skvae._storage import files
from skvae._storage.registry import built_in, from_config, get_config


def components():
    """An instance of every public component, which no estimator is, some with parameters of every kind."""
    public = {value for name in skvae.__all__ if inspect.isclass(value := getattr(skvae, name))}
    kinds = {c for c in public if issubclass(c, BaseEstimator) and not (inspect.isabstract(c) or hasattr(c, "fit"))}
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
    assert set(built_in().values()) == kinds | {skvae.networks.architectures.FromFactory}


@pytest.mark.parametrize("component", components()[1], ids=lambda component: type(component).__name__)
def test_every_component_round_trips(component, tmp_path):
    files.write(tmp_path / "file", {"it": component, "list": [(component, slice(1, None)), (None, {"a": component})]})
    again = files.read(tmp_path / "file", lambda state: None, components=[slower])
    described = from_config(pickle.loads(pickle.dumps(get_config(component))))
    for copied in (again["it"], again["list"][0][0], again["list"][1][1]["a"], described):
        assert type(copied) is type(component)
        assert repr(copied.get_params()) == repr(component.get_params())
        assert [type(v) for v in vars(copied).values()] == [type(v) for v in vars(component).values()]


USERS_DICTS = [
    {"component": 0.5, "parameters": 2.0},
    {"component": "ELBO", "parameters": {"beta": 2.0}},
    {"component": "dict", "parameters": {"component": ELBO(), "parameters": None}},
    {"component": {"component": 1, "parameters": 2}, "parameters": [MLP()]},
]


@pytest.mark.parametrize("value", USERS_DICTS, ids=without_addresses)
def test_a_dict_of_the_users_is_no_component(value):
    assert repr(from_config(get_config(value))) == repr(value)
    assert repr(from_config(pickle.loads(pickle.dumps(get_config([(value, 1)]))))) == repr([(value, 1)])


@ways
def test_columns_with_the_names_of_a_config(way):
    frame = pd.DataFrame(IRIS[:, :2], columns=["component", "parameters"])
    weights = {"component": 1.0, "parameters": 0.5}
    likelihood = [(Gaussian(noise="shared"), ["component"]), ("laplace", slice(1, 2))]
    vae = VAETransformer(**{**SMALL, "n_components": 1}, column_weights=weights, likelihood=likelihood).fit(frame)
    again = way(vae)
    assert again.column_weights == weights
    assert repr(again.likelihood) == repr(likelihood)
    assert_same(again, vae, frame)


def test_a_component_that_is_none():
    with pytest.raises(ValueError, match="skvae has no component 'VAETransformer'"):
        from_config({"component": "VAETransformer", "parameters": {}})
    with pytest.raises(ValueError, match=r"The component 'ELBO' of skvae takes no parameters \['evil'\]"):
        from_config({"component": "ELBO", "parameters": {"evil": 1}})
