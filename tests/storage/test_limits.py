"""A file asks for no more memory than a multiple of its size, whichever of its fields is large, and lacks no part."""

import gc
import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from stored_models import SMALL, VARIETY, WITH_FUNCTIONS, fitted

from skvae import VAETransformer
from skvae._storage import files
from skvae._storage.limits import Budget, n_bytes
from skvae._storage.seal import SEAL
from skvae._storage.to_plain import OPTIONAL

pytestmark = pytest.mark.one_in(2)

RSS = Path("/proc/self/clear_refs")
MOST = 48 << 20  # bytes, for files of 20 kB; a gigabyte and more is what the numbers below ask for
#: Ints that take and ask for nothing.
NO_SIZES = {"seed", "n_iter", "best_iter", "n_samples", "n_epochs", "random_state", "n_iter_"}
FEW = ["array", "named categories", "networks", "implicit"]


def high_water():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def parts(value, path=()):
    """Every part of nested containers, with its path."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, part in items:
        yield from parts(part, (*path, key))


def with_part(value, path, change):
    """Containers in which the part at a path is changed; the others are those of before."""
    if not path:
        return change(value)
    key, *rest = path
    if isinstance(value, dict):
        return {k: with_part(v, rest, change) if k == key else v for k, v in value.items()}
    return type(value)(with_part(v, rest, change) if i == key else v for i, v in enumerate(value))


def without(value, path):
    """Containers in which the part at a path is missing."""

    def less(container):
        if isinstance(container, dict):
            return {k: v for k, v in container.items() if k != path[-1]}
        return type(container)(v for i, v in enumerate(container) if i != path[-1])

    return with_part(value, path[:-1], less)


def state_of(name):
    return {k: v for k, v in fitted(name).__getstate__().items() if k != SEAL}


def load(state, folder, components=None):
    """Through a file, whose digest is right, as a stranger would have it."""
    files.write(folder / "model", state)
    return VAETransformer.load(folder / "model", components=components)


def blown_up(value):
    """What takes as little place as a value, and stands for more."""
    if type(value) is int:
        return [100_003, 10**12]
    if isinstance(value, list):
        return [range(10**12)]
    if isinstance(value, tuple):
        return [(30_011, 30_011), range(10**12)]
    return [np.zeros((10**12, *value.shape[1:], 0), value.dtype)] if isinstance(value, np.ndarray) else []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the memory of the process from /proc")
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FEW else pytest.mark.slow) for n in VARIETY])
def test_no_field_asks_for_more_memory_than_a_multiple_of_the_file(name, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)
    state, components = state_of(name), WITH_FUNCTIONS.get(name)
    load(state, tmp_path, components)  # imports what it needs
    loaded = []
    gc.collect()
    RSS.write_text("5")  # the highest is taken from now on
    before = high_water()
    for path, part in parts({"_learned": state["_learned"]}):
        for large in blown_up(part):
            with suppress(ValueError):
                load(with_part(state, path, lambda _, large=large: large), tmp_path, components)
                loaded.append((path, large))
            assert high_water() - before < MOST, (path, part, large)
    assert {path[-1] for path, _ in loaded} <= NO_SIZES


@pytest.mark.parametrize("change", [lambda state: state.pop("_learned"), lambda state: state.update(_learned=None)])
def test_a_file_without_a_fit(change, tmp_path):
    state = state_of("array")
    change(state)
    with pytest.raises(ValueError, match="it holds no fitted model"):
        load(state, tmp_path)


def is_needed(path, state):
    """Whether the place of a part shows without it; not that of parameters, which have defaults, and of extras.

    Nor that of what only `sample` asks for, which some models do without.
    """
    if path[1:] in [(name,) for name in OPTIONAL]:
        return False
    extras = {"parameters", "lower_bounds_", "lower_bound_", "converged_", "n_iter_", "precisions_", "ordered"}
    of_an_array = {"integer", "number_types"} if state["_learned"]["schema"]["names"] is None else set()
    return not (extras | of_an_array) & set(path[2:])


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in ("pandas, plain", "polars") else pytest.mark.slow) for n in VARIETY]
)
def test_a_state_that_lacks_a_part_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)
    state, components = state_of(name), WITH_FUNCTIONS.get(name)
    loaded = []
    for path, _ in parts({"_learned": state["_learned"]}):
        if path and is_needed(path, state):
            with suppress(ValueError):
                load(without(state, path), tmp_path, components)
                loaded.append(path)
    assert loaded == []


@pytest.mark.parametrize("names", [["a"], ["a"] * 5, "abcd", {"a": 1}])
@pytest.mark.parametrize("path", [("schema", "names"), ("feature_names_in",)])
def test_names_of_another_length_than_the_columns(path, names, tmp_path):
    names = np.array(list(names), dtype=object) if path == ("feature_names_in",) else names
    if np.shape(names) == (4,):
        pytest.skip("four of them, as many as columns")
    state = with_part(state_of("pandas, plain"), ("_learned", *path), lambda _: names)
    with pytest.raises(ValueError, match="names"):
        load(state, tmp_path)


def test_a_tensor_stands_for_its_bytes_once(tmp_path):
    """Else a thousand references to it would be a thousand copies."""
    tensor = {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}
    for tree, message in (({"x": {"$array": "a"}, "y": {"$array": "a"}}, "KeyError"), ({}, "nothing in it speaks of")):
        metadata = {"format": "skvae", "digest": "0" * 64, "state": json.dumps(tree)}
        header = json.dumps({"a": tensor, "__metadata__": metadata}, separators=(",", ":")).encode()
        content = len(header).to_bytes(8, "little") + header + bytes(8)
        (tmp_path / "model").write_bytes(content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode()))
        with pytest.raises(ValueError, match=message):
            files.read(tmp_path / "model", lambda state: None)


@pytest.mark.parametrize(
    "call",
    [
        lambda n: torch.zeros(n, n),
        lambda n: torch.randn((n, n)),
        lambda n: torch.empty(size=(n, n)),
        lambda n: torch.full((n, n), 2.0),
        lambda n: torch.eye(n),
        lambda n: torch.arange(n * n),
        lambda n: torch.tril_indices(n, n),
        lambda n: torch.nn.Linear(n, n),
        lambda n: torch.zeros(1).new_zeros(n, n),
        lambda n: torch.zeros(n, 1) @ torch.zeros(1, n),
        lambda n: torch.zeros(n, 1) + torch.zeros(n),
        lambda n: torch.zeros(n).repeat(n),
        lambda n: torch.nn.functional.linear(torch.zeros(n, 1), torch.zeros(n, 1)),
        lambda n: torch.nn.functional.conv2d(torch.zeros(1, 1, 1, n), torch.zeros(n, 1, 1, 1)),
        lambda n: torch.nn.functional.interpolate(torch.zeros(1, 1, 1, 1), (n, n)),
        lambda n: [torch.zeros(1) for _ in range(n * n)],
    ],
)
def test_a_budget_is_asked_before_torch_allocates(call):
    """300 by 300 numbers fit, a million times as many do not; nothing so large is ever made."""
    with Budget(1 << 14, has_own=False):
        call(10)
        with pytest.raises(ValueError, match="its networks ask for more memory than 64 times the 16384 bytes"):
            call(300_000)


def test_code_of_the_users_may_need_what_is_not_stored(tmp_path):
    """Such as a table that is no parameter and no buffer of the state."""
    vae = VAETransformer(**SMALL, decoder=with_a_table).fit(VARIETY["array"][1])
    vae.save(tmp_path / "model")
    assert VAETransformer.load(tmp_path / "model", components=[with_a_table]).score(VARIETY["array"][1]) < 0


def with_a_table(n_in, n_out):
    net = torch.nn.Linear(n_in, n_out)
    net.register_buffer("table", torch.zeros(1000, 1000), persistent=False)
    return net


def test_bytes_of_a_state():
    assert n_bytes({"ab": "cde", "x": [1, 2.0, None], "y": np.zeros(3)}) == 1 + 2 + 3 + 1 + 1 + 3 + 1 + 1 + 24
    assert n_bytes(np.array(["abc", None], dtype=object)) == 16 + 1 + 3 + 1
    for value in (range(3), [{"a": (range(10**12),)}]):
        with pytest.raises(ValueError, match="in the place of a list"):
            n_bytes(value)
    with pytest.raises(ValueError, match=r"an array of shape \(1000, 0\) in"):
        n_bytes([np.zeros((1000, 0))])


@pytest.mark.parametrize("error", [MemoryError, OverflowError, ZeroDivisionError, AssertionError, RecursionError])
def test_what_a_malformed_state_raises_is_a_value_error(error, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise error("no")

    monkeypatch.setattr("skvae._storage.from_plain.LatentVariableModel", fail)
    with pytest.raises(ValueError, match=f"damaged: {error.__name__}"):
        load(state_of("array"), tmp_path)
