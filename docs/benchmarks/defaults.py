"""Which defaults? Configurations x tables x splits: gain over the linear models, accuracy of the codes, seconds.

    python docs/benchmarks/defaults.py [--data PATH] [--configurations NAME ...] [--tables NAME ...] [--seeds 2]
        [--components 5] [--rows 2000] [--keep FILE]

Splits and linear models are those of `heldout.py`. "gain" is nats per row over the better of probabilistic PCA and
factor analysis (same floor), mean over splits, and then median and worst over tables; "clipped" is its mean with tables
cut at 10 nats, since single ones would decide it. "below" counts the fits that end more than 0.1 nats below the better
linear model. lr and nn are the accuracy of a logistic regression and of 5-NN on the codes less that on PCA's: the mean,
the worst table, and how many lose more than 0.02. Seconds are CPU time. With --keep every fit is a line of JSON in
FILE, and fits that are there already are not repeated.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from heldout import run, tables

from skvae import Gaussian

#: What differs from the defaults of VAETransformer.
CONFIGURATIONS = {
    "default": {},
    "before": {"init": "pca", "hidden_layer_sizes": (128,), "learning_rate": 1e-3},
    "before, factor_analysis": {"init": "factor_analysis", "hidden_layer_sizes": (128,), "learning_rate": 1e-3},
    "pca": {"init": "pca"},
    "early_factor_analysis": {"init": "early_factor_analysis"},
    "factor_analysis": {"init": "factor_analysis"},
    "learning rate 1e-3": {"learning_rate": 1e-3},
    "learning rate 2e-3": {"learning_rate": 2e-3},
    "learning rate 8e-3": {"learning_rate": 8e-3},
    "8e-3, inverse_sqrt": {"learning_rate": 8e-3, "learning_rate_schedule": "inverse_sqrt"},
    "one layer": {"hidden_layer_sizes": (128,)},
    "two layers": {"hidden_layer_sizes": (128, 128)},
    "one layer of 256": {"hidden_layer_sizes": (256,)},
    "dropout 0.1": {"dropout": 0.1},
    "batch 32": {"batch_size": 32},
    "batch 256": {"batch_size": 256},
    "patience 50": {"n_iter_no_change": 50},
    "floor 0.01": {"likelihood": Gaussian(floor=0.01)},
    "noise per row": {"likelihood": Gaussian(noise="row")},
    "one noise": {"likelihood": Gaussian(noise="shared")},
    "student_t": {"likelihood": "student_t"},
    "global": {"scaling": "global"},
}


def fits(name, args):
    """One record per table and split of a configuration."""
    settings = dict(CONFIGURATIONS[name])
    init = settings.pop("init", "auto")
    matrix, names = tables(args.data)
    for table in args.tables or names:
        X, y = matrix(table)
        if X.shape[1] < 2:
            continue
        y = np.zeros(len(X)) if y is None else np.asarray(y)
        for seed in range(args.seeds):
            key = {"configuration": name, "table": table, "seed": seed, "K": args.components, "rows": args.rows}
            if tuple(key.values()) not in args.known:
                numbers = run(X, y, seed, [init], settings, args.components, args.rows)
                numbers = {k.replace(f"{init}_", "").replace(init, "score"): float(v) for k, v in numbers.items()}
                args.known[tuple(key.values())] = numbers
                if args.keep:
                    with args.keep.open("a") as file:
                        print(json.dumps(key | numbers), file=file)
            yield table, args.known[tuple(key.values())]


def summary(records):
    """The numbers of one configuration, and the gain on each table."""
    gains, probes = {}, {"lr": {}, "nn": {}}
    for table, r in records:
        gains.setdefault(table, []).append(r["score"] - max(r["PCA"], r["FA"]))
        for probe, values in probes.items():
            if f"PCA_{probe}" in r:
                values.setdefault(table, []).append(r[probe] - r[f"PCA_{probe}"])
    mean = {table: np.mean(values) for table, values in gains.items()}
    values = np.array(list(mean.values()))
    worst = min(mean, key=mean.get)
    below = sum(gain < -0.1 for splits in gains.values() for gain in splits)
    text = f"{np.median(values):+6.2f} {np.clip(values, -10, 10).mean():+7.2f} {below:5} {mean[worst]:+8.2f} {worst:18}"
    for differences in probes.values():
        per_table = {table: np.mean(v) for table, v in differences.items()}
        low = min(per_table, key=per_table.get)
        n_low = sum(v < -0.02 for v in per_table.values())
        text += f"  {np.mean(list(per_table.values())):+.3f} {per_table[low]:+.3f} {low[:9]:9} {n_low}"
    return text + f"  {sum(r['cpu'] for _, r in records):6.0f}", mean


def main():
    """Print one line per configuration, then the gain of each on each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with load.py")
    parser.add_argument("--configurations", nargs="*", default=list(CONFIGURATIONS), choices=list(CONFIGURATIONS))
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--components", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    args.known = {}
    if args.keep and args.keep.exists():
        for line in args.keep.read_text().splitlines():
            record = json.loads(line)
            key = tuple(record.pop(name) for name in ("configuration", "table", "seed", "K", "rows"))
            args.known[key] = record
    warnings.filterwarnings("ignore", module="sklearn.linear_model")  # the probe's own convergence
    print(f"{'configuration':24}   gain clipped below    worst {'':18}  lr     worst            nn     worst", end="")
    print(f"  {'seconds':>17}")
    per_table = {}
    for name in args.configurations:
        text, per_table[name] = summary(list(fits(name, args)))
        print(f"{name:24} {text}", flush=True)
    print(f"\n{'gain':20}" + "".join(f" {name[:11]:>11}" for name in per_table))
    for table in next(iter(per_table.values())):
        print(f"{table:20}" + "".join(f" {gains[table]:+11.2f}" for gains in per_table.values()))


if __name__ == "__main__":
    main()
