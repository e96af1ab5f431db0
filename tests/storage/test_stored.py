"""A stored model is the same model: by pickle, joblib, skops, save and load, and copies; files of releases."""

import copy
import doctest
import json
import pickle
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pytest
import skops.io
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stored_models import (
    DATA,
    IRIS,
    MIXED,
    NAMES,
    SMALL,
    VARIETY,
    WITH_FUNCTIONS,
    Counter,
    Pair,
    assert_same,
    assert_same_weights,
    fitted,
    make,
    my_adam,
    slower,
    small_net,
    through_a_file,
    through_pickle,
    through_skops,
    ways,
    without_addresses,
)

import skvae
from skvae import Gaussian, NormalMixture, VAETransformer
from skvae._storage.checks import FORMAT_VERSION

pytestmark = pytest.mark.one_in(4)


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
        assert isinstance(again.order_, torch.Tensor)
        assert isinstance(again.noise_variance_, torch.Tensor)
        assert torch.equal(again.transform(X), vae.transform(X))
    if way is through_pickle:
        assert b"torch.storage" not in pickle.dumps(vae)


def test_other_array_libraries_become_numpy():
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


def test_a_subclass_with_more_to_say(tmp_path):
    vae = Named(**SMALL, label="x").fit(IRIS)
    vae.note_ = {"rows": [1, 2], "when": (3, None)}
    for again in (through_pickle(vae), (vae.save(tmp_path / "model"), Named.load(tmp_path / "model"))[1]):
        assert type(again) is Named
        assert again.label == "x"
        assert again.note_ == vae.note_
        assert again.kind == "mine"
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


def test_components_of_the_users_own(tmp_path):
    parameters = {"prior": Pair(3, Gaussian(noise=0.5)), "learning_rate_schedule": slower, "callbacks": [Counter(2)],
                  "encoder": small_net}  # fmt: skip
    vae = VAETransformer(**SMALL, **parameters).fit(IRIS)
    vae.save(tmp_path / "own")
    own = [Pair, slower, Counter, small_net]
    again = VAETransformer.load(tmp_path / "own", components=own)
    assert_same(again, vae, IRIS)
    assert type(again.prior) is Pair
    assert again.prior.family.noise == 0.5
    assert again.callbacks[0].most == 2
    assert again.learning_rate_schedule is slower
    with pytest.raises(ValueError, match=r"\['Counter', 'slower'\].*components=\[Counter, Pair, slower, small_net\]"):
        VAETransformer.load(tmp_path / "own", components=[Pair, small_net])
    other = [partial(slower), type("slower", (), {}), *own[2:]]
    other[0].__name__ = "Pair"
    with pytest.raises(ValueError, match="is no class of components"):
        VAETransformer.load(tmp_path / "own", components=other)
    for components in ("Pair", {"Pair": Pair}, [Pair()], Pair):
        with pytest.raises(ValueError, match="'components' parameter"):
            VAETransformer.load(tmp_path / "own", components=components)
    assert_same(through_pickle(vae), vae, IRIS)


def test_a_class_of_the_users_with_a_name_of_ours(tmp_path):
    mine = type("NormalMixture", (NormalMixture,), {"__doc__": "Of the user."})
    vae = VAETransformer(**SMALL, prior=mine()).fit(IRIS)
    vae.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"\['NormalMixture'\]"):
        VAETransformer.load(tmp_path / "model")
    again = VAETransformer.load(tmp_path / "model", components=[mine])
    assert type(again.prior) is type(again.fitted_.config["prior"]) is mine


def test_the_page_about_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(skvae.__file__).parents[1] / "docs" / "persistence.md"
    assert doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS).failed == 0


# Going on


def test_the_optimizer_is_kept_on_demand_only():
    vae = VAETransformer(**{**SMALL, "hidden_layer_sizes": (64, 64)}).partial_fit(IRIS)
    keeping = clone(vae).set_params(keep_optimizer=True).partial_fit(IRIS)
    assert len(pickle.dumps(keeping)) > 3 * len(pickle.dumps(vae))
    assert through_pickle(vae).fitted_.training_state is None
    assert through_a_file(vae).fitted_.training_state is None
    assert vae.fitted_.training_state is not None
    assert copy.deepcopy(vae).fitted_.training_state is not None
    with pytest.raises(ValueError, match="'keep_optimizer' parameter"):
        VAETransformer(keep_optimizer="yes").fit(IRIS)


@ways
@pytest.mark.parametrize(
    "parameters",
    [{}, {"optimizer": "sgd"}, {"objective": "aae"}, {"schedule": "aggressive"}, {"optimizer": my_adam}],
    ids=without_addresses,
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
    gone_on = way(half).partial_fit(IRIS).partial_fit(IRIS)  # which keeps the prior that the first half has fitted
    assert_same_weights(gone_on, whole, but_for_the_prior=True)
    assert [r["epoch"] for r in way(half).fit(IRIS).history_] == [1, 2, 3, 4]


@ways
def test_going_on_without_the_optimizer(way):
    settings = {**SMALL, "max_iter": 30, "early_stopping": False, "warm_start": True, "prior": "normal"}
    half = VAETransformer(**settings).fit(IRIS)
    again = way(half).fit(IRIS)
    assert again.n_iter_ == 60
    assert again.history_[30]["train_loss"] < half.history_[-1]["train_loss"] + 0.1  # it does not start anew
    assert again.score(IRIS) > half.score(IRIS) - 0.01
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
    assert vae.best_iter_  # else the scaling is that of all rows
    assert (vae.fitted_.ordering.scale != vae.fitted_.columns.scale).any()
    again = through_pickle(vae)
    keys = [v.fitted_.ordering.standardize(np.arange(15.0).reshape(3, 5)) for v in (again, vae)]
    np.testing.assert_array_equal(*keys)
    assert vae.fitted_.training_state is None  # a best state was restored: nothing is lost in the pickle
    assert_same_weights(again.fit(X), vae.fit(X))
    last, other = ({k: v for k, v in v.history_[-1].items() if k != "dur"} for v in (again, vae))
    assert last == other
    assert "valid_loss" in last


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


@pytest.mark.parametrize(("release", "name"), STORED)
def test_stored_files_load(release, name):
    path, numbers = DATA / release / name, json.loads((DATA / release / "numbers.json").read_text())
    made_by, numbers = numbers["made_by"], numbers["models"][path.stem]
    if path.suffix in (".pickle", ".joblib") and np.__version__ < "2" <= made_by["numpy"]:
        pytest.skip("numpy 1 does not read the pickles of numpy 2")
    assert path.stat().st_size < 250_000
    vae, rows = LOADERS[path.suffix[1:]](path), rows_of(numbers)
    np.testing.assert_allclose(vae.transform(rows), numbers["codes"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(vae.score_samples(rows), numbers["scores"], rtol=1e-5, atol=1e-7)
    assert vae.keep_optimizer == (path.stem == "partial")
    assert "_format_version" not in vars(vae)
    assert (vae.fitted_.training_state is not None) == (path.stem == "partial")
    again = through_a_file(through_pickle(vae))  # in the present format
    np.testing.assert_array_equal(again.transform(rows), vae.transform(rows))
    if path.stem == "mixed":
        assert list(vae.sample(3).columns) == numbers["columns"]
    goes_on = vae.set_params(warm_start=True).fit(make.mixed() if path.stem == "mixed" else make.array())
    assert goes_on.n_iter_ > again.n_iter_
    assert np.isfinite(goes_on.score(rows))


def test_the_present_format_is_among_the_stored():
    assert f"format{FORMAT_VERSION}" in FORMATS
    assert {Path(name).suffix[1:] for folder, name in STORED if folder == f"format{FORMAT_VERSION}"} == set(LOADERS)
