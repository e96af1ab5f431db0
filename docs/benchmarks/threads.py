"""Threads: a search with two jobs, a fit beside a busy process, and wide nets on one thread and on all.

    python docs/benchmarks/threads.py [--rounds 5]

- search: GridSearchCV with 12 candidates and 5 folds on 2000 x 30, n_jobs=2 against n_jobs=1, workers warm.
- busy: one fit while two other processes multiply matrices on every core, as it is and with one thread by force.
- wide: an epoch of nets of growing width, with `WORK_PER_THREAD` out of the way, on all cores against one.

All alternate, and the ratio is taken round by round; medians and ranges are printed.
"""

import argparse
import os
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import torch
from sklearn.datasets import make_low_rank_matrix
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from skvae import VAETransformer
from skvae._utils import threads

BUSY = "import numpy as np\na = np.random.default_rng(0).normal(size=(900, 900))\nwhile True: a @ a"
WIDE = [(64, (128, 128), 128), (256, (512, 256), 256), (784, (512, 256), 256), (784, (1024, 1024), 256),
        (784, (1024, 1024), 512), (784, (2048, 2048), 512)]  # fmt: skip


def table(n_rows=2000, n_columns=30):
    """Low rank plus noise."""
    X = make_low_rank_matrix(n_rows, n_columns, effective_rank=8, random_state=0) * 10
    return X + 0.1 * np.random.default_rng(0).normal(size=X.shape)


def seconds(function):
    """How long a call takes."""
    tick = time.perf_counter()
    function()
    return time.perf_counter() - tick


def report(name, a, b):
    """Print medians and their ratio, round by round."""
    ratio = np.array(a) / np.array(b)
    print(f"{name}: {np.median(a):.2f} s against {np.median(b):.2f} s, ratio {np.median(ratio):.2f} "
          f"[{ratio.min():.2f}, {ratio.max():.2f}]", flush=True)  # fmt: skip


def search(X, rounds):
    """Two jobs against one."""
    grid = {"n_components": [1, 2, 3, 5, 8, 10], "hidden_layer_sizes": [(32,), (128,)]}
    run = lambda n_jobs: GridSearchCV(  # noqa: E731
        VAETransformer(max_iter=30, random_state=0), grid, cv=5, n_jobs=n_jobs, refit=False
    ).fit(X)
    run(2)  # starts the workers
    times = [(seconds(lambda: run(2)), seconds(lambda: run(1))) for _ in range(rounds)]
    report("search, n_jobs=2 against 1", *zip(*times, strict=True))


def busy(X, rounds):
    """A fit beside processes that keep every core busy."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count())]
    fit = lambda: VAETransformer(max_iter=20, random_state=0).fit(X)  # noqa: E731

    def with_one():
        with threadpool_limits(1):
            fit()

    try:
        fit()
        times = [(seconds(fit), seconds(with_one)) for _ in range(2 * rounds)]
    finally:
        for other in others:
            other.kill()
    report("busy, as it is against one thread", *zip(*times, strict=True))


def wide_fit(X, hidden, batch, work, n_threads):
    """Seconds of a short fit on so many threads."""
    threads.WORK_PER_THREAD = work / n_threads
    options = {"early_stopping": False, "max_iter": 3, "init": "random", "random_state": 0}
    return seconds(lambda: VAETransformer(16, hidden_layer_sizes=hidden, batch_size=batch, **options).fit(X))


def wide(rounds):
    """All cores against one, by the work of a step."""
    n = os.cpu_count()
    for n_columns, hidden, batch in WIDE:
        X = np.random.default_rng(0).normal(size=(8 * batch, n_columns)).astype(np.float32)
        widths = [n_columns, *hidden, 16]
        case = X, hidden, batch, 2 * batch * sum(a * b for a, b in pairwise(widths))
        times = [(wide_fit(*case, n), wide_fit(*case, 1)) for _ in range(rounds + 1)][1:]
        report(f"{case[-1]:.1e} multiply-adds a step, {n} threads against 1", *zip(*times, strict=True))


def main():
    """Print one line per question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} cores, torch has {torch.get_num_threads()} threads")
    X = table()
    search(X, rounds)
    busy(X, rounds)
    wide(rounds)


if __name__ == "__main__":
    main()
