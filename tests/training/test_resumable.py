"""Checkpoints: a fit that was killed anywhere goes on, and ends bit for bit where it would have ended."""

import copy
import errno
import importlib.util
import itertools
import os
import re
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from skvae import ELBO, Aggressive, Checkpoint, CyclicalAnnealing, Gaussian, Schedule, VAETransformer, VariationalEM
from skvae._training import resumable
from skvae._training.loop import Net
from skvae._training.processes import ONE, OneProcess
from skvae._training.resumable import Wish
from skvae._utils.atomic import replacing

pytestmark = pytest.mark.one_in(3)

X = np.random.default_rng(0).normal(size=(160, 3)) @ np.random.default_rng(1).normal(size=(3, 5))
X = np.round(X + np.random.default_rng(2).normal(size=X.shape), 2)
FAST = {"n_components": 2, "hidden_layer_sizes": (4,), "max_iter": 3, "batch_size": 32, "random_state": 0}
ALWAYS = 1e-9  # minutes: before every step


class Killed(BaseException):
    """As sudden as a signal, within this process."""


def assert_same_fit(a, b, X=X):
    """Weights, history but for the clock, and what the methods say, to the last bit."""
    for name, tensor in a.module_.state_dict().items():
        assert torch.equal(tensor, b.module_.state_dict()[name]), name
    assert clean(a.history_) == clean(b.history_)
    assert (a.n_iter_, a.best_iter_) == (b.n_iter_, b.best_iter_)
    if hasattr(a, "transform"):
        np.testing.assert_array_equal(a.transform(X), b.transform(X))


def clean(history):
    return [{k: v for k, v in record.items() if k != "dur"} for record in history]


def fit_killed(vae, monkeypatch, at_steps, X=X, **fit_params):
    """Fit in several launches: each is interrupted after so many steps of its own, but for the last."""
    for n in at_steps:
        with dying_at_step(n, monkeypatch):
            vae.fit(X, **fit_params)
        vae.set_params(checkpoint__resume=True)
    vae.set_params(checkpoint__every_minutes=10.0)
    return vae.fit(X, **fit_params)


@contextmanager
def dying_at_step(n, monkeypatch):
    step, count = Net._step, iter(range(n))
    with monkeypatch.context() as patched:
        patched.setattr(Net, "_step", lambda *args: die() if next(count, None) is None else step(*args))
        with pytest.raises(Killed):
            yield


class WithBatchNorm(nn.Sequential):
    def __init__(self, n_in, n_out):
        super().__init__(nn.Linear(n_in, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, n_out))


class Greedy(Schedule):
    """Skips what went well, by the worst row of each batch: reads more of a loss than its mean."""

    groups = (("inference", "generative"),)

    def steps(self, batches):
        level = np.inf
        for batch in batches:
            worst = float((yield 0, batch).max())
            if worst > level:
                yield 0, batches.draw()
            level = worst


def torch_adam(parameters, lr, weight_decay):
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)


KINDS = {
    "joint": {},
    "dropout": {"dropout": 0.2},
    "early_stopping": {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 9, "learning_rate": 0.1},
    "no_early_stopping": {"early_stopping": False},
    "em": {"schedule": VariationalEM(n_inference_steps=2)},
    "aggressive": {"schedule": Aggressive(max_inference_steps=25), "max_iter": 1, "early_stopping": False},
    "own_schedule": {"schedule": Greedy()},
    "annealed": {"objective": ELBO(beta=CyclicalAnnealing(2, 2))},
    "iwae": {"objective": "iwae"},
    "ae": {"objective": "ae"},
    "rae": {"objective": "rae", "prior": "mixture"},
    "wae_mmd": {"objective": "wae_mmd"},
    "aae": {"objective": "aae"},
    "avb": {"objective": "avb"},
    "gan": {"objective": "gan"},
    "vae_gan": {"objective": "vae_gan"},
    "factor_vae": {"objective": "factor_vae"},
    "batch_norm": {"encoder": WithBatchNorm, "decoder": WithBatchNorm, "hidden_layer_sizes": "auto"},
    "laplace": {"posterior": "laplace"},
    "gamma": {"posterior": "gamma", "prior": "auto"},
    "vamp": {"prior": "vamp"},
    "torch_optimizer": {"optimizer": torch_adam},
    "sgd": {"optimizer": "sgd", "learning_rate_schedule": "inverse_sqrt"},
    "random_start": {"init": "random"},
    "transformed": {"scaling": "quantile"},
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_fit_goes_on(kind, monkeypatch, tmp_path):
    vae = VAETransformer(**{**FAST, **KINDS[kind]})
    whole = clone(vae).fit(X)
    vae.set_params(checkpoint=Checkpoint(tmp_path, every_minutes=ALWAYS))
    assert_same_fit(fit_killed(vae, monkeypatch, [3, 1, 5]), whole)
    assert list(tmp_path.iterdir()) == []


def test_many_steps(monkeypatch, tmp_path):
    """Of 144 an epoch: the average lags by up to 8, and the best state is an old one."""
    objective = ELBO(n_samples=1)  # noisy enough that the last epoch is not the best
    settings = {**FAST, "batch_size": 1, "init": "random", "learning_rate": 0.04, "max_iter": 4, "random_state": 1}
    settings["objective"] = objective
    whole = VAETransformer(**settings).fit(X)
    assert 0 < whole.best_iter_ < whole.n_iter_
    clock = itertools.count()
    monkeypatch.setattr(resumable.ResumableFit, "wish", lambda run: Wish(write=next(clock) % 9 == 8))
    vae = VAETransformer(**settings, checkpoint=Checkpoint(tmp_path))
    assert_same_fit(fit_killed(vae, monkeypatch, [137, 11, 230]), whole)  # the last in the third epoch


def test_killed_while_it_reads_the_rows_of_steps_that_are_done(monkeypatch, tmp_path):
    """Nothing is written before the epoch is where it was."""
    vae = VAETransformer(**FAST, checkpoint=Checkpoint(tmp_path, every_minutes=ALWAYS))
    with dying_at_step(8, monkeypatch):
        vae.fit(X)
    with monkeypatch.context() as patched:
        patched.setattr(resumable.ResumableFit, "over", die)
        with pytest.raises(Killed):
            vae.fit(X)
    assert_same_fit(vae.set_params(checkpoint__resume=True).fit(X), VAETransformer(**FAST).fit(X))


def with_missing():
    incomplete = X.copy()
    incomplete[np.random.default_rng(3).random(X.shape) < 0.1] = np.nan
    return {"X": incomplete, "sample_weight": np.arange(len(X)) % 3}


def on_disk(folder):
    np.save(folder / "X.npy", X)
    return {"X": np.load(folder / "X.npy", mmap_mode="r"), "X_val": X[:20] + 0.01}


@pytest.mark.parametrize("table", ["incomplete", "memmap", "csr"])
def test_every_kind_of_table_goes_on(table, monkeypatch, tmp_path):
    kinds = {"incomplete": with_missing, "memmap": lambda: on_disk(tmp_path), "csr": lambda: {"X": sparse.csr_array(X)}}
    vae, rows = VAETransformer(**FAST), kinds[table]()
    whole = clone(vae).fit(**rows)
    vae.set_params(checkpoint=Checkpoint(tmp_path / "runs", every_minutes=ALWAYS))
    assert_same_fit(fit_killed(vae, monkeypatch, [3, 1, 5], **rows), whole)


@pytest.mark.parametrize("settings", [{}, {"schedule": "exact_em", "hidden_layer_sizes": (), "init": "random"}])
def test_epochs_alone(settings, tmp_path):
    """Steps since the last file are taken again."""
    vae = VAETransformer(**{**FAST, "max_iter": 7, **settings})
    whole = clone(vae).fit(X)
    vae.set_params(checkpoint=Checkpoint(tmp_path, every_n_epochs=2, every_minutes=None))
    seen = Seen()
    with pytest.raises(Killed):
        clone(vae).set_params(callbacks=[Die(6, seen)]).fit(X)
    assert_same_fit(vae.set_params(checkpoint__resume=True, callbacks=[Die(99, seen)]).fit(X), whole)
    assert seen == [*range(1, 7), *range(5, 8)]


def test_files_are_as_rare_as_asked(tmp_path, monkeypatch):
    """Also after an interruption: epochs are counted from the last file."""
    done, write = [], resumable.ResumableFit.write
    monkeypatch.setattr(
        resumable.ResumableFit, "write", lambda run, state: (done.append(len(state["history"])), write(run, state))
    )
    vae = VAETransformer(**{**FAST, "max_iter": 9}, early_stopping=False)
    vae.set_params(checkpoint=Checkpoint(tmp_path, every_n_epochs=2, every_minutes=None))
    with pytest.raises(Killed):
        clone(vae).set_params(callbacks=[Die(6)]).fit(X)
    vae.fit(X)
    assert done == [2, 4, 6, 8]


class Die(Callback):
    """Raise at the beginning of an epoch."""

    def __init__(self, epoch, seen=None):
        self.epoch = epoch
        self.seen = Seen() if seen is None else seen

    def on_epoch_begin(self, net, **kwargs):
        self.seen.append(net.epoch + 1)
        if net.epoch + 1 == self.epoch:
            raise Killed


def test_warm_starts_go_on(monkeypatch, tmp_path):
    """Also those from a best state, which have no optimizer; a run from another earlier fit is another run."""
    vae = VAETransformer(**FAST, warm_start=True).fit(X)
    whole = copy.deepcopy(vae).fit(X)
    vae.set_params(checkpoint=Checkpoint(tmp_path, every_minutes=ALWAYS))
    assert_same_fit(fit_killed(copy.deepcopy(vae), monkeypatch, [3, 7]), whole)
    with pytest.raises(Killed):
        copy.deepcopy(vae).set_params(callbacks=[Die(5)]).fit(X)
    (path,) = tmp_path.iterdir()
    further = VAETransformer(**FAST, warm_start=True).fit(X).fit(X)
    with pytest.raises(ValueError, match=f"{path.name}, which differs in .*'the earlier fit'"):
        further.set_params(checkpoint=Checkpoint(tmp_path, resume=True)).fit(X)


def test_an_earlier_fit_without_epochs_counts_and_so_does_its_scaling(tmp_path):
    """Two have the same weights to the last bit, and rows of other norms in their scaling; a file is not sorted."""
    checkpoint = Checkpoint(tmp_path / "runs", every_n_epochs=1)
    anew = VAETransformer(**FAST, warm_start=True, checkpoint=checkpoint)
    starts = [clone(anew).set_params(max_iter=0).fit(rows).set_params(max_iter=3) for rows in (X * 2, X * 4)]
    rows = on_disk(tmp_path)
    wholes = [copy.deepcopy(vae).set_params(checkpoint=None).fit(**rows) for vae in [*starts, anew]]
    for vae in starts:
        with pytest.raises(Killed):
            copy.deepcopy(vae).set_params(callbacks=[Die(3)]).fit(**rows)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    for vae, whole in zip([*starts, anew], wholes, strict=True):
        assert_same_fit(vae.fit(**rows), whole)


def test_a_generator_as_the_seed(tmp_path):
    def settings():
        return {**FAST, "random_state": np.random.RandomState(3)}

    checkpoint = Checkpoint(tmp_path, every_n_epochs=1)
    with pytest.raises(Killed):
        VAETransformer(**settings(), checkpoint=checkpoint, callbacks=[Die(3)]).fit(X)
    vae = VAETransformer(**settings(), checkpoint=checkpoint.set_params(resume=True)).fit(X)
    assert_same_fit(vae, VAETransformer(**settings()).fit(X))


class Seen(list):
    """The epochs that a fit has begun; callbacks are copied, and this is not."""

    def __deepcopy__(self, memo):
        return self


def die(*args, **kwargs):
    raise Killed


# ---------------------------------------------------------------- one run, one file


def killed(tmp_path, X=X, **settings):
    """A fit that was killed at the beginning of its third epoch, before that was written down."""
    vae = VAETransformer(**{**FAST, **settings}, checkpoint=Checkpoint(tmp_path, every_n_epochs=1))
    with pytest.raises(Killed):
        clone(vae).set_params(callbacks=[Die(3)]).fit(X)
    return vae


def test_a_path_is_a_checkpoint(tmp_path):
    vae = killed(tmp_path).set_params(checkpoint=tmp_path, callbacks=[Die(99, seen := Seen())])
    assert_same_fit(vae.fit(X), VAETransformer(**FAST).fit(X))
    assert seen == [2, 3]


def test_a_fit_that_differs_in_anything_is_another_run(tmp_path):
    vae = killed(tmp_path)
    (path,) = tmp_path.iterdir()
    others = [
        {"random_state": 1},
        {"learning_rate": 0.1},
        {"max_iter": 4},
        {"column_weights": [1, 1, 1, 1, 2]},
        {"objective": ELBO(beta=2.0)},
        {"likelihood": Gaussian(noise="shared")},
        {"learning_rate_schedule": lambda epoch: 0.5**epoch},
    ]
    for settings in others:
        seen = Seen()
        clone(vae).set_params(**settings, callbacks=[Die(99, seen)]).fit(X)
        assert seen[0] == 1, settings
    near = X.copy()
    near[7, 3] += 1e-9
    for rows in (
        {"X": near},
        {"X": X[1:]},
        {"X": X, "sample_weight": np.arange(160) + 1},
        {"X": X, "X_val": X[:9] + 1},
    ):
        seen = Seen()
        clone(vae).set_params(callbacks=[Die(99, seen)]).fit(**rows)
        assert seen[0] == 1
    assert list(tmp_path.iterdir()) == [path]
    shuffled = np.random.default_rng(0).permutation(X)
    clone(vae).set_params(verbose=0, keep_optimizer=True, checkpoint__resume=True).fit(shuffled)
    assert list(tmp_path.iterdir()) == []


def test_equal_rows_of_other_columns_are_another_run(tmp_path):
    """Categories are indices in the rows that are hashed; a level that nobody has changes nothing in them."""

    def rows(levels):
        return pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(["x", "y"] * 80, categories=levels)})

    vae = killed(tmp_path, X=rows(["x", "y"]))
    seen = Seen()
    vae.set_params(callbacks=[Die(99, seen)]).fit(rows(["x", "y", "z"]))
    assert seen == [1, 2, 3]


def test_other_weights_of_a_file_are_another_run(tmp_path):
    """Those of a table in memory show in the order of its rows as well."""
    rows = on_disk(tmp_path)["X"]
    vae = killed(tmp_path / "runs", X=rows)
    seen = Seen()
    vae.set_params(callbacks=[Die(99, seen)]).fit(rows, sample_weight=np.arange(160) + 1)
    assert seen == [1, 2, 3]


def test_a_function_with_other_values_is_another_run(tmp_path):
    def falling(base):
        return lambda epoch: base**epoch

    vae = killed(tmp_path, learning_rate_schedule=falling(0.5))
    for schedule, first in [(falling(0.9), 1), (lambda epoch, base=0.5: base**epoch, 1), (falling(0.5), 2)]:
        seen = Seen()
        clone(vae).set_params(learning_rate_schedule=schedule, callbacks=[Die(99, seen)]).fit(X)
        assert seen[0] == first


def test_resume_false_starts_over(tmp_path):
    vae = killed(tmp_path).set_params(checkpoint__resume=False, callbacks=[Die(99, seen := Seen())]).fit(X)
    assert seen == [1, 2, 3]
    assert_same_fit(vae, VAETransformer(**FAST).fit(X))


def test_resume_true_wants_a_file(tmp_path):
    vae = VAETransformer(**FAST, checkpoint=Checkpoint(tmp_path, resume=True))
    with pytest.raises(ValueError, match=r"has no checkpoint of this fit, skvae-.*There are: none"):
        vae.fit(X)
    killed(tmp_path, dropout=0.5, tol=0.1)
    with pytest.raises(ValueError, match=r"There are: skvae-.*\.pt, which differs in \['dropout', 'tol'\]\."):
        vae.fit(X)


def test_candidates_of_a_search_share_a_folder(tmp_path, monkeypatch):
    search = GridSearchCV(VAETransformer(**FAST), {"n_components": [1, 2]}, cv=2, error_score="raise")
    whole = clone(search).fit(X)
    search.set_params(estimator__checkpoint=Checkpoint(tmp_path, every_minutes=ALWAYS))
    with dying_at_step(25, monkeypatch):
        search.fit(X)
    restored, restore = [], resumable.restore
    monkeypatch.setattr(resumable, "restore", lambda net, state: restored.append(restore(net, state)))
    search.fit(X)
    assert len(restored) == 1  # the candidate that was interrupted; the ones before it had ended
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"])
    assert_same_fit(search.best_estimator_, whole.best_estimator_)
    assert list(tmp_path.iterdir()) == []


def test_partial_fit_and_no_epochs_write_nothing(tmp_path):
    vae = VAETransformer(**FAST, checkpoint=Checkpoint(tmp_path / "runs", every_minutes=ALWAYS))
    vae.partial_fit(X)
    assert not (tmp_path / "runs").exists()
    vae.set_params(max_iter=0).fit(X)
    assert list((tmp_path / "runs").iterdir()) == []


def test_numpys_numbers_in_the_history_go_in_and_other_things_are_refused(tmp_path):
    class Note(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("noted", note)

    vae = VAETransformer(**FAST, checkpoint=Checkpoint(tmp_path, every_n_epochs=1), callbacks=[Note()])
    note = np.float32(3.5)
    vae.fit(X)
    note = Note
    with pytest.raises(ValueError, match=r"there is a type in the history, from a callback"):
        vae.fit(X)
    assert list(tmp_path.iterdir()) == []


def test_verbose_says_where_it_goes_on(tmp_path, capsys):
    killed(tmp_path).set_params(verbose=1).fit(X)
    assert re.search(r"Going on from .*skvae-\w+\.pt: 1 epochs and 0 steps are done", capsys.readouterr().out)


# ---------------------------------------------------------------- what goes wrong


def test_a_disk_that_fills_up_is_a_warning(tmp_path, monkeypatch):
    """The file of the epoch before is intact, and nothing half-written stays."""
    whole = VAETransformer(**FAST).fit(X)
    save = torch.save
    n_saved = itertools.count(1)

    def save_or_fail(state, file):
        if next(n_saved) == 1:
            return save(state, file)
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", save_or_fail)
    vae = VAETransformer(**{**FAST, "max_iter": 4}, checkpoint=Checkpoint(tmp_path, every_n_epochs=1))
    with pytest.warns(UserWarning, match=r"could not be written: .*No space left") as caught, pytest.raises(Killed):
        clone(vae).set_params(callbacks=[Die(4)]).fit(X)
    assert len(caught) == 1  # one in epoch 3; epoch 4 was not reached
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".pt"
    monkeypatch.setattr(torch, "save", save)
    vae.set_params(checkpoint__resume=True, callbacks=[Die(99, seen := Seen())])
    assert_same_fit(vae.fit(X), VAETransformer(**{**FAST, "max_iter": 4}).fit(X))
    assert seen == [2, 3, 4]
    assert whole.n_iter_ == 3


def test_a_full_disk_that_torch_tells_as_a_runtime_error(tmp_path):
    """torch's writer hides the reason; the message has it."""
    resource = pytest.importorskip("resource")
    run = resumable.ResumableFit(Checkpoint(tmp_path), {}, ONE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.warns(UserWarning, match=r"could not be written: .*File too large"):
            run.write({"a": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other", "another fit's"])
def test_a_damaged_file_is_named(tmp_path, damage):
    vae = killed(tmp_path)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "other":
        torch.save({"made_of": {}}, path)
    elif damage == "another fit's":
        killed(tmp_path / "another", n_components=1)
        next((tmp_path / "another").iterdir()).replace(path)
    else:
        content[6000:6200] = bytes(200)
        path.write_bytes({"cut": content[:6000], "flip": content, "empty": b""}[damage])
    with pytest.raises(ValueError, match=f"{path.name} is no checkpoint of this fit, or it is damaged"):
        vae.fit(X)
    vae.set_params(checkpoint__resume=False).fit(X)


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ (1 + at % 255)]) + content[at + 1 :]


def assert_every_flip_is_a_value_error(tmp_path, step):
    killed(tmp_path, hidden_layer_sizes=())
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    assert resumable._read(path)["history"]
    for at in range(0, len(content), step):
        path.write_bytes(flipped(content, at))
        with pytest.raises(ValueError, match="is no checkpoint of this fit, or it is damaged"):
            pytest.fail(f"byte {at}: {resumable._read(path)}")


def test_flips_of_a_checkpoint(tmp_path):
    assert_every_flip_is_a_value_error(tmp_path, 61)


@pytest.mark.slow
def test_every_byte_of_a_checkpoint(tmp_path):
    assert_every_flip_is_a_value_error(tmp_path, 1)


def test_a_damaged_file_of_another_run_is_no_fault_of_this_one(tmp_path):
    killed(tmp_path, dropout=0.5)
    (path,) = tmp_path.iterdir()
    path.write_bytes(flipped(path.read_bytes(), 5000))
    (tmp_path / "skvae-of-a-folder.pt").mkdir()
    vae = VAETransformer(**FAST, checkpoint=Checkpoint(tmp_path, resume=True))
    with pytest.raises(
        ValueError, match=rf"resume=True, but .* There are: {path.name}, which cannot be read; skvae-of"
    ):
        vae.fit(X)
    assert_same_fit(vae.set_params(checkpoint__resume="auto").fit(X), VAETransformer(**FAST).fit(X))


def test_what_another_process_writes_is_not_taken_away(tmp_path):
    """Another one with the same fit, which has just begun."""
    vae = killed(tmp_path)
    (path,) = tmp_path.iterdir()
    with replacing(path) as file:
        file.write(path.read_bytes())
        assert_same_fit(vae.fit(X), VAETransformer(**FAST).fit(X))
    assert resumable._read(path)["history"]


def test_what_a_killed_writer_left_is_never_read_and_goes_away(tmp_path):
    """Half a file has a name of its own, and the next launch of the same run removes it."""
    vae = killed(tmp_path)
    (path,) = tmp_path.iterdir()
    half = path.with_name(f".{path.name}.0123")
    half.write_bytes(path.read_bytes()[:1000])
    other = tmp_path / ".skvae-of-another-run.pt.0123"
    other.write_bytes(b"")
    assert_same_fit(vae.set_params(checkpoint__resume=True).fit(X), VAETransformer(**FAST).fit(X))
    assert list(tmp_path.iterdir()) == [other]


# ---------------------------------------------------------------- real processes

SCRIPT = Path(__file__).parents[2] / "docs" / "benchmarks" / "kill_and_resume.py"


@pytest.fixture(scope="module")
def harness():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("fit_batches", "two_processes")]


@pytest.mark.parametrize("kind", ["fit", *SLOW])
def test_killed_at_a_random_moment(harness, kind, tmp_path):
    """The nightly run does it twenty times."""
    needs_launcher(harness, kind)
    delay = np.random.default_rng().uniform(0, 3 * harness.SECONDS)
    assert harness.kill(harness.launch(kind, tmp_path), tmp_path, delay) == -signal.SIGKILL, delay
    code = harness.kill(harness.launch(kind, tmp_path), tmp_path, harness.TIMEOUT)
    assert harness.read_outcome(tmp_path, code) == harness.uninterrupted(kind, tmp_path), delay
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("kind", ["critic", "two_processes"])
def test_a_process_that_is_terminated_writes_a_last_checkpoint(harness, kind, tmp_path, monkeypatch):
    """After the signal, halfway between two that were due; several at the same step."""
    needs_launcher(harness, kind)
    sent, send = [], harness.send_to_all
    monkeypatch.setattr(harness, "send_to_all", lambda *args: (sent.append(time.time_ns()), send(*args)))
    code = harness.kill(harness.launch(kind, tmp_path), tmp_path, harness.SECONDS / 2, signal.SIGTERM)
    assert code == (1 if kind in harness.LAUNCHERS else -signal.SIGTERM)
    (path,) = (tmp_path / "runs").iterdir()
    assert path.stat().st_mtime_ns > sent[0] - 10_000_000  # the clock of files ticks in milliseconds
    state = resumable._read(path)
    first, *others = (inside and inside["n_steps"] for inside in state["inside"])
    assert first or state["history"]
    assert others == ([first] if kind in harness.LAUNCHERS else [])


def needs_launcher(harness, kind):
    if kind in harness.LAUNCHERS:
        pytest.importorskip("accelerate")


@pytest.fixture
def heard():
    """The signals that a handler of the user's has seen, which does nothing else; restored after the test."""
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    yield seen
    signal.signal(signal.SIGTERM, before)


class RaiseSigterm(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if net.epoch + 1 == 2:
            signal.raise_signal(signal.SIGTERM)


def test_sigterm_writes_first_and_then_does_what_it_did(tmp_path, heard, monkeypatch):
    """Here nothing, so that the fit goes on; the handler is back after it."""
    handler, n_heard, write = signal.getsignal(signal.SIGTERM), [], resumable.ResumableFit.write

    def write_and_note(run, state):
        n_heard.append(len(heard))
        write(run, state)

    monkeypatch.setattr(resumable.ResumableFit, "write", write_and_note)
    vae = VAETransformer(**FAST, checkpoint=Checkpoint(tmp_path), callbacks=[RaiseSigterm()]).fit(X)
    assert n_heard == [0]
    assert heard == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is handler
    assert_same_fit(vae, VAETransformer(**FAST).fit(X))


def test_no_process_ends_before_the_first_one_has_written(tmp_path, monkeypatch):
    """Else the launcher, which sees one end, kills the first one some seconds later."""
    events = []

    class Noting(OneProcess):
        def on_first(self, function):
            function()
            events.append("wait")

    run = resumable.ResumableFit(Checkpoint(tmp_path), {}, Noting())
    monkeypatch.setattr(resumable, "collected", lambda net: {})
    monkeypatch.setattr(run, "write", lambda state: events.append("write"))
    monkeypatch.setattr(run, "_end", lambda: events.append("end"))
    run.agree(Wish(end=True).encode())
    run._save(SimpleNamespace(history=[]), None)
    assert events == ["write", "wait", "end"]


def test_sigterm_after_the_last_step_is_not_lost(tmp_path, heard):
    class Last(Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.epoch + 1 == 3:
                signal.raise_signal(signal.SIGTERM)
                assert heard == []

    VAETransformer(**FAST, checkpoint=Checkpoint(tmp_path), callbacks=[Last()]).fit(X)
    assert heard == [signal.SIGTERM]


def test_handlers_are_put_back_when_a_fit_fails(tmp_path, heard):
    handler = signal.getsignal(signal.SIGTERM)
    killed(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_another_thread_does_not_listen(tmp_path, heard):
    """Only the main thread may; the fit is the same."""
    handlers, fitted = [], []

    class Look(Callback):
        def on_epoch_begin(self, net, **kwargs):
            handlers.append(signal.getsignal(signal.SIGTERM))

    vae = VAETransformer(**FAST, checkpoint=Checkpoint(tmp_path), callbacks=[Look()])
    thread = threading.Thread(target=lambda: fitted.append(vae.fit(X)))
    thread.start()
    thread.join(60)
    assert_same_fit(*fitted, VAETransformer(**FAST).fit(X))
    assert set(handlers) == {signal.getsignal(signal.SIGTERM)}
