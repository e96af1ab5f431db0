"""Raw tables: missing values imputed, rows made up, odd rows, density and codes, next to what else one would use.

    python docs/benchmarks/tables.py {imputation,synthesis,novelty,density,codes,maps} [--data PATH] [--tables a,b]
        [--seeds 0,1,2] [--peers] [--weights] [--set PARAMETER=VALUE ...] [--no-model] [--keep FOLDER]

PATH is a folder with a `load.py` that offers `table(name)`, a frame as published and its target, and `matrix(name)`,
its numeric columns; without it the tables inside scikit-learn are used, where a section can. Each section prints
markdown tables. `--peers` adds packages that can be imported: miceforest (imputation; 6.0 needs lightgbm below 4.6),
arfpy (0.1 needs numpy below 2.4 and pandas below 3), ForestDiffusion (1.0 needs pandas below 3) and the TVAE of ctgan
(synthesis), umap-learn (maps). `--no-model` leaves VAETransformer out, and `--keep` stores what baselines and
peers gave in FOLDER, one pickle each, and reads it there the next time.
"""

import argparse
import ast
import datetime
import importlib.metadata
import importlib.util
import pickle
import platform
import sys
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.datasets
from scipy.special import logsumexp
from scipy.stats import norm, skew
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.manifold import Isomap, trustworthiness
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skvae import Gaussian, VAEOutlierDetector, VAETransformer
from skvae.metrics import synthesis_report

BUNDLED = ("breast_cancer", "wine", "diabetes")
SETTINGS = {
    "imputation": {"init": "factor_analysis"},
    "synthesis": {},
    "novelty": {"init": "factor_analysis"},  # as VAEOutlierDetector() has it
    "density": {"init": "factor_analysis", "prior": "mixture", "likelihood": Gaussian("row")},
    "codes": {},
    "maps": {},
}
PEER_PACKAGES = "miceforest", "arfpy", "ForestDiffusion", "ctgan", "sdmetrics", "umap-learn"
FLOOR = 1e-3  # of a column's variance, as in skvae.Gaussian


class Run:
    """What the command line asks for: tables, seeds, the model of a section, and results kept from earlier."""

    def __init__(self, args):
        self.args = args
        self.seeds = [int(seed) for seed in args.seeds.split(",")]
        self.source = load_bundled() if args.data is None else load_folder(args.data)

    def names(self, *names):
        """Tables that `--tables` leaves of these; without `--data`, of scikit-learn's."""
        names = names if self.args.data else BUNDLED
        return [name for name in names if self.args.tables is None or name in self.args.tables.split(",")]

    def model(self, seed, **settings):
        """An unfitted VAETransformer with the settings of the section and those of `--set`."""
        given = dict(item.split("=", 1) for item in self.args.set)
        given = {k: ast.literal_eval(v) if v[0] in "0123456789([{-TFN'" else v for k, v in given.items()}
        return VAETransformer(**{**SETTINGS[self.args.section], **settings, **given, "random_state": seed})

    def kept(self, *key, compute):
        """What `compute` gives, from the folder of `--keep` if it lies there."""
        if self.args.keep is None:
            return compute()
        path = Path(self.args.keep, "-".join(map(str, (self.args.section, *key))) + ".pkl")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(compute()))
        return pickle.loads(path.read_bytes())


def load_folder(path):
    """The user's `load` module."""
    sys.path.insert(0, path)
    import load

    return load


def load_bundled():
    """scikit-learn's tables behind the same two functions."""

    class Source:
        @staticmethod
        def table(name):
            data = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
            return data.data, data.target

        @staticmethod
        def matrix(name):
            return getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)

    return Source


def is_real(frame):
    """Which columns are numbers, (D,) bool; all others, bools among them, are categories."""
    types = pd.api.types
    return np.array([types.is_numeric_dtype(t) and not types.is_bool_dtype(t) for t in frame.dtypes])


def category_indices(frame, like):
    """Floats: numbers as they are, categories as their rank among those of `like`, NaN for missing or unknown."""
    real = is_real(like)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    indices = np.empty(frame.shape)
    indices[:, real] = frame.loc[:, real].to_numpy(float)
    if not real.all():
        encoder.fit(like.loc[:, ~real])
        indices[:, ~real] = encoder.transform(frame.loc[:, ~real])
    return indices


def row(*cells):
    """Print a row of a markdown table: numbers with three decimals, NaN as a dash."""
    texts = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells]
    print("| " + " | ".join("-" if text == "nan" else text for text in texts) + " |", flush=True)


def head(*cells):
    """Print the head of a markdown table."""
    print()
    row(*cells)
    row(*["---"] * len(cells))


def spread(values):
    """Mean and, of several, standard deviation over the seeds; a dash where there is nothing."""
    if np.isnan(values).all():
        return "-"
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values):.3f}" if len(values) > 1 else "")


def whole(seconds):
    """Mean seconds without decimals."""
    return f"{np.mean(seconds):.0f}"


# ---------------------------------------------------------------- imputation


def missing_cells(n, p, share, seed):
    """Cells missing completely at random, (n, p) bool; with seed 1234 those of the MIWAE notebooks."""
    m = np.zeros(n * p, bool)
    r = np.random.RandomState(seed)
    m[r.choice(n * p, int(n * p * share), replace=False)] = True
    return m.reshape(n, p)


def imputation(run):
    """Half of the numbers missing, then a fifth of all cells of tables with categories."""
    imputation_of_numbers(run)
    if run.args.data:
        imputation_of_categories(run)


def imputation_of_numbers(run):
    """Mean squared error on the missing cells, columns standardised on the complete table."""
    names = run.names("breast_cancer", "boston", "concrete", "wine_red", "wine_white", "yeast", "banknote")
    if not names:
        return
    trees = ExtraTreesRegressor(n_estimators=100, random_state=0)
    others = {
        "mean": SimpleImputer().fit_transform,
        "5 neighbours": KNNImputer().fit_transform,
        "iterative, ridge": IterativeImputer(random_state=0).fit_transform,
        "iterative, trees": IterativeImputer(trees, random_state=0).fit_transform,  # as missForest
    }
    if is_peer(run, "miceforest"):
        others["miceforest, mean of 5"] = miceforest_means
    head("50 % missing, MSE", "rows x D", *others, "VAETransformer", "s")
    wins = sum(numbers_filled(run, name, others) for name in names)
    if not run.args.no_model:
        print(f"\nNot above the best of the others on {wins} of {len(names)} tables.")


def numbers_filled(run, name, others):
    """One table; whether the model is not above the best of the others."""
    X = StandardScaler().fit_transform(run.source.matrix(name)[0])
    missing = missing_cells(*X.shape, 0.5, run.args.mask)
    A = np.where(missing, np.nan, X)

    def error(filled):
        return float(np.mean((np.asarray(filled) - X)[missing] ** 2))

    key = name, f"mask{run.args.mask}"
    results = [run.kept(*key, k, compute=lambda o=other: error(o(A))) for k, other in others.items()]
    own, seconds = on_seeds(run, lambda seed: error(run.model(seed).fit(A).impute(A)))
    row(name, f"{X.shape[0]} x {X.shape[1]}", *results, spread(own), seconds)
    return np.mean(own) <= min(results)


def is_peer(run, package):
    """Whether peers are asked for, and this one can be imported."""
    return run.args.peers and importlib.util.find_spec(package) is not None


def miceforest_means(A):
    """The mean of five tables of miceforest, five iterations each: its draws are one by one no best guesses."""
    import miceforest

    frame = pd.DataFrame(A, columns=[f"x{d}" for d in range(A.shape[1])])
    kernel = miceforest.ImputationKernel(frame, num_datasets=5, random_state=0)
    kernel.mice(5)
    return np.mean([kernel.complete_data(m).to_numpy() for m in range(5)], axis=0)


def on_seeds(run, function):
    """Results of the model on all seeds, and mean CPU seconds; NaN where it is left out."""
    if run.args.no_model:
        return [np.nan], np.nan
    tick = time.process_time()
    results = [function(seed) for seed in run.seeds]
    return results, whole((time.process_time() - tick) / len(run.seeds))


def imputation_of_categories(run):
    """Share of right categories among the missing cells of the category columns."""
    names = run.names("adult", "mushroom")
    if names:
        others = "mode", "iterative, ridge", "boosting per column"
        head("20 % missing, accuracy", "rows x categories", *others, "VAETransformer", "s")
    for name in names:
        categories_filled(run, name)


def categories_filled(run, name):
    """One table, without constant columns: they are no question."""
    X, _ = run.source.table(name)
    X = X.loc[:, [len(X[column].unique()) > 1 for column in X]]
    missing = missing_cells(*X.shape, 0.2, run.args.mask)
    A, category = X.mask(missing), ~is_real(X)
    asked, truth = missing & X.notna().to_numpy() & category, category_indices(X, X)

    def accuracy(indices):
        return float(np.mean(indices[asked] == truth[asked]))

    others = {
        "mode": lambda: category_indices(A.fillna(A.mode().iloc[0]), X),
        "ridge": lambda: rounded_imputation(category_indices(A, X)),
        "boosting": lambda: boosted_imputation(category_indices(A, X), asked),
    }
    key = name, f"mask{run.args.mask}"
    results = [run.kept(*key, k, compute=lambda o=other: accuracy(o())) for k, other in others.items()]
    own, seconds = on_seeds(run, lambda seed: accuracy(category_indices(run.model(seed).fit(A).impute(A), X)))
    row(name, f"{len(X)} x {category.sum()}", *results, spread(own), seconds)


def rounded_imputation(indices):
    """IterativeImputer on category indices, to the next category."""
    filled = IterativeImputer(random_state=0).fit_transform(indices)
    return np.clip(np.round(filled), np.nanmin(indices, 0), np.nanmax(indices, 0))


def boosted_imputation(indices, asked):
    """A classifier for each column of categories, which takes the other columns with their missing values."""
    filled, category = indices.copy(), asked.any(0)
    for d in np.flatnonzero(category):
        X, known, imputed = np.delete(indices, d, 1), ~np.isnan(indices[:, d]), asked[:, d]
        model = HistGradientBoostingClassifier(
            categorical_features=np.delete(category, d), max_iter=50, early_stopping=False, random_state=0
        )
        filled[imputed, d] = model.fit(X[known], indices[known, d]).predict(X[imputed])
    return filled


# ---------------------------------------------------------------- synthesis


NUMBERS = "detection", "utility", "margins", "pairs", "copies", "nearer"
MOST_ROWS = 10_000  # of the training half, and of the other


def synthesis(run):
    """Real rows, shuffled columns, and rows that models make, by the numbers of `skvae.metrics.synthesis_report`.

    Half of a table is fitted, the other one held out, and as many rows are made as were fitted. Utility is the score on
    held-out rows of a model of the target that is trained on the rows; SDMetrics is its quality score. Real rows of the
    fitted half are the ceiling, shuffled columns the floor.
    """
    for name in run.names("adult", "diamonds", "california_housing", "titanic", "ames"):
        X, y = run.source.table(name)
        frame = X.assign(**{y.name: y})
        rows, n = np.random.default_rng(0).permutation(len(frame)), min(MOST_ROWS, len(frame) // 2)
        train, test = (frame.iloc[part].reset_index(drop=True) for part in (rows[:n], rows[n : 2 * n]))
        head(f"{name}, {n} rows, {y.name}", "CPU s", *NUMBERS, "SDMetrics")
        for label, method in synthesizers(run):
            made = [method(train, seed, key=(name, label, seed)) for seed in run.seeds[: method_seeds(label)]]
            numbers = np.transpose([[seconds, *judged(train, rows, test, y.name)] for seconds, rows in made])
            row(label, whole(numbers[0]), *map(spread, numbers[1:]))
    if not importlib.util.find_spec("sdmetrics"):
        print("\nsdmetrics cannot be imported: its score is left out.")


def method_seeds(label):
    """Real rows are the same for every seed, and peers take long: one seed; all others take every seed."""
    return 1 if label == "real rows" or label in PEERS else None


def synthesizers(run):
    """Names and functions (train, seed, key) -> (CPU seconds, as many rows)."""
    yield "real rows", lambda train, seed, key: (np.nan, train)
    for function in (shuffled, gaussian_copula, sequential_trees):
        label = function.__name__.replace("_", " ").replace("shuffled", "columns shuffled")
        yield label, lambda train, seed, key, f=function: run.kept(*key, compute=partial(timed, f, train, seed))
    for label, (package, function) in PEERS.items():
        if is_peer(run, package):
            yield label, lambda train, seed, key, f=function: run.kept(*key, compute=partial(timed, f, train, seed))
    if not run.args.no_model:
        yield "VAETransformer", lambda train, seed, key: timed(partial(own_rows, run.model(seed)), train, seed)


def timed(function, train, seed):
    """CPU seconds, and the rows that a function (train, seed) makes."""
    tick = time.process_time()
    rows = function(train, seed)
    return time.process_time() - tick, rows


def shuffled(frame, seed):
    """Every column in an order of its own: margins without relations."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({name: rng.permutation(column.to_numpy()) for name, column in frame.items()}).astype(
        frame.dtypes
    )


def picked(train, places):
    """Rows whose cells are those of the training rows at some places, {name: (n,) int}."""
    return pd.DataFrame({name: train[name].iloc[places[name]].array for name in train})


def gaussian_copula(train, seed):
    """Normal scores of all columns, ties in random order, and the quantiles of normal draws of their correlation."""
    rng, n = np.random.default_rng(seed), len(train)
    cells = np.nan_to_num(category_indices(train, train), nan=-np.inf)  # a missing cell comes first
    orders = np.stack([np.lexsort((rng.random(n), column)) for column in cells.T], 1)
    scores = norm.ppf((np.argsort(orders, axis=0) + 0.5) / n)
    draws = rng.multivariate_normal(np.zeros(scores.shape[1]), np.corrcoef(scores.T), n, method="eigh")
    ranks = np.minimum(norm.cdf(draws) * n, n - 1).astype(int)
    return picked(train, {name: orders[ranks[:, d], d] for d, name in enumerate(train)})


def sequential_trees(train, seed):
    """Column after column, the cell of a training row in the same leaf of a tree on the columns before (synthpop)."""
    rng, n = np.random.default_rng(seed), len(train)
    cells, real = category_indices(train, train), is_real(train)
    places = {train.columns[0]: rng.integers(n, size=n)}
    made = cells[places[train.columns[0]], :1]
    for d, name in enumerate(train.columns[1:], start=1):
        kind = DecisionTreeRegressor if real[d] else DecisionTreeClassifier
        y = np.nan_to_num(cells[:, d], nan=np.nanmin(cells[:, d]) - 1)
        tree = kind(min_samples_leaf=5, random_state=seed).fit(cells[:, :d], y)
        leaf, own = tree.apply(cells[:, :d]), tree.apply(made)
        order = np.argsort(leaf, kind="stable")
        first, last = (np.searchsorted(leaf[order], own, side) for side in ("left", "right"))
        places[name] = order[first + (rng.random(n) * (last - first)).astype(int)]
        made = np.column_stack([made, cells[places[name], d]])
    return picked(train, places)


def tvae(train, seed):
    """TVAE with its defaults, 300 epochs; its numbers are rounded to the decimals of the table."""
    from ctgan import TVAE

    model = TVAE()
    model.set_random_state(seed)
    model.fit(train, list(train.columns[~is_real(train)]))
    return rounded(model.sample(len(train)), train)


def arf_rows(train, seed):
    """Adversarial random forests (Watson et al. 2023) with their defaults, of complete rows, which is all they take."""
    from arfpy import arf

    complete, real = train.dropna().reset_index(drop=True), is_real(train)
    kinds = {name: float if number else str for name, number in zip(train, real, strict=True)}
    text = complete.astype(kinds).astype(dict.fromkeys(train.columns[~real], object))
    np.random.seed(seed)  # noqa: NPY002, its draws are numpy's global ones
    model = arf.arf(x=text, random_state=seed, verbose=False)
    model.forde()
    return rounded(model.forge(n=len(train)).astype(kinds), train)


def forest_diffusion(train, seed):
    """ForestDiffusion (Jolicoeur-Martineau et al. 2024) with its defaults; a missing category is a level of its own.

    Integers are rounded afterwards, as all numbers are.
    """
    from ForestDiffusion import ForestDiffusionModel

    cells, real = category_indices(train, train), is_real(train)
    sizes = train.loc[:, ~real].nunique().to_numpy()
    cells[:, ~real] = np.where(np.isnan(cells[:, ~real]), sizes, cells[:, ~real])
    n_levels = [len(np.unique(column)) for column in cells.T]
    categories = [d for d in np.flatnonzero(~real).tolist() if n_levels[d] > 1]
    np.random.seed(seed)  # noqa: NPY002, its draws are numpy's global ones
    model = ForestDiffusionModel(
        cells,
        bin_indexes=[d for d in categories if n_levels[d] == 2],
        cat_indexes=[d for d in categories if n_levels[d] > 2],
        n_jobs=1,
        seed=seed,
    )
    return rounded(with_levels(model.generate(batch_size=len(train)), train), train)


def with_levels(indices, like):
    """The opposite of `category_indices`: a frame, of which an index beyond the levels is a missing category."""
    made = pd.DataFrame(indices, columns=like.columns)
    for name in like.columns[~is_real(like)]:
        levels = np.append(np.sort(like[name].dropna().unique()).astype(object), np.nan)
        made[name] = levels[made[name].round().clip(0, len(levels) - 1).astype(int)]
    return made


PEERS = {
    "arfpy": ("arfpy", arf_rows),
    "ForestDiffusion": ("ForestDiffusion", forest_diffusion),
    "TVAE": ("ctgan", tvae),
}


def own_rows(model, train, seed):
    """Rows of VAETransformer, with missing cells as in the table."""
    return model.fit(train).sample(len(train), random_state=seed, missing=True)


def judged(train, rows, test, target):
    """The numbers of the report, and SDMetrics' score; of the training rows those of real rows."""
    report = synthesis_report(train, test, rows, target)
    numbers = report.real if rows is train else report.made
    return *(numbers[name] for name in NUMBERS), quality(rows, test)


def rounded(rows, like):
    """Numbers with as many decimals as in the real table: without them a single column may tell a synthetic row."""
    numbers = like.loc[:, is_real(like)].dropna()
    return rows.round({name: next(k for k in range(16) if x.equals(x.round(k))) for name, x in numbers.items()})


def boosting(category, classes=True):
    """Gradient boosting that knows which columns are categories."""
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(categorical_features=category, random_state=0)


def quality(rows, test):
    """SDMetrics' quality score: margins and pairs of columns; NaN without the package."""
    if not importlib.util.find_spec("sdmetrics"):
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its successor wants the metadata of several tables
        from sdmetrics.reports.single_table import QualityReport
    kinds = {name: "numerical" if real else "categorical" for name, real in zip(test, is_real(test), strict=True)}
    report = QualityReport()
    metadata = {"columns": {name: {"sdtype": kind} for name, kind in kinds.items()}}
    report.generate(test, rows, metadata, verbose=False)
    return report.get_score()


# ---------------------------------------------------------------- novelty


def novelty(run):
    """AUC of rows of other classes among new rows of the fitted one, mean over the classes of 50 rows or more."""
    names = run.names("breast_cancer", "wine", "ionosphere", "segment", "satimage", "spambase", "banknote")
    others = {
        "5 neighbours": neighbours,
        "IsolationForest": lambda A, B: IsolationForest(random_state=0).fit(A).score_samples(B),
        "ECOD": ecod,
        "Gaussian mixture": lambda A, B: GaussianMixture(5, reg_covar=FLOOR, random_state=0).fit(A).score_samples(B),
        "OneClassSVM": lambda A, B: OneClassSVM().fit(A).score_samples(B),
    }
    head("AUC", "rows x D", *others, "VAEOutlierDetector", "s")
    for name in names:
        X, y = run.source.matrix(name)
        classes, counts = np.unique(y, return_counts=True)
        tasks = [one_class(X, y == c) for c in classes[counts >= 50]] if len(classes) <= 10 else []
        if not tasks:
            continue
        results = [
            run.kept(name, k, compute=lambda o=other, t=tasks: float(np.mean([auc(o, *task) for task in t])))
            for k, other in others.items()
        ]
        own, seconds = on_seeds(run, partial(own_auc, run, tasks))
        row(name, f"{X.shape[0]} x {X.shape[1]}", *results, spread(own), seconds)


def own_auc(run, tasks, seed):
    """Mean AUC of the detector."""
    return np.mean([auc(partial(own_scores_of_rows, run.model(seed)), *task) for task in tasks])


def one_class(X, is_usual):
    """Standardised rows of a class to fit, others of it with all of other classes, and which of these are odd."""
    fitted, held_out = train_test_split(X[is_usual], test_size=0.5, random_state=0)
    scaler, odd = StandardScaler().fit(fitted), X[~is_usual]
    test = np.concatenate([held_out, odd])
    return scaler.transform(fitted), scaler.transform(test), np.arange(len(test)) >= len(held_out)


def auc(method, A, B, is_odd):
    """How well the scores of a method (A, B) tell the odd rows of B."""
    return roc_auc_score(is_odd, -method(A, B))


def neighbours(A, B):
    """Minus the mean distance to the five nearest fitted rows."""
    return -NearestNeighbors(n_neighbors=5).fit(A).kneighbors(B)[0].mean(1)


def ecod(A, B):
    """Minus the summed surprise of the tails of the columns' distribution functions (Li et al. 2022)."""
    n, A = len(A), np.sort(A, 0)
    left, right = np.empty(B.shape), np.empty(B.shape)
    for d in range(A.shape[1]):
        left[:, d] = -np.log((np.searchsorted(A[:, d], B[:, d], "right") + 1) / (n + 1))
        right[:, d] = -np.log((n - np.searchsorted(A[:, d], B[:, d], "left") + 1) / (n + 1))
    by_skew = np.where(skew(A) < 0, left, right)
    return -np.max([left.sum(1), right.sum(1), by_skew.sum(1)], axis=0)


def own_scores_of_rows(model, A, B):
    """Scores of VAEOutlierDetector."""
    return VAEOutlierDetector(model, random_state=model.random_state).fit(A).score_samples(B)


# ---------------------------------------------------------------- density


class Cells:
    """Rows as statistics T(x): presence, x and x^2 of standardised numbers, one-hot categories; 0 where missing.

    A product of Gaussians and categoricals has the log-density T(x)·theta, and its M-step needs mean statistics only.
    """

    def __init__(self, frame, real):
        self.real, self.frame = real, frame
        numbers = frame.loc[:, real].to_numpy(float)
        self.shift, self.scale = np.nanmean(numbers, 0), np.nanstd(numbers, 0)
        self.scale[self.scale == 0] = 1
        self.sizes = frame.loc[:, ~real].nunique().to_numpy()

    def statistics(self, frame):
        """T(x), (n, 3 R + sum C), and the log-Jacobian of the standardisation, (n,)."""
        x = (frame.loc[:, self.real].to_numpy(float) - self.shift) / self.scale
        present, x = ~np.isnan(x), np.nan_to_num(x)
        indices = category_indices(frame, self.frame)[:, ~self.real]
        one_hot = [indices[:, [d]] == np.arange(C) for d, C in enumerate(self.sizes)]
        return np.concatenate([present, x, x**2, *one_hot], axis=1, dtype=float), -(present @ np.log(self.scale))

    def parameters(self, totals):
        """The theta of each member, (3 R + sum C, M), from its totals of T, (M, 3 R + sum C)."""
        count, first, second, *rest = np.split(totals, self.splits(), axis=1)
        count = np.maximum(count, np.finfo(float).tiny)
        mean = first / count
        variance = np.maximum(second / count - mean**2, FLOOR)
        theta = [-0.5 * (np.log(2 * np.pi * variance) + mean**2 / variance), mean / variance, -0.5 / variance]
        theta += [np.log((part + 1) / (part + 1).sum(1, keepdims=True)) for part in rest]  # add-one smoothing
        return np.concatenate(theta, axis=1).T

    def splits(self):
        """Where the blocks of T end."""
        R = int(self.real.sum())
        return np.cumsum([R, R, R, *self.sizes])[:-1]


class Mixture:
    """sum_m w_m prod_d p_m(x_d) by EM from k-means; missing cells are left out. One member is independent columns."""

    def __init__(self, cells, n_members, seed):
        self.cells, self.n_members, self.seed = cells, n_members, seed

    def fit(self, T, n_iter=200, tol=1e-3):
        """EM until the mean log-likelihood gains less than `tol` nats."""
        r, last = self._start(T), -np.inf
        for _ in range(n_iter):
            self.log_weight = np.log((r.sum(0) + 1) / (len(T) + self.n_members))
            self.theta = self.cells.parameters(r.T @ T)
            joint = T @ self.theta + self.log_weight
            log_px = logsumexp(joint, axis=1)
            if log_px.mean() - last < tol:
                break
            r, last = np.exp(joint - log_px[:, None]), log_px.mean()
        return self

    def _start(self, T):
        """Responsibilities of the clusters of a few thousand rows, softened."""
        features = np.delete(T, np.s_[: self.cells.real.sum()], axis=1)
        features[:, self.cells.real.sum() : 2 * self.cells.real.sum()] = 0  # no squares
        start = KMeans(self.n_members, n_init=3, random_state=self.seed).fit(features[:5000])
        return 0.9 * (start.predict(features)[:, None] == np.arange(self.n_members)) + 0.1 / self.n_members

    def log_density(self, T):
        """ln p of standardised rows, (n,)."""
        return logsumexp(T @ self.theta + self.log_weight, axis=1)


def density(run):
    """Held-out mean log-density per row in data space; log-mass of the categories."""
    names = run.names("adult", "titanic", "penguins", "california_housing")
    if names:
        head("nats per row", "rows x D", "independent", "mixture", "members", "ELBO", "100 draws", "gain", "s")
    for name in names:
        X, _ = run.source.table(name)
        own, others, seconds = [], [], []
        for seed in run.seeds:
            A, B = train_test_split(X, test_size=0.2, random_state=seed)
            B = known_only(B, A)
            others.append(run.kept(name, "mixture", seed, compute=partial(mixture_scores, A, B, seed)))
            tick = time.process_time()
            own.append((np.nan, np.nan) if run.args.no_model else own_scores(run.model(seed), A, B))
            seconds.append(time.process_time() - tick)
        (independent, mixture, _), (elbo, draws) = np.transpose(others), np.transpose(own)
        members = ", ".join(f"{o[2]:.0f}" for o in others)
        texts = [spread(values) for values in (independent, mixture, elbo, draws, draws - mixture)]
        row(name, f"{len(X)} x {X.shape[1]}", *texts[:2], members, *texts[2:], whole(seconds))


def known_only(B, A):
    """Categories of B that A lacks are missing: nobody can say what their mass is."""
    return B.assign(**{name: B[name].where(B[name].isin(A[name].dropna())) for name in A.columns[~is_real(A)]})


def own_scores(model, A, B):
    """The bound, and the importance-sampled one, after a look at what the model takes for a number."""
    model.fit(A)
    numbers = [not model.likelihoods_[name].support.is_discrete for name in A]
    other = [name for name, a, b in zip(A, numbers, is_real(A), strict=True) if a != b]
    if other:
        raise SystemExit(f"Not on the same measure as the baselines: {other}.")
    return model.score(B), float(np.mean(model.score_samples(B, n_importance_samples=100)))


def mixture_scores(A, B, seed, most=20):
    """Held-out scores of independent columns and of a mixture, and its members, chosen on a tenth of the rows of A."""
    inner, valid = train_test_split(A, test_size=0.1, random_state=seed)
    scores = [mixture_score(inner, known_only(valid, inner), m, seed) for m in range(1, most + 1)]
    members = int(np.argmax(scores)) + 1
    return mixture_score(A, B, 1, seed), mixture_score(A, B, members, seed), members


def mixture_score(A, B, n_members, seed):
    """Mean log-density of B under a mixture of A."""
    cells = Cells(A, is_real(A))
    model = Mixture(cells, n_members, seed).fit(cells.statistics(A)[0])
    T, log_jacobian = cells.statistics(B)
    return float(np.mean(model.log_density(T) + log_jacobian))


# ---------------------------------------------------------------- codes


def codes(run):
    """Five-fold accuracy or R2 of two models on ten codes, fitted inside the folds."""
    names = run.names("adult", "california_housing", "ames")
    if names:
        head("10 codes", "", "gradient boosting", "linear", "s")
    for name in names:
        X, y = run.source.table(name)
        X, y, keep = X[y.notna()], y[y.notna()], partial(run.kept, name)
        usual = ColumnsAsUsual(X)
        for label, encoder in {"no reduction": usual, "PCA": make_pipeline(usual, PCA(10, random_state=0))}.items():
            *scores, seconds = keep(label, compute=partial(probed, encoder, X, y))
            row(name, label, *scores, whole(seconds))
        if run.args.no_model:
            continue
        weights = {"VAETransformer": {}}
        if run.args.weights:
            weights["VAETransformer, categories weighted 1 / ln C"] = {"column_weights": category_weights(X)}
        for label, settings in weights.items():
            numbers = np.array([probed(run.model(seed, **settings), X, y) for seed in run.seeds])
            row(name, label, *map(spread, numbers.T[:2]), whole(numbers[:, 2]))


def ColumnsAsUsual(X):
    """Numbers imputed and standardised, categories one-hot, a missing one as its own."""
    real = is_real(X)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_column_transformer((numbers, X.columns[real]), (one_hot, X.columns[~real]))


def category_weights(X):
    """1 / ln C for every column of categories."""
    counts = X.loc[:, ~is_real(X)].nunique()
    return {name: 1 / np.log(C) for name, C in counts.items() if C > 1}


def probed(encoder, X, y):
    """Mean scores of gradient boosting and of a linear model on codes, and CPU seconds of an encoder's fit."""
    classes = not pd.api.types.is_numeric_dtype(y) or y.nunique() <= 10
    y = y.to_numpy()
    folds = (StratifiedKFold if classes else KFold)(5, shuffle=True, random_state=0)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000) if classes else Ridge())
    scores = []
    for train, test in folds.split(X, y):
        tick = time.process_time()
        encoder.fit(X.iloc[train])
        seconds = time.process_time() - tick
        A, B = (np.asarray(encoder.transform(X.iloc[part])) for part in (train, test))
        scores.append([m.fit(A, y[train]).score(B, y[test]) for m in (boosting(None, classes), linear)] + [seconds])
    return tuple(map(float, np.mean(scores, 0)))


# ---------------------------------------------------------------- maps


MOST_MAPPED = 2000  # rows fitted, and as many held out: Isomap and trustworthiness go by pairs


def maps(run):
    """Two components of standardised columns: five neighbours on the map of held-out rows, and trustworthiness there.

    Accuracy is that of five fitted neighbours on the map for the class of a held-out row; trustworthiness says how many
    of the 10 neighbours of a held-out row on the map are its neighbours in the table, too.
    """
    names = run.names("breast_cancer", "wine", "banknote", "segment", "satimage", "ionosphere", "digits")
    others = {
        "PCA": lambda seed: PCA(2, random_state=seed),
        "Isomap": lambda seed: Isomap(n_components=2, n_neighbors=10),
    }
    if is_peer(run, "umap"):
        others["UMAP"] = umap_of
    labels = [*others, "VAETransformer"]
    head("5 neighbours / trustworthiness", "rows x D", *labels, "s")
    for name in names:
        X, y = run.source.matrix(name)
        rows = np.random.default_rng(0).permutation(len(X))[: 2 * MOST_MAPPED]
        parts = np.array_split(rows, 2)
        scaler = StandardScaler().fit(X[parts[0]])
        table = [scaler.transform(X[part]) for part in parts], [y[part] for part in parts]
        cells = [
            run.kept(name, k, compute=lambda o=other, t=table: [mapped(o(s), *t) for s in run.seeds])
            for k, other in others.items()
        ]
        own, seconds = on_seeds(run, lambda seed, t=table: mapped(run.model(seed, n_components=2), *t))
        own = [(np.nan, np.nan)] if run.args.no_model else own
        row(
            name,
            f"{len(rows)} x {X.shape[1]}",
            *(" / ".join(map(spread, np.transpose(c))) for c in [*cells, own]),
            seconds,
        )


def umap_of(seed):
    """UMAP with its defaults."""
    from umap import UMAP

    return UMAP(random_state=seed, n_jobs=1)


def mapped(mapper, X, y):
    """Accuracy of five neighbours and trustworthiness of a map that is fitted to X[0], of the rows X[1]."""
    fitted, held_out = mapper.fit(X[0]).transform(X[0]), mapper.transform(X[1])
    accuracy = KNeighborsClassifier(5).fit(fitted, y[0]).score(held_out, y[1])
    return float(accuracy), float(trustworthiness(X[1], held_out, n_neighbors=10))


# ---------------------------------------------------------------- command line


def machine():
    """Machine, date and versions, one line."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        cpu = ", ".join(f"{count} x {name}" for name, count in Counter(names).items())
    versions = [f"Python {platform.python_version()}"]
    for package in ("skvae", "torch", "scikit-learn", "numpy", "pandas", *PEER_PACKAGES):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{cpu}; {datetime.date.today()}; {', '.join(versions)}."


def main():
    """Print one section."""
    sections = {function.__name__: function for function in (imputation, synthesis, novelty, density, codes, maps)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=sections)
    parser.add_argument("--data", help="folder with load.py")
    parser.add_argument("--tables", help="names, with commas")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--mask", type=int, default=1234, help="seed of the missing cells")
    parser.add_argument("--peers", action="store_true", help="packages that can be imported beside the others")
    parser.add_argument("--weights", action="store_true", help="codes with categories weighted, too")
    parser.add_argument("--no-model", action="store_true", help="baselines and peers alone")
    parser.add_argument("--keep", help="folder for results of baselines and peers")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")
    print(machine())
    sections[args.section](Run(args))


if __name__ == "__main__":
    main()
