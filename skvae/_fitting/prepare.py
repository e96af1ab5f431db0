"""From a table of any kind to canonical rows: schema, seed, columns, distinct rows in the order of the fit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from .._inference.fitted import Fitted
from .._tables.bounds import bounded, check_bounds
from .._tables.canonical import canonical_rows, sort_rows, split_rows
from .._tables.columns import Columns
from .._tables.doubtful import warn_of_doubtful_columns
from .._tables.intake import as_table
from .._tables.missing import columns_with_missing
from .._tables.moments import extremes
from .._tables.on_disk import mapped_rows
from .._tables.schema import Schema
from .._tables.selection import RowSelection
from .._tables.statistics import Margins
from .._tables.validation import validated
from .._utils.arrays import on_host
from .._utils.checks import check_weight
from .._utils.random import draw_seed
from .plan import Plan

__all__ = ["Basis", "Prepared", "RowsAndWeights", "begin", "decided", "prepare", "prepared", "split"]

RowsAndWeights = tuple[RowSelection, np.ndarray]


@dataclass(frozen=True, eq=False)
class Basis:
    """What a fit sets first, and what one that continues takes over: schema, seed, and the columns of the model.

    Parameters
    ----------
    schema : Schema
    seed : int
    columns : Columns
    ordering : Columns
        Columns scaled by all rows, so that a fit that continues holds the same rows out.
    incomplete : list of int
        Columns with missing values.
    """

    schema: Schema
    seed: int
    columns: Columns
    ordering: Columns
    incomplete: list[int]

    @classmethod
    def of(cls, earlier: Fitted) -> "Basis":
        """Take over the basis of an earlier fit."""
        return cls(earlier.schema, earlier.seed, earlier.columns, earlier.ordering, earlier.config["incomplete"])

    @classmethod
    def decide(
        cls, plan: Plan, schema: Schema, seed: int, X: RowSelection, weight: np.ndarray, margins: Any = None
    ) -> "Basis":
        """Decide families and scales by rows; with `margins` of a whole table the rows are all of it, or a sample."""
        more_may_come = plan.single_pass and margins is None
        columns = Columns.decide(X, schema, plan.likelihood, plan.given.scaling, margins, more_may_come)
        columns = columns.fitted_to(X, weight)
        n_rows = None if margins is None else margins.n_rows
        goes_by_type = isinstance(plan.given.categorical_features, str)
        warn_of_doubtful_columns(schema, X, weight, goes_by_type, n_rows)
        has_missing = columns_with_missing(X) if margins is None else margins.has_missing
        return cls(schema, seed, columns, columns, np.flatnonzero(has_missing).tolist())

    def check(self, X: RowSelection) -> None:
        """Raise where a value lies outside the support of its likelihood, or outside the bounds of its column."""
        self.columns.check_support(X)
        if self.schema.bounds:
            check_bounds(self.schema, extremes(X))

    def in_order(self, X: RowSelection, weight: np.ndarray) -> RowsAndWeights:
        """Check the values of rows and give them in the order of the fit."""
        self.check(X)
        return (X, weight) if X.is_on_disk else sort_rows(X, weight, self.ordering.standardize, self.seed)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A table that is ready for training.

    Parameters
    ----------
    basis : Basis
    table : array
        The validated table; fitted attributes are arrays of its kind, on its device.
    rows : (RowSelection, ndarray)
        Rows and weights that are trained on or held out.
    sample : (RowSelection, ndarray)
        Rows and weights that the model is initialised and described by: `rows`, or the sample of `fit_statistics`.
    n_features_in, feature_names_in : object
        Attributes of the estimator of these names.
    """

    basis: Basis
    table: Any
    rows: RowsAndWeights
    sample: RowsAndWeights
    n_features_in: int
    feature_names_in: np.ndarray | None


def begin(plan: Plan, schema: Schema) -> tuple[Schema, int]:
    """Give what a new fit sets first: the schema of its table, with what is given and bounded, and the seed."""
    schema = schema.conditioned_on(plan.given.conditions).exposed_by(plan.exposures)
    schema = bounded(schema, plan.given.bounds)
    return schema, plan.processes.broadcast(draw_seed(plan.given.random_state))


def prepare(
    plan: Plan,
    estimator: BaseEstimator,
    X: Any,
    sample_weight: Any,
    earlier: Fitted | None,
    statistics: Any = None,
) -> Prepared:
    """Validate a table, and merge and sort its rows.

    Parameters
    ----------
    plan : Plan
    estimator : BaseEstimator
        A working copy, which scikit-learn's validation writes number and names of the columns into.
    X, sample_weight : object
        As `fit` takes them.
    earlier : Fitted or None
        The fit to continue.
    statistics : TableStatistics or None
        Statistics of the table that X is a part of; a new fit is initialised by their sample of rows.
    """
    sample = None
    if earlier is not None:
        basis = Basis.of(earlier)
    elif statistics is not None:
        basis, sample = from_statistics(plan, statistics)
    else:
        basis = None
        with plan.stopwatch("validate"):
            learned = Schema.learn(X, plan.given.categorical_features, _that_count(X, sample_weight))
        schema, seed = begin(plan, learned)
    schema, seed = (schema, seed) if basis is None else (basis.schema, basis.seed)
    with plan.stopwatch("validate"):
        table = validated(estimator, schema, X, reset=basis is None)
    weight = None if sample_weight is None else check_weight(sample_weight, table.shape[0])
    rows = _rows(schema, seed, X, table, weight)
    if basis is None:
        basis, rows = decided(plan, schema, seed, *rows)
    return prepared(estimator, basis, table, basis.in_order(*rows), sample)


def decided(plan: Plan, schema: Schema, seed: int, X: RowSelection, weight: np.ndarray) -> tuple[Basis, RowsAndWeights]:
    """Decide families and scales by the rows of a table, and give the rows with what is known of them now.

    Of a file one pass tells all: the columns have the scales of all rows, and not of the training rows alone, for which
    it would be read again.
    """
    margins = None
    if X.is_on_disk and not plan.single_pass and weight.min() == weight.max():
        margins = Margins.of(X, sorted(schema.levels))
        X = RowSelection(X.table, X.index, is_complete=not margins.has_missing.any())
    return Basis.decide(plan, schema, seed, X, weight, margins), (X, weight)


def prepared(
    estimator: BaseEstimator, basis: Basis, table: Any, rows: RowsAndWeights, sample: RowsAndWeights | None = None
) -> Prepared:
    """Put together what has been prepared, with what validation has set."""
    names = getattr(estimator, "feature_names_in_", None)
    return Prepared(basis, table, rows, rows if sample is None else sample, estimator.n_features_in_, names)


def from_statistics(plan: Plan, statistics: Any) -> tuple[Basis, RowsAndWeights]:
    """Begin a fit by statistics: give the basis, and the sample of rows that the model is initialised by."""
    schema, seed = begin(plan, statistics._outline.schema)
    X, weight = statistics._rows
    check_bounds(schema, statistics._margins.extremes())
    basis = Basis.decide(plan, schema, seed, X, weight, statistics._margins)
    return basis, basis.in_order(X, weight)


def split(
    plan: Plan, estimator: BaseEstimator, prepared: Prepared, X_val: Any
) -> tuple[RowsAndWeights, RowsAndWeights | None, int]:
    """Give training rows, held-out rows or None, and the number of epochs."""
    X, weight = prepared.rows
    if X_val is not None:
        return (X, weight), _held_out(estimator, prepared.basis, X_val), plan.max_epochs(X.shape)
    holds_out, n_epochs = plan.held_out(X.shape)
    if not holds_out:
        return (X, weight), None, n_epochs
    train, valid = split_rows(X, weight, plan.validation_fraction(weight))
    return train, valid, n_epochs


def _held_out(estimator: BaseEstimator, basis: Basis, X_val: Any) -> RowsAndWeights:
    X_val = as_table(X_val, "X_val")
    try:
        table = validated(estimator, basis.schema, X_val)
        X, weight = _rows(basis.schema, basis.seed, X_val, table, None)
        basis.check(X)
    except ValueError as error:
        raise ValueError(f"X_val: {error}") from error
    return X, weight


def _rows(schema: Schema, seed: int, X: Any, table: Any, weight: np.ndarray | None) -> RowsAndWeights:
    """Rows of the validated table: runs of a memory-mapped file if it needs no encoding, else the distinct ones."""
    if isinstance(X, np.memmap) and schema.is_plain:
        return mapped_rows(table, weight, seed)
    return canonical_rows(on_host(table), weight)


def _that_count(X: Any, sample_weight: Any) -> np.ndarray | None:
    """Which rows have a weight, bool (n,); None for all, and for weights that are refused later."""
    if sample_weight is None:
        return None
    weight = np.asarray(on_host(sample_weight))
    n_rows = X.shape[0] if hasattr(X, "shape") else np.asarray(X, dtype=object).shape[0]
    return weight != 0 if weight.shape == (n_rows,) and not weight.all() else None
