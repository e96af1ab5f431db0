"""Columns of a fitted table: likelihood family, units, missing cells, log-Jacobian.

The model sees x = (X - shift) / scale, computed in float64 before any cast to float32, and then perhaps bent by a
monotone map (`scalings.py`); so densities in data units carry the log-Jacobian sum_d ln dx_d / dX_d over the observed
cells. Categories are code numbers here, and X has one number per column: `tables.py` made them.
"""

from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse

from .._utils.arrays import on_host
from ..families.base import Family
from ..families.discrete import Bernoulli, Categorical
from ..families.real import Gaussian
from .moments import largest_deviation, moments
from .scalings import SCALINGS
from .selection import blocks, column, dense, stored

__all__ = ["Columns"]

_ROWS_BENT = 1 << 20  # a map of a column is learned from these: the first, in a random order


class Columns:
    """Units and likelihood family of every column of one fitted table.

    Parameters
    ----------
    schema : Schema
    families : list of Family (D,)
    scaling : {"standard", "global", "power", "quantile", None}
    margins : Margins, optional
        What is known exactly of the columns of a table of which the rows at hand are a sample.

    Attributes
    ----------
    shift, scale : ndarray (D,), float64
    maps : dict of int -> map
        The columns that are bent after shift and scale.
    is_number : ndarray of bool (D,)
        Whether the column holds numbers, not codes of categories.
    n_levels : ndarray of int (D,)
        Levels of each category, 1 for numbers: how many indicators stand for the column in a linear model.
    """

    def __init__(self, schema, families, scaling, margins=None):
        self.schema = schema
        self.families = families
        self.scaling = scaling
        self.margins = margins

    @classmethod
    def decide(cls, X, schema, likelihood, scaling, margins=None):
        """Choose a family for each column of the validated table X.

        Parameters
        ----------
        likelihood : "auto", Family, or list of ("auto" or Family, columns)
            Columns as in ColumnTransformer: a name or names of a frame, or an int, ints, a slice or a bool mask. Those
            that no entry names are "auto", and so are categories under a single family of numbers.
        """
        columns = cls(schema, _automatic(X, schema, margins), scaling, margins)
        if not isinstance(likelihood, list):
            if not isinstance(likelihood, str):
                columns._assign(likelihood, [d for d in range(X.shape[1]) if d not in schema.levels], X)
            return columns
        named = set()
        for family, key in likelihood:
            positions = columns._positions(key)
            for d in positions:
                if d in named:
                    raise ValueError(f"The 'likelihood' parameter names column {columns.label(d)!r} twice.")
                named.add(d)
            if not isinstance(family, str):
                columns._assign(family, positions, X)
        return columns

    def _assign(self, family, positions, X):
        """Give a family to columns: one object for all that agree, since equal columns share one distribution."""
        family.check()
        if not family.observable:
            names = [self.label(d) for d in positions[:3]]
            raise ValueError(f"{family!r} is a family of posteriors: no column can be of it, but {names} are to be.")
        if type(family).for_column is Family.for_column:  # a wide table is not cut into columns for nothing
            for d in positions:
                self._refuse_numbers_for_a_category(family, d)
                self.families[d] = family
            return
        agreeing = {}
        for d in positions:
            if d in self.schema.levels:
                own = self._for_levels(family, d)
            else:
                own = family.for_column(self._observed(X, d))
            self.families[d] = agreeing.setdefault(repr(own), own)

    def _observed(self, X, d):
        """The values in a column; of a sample, also the least and the largest of the whole table."""
        values = column(X, d)
        if self.margins is not None:
            values = np.append(values, [self.margins.lowest[d], self.margins.highest[d]])
        return values[~np.isnan(values)]

    def _for_levels(self, family, d):
        """The family for a category of which the levels are known, observed or not."""
        C = self.schema.n_levels[d]
        own = family.for_column(np.array([C - 1.0]))
        self._refuse_numbers_for_a_category(own, d)
        if own.n_categories != C:
            raise ValueError(
                f"Column {self.label(d)!r} has {C} levels; its likelihood {family!r} has {own.n_categories}. "
                f"Leave n_classes away."
            )
        return own

    def _refuse_numbers_for_a_category(self, family, d):
        if d in self.schema.levels and family.n_categories is None:
            raise ValueError(
                f"Column {self.label(d)!r} is a category; its likelihood cannot be {family!r}, a family of numbers. "
                "Use 'categorical' or 'ordinal', or leave it out of categorical_features."
            )

    def _positions(self, key):
        """Column numbers behind a name, an int, a list of either, a slice or a bool mask."""
        n_features = len(self.families)
        if isinstance(key, slice) and not isinstance(key.start, str) and not isinstance(key.stop, str):
            return list(range(n_features)[key])
        if isinstance(key, str) or not hasattr(key, "__iter__"):
            key = [key]
        key = list(key)
        if key and all(isinstance(k, (bool, np.bool_)) for k in key):
            if len(key) != n_features:
                raise ValueError(
                    f"A bool mask in the 'likelihood' parameter has {len(key)} entries; X has {n_features} columns."
                )
            return [d for d, chosen in enumerate(key) if chosen]
        return [self._position(k) for k in key]

    def _position(self, key, parameter="likelihood"):
        if isinstance(key, Integral) and -len(self.families) <= key < len(self.families):
            return int(key) % len(self.families)
        if self.schema.names is not None and key in self.schema.names:
            return self.schema.names.index(key)
        has = (
            f"columns {self.schema.names}"
            if self.schema.names is not None
            else f"{len(self.families)} columns without names"
        )
        raise ValueError(f"The {parameter!r} parameter names the column {key!r}, which X does not have: it has {has}.")

    @property
    def is_number(self):
        """See the class."""
        return np.array([not family.nominal for family in self.families])

    @property
    def n_levels(self):
        """See the class."""
        return np.array([family.n_raw if family.nominal else 1 for family in self.families])

    @property
    def groups(self):
        """Columns that share a family, as (Family, list of int)."""
        groups = {}
        for d, family in enumerate(self.families):
            groups.setdefault(id(family), (family, []))[1].append(d)
        return list(groups.values())

    def has_units(self, *units):
        """Which columns belong to a family with one of these `units`, (D,) bool."""
        return np.array([family.units in units for family in self.families])

    def label(self, d):
        """The column's name, or "x3" for the fourth column of an array."""
        return self.schema.label(d)

    def weights(self, column_weights):
        """What each column's log-prob counts in training, list of float (D,); None for 1 each.

        Parameters
        ----------
        column_weights : dict of column -> float, array-like (D,) or None
            A dict names columns as `likelihood` does; those that it does not name have 1.
        """
        if column_weights is None:
            return None
        weights = [1.0] * len(self.families)
        if isinstance(column_weights, dict):
            for key, weight in column_weights.items():
                weights[self._position(key, "column_weights")] = weight
        else:
            weights = list(column_weights)
        are_numbers = all(isinstance(w, Real) and 0 <= w < np.inf for w in weights)
        if len(weights) != len(self.families) or not are_numbers:
            raise ValueError(
                "The 'column_weights' parameter of VAETransformer must be finite numbers of at least 0, one for each "
                f"of {len(self.families)} columns, or a dict of columns. Got {column_weights!r} instead."
            )
        return [float(w) for w in weights]

    # ---------------------------------------------------------------- units

    def fit_units(self, X, weight):
        """Set shift, scale and maps from rows X (n, D), NaN for missing, and their weights.

        A constant column has scale 1. The first call sees all rows; one that a later call finds constant in a part of
        them is scaled by its largest deviation, so that what the other part holds there does not depend on the unit.
        """
        mean, variance = moments(X, weight) if self.margins is None else self.margins.moments()
        too_large = ~np.isfinite(variance)
        if too_large.any():
            name = self.label(int(too_large.argmax()))
            raise ValueError(
                f"Column {name!r} has values whose variance overflows float64. Rescale or clip the column."
            )
        if not hasattr(self, "reach"):
            deviation = largest_deviation(X if self.margins is None else self.margins.extremes(), mean)
            self.reach = np.where(variance > 0, deviation, 1.0)
        self.shift, self.scale = np.zeros(len(mean)), np.ones(len(mean))
        shifted, scaled = self.has_units("standard"), self.has_units("standard", "scale")
        if self.scaling is not None and scaled.any():
            self.shift[shifted] = mean[shifted]
            spread = variance[scaled].mean() if self.scaling == "global" else variance[scaled]
            self.scale[scaled] = np.sqrt(spread)
            self.scale = np.where(self.scale > 0, self.scale, self.reach)
        self.maps = {}
        if self.scaling in SCALINGS:
            self.maps = {int(d): self._fit_map(X, weight, d) for d in np.flatnonzero(shifted)}
        return self

    def _fit_map(self, X, weight, d):
        n_rows = min(X.shape[0], _ROWS_BENT)
        values, weight = column(X[:n_rows], d).astype(np.float64), weight[:n_rows]
        seen = ~np.isnan(values)
        return SCALINGS[self.scaling].fit(self.standardize(values[seen], d), weight[seen])

    def standardize(self, values, columns=slice(None)):
        """Shift and scale data units, float64; no map."""
        return (values - self.shift[columns]) / self.scale[columns]

    def working_array(self, X):
        """Dense float64 rows in the model's units, NaN for missing."""
        x = self.standardize(dense(X).astype(np.float64))
        for d, bend in self.maps.items():
            x[:, d] = bend.map(x[:, d])
        for d in self._loose_codes:
            x[:, d] = np.where(self.families[d].support.check(torch.from_numpy(x[:, d])), x[:, d], np.nan)
        return x

    @property
    def _loose_codes(self):
        """Columns of code numbers that did not come out of `Schema.encode`: an unknown one counts as missing too."""
        return [d for d in np.flatnonzero(~self.is_number) if d not in self.schema.levels]

    def to_data(self, x, as_draws=False):
        """Map values in the model's units (..., D) back to data units, float64 ndarray.

        With `as_draws` bent columns take the fitted column's common values, which a density only comes near to.
        """
        x = x.detach().cpu().double().numpy().copy()
        for d, bend in self.maps.items():
            x[..., d] = bend.draw(x[..., d]) if as_draws else bend.inverse(x[..., d])
        return x * self.scale + self.shift

    def log_slopes(self, X):
        """Ln dx_d / dX_d of rows in data units, (..., D), float64; NaN where a bent column is missing."""
        slopes = np.broadcast_to(-np.log(self.scale), X.shape).copy()
        for d, bend in self.maps.items():
            slopes[..., d] += bend.log_slope(self.standardize(X[..., d], d))
        return slopes

    def log_jacobian(self, X, mask, weights=None):
        """Sum over observed d of ln dx_d / dX_d: a 0-d tensor where it is the same for all rows, else (B,); float64.

        Parameters
        ----------
        X : rows of a table, in data units
        mask : Tensor (B, D) or None
        weights : ndarray (D,), optional
            Of the columns.
        """
        weights = np.ones(len(self.scale)) if weights is None else weights
        if not self.maps:
            slopes = torch.from_numpy(-np.log(self.scale) * weights)
            return slopes.sum() if mask is None else mask.cpu().double() @ slopes
        slopes = self.log_slopes(dense(on_host(X)).astype(np.float64))
        return torch.from_numpy(np.nan_to_num(slopes if mask is None else np.where(mask.cpu(), slopes, 0.0)) @ weights)

    # ---------------------------------------------------------------- tensors

    def tensors(self, X, device, dtype):
        """Rows of a table as (x, mask) for the model: x (B, D) of `dtype`, mask (B, D) or None without holes."""
        if self.maps or self._loose_codes:
            x = torch.from_numpy(self.working_array(on_host(X)))
        elif sparse.issparse(X):
            x = torch.from_numpy(self._standardized_csr(X))
        else:
            x = self._standardized(X, dtype)
        x, mask = self.filled(x.to(dtype))
        return x.to(device), None if mask is None else mask.to(device)

    def _standardized(self, X, dtype):
        """`standardize` of an ndarray or tensor as a tensor of `dtype`; the shift, which takes digits, in float64."""
        if not isinstance(X, torch.Tensor):
            X = torch.from_numpy(np.require(X, np.float32 if X.dtype == np.float32 else np.float64, ["C", "W"]))
        wide = X.dtype if X.device.type == "mps" else torch.float64
        shift, scale = (torch.as_tensor(a).to(X.device, wide) for a in (self.shift, self.scale))
        x = torch.empty(X.shape, dtype=dtype, device=X.device)
        if X.dtype == dtype:
            return torch.sub(X, shift, out=x).div_(scale.to(dtype))
        return torch.div(X - shift, scale, out=x)  # float64 numbers may be too large for float32

    def _standardized_csr(self, X):
        """`standardize` of a CSR, dense: float64 for the stored cells alone, since most are zero and alike."""
        X = X if X.has_canonical_format else X.tocsr(copy=True)
        X.sum_duplicates()
        x = np.tile(self.standardize(np.zeros(X.shape[1])), (X.shape[0], 1))
        x[np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), X.indices] = self.standardize(
            X.data.astype(np.float64), X.indices
        )
        return x

    def filled(self, x):
        """Rows in the model's units with NaN as (x, mask).

        Missing cells hold a point inside the support of their column's family: selecting the masked cells' log-prob
        away would not do for one that is not finite, since 0 * inf in its gradient is NaN.
        """
        if bool(x.sum().isfinite()):  # a fraction of the time of a mask
            return x, None
        mask = ~x.isnan()
        if bool(mask.all()):
            return x, None
        return torch.where(mask, x, torch.tensor([family.interior for family in self.families]).to(x)), mask

    # ---------------------------------------------------------------- indicators

    def indicators(self, X):
        """Rows in the model's units (n, D) -> (n, D'): numbers as they are, a category as one column per level."""
        if self.is_number.all():
            return X
        parts = []
        for d, (C, is_number) in enumerate(zip(self.n_levels, self.is_number, strict=True)):
            column = X[:, [d]]
            parts.append(column if is_number else np.where(np.isnan(column), np.nan, column == np.arange(C)))
        return np.concatenate(parts, axis=1)

    def per_indicator(self, values):
        """Repeat what is known of a column (D,) for each of its indicators, (D',)."""
        return np.repeat(values, self.n_levels)

    def sums(self, values):
        """Sums over the indicators of each column, (D', ...) -> (D, ...)."""
        return np.add.reduceat(values, np.r_[0, self.n_levels.cumsum()[:-1]], axis=0)

    def smoothed(self, mean, n_rows):
        """Means of indicators with half a row more for each level of a category: none is impossible."""
        levels = self.per_indicator(self.n_levels)
        return np.where(self.per_indicator(self.is_number), mean, (mean * n_rows + 0.5) / (n_rows + 0.5 * levels))

    def tie_noise(self, noise):
        """Project noise variances of indicators (D',) on those that each column's family can have."""
        noise = noise.copy()
        for family, own in self._indicator_groups():
            noise[own] = family.tie_noise(noise[own])
        return noise

    def information_noise(self, mean, noise):
        """`Family.information_noise` of indicators with these means and noise variances, (D',) each."""
        noise = noise.copy()
        for family, own in self._indicator_groups():
            noise[own] = family.information_noise(mean[own], noise[own])
        return noise

    def _indicator_groups(self):
        """Each family with the indicators of its columns, bool (D',)."""
        owner = np.repeat(np.arange(len(self.families)), self.n_levels)
        return [(family, np.isin(owner, columns)) for family, columns in self.groups]

    def check_support(self, X):
        """Raise where a cell lies outside the support of its column's family."""
        bounded = [(family, columns) for family, columns in self.groups if family.units != "standard"]
        for _, block in blocks(X, X.shape[1]) if bounded else ():
            for family, columns in bounded:
                self._check_block(dense(block[:, columns]).astype(np.float64), family, columns)

    def _check_block(self, values, family, columns):
        values = torch.from_numpy(values)
        wrong = ~(family.support.check(values) | values.isnan())
        if bool(wrong.any()):
            row, column = (int(i) for i in wrong.nonzero()[0])
            raise ValueError(
                f"Column {self.label(columns[column])!r} has the value {float(values[row, column]):g}, outside the "
                f"support of its likelihood {family!r}. Use another likelihood, e.g. likelihood='gaussian', or "
                "correct the values."
            )


def _automatic(X, schema, margins):
    """By kind: Categorical for categories, Bernoulli for booleans and for arrays of zeros and ones, else Gaussian."""
    gaussian, bernoulli = Gaussian(), Bernoulli()
    categorical = {}
    families = []
    for d, kind in enumerate(schema.kinds):
        if kind == "category":
            C = schema.n_levels[d]
            families.append(categorical.setdefault(C, Categorical(C)))
        else:
            families.append(bernoulli if kind == "boolean" else gaussian)
    if schema.names is not None or schema.levels:
        return families
    is_binary = _only_zeros_and_ones(X) if margins is None else margins.is_binary
    return [bernoulli] * X.shape[1] if is_binary else families


def _only_zeros_and_ones(X):
    """Whether some cell is observed, and all that are hold 0 or 1."""
    some = False
    for _, block in blocks(X):
        values = stored(block)
        missing = np.isnan(values)
        if not np.all((values == 0) | (values == 1) | missing):
            return False
        some = some or not missing.all()
    return some
