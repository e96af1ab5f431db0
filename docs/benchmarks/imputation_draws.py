"""What the draws of `impute` are worth: seconds, effective sizes and errors, with and without adapted normals.

    python docs/benchmarks/imputation_draws.py [--data PATH] [--tables a,b] [--draws 100,200,500] [--missing 0.2]

PATH is a folder as of `heldout.py`; without it the tables inside scikit-learn are used. The default model is fitted to
at most 1500 complete rows, K = min(10, D - 1), one thread, and imputes at most 1000 others with cells missing at
random. "q and p" has three quarters of the draws from the posterior and a quarter from the prior, "adapted" is what
`impute` does. "effective" is the median over rows of the effective sample size of the weights, "to 20 x" the root mean
square distance of the imputed means to the average of both kinds with twenty times the most draws, in standard
deviations of the columns, and "to the truth" that to the hidden cells. Seconds are of the processor, the best of three
in turn.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from default_model import Split
from heldout import tables
from tables import head, machine, row
from threadpoolctl import threadpool_limits

from skvae import VAETransformer
from skvae._inference import imputation
from skvae._inference.imputed_tables import imputed_tables

KINDS = {"q and p": 0, "adapted": imputation.N_ADAPTED}
MOST_ROWS, MANY = 1000, 20


def imputed(vae, X, n_draws, kind):
    """Means of the rows, their effective sizes, and processor seconds."""
    imputation.N_ADAPTED = KINDS[kind]
    tick = time.process_time()
    values, sizes = imputed_tables(vae.fitted_, X, None, n_draws, vae.fitted_.seed, lambda n: None)
    return values[0], sizes, time.process_time() - tick


def main():
    """Print a line for each table, number of draws and kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with load.py")
    parser.add_argument("--tables", help="names, with commas between")
    parser.add_argument("--draws", type=lambda text: [int(n) for n in text.split(",")], default=[100, 200, 500])
    parser.add_argument("--missing", type=float, default=0.2, help="share of the cells")
    arguments = parser.parse_args()
    matrix, names = tables(arguments.data)
    print(machine())
    head("table", "draws", "kind", "s", "effective", "to 20 x", "to the truth")
    for name in arguments.tables.split(",") if arguments.tables else names:
        split = Split(name, *matrix(name), 0, 1500)
        vae = VAETransformer(min(10, split.a.shape[1] - 1), random_state=0).fit(split.a)
        truth = split.b[:MOST_ROWS]
        hidden = np.random.default_rng(0).random(truth.shape) < arguments.missing
        hidden &= hidden.any(1, keepdims=True)
        X = np.where(hidden, np.nan, truth)[hidden.any(1)]
        truth, hidden = truth[hidden.any(1)], hidden[hidden.any(1)]

        def distance(values, others, hidden=hidden):
            return np.sqrt(np.square((values - others)[hidden]).mean())

        many = {kind: imputed(vae, X, MANY * max(arguments.draws), kind)[0] for kind in KINDS}
        reference = np.mean(list(many.values()), axis=0)
        for n_draws in arguments.draws:
            found = {kind: [] for kind in KINDS}
            for _ in range(3):
                for kind in KINDS:
                    found[kind].append(imputed(vae, X, n_draws, kind))
            for kind, runs in found.items():
                values, sizes, _ = runs[0]
                seconds = min(run[2] for run in runs)
                numbers = (
                    f"{seconds:.2f}",
                    f"{np.median(sizes):.0f}",
                    distance(values, reference),
                    distance(values, truth),
                )
                row(name, n_draws, kind, *numbers)


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        main()
