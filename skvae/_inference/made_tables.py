"""Made rows against real ones: how well they are told apart, what they are good for, and how near they lie.

Tables are numbers here, one per cell (n, D): category indices among them, NaN for missing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from .._tables.assignment import position
from .._tables.encoding import encode
from .._tables.intake import as_table
from .._tables.schema import Schema
from .._tables.union import union
from .._utils.progress import progress

__all__ = ["LEAST_ROWS", "SynthesisReport", "report_on"]

#: Of a table.
LEAST_ROWS = 20
_N_FOLDS = 5
_N_BINS = 10  # of a column, where pairs are compared
_MOST_LEVELS = 255  # that gradient boosting takes of a category
_LEAF = 20  # rows at least on either side of a split of a tree
_MOST_QUERIES, _AT_ONCE = 2000, 250  # rows whose neighbours are looked for


@dataclass(frozen=True, eq=False)
class SynthesisReport:
    """Numbers about synthetic rows, each beside its value for real rows in their place.

    Printing it gives a table of them.

    Parameters
    ----------
    made, real : dict of str -> float
        Numbers of the synthetic rows, and of real ones in their place. "detection" is the AUC of a classifier that
        tells them from held-out rows, 0.5 if it cannot; "margins" and "pairs" are mean distances of columns and of
        pairs of columns to those of held-out rows, from 0 to 1; "copies" is the share of rows that are exact copies of
        a training row; "nearer" the share of rows that are nearer to a training row than to a held-out one, 0.5 if
        nothing is memorised. With a target, "utility" is the score on held-out rows of a model that is trained on the
        rows.
    margins, real_margins : dict of column -> float
        The distance of each column: the largest difference of two distribution functions for numbers, half the summed
        differences of shares for categories.
    utility_metric : {"R2", "AUC", "accuracy"} or None
        What "utility" is; None without a target.

    See Also
    --------
    skvae.metrics.synthesis_report : Compute one.
    skvae.display.SynthesisDisplay : Draw one.

    Examples
    --------
    >>> from skvae.metrics import SynthesisReport
    >>> print(SynthesisReport({"detection": 0.71}, {"detection": 0.5}, {"age": 0.03}, {"age": 0.02}))
                  made   real
    detection    0.710  0.500
    """

    made: dict[str, float]
    real: dict[str, float]
    margins: dict[Any, float]
    real_margins: dict[Any, float]
    utility_metric: str | None = None

    def __str__(self) -> str:
        lines = [f"{name:<12}{self.made[name]:>6.3f}  {self.real[name]:>5.3f}" for name in self.made]
        return "\n".join([f"{'made':>18}{'real':>7}", *lines])


def report_on(
    real_train: Any,
    real_test: Any,
    made: Any,
    target: Any = None,
    max_rows: int = 10_000,
    seed: int = 0,
    verbose: int = 0,
) -> SynthesisReport:
    """Compare tables; `skvae.metrics.synthesis_report` explains the parameters."""
    schema, tables = _encoded({"real_train": real_train, "real_test": real_test, "made": made})
    rng = np.random.default_rng(seed)
    train, test, rows = (table[rng.permutation(len(table))[:max_rows]] for table in tables)
    question = None
    if target is not None:
        learned = {"real_train": train, "made": rows}
        question = _Question.of(schema, position(schema, target, "target"), test, learned)
    found, columns = _measured(schema, (train, test, rows), question, seed, verbose)
    labels = [schema.label(d) for d in range(len(schema.kinds))]
    of_made, of_real = (dict(zip(labels, own.tolist(), strict=True)) for own in columns)
    return SynthesisReport(
        {name: float(pair[0]) for name, pair in found.items()},
        {name: float(pair[1]) for name, pair in found.items()},
        of_made,
        of_real,
        None if question is None else question.metric,
    )


def _measured(
    schema: Schema, tables: tuple[np.ndarray, ...], question: "_Question | None", seed: int, verbose: int
) -> tuple[dict[str, tuple[float, float]], tuple[np.ndarray, np.ndarray]]:
    """Each number of made and of real rows, and the distance of each column; of (training, held-out, made) rows."""
    train, test, rows = tables
    say: Callable[[str], None] = print if verbose == 1 else lambda line: None
    found: dict[str, tuple[float, float]] = {}
    columns: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))
    steps: dict[str, Callable[[np.ndarray], Any]] = {
        "detection": lambda own: _detection(schema, own, test, seed),
        "margins": lambda own: _margins(schema, own, test),
        "pairs": lambda own: _pairs(schema, own, test, train),
        "copies": lambda own: _copies(own, train),
    }
    if question is not None:
        steps["utility"] = question.score
    half = len(test) // 2
    with progress(verbose, "synthesis_report", 2 * len(steps) + 2, "numbers") as told:
        for name, step in steps.items():
            start, pair = time.perf_counter(), []
            for own in (rows, test if name == "copies" else train):
                pair.append(step(own))
                told(1)
            if name == "margins":
                columns, pair = (pair[0], pair[1]), [own.mean() for own in pair]
            found[name] = pair[0], pair[1]
            say(f"{name}: {pair[0]:.3f}, of real rows {pair[1]:.3f} ({time.perf_counter() - start:.1f} s)")
        found["nearer"] = _nearer(schema, rows, train, test), _nearer(schema, test[:half], train, test[half:])
        told(2)
        say(f"nearer: {found['nearer'][0]:.3f}, of real rows {found['nearer'][1]:.3f}")
    return found, columns


def _encoded(given: dict[str, Any]) -> tuple[Schema, list[np.ndarray]]:
    """The schema of all tables together, and each as numbers (n, D)."""
    tables = {name: as_table(table, name) for name, table in given.items()}
    schema: Any = None
    for name, table in tables.items():
        try:
            own = Schema.learn(table)
            schema = own if schema is None else union(schema, own)
        except ValueError as error:
            raise ValueError(f"{name} does not go with the tables before it. {error}") from error
    encoded = [encode(schema, table) for table in tables.values()]
    for name, rows in zip(tables, encoded, strict=True):
        if len(rows) < LEAST_ROWS:
            raise ValueError(f"{name} has {len(rows)} rows, too few to compare: give {LEAST_ROWS} or more.")
    return schema, encoded


def _are_categories(schema: Schema) -> np.ndarray:
    """Which columns hold categories, (D,) bool."""
    return np.array([kind == "category" for kind in schema.kinds])


# ---------------------------------------------------------------- detection and utility


def _for_trees(X: np.ndarray, schema: Schema, like: np.ndarray) -> np.ndarray:
    """Rows (n, D) in which levels beyond the commonest 254 of `like` are one."""
    X = X.copy()
    for d in schema.levels:
        if len(schema.levels[d]) > _MOST_LEVELS:
            common = np.bincount(like[~np.isnan(like[:, d]), d].astype(int)).argsort()[::-1][: _MOST_LEVELS - 1]
            place = np.full(len(schema.levels[d]) + 1, _MOST_LEVELS - 1.0)
            place[common], place[-1] = np.arange(len(common)), np.nan  # a missing cell has the index -1 for a moment
            X[:, d] = place[np.nan_to_num(X[:, d], nan=-1).astype(int)]
    return X


def _readable(X: np.ndarray) -> np.ndarray:
    """Rows to learn from (n, D), with 0 in columns of so few cells that no tree splits on them.

    Gradient boosting cannot read a column without a cell, nor one whose few cells it sets aside to stop by.
    """
    return np.where((~np.isnan(X)).sum(0) < _LEAF, 0.0, X)


def _detection(schema: Schema, rows: np.ndarray, test: np.ndarray, seed: int) -> float:
    """AUC of gradient boosting that tells rows from held-out ones, as many of each, mean over five folds."""
    n = min(len(rows), len(test))
    X, y = _for_trees(np.concatenate([test[:n], rows[:n]]), schema, test), np.repeat([0, 1], n)
    folds = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=seed)
    model = HistGradientBoostingClassifier(
        min_samples_leaf=_LEAF, categorical_features=_are_categories(schema), random_state=seed
    )
    scores = []
    for learned, judged in folds.split(X, y):
        model.fit(_readable(X[learned]), y[learned])
        scores.append(roc_auc_score(y[judged], model.decision_function(X[judged])))
    return float(np.mean(scores))


@dataclass(frozen=True, eq=False)
class _Question:
    """A target column, and the held-out rows that a model of it is judged on."""

    schema: Schema
    d: int
    test: np.ndarray
    metric: str

    @classmethod
    def of(cls, schema: Schema, d: int, test: np.ndarray, learned: dict[str, np.ndarray]) -> "_Question":
        """Ask for column d on held-out rows; `learned` are the tables that models are trained on, by name."""
        classes = {name: _values(X[:, d]) for name, X in {"real_test": test, **learned}.items()}
        if few := [name for name, own in classes.items() if len(own) < 2]:
            raise ValueError(f"The target {schema.label(d)!r} has fewer than two values in {few[0]}.")
        test = test[~np.isnan(test[:, d])]
        if schema.kinds[d] == "real":
            return cls(schema, d, test, "R2")
        return cls(schema, d, test, "AUC" if len(classes["real_test"]) == 2 else "accuracy")

    def score(self, rows: np.ndarray) -> float:
        """R2, AUC or accuracy on held-out rows of gradient boosting that is trained on these."""
        rows = rows[~np.isnan(rows[:, self.d])]
        y, truth, is_number = rows[:, self.d], self.test[:, self.d], self.metric == "R2"
        A, B = (np.delete(_for_trees(X, self.schema, self.test), self.d, 1) for X in (rows, self.test))
        kind = HistGradientBoostingRegressor if is_number else HistGradientBoostingClassifier
        model = kind(
            min_samples_leaf=_LEAF,
            categorical_features=np.delete(_are_categories(self.schema), self.d),
            early_stopping=False,  # it sets rows of every class aside, of which a rare one has none to spare
            random_state=0,
        ).fit(_readable(A), y)
        if self.metric == "AUC":
            is_larger = model.classes_ == truth.max()  # other tables may have more classes, or not this one
            return float(roc_auc_score(truth, model.predict_proba(B)[:, is_larger].sum(1)))
        return float((r2_score if is_number else accuracy_score)(truth, model.predict(B)))


def _values(x: np.ndarray) -> np.ndarray:
    """Distinct values of a column (n,) that are there."""
    return np.unique(x[~np.isnan(x)])


# ---------------------------------------------------------------- distances


def _margins(schema: Schema, rows: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The distance of each column, (D,); missing cells are a value of their own, beyond all numbers."""
    distances = np.empty(rows.shape[1])
    for d, is_category in enumerate(_are_categories(schema)):
        x, y = (np.nan_to_num(part[:, d], nan=np.inf) for part in (rows, test))
        values = np.unique(np.concatenate([x, y]))
        F, G = (np.searchsorted(np.sort(part), values, "right") / len(part) for part in (x, y))
        if is_category:
            distances[d] = np.abs(np.diff(F - G, prepend=0)).sum() / 2
        else:
            distances[d] = np.abs(F - G).max()
    return distances


def _pairs(schema: Schema, rows: np.ndarray, test: np.ndarray, like: np.ndarray) -> float:
    """The mean over pairs of columns of half the summed differences of shares, in bins by the quantiles of `like`."""
    bins = [_Bins(like[:, d], is_category) for d, is_category in enumerate(_are_categories(schema))]
    x, y = (np.stack([b.of(part[:, d]) for d, b in enumerate(bins)], 1) for part in (rows, test))
    size = _N_BINS + 2
    distances = [
        np.abs(np.bincount(x[:, i] * size + x[:, j], minlength=size**2) / len(x)
               - np.bincount(y[:, i] * size + y[:, j], minlength=size**2) / len(y)).sum() / 2
        for i in range(x.shape[1]) for j in range(i)
    ]  # fmt: skip
    return float(np.mean(distances)) if distances else 0.0


class _Bins:
    """At most eleven bins of a column, and one for missing cells: between quantiles, or the commonest levels."""

    def __init__(self, x: np.ndarray, is_category: bool) -> None:
        x, self.is_category = x[~np.isnan(x)], is_category
        if is_category:
            levels, count = np.unique(x, return_counts=True)
            self.edges = levels[np.argsort(-count, kind="stable")[:_N_BINS]]
        else:
            self.edges = np.unique(np.quantile(x, np.arange(1, _N_BINS) / _N_BINS)) if len(x) else x

    def of(self, x: np.ndarray) -> np.ndarray:
        """The bin of each cell, (n,) int."""
        if self.is_category:
            is_level = x[:, None] == self.edges
            inside = np.where(is_level.any(1), is_level.argmax(1) if len(self.edges) else 0, _N_BINS)
        else:
            inside = np.searchsorted(self.edges, x, "left")
        return np.where(np.isnan(x), _N_BINS + 1, inside)


def _copies(rows: np.ndarray, train: np.ndarray) -> float:
    """The share of rows that equal one of the training rows in every cell."""
    known = {row.tobytes() for row in np.nan_to_num(train, nan=np.inf) + 0.0}  # of zero there is one
    return float(np.mean([row.tobytes() in known for row in np.nan_to_num(rows, nan=np.inf) + 0.0]))


def _nearer(schema: Schema, rows: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """The share of rows nearer to one of the training rows than to one of as many held-out ones; ties are halves."""
    m = min(len(train), len(test))
    rows, train, test = rows[:_MOST_QUERIES], train[:m], test[:m]
    scale = _Scale(schema, np.concatenate([train, test]))
    to_train, to_test = (scale.nearest(rows, others) for others in (train, test))
    return float(np.mean((to_train < to_test) + 0.5 * (to_train == to_test)))


class _Scale:
    """Squared distances: of standardised numbers, 1 for another level, 1 where one of two cells is missing."""

    def __init__(self, schema: Schema, like: np.ndarray) -> None:
        self.is_category = _are_categories(schema)
        numbers = like[:, ~self.is_category]
        is_seen = ~np.isnan(numbers)
        count = np.maximum(is_seen.sum(0), 1)
        self.mean = np.where(is_seen, numbers, 0).sum(0) / count
        deviation = np.sqrt((np.where(is_seen, numbers - self.mean, 0) ** 2).sum(0) / count)
        self.deviation = np.where(deviation > 0, deviation, 1.0)

    def nearest(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The squared distance of each row to the nearest of the others, (n,)."""
        (x, a), (y, b) = self._parts(rows), self._parts(others)
        nearest = []
        for i in range(0, len(x), _AT_ONCE):
            own = slice(i, i + _AT_ONCE)
            distance = (x[own] ** 2).sum(1)[:, None] + (y**2).sum(1) - 2 * x[own] @ y.T
            for d in range(a.shape[1]):
                distance += a[own, d][:, None] != b[:, d]
            nearest.append(distance.min(1))
        return np.concatenate(nearest).round(9)  # rounding errors of equal rows are ties

    def _parts(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers, the missing ones at the mean, and what is equal or not: category indices and missing cells."""
        numbers = (X[:, ~self.is_category] - self.mean) / self.deviation
        is_missing = np.isnan(X)
        marks = np.concatenate([np.nan_to_num(X[:, self.is_category], nan=-1), is_missing[:, ~self.is_category]], 1)
        return np.nan_to_num(numbers), marks
