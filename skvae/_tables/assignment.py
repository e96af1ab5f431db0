"""Which likelihood family each column of a table has: by its kind, or as the `likelihood` parameter says."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from ..families.base import Family
from ..families.discrete import Bernoulli, Categorical, Constant
from ..families.gaussian import Gaussian
from ..families.given import Given
from .schema import Schema, is_category
from .selection import RowSelection, blocks, column, dense, stored

__all__ = ["assigned_families", "position", "suits", "with_constants"]


def assigned_families(
    X: RowSelection, schema: Schema, likelihood: Any, margins: Any = None, scaling: Any = None
) -> list[Family]:
    """The family of each column of the validated table X, list (D,); see `Columns.decide` for the parameters."""
    return _replaced(_modelled(X, schema, likelihood, margins, scaling), _given(schema))


def _given(schema: Schema) -> dict[int, Family]:
    """The families of the columns that are given; those of one kind share one."""
    families: dict[int | None, Family] = {}
    if empty := [schema.label(d) for d in schema.conditions if schema.kinds[d] == "empty"]:
        raise ValueError(f"The 'conditions' parameter names {empty}, which hold no value at all. Leave them out of it.")
    n_levels = {d: schema.n_levels.get(d, 2) if is_category(schema, d) else None for d in schema.conditions}
    return {d: families.setdefault(n, Given(n)) for d, n in n_levels.items()}


def _modelled(X: RowSelection, schema: Schema, likelihood: Any, margins: Any, scaling: Any) -> list[Family]:
    """The families, as if no column were given."""
    families = _automatic(X, schema, margins)
    if not isinstance(likelihood, list):
        if isinstance(likelihood, str):
            return families
        free = [d for d in range(X.shape[1]) if d not in schema.levels and d not in schema.conditions]
        return _replaced(families, _agreed(likelihood, free, X, schema, margins, scaling))
    named: set[int] = set()
    for family, key in likelihood:
        positions = _positions(schema, key)
        for d in positions:
            if d in schema.conditions:
                raise ValueError(
                    f"The 'likelihood' parameter names column {schema.label(d)!r}, which is one of the 'conditions': "
                    "it is given and has no likelihood. Name it in one of the two."
                )
            if d in named:
                raise ValueError(f"The 'likelihood' parameter names column {schema.label(d)!r} twice.")
            named.add(d)
        if not isinstance(family, str):
            families = _replaced(families, _agreed(family, positions, X, schema, margins, scaling))
    return families


def with_constants(families: list[Family], low: np.ndarray, high: np.ndarray) -> list[Family]:
    """The families, with `Constant` for columns of numbers whose least and largest values (D,) are one, or missing.

    A value outside the support of the column's family leaves it to be refused.
    """
    constants = np.flatnonzero(~(low < high)).tolist()
    return _replaced(families, dict.fromkeys([d for d in constants if _may_be(families[d], low[d])], Constant()))


def _may_be(family: Family, value: float) -> bool:
    if isinstance(family, Given):
        return False
    is_supported = family.units == "standard" or bool(family.support.check(torch.tensor(value)))
    return family.n_categories is None and (is_supported or np.isnan(value))


def _replaced(families: list[Family], new: dict[int, Family]) -> list[Family]:
    return [new.get(d, family) for d, family in enumerate(families)]


def _agreed(
    family: Family, positions: Sequence[int], X: RowSelection, schema: Schema, margins: Any, scaling: Any
) -> dict[int, Family]:
    """A family as each of some columns knows it: one object for all that agree, since these share one distribution."""
    family.check()
    if isinstance(family, Given):
        raise ValueError("Given() is no likelihood: name the columns that are given in the 'conditions' parameter.")
    if not family.observable:
        names = [schema.label(d) for d in positions[:3]]
        raise ValueError(f"{family!r} is a family of posteriors: no column can be of it, but {names} are to be.")
    if family.exposure is not None:
        family = clone(family).set_params(exposure=position(schema, family.exposure, "exposure"))
    if not family.reads_column:  # a wide table is not cut into columns for nothing
        own_family = _known(family, np.array([]), scaling)
        for d in positions:
            if d in schema.levels:
                _refuse_numbers_for_a_category(own_family, family, schema, d)
        return dict.fromkeys(positions, own_family)
    agreeing: dict[str, Family] = {}
    own = {}
    for d in positions:
        of_levels = d in schema.levels
        new = _for_levels(family, schema, d) if of_levels else _known(family, _observed(X, d, margins), scaling)
        own[d] = agreeing.setdefault(repr(new), new)
    return own


def suits(family: Family, scaling: Any) -> bool:
    """Whether columns of a family have a mean in data space under this scaling."""
    return not (family.heavy_tails and scaling == "power")


def _known(family: Family, values: np.ndarray, scaling: Any) -> Family:
    """The family as a column of these values knows it, if that suits the scaling."""
    own = family.for_column(values)
    return own if suits(own, scaling) else family


def _observed(X: RowSelection, d: int, margins: Any) -> np.ndarray:
    """The values in a column; of a sample, also the least and the largest of the whole table."""
    values = column(X, d)
    if margins is not None:
        values = np.append(values, [margins.lowest[d], margins.highest[d]])
    return values[~np.isnan(values)]


def _for_levels(family: Family, schema: Schema, d: int) -> Family:
    """The family for a category of which the levels are known, observed or not."""
    C = schema.n_levels[d]
    own = family.for_column(np.array([C - 1.0]))
    _refuse_numbers_for_a_category(own, family, schema, d)
    if own.n_categories != C:
        raise ValueError(
            f"Column {schema.label(d)!r} has {C} levels; its likelihood {family!r} has {own.n_categories}. "
            f"Leave n_classes away."
        )
    return own


def _refuse_numbers_for_a_category(own: Family, family: Family, schema: Schema, d: int) -> None:
    if own.n_categories is None:
        raise ValueError(
            f"Column {schema.label(d)!r} is a category; its likelihood cannot be {family!r}, a family of numbers. "
            "Use 'categorical' or 'ordinal', or leave it out of categorical_features."
        )


def _positions(schema: Schema, key: Any) -> list[int]:
    """Column numbers behind a name, an int, a list of either, a slice or a bool mask."""
    n_features = len(schema.kinds)
    if isinstance(key, slice) and not isinstance(key.start, str) and not isinstance(key.stop, str):
        return list(range(n_features)[key])
    keys = [key] if isinstance(key, str) or not hasattr(key, "__iter__") else list(key)
    if keys and all(isinstance(k, (bool, np.bool_)) for k in keys):
        if len(keys) != n_features:
            raise ValueError(
                f"A bool mask in the 'likelihood' parameter has {len(keys)} entries; X has {n_features} columns."
            )
        return [d for d, chosen in enumerate(keys) if chosen]
    return [position(schema, k, "likelihood") for k in keys]


def position(schema: Schema, key: Any, parameter: str) -> int:
    """The number of the column that a parameter names by its name or number.

    Parameters
    ----------
    schema : Schema
    key : str or int
        Negative numbers count from the last column.
    parameter : str
        The name of the parameter, for the error.
    """
    n_features = len(schema.kinds)
    is_int = isinstance(key, Integral)
    if is_int and -n_features <= key < n_features:
        return int(key) % n_features
    if schema.names is not None and key in schema.names:
        return schema.names.index(key)
    has = f"columns {schema.names}" if schema.names is not None else f"{n_features} columns without names"
    raise ValueError(f"The {parameter!r} parameter names the column {key!r}, which X does not have: it has {has}.")


def _automatic(X: RowSelection, schema: Schema, margins: Any) -> list[Family]:
    """By kind: Categorical for categories, Bernoulli for booleans and for arrays of zeros and ones, else Gaussian."""
    gaussian, bernoulli = Gaussian(), Bernoulli()
    categorical: dict[int, Categorical] = {}
    families: list[Family] = []
    for d, kind in enumerate(schema.kinds):
        if kind == "category":
            C = schema.n_levels[d]
            families.append(categorical.setdefault(C, Categorical(C)))
        else:
            families.append(bernoulli if kind == "boolean" else gaussian)
    if schema.names is not None or set(schema.levels) - set(schema.conditions):
        return families
    if schema.conditions:
        modelled = np.setdiff1d(np.arange(X.shape[1]), schema.conditions)
        is_binary = _only_zeros_and_ones(X.mapped(lambda rows: dense(rows)[:, modelled], len(modelled)))
    else:
        is_binary = _only_zeros_and_ones(X) if margins is None else margins.is_binary
    return [bernoulli] * X.shape[1] if is_binary else families


def _only_zeros_and_ones(X: RowSelection) -> bool:
    """Whether some cell is observed, and all that are hold 0 or 1."""
    some = False
    for _, block in blocks(X):
        values = stored(block)
        missing = np.isnan(values)
        if not np.all((values == 0) | (values == 1) | missing):
            return False
        some = some or not missing.all()
    return some
