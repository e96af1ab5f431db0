"""One row at a time, as a service asks: CPU time of `transform` of a fitted model, next to PCA's.

    python docs/benchmarks/one_row.py [--calls 1000]

The table has 30 columns. CPU time is that of all threads of the process; median and quartiles over the calls, which
take turns, so that a busy machine slows all alike. `of module` is the multiple of the module's own way from a row to
its codes, and `difference` the largest one from the codes of the same row in a batch.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA

from skvae import VAETransformer


def tables():
    """The same rows as arrays, as a frame of numbers, and as one with two columns that are not numbers."""
    X = load_breast_cancer().data
    frame = pd.DataFrame(X, columns=[f"c{d}" for d in range(X.shape[1])])
    mixed = frame.iloc[:, 2:].assign(word=np.where(X[:, 0] > 15, "large", "small"), flag=X[:, 1] > 20)
    return {"array, float64": X, "array, float32": X.astype(np.float32), "pandas": frame, "pandas, mixed": mixed}


def calls():
    """Name -> a call for one row, and the largest difference from the batch."""
    found = {}
    for name, table in tables().items():
        for model in (VAETransformer(5, max_iter=5, random_state=0), PCA(5)):
            if isinstance(model, PCA) and "mixed" in name:
                continue
            model.fit(table)
            row = table[:1]
            difference = np.abs(model.transform(row) - model.transform(table)[:1]).max()
            found[f"{type(model).__name__}, {name}"] = (lambda model=model, row=row: model.transform(row)), difference
    return found


def forward(n_features):
    """The bare module of a model of that many columns."""
    module = VAETransformer(5, max_iter=0).fit(np.random.default_rng(0).normal(size=(200, n_features))).module_
    x = torch.zeros(1, n_features)
    return torch.no_grad()(lambda: module.posterior.center(module.encode(x)))


def main():
    """Print one line per call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    timed = {"the module alone": (forward(30), 0.0), **calls()}
    milliseconds = {name: [] for name in timed}
    for _ in range(parser.parse_args().calls):
        for name, (call, _) in timed.items():
            tick = time.process_time()
            call()
            milliseconds[name].append(1e3 * (time.process_time() - tick))
    base = np.median(milliseconds["the module alone"])
    print(f"{'':32} {'median ms':>9} {'quartiles':>15} {'of module':>9} {'difference':>10}")
    for name, (_, difference) in timed.items():
        low, median, high = np.quantile(milliseconds[name], [0.25, 0.5, 0.75])
        print(f"{name:32} {median:9.3f} [{low:6.3f},{high:6.3f}] {median / base:9.1f} {difference:10.1e}")


if __name__ == "__main__":
    main()
