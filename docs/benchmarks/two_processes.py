"""Two processes against one on a 784-512-256 net: what a step costs to add up, and how much faster an epoch is.

    python docs/benchmarks/two_processes.py [--rows 8192] [--epochs 6] [--batches 256 512 1024] [--device cpu]

For each `batch_size`, the rows of both processes together, it runs one process and then two under torchrun, one thread
each; with ``--device cuda`` on a machine with two GPUs, one GPU each. Of every epoch but the first it takes seconds per
step, and in two processes the part that goes into adding up gradients, waiting for the other included; the median is
printed. "message alone" is the same sum in a loop, where nobody waits: what the connection costs. Overhead is adding up
as a share of the rest of the step. Nothing else may run: on two cores a third process is in the way of both.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import torch

from skvae import VAETransformer
from skvae._training.processes import Processes, init_processes

COLUMNS, HIDDEN, CODES = 784, (512, 256), 16


class Clock:
    """Adds up the seconds that a function takes, the device's work included."""

    def __init__(self, function, device):
        self.function, self.device, self.seconds, self.n_calls = function, device, 0.0, 0

    def __call__(self, *args, **kwargs):
        """Call it."""
        tick = self.now()
        result = self.function(*args, **kwargs)
        self.seconds, self.n_calls = self.seconds + self.now() - tick, self.n_calls + 1
        return result

    def now(self):
        """Seconds, when the device has finished."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def worker(options):
    """One of the processes: fit, and print what the first one has seen as JSON."""
    device, is_launched = options.device, "RANK" in os.environ
    own = Processes.all_reduce
    clock = Clock(own, device)
    Processes.all_reduce = lambda self, tensors, flag=0.0: clock(self, tensors, flag)
    X = np.random.default_rng(0).normal(size=(options.rows, CODES + COLUMNS)).astype(np.float32)
    X = X[:, :CODES] @ X[:CODES, CODES:] + X[:, CODES:]
    vae = VAETransformer(
        CODES, hidden_layer_sizes=HIDDEN, init="pca", batch_size=options.batch, max_iter=options.epochs,
        early_stopping=False, device=device, distributed=is_launched, random_state=0,
    )  # fmt: skip
    vae.fit(X)
    n_steps = -(-options.rows // options.batch)
    step = float(np.median([record["dur"] for record in vae.history_[1:]])) / n_steps
    seen = {"step": step, "adding_up": clock.seconds / max(1, clock.n_calls), "message": 0.0}
    if is_launched:
        seen["message"] = message_alone(vae, own)
    if os.environ.get("RANK", "0") == "0":
        print("SEEN " + json.dumps(seen), flush=True)


def message_alone(vae, all_reduce, repeats=30):
    """Seconds of a sum of tensors like the gradients."""
    processes, clock = init_processes(True, vae.device), Clock(all_reduce, vae.device)
    tensors = [torch.zeros_like(p, requires_grad=False) for p in vae.module_.parameters()]
    times = []
    for _ in range(repeats):
        clock.seconds = 0.0
        clock(processes, tensors)
        times.append(clock.seconds)
    return float(np.median(times))


def measured(options, batch, n_processes):
    """Run the workers, one thread each."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={n_processes}"]
    arguments = [__file__, "--worker", "--batch", batch, "--rows", options.rows, "--epochs", options.epochs]
    command = [sys.executable, *(launch if n_processes > 1 else []), *map(str, arguments), "--device", options.device]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3600)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.partition("SEEN ")[2].partition("\n")[0])


def main():
    """A line for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--batch", type=int)
    options = parser.parse_args()
    if options.worker:
        return worker(options)
    if options.device == "cuda" and torch.cuda.device_count() < 2:
        sys.exit("--device cuda needs two GPUs.")
    print("| batch | one process, ms a step | two | faster | adding up, ms | message alone | overhead |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for batch in options.batches:
        one, two = measured(options, batch, 1), measured(options, batch, 2)
        overhead = two["adding_up"] / (two["step"] - two["adding_up"])
        times = [1e3 * t for t in (one["step"], two["step"], two["adding_up"], two["message"])]
        print(f"| {batch} | {times[0]:.1f} | {times[1]:.1f} | {times[0] / times[1]:.2f} x | {times[2]:.1f} | "
              f"{times[3]:.1f} | {overhead:.0%} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
