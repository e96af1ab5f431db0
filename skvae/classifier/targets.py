"""y as class numbers: which rows have a label, and the weights of the classes."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from .._tables.cells import gone, kinds_of, level_array
from .._utils.arrays import on_host

__all__ = ["class_weights", "is_labeled", "labels_of"]


def is_labeled(y: Any, unlabeled: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give y as an array (n,), and which rows have a label.

    Parameters
    ----------
    y : array-like (n,)
    unlabeled : object
        None or NaN: rows with NaN, None or NA have no label; otherwise rows with this value.
    X : table (n, ...)
        The table whose length y must have.
    """
    if y is None:
        raise ValueError("VAEClassifier requires y to be passed, but the target y is None.")
    y = column_or_1d(on_host(y), warn=True)
    check_consistent_length(X, y)
    missing = gone(y.tolist()) if y.dtype.kind in "fO" else np.zeros(len(y), dtype=bool)
    if gone([unlabeled]).any():
        return y, ~missing
    if missing.any():
        raise ValueError(
            f"Input y contains NaN in {missing.sum()} rows, and unlabeled={unlabeled!r}. Mark rows without a label by "
            "that value, or set unlabeled=None, which takes NaN and None for it."
        )
    return y, ~np.asarray(y == unlabeled, dtype=bool)


def labels_of(y: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the classes (C,) in order, and the number of the class of each row (n,), -1 for rows without label.

    Parameters
    ----------
    y : ndarray (n,)
    known : bool ndarray (n,)

    Raises
    ------
    ValueError
        No row has a label, all have the same one, or the labels are not classes.
    """
    if not known.any():
        raise ValueError(
            f"y has no label: all {len(y)} rows are unlabelled, or have weight 0. At least two classes need one each."
        )
    values = _of_one_kind(y[known])
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("Input y contains infinity or a value too large. Give a class to each labelled row.")
    check_classification_targets(values)
    classes, index = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has one class only, {classes[0]!r}. VAEClassifier needs labels of at least two classes.")
    label = np.full(len(y), -1, dtype=np.int64)
    label[known] = index
    return classes, label


def _of_one_kind(values: np.ndarray) -> np.ndarray:
    """Labels as numbers, bools or strings."""
    if values.dtype != object:
        return values
    if len(kinds := kinds_of(values.tolist())) > 1:
        raise ValueError(
            f"y has labels of several kinds, {sorted(kinds)}. Make all of them strings, or all of them numbers."
        )
    return level_array(values.tolist())


def class_weights(class_weight: Any, classes: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The factor of each class on the weights of its rows, (C,).

    Parameters
    ----------
    class_weight : {"balanced"}, dict of class -> float, or None
        Classes that a dict does not name have 1; "balanced" is n / (C n_c), with weighted numbers of labelled rows.
    classes : ndarray (C,)
    label : int ndarray (n,)
    weight : ndarray (n,)
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, Mapping):
        return _named(class_weight, classes)
    count = np.bincount(label[label >= 0], weight[label >= 0], len(classes))
    return count.sum() / (len(classes) * count)


def _named(class_weight: Mapping, classes: np.ndarray) -> np.ndarray:
    names = classes.tolist()
    if unknown := [name for name in class_weight if name not in names]:
        raise ValueError(f"class_weight names {unknown}, which are no classes of y. The classes are {names}.")
    factors = [class_weight.get(name, 1.0) for name in names]
    if not all(isinstance(f, Real) and 0 < float(f) < np.inf for f in factors):
        raise ValueError(f"class_weight must give each class a finite positive number. Got {class_weight!r}.")
    return np.array(factors, dtype=np.float64)
