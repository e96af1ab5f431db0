"""The course of the training: draws, batches, rates, patience and optimizers, by held-out nats and CPU seconds.

    python docs/benchmarks/course.py [--data PATH] [--tables a,b] [--settings NAME ...] [--splits 7] [--rows 1500]

PATH is a folder as of `heldout.py`; without it the tables inside scikit-learn are used. Splits are those of
`default_model.py`, K = min(10, D - 1), one thread. Each setting is what differs from the defaults; "score" is the ELBO
of the test rows in nats of standardised columns, "draws" the bound with 100 importance draws, "best" the kept epoch.
"""

import argparse
import time
from functools import partial

import numpy as np
import torch
from default_model import Split
from heldout import tables
from tables import head, machine, row
from threadpoolctl import threadpool_limits

from skvae import ELBO, VAETransformer


class WithMuon:
    """torch's Muon (Jordan et al. 2024) for the matrices between hidden layers' units, AdamW for all else.

    Parameters
    ----------
    groups : list of dict
    lr, weight_decay : float
    factor : float
        On the learning rate of the matrices.
    width : int
        Rows or columns of a matrix that belongs to a hidden layer.
    """

    def __init__(self, groups, lr, weight_decay, factor=1.0, width=128):
        matrices, others = [], []
        for group in groups:
            is_matrix = [p.ndim == 2 and width in p.shape and min(p.shape) > 1 for p in group["params"]]
            pairs = list(zip(group["params"], is_matrix, strict=True))
            matrices.append({**group, "params": [p for p, yes in pairs if yes]})
            others.append({**group, "params": [p for p, yes in pairs if not yes]})
        matrices, others = ([g for g in kind if g["params"]] for kind in (matrices, others))
        self.adamw = torch.optim.AdamW(others, lr=lr)
        self.muon = torch.optim.Muon(matrices, lr=lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        self.factor = factor
        self.param_groups = self.adamw.param_groups + self.muon.param_groups

    def step(self):
        """Move all parameters; the loop has set the rates of this epoch."""
        rates = [group["lr"] for group in self.muon.param_groups]
        for group, rate in zip(self.muon.param_groups, rates, strict=True):
            group["lr"] = self.factor * rate
        self.adamw.step()
        self.muon.step()
        for group, rate in zip(self.muon.param_groups, rates, strict=True):
            group["lr"] = rate


def cosine(n_epochs, epoch):
    """Half a cosine, from 1 to a fiftieth."""
    return 0.02 + 0.98 * (1 + np.cos(np.pi * min(epoch / n_epochs, 1))) / 2


SETTINGS = {
    "defaults": {},
    "one draw, 20 epochs of patience": {"objective": ELBO(n_samples=1), "n_iter_no_change": 20},
    "20 epochs of patience": {"n_iter_no_change": 20},
    "two pairs of draws": {"objective": ELBO(n_samples=4)},
    "four pairs of draws": {"objective": ELBO(n_samples=8)},
    "batch 128": {"batch_size": 128},
    "batch 256, rate 8e-3": {"batch_size": 256, "learning_rate": 8e-3},
    "rate 8e-3": {"learning_rate": 8e-3},
    "rate 4e-3": {"learning_rate": 4e-3},
    "rate 2e-3": {"learning_rate": 2e-3},
    "half a cosine over 300 epochs": {"learning_rate_schedule": partial(cosine, 300)},
    "weight decay 0.03": {"weight_decay": 0.03},
    "weight decay 0.1": {"weight_decay": 0.1},
    "weight decay 0.3": {"weight_decay": 0.3},
    "600 epochs": {"max_iter": 600},
    "Muon": {"optimizer": WithMuon},
    "Muon, one draw": {"optimizer": WithMuon, "objective": ELBO(n_samples=1), "n_iter_no_change": 20},
}


def main():
    """Fit every setting on every table and split, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with load.py")
    parser.add_argument("--tables", help="names, with commas between")
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--splits", nargs="*", type=int, default=[7])
    parser.add_argument("--rows", type=int, default=1500)
    arguments = parser.parse_args()
    matrix, names = tables(arguments.data)
    print(machine())
    head("table", "rows x columns", "split", "setting", "score", "draws", "best", "CPU s")
    for name in arguments.tables.split(",") if arguments.tables else names:
        for number in arguments.splits:
            split = Split(name, *matrix(name), number, arguments.rows)
            for setting in arguments.settings:
                row(name, "{} x {}".format(*split.a.shape), number, setting, *measured(split, SETTINGS[setting]))


def measured(split, setting):
    """Score, bound with draws, best epoch and CPU seconds of one fit."""
    tick = time.process_time()
    vae = VAETransformer(min(10, split.a.shape[1] - 1), random_state=0, **setting).fit(split.a)
    seconds = time.process_time() - tick
    draws = vae.score_samples(split.b, n_importance_samples=100).mean()
    return f"{vae.score(split.b):.2f}", f"{draws:.2f}", vae.best_iter_, f"{seconds:.1f}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    with threadpool_limits(1):
        main()
