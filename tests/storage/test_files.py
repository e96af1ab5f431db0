"""Files of `save`: every value comes back, what cannot be written says so, and damage is an error."""

import json
import os
import pickle
import struct
import sys
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from stored_models import IRIS, SMALL, Pair, fitted, slower, without_addresses

import skvae
from skvae import NormalMixture, VAETransformer
from skvae._storage import files

VALUES = [
    *(None, True, 0, -(2**70), 0.1, float("nan"), float("inf"), -float("inf"), "", "$array", "\ud800 ü\0"),
    *([], (), [1, (2, [3.0])], {}, {"$dict": 1, "b": (1,)}, {1: "a", "b": None, None: 2.5, (1, 2): [3]}),
    *({"component": "ELBO"}, slice(None, 3), range(2, 9, 3), {1, 2}, np.float32(0.1), np.int8(3), np.bool_(True)),
    *(np.arange(6).reshape(2, 3).T, np.array(2.5), np.zeros((0, 2)), np.array([True]), np.array([1], dtype=">i4")),
    *(date(2024, 2, 29), datetime(2024, 2, 29, 12, 30), timedelta(-1, 2, 3), np.datetime64("2024-02", "M")),
    *(datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), np.timedelta64(5, "25us")),
    *(datetime(2024, 2, 29, tzinfo=timezone.utc), datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=-2)))),
    *(pd.Timestamp("2024-10-27T00:30:00.123456789", tz="Europe/Berlin"), pd.Timestamp("2024-02-29")),
    *(pd.Timedelta(5, "h"), pd.Period("2024-02", "M"), pd.Period("2024-02-29", "W-SUN")),
    *(np.array(["a", None, 3], dtype=object), np.array([["x", "yy"]]), np.float16(2), np.array([1.5], np.float16)),
]


@pytest.mark.parametrize("value", VALUES, ids=without_addresses)
def test_every_value_round_trips(value, tmp_path):
    files.write(tmp_path / "file", {"it": value, "twice": [value, value]})
    again = files.read(tmp_path / "file", lambda state: None)
    for copied in (again["it"], *again["twice"]):
        assert type(copied) is type(value)
        assert repr(copied) == repr(value) or np.array_equal(copied, value)
        assert not isinstance(value, np.ndarray) or copied.shape == value.shape


def test_paths_that_meet_in_a_name(tmp_path):
    files.write(tmp_path / "file", {"a.b": np.zeros(1), "a": {"b": np.ones(1)}})
    again = files.read(tmp_path / "file", lambda state: None)
    assert again["a.b"] == 0
    assert again["a"]["b"] == 1


def _namesake():
    class Pair(NormalMixture):
        """Another one of the same name."""

    return Pair


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rate_schedule": lambda epoch: 1.0}, "learning_rate_schedule, a lambda"),
        ({"learning_rate_schedule": partial(slower)}, "learning_rate_schedule, a partial"),
        ({"column_weights": pd.Series([1.0] * 4)}, "column_weights, a Series"),
        (
            {"bounds": {0: (datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1), "ours")), None)}},
            r"0\.0, a datetime",
        ),
        ({"callbacks": [object()]}, r"callbacks\.0, a object"),
        ({"prior": Pair(), "callbacks": [_namesake()()]}, "second thing of the name 'Pair'"),
    ],
    ids=without_addresses,
)
def test_what_cannot_be_written(tmp_path, parameters, message):
    vae = VAETransformer(**SMALL).fit(IRIS).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        vae.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("checkpoint", [Path("runs"), skvae.Checkpoint(Path("runs"), every_n_epochs=2)], ids=repr)
def test_a_path_is_a_string_in_a_file(tmp_path, checkpoint):
    vae = VAETransformer(**SMALL).fit(IRIS).set_params(checkpoint=checkpoint)
    vae.save(tmp_path / "model")
    again = VAETransformer.load(tmp_path / "model").checkpoint
    assert again == "runs" if isinstance(checkpoint, Path) else (again.folder, again.every_n_epochs) == ("runs", 2)


# Files that are not what they should be


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
        lambda header: header.pop("_learned.order"),
        lambda header: header["__metadata__"].update(state=header["__metadata__"]["state"].replace("$array", "$eval")),
        lambda header: header["__metadata__"].update(state=header["__metadata__"]["state"].replace("MLP", "eval")),
    ],
)
def test_damaged_headers(tmp_path, change):
    path = tmp_path / "model"
    VAETransformer(**SMALL).fit(IRIS).save(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match="damaged"):
        VAETransformer.load(path)


def test_other_files(tmp_path):
    for content in (b"", b"not a model", pickle.dumps(fitted("array"))):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError, match=r"is no file of VAETransformer\.save"):
            VAETransformer.load(tmp_path / "file")
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, tmp_path / "other")
    with pytest.raises(ValueError, match="no mark of skvae"):
        VAETransformer.load(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        VAETransformer.load(tmp_path / "none")


def test_a_file_is_written_wholly_or_not_at_all(tmp_path, monkeypatch):
    vae = VAETransformer(**SMALL).fit(IRIS)
    vae.save(str(tmp_path / "model"))
    before = (tmp_path / "model").read_bytes()

    def fail(*args):
        raise PermissionError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError):
        vae.save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_bytes() == before
    with pytest.raises(FileNotFoundError):
        vae.save(tmp_path / "nowhere" / "model")
    with pytest.raises(NotADirectoryError):
        vae.save(tmp_path / "model" / "model")


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        VAETransformer(**SMALL).fit(IRIS).save(tmp_path / "model")
    with pytest.raises(ImportError, match="pip install safetensors"):
        VAETransformer.load(tmp_path / "model")
