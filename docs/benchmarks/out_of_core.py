"""Tables larger than memory: rows per second of an epoch, memory, and what a sorted table costs.

    python docs/benchmarks/out_of_core.py [speed memory sorted] [--n-rows 1000000] [--rounds 5]

Without a name all sections run. `speed` times epochs of `fit_batches` and of a memory-mapped file in turn with those of
the same table in memory, in one process. `memory` is Linux only: it reads /proc.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

from skvae import VAETransformer

D = 30


def rows(n, seed=0):
    """Five factors and noise, (n, D) float32."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(1).normal(size=(5, D)).astype(np.float32)
    return rng.standard_normal((n, 5), np.float32) @ loadings + rng.standard_normal((n, D), np.float32)


def chunks(n, size=50_000):
    """A source of n rows that are made as they are asked for."""
    return lambda: (rows(min(size, n - i), seed=i) for i in range(0, n, size))


class Clock(Callback):
    """Writes the end of every epoch down."""

    def initialize(self):
        """Nothing yet."""
        self.ticks = []
        return self

    def on_epoch_end(self, net, **kwargs):
        """One more."""
        ticks.append(time.perf_counter())


ticks = []


def epochs_of(fit, n_epochs):
    """Seconds of each epoch but the first."""
    ticks.clear()
    fit(VAETransformer(max_iter=n_epochs + 1, early_stopping=False, init="pca", callbacks=[Clock()], random_state=0))
    return np.diff(ticks)


def speed(args):
    """Epochs in memory, of a file and of a source, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        file = np.lib.format.open_memmap(path, "w+", np.float32, (args.n_rows, D))
        for i, chunk in enumerate(chunks(args.n_rows)()):
            file[i * 50_000 : i * 50_000 + len(chunk)] = chunk
        file, table = np.load(path, mmap_mode="r"), np.load(path)
        ways = {
            "memory": lambda vae: vae.fit(table),
            "file": lambda vae: vae.fit(file),
            "fit_batches": lambda vae: vae.fit_batches(chunks(args.n_rows)),
        }
        seconds = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, fit in ways.items():
                seconds[name].extend(epochs_of(fit, 2))
    base = np.median(seconds["memory"])
    for name, times in seconds.items():
        low, middle, high = base / np.percentile(times, [90, 50, 10])
        print(
            f"speed      {name:12} {args.n_rows / np.median(times):9.0f} rows/s, of memory's {middle:.0%} "
            f"[{low:.0%}, {high:.0%}]",
            flush=True,
        )


def data_segment():
    """Bytes of anonymous memory of this process."""
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(r"VmData:\s+(\d+)", file.read())[1])


def measure_memory(n):
    """Peak of `fit_batches` over what the process had after a small fit."""
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.005):
            peak[0] = max(peak[0], data_segment())

    vae = VAETransformer(max_iter=1, random_state=0)
    vae.fit_batches(chunks(1000))
    watcher = threading.Thread(target=watch)
    watcher.start()
    before, tick = data_segment(), time.perf_counter()
    vae.fit_batches(chunks(n))
    seconds = time.perf_counter() - tick
    done.set()
    watcher.join()
    megabytes = n * D * 4 / 1e6
    print(
        f"memory     fit_batches of {n} x {D} float32, {megabytes:.0f} MB in chunks of 6 MB: peak "
        f"{(peak[0] - before) / 1e6:.0f} MB, one epoch and all around it {seconds:.0f} s"
    )


def memory(args):
    """Two sizes, each in a process of its own."""
    for n in (args.n_rows, 4 * args.n_rows):
        subprocess.run([sys.executable, __file__, "--child", str(n)], check=True)


def sorted_table(args):
    """Held-out score of a table in order of its cluster: in memory, in batches, and by `partial_fit` chunk by chunk."""
    n, n_epochs = min(args.n_rows, 50_000), 5
    rng = np.random.default_rng(0)
    cluster = np.sort(rng.integers(6, size=n))
    X = (
        3 * rng.normal(size=(6, D))[cluster]
        + rng.normal(size=(n, 2)) @ rng.normal(size=(2, D))
        + rng.normal(size=(n, D))
    )
    is_test = rng.random(n) < 0.1
    X, test = X[~is_test].astype(np.float32), X[is_test].astype(np.float32)
    parts = np.array_split(X, 20)
    vae = VAETransformer(max_iter=n_epochs, random_state=0)
    shuffled = vae.fit(X).score(test)
    batches = vae.fit_batches(lambda: iter(parts)).score(test)
    scores = {"fit_batches": batches}
    for name in ("partial_fit", "fit_statistics and partial_fit"):
        vae = VAETransformer(random_state=0)
        if name != "partial_fit":
            vae.fit_statistics(lambda: iter(parts))
        for _ in range(n_epochs):
            for part in parts:
                vae.partial_fit(part)
        scores[name] = vae.score(test)
    for name, score in scores.items():
        print(
            f"sorted     {name:30} {score - shuffled:+.2f} nats against {shuffled:.2f} of the shuffled table",
            flush=True,
        )


SECTIONS = {"speed": speed, "memory": memory, "sorted": sorted_table}


def main():
    """Run the sections that are named, or all."""
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--child"]:
        return measure_memory(int(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[])
    parser.add_argument("--n-rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for name in args.sections or SECTIONS:
        SECTIONS[name](args)


if __name__ == "__main__":
    main()
