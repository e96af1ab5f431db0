"""Two commits of this repository against each other, as ratios.

    python docs/benchmarks/compare_commits.py BASE HEAD [--rounds 9] [--threads 1]

Each commit is laid out as a git worktree in a temporary folder, and measured in fresh interpreters of the Python that
runs this script: with its packages, but with the commit's skvae. The commits take turns, and so does who goes first; a
ratio is of one round, HEAD's over BASE's processor seconds, so that a busy machine hits both. The median of the ratios
and the interval from the 10th to the 90th percentile are printed. Above 1 HEAD is slower. Cores that others use make
even equal commits differ: run BASE against BASE first, and believe what lies outside of that.

Only what every commit offers is used: `VAETransformer`, `fit`, `transform` and `score_samples`. A step is the
difference of two fits that differ in `max_iter` alone, over the steps that they differ by.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]

NAMES = {
    "import": "import skvae, after torch and scikit-learn",
    "step": "a training step, 64 columns, 128-128, batch 128",
    "fit": "a default fit on 569 rows of 30 columns",
    "transform": "transform, 5120 rows of 64 columns",
    "score_samples": "score_samples, the same rows",
}

CODE = """
import json, time
import numpy as np, sklearn.datasets, sklearn.decomposition, sklearn.pipeline, torch

def seconds(work, times=1):
    ticks = [time.process_time()]
    for _ in range(times):
        work()
        ticks.append(time.process_time())
    return float(np.diff(ticks).min())

def importing():
    global VAETransformer
    from skvae import VAETransformer

def trained(max_iter):
    vae = VAETransformer(10, hidden_layer_sizes=(128, 128), batch_size=128, max_iter=max_iter, random_state=0)
    return vae.set_params(early_stopping=False).fit(X)

took = {"import": seconds(importing)}
X = np.random.default_rng(0).normal(size=(5120, 64))
cancer = sklearn.datasets.load_breast_cancer().data
trained(1)  # warm: skorch comes with the first fit
took["step"] = (seconds(lambda: trained(12)) - seconds(lambda: trained(2))) / (10 * 40)
took["fit"] = seconds(lambda: VAETransformer(random_state=0).fit(cancer), 2)
vae = trained(1)
for name in ("transform", "score_samples"):
    getattr(vae, name)(X[:100])
    took[name] = seconds(lambda: getattr(vae, name)(X), 3)
print(json.dumps(took))
"""


@contextmanager
def laid_out(*commits):
    """A worktree for each commit, gone in the end."""
    with tempfile.TemporaryDirectory() as folder:
        trees = [Path(folder) / str(number) for number in range(len(commits))]
        try:
            for tree, commit in zip(trees, commits, strict=True):
                git("worktree", "add", "--detach", tree, commit)
            yield trees
        finally:
            for tree in filter(Path.exists, trees):
                git("worktree", "remove", "--force", tree)


def git(*args):
    """Run git on this repository."""
    subprocess.run(["git", "-C", ROOT, *args], check=True, capture_output=True, text=True)


def measured(tree, threads, code=CODE, arguments=()):
    """Seconds by name that `code` prints as its last line, in a fresh interpreter with the commit's skvae."""
    env = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def in_turns(trees, rounds, measure):
    """Seconds (rounds, 2, names) of `measure(tree)`; who goes first changes from round to round."""
    seconds = [[None, None] for _ in range(rounds)]
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            seconds[number][which] = list(measure(trees[which]).values())
    return np.array(seconds)


def main():
    """Print one line per name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="a commit, tag or branch")
    parser.add_argument("head", nargs="?", default="HEAD")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    with laid_out(args.base, args.head) as trees:
        seconds = in_turns(trees, args.rounds + 1, partial(measured, threads=args.threads))
    seconds = seconds[1:]  # the first round compiles and fills the disk's cache
    for name, (base, head) in zip(NAMES.values(), seconds.transpose(2, 1, 0), strict=True):
        low, median, high = np.percentile(head / base, [10, 50, 90])
        times = f"{1e3 * np.median(base):9.2f} ms -> {1e3 * np.median(head):9.2f} ms"
        print(f"{name:50} {times}   ratio {median:.2f} [{low:.2f}, {high:.2f}]", flush=True)


if __name__ == "__main__":
    main()
