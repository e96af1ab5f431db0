"""bfloat16 and `compile=True` on this machine: time of an epoch and what is lost, next to float32.

    python docs/benchmarks/precision.py [--data PATH] [--rounds 5] [--compile]

Time: seconds of an epoch of three networks, alternating, one thread. Quality: score of held-out digits (with --data
rows of MNIST, too) after training in either precision, three seeds; scores are always computed in the precision of X.
"""

import argparse
import sys
import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import VAETransformer

CASES = [(64, (128, 128), 128), (784, (512, 256), 128), (784, (512, 256), 512)]


def epoch_seconds(X, **options):
    """Seconds of an epoch, without the first."""
    stamps = []
    vae = VAETransformer(16, early_stopping=False, max_iter=4, init="random", random_state=0, **options).fit(X)
    stamps = [record["dur"] for record in vae.history_]
    return float(np.median(stamps[1:]))


def times(rounds, compiled):
    """One line per network."""
    kinds = [{}, {"precision": "bfloat16"}] + ([{"compile": True}] if compiled else [])
    for n_columns, hidden, batch in CASES:
        X = np.random.default_rng(0).normal(size=(8 * batch, n_columns)).astype(np.float32)
        common = {"hidden_layer_sizes": hidden, "batch_size": batch}
        seconds = np.array([[epoch_seconds(X, **common, **kind) for kind in kinds] for _ in range(rounds)])
        cells = [f"{1e3 * np.median(column) / 8:8.2f} ms a step" for column in seconds.T]
        ratios = [f"x {np.median(seconds[:, 0] / column):.2f}" for column in seconds.T[1:]]
        print(f"{n_columns}-{'-'.join(map(str, hidden))} batch {batch:4}: float32 {cells[0]}", end="")
        for name, cell, ratio in zip(["bfloat16", "compile"], cells[1:], ratios, strict=False):
            print(f"; {name} {cell}, {ratio} as fast", end="")
        print(flush=True)


def quality(name, X, **options):
    """Held-out score in both precisions."""
    for seed in range(3):
        train, test = train_test_split(X, random_state=seed)
        line = []
        for precision in ("float32", "bfloat16"):
            tick = time.perf_counter()
            vae = VAETransformer(10, precision=precision, random_state=seed, **options).fit(train)
            line.append(f"{precision} {vae.score(test):9.3f} in {time.perf_counter() - tick:5.1f} s")
        print(f"{name}, seed {seed}: {'; '.join(line)}", flush=True)


def main():
    """Print times, then scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with load.py, for MNIST")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="takes minutes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    times(args.rounds, args.compile)
    quality("digits", load_digits().data, scaling="global")
    if args.data:
        sys.path.insert(0, args.data)
        import load

        X, _ = load.mnist()
        X = X[np.random.default_rng(0).permutation(len(X))[:8000]].astype(np.float32)
        quality("MNIST, 8000 rows", X, scaling="global", hidden_layer_sizes=(512, 256), max_iter=10)


if __name__ == "__main__":
    main()
