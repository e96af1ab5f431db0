"""Columns of a fitted table: likelihood family, shift and scale, missing cells, log-Jacobian.

The model sees x = (X - shift) / scale, computed in float64 before any cast to float32, and then perhaps transformed by
a monotone map (`scalings`): x is in model space, X in data space. So densities in data space carry the log-Jacobian
sum_d ln dx_d / dX_d over the observed cells. Categories are category indices here, and X has one number per column:
`encoding` made them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy import sparse

from .._utils.arrays import on_host
from ..families.base import Family
from .assignment import assigned_families, position
from .moments import largest_deviation, moments
from .scalings import SCALINGS, Scaling
from .schema import Schema
from .selection import RowSelection, blocks, column, dense

__all__ = ["Columns"]

#: Of a field that is computed from rows: processes of one fit agree on it.
COMPUTED = {"is_computed": True}
_ROWS_OF_A_MAP = 1 << 20  # a map of a column is learned from these: the first, in a random order


@dataclass(frozen=True, eq=False)
class Columns:
    """Likelihood family, shift, scale and map of every column of one fitted table.

    `decide` chooses the families; `fitted_to` gives the same columns with the shifts, scales and maps of some rows.

    Parameters
    ----------
    schema : Schema
    families : list of Family (D,)
    scaling : {"standard", "global", "power", "quantile", None}
    shift, scale : ndarray (D,), float64
    maps : dict of int -> Scaling
        Of the columns that are transformed after shift and scale.
    reach : ndarray (D,), float64, optional
        The largest deviation of each column from its mean, 1 for a constant one, in the rows that the columns were
        fitted to first; None before.
    margins : Margins, optional
        What is known exactly of the columns of a table of which the rows at hand are a sample.
    """

    schema: Schema
    families: list[Family]
    scaling: str | None
    shift: np.ndarray = field(metadata=COMPUTED)
    scale: np.ndarray = field(metadata=COMPUTED)
    maps: dict[int, Scaling] = field(default_factory=dict, metadata=COMPUTED)
    reach: np.ndarray | None = field(default=None, metadata=COMPUTED)
    margins: Any = None

    @classmethod
    def decide(cls, X: RowSelection, schema: Schema, likelihood: Any, scaling: Any, margins: Any = None) -> "Columns":
        """Choose a family for each column of the validated table X; shift and scale are 0 and 1.

        Parameters
        ----------
        X : RowSelection (n, D)
        schema : Schema
        likelihood : "auto", Family, or list of ("auto" or Family, columns)
            Columns as in ColumnTransformer: a name or names of a frame, or an int, ints, a slice or a bool mask. Those
            that no entry names are "auto", and so are categories under a single family of numbers.
        scaling : {"standard", "global", "power", "quantile", None}
        margins : Margins, optional
        """
        return cls.unscaled(schema, assigned_families(X, schema, likelihood, margins), scaling, margins)

    @classmethod
    def unscaled(cls, schema: Schema, families: list[Family], scaling: Any, margins: Any = None) -> "Columns":
        """Columns of these families with shift 0 and scale 1."""
        shift, scale = np.zeros(len(families)), np.ones(len(families))
        return cls(schema, families, scaling, shift, scale, margins=margins)

    @property
    def is_number(self) -> np.ndarray:
        """Whether each column holds numbers and not category indices, (D,) bool."""
        return np.array([not family.nominal for family in self.families])

    @property
    def n_levels(self) -> np.ndarray:
        """Levels of each category, 1 for numbers: how many indicators stand for a column in a linear model, (D,)."""
        return np.array([family.n_raw if family.nominal else 1 for family in self.families])

    @property
    def groups(self) -> list[tuple[Family, list[int]]]:
        """Columns that share a family, as (Family, list of int)."""
        groups: dict[int, tuple[Family, list[int]]] = {}
        for d, family in enumerate(self.families):
            groups.setdefault(id(family), (family, []))[1].append(d)
        return list(groups.values())

    def has_units(self, *units: str) -> np.ndarray:
        """Which columns belong to a family with one of these `units`, (D,) bool."""
        return np.array([family.units in units for family in self.families])

    def label(self, d: int) -> Any:
        """The column's name, or "x3" for the fourth column of an array."""
        return self.schema.label(d)

    def position(self, key: Any, parameter: str = "likelihood") -> int:
        """The number of the column that a parameter names by its name or number."""
        return position(self.schema, key, parameter)

    def weights(self, column_weights: Any) -> list[float] | None:
        """What each column's log-prob counts in training, list of float (D,); None for 1 each.

        Parameters
        ----------
        column_weights : dict of column -> float, array-like (D,) or None
            A dict names columns as `likelihood` does; those that it does not name have 1.
        """
        if column_weights is None:
            return None
        weights: list[Any] = [1.0] * len(self.families)
        if isinstance(column_weights, dict):
            for key, weight in column_weights.items():
                weights[self.position(key, "column_weights")] = weight
        else:
            weights = list(column_weights)
        are_numbers = all(isinstance(w, Real) for w in weights) and all(0 <= w < np.inf for w in weights)
        if len(weights) != len(self.families) or not are_numbers:
            raise ValueError(
                "The 'column_weights' parameter of VAETransformer must be finite numbers of at least 0, one for each "
                f"of {len(self.families)} columns, or a dict of columns. Got {column_weights!r} instead."
            )
        return [float(w) for w in weights]

    # ---------------------------------------------------------------- data space <-> model space

    def fitted_to(self, X: RowSelection, weight: np.ndarray) -> "Columns":
        """The same columns with the shifts, scales and maps of rows X (n, D), NaN for missing, with their weights.

        A constant column has scale 1. The columns are fitted to all rows first; one that a later call finds constant in
        a part of them is scaled by its largest deviation, so that what the other part holds there does not depend on
        the unit.
        """
        mean, variance = moments(X, weight) if self.margins is None else self.margins.moments()
        self._refuse_overflow(variance)
        reach = self._reach(X, mean, variance) if self.reach is None else self.reach
        shift, scale = np.zeros(len(mean)), np.ones(len(mean))
        shifted, scaled = self.has_units("standard"), self.has_units("standard", "scale")
        if self.scaling is not None and scaled.any():
            shift[shifted] = mean[shifted]
            spread = variance[scaled].mean() if self.scaling == "global" else variance[scaled]
            scale[scaled] = np.sqrt(spread)
            scale = np.where(scale > 0, scale, reach)
        linear = replace(self, shift=shift, scale=scale, reach=reach, maps={})
        if self.scaling not in SCALINGS:
            return linear
        return replace(linear, maps={d: linear._fitted_map(X, weight, d) for d in np.flatnonzero(shifted).tolist()})

    def _refuse_overflow(self, variance: np.ndarray) -> None:
        too_large = ~np.isfinite(variance)
        if too_large.any():
            name = self.label(int(too_large.argmax()))
            raise ValueError(
                f"Column {name!r} has values whose variance overflows float64. Rescale or clip the column."
            )

    def _reach(self, X: RowSelection, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        deviation = largest_deviation(X if self.margins is None else self.margins.extremes(), mean)
        return np.where(variance > 0, deviation, 1.0)

    def _fitted_map(self, X: RowSelection, weight: np.ndarray, d: int) -> Scaling:
        n_rows = min(X.shape[0], _ROWS_OF_A_MAP)
        values, weight = column(X[:n_rows], d).astype(np.float64), weight[:n_rows]
        seen = ~np.isnan(values)
        return SCALINGS[self.scaling].fit(self.standardize(values[seen], d), weight[seen])

    def standardize(self, values: Any, columns: Any = slice(None)) -> Any:
        """Shift and scale values in data space, float64; without the map."""
        return (values - self.shift[columns]) / self.scale[columns]

    def working_array(self, X: Any) -> np.ndarray:
        """Dense float64 rows in model space, NaN for missing."""
        x = self.standardize(dense(X).astype(np.float64))
        for d, own in self.maps.items():
            x[:, d] = own.map(x[:, d])
        for d in self.loose_categories:
            x[:, d] = np.where(self.families[d].support.check(torch.from_numpy(x[:, d])), x[:, d], np.nan)
        return x

    @property
    def loose_categories(self) -> list[int]:
        """Columns of category indices that did not come out of `encode`: an unknown one counts as missing, too."""
        return [d for d in np.flatnonzero(~self.is_number).tolist() if d not in self.schema.levels]

    def to_data(self, x: torch.Tensor, as_draws: bool = False) -> np.ndarray:
        """Map values in model space (..., D) back to data space, float64 ndarray.

        With `as_draws` transformed columns take the fitted column's common values, which a density only comes near to.
        """
        values = x.detach().cpu().double().numpy().copy()
        for d, own in self.maps.items():
            values[..., d] = own.draw(values[..., d]) if as_draws else own.inverse(values[..., d])
        return values * self.scale + self.shift

    def log_slopes(self, X: np.ndarray) -> np.ndarray:
        """Ln dx_d / dX_d of rows in data space, (..., D), float64; NaN for a missing value of a transformed column."""
        slopes = np.broadcast_to(-np.log(self.scale), X.shape).copy()
        for d, own in self.maps.items():
            slopes[..., d] += own.log_slope(self.standardize(X[..., d], d))
        return slopes

    def log_jacobian(
        self, X: Any, mask: torch.Tensor | None, weights: np.ndarray | Sequence[float] | None = None
    ) -> torch.Tensor:
        """Sum over observed d of ln dx_d / dX_d: a 0-d tensor where it is the same for all rows, else (B,); float64.

        Parameters
        ----------
        X : rows of a table, in data space
        mask : Tensor (B, D) or None
        weights : ndarray (D,), optional
            Of the columns.
        """
        weights = np.ones(len(self.scale)) if weights is None else weights
        if not self.maps:
            slopes = torch.from_numpy(-np.log(self.scale) * weights)
            return slopes.sum() if mask is None else mask.cpu().double() @ slopes
        of_cells = self.log_slopes(dense(on_host(X)).astype(np.float64))
        observed = of_cells if mask is None else np.where(mask.cpu(), of_cells, 0.0)
        return torch.from_numpy(np.nan_to_num(observed) @ weights)

    # ---------------------------------------------------------------- tensors

    def tensors(self, X: Any, device: Any, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Rows of a table as (x, mask) for the model: x (B, D) of `dtype`, mask (B, D), None without missing values."""
        if self.maps or self.loose_categories:
            x = torch.from_numpy(self.working_array(on_host(X)))
        elif sparse.issparse(X):
            x = torch.from_numpy(self._standardized_csr(X))
        else:
            x = self._standardized(X, dtype)
        x, mask = self.filled(x.to(dtype))
        return x.to(device), None if mask is None else mask.to(device)

    def _standardized(self, X: Any, dtype: torch.dtype) -> torch.Tensor:
        """`standardize` of an ndarray or tensor as a tensor of `dtype`; the shift, which takes digits, in float64."""
        if not isinstance(X, torch.Tensor):
            X = torch.from_numpy(np.require(X, np.float32 if X.dtype == np.float32 else np.float64, ["C", "W"]))
        wide = X.dtype if X.device.type == "mps" else torch.float64
        shift, scale = (torch.as_tensor(a).to(X.device, wide) for a in (self.shift, self.scale))
        x = torch.empty(X.shape, dtype=dtype, device=X.device)
        if X.dtype == dtype:
            return torch.sub(X, shift, out=x).div_(scale.to(dtype))
        return torch.div(X - shift, scale, out=x)  # float64 numbers may be too large for float32

    def _standardized_csr(self, X: Any) -> np.ndarray:
        """`standardize` of a CSR, dense: float64 for the stored cells alone, since most are zero and alike."""
        X = X if X.has_canonical_format else X.tocsr(copy=True)
        X.sum_duplicates()
        x = np.tile(self.standardize(np.zeros(X.shape[1])), (X.shape[0], 1))
        x[np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), X.indices] = self.standardize(
            X.data.astype(np.float64), X.indices
        )
        return x

    def filled(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Rows in model space with NaN as (x, mask).

        Missing cells hold a point inside the support of their column's family: selecting the masked cells' log-prob
        away would not do for one that is not finite, since 0 * inf in its gradient is NaN.
        """
        if bool(x.sum().isfinite()):  # a fraction of the time of a mask
            return x, None
        mask = ~x.isnan()
        if bool(mask.all()):
            return x, None
        return torch.where(mask, x, torch.tensor([family.interior for family in self.families]).to(x)), mask

    def check_support(self, X: Any) -> None:
        """Raise where a cell lies outside the support of its column's family."""
        bounded = [(family, columns) for family, columns in self.groups if family.units != "standard"]
        for _, block in blocks(X, X.shape[1]) if bounded else ():
            for family, columns in bounded:
                self._check_block(dense(block[:, columns]).astype(np.float64), family, columns)

    def _check_block(self, cells: np.ndarray, family: Family, columns: list[int]) -> None:
        values = torch.from_numpy(cells)
        wrong = ~(family.support.check(values) | values.isnan())
        if bool(wrong.any()):
            row, column = (int(i) for i in wrong.nonzero()[0])
            raise ValueError(
                f"Column {self.label(columns[column])!r} has the value {float(values[row, column]):g}, outside the "
                f"support of its likelihood {family!r}. Use another likelihood, e.g. likelihood='gaussian', or "
                "correct the values."
            )
