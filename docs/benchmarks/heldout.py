"""Held-out score and accuracy of the codes: VAETransformer next to PCA and factor analysis, per table.

    python docs/benchmarks/heldout.py [--data PATH] [--init auto pca ...] [--tables NAME ...] [--seeds 3]
        [--components 5] [--set PARAMETER=VALUE ...]

PATH is a folder with a `load.py` that offers `names()` and `matrix(name)`; without it the tables inside scikit-learn
are used. K is --components, at most D - 1; at most 4000 rows; a quarter of the rows is the test set. The linear models
are fitted on columns standardised with training statistics, their log-Jacobian added, with the same noise floor as the
VAE: PCA is probabilistic PCA with its variance floored, factor analysis is that of `skvae._starts.linear_gaussian`.
"Tied" tables (median column has fewer than 5 % distinct values) are summarised apart: a density there mostly rewards
whoever puts the sharpest spike on a repeated value. "Live" counts components with KL > 0.05 nats, start -> end.
"""

import argparse
import ast
import sys
import time
import warnings

import numpy as np
import sklearn.datasets
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import Gaussian, VAETransformer
from skvae._starts.linear_gaussian import LinearGaussian, SecondMoments, factor_analysis, probabilistic_pca

BUNDLED = ("iris", "wine", "breast_cancer", "digits", "diabetes")
MAX_ROWS = 4000


def bundled(name):
    """Give one of scikit-learn's tables."""
    data = getattr(sklearn.datasets, f"load_{name}")()
    return data.data, data.target


def tables(path):
    """Function name -> (X, y) and the names of the tables behind --data, or of scikit-learn's."""
    if not path:
        return bundled, list(BUNDLED)
    sys.path.insert(0, path)
    import load

    return load.matrix, [name for part in load.names() for name in part]


def linear_score(model: LinearGaussian, X):
    """Mean log N(x; 0, W W' + psi) of standardised rows."""
    return SecondMoments(X, np.ones(len(X))).log_likelihood(model)


def accuracies(codes, y):
    """Logistic and 5-NN accuracy, trained on codes[0], tested on codes[1]."""
    models = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)), KNeighborsClassifier(5)
    return [model.fit(codes[0], y[0]).score(codes[1], y[1]) for model in models]


def run(X, y, seed, inits, settings, n_components=5, max_rows=MAX_ROWS):
    """All models on one split; a dictionary of numbers."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(X))[:max_rows]
    X, y = X[rows], y[rows]
    A, B, ya, yb = train_test_split(X, y, test_size=0.25, random_state=seed)
    scaler = StandardScaler().fit(A)
    a, b = scaler.transform(A), scaler.transform(B)
    jacobian = -np.log(scaler.scale_).sum()
    K = min(n_components, X.shape[1] - 1)
    is_class = 2 <= len(np.unique(ya)) <= 30
    moments, tie = SecondMoments(a, np.ones(len(a))), Gaussian().tie_noise
    shared = Gaussian(noise="shared").tie_noise
    out = {"PCA": linear_score(probabilistic_pca(moments, K, shared), b) + jacobian,
           "FA": linear_score(factor_analysis(moments, K, tie), b) + jacobian}  # fmt: skip
    if is_class:
        pca = PCA(K).fit(a)
        out["PCA_lr"], out["PCA_nn"] = accuracies((pca.transform(a), pca.transform(b)), (ya, yb))
    for init in inits:
        tick, own = time.perf_counter(), time.process_time()
        vae = VAETransformer(K, init=init, random_state=seed, **settings).fit(A)
        out[f"{init}_seconds"], out[f"{init}_cpu"] = time.perf_counter() - tick, time.process_time() - own
        out[init] = vae.score(B)
        out[f"{init}_best"] = vae.best_iter_
        out[f"{init}_live"] = (vae.kl_per_component_ > 0.05).sum()
        start = VAETransformer(K, init=init, random_state=seed, max_iter=0).fit(A)
        out[f"{init}_live0"] = (start.kl_per_component_ > 0.05).sum()
        if is_class:
            out[f"{init}_lr"], out[f"{init}_nn"] = accuracies((vae.transform(A), vae.transform(B)), (ya, yb))
    return out


def main():
    """Print one row per table and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with load.py")
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--init", nargs="*", default=["auto"])
    parser.add_argument("--components", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    matrix, names = tables(args.data)
    settings = dict(item.split("=", 1) for item in args.set)
    settings = {k: ast.literal_eval(v) if v[0] in "0123456789([-TFN'" else v for k, v in settings.items()}
    warnings.filterwarnings("ignore", module="sklearn.linear_model")  # the probe's own convergence

    head = "  ".join(f"{init[:6]:>7}   -PCA    -FA best live  lr-PCA nn-PCA   sec" for init in args.init)
    print(f"{'table':20} rows x D       PCA       FA {head}")
    gains = {}
    for name in args.tables or names:
        X, y = matrix(name)
        if X.shape[1] < 2:
            continue
        y = np.zeros(len(X)) if y is None else np.asarray(y)
        results = [run(X, y, seed, args.init, settings, args.components) for seed in range(args.seeds)]
        mean = {key: np.mean([r[key] for r in results]) for key in results[0]}
        tied = np.median([len(np.unique(column)) for column in X.T]) < 0.05 * len(X)
        shape = f"{min(len(X), MAX_ROWS):4}x{X.shape[1]:<3}"
        print(f"{name + ('*' if tied else ''):20} {shape} {mean['PCA']:9.2f} {mean['FA']:8.2f}", end="")
        for init in args.init:
            gain = mean[init] - mean["PCA"], mean[init] - mean["FA"]
            probes = [mean.get(f"{init}_{p}", np.nan) - mean.get(f"PCA_{p}", np.nan) for p in ("lr", "nn")]
            print(f"  {mean[init]:8.2f} {gain[0]:+6.2f} {gain[1]:+6.2f} {mean[init + '_best']:4.0f}", end="")
            print(f" {mean[init + '_live0']:.0f}>{mean[init + '_live']:.0f}", end="")
            print(f" {probes[0]:+7.3f} {probes[1]:+6.3f} {mean[init + '_seconds']:6.1f}", end="")
            gains.setdefault(init, []).append((tied, *gain, *probes))
        print(flush=True)
    for init, rows in gains.items():
        summarise(f"{init}, all", [row[1:] for row in rows])
        summarise(f"{init}, not tied", [row[1:] for row in rows if not row[0]])


def summarise(title, rows):
    """Medians, worst tables and wins."""
    pca, fa, logistic, neighbours = np.array(rows).T
    print(f"{title} ({len(rows)} tables)", end="")
    for name, gain in (("PCA", pca), ("FA", fa)):
        print(f"; against {name} median {np.median(gain):+.2f} worst {gain.min():+.2f} wins {(gain > 0).sum()}", end="")
    print(f"; codes against PCA's: logistic {np.nanmean(logistic):+.3f}, 5-NN {np.nanmean(neighbours):+.3f}")


if __name__ == "__main__":
    main()
