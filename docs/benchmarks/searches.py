"""A search on two dask workers next to a serial one on the same two cores.

    python docs/benchmarks/searches.py [--rounds 5] [--rows 2000] [--max_iter 30]

GridSearchCV with 12 candidates and 5 folds on a made table of 30 columns. The cluster is up, and every worker has
imported skvae and fitted once. Serial and parallel searches alternate, and the ratio is taken round by round.
"""

import argparse
import os
from collections import Counter

from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from threads import report, seconds, table

from skvae import VAETransformer

GRID = {"n_components": [1, 2, 3, 5, 8, 10], "hidden_layer_sizes": [(32,), (128,)]}


def search(X, max_iter, backend=None):
    """The fitted search, under a backend of joblib or without one."""
    vae = VAETransformer(max_iter=max_iter, random_state=0)
    with parallel_config(backend or "sequential"):
        return GridSearchCV(vae, GRID, cv=5, refit=False).fit(X)


def main():
    """Print the times, their ratio, and whether the scores agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"rounds": 5, "rows": 2000, "max_iter": 30}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    X = table(options.rows)
    print(f"{os.cpu_count()} cores")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.run(lambda: VAETransformer(max_iter=1).fit(X))
        dask, serial = search(X, options.max_iter, "dask"), search(X, options.max_iter)
        same = (dask.cv_results_["mean_test_score"] == serial.cv_results_["mean_test_score"]).all()
        print(f"scores are the same: {bool(same)}; threads: {dict(Counter(client.nthreads().values()))}")
        rounds = [
            (seconds(lambda: search(X, options.max_iter)), seconds(lambda: search(X, options.max_iter, "dask")))
            for _ in range(options.rounds)
        ]
    report("serial against two dask workers", *zip(*rounds, strict=True))


if __name__ == "__main__":
    main()
