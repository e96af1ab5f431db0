"""Large tables: memory of a fit, transform next to the bare network, files beyond the memory allowed, time per row.

    python docs/benchmarks/large.py [memory transform file whole rows csr] [--n-rows 1000000] [--rounds 9] [--plot FILE]

Without a name all sections run. Every section prints lines of one table; `rows` draws them into FILE. Memory is the
growth of the process over what its imports took, the input itself included. Linux only: it reads /proc.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import torch
from scipy import sparse

from skvae import VAETransformer
from skvae._inference import evaluation

D = 30
MEGABYTE = 1e6
TIMED = "an epoch, batches of 256", "transform", "score", "impute"


def table(n, dtype="float32", seed=0):
    """Five factors and noise, (n, D), made block by block; integers are rounded."""
    rng = np.random.default_rng(seed)
    loadings, X = np.random.default_rng(0).normal(size=(5, D)), np.empty((n, D), dtype)
    scale = 10 if X.dtype.kind == "i" else 1
    for block in np.array_split(X, max(1, n // 10_000)):
        block[:] = (scale * (rng.normal(size=(len(block), 5)) @ loadings + rng.normal(size=block.shape))).clip(
            -127, 127
        )
    return X


def in_a_process(*arguments):
    """Run a child of this script and print what it says."""
    done = subprocess.run([sys.executable, __file__, "--child", *map(str, arguments)], capture_output=True, text=True)
    print(done.stdout.strip() or done.stderr.strip().splitlines()[-1], flush=True)


def status(name):
    """A line of /proc/self/status in bytes."""
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(rf"{name}:\s+(\d+)", file.read())[1])


def measure_memory(dtype, n):
    """Peak of a fit of two epochs."""
    before = status("VmRSS")
    X = table(n, dtype)
    VAETransformer(max_iter=2, random_state=0).fit(X)
    grown = status("VmHWM") - before
    print(
        f"memory     fit of {n} x {D} {dtype:8} {X.nbytes / MEGABYTE:5.0f} MB: peak {grown / MEGABYTE:5.0f} MB, "
        f"{grown / X.nbytes:.2f} x the input"
    )


def memory(args):
    """Each input type in a process of its own."""
    for dtype in ("float32", "float64", "int8"):
        in_a_process("memory", dtype, args.n_rows)


def transform(args):
    """`transform` of float32 rows in turn with the network on rows that are standardised already."""
    X = table(args.n_rows)
    vae = VAETransformer(max_iter=1, random_state=0).fit(X[:20_000])
    x, _ = vae.fitted_.columns.tensors(X, "cpu", torch.float32)
    module, step = vae.module_, evaluation.chunk_rows(vae.module_, 1)

    def bare():
        z = torch.empty(len(x), module.width)
        with torch.no_grad():
            for i in range(0, len(x), step):
                z[i : i + step] = module.posterior.center(module.encode(x[i : i + step], None))

    ratios, seconds = [], []
    for _ in range(args.rounds + 1):
        tick = time.perf_counter()
        vae.transform(X)
        tock = time.perf_counter()
        bare()
        seconds.append((tock - tick, time.perf_counter() - tock))
    ours, bares = np.array(seconds[1:]).T
    low, ratios, high = np.percentile(ours / bares, [10, 50, 90])
    print(
        f"transform  {args.n_rows} x {D} float32, one thread: {np.median(ours):.3f} s against {np.median(bares):.3f} s "
        f"of the bare network: ratio {ratios:.2f} [{low:.2f}, {high:.2f}]",
        flush=True,
    )


def measure_file(path, dtype, n):
    """Fit a mapped file of n rows with a third of its size allowed as further memory."""
    VAETransformer(max_iter=1, random_state=0).fit(table(1000))  # libraries have loaded what they load
    X = np.memmap(path, dtype=dtype, mode="r", shape=(n, D))
    allowed = status("VmData") + X.nbytes // 3
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    tick = time.perf_counter()
    vae = VAETransformer(max_iter=1, random_state=0).fit(X)
    seconds = time.perf_counter() - tick
    print(
        f"file       fit of {n} x {D} {dtype} {X.nbytes / MEGABYTE:.0f} MB, {X.nbytes / 3 / MEGABYTE:.0f} MB allowed: "
        f"one epoch in {seconds:.0f} s, score of 100000 rows {vae.score(X[:100_000]):.2f}"
    )


def file(args):
    """A float32 and a float64 file, larger than what is allowed."""
    for dtype in ("float32", "float64"):
        with tempfile.NamedTemporaryFile() as place:
            n = 2 * args.n_rows
            np.memmap(place.name, dtype=dtype, mode="w+", shape=(n, D))[:] = np.tile(table(n // 20, dtype), (20, 1))
            in_a_process("file", place.name, dtype, n)


def measure_whole(path, n):
    """Fit a mapped file with the default arguments, on all cores; RssAnon is without the pages of the file."""
    torch.set_num_threads(os.cpu_count())
    X = np.memmap(path, dtype="float32", mode="r", shape=(n, D))
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    vae = VAETransformer(10, random_state=0).fit(X)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    print(
        f"whole      default fit of {n} x {D} float32 {X.nbytes / MEGABYTE:.0f} MB, {torch.get_num_threads()} threads: "
        f"{wall:.0f} s, of the processor {cpu:.0f}, {vae.n_iter_} epochs, at most {peak[0] / MEGABYTE:.0f} MB "
        f"of its own memory; score of 100000 rows {vae.score(X[:100_000]):.2f}"
    )


def whole(args):
    """A file of twenty times the rows."""
    with tempfile.NamedTemporaryFile() as place:
        n = 20 * args.n_rows
        X = np.memmap(place.name, dtype="float32", mode="w+", shape=(n, D))
        for i in range(20):
            X[i * args.n_rows : (i + 1) * args.n_rows] = table(args.n_rows, seed=i)
        X.flush()
        in_a_process("whole", place.name, n)


def seconds_per_row(n, rounds):
    """Microseconds per row of an epoch at batch size 256, transform, score, and impute of a cell in every tenth row.

    Medians over the rounds, of which the last two, which take longer, have a third.
    """
    X = table(n)
    ticks = []

    def epoch(net):
        ticks.append(time.perf_counter())

    vae = VAETransformer(batch_size=256, max_iter=rounds + 1, early_stopping=False, random_state=0)
    vae.set_params(callbacks=[("clock", Clock(epoch))]).fit(X)
    holes = X.copy()
    holes[::10, 3] = np.nan
    few = max(1, rounds // 3)
    calls = (vae.transform, X, rounds), (vae.score, X, few), (vae.impute, holes, few)
    return [1e6 * np.median(np.diff(ticks)) / n, *(1e6 * median_time(*call) / n for call in calls)]


def median_time(call, table, rounds):
    """Median seconds of calls on a table."""
    times = []
    for _ in range(rounds):
        tick = time.perf_counter()
        call(table)
        times.append(time.perf_counter() - tick)
    return np.median(times)


def Clock(function):
    """A skorch callback that calls function(net) after every epoch."""
    from skorch.callbacks import Callback

    return type("Clock", (Callback,), {"on_epoch_end": lambda self, net, **kwargs: function(net)})()


def rows(args):
    """Time per row up to 10^6 rows, over that of 10 000 rows measured before and after it; perhaps as a plot.

    A machine that others use is slower at one minute than at the next.
    """
    few = 10_000
    sizes = [n for n in (30_000, 100_000, 300_000, 1_000_000) if n <= args.n_rows]
    ratios, before = [], np.array(seconds_per_row(few, 10))
    for n in sizes:
        times, after = np.array(seconds_per_row(n, max(2, min(10, 300_000 // n)))), np.array(seconds_per_row(few, 10))
        ratios.append(2 * times / (before + after))
        said = zip(TIMED, times, ratios[-1], strict=True)
        print(
            f"rows       {n:8}: " + ", ".join(f"{name} {time:.2f} us ({ratio:.2f})" for name, time, ratio in said),
            flush=True,
        )
        before = after
    for name, column in zip(TIMED, np.array(ratios).T, strict=True):
        print(f"rows       {name}: {column.min():.2f} to {column.max():.2f} of the time per row of {few} rows")
    if args.plot:
        plot(sizes, np.array(ratios), args.plot)


def plot(sizes, ratios, path):
    """Time per row, over that of few rows, against the number of rows."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(TIMED), figsize=(4 * len(TIMED), 3), layout="constrained")
    for ax, name, column in zip(axes, TIMED, ratios.T, strict=True):
        ax.axhspan(0.8, 1.2, color="0.92", label="within 20%")
        ax.plot(sizes, column, "o-")
        ax.set(title=name, xscale="log", xlabel="rows", ylabel="time per row", ylim=(0, 1.5))
        ax.legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=150)


def measure_csr(n, n_columns):
    """50 one-hot variables of n_columns / 50 levels each, an epoch more and less; memory beyond that of the table."""
    rng = np.random.default_rng(0)
    levels = n_columns // 50
    kind = rng.integers(10, size=(n, 1))  # rows of ten kinds, each with levels of its own
    codes = (rng.geometric(0.2, size=(n, 50)) + 7 * kind * np.arange(1, 51)) % levels
    indices = (codes + levels * np.arange(50)).ravel()
    X = sparse.csr_array((np.ones(n * 50), indices, np.arange(0, n * 50 + 1, 50)), shape=(n, n_columns))
    del kind, codes, indices
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak so far, while the table was made, does not count
    before = status("VmRSS")
    seconds, scores = [], []
    for max_iter in (0, 2):
        tick = time.perf_counter()
        vae = VAETransformer(max_iter=max_iter, random_state=0).fit(X)
        seconds.append(time.perf_counter() - tick)
        scores.append(vae.score(X[:2000]))
    print(
        f"csr        {n} x {n_columns}, 50 ones per row: start {seconds[0]:.1f} s, an epoch "
        f"{(seconds[1] - seconds[0]) / 2:.1f} s, peak {(status('VmHWM') - before) / MEGABYTE:.0f} MB beyond the table; "
        f"score {scores[0]:.1f} at the start, {scores[1]:.1f} after two epochs"
    )


def csr(args):
    """One-hot rows with 10 000 and with 200 columns."""
    in_a_process("csr", args.n_rows // 50, 10_000)
    in_a_process("csr", args.n_rows, 200)


CHILDREN = {"memory": measure_memory, "file": measure_file, "whole": measure_whole, "csr": measure_csr}
SECTIONS = {section.__name__: section for section in (memory, transform, file, whole, rows, csr)}


def main():
    """Run the sections that are named, or all."""
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--child"]:
        return CHILDREN[sys.argv[2]](*(int(a) if a.isdigit() else a for a in sys.argv[3:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[])
    parser.add_argument("--n-rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--plot", metavar="FILE")
    args = parser.parse_args()
    for name in args.sections or SECTIONS:
        SECTIONS[name](args)


if __name__ == "__main__":
    main()
