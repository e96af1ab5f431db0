"""A script of test_searches.py: how many threads a fit has, in a process whose user has set two.

Prints a JSON object: backend -> [process, OpenMP's threads, MKL's threads] of each epoch; "after" -> those after all.
"""

import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import torch
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skvae import VAETransformer
from skvae._utils.threads import limited_threads

ROWS = np.random.default_rng(0).normal(size=(150, 4))


def counts():
    """What OpenMP and MKL say of this thread."""
    lines = torch.__config__.parallel_info().splitlines()
    mkl = [int(line.split(":")[1]) for line in lines if "mkl_get_max_threads" in line]
    return [torch.get_num_threads(), *mkl]


class Recorder(Callback):
    """Appends the counts of each epoch to a file."""

    def __init__(self, path):
        self.path = path

    def on_epoch_end(self, net, **kwargs):
        with open(self.path, "a") as file:
            print(json.dumps([os.getpid(), *counts()]), file=file)


def epochs_under(backend, folder):
    """The counts of all epochs of a search."""
    path = Path(folder) / backend
    vae = VAETransformer(max_iter=3, random_state=0, callbacks=[Recorder(path)])
    with parallel_config(backend, n_jobs=2):
        GridSearchCV(vae, {"n_components": [1, 2]}, cv=2).fit(ROWS)
    return [json.loads(line) for line in path.read_text().splitlines()]


def overlapping():
    """Two threads of which the first that is limited is the first that ends; the counts of both, and after."""
    seen, turn = [], [threading.Event() for _ in range(3)]

    def first():
        with limited_threads(0):
            seen.append(counts())
            turn[0].set()
            turn[1].wait(60)
        seen.append(counts())
        turn[2].set()

    def second():
        turn[0].wait(60)
        with limited_threads(0):
            turn[1].set()
            turn[2].wait(60)
            seen.append(counts())
        seen.append(counts())

    threads = [threading.Thread(target=function) for function in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return seen


if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.ones(1500, 1500) @ torch.ones(1500, 1500)  # OpenMP's pool is there: a forked process must not wait for it
    found = {backend: epochs_under(backend, sys.argv[1]) for backend in ("multiprocessing", "threading")}
    print(json.dumps({**found, "parent": os.getpid(), "overlapping": overlapping(), "after": counts()}))
