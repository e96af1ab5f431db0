"""Table <-> tensors: column names and kinds, units, missing mask, log-Jacobian, frames back.

The only module that knows data frames. The model sees x = (X - shift) / scale, computed in float64 before any cast to
float32; so densities in data units carry the log-Jacobian -sum_d ln scale_d over the observed cells.
"""

from numbers import Integral

import narwhals as nw
import numpy as np
import torch
from scipy import sparse

from .discrete_families import Bernoulli
from .family import Family
from .real_families import Gaussian
from .rows import dense, largest_deviation, moments

__all__ = ["Columns", "TableInfo"]

_ROWS_PER_CHECK = 4096


class TableInfo:
    """What a table says of itself before it is validated into a plain float array: names, library, bool columns."""

    def __init__(self, X):
        frame = nw.from_native(X, eager_only=True, pass_through=True)
        self.is_frame = isinstance(frame, nw.DataFrame)
        self.names = list(frame.columns) if self.is_frame else None
        self.library = frame.implementation.name.lower() if self.is_frame else None
        if self.is_frame:
            self.bool_columns = [d for d, dtype in enumerate(frame.schema.values()) if dtype == nw.Boolean]
        else:
            all_bool = str(getattr(X, "dtype", "")).rsplit(".", 1)[-1] == "bool"
            self.bool_columns = slice(None) if all_bool else []


class Columns:
    """Units and likelihood family of every column of one fitted table.

    Parameters
    ----------
    names : list of str, or None for an array
    library : str or None
        "pandas", "polars", ...: what `frame` returns.
    families : list of Family (D,)
    scaling : {"standard", "global", None}

    Attributes
    ----------
    shift, scale : ndarray (D,), float64
    """

    def __init__(self, info, families, scaling):
        self.names = info.names
        self.library = info.library
        self.families = families
        self.scaling = scaling

    @classmethod
    def decide(cls, X, info, likelihood, scaling):
        """Choose a family for each column of the validated table X.

        Parameters
        ----------
        likelihood : "auto", Family, or list of ("auto" or Family, columns)
            Columns as in ColumnTransformer: a name or names of a frame, or an int, ints, a slice or a bool mask. Those
            that no entry names are "auto".
        """
        columns = cls(info, _automatic(X, info), scaling)
        entries = likelihood if isinstance(likelihood, list) else [(likelihood, slice(None))]
        named = set()
        for family, key in entries:
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
        if not family.observable:
            names = [self.label(d) for d in positions[:3]]
            raise ValueError(f"{family!r} is a family of posteriors: no column can be of it, but {names} are to be.")
        if type(family).for_column is Family.for_column:  # a wide table is not cut into columns for nothing
            for d in positions:
                self.families[d] = family
            return
        agreeing = {}
        for d in positions:
            values = dense(X[:, [d]])[:, 0]
            own = family.for_column(values[~np.isnan(values)])
            self.families[d] = agreeing.setdefault(repr(own), own)

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

    def _position(self, key):
        if isinstance(key, Integral) and -len(self.families) <= key < len(self.families):
            return int(key) % len(self.families)
        if self.names is not None and key in self.names:
            return self.names.index(key)
        has = f"columns {self.names}" if self.names is not None else f"{len(self.families)} columns without names"
        raise ValueError(f"The 'likelihood' parameter names the column {key!r}, which X does not have: it has {has}.")

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
        return self.names[d] if self.names is not None else f"x{d}"

    def fit_units(self, X, weight):
        """Set shift and scale from rows X (n, D), ndarray or CSR with NaN for missing, and their weights.

        A constant column has scale 1. The first call sees all rows; one that a later call finds constant in a part of
        them is scaled by its largest deviation, so that what the other part holds there does not depend on the unit.
        """
        mean, variance = moments(X, weight)
        too_large = ~np.isfinite(variance)
        if too_large.any():
            name = self.label(int(too_large.argmax()))
            raise ValueError(
                f"Column {name!r} has values whose variance overflows float64. Rescale or clip the column."
            )
        if not hasattr(self, "reach"):
            self.reach = np.where(variance > 0, largest_deviation(X, mean), 1.0)
        self.shift, self.scale = np.zeros(len(mean)), np.ones(len(mean))
        shifted, scaled = self.has_units("standard"), self.has_units("standard", "scale")
        if self.scaling is not None and scaled.any():
            self.shift[shifted] = mean[shifted]
            spread = variance[scaled] if self.scaling == "standard" else variance[scaled].mean()
            self.scale[scaled] = np.sqrt(spread)
            self.scale = np.where(self.scale > 0, self.scale, self.reach)
        return self

    def standardize(self, values, columns=slice(None)):
        """Map data units to the model's, float64."""
        return (values - self.shift[columns]) / self.scale[columns]

    def working_array(self, X):
        """Dense float64 rows in the model's units, NaN for missing."""
        return self.standardize(dense(X).astype(np.float64))

    def tensors(self, X, device, dtype):
        """Rows of a table as (x, mask) for the model: x (B, D) of `dtype`, mask (B, D) or None if nothing is missing.

        Missing cells hold a point inside the support of their column's family: selecting the masked cells' log-prob
        away would not do for one that is not finite, since 0 * inf in its gradient is NaN.
        """
        if isinstance(X, torch.Tensor):
            x = X.to(torch.float64 if X.device.type != "mps" else X.dtype)
            shift, scale = (torch.as_tensor(a).to(x) for a in (self.shift, self.scale))
            x = (x - shift) / scale
        else:
            x = torch.from_numpy(self.working_array(X))
        mask = ~x.isnan()
        mask = None if bool(mask.all()) else mask.to(device)
        if mask is not None:
            x = torch.where(x.isnan(), torch.tensor([family.interior for family in self.families]).to(x), x)
        return x.to(dtype).to(device), mask

    def log_jacobian(self, mask=None):
        """-sum over observed d of ln scale_d: a 0-d tensor where nothing is missing, else (B,); float64 on the CPU."""
        log_scale = torch.from_numpy(np.log(self.scale))
        return -(log_scale.sum() if mask is None else mask.cpu().double() @ log_scale)

    def to_data(self, x):
        """Map rows in the model's units (n, D) back to data units, float64 ndarray."""
        return x.detach().cpu().double().numpy() * self.scale + self.shift

    def tie_noise(self, noise):
        """Project noise variances (D,) on those that each column's family can have."""
        noise = noise.copy()
        for family, columns in self.groups:
            noise[columns] = family.tie_noise(noise[columns])
        return noise

    def check_support(self, X):
        """Raise where a cell lies outside the support of its column's family."""
        for family, columns in self.groups:
            if family.units == "standard":
                continue
            for i in range(0, X.shape[0], _ROWS_PER_CHECK):  # a wide CSR is not densified whole
                self._check_block(dense(X[i : i + _ROWS_PER_CHECK][:, columns]), family, columns)

    def _check_block(self, values, family, columns):
        values = torch.from_numpy(np.require(values, requirements="W"))
        wrong = ~(family.support.check(values) | values.isnan())
        if bool(wrong.any()):
            row, column = (int(i) for i in wrong.nonzero()[0])
            raise ValueError(
                f"Column {self.label(columns[column])!r} has the value {float(values[row, column]):g}, outside the "
                f"support of its likelihood {family!r}. Use another likelihood, e.g. likelihood='gaussian', or "
                "correct the values."
            )

    def frame(self, values, index=None):
        """Put rows (n, D) into a frame of the library the table came from; an array where it was one."""
        if self.names is None:
            return values
        if self.library == "pandas":  # by itself: it takes names that are not strings
            import pandas as pd

            return pd.DataFrame(values, columns=self.names, index=index)
        return nw.from_numpy(np.ascontiguousarray(values), schema=self.names, backend=self.library).to_native()


def _automatic(X, info):
    """Bernoulli for bool columns and for arrays that hold only 0 and 1, else Gaussian."""
    is_bool = np.zeros(X.shape[1], bool)
    is_bool[info.bool_columns] = True
    if not info.is_frame and _only_zeros_and_ones(X):
        is_bool[:] = True
    gaussian, bernoulli = Gaussian(), Bernoulli()
    return [bernoulli if b else gaussian for b in is_bool]


def _only_zeros_and_ones(X):
    values = X.data if sparse.issparse(X) else X
    missing = np.isnan(values)
    return bool(np.all((values == 0) | (values == 1) | missing)) and not missing.all()
