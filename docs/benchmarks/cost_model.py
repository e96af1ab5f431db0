"""What a fit costs on paper: constants measured here, what they predict, and how far a prediction is off.

    python docs/benchmarks/cost_model.py [--rounds 5] [--n-rows 1000000]

Measures on this machine, with one thread: the time of a training step as a + b * rows (a is what kernels cost however
few rows they see), kernels per step, rows per second read from a memory-mapped file, seconds per row of all that comes
before training, and a sum over two processes of gloo. Then checks the model on tables and nets that it was not fitted
to, and predicts 1e9 rows x 100 columns on eight GPUs, with the constants of such a machine from its data sheets (`GPU`,
assumed, not measured). See docs/cost_model.md.
"""

import argparse
import os
import socket
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import distributed, multiprocessing
from torch.utils._python_dispatch import TorchDispatchMode

from skvae import VAETransformer
from skvae._fitting.plan import Plan, parameters_of
from skvae._fitting.start import Start
from skvae._fitting.training import training_options
from skvae._tables.on_disk import draw_runs, mapped_rows
from skvae._training import loop
from skvae._training.batches import Batches, TrainingRows

D, K, HIDDEN = 100, 16, (256, 256)


@dataclass
class Machine:
    """Constants of one process and of the wire between processes."""

    step_overhead: float  # s per step, whatever the rows, before its arithmetic
    flops: float  # multiply-adds and additions per second
    host_rate: float  # cells per second, read from the file, cast and standardised
    draw_rate: float  # rows per second: numbers of the rows of an epoch, which every process draws for all
    start_rate: float  # cells per second, everything before training together
    latency: float  # s per sum over the processes
    bandwidth: float  # bytes per second of that sum
    to_device: float = float("inf")  # bytes per second
    launches: float = 0.0  # s per step, while its arithmetic goes on
    price: float = 0.0  # per hour and process
    n_processes: int = 1


#: Eight H200s of one node, assumed: half of 67 TFLOP/s in float32; two thirds of NVLink's 450 GB/s in one direction;
#: four fifths of PCIe 5 x16; 4 dollars an hour and GPU. The host is as measured here.
GPU = {"flops": 33e12, "latency": 40e-6, "bandwidth": 300e9, "to_device": 50e9, "price": 4.0, "n_processes": 8}
#: Seconds to launch a kernel of a GPU; a step takes no less than all of its launches.
LAUNCH = 5e-6


def options_of(vae, rows):
    """The options of a training of the model on rows."""
    plan = Plan.of(parameters_of(vae), "VAETransformer")
    return training_options(plan, Start.of(vae.fitted_, plan), rows)


def n_weights(n_columns, hidden, n_components):
    """Weights of encoder and decoder, both with a linear path: N(m, s) of the code, one number per column."""
    widths = lambda *sizes: sum(a * b for a, b in pairwise(sizes))  # noqa: E731
    encoder = widths(n_columns, *hidden, 2 * n_components) + 2 * n_columns * n_components
    return encoder + widths(n_components, *hidden, n_columns) + n_components * n_columns


def flops_per_row(weights):
    """Two for the forward pass of a weight, four for the backward one."""
    return 6 * weights


def step_seconds(machine, n_rows, n_columns, weights):
    """Parts of a step of `n_rows` rows in all, shared out: the processes work at once, the parts of a step in turn."""
    own, N = n_rows / machine.n_processes, machine.n_processes
    arithmetic = own * flops_per_row(weights) / machine.flops
    return {
        "draw": n_rows / machine.draw_rate,
        "read": own * n_columns / machine.host_rate,
        "to device": own * n_columns * 4 / machine.to_device,
        "compute": max(machine.launches, arithmetic) + machine.step_overhead,
        "sum": machine.latency + 2 * (N - 1) / N * 4 * weights / machine.bandwidth if N > 1 else 0.0,
    }


def fitted(X, hidden, batch_size, n_components=K):
    """A net at its start, with the rows that it trains on."""
    vae = VAETransformer(
        n_components, hidden_layer_sizes=hidden, batch_size=batch_size, init="pca", early_stopping=False, random_state=0
    )
    vae.set_params(max_iter=0).fit(X[:20_000])
    rows = TrainingRows(X, np.ones(len(X)), vae.fitted_.columns, "cpu")
    options = options_of(vae, rows)
    net = loop.Net(vae.module_, options, seed=0, first_epoch=0, callbacks=[])
    net.initialize()
    net.load_training_state(None)
    return net, rows, options


def table(n, n_columns):
    """Ten factors and noise, float32."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(10, n_columns)).astype(np.float32)
    X = rng.standard_normal((n, 10), dtype=np.float32) @ loadings
    X += rng.standard_normal((n, n_columns), dtype=np.float32)
    return X


def seconds_per_step(X, hidden, batch_size, rounds):
    """Median over epochs."""
    net, rows, _ = fitted(X, hidden, batch_size)
    n_steps, seconds = -(-len(X) // batch_size), []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        net.fit_loop((rows, None), epochs=1)
        seconds.append((time.perf_counter() - begun) / n_steps)
    return float(np.median(seconds[1:]))


def measure_steps(rounds):
    """Overhead and speed of a step, from its time at several batch sizes (least squares of relative errors)."""
    X, weights = table(16_384, D), n_weights(D, HIDDEN, K)
    sizes = np.array([32, 128, 512, 2048])
    seconds = np.array([seconds_per_step(X[: 32 * size], HIDDEN, int(size), rounds) for size in sizes])
    A = np.column_stack([np.ones(len(sizes)), sizes]) / seconds[:, None]
    (overhead, per_row), *_ = np.linalg.lstsq(A, np.ones(len(sizes)), rcond=None)
    for size, measured in zip(sizes, seconds, strict=True):
        print(
            f"  step of {size:5} rows: {1e3 * measured:7.2f} ms, {1e3 * (overhead + per_row * size):7.2f} by the line"
        )
    return float(overhead), flops_per_row(weights) / float(per_row)


class CountKernels(TorchDispatchMode):
    """How many operators run, views aside."""

    n = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count and go on."""
        self.n += not function.is_view
        return function(*args, **(kwargs or {}))


def kernels_per_step():
    """Operators of one epoch over its steps."""
    n_steps = 16
    net, rows, _ = fitted(table(n_steps * 512, D), HIDDEN, 512)
    net.fit_loop((rows, None), epochs=1)
    with CountKernels() as counted:
        net.fit_loop((rows, None), epochs=1)
    return counted.n / n_steps


def measure_file(n_rows, folder):
    """Cells per second of an epoch's batches, rows drawn per second, cells per second of all before the first epoch."""
    X = np.lib.format.open_memmap(f"{folder}/rows.npy", mode="w+", dtype=np.float32, shape=(n_rows, D))
    for i in range(0, n_rows, 50_000):
        X[i : i + 50_000] = table(min(50_000, n_rows - i), D)
    X = np.load(f"{folder}/rows.npy", mmap_mode="r")
    vae = VAETransformer(K, hidden_layer_sizes=HIDDEN, init="pca", max_iter=0, random_state=0)
    seconds = []
    for n in (n_rows // 4, n_rows // 4, n_rows):  # the first warms up; the difference leaves out what has a fixed size
        begun = time.perf_counter()
        vae.fit(X[:n])
        seconds.append(time.perf_counter() - begun)
    rows = TrainingRows(*mapped_rows(X, None, 0), vae.fitted_.columns, "cpu")
    stamps = [time.perf_counter()]
    ends = range(0, n_rows + 1, n_rows // 50)
    drawn = sum(map(len, draw_runs(rows.table.index, rows.weight, n_rows, ends, np.random.default_rng(0))))
    stamps.append(time.perf_counter())
    read = sum(len(x) for x, *_ in Batches(rows, options_of(vae, rows), (0, 0), []))
    stamps.append(time.perf_counter())
    drawing, reading = np.diff(stamps)
    before = seconds[2] - seconds[1]
    return read * D / (reading - drawing), drawn / drawing, (n_rows - n_rows // 4) * D / before


def _sums(rank, port, sizes, results):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    for i, size in enumerate(sizes):
        numbers, seconds = torch.ones(size), []
        for _ in range(30):
            distributed.barrier()
            begun = time.perf_counter()
            distributed.all_reduce(numbers)
            seconds.append(time.perf_counter() - begun)
        results[rank, i] = float(np.median(seconds))
    distributed.destroy_process_group()


def measure_sums():
    """Latency and bandwidth of a sum over two processes on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sizes, results = [16, 1_000_000], torch.zeros(2, 2).share_memory_()
    multiprocessing.spawn(_sums, (port, sizes, results), nprocs=2)
    latency, long = results.max(0).values.tolist()
    return latency, 4 * sizes[1] / (long - latency)


def print_step(name, parts):
    """One line: the sum, and what it is made of."""
    each = ", ".join(f"{part} {1e3 * seconds:.3g}" for part, seconds in parts.items())
    print(f"  {name}: {1e3 * sum(parts.values()):.3g} ms a step ({each})")


def check(machine, rounds):
    """A table and a net that no constant was fitted to."""
    for n_columns, hidden, batch_size in ((30, (128, 128), 512), (784, (512, 256), 256)):
        X, weights = table(16 * batch_size, n_columns), n_weights(n_columns, hidden, K)
        in_memory = replace(machine, host_rate=float("inf"), draw_rate=float("inf"))
        predicted = sum(step_seconds(in_memory, batch_size, n_columns, weights).values())
        measured = seconds_per_step(X, hidden, batch_size, rounds)
        print(
            f"  {n_columns} columns, {hidden}, batches of {batch_size}: predicted {1e3 * predicted:.2f} ms, measured "
            f"{1e3 * measured:.2f}, ratio {predicted / measured:.2f}"
        )


def predict(machine, n_rows=1e9):
    """An epoch of 1e9 rows by batch size, and the passes before it."""
    weights = n_weights(D, HIDDEN, K)
    before = n_rows * D / machine.start_rate
    print(f"  before training, in every process: {before / 3600:.1f} h")
    for batch_size in (512, 8192, 65_536, 524_288):
        parts = step_seconds(machine, batch_size, D, weights)
        print_step(f"batches of {batch_size}", parts)
        n_steps = n_rows / batch_size
        epoch = n_steps * sum(parts.values())
        hours = (before + epoch) / 3600
        dollars = hours * machine.price * machine.n_processes
        print(
            f"    {n_steps:.3g} steps, an epoch {epoch / 60:.1f} min; with all before it {hours:.1f} h, ${dollars:.0f}"
        )


def main():
    """Measure, check, predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n-rows", type=int, default=1_000_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("measured, one thread")
    overhead, flops = measure_steps(args.rounds)
    kernels = kernels_per_step()
    with tempfile.TemporaryDirectory() as folder:
        host_rate, draw_rate, start_rate = measure_file(args.n_rows, folder)
    latency, bandwidth = measure_sums()
    print(
        f"  step: {1e6 * overhead:.0f} us + {flops / 1e9:.1f} GFLOP/s; {kernels:.0f} kernels\n"
        f"  file: {host_rate / 1e6:.0f} million cells per second read, {draw_rate / 1e6:.0f} million rows drawn, "
        f"{start_rate / 1e6:.0f} million cells before training\n"
        f"  gloo, two processes: {1e6 * latency:.0f} us + {bandwidth / 1e9:.2f} GB/s"
    )
    here = Machine(overhead, flops, host_rate, draw_rate, start_rate, latency, bandwidth)
    print("checked")
    check(here, args.rounds)
    print(f"predicted: 1e9 rows x {D} columns, {HIDDEN}, K = {K}, {n_weights(D, HIDDEN, K)} weights, eight GPUs")
    predict(replace(here, step_overhead=0.0, launches=LAUNCH * kernels, **GPU))


if __name__ == "__main__":
    main()
