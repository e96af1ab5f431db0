"""What `test_processes.py` launches with torchrun: `launched.py FOLDER NAME...` runs cases in every process.

Each process writes what its cases gave, and its process number, into the folder. The tests run some of the same cases
in one process.
"""

import contextlib
import copy
import hashlib
import io
import json
import os
import pickle
import signal
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import skorch.callbacks
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from torch import nn

from skvae import ELBO, Aggressive, Checkpoint, Poisson, Schedule, VAETransformer
from skvae._utils import progress

RANK = int(os.environ.get("RANK", "0"))
IS_LAUNCHED = "RANK" in os.environ
CANCER, IRIS = load_breast_cancer().data, load_iris().data


def estimator(**parameters):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 4, "random_state": 0}
    return VAETransformer(**defaults | parameters, distributed=IS_LAUNCHED)


def digest(vae, folder):
    """A hash of the file that `save` writes: everything that a fit has learned."""
    path = folder / f"saved{RANK}.safetensors"
    copy.deepcopy(vae).set_params(callbacks=None, random_state=None).save(path)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True)  # safetensors writes it in any order
    return hashlib.sha256(header.encode() + content[end:]).hexdigest()


def results_of(vae, X, folder):
    """What the tests compare of a fitted estimator."""
    weights = torch.cat([p.detach().flatten() for p in vae.module_.parameters()]).numpy()
    history = [{k: v for k, v in record.items() if k != "dur"} for record in vae.history_]
    return {
        "weights": weights,
        "history": history,
        "n_iter": vae.n_iter_,
        "best_iter": vae.best_iter_,
        "codes": np.asarray(vae.transform(X)) if hasattr(vae, "transform") else None,
        "digest": digest(vae, folder),
    }


class Recording(torch.optim.SGD):
    """Keeps the gradients of the first step."""

    seen: list = []

    def step(self):
        if not self.seen:
            groups = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
            self.seen.append(torch.cat(groups).double().numpy())
        super().step()


class Stop(skorch.callbacks.Callback):
    """Ends training on one rank only, as a budget of time may."""

    def on_epoch_end(self, net, **kwargs):
        if RANK == 1 and len(net.history) == 2:
            raise KeyboardInterrupt


class StopEarly(Stop, skorch.callbacks.EarlyStopping):
    """What `Net.notify` takes for a callback that may stop."""


class Die(skorch.callbacks.Callback):
    """Ends the process in epoch 2, by an error or like a machine that fails."""

    def __init__(self, how):
        self.how = how

    def on_epoch_end(self, net, **kwargs):
        if RANK == 1 and len(net.history) == 2:
            if self.how == "error":
                raise RuntimeError("the callback of rank 1 fails")
            os.kill(os.getpid(), signal.SIGKILL)


def incomplete(X, share=0.2):
    return np.where(np.random.default_rng(0).uniform(size=X.shape) < share, np.nan, X)


def mixed(n=300):
    rng = np.random.default_rng(0)
    kind = rng.choice(["cat", "dog", "eel"], n)
    weight = (kind == "dog") * 8.0 + rng.normal(size=n)
    weight[::9] = np.nan
    return pd.DataFrame({"kind": pd.Categorical(kind), "weight": weight, "fed": rng.uniform(size=n) < 0.3})


# Cases that are the same in one process but for rounding.


def gradient(folder):
    """Of the first step, with random weights: at the closed-form ones its terms cancel, and their rounding stays."""
    Recording.seen = []
    options = {"init": "random", "early_stopping": False, "batch_size": 200, "max_iter": 1}
    estimator(optimizer=Recording, **options).fit(incomplete(CANCER))
    return {"gradient": Recording.seen[0]}


def joint(folder):
    vae = estimator(max_iter=60, n_iter_no_change=2, hidden_layer_sizes=(64,)).fit(CANCER)
    if RANK == 0 and IS_LAUNCHED:
        (folder / "joint.pkl").write_bytes(pickle.dumps(vae))
    return results_of(vae, CANCER, folder)


def em(folder):
    return results_of(estimator(schedule="em", init="random", batch_size=50).fit(incomplete(CANCER)), CANCER, folder)


def aggressive(folder):
    return results_of(
        estimator(schedule=Aggressive(max_inference_steps=20), max_iter=2, early_stopping=False).fit(CANCER),
        CANCER,
        folder,
    )


def score_function(folder):
    objective = ELBO(n_samples=4, gradient="score_function")
    return results_of(
        estimator(objective=objective, prior="vamp", n_components=2, posterior="full").fit(IRIS), IRIS, folder
    )


def frame(folder):
    X = mixed()
    weight = np.random.default_rng(1).integers(0, 4, size=len(X))
    return results_of(
        estimator(n_components=2, batch_size=33).fit(X, sample_weight=weight, X_val=mixed(101)[50:]), X, folder
    )


def memmap(folder):
    path = folder / f"{RANK}.npy"
    np.save(path, np.tile(CANCER, (3, 1)) * np.random.default_rng(0).uniform(0.5, 1.5, size=(3 * len(CANCER), 30)))
    return results_of(estimator(batch_size=64).fit(np.load(path, mmap_mode="r")), CANCER, folder)


def going_on(folder):
    vae = estimator(n_components=2, max_iter=2).partial_fit(IRIS).partial_fit(IRIS)
    return results_of(vae.set_params(warm_start=True).fit(IRIS), IRIS, folder)


def users_early_stopping(folder):
    stopping = skorch.callbacks.EarlyStopping(patience=2, threshold=0.05, threshold_mode="abs")
    return results_of(estimator(callbacks=[stopping], max_iter=60).fit(CANCER), CANCER, folder)


def conditions(folder):
    """A category with missing cells, a number, and an exposure of counts are given."""
    rng = np.random.default_rng(0)
    X = mixed().assign(day=np.arange(300) % 7, hours=rng.uniform(1.0, 9.0, 300))
    X = X.assign(calls=rng.poisson(X["hours"] * (1.0 + X["fed"])))
    X.loc[::8, "kind"] = None
    given = {"conditions": ["kind", "day", "hours"], "likelihood": [(Poisson(exposure="hours"), ["calls"])]}
    return results_of(estimator(n_components=2, early_stopping=False, **given).fit(X), X, folder)


SAME = [gradient, joint, em, aggressive, score_function, frame, memmap, going_on, users_early_stopping, conditions]


# Cases that only several processes have.


def without_generators(folder):
    """Draws that take no generator differ between the processes; the models do not."""
    cases = [{"objective": "aae"}, {"objective": "avb"}, {"objective": "gan"}, {"dropout": 0.3},
             {"posterior": "gamma"}, {"random_state": None}, {"random_state": np.random.RandomState(RANK)}]  # fmt: skip
    return [results_of(estimator(**{"max_iter": 2} | case).fit(IRIS), IRIS, folder) for case in cases]


def one_stops(folder):
    stopping = StopEarly(monitor="valid_loss", patience=99)
    return estimator(callbacks=[stopping], max_iter=10).fit(IRIS).n_iter_


class Listening(Schedule):
    """Keeps the losses that it is sent."""

    groups = (("inference", "generative"),)
    heard: list = []

    def steps(self, batches):
        for batch in batches:
            loss = yield 0, batch
            self.heard.append(float(loss.mean()))


def losses(folder):
    Listening.heard = []
    estimator(schedule=Listening(), max_iter=2, early_stopping=False, batch_size=40).fit(IRIS)
    return Listening.heard


class Drawing(nn.Linear):
    """Keeps the global generator's numbers beside what it computes."""

    drawn: list = []

    def forward(self, x):
        if self.training:
            self.drawn.append(float(torch.rand(1)))
        return super().forward(x)


def global_draws(folder):
    estimator(encoder=Drawing, max_iter=1).fit(IRIS)
    return Drawing.drawn


def printed(folder):
    """With every line of progress, which otherwise come five seconds apart."""
    with mock.patch.object(progress, "EVERY", 0.0), contextlib.redirect_stdout(io.StringIO()) as out:
        estimator(verbose=1, max_iter=2).fit_batches(lambda: iter(np.split(IRIS, 3)))
    return out.getvalue()


def batch_norm(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 4), nn.BatchNorm1d(4), nn.Linear(4, n_out))


def refused(folder):
    """Parameters that cannot be shared out, and processes that were not called alike."""
    own = IRIS[RANK:], IRIS * (1 + RANK), IRIS[:, : 3 + RANK]
    calls = {
        "batch_size": lambda: estimator(batch_size=1).fit(IRIS),
        "X_val": lambda: estimator().fit(IRIS, X_val=IRIS[:1]),
        "wae_mmd": lambda: estimator(objective="wae_mmd").fit(IRIS),
        "free_bits": lambda: estimator(objective=ELBO(free_bits=0.1)).fit(IRIS),
        "exact_em": lambda: estimator(schedule="exact_em", hidden_layer_sizes=()).fit(IRIS),
        "batch norm": lambda: estimator(encoder=batch_norm).fit(IRIS),
        "rows": lambda: estimator(early_stopping=False).fit(own[0]),
        "scaling": lambda: estimator().fit(own[1]),
        "columns": lambda: estimator().fit(own[2]),
        "cells": lambda: estimator().fit(np.c_[IRIS[:, :3], np.roll(IRIS[:, 3], RANK)]),
        "parameters": lambda: estimator(learning_rate=(0.01, 0.02)[RANK]).fit(IRIS),
        "seeds": lambda: estimator(random_state=RANK).fit(IRIS),
        "device": lambda: estimator(device="cuda:1").fit(IRIS),
        "no checkpoint": lambda: estimator(checkpoint=Checkpoint(folder / "runs", resume=True)).fit(IRIS),
        "models": lambda: estimator(max_iter=1).fit(IRIS).set_params(warm_start=RANK == 0).fit(IRIS),
    }
    messages = {}
    for name, call in calls.items():
        try:
            call()
        except ValueError as error:
            messages[name] = str(error)
    return messages


def error(folder):
    estimator(callbacks=[Die("error")], max_iter=100_000, early_stopping=False).fit(IRIS)


def kill(folder):
    estimator(callbacks=[Die("kill")], max_iter=100_000, early_stopping=False).fit(IRIS)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / f"pid{RANK}").write_text(str(os.getpid()))
    results = {}
    for name in sys.argv[2:]:
        results[name] = globals()[name](folder)
        (folder / f"rank{RANK}.pkl").write_bytes(pickle.dumps(results))
