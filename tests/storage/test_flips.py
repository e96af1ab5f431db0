"""A bit that changed on a disk or on its way is noticed: files of `save` say so, and nothing else is another model."""

import io
import itertools
import json
import os
import pickle
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from stored_models import DATA, Locked, make

from skvae import VAETransformer
from skvae._storage.seal import SEAL

pytestmark = pytest.mark.one_in(3)

FORMAT = DATA / "format1"
MODELS = ("array", "mixed", "partial")
STEP = {"safetensors": 61, "pickle": 67, "joblib": 29, "skops": 151}  # bytes between two that are flipped
LOADERS = {
    "pickle": pickle.loads,
    "joblib": lambda content: joblib.load(io.BytesIO(content)),
    "skops": lambda content: skops.io.loads(content, trusted=["skvae.estimator.VAETransformer"]),
}


def flips(content, step):
    """The content with one byte changed, for every one or for each so many bytes, by one bit or by more."""
    rng = np.random.default_rng(0)
    for at in range(int(rng.integers(step)), len(content), step):
        by = 1 << int(rng.integers(8)) if rng.random() < 0.5 else int(rng.integers(1, 256))
        yield at, content[:at] + bytes([content[at] ^ by]) + content[at + 1 :]


@contextmanager
def limited_memory():
    """What a flipped length asks of an unpickler is an error, and not the end of the process."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def assert_every_flip_is_a_value_error(path, step, tmp_path):
    for at, content in flips(path.read_bytes(), step):
        (tmp_path / "model").write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged|newer skvae"):
            pytest.fail(f"byte {at}: {VAETransformer.load(tmp_path / 'model')}")


def test_flips_of_a_saved_file(tmp_path):
    assert_every_flip_is_a_value_error(FORMAT / "array.safetensors", STEP["safetensors"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_byte_of_a_saved_file(name, tmp_path):
    assert_every_flip_is_a_value_error(FORMAT / f"{name}.safetensors", 1, tmp_path)


def stored(name, way):
    content = (FORMAT / f"{name}.{way}").read_bytes()
    if way != "joblib":
        return content
    file = io.BytesIO()  # zlib, by which the file is packed, would notice all of it
    joblib.dump(joblib.load(io.BytesIO(content)), file)
    return file.getvalue()


def assert_no_flip_is_another_model(name, way, step):
    content = stored(name, way)
    table = make.mixed() if name == "mixed" else make.array()
    vae = LOADERS[way](content)
    expected, parameters = vae.transform(table[:9]), repr(vae.get_params())

    def check(at, flipped):
        """Whether the file is refused; else the model must be the same."""
        loaded = None
        is_refused = True
        with suppress(Exception), limited_memory():
            loaded = LOADERS[way](flipped)
            is_refused = False
        if isinstance(loaded, VAETransformer) and vars(loaded):
            np.testing.assert_array_equal(loaded.transform(table[:9]), expected, err_msg=f"byte {at}")
            assert repr(loaded.get_params()) == parameters
            assert loaded.history_ == vae.history_
        return is_refused

    assert true_in_children(check, lambda: flips(content, step))


def true_in_children(check, arguments):
    """How often check is true, called in a forked child; where one crashes another goes on: an unpickler may crash."""
    n_done = n_true = 0
    while True:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reader)
                for pair in itertools.islice(arguments(), n_done, None):
                    os.write(writer, b".")
                    if check(*pair):
                        os.write(writer, b"t")
                status = 0
            finally:
                if status:
                    traceback.print_exc()
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader, "rb") as progress:
            marks = progress.read()
        n_done, n_true = n_done + marks.count(b"."), n_true + marks.count(b"t")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status >= 0:
            assert status == 0, "see the traceback of the child"
            return n_true


@pytest.mark.filterwarnings("ignore")  # of unpicklers, about what they do not know
@pytest.mark.parametrize("way", LOADERS)
def test_flips_of_other_files(way):
    assert_no_flip_is_another_model("array", way, STEP[way])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", LOADERS)
@pytest.mark.parametrize("name", MODELS)
def test_every_byte_of_other_files(name, way):
    assert_no_flip_is_another_model(name, way, 1)


# What the digest of a state is of


def changed(state, change):
    state = pickle.loads(pickle.dumps(state))
    change(state)
    return state


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["_learned"]["module"]["decoder.affine.bias"].__setitem__(0, 7.0),
        lambda state: state["_learned"].update(n_iter=4),
        lambda state: state["_learned"]["history"]["values"]["train_loss"].__setitem__(0, 0.5),
        lambda state: state.update(max_iter=4),
        lambda state: state.pop("max_iter"),
        lambda state: state.update(_sklearn_output_config={"transform": "polars"}),
        lambda state: state.pop("_learned"),
        lambda state: state.pop(SEAL),
        lambda state: state.update({SEAL: None}),
        lambda state: state.update({SEAL: {}}),
        lambda state: state[SEAL].update(names=["max_iter"]),
        lambda state: state[SEAL].update(digest=""),
    ],
)
def test_a_changed_state_is_no_model(change):
    vae = VAETransformer(2, max_iter=3, random_state=0).set_output(transform="pandas").fit(make.array())
    with pytest.raises(ValueError, match="damaged"):
        VAETransformer().__setstate__(changed(vae.__getstate__(), change))


def test_what_a_subclass_stores_is_its_own_affair():
    vae = Locked(random_state=0).fit(make.array())
    again = pickle.loads(pickle.dumps(vae))
    assert again.lock is not None
    assert again.cache == "empty"
    np.testing.assert_array_equal(again.transform(make.array()), vae.transform(make.array()))


def test_the_digest_of_a_file_is_taken_of_its_bytes(tmp_path):
    """Whoever writes such files otherwise finds the rule here."""
    import hashlib

    content = (FORMAT / "array.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    digest = header["__metadata__"]["digest"]
    assert hashlib.sha256(content.replace(digest.encode(), b"0" * 64)).hexdigest() == digest
