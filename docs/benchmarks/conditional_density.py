"""ln p(x | c) of numbers given conditions: the default VAETransformer next to a Gaussian mixture for each condition.

    python docs/benchmarks/conditional_density.py [--data PATH] [--rows 5000] [--components 4]

Without PATH the table is iris given its species. PATH is a folder with a `load.py` whose `table(name)` gives a frame
and its target; then it is adult given sex and income, and diamonds given cut. Rows without missing numbers are drawn, a
quarter of them for the test set, and all columns of numbers are modelled, also those that are mostly zero. They are
standardised with the training statistics, so that figures are nats per row in that unit.

The VAE's is the bound with 500 importance draws. The peers are a full-covariance mixture for each combination of
conditions, of 1 to 20 members and a `reg_covar` of 1e-3 to 1e-1, by which a tenth of its rows, held out, has the
highest density, and one Gaussian for each. A difference has the standard error of the paired one over test rows.
"""

import argparse
import sys
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split

from skvae import VAETransformer

MEMBERS, REGULARISATIONS = (1, 2, 3, 5, 8, 12, 20), (1e-3, 1e-2, 1e-1)
FLOOR = 1e-3  # of a Gaussian's variances, as the model's


def tables(path):
    """Name -> (frame of numbers and conditions, names of the conditions)."""
    if path is None:
        iris = load_iris(as_frame=True)
        return {"iris": (iris.data.assign(species=iris.target_names[iris.target]), ["species"])}
    sys.path.insert(0, path)
    from load import table

    adult, income = table("adult")
    diamonds, price = table("diamonds")
    return {
        "adult": (numbers_and(adult.assign(income=income), ["sex", "income"]), ["sex", "income"]),
        "diamonds": (numbers_and(diamonds.assign(price=price), ["cut"]), ["cut"]),
    }


def numbers_and(frame, conditions):
    """The columns of numbers, and the conditions as strings."""
    numbers = frame.select_dtypes("number").astype(float).dropna()
    return numbers.drop(columns=conditions, errors="ignore").join(frame[conditions].astype(str))


def best_mixture(X):
    """The mixture that a tenth of the rows, held out, prefers."""
    fit, valid = train_test_split(X, test_size=0.1, random_state=0)
    tried = [
        GaussianMixture(M, reg_covar=r, random_state=0, n_init=2, max_iter=300).fit(fit)
        for M, r in product(MEMBERS, REGULARISATIONS)
        if len(fit) > M * 5
    ]
    return max(tried, key=lambda mixture: mixture.score(valid))


def peers(train, test, numbers, conditions):
    """ln p(x | c) of test rows under a mixture, and under one Gaussian, for each combination of conditions."""
    of_mixture, of_normal = pd.Series(np.nan, test.index), pd.Series(np.nan, test.index)
    for key, rows in train.groupby(conditions):
        own = test[(test[conditions] == list(key)).all(axis=1)]
        X = rows[numbers].to_numpy()
        of_mixture[own.index] = best_mixture(X).score_samples(own[numbers].to_numpy())
        covariance = np.cov(X.T, ddof=0) + FLOOR * np.eye(len(numbers))
        of_normal[own.index] = multivariate_normal(X.mean(0), covariance).logpdf(own[numbers].to_numpy())
    return of_mixture.to_numpy(), of_normal.to_numpy()


def compared(frame, conditions, n_rows, n_components):
    """ln p(x | c) of the test rows by model."""
    frame = frame.sample(min(n_rows, len(frame)), random_state=0).reset_index(drop=True)
    train, test = train_test_split(frame, test_size=0.25, stratify=frame[conditions], random_state=0)
    numbers = [name for name in frame if name not in conditions]
    mean, scale = train[numbers].mean(), train[numbers].std(ddof=0)
    train, test = (part.assign(**((part[numbers] - mean) / scale)) for part in (train, test))
    vae = VAETransformer(min(n_components, len(numbers)), conditions=conditions, random_state=0).fit(train)
    mixture, normal = peers(train, test, numbers, conditions)
    return {"VAE": vae.score_samples(test, n_importance_samples=500), "mixtures": mixture, "normals": normal}


def main():
    """Print a row for each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--components", type=int, default=4)
    args = parser.parse_args()
    print("| table | VAE | mixture for each c | normal for each c | VAE less mixture |\n| --- " + "| --- " * 4 + "|")
    for name, (frame, conditions) in tables(args.data).items():
        found = compared(frame, conditions, args.rows, args.components)
        means = " | ".join(f"{log_p.mean():.2f}" for log_p in found.values())
        gain = found["VAE"] - found["mixtures"]
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        print(f"| {name} given {' and '.join(conditions)} | {means} | {gain.mean():+.2f} +- {error:.2f} |", flush=True)


if __name__ == "__main__":
    main()
