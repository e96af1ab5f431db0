"""Whether intervals from `impute(n_draws=...)` hold what they promise: how many true values lie between two quantiles.

    python docs/benchmarks/coverage.py [--data PATH] [--tables a,b] [--patterns a,b] [--all] [--init NAME]
        [--components K] [--draws 100] [--set PARAMETER=VALUE ...]
    python docs/benchmarks/coverage.py --pooled 500 [--set PARAMETER=VALUE ...]

Cells of a complete table are taken out, the model of the guide to missing values is fitted to the rest, and the share
of the hidden cells is counted that lie between the 5 % and the 95 % quantile of their draws. A calibrated model has
0.9; one that is too sure of itself has less. Ten pairs of table and pattern are printed, with `--all` every pair. PATH
is a folder with a `load.py` that offers `matrix(name)`, a complete table of numbers; `--tables` names tables there.

Patterns: `mcar20` and `mcar50`, every cell with the same probability; `mar`, each column of the second half the more
often the larger (or the smaller) a column of the first half, which stays complete; `blocks`, a third of the rows lack a
third of the columns, another third another one.

`--pooled N` is a simulation instead: in N tables of 200 rows, three columns and a target that is linear in them, the
coefficients of least squares are pooled over five imputed tables by `multiple_imputation`, each from a model of its own
that is fitted to rows drawn with replacement: the linear one that `VAETransformer` begins with, `max_iter=0`. Printed
is how many of the 90 % intervals hold the true coefficients, with a fifth of the cells missing at random places, or two
columns missing depending on the target.
"""

import argparse
import ast
import time
import warnings

import numpy as np
import sklearn.datasets
from scipy.special import expit
from tables import load_folder, machine

from skvae import VAEImputer, VAETransformer, multiple_imputation

BUNDLED = ("iris", "wine", "diabetes", "breast_cancer")
PAIRS = [
    ("iris", "mcar20"),
    ("iris", "blocks"),
    ("wine", "mcar50"),
    ("wine", "mar"),
    ("diabetes", "blocks"),
    ("breast_cancer", "mcar20"),
    ("factors", "mcar20"),
    ("factors", "mcar50"),
    ("curved", "mar"),
    ("groups", "mcar20"),
]
MOST_ROWS = 2000
LEAST_HIDDEN = 400
TRUE = np.array([1.0, 1.0, -1.0, 0.5])  # intercept and coefficients of the simulation


def factors(rng, n=600):
    """Six columns of two factors and noise of different sizes."""
    loadings = rng.normal(size=(2, 6))
    return rng.normal(size=(n, 2)) @ loadings + rng.normal(size=(n, 6)) * np.linspace(0.3, 1.0, 6)


def curved(rng, n=600):
    """Six columns that bend with one variable, with noise."""
    t = rng.uniform(-2, 2, (n, 1))
    signal = np.hstack([t, t**2, np.sin(2 * t), np.exp(t / 2), np.abs(t), t**3 / 4])
    return signal + 0.2 * rng.normal(size=(n, 6))


def groups(rng, n=600):
    """Seven columns of three groups, correlated within each."""
    centres, mixing = 2 * rng.normal(size=(3, 7)), rng.normal(size=(3, 7, 7)) / 2
    which = rng.integers(0, 3, n)
    return centres[which] + np.einsum("nd,nde->ne", rng.normal(size=(n, 7)), mixing[which])


MADE = {function.__name__: function for function in (factors, curved, groups)}


def table(name, folder):
    """A complete table of numbers, at most 2000 rows of it; constant columns are left out."""
    if folder is not None:
        X = folder.matrix(name)[0]
    elif name in MADE:
        X = MADE[name](np.random.default_rng(1))
    else:
        X = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)[0]
    X = X[np.random.default_rng(0).permutation(len(X))[:MOST_ROWS]]
    return X[:, X.std(0) > 0]


def uniform(X, rng, share):
    """Every cell with the same probability, but one cell of each row stays."""
    hidden = rng.random(X.shape) < share
    hidden[np.arange(len(X)), rng.integers(0, X.shape[1], len(X))] = False
    return hidden


def at_random(X, rng):
    """Columns of the second half by the standardised columns of the first half, about 30 % of their cells."""
    half = X.shape[1] // 2
    Z = (X - X.mean(0)) / X.std(0)
    hidden = np.zeros(X.shape, bool)
    for d in range(half, X.shape[1]):
        hidden[:, d] = rng.random(len(X)) < expit(1.5 * rng.choice([-1, 1]) * Z[:, d - half] - 1.1)
    return hidden


def blocks(X, rng):
    """A third of the rows lacks the second third of the columns, another third the last one."""
    which, third = rng.integers(0, 3, len(X)), np.arange(X.shape[1]) * 3 // X.shape[1]
    return (which[:, None] > 0) & (third == which[:, None])


PATTERNS = {
    "mcar20": lambda X, rng: uniform(X, rng, 0.2),
    "mcar50": lambda X, rng: uniform(X, rng, 0.5),
    "mar": at_random,
    "blocks": blocks,
}


def measured(X, pattern, args):
    """Coverage, number of hidden cells, error of the means over the columns' deviations, least and median noise.

    Small tables are hidden, and fitted, again until 400 cells have been hidden: the coverage is known to 0.015 then.
    """
    results, n_hidden = [], 0
    while n_hidden < LEAST_HIDDEN:
        hidden = PATTERNS[pattern](X, np.random.default_rng(len(results) + 2))
        results.append(of_one_mask(X, hidden, args))
        n_hidden += hidden.sum()
    inside, squares, least, median = (np.hstack(parts) for parts in zip(*results, strict=True))
    return inside.mean(), n_hidden, np.sqrt(squares.mean()), least.min(), median.mean()


def of_one_mask(X, hidden, args):
    """Of the hidden cells whether they are inside and the squared errors; least and median noise of the columns."""
    settings = {"n_components": args.components, "init": args.init, "random_state": 0, **args.settings}
    incomplete = np.where(hidden, np.nan, X)
    vae = VAETransformer(**settings).fit(incomplete)
    draws = vae.impute(incomplete, n_draws=args.draws, random_state=0)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0, method="weibull")  # in n draws, other rules hold less than 0.9
    noise = vae.noise_variance_ / X.var(0)
    squares = np.square((vae.impute(incomplete) - X) / X.std(0))
    return ((low <= X) & (high >= X))[hidden], squares[hidden], noise.min(), np.median(noise)


def simulated(rng, pattern, n=200):
    """Rows of three correlated columns with missing cells, and the target."""
    X = rng.normal(size=(n, 3))
    X[:, 1] += 0.5 * X[:, 0]
    X[:, 2] += 0.5 * X[:, 1]
    signal = X @ TRUE[1:] + rng.normal(size=n)
    if pattern == "mcar":
        hidden = rng.random(X.shape) < 0.2
    else:
        hidden = rng.random(X.shape) < expit(np.outer(signal, [0, 1, -1]) - 0.8) * [0, 1, 1]
    return np.where(hidden, np.nan, X), TRUE[0] + signal


def least_squares(X, y):
    """Intercept and coefficients, and their variances."""
    A = np.column_stack([np.ones(len(X)), X])
    coefficients = np.linalg.lstsq(A, y)[0]
    noise = np.square(y - A @ coefficients).sum() / (len(y) - A.shape[1])
    return coefficients, noise * np.diag(np.linalg.inv(A.T @ A))


def pooled(n_repetitions, patterns, settings):
    """Print a row for each pattern: share of intervals that hold the truth, errors and standard errors."""
    print("| pattern | coverage | by coefficient | bias | deviation | standard error | seconds |")
    print("| --- |" + " --- |" * 6)
    imputer = VAEImputer(VAETransformer(**{"max_iter": 0, **settings}))
    for pattern in patterns:
        start, found = time.perf_counter(), []
        for seed in range(n_repetitions):
            X, y = simulated(np.random.default_rng(seed), pattern)
            found.append(multiple_imputation(least_squares, X, y, imputer=imputer, n_draws=5, random_state=seed))
        inside = np.array([(np.array(p.interval(0.9)) - TRUE).prod(0) <= 0 for p in found]).mean(0)
        estimates = np.array([p.estimates for p in found])
        errors = np.mean([p.standard_errors for p in found], 0)
        numbers = inside, estimates.mean(0) - TRUE, estimates.std(0), errors
        texts = [", ".join(f"{value:.3f}" for value in own) for own in numbers]
        seconds = f"{time.perf_counter() - start:.0f}"
        print(f"| {pattern} | {inside.mean():.3f} | {' | '.join(texts)} | {seconds} |", flush=True)


def pairs(args):
    """The pairs of table and pattern to measure."""
    if not (args.all or args.tables or args.patterns or args.data):
        return PAIRS
    names = args.tables.split(",") if args.tables else [*BUNDLED, *MADE]
    patterns = args.patterns.split(",") if args.patterns else list(PATTERNS)
    return [(name, pattern) for name in names for pattern in patterns]


def main():
    """Print one row for each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with load.py")
    parser.add_argument("--tables", help="names, with commas")
    parser.add_argument("--patterns", help="names, with commas")
    parser.add_argument("--all", action="store_true", help="every table with every pattern")
    parser.add_argument("--init", default="factor_analysis")
    parser.add_argument("--components", type=int, default=5)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--pooled", type=int, metavar="N", help="repetitions of the simulation")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="settings")
    args = parser.parse_args()
    args.settings = {name: ast.literal_eval(value) for name, value in (s.split("=", 1) for s in args.settings)}
    folder = load_folder(args.data) if args.data else None
    warnings.simplefilter("default")  # the same warning of another table counts, too
    print(machine(), end="\n\n")
    if args.pooled:
        pooled(args.pooled, args.patterns.split(",") if args.patterns else ("mcar", "mar"), args.settings)
        return
    print(
        "| table | rows | columns | pattern | hidden cells | coverage | error | least noise | median noise | seconds |"
    )
    print("| --- |" + " --- |" * 9)
    for name, pattern in pairs(args):
        X = table(name, folder)
        start = time.perf_counter()
        coverage, n, error, least, median = measured(X, pattern, args)
        seconds = time.perf_counter() - start
        print(f"| {name} | {len(X)} | {X.shape[1]} | {pattern} | {n} | {coverage:.3f} | {error:.2f} | {least:.4f} | "
              f"{median:.3f} | {seconds:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
