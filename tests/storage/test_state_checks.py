"""Crafted and damaged states are refused, set nothing and run nothing."""

import copy
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import skops.io
from stored_models import IRIS, SMALL, Pair, make

import skvae
from skvae import MLP, VAETransformer
from skvae._storage import files
from skvae._storage.checks import FORMAT_VERSION
from skvae._storage.seal import SEAL, sealed

pytestmark = pytest.mark.one_in(4)

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
    return resealed(state)


def resealed(state):
    """What a stranger does, too: a digest is against accidents."""
    return sealed({name: value for name, value in state.items() if name != SEAL}, set(state) - {SEAL})


def factory(function):
    return {"component": "FromFactory", "parameters": {"factory": function}}


DAMAGE = {
    "no module": (["_learned", "module"], {}),
    "a weight less": (["_learned", "module", "decoder.affine.weight"], KeyError),
    "a weight of objects": (["_learned", "module", "decoder.affine.weight"], np.array([[EVIL]], dtype=object)),
    "a weight of another shape": (["_learned", "module", "decoder.affine.weight"], np.zeros((7, 7), np.float32)),
    "a weight of another type": (["_learned", "module", "decoder.affine.bias"], np.zeros(5, np.float64)),
    "evil activation": (["_learned", "config", "encoder", "parameters", "activation"], EVIL),
    "evil network": (["_learned", "config", "encoder", "component"], "os.system"),
    "a network of no class": (["_learned", "config", "decoder"], {"component": "ELBO", "parameters": {}}),
    "a factory of nothing": (["_learned", "config", "encoder"], factory(EVIL)),
    "a factory of numpy": (["_learned", "config", "encoder"], factory(np.add)),
    "huge layers": (["_learned", "config", "encoder", "parameters", "hidden_layer_sizes"], (10**9, 10**9)),
    "huge table": (["_learned", "config", "n_features"], 10**12),
    "negative table": (["_learned", "config", "n_features"], -1),
    "evil prior": (["_learned", "config", "prior"], {"component": "eval", "parameters": {"source": EVIL}}),
    "no parameter": (["_learned", "config", "prior"], {"component": "NormalMixture", "parameters": {"x": 1}}),
    "no prior": (["_learned", "config", "prior"], EVIL),
    "an objective for a prior": (["_learned", "config", "prior"], {"component": "ELBO", "parameters": {}}),
    "no posterior": (["_learned", "config", "posterior"], np.add),
    "another posterior": (["_learned", "config", "posterior"], {"component": "FullCovariance", "parameters": {}}),
    "an unknown argument": (["_learned", "config", "evil"], EVIL),
    "evil family": (["_learned", "columns", "families", 0, 0], {"component": "VAETransformer", "parameters": {}}),
    "family of objects": (["_learned", "columns", "families", 0, 0], EVIL),
    "columns twice": (["_learned", "columns", "families", 0, 1], [0, 0]),
    "few shifts": (["_learned", "columns", "shift"], np.zeros(1)),
    "scales of objects": (["_learned", "columns", "scale"], np.array([EVIL] * 5, dtype=object)),
    "evil scaling": (["_learned", "columns", "maps"], [[0, {"power": EVIL}]]),
    "few kinds": (["_learned", "schema", "kinds"], ["real"]),
    "no schema": (["_learned", "schema"], None),
    "margins of no columns": (["_learned", "calibration", "columns"], []),
    "margins of other columns": (["_learned", "calibration", "columns"], [0, 1, 2, 3, 9]),
    "margins of fewer columns": (["_learned", "calibration", "columns"], [0, 1]),
    "margins of objects": (["_learned", "calibration", "made"], np.array([[EVIL] * 5], dtype=object)),
    "margins that fall": (["_learned", "calibration", "made"], np.array([[1.0] * 5, [0.0] * 5])),
    "margins without end": (["_learned", "calibration", "made"], np.full((1, 5), np.inf)),
    "margins of other sizes": (["_learned", "calibration", "sizes"], np.array([2, 2, 2, 2, 2])),
    "margins of wrong levels": (["_learned", "calibration", "levels"], np.zeros(3)),
    "margins of text": (["_learned", "calibration"], EVIL),
    "evil type": (["_learned", "schema", "number_types"], [[0, "os.system"]]),
    "order of nothing": (["_learned", "order"], np.array([5, 6])),
    "order twice": (["_learned", "order"], np.array([0, 0])),
    "signs": (["_learned", "signs"], np.ones(7)),
    "noise": (["_learned", "score_noise"], np.zeros((4, 1, 9))),
    "mean code": (["_learned", "mean_code"], np.zeros(7)),
    "noise of objects": (["_learned", "score_noise"], np.array([EVIL], dtype=object)),
    "a method": (["transform"], EVIL),
    "a property": (["__sklearn_is_fitted__"], True),
    "a fit beside the fit": (["fitted_"], {"order": EVIL}),
    "an attribute beside the fit": (["order_"], np.array([1, 0])),
    "a fit of text": (["_learned"], EVIL),
    "a field less": (["_learned", "init"], KeyError),
    "a field more": (["_learned", "evil"], EVIL),
    "a prior of other members": (["_learned", "config", "prior"], {"component": "NormalMixture", "parameters": {}}),
    "history": (["_learned", "history"], EVIL),
    "seed": (["_learned", "seed"], EVIL),
    "a fitted prior of text": (["_learned", "prior_is_fitted"], EVIL),
    "version of text": (["_format_version"], "2"),
    "no version": (["_format_version"], KeyError),
    "optimizer's state": (["_learned", "training_state"], {"weights": {}, "optimizers": [], "n_steps": 1}),
    "optimizer's objects": (["_learned", "training_state"], {"weights": np.array([EVIL], dtype=object)}),
}  # fmt: skip


ABSENCE = {
    "columns": [0, 99],
    "intercept": np.full(3, np.nan),
    "of_codes": np.zeros((3, 5)),
    "of_columns": np.full((3, 2), np.inf),
    "evil": EVIL,
}


@pytest.mark.parametrize("name", ABSENCE)
def test_a_damaged_model_of_missing_cells_is_a_value_error(name):
    holes = np.where(np.random.default_rng(0).random((120, 5)) < [0.3, 0.3, 0.3, 0, 0], np.nan, make.array())
    state = VAETransformer(**SMALL).fit(holes).__getstate__()
    with pytest.raises(ValueError, match="damaged"):
        VAETransformer().__setstate__(changed(state, ["_learned", "missingness", name], ABSENCE[name]))


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_value_error_and_runs_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vae = VAETransformer(**SMALL).fit(make.array())
    state = changed(vae.__getstate__(), *DAMAGE[name])
    loaded = VAETransformer(n_components=7)
    before = dict(vars(loaded))
    with pytest.raises(ValueError, match=r"damaged"):
        loaded.__setstate__(state)
    assert vars(loaded) == before  # nothing half
    if name not in ("no posterior", "a factory of numpy"):  # a ufunc has no words in our file
        files.write("model", {k: v for k, v in state.items() if k != SEAL})
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
def test_a_crafted_skops_file_runs_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
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
def test_evil_parameters_load_and_are_refused_by_fit(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = VAETransformer(**SMALL).fit(IRIS).__getstate__() | {name: EVIL}
    state = resealed(state)
    loaded = skops.io.loads(skops_file(state), trusted=["skvae.estimator.VAETransformer"])
    assert loaded.transform(IRIS).shape == (150, 2)
    with pytest.raises(ValueError, match=name):
        loaded.fit(IRIS)
    assert not Path("EVIL").exists()


def test_a_file_cannot_change_what_belongs_to_the_class():
    """Such as the address behind the HTML repr, where script would run."""
    state = VAETransformer(**SMALL).fit(IRIS).__getstate__() | {"_doc_link_template": '"><script>alert(1)</script>'}
    state = resealed(state)
    with pytest.raises(ValueError, match="it has values for \\['_doc_link_template'\\]"):
        VAETransformer().__setstate__(state)


@pytest.mark.parametrize("parameters", [{"encoder": MLP((12,))}, {"prior": skvae.NormalMixture(n_members=3)}])
def test_a_file_cannot_ask_for_memory_that_it_does_not_fill(parameters):
    state = VAETransformer(**SMALL | parameters).fit(IRIS).__getstate__()
    config = state["_learned"]["config"]
    [(name, _)] = parameters.items()
    size = "hidden_layer_sizes" if name == "encoder" else "n_members"
    config[name]["parameters"][size] = (10**12,) if name == "encoder" else 10**12
    state = resealed(state)
    with pytest.raises(ValueError, match="its networks have more weights than"):
        VAETransformer().__setstate__(state)


def test_a_newer_format(tmp_path):
    state = VAETransformer(**SMALL).fit(IRIS).__getstate__() | {"_format_version": FORMAT_VERSION + 1}
    with pytest.raises(ValueError, match="newer skvae"):
        VAETransformer().__setstate__(state)
    files.write(tmp_path / "model", state | {"prior": Pair()})  # said before anything else is
    with pytest.raises(ValueError, match="newer skvae"):
        VAETransformer.load(tmp_path / "model")
    with pytest.raises(ValueError, match="newer skvae"):
        skops.io.loads(skops_file(state), trusted=["skvae.estimator.VAETransformer"])


def test_statistics_travel_in_a_pickle():
    """On their way to a fit, and as objects; there is nothing yet to be saved."""
    vae = VAETransformer(**SMALL).fit_statistics(lambda: iter([IRIS[:70], IRIS[70:]]))
    again = pickle.loads(pickle.dumps(vae))
    assert again.statistics_.n_rows == 150
    np.testing.assert_array_equal(again.partial_fit(IRIS).transform(IRIS), vae.partial_fit(IRIS).transform(IRIS))


def test_a_device_that_this_machine_lacks():
    state = changed(VAETransformer(**SMALL).fit(IRIS).__getstate__(), ["_learned", "device"], "cuda:99")
    vae = VAETransformer()
    vae.__setstate__(state)
    assert vae.fitted_.device == "cpu"
    assert vae.transform(IRIS).shape == (150, 2)
