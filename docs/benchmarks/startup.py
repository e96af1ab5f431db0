"""What one waits for before the first result: `import skvae`, the first fit of a process, and a warm fit on iris.

    python docs/benchmarks/startup.py [--rounds 7]

Each round is a fresh interpreter that has imported torch and scikit-learn; a first round, which fills the disk's cache,
is not counted. Medians and the range are printed.
"""

import argparse
import subprocess
import sys

import numpy as np

CODE = """
import time
import torch, sklearn, sklearn.datasets
X = sklearn.datasets.load_iris().data
tick = time.perf_counter(); import skvae; tock = time.perf_counter()
print(tock - tick)
for _ in range(3):
    tick = time.perf_counter(); skvae.VAETransformer(random_state=0).fit(X); print(time.perf_counter() - tick)
"""


def main():
    """Print one line per number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    run = lambda: subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout  # noqa: E731
    seconds = np.array([[float(word) for word in run().split()] for _ in range(rounds + 1)])[1:]
    for name, column in zip(["import skvae", "first fit on iris", "warm fit on iris"], seconds.T, strict=False):
        print(f"{name:20} {np.median(column):6.3f} s [{column.min():.3f}, {column.max():.3f}]")


if __name__ == "__main__":
    main()
