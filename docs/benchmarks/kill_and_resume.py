"""Fits that are killed with SIGKILL at random moments and launched again end bit for bit as those that were left alone.

    python docs/benchmarks/kill_and_resume.py [--kinds fit memmap ...] [--kills 20] [--seed N]

Each launch is a process of its own, killed some time after it has written its first checkpoint: while it trains, reads,
validates or writes. A fit that gets to its end is compared with one that nobody killed, and begun again until there
were enough kills. Prints a line per kill; the exit code is 1 if anything differs. The nightly run (`.ci/nightly`) and
`tests/training/test_resumable.py` use it.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from skvae import AAE, Aggressive, Checkpoint, VAETransformer

TIMEOUT = 120  # seconds, of one launch
SECONDS = 0.1  # between two checkpoints
SETTINGS = {"n_components": 3, "hidden_layer_sizes": (16,), "batch_size": 16, "random_state": 0}


def table(n_rows=500):
    """Three factors, transformed by tanh, and noise, (n, 8)."""
    rng = np.random.default_rng(0)
    return np.tanh(rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, 8))) + 0.1 * rng.normal(size=(n_rows, 8))


def fit(folder):
    """An array, with dropout and early stopping."""
    return VAETransformer(**SETTINGS, dropout=0.1, max_iter=60, n_iter_no_change=60), table()


def memmap(folder):
    """A file, read in blocks of its rows."""
    path = folder / "X.npy"
    if not path.exists():
        np.save(path, table(1500))
    X = np.load(path, mmap_mode="r")
    return VAETransformer(**SETTINGS, max_iter=10), X


def fit_batches(folder):
    """Chunks, written anew by every launch."""
    return VAETransformer(**SETTINGS, max_iter=10), np.array_split(table(1500), 7)


def aggressive(folder):
    """A schedule that reads its losses."""
    schedule = Aggressive(max_inference_steps=20)
    return VAETransformer(**SETTINGS, schedule=schedule, max_iter=3, early_stopping=False), table()


def critic(folder):
    """Three groups of parameters, and draws of the prior, which take no generator."""
    return VAETransformer(**SETTINGS, objective=AAE(), schedule="em", max_iter=30), table()


def two_processes(folder):
    """Of one fit, on one machine; each has masks of dropout of its own."""
    vae = VAETransformer(**SETTINGS, dropout=0.1, max_iter=20, n_iter_no_change=20, distributed=True, device="cpu")
    return vae, table()


#: Kind -> function of a folder that gives an estimator and the table that it is fitted to, a list of chunks perhaps.
KINDS = {function.__name__: function for function in (fit, memmap, fit_batches, aggressive, critic, two_processes)}

#: Kind -> what comes before the script's name on the command line.
LAUNCHERS = {
    "two_processes": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"],
}
RANK = int(os.environ.get("RANK", "0"))


def outcome(vae, X):
    """Fit, and give weights, history but for the clock, and codes, a hash of each."""
    vae = vae.fit_batches(lambda: iter(X)) if isinstance(X, list) else vae.fit(X)
    X = X[0] if isinstance(X, list) else X
    history = [{k: v for k, v in record.items() if k != "dur"} for record in vae.history_]
    weights = b"".join(tensor.cpu().numpy().tobytes() for tensor in vae.module_.state_dict().values())
    parts = {"weights": weights, "history": repr(history).encode(), "codes": vae.transform(X).tobytes()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}


def uninterrupted(kind, folder):
    """The outcome of a fit that nobody kills, without checkpoints; in this process where it needs no launcher."""
    if kind in LAUNCHERS:
        return read_outcome(folder, launch(kind, folder, "whole").wait(TIMEOUT))
    return outcome(*KINDS[kind](folder))


def work(kind, folder, how):
    """What a launched process does."""
    (folder / f"pid{RANK}").write_text(str(os.getpid()))
    vae, X = KINDS[kind](folder)
    if how == "checkpoints":
        resume = "auto" if written(folder) is None else True  # going on, not only ending alike
        vae.set_params(checkpoint=Checkpoint(folder / "runs", every_minutes=SECONDS / 60, resume=resume))
    found = outcome(vae, X)
    if RANK == 0:
        (folder / "outcome.json").write_text(json.dumps(found))


def launch(kind, folder, how="checkpoints"):
    """Start a fit, in a process of its own or several."""
    return subprocess.Popen([*LAUNCHERS.get(kind, [sys.executable]), __file__, "--worker", kind, str(folder), how])


def send_to_all(process, folder, signal_number):
    """A signal to the processes of a fit and to their launcher, if there is one."""
    for pid in [process.pid, *(int(path.read_text()) for path in folder.glob("pid*"))]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def written(folder):
    """When the run's file was written, None where there is none."""
    times = [path.stat().st_mtime_ns for path in (folder / "runs").glob("skvae-*.pt")]
    return max(times, default=None)


def kill(process, folder, delay, signal_number=signal.SIGKILL):
    """Send the signal `delay` seconds after the next checkpoint, unless the fit is faster; give the exit code."""
    before, end = written(folder), time.monotonic() + TIMEOUT
    try:
        while process.poll() is None and written(folder) in (before, None) and time.monotonic() < end:
            time.sleep(0.005)
        try:
            return process.wait(delay)
        except subprocess.TimeoutExpired:
            send_to_all(process, folder, signal_number)
        return process.wait(TIMEOUT)
    finally:
        if process.poll() is None:
            send_to_all(process, folder, signal.SIGKILL)


def read_outcome(folder, code):
    """What a fit that has ended, with that exit code, has written."""
    if code != 0:
        raise RuntimeError(f"A launched fit ended with code {code}.")
    path = folder / "outcome.json"
    found = json.loads(path.read_text())
    path.unlink()
    return found


def main(arguments):
    """Kill every kind so many times; 1 if an outcome differs."""
    rng, differ = np.random.default_rng(arguments.seed), 0
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory() as name:
            folder, n_kills, is_over = Path(name), 0, False
            whole = uninterrupted(kind, folder)
            while not is_over:
                is_over = n_kills >= arguments.kills
                delay = TIMEOUT if is_over else rng.uniform(0, 5 * SECONDS)
                code = kill(launch(kind, folder), folder, delay)
                n_kills += code == -signal.SIGKILL
                line = f"killed {n_kills} of {arguments.kills} times, after {delay:.3f} s"
                if code != -signal.SIGKILL:
                    is_same = read_outcome(folder, code) == whole
                    differ += not is_same
                    line = f"ended: {'the same' if is_same else 'DIFFERS'}"
                print(f"{kind:12} {line}", flush=True)
    return int(differ > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--worker", nargs=3, metavar=("KIND", "FOLDER", "HOW"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        kind, folder, how = arguments.worker
        work(kind, Path(folder), how)
    else:
        sys.exit(main(arguments))
