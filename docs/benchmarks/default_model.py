"""The default VAETransformer next to PCA, factor analysis and Gaussian mixtures, on the same splits.

    python docs/benchmarks/default_model.py [--data PATH] [--tables a,b] [--parts score,codes,...] [--splits 3]
        [--components 2,5,10] [--rows 1500] [--quickstart-splits 10] [--cache FILE] [--json FILE]
        [--base COMMIT [--rounds 3]]

PATH is a folder as of `heldout.py`; without it the tables inside scikit-learn are used. A quarter of a table, at most
2000 rows, is the test set; at most --rows of the others are for training. Columns that are constant there are dropped,
and all are standardised with the training statistics for all models; scores are nats per row in that unit. K is one of
--components, at most D - 1. Everything runs on one thread; "s" is CPU seconds. Peers are

- PCA and FA: `PCA` and `FactorAnalysis` as normal densities, their noise at least 1e-3, as the model's is;
- GMM: `GaussianMixture` with full covariances. Members, 1 to 20, and `reg_covar`, 1e-3 to 1e-1, are those that score
  best on a tenth of the training rows, and the fit to the other nine is kept; its seconds are those of all candidates.

"ELBO" is `score`, "draws" the bound with 100 importance draws. A difference has the standard error of the paired one
over the test rows, both means over the splits. "cut" is the mean over rows with those further than 30 nats below the
table's median put there. A star marks collinear tables, where a column is a linear function of others; they do not$
count in the verdict on ELBO and linear models. The parts:

- score: every table and K against the better of PCA and FA, then draws against the GMM at the largest K; "lowest" is
  the row with the lowest ELBO, over the splits, less the median of its split;
- rows: the same of every model, over splits and K;
- codes: accuracy of a logistic regression and of 5-NN, or R2 of a linear regression, next to PCA's codes;
- maps: trustworthiness and neighbour overlap of two components, 10 neighbours, next to PCA's;
- quickstart: breast_cancer, wine and digits with 10 components, over more splits;
- synthetic: tables on which a linear model sees nothing, K = D; live components have a KL above 0.05;
- cost: CPU time, held-out nats and codes of the default fit at HEAD next to those at --base, in turn, split by split,
  in fresh interpreters as of `compare_commits.py`; the errors are over the splits.

The last table says what must hold and whether it does. With --cache what peers gave is kept in FILE, a line of JSON
each, and not repeated; with --json the numbers of every table, split and K are written to FILE as they come.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from compare_commits import laid_out, measured
from heldout import accuracies, tables
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.manifold import trustworthiness
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import FLOOR, head, machine, mixture_scores, row
from threadpoolctl import threadpool_limits

from skvae import VAETransformer

TEST_ROWS = 2000
MEMBERS, REGULARISATIONS = (1, 2, 3, 5, 8, 12, 20), (1e-3, 1e-2, 1e-1)
CUT = 30.0  # nats
QUICKSTART = ("breast_cancer", "wine", "digits")
MODELS = ("ELBO", "draws", "PCA", "FA", "GMM")

#: The default fit on every table of an archive, in a process that has fitted before; codes go into another archive.
FITS = """
import json, sys, time
import numpy as np
from skvae import VAETransformer

VAETransformer(2, max_iter=1, random_state=0).fit(np.random.default_rng(0).normal(size=(200, 4)))
found, codes, parts = {}, {}, np.load(sys.argv[1])
for name in [key.removesuffix(" a") for key in parts if key.endswith(" a")]:
    a, b = parts[name + " a"], parts[name + " b"]
    tick = time.process_time()
    vae = VAETransformer(min(10, a.shape[1] - 1), random_state=0).fit(a)
    seconds = time.process_time() - tick
    found[name] = seconds, vae.score(b), vae.score_samples(b, n_importance_samples=100).mean()
    codes |= {name + " a": vae.transform(a), name + " b": vae.transform(b)}
np.savez(sys.argv[2], **codes)
print(json.dumps(found))
"""


# ---------------------------------------------------------------- tables and splits


def square():
    """Four corners with a little noise."""
    rng = np.random.default_rng(0)
    return rng.choice([-1.0, 1.0], (2000, 2)) + 0.1 * rng.normal(size=(2000, 2))


def ring():
    """A circle with a little noise."""
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, 2000), 1 + 0.1 * rng.normal(size=2000)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def crossed():
    """Two narrow normals with one centre, along the two diagonals: without correlation in total."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 2000))
    return np.stack([x, rng.choice([-1, 1], 2000) * (0.95 * x + np.sqrt(1 - 0.95**2) * noise)], axis=1)


def whitened():
    """Principal components of breast_cancer with unit variance."""
    return PCA(10, whiten=True, random_state=0).fit_transform(load_breast_cancer().data)


def xor():
    """Three fair bits and their parity: any three of the columns are independent."""
    bits = np.random.default_rng(0).integers(0, 2, (2000, 3))
    return np.column_stack([bits, bits.sum(1) % 2]).astype(float)


SYNTHETIC = {function.__name__: function for function in (square, ring, crossed, whitened, xor)}


class Split:
    """Training and test rows of a table with standardised columns; bits stay bits."""

    def __init__(self, name, X, y, number, most_rows):
        self.name, self.number = name, number
        self.is_class = y is not None and 2 <= len(np.unique(y)) <= 30
        parts = [np.arange(len(X)) if y is None else np.asarray(y), X]
        classes = parts[0] if self.is_class else None
        ya, yb, A, B = train_test_split(*parts, test_size=0.25, random_state=number, stratify=classes)
        A, B, self.ya, self.yb = A[:most_rows], B[:TEST_ROWS], ya[:most_rows], yb[:TEST_ROWS]
        if y is None:
            self.ya = self.yb = None
        varies = np.ptp(A, axis=0) > 0
        self.is_binary = bool(np.isin(X, (0, 1)).all())
        scale = StandardScaler(with_mean=not self.is_binary, with_std=not self.is_binary).fit(A[:, varies])
        self.a, self.b = scale.transform(A[:, varies]), scale.transform(B[:, varies])

    @property
    def key(self):
        """What the numbers of a peer depend on."""
        return f"{self.name} {self.number} {self.a.shape[0]}+{self.b.shape[0]}x{self.a.shape[1]}"

    @property
    def is_collinear(self):
        """Whether a column is a linear function of others, up to rounding."""
        return bool(np.linalg.eigvalsh(np.corrcoef(self.a.T))[0] < 1e-6)

    def probes(self, codes):
        """Logistic and 5-NN accuracy on the codes of both parts; of a number R2 of a linear model and NaN."""
        if self.ya is None:
            return [np.nan, np.nan]
        if self.is_class:
            return accuracies(codes, (self.ya, self.yb))
        linear = make_pipeline(StandardScaler(), LinearRegression()).fit(codes[0], self.ya)
        return [linear.score(codes[1], self.yb), np.nan]

    def map_quality(self, codes, k=10):
        """Trustworthiness of the test rows' codes, and the mean share of the k nearest rows that stay among them."""
        near = [NearestNeighbors(n_neighbors=k).fit(Z).kneighbors(return_distance=False) for Z in (self.b, codes)]
        overlap = np.mean([len(np.intersect1d(*pair)) / k for pair in zip(*near, strict=True)])
        return [float(trustworthiness(self.b, codes, n_neighbors=k)), float(overlap)]

    def about(self, codes):
        """What is said of codes: probes, and of two components the quality as a map."""
        return {"probes": self.probes(codes), "map": self.map_quality(codes[1]) if codes[1].shape[1] == 2 else None}


# ---------------------------------------------------------------- models


def own_model(split, K):
    """Rows' scores, codes' quality, seconds and live components of the default model."""
    vae = VAETransformer(K, random_state=split.number)
    tick = time.process_time()
    vae.fit(split.a)
    seconds = time.process_time() - tick
    print(f"{split.key} K {K}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return {
        "ELBO": vae.score_samples(split.b),
        "draws": vae.score_samples(split.b, n_importance_samples=100),
        "seconds": seconds,
        "live": int((vae.kl_per_component_ > 0.05).sum()),
        **split.about([vae.transform(split.a), vae.transform(split.b)]),
    }


def linear_models(split, K):
    """Rows' log-densities under both linear models, and the quality of PCA's codes."""
    pca = PCA(K, svd_solver="full").fit(split.a)
    about = split.about([pca.transform(split.a), pca.transform(split.b)])
    fa = FactorAnalysis(K, svd_method="lapack", random_state=split.number).fit(split.a)
    return {"PCA": floored_log_density(pca, split.b), "FA": floored_log_density(fa, split.b), **about}


def floored_log_density(model, b):
    """ln N(x; mean, W W' + psi) of the rows, psi at least the floor."""
    model.noise_variance_ = np.maximum(model.noise_variance_, FLOOR)
    return stored(multivariate_normal(model.mean_, model.get_covariance()).logpdf(b))


def gaussian_mixture(split):
    """Rows' log-densities under the candidate that is best on a tenth of the training rows, and seconds of them all."""
    tick = time.process_time()
    inner, valid = train_test_split(split.a, test_size=0.1, random_state=split.number)
    candidates = [
        GaussianMixture(members, reg_covar=reg, random_state=split.number).fit(inner)
        for members, reg in product(MEMBERS, REGULARISATIONS)
    ]
    best = max(candidates, key=lambda model: model.score(valid))
    seconds = time.process_time() - tick
    print(f"{split.key} GMM: {seconds:.1f} s", file=sys.stderr, flush=True)
    rows = stored(best.score_samples(split.b))
    return {"GMM": rows, "seconds": seconds, "members": best.n_components, "reg_covar": best.reg_covar}


def bits_mixture(split):
    """Mean log-mass under a mixture of independent bits, its members chosen as of `tables.py`."""
    A, B = (pd.DataFrame(part).add_prefix("x").astype(str) for part in (split.a, split.b))
    return mixture_scores(A, B, split.number)[1]


def stored(rows):
    """Numbers for a JSON file."""
    return np.round(rows, 4).tolist()


class Bench:
    """What the command line asks for: tables and their splits, fits made so far, numbers and verdicts."""

    def __init__(self, args):
        self.args = args
        matrix, names = tables(args.data)
        self.matrix = cache(lambda name: (SYNTHETIC[name](), None) if name in SYNTHETIC else matrix(name))
        names = args.tables.split(",") if args.tables else [*names, *SYNTHETIC]
        self.names = [name for name in names if name not in SYNTHETIC and self.matrix(name)[0].shape[1] > 1]
        self.synthetic = [name for name in names if name in SYNTHETIC]
        self.split = cache(lambda name, number: Split(name, *self.matrix(name), number, args.rows))
        self.own = cache(own_model)
        lines = args.cache.read_text().splitlines() if args.cache and args.cache.exists() else []
        self.peers = dict(map(json.loads, lines))
        self.results = {"machine": machine(), "arguments": {k: str(v) for k, v in vars(args).items()}}
        self.verdicts = []

    def splits(self, name, n_splits=None):
        """The splits of a table."""
        return [self.split(name, number) for number in range(n_splits or self.args.splits)]

    def sizes(self, name):
        """Every K of a table, increasing."""
        D = self.split(name, 0).a.shape[1]
        return sorted({min(K, D - 1) for K in self.args.components})

    def kept(self, function, split, *K):
        """What a peer gives, from the file of `--cache` if it is there."""
        key = " ".join([function.__name__, split.key, *(f"K {k}" for k in K)])
        if key not in self.peers:
            self.peers[key] = function(split, *K)
            if self.args.cache:
                with self.args.cache.open("a") as file:
                    print(json.dumps([key, self.peers[key]]), file=file)
        return self.peers[key]

    def record(self, part, name, K, **of_splits):
        """Keep the numbers of every split, lists by name, under a part; give their means."""
        self.results.setdefault(part, []).append({"table": name, "K": K, **of_splits})
        if self.args.json:
            self.args.json.write_text(json.dumps(self.results, default=float))
        return {key: float(np.mean(values)) for key, values in of_splits.items()}

    def judge(self, text, holds, figure):
        """Note whether something holds; None where the tables for it were not run."""
        self.verdicts.append((text, "not run" if holds is None else "yes" if holds else "no", figure))
        self.results["verdicts"] = self.verdicts


# ---------------------------------------------------------------- densities


def densities(bench, split, K):
    """All models on a split: mean, median, cut and lowest row of each, and paired differences."""
    own, linear, mixture = bench.own(split, K), bench.kept(linear_models, split, K), bench.kept(gaussian_mixture, split)
    rows = {name: np.asarray((own | linear | mixture)[name]) for name in MODELS}
    better = max("PCA", "FA", key=lambda name: rows[name].mean())
    out = {key: own[key] for key in ("seconds", "live")}
    out |= {"members": mixture["members"], "GMM seconds": mixture["seconds"]}
    for name, values in rows.items():
        median = np.median(values)
        out |= {f"{name} mean": values.mean(), f"{name} median": median, f"{name} lowest": values.min() - median}
        out[f"{name} cut"] = np.maximum(values, median - CUT).mean()
    for label, difference in {"linear": rows["ELBO"] - rows[better], "GMM": rows["draws"] - rows["GMM"]}.items():
        out[f"-{label}"] = difference.mean()
        out[f"-{label} error"] = difference.std(ddof=1) / np.sqrt(len(difference))
    return out


def on_splits(function, bench, name, K, n_splits=None):
    """Lists over the splits, by name."""
    records = [function(bench, split, K) for split in bench.splits(name, n_splits)]
    return {key: [float(record[key]) for record in records] for key in records[0]}


def starred(bench, name):
    """The name of a table, collinear ones with a star."""
    return name + "*" * bench.split(name, 0).is_collinear


def score(bench):
    """ELBO against the better linear model for every K, then importance draws against the mixture."""
    head("score", "n x D", "K", *MODELS, "ELBO - linear", "draws - GMM", "lowest", "live", "s", "GMM s")
    at_most, margins = {}, {}
    for name in bench.names:
        shape = " x ".join(map(str, bench.split(name, 0).a.shape))
        for K in bench.sizes(name):
            numbers = on_splits(densities, bench, name, K)
            mean = bench.record("score", name, K, **numbers)
            differences = [f"{mean[d]:+.2f} ± {mean[d + ' error']:.2f}" for d in ("-linear", "-GMM")]
            texts = [f"{mean[model + ' mean']:.2f}" for model in MODELS]
            seconds = [f"{mean[s]:.1f}" for s in ("seconds", "GMM seconds")]
            lowest = f"{min(numbers['ELBO lowest']):.0f}"
            row(starred(bench, name), shape, K, *texts, *differences, lowest, f"{mean['live']:.1f}", *seconds)
            margins[f"{starred(bench, name)}, K {K}"] = mean["-linear"] + 0.1 + mean["-linear error"]
        at_most[name] = mean
    margins = {name: margin for name, margin in margins.items() if "*" not in name}
    below = [f"{name} {margin:+.2f}" for name, margin in margins.items() if margin < 0]
    figure = ", ".join(below) or f"smallest margin {min(margins.values(), default=np.nan):+.2f}"
    bench.judge("ELBO >= better linear model - 0.1 - standard error, every K", not below if margins else None, figure)
    importance(bench, at_most)


def importance(bench, at_most):
    """Draws against the mixture at K = min(10, D - 1), by three summaries of the rows."""
    summaries = "mean", "median", "cut"
    head("draws - GMM", "K", *(f"{model} {s}" for model in ("draws", "GMM") for s in summaries), *summaries, "members")
    gains = {}
    for name, mean in at_most.items():
        both = np.array([[mean[f"{model} {s}"] for s in summaries] for model in ("draws", "GMM")])
        gains[name] = both[0] - both[1]
        texts = [f"{value:.2f}" for value in both.ravel()] + [f"{gain:+.2f}" for gain in gains[name]]
        row(starred(bench, name), bench.sizes(name)[-1], *texts, f"{mean['members']:.1f}")
    for i, s in enumerate(summaries):
        clear = {name: f"{name} {gain[i]:+.2f}" for name, gain in gains.items()}
        every, some = ("satimage", "letter"), ("wine", "banknote", "california_housing", "penguins")
        for names, least in ((every, 2), (some, 2)):
            known = [name for name in names if name in gains]
            above = sum(gains[name][i] > 0 for name in known)
            holds = above >= least if len(known) == len(names) else None
            text = f"draws > GMM by the {s} on at least {least} of {', '.join(names)}"
            bench.judge(text, holds, ", ".join(clear[name] for name in known))
        median = np.median([gain[i] for gain in gains.values()])
        bench.judge(f"draws > GMM by the {s}, median over {len(gains)} tables", bool(median > 0), f"{median:+.2f}")


def rows(bench):
    """The lowest row below the median of its split, over splits and K."""
    head("lowest row", "D", *MODELS)
    lowest = {}
    for name in bench.names:
        of_splits = [on_splits(densities, bench, name, K) for K in bench.sizes(name)]
        worst = {model: min(min(numbers[f"{model} lowest"]) for numbers in of_splits) for model in MODELS}
        D = bench.split(name, 0).a.shape[1]
        row(starred(bench, name), D, *(f"{value:.0f}" for value in worst.values()))
        if D <= 100:
            lowest[name] = min(worst["ELBO"], worst["draws"])
    name = min(lowest, key=lowest.get, default="-")
    holds = lowest[name] >= -500 if lowest else None
    bench.judge("no row more than 500 nats below the median", holds, f"{name} {lowest.get(name, np.nan):.0f}")


def quickstart(bench):
    """Three tables over more splits: mean, and median in brackets, of the splits' scores; accuracies."""
    head("quickstart", *MODELS, "draws - GMM over splits", "logistic", "PCA's", "5-NN", "PCA's")
    scores, accuracy = {}, {}
    for name in (name for name in QUICKSTART if name in bench.names):
        numbers = on_splits(densities, bench, name, 10, bench.args.quickstart_splits)
        numbers |= on_splits(code_quality, bench, name, 10, bench.args.quickstart_splits)
        mean = bench.record("quickstart", name, 10, **numbers)
        scores[name] = {model: np.array(numbers[f"{model} mean"]) for model in MODELS}
        accuracy[name] = {probe: mean[probe] - mean[f"PCA {probe}"] for probe in ("linear", "5-NN")}
        texts = [f"{np.mean(v):.2f} ({np.median(v):.2f})" for v in scores[name].values()]
        difference = "{:+.2f} ± {:.2f}".format(*mean_and_error(scores[name]["draws"] - scores[name]["GMM"]))
        row(name, *texts, difference, *(mean[p + probe] for probe in ("linear", "5-NN") for p in ("", "PCA ")))
    for own, peer in product(("ELBO", "draws"), ("PCA", "FA", "GMM")):
        gains = {name: scores[name][own] - scores[name][peer] for name in scores}
        quickstart_verdict(bench, own, peer, gains)
    for probe in ("linear", "5-NN"):
        figure = ", ".join(f"{name} {gains[probe]:+.3f}" for name, gains in accuracy.items())
        holds = all(gains[probe] >= -0.01 for gains in accuracy.values())
        bench.judge(f"quickstart: accuracy >= PCA's - 0.01, {probe}", holds if len(accuracy) == 3 else None, figure)


def quickstart_verdict(bench, own, peer, gains):
    """Above in mean and median on each table; on wine within a standard error of the mixture."""
    summaries = {name: (*mean_and_error(gain), np.median(gain)) for name, gain in gains.items()}
    lenient = peer == "GMM"
    holds = all(
        mean > -error if lenient and name == "wine" else min(mean, median) > 0
        for name, (mean, error, median) in summaries.items()
    )
    figure = ", ".join(
        f"{n} {mean:+.2f} ± {error:.2f} ({median:+.2f})" for n, (mean, error, median) in summaries.items()
    )
    text = f"quickstart: {own} > {peer}, mean (median)" + ", wine within an error" * lenient
    bench.judge(text, holds if len(gains) == 3 else None, figure)


def mean_and_error(values):
    """Mean over splits and its standard error, 0 of a single one."""
    return np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0


# ---------------------------------------------------------------- codes and maps


def code_quality(bench, split, K):
    """Both probes on the model's codes and on PCA's."""
    own, pca = bench.own(split, K)["probes"], bench.kept(linear_models, split, K)["probes"]
    return dict(zip(("linear", "5-NN", "PCA linear", "PCA 5-NN"), [*own, *pca], strict=True))


def codes(bench):
    """Accuracy on the codes, or R2, next to PCA's; the mean of both probes counts."""
    head("codes", "K", "logistic or R2", "PCA's", "5-NN", "PCA's", "mean of both - PCA's")
    both, linear = {}, {}
    for name in (name for name in bench.names if bench.matrix(name)[1] is not None):
        for K in bench.sizes(name):
            mean = bench.record("codes", name, K, **on_splits(code_quality, bench, name, K))
            gain = [mean[probe] - mean[f"PCA {probe}"] for probe in ("linear", "5-NN")]
            row(name, K, *(mean[p + probe] for probe in ("linear", "5-NN") for p in ("", "PCA ")), float(np.mean(gain)))
            if bench.split(name, 0).is_class:
                both.setdefault(name, []).append(np.mean(gain))
            if K == 10:
                linear[name] = gain[0]
    if both:
        overall, worst = np.mean([gain for gains in both.values() for gain in gains]), lowest_mean(both)
        bench.judge(
            "aim: codes, mean of both >= PCA's + 0.02 over tables and K", bool(overall >= 0.02), f"{overall:+.3f}"
        )
        figure = "worst {} {:+.3f}".format(*worst)
        bench.judge("aim: codes, mean of both on no table < PCA's - 0.01", bool(worst[1] >= -0.01), figure)
    if linear:
        overall = np.mean(list(linear.values()))
        figure = "mean {:+.3f}, worst {} {:+.3f}".format(overall, *lowest_mean(linear))
        bench.judge("aim: a linear model on 10 codes no worse than on PCA's, mean", bool(overall >= 0), figure)


def lowest_mean(gains):
    """The table with the lowest mean, and this mean."""
    name = min(gains, key=lambda name: np.mean(gains[name]))
    return name, np.mean(gains[name])


def map_qualities(bench, split, K):
    """Trustworthiness and overlap of the model's codes and of PCA's."""
    own, pca = bench.own(split, K)["map"], bench.kept(linear_models, split, K)["map"]
    return dict(zip(("trustworthiness", "overlap", "PCA trustworthiness", "PCA overlap"), [*own, *pca], strict=True))


def maps(bench):
    """Two components as a map of the test rows."""
    head("maps", "trustworthiness", "PCA's", "overlap", "PCA's")
    gains = {"trustworthiness": [], "overlap": []}
    for name in (name for name in bench.names if bench.sizes(name)[0] == 2):
        mean = bench.record("maps", name, 2, **on_splits(map_qualities, bench, name, 2))
        row(name, *(mean[prefix + quality] for quality in gains for prefix in ("", "PCA ")))
        for quality, values in gains.items():
            values.append(mean[quality] - mean[f"PCA {quality}"])
    for quality, values in gains.items():
        figure = f"{np.mean(values):+.3f}, above on {sum(value > 0 for value in values)} of {len(values)}"
        bench.judge(f"aim: maps, {quality} above PCA's in the mean", np.mean(values) > 0, figure)


# ---------------------------------------------------------------- synthetic tables and cost


def synthetic_numbers(bench, split, K):
    """The model and a mixture on a synthetic table."""
    own = bench.own(split, K)
    mixture = (
        bench.kept(bits_mixture, split) if split.is_binary else np.mean(bench.kept(gaussian_mixture, split)["GMM"])
    )
    out = {key: np.mean(own[key]) for key in ("ELBO", "draws", "live", "seconds")}
    return out | {"mixture": mixture}


def synthetic(bench):
    """The model and a mixture: Gaussian, or of bits for bits."""
    head("synthetic", "K", "ELBO", "draws", "mixture", "live", "s")
    for name in bench.synthetic:
        K = bench.split(name, 0).a.shape[1]
        mean = bench.record("synthetic", name, K, **on_splits(synthetic_numbers, bench, name, K))
        row(
            name,
            K,
            *(mean[key] for key in ("ELBO", "draws", "mixture")),
            f"{mean['live']:.1f}",
            f"{mean['seconds']:.1f}",
        )


def cost(bench):
    """The default fit at HEAD and at another commit: CPU seconds, held-out nats, and what the codes are worth."""
    with laid_out(bench.args.base, "HEAD") as trees:
        found = np.array([fits_of_both(bench, trees, number) for number in range(bench.args.splits)])
    seconds = found[..., 0].sum(0)
    differences = (found[:, 1] - found[:, 0])[..., 1:]
    ratios, gains = seconds[1] / seconds[0], differences.mean(0)
    errors = differences.std(0, ddof=1) / len(found) ** 0.5 if len(found) > 1 else np.full_like(gains, np.nan)
    head("cost", f"{bench.args.base} s", "HEAD s", "ratio", "ELBO", "draws", "codes")
    for name, both, ratio, *pair in zip(bench.names, seconds.T / len(found), ratios, gains, errors, strict=True):
        bench.record("cost", name, None, base=[both[0]], HEAD=[both[1]])
        texts = [f"{g:+.3f} ± {e:.3f}" for g, e in zip(*pair, strict=True)]
        row(name, *(f"{s:.2f}" for s in both), f"{ratio:.2f}", *texts)
    base = bench.args.base
    bench.judge(f"median time at most 0.75 of {base}", bool(np.median(ratios) <= 0.75), f"{np.median(ratios):.2f}")
    for text, limit, values in (
        ("time at most 1.1 times, every table", -1.1, -ratios),
        ("held-out ELBO not below by 0.1, every table", -0.1, gains[:, 0]),
    ):
        below = [f"{name} {abs(v):.2f}" for name, v in zip(bench.names, values, strict=True) if v < limit]
        bench.judge(text, not below, ", ".join(below))
    codes = np.nanmean(gains[:, 2])
    bench.judge("codes not below by 0.01 in the mean", bool(codes >= -0.01), f"{codes:+.3f}")


def fits_of_both(bench, trees, number):
    """Seconds, ELBO, bound with draws, and quality of the codes of a split of each table, at both commits."""
    splits = {name: bench.split(name, number) for name in bench.names}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        archive, codes = Path(folder, "tables.npz"), Path(folder, "codes.npz")
        np.savez(archive, **{f"{name} {part}": getattr(split, part) for name, split in splits.items() for part in "ab"})
        for tree in trees if number % 2 else trees[::-1]:
            fits = measured(tree, 1, FITS, [str(archive), str(codes)])
            with np.load(codes) as z:
                probes = {name: splits[name].probes([z[f"{name} {part}"] for part in "ab"]) for name in splits}
            found[tree] = [[*fits[name], mean_of(probes[name])] for name in splits]
    return [found[tree] for tree in trees]


def mean_of(probes):
    """The mean of those that are defined; NaN where none is."""
    defined = [probe for probe in probes if not np.isnan(probe)]
    return np.mean(defined) if defined else np.nan


def main():
    """Print one table per part, then the verdicts."""
    parts = {function.__name__: function for function in (score, rows, codes, maps, quickstart, synthetic, cost)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with load.py")
    parser.add_argument("--tables", help="names, with commas, synthetic ones too")
    parser.add_argument("--parts", help="names, with commas; all by default, cost with --base alone")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--components", type=lambda text: [int(K) for K in text.split(",")], default=[2, 5, 10])
    parser.add_argument("--quickstart-splits", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1500, help="most rows for training")
    parser.add_argument("--cache", type=Path, help="what peers gave")
    parser.add_argument("--json", type=Path, help="for all numbers")
    parser.add_argument("--base", help="a commit, tag or branch to compare fits with")
    args = parser.parse_args()
    chosen = args.parts.split(",") if args.parts else [part for part in parts if part != "cost" or args.base]
    if set(chosen) - set(parts) or ("cost" in chosen and not args.base):
        parser.error(f"Parts are {', '.join(parts)}; cost needs --base.")
    warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        bench = Bench(args)
        print(bench.results["machine"])
        for part in chosen:
            parts[part](bench)
    head("must hold", "holds", "figure")
    for verdict in bench.verdicts:
        row(*verdict)
    if args.json:
        args.json.write_text(json.dumps(bench.results, default=float))


if __name__ == "__main__":
    main()
