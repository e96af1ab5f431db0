"""Columns of a fitted table: likelihood family, shift and scale, missing cells, log-Jacobian.

The model sees x = (X - shift) / scale, computed in float64 before any cast to float32, and then perhaps transformed by
a monotone map (`scalings`): x is in model space, X in data space. So densities in data space carry the log-Jacobian
sum_d ln dx_d / dX_d over the observed cells. Categories are category indices here, and X has one number per column:
`encoding` made them.

A cell further out than `FARTHEST` counts as if it lay there, and one that float32 would round onto a border of its
family's support stays beside it, so that all that the model makes of a finite cell is finite.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch.distributions.constraints import Constraint

from .._utils.arrays import on_host
from ..families.base import Family
from ..families.discrete import Constant
from ..families.domains import families_for
from ..families.given import Given
from .assignment import assigned_families, position, with_constants
from .moments import extremes, moments
from .scalings import SCALINGS, Scaling
from .schema import Schema
from .selection import RowSelection, blocks, column, dense

__all__ = ["FARTHEST", "NEXT_TO_ONE", "NEXT_TO_ZERO", "Columns"]

#: The largest absolute value in model space. What squares it and divides by a variance stays in the range of float32.
FARTHEST = 1e12
#: What float32 can tell from 0 and from 1.
NEXT_TO_ZERO, NEXT_TO_ONE = float(np.finfo(np.float32).tiny), 1 - 2.0**-24
#: Of a field that is computed from rows: processes of one fit agree on it.
COMPUTED = {"is_computed": True}
#: Nats that a cell of a constant column costs with another value; equal to six digits is no other value.
COST_OF_ANOTHER_VALUE = 20.0
SAME = 1e-6
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
        The largest deviation of each column from its mean in the rows that the columns were fitted to first, the size
        of its value for a constant one; None before.
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
    def decide(
        cls,
        X: RowSelection,
        schema: Schema,
        likelihood: Any,
        scaling: Any,
        margins: Any = None,
        more_may_come: bool = False,
    ) -> "Columns":
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
        more_may_come : bool
            Whether the rows are the first part of a table, so that one value in a column does not make it constant.
        """
        families = assigned_families(X, schema, likelihood, margins, scaling)
        if not more_may_come:
            low, high = extremes(X) if margins is None else margins.extremes()
            families = with_constants(families, low, high)
        return cls.unscaled(schema, families, scaling, margins)

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
    def atoms(self) -> dict[int, Sequence[float]]:
        """The values that have a probability of their own beside a density, of the columns that have some."""
        return {d: family.atoms for d, family in enumerate(self.families) if family.atoms}

    @property
    def is_constant(self) -> np.ndarray:
        """Which columns have one value, or none, (D,) bool."""
        return np.array([isinstance(family, Constant) for family in self.families])

    @property
    def is_given(self) -> np.ndarray:
        """Which columns are given and not modelled, (D,) bool."""
        return np.array([isinstance(family, Given) for family in self.families])

    @property
    def n_directions(self) -> int:
        """The directions in which modelled rows can vary: one of a number that varies, C - 1 of a category."""
        directions = np.where(self.is_number, ~self.is_constant, self.n_levels - 1)
        return int(directions[~self.is_given].sum())

    @property
    def given(self) -> list[int]:
        """The columns that are given, in the table's order."""
        return np.flatnonzero(self.is_given).tolist()

    @property
    def exposures(self) -> dict[int, int]:
        """Column -> the given one that is its exposure, of the columns that have one."""
        return {d: family.exposure for d, family in enumerate(self.families) if family.exposure is not None}

    @property
    def supports(self) -> dict[int, Constraint]:
        """Where the numbers of a column lie, of the columns that are not on the whole line."""
        bounded = self.is_number & ~self.has_units("standard")
        return {d: self.families[d].support for d in np.flatnonzero(bounded).tolist()}

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
                d = self.position(key, "column_weights")
                if d in self.given:
                    raise ValueError(
                        f"The 'column_weights' parameter names column {self.label(d)!r}, which is one of the "
                        "'conditions': it has no likelihood that could be weighted. Leave it out."
                    )
                weights[d] = weight
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

        The columns are fitted to all rows first; one that a later call finds constant in a part of them is scaled by
        its largest deviation, so that what the other part holds there does not depend on the unit. The shift of a
        `Constant` column is its value, NaN where there is none.
        """
        mean, variance = moments(X, weight) if self.margins is None else self.margins.moments()
        is_constant, is_given = self.is_constant, self.is_given
        self._refuse_overflow(np.where(is_constant, 0.0, variance))
        shift, scale = np.zeros(len(mean)), np.ones(len(mean))
        reach, value = self.reach, self.shift
        if reach is None:
            value, high = extremes(X) if self.margins is None else self.margins.extremes()
            reach = self._reach(value, high, mean, variance)
        shift[is_constant] = value[is_constant]
        units_of = ("standard",), ("standard", "scale")
        shifted, scaled = (self.has_units(*units) & ~is_constant & ~is_given for units in units_of)
        if self.scaling is not None and scaled.any():
            shift[shifted] = mean[shifted]
            spread = variance[scaled].mean() if self.scaling == "global" else variance[scaled]
            scale[scaled] = np.sqrt(spread)
            scale = np.where(scale > 0, scale, reach)
        for d in self.given:
            if d in self.schema.exposures:
                scale[d] = mean[d]
            elif self.families[d].n_levels is None:
                shift[d], scale[d] = mean[d], np.sqrt(variance[d]) or reach[d]
        is_near = is_constant | is_given | (shifted & (self.scaling is not None))
        self._refuse_far(np.where(is_near, 0.0, np.abs(mean - shift) + reach) / scale)
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

    def _refuse_far(self, farthest: np.ndarray) -> None:
        too_far = farthest > FARTHEST
        if too_far.any():
            d = int(too_far.argmax())
            raise ValueError(
                f"Column {self.label(d)!r} has values of {farthest[d]:.0e} in the units of the model, which goes to "
                f"{FARTHEST:.0e}. Rescale the column, or use scaling='standard' and likelihood='gaussian' for it."
            )

    @staticmethod
    def _reach(low: np.ndarray, high: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """What a column without variance is divided by: not 1, lest its noise depend on the unit."""
        deviation = np.where(variance > 0, np.maximum(high - mean, mean - low), np.abs(mean))
        return np.where(deviation > 0, deviation, 1.0)

    def _fitted_map(self, X: RowSelection, weight: np.ndarray, d: int) -> Scaling:
        n_rows = min(X.shape[0], _ROWS_OF_A_MAP)
        values, weight = column(X[:n_rows], d).astype(np.float64), weight[:n_rows]
        seen = ~np.isnan(values)
        return SCALINGS[self.scaling].fit(self.standardize(values[seen], d), weight[seen])

    def standardize(self, values: Any, columns: Any = slice(None)) -> Any:
        """Shift and scale values in data space, float64, up to `FARTHEST`; without the map."""
        with np.errstate(over="ignore"):
            x = np.clip((values - self.shift[columns]) / self.scale[columns], -FARTHEST, FARTHEST)
        if not self.with_borders:
            return x
        inside = np.isin(np.arange(len(self.families)), self.with_borders)[columns]
        x = np.where(inside & (values > 0), np.maximum(x, NEXT_TO_ZERO), x)
        return np.where(inside & (x < 1), np.minimum(x, NEXT_TO_ONE), x)

    def working_array(self, X: Any) -> np.ndarray:
        """Dense float64 rows in model space, NaN for missing."""
        x = self.standardize(dense(X).astype(np.float64))
        is_constant = self.is_constant
        if is_constant.any():
            x[..., is_constant] = np.where(np.isnan(x[..., is_constant]), np.nan, 0.0)  # no network sees other values
        for d, own in self.maps.items():
            x[:, d] = np.clip(own.map(x[:, d]), -FARTHEST, FARTHEST)
        for d in self.loose_categories:
            x[:, d] = np.where(self.families[d].support.check(torch.from_numpy(x[:, d])), x[:, d], np.nan)
        return x

    def known_moments(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and variance of each column in model space, if they follow from margins of the whole table."""
        if self.margins is None or self.maps or not self.is_number.all():
            return None
        mean, variance = self.margins.moments()
        mean = np.where(self.margins.count > 0, (mean - self.shift) / self.scale, 0.0)
        return np.where(self.is_constant, 0.0, mean), np.where(self.margins.count > 0, variance / self.scale**2, 1.0)

    @property
    def loose_categories(self) -> list[int]:
        """Columns of category indices that did not come out of `encode`: an unknown one counts as missing, too."""
        return [d for d in np.flatnonzero(~self.is_number).tolist() if d not in self.schema.levels]

    @property
    def with_borders(self) -> list[int]:
        """Columns of numbers that may come as near as they like to a border, 0 or 1, of their support."""
        amounts = [d for d, f in enumerate(self.families) if f.units != "standard" and not f.support.is_discrete]
        return sorted([*amounts, *self.schema.exposures])

    def to_data(self, x: torch.Tensor) -> np.ndarray:
        """Map values in model space (..., D) back to data space, float64 ndarray."""
        values = x.detach().cpu().double().numpy().copy()
        for d, own in self.maps.items():
            values[..., d] = own.inverse(values[..., d])
        return values * self.scale + self.shift

    def moments_of_transformed(self, u: torch.Tensor, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance in data space of the columns in `maps`, (..., len(maps)), float64.

        Parameters
        ----------
        u : Tensor (Q,)
            Equally spaced standard normal noise.
        x : Tensor (Q, ..., D)
            The values in model space that this noise becomes.
        """
        own = list(self.maps)
        nodes, values = u.cpu().double().numpy(), x[..., own].detach().cpu().double().numpy()
        pairs = [self.maps[d].mean_and_variance(nodes, values[..., i]) for i, d in enumerate(own)]
        mean, variance = (np.stack(moment, -1) for moment in zip(*pairs, strict=True))
        return mean * self.scale[own] + self.shift[own], variance * np.square(self.scale[own])

    def log_slopes(self, X: np.ndarray) -> np.ndarray:
        """Ln dx_d / dX_d of rows in data space, (..., D), float64; NaN for a missing value of a transformed column.

        At an atom it is 0: a probability has no units. Of a constant column it is 0, or what another value costs.
        """
        slopes = np.broadcast_to(self.slopes, X.shape).copy()
        for d, own in self.maps.items():
            slopes[..., d] += own.log_slope(self.standardize(X[..., d], d))
        for d, atoms in self.atoms.items():
            slopes[..., d][np.isin(X[..., d], atoms)] = 0.0
        for d in np.flatnonzero(self.is_constant).tolist():
            is_other = ~np.isclose(X[..., d], self.shift[d], rtol=SAME, atol=0.0) & ~np.isnan(X[..., d])
            slopes[..., d] = np.where(is_other, -COST_OF_ANOTHER_VALUE, 0.0)
        return slopes

    @property
    def slopes(self) -> np.ndarray:
        """Ln 1 / scale, and 0 for columns that are given, (D,)."""
        return np.where(self.is_given, 0.0, -np.log(self.scale))

    @property
    def has_one_slope(self) -> bool:
        """Whether ln dx_d / dX_d is the same for all cells of a column."""
        return not self.maps and not self.atoms and not self.is_constant.any()

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
        if self.has_one_slope:
            slopes = torch.from_numpy(self.slopes * weights)
            return slopes.sum() if mask is None else mask.cpu().double() @ slopes
        of_cells = self.log_slopes(dense(on_host(X)).astype(np.float64))
        observed = of_cells if mask is None else np.where(mask.cpu(), of_cells, 0.0)
        return torch.from_numpy(np.nan_to_num(observed) @ weights)

    def sum_of_log_jacobians(self, n_rows: int, weights: np.ndarray | Sequence[float] | None = None) -> float | None:
        """The sum of `log_jacobian` over a whole table of so many rows, where its margins tell; else None."""
        if self.margins is None or self.margins.n_rows != n_rows or not self.has_one_slope:
            return None
        return float(self.margins.count @ (self.slopes * (1.0 if weights is None else np.asarray(weights))))

    # ---------------------------------------------------------------- tensors

    def tensors(self, X: Any, device: Any, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Rows of a table as (x, mask) for the model: x (B, D) of `dtype`, mask (B, D), None without missing values."""
        if self.maps or self.loose_categories:
            x = torch.from_numpy(self.working_array(on_host(X)))
        elif sparse.issparse(X):
            x = torch.from_numpy(self._standardized_csr(X))
        else:
            x = self._standardized(X, dtype)
        x, mask = self.filled(self._without_constants(x).to(dtype))
        return x.to(device), None if mask is None else mask.to(device)

    def _without_constants(self, x: torch.Tensor) -> torch.Tensor:
        """Zero in every constant column, NaN where the cell is missing: no network sees another value."""
        is_constant = self.is_constant
        if is_constant.any():
            columns = torch.from_numpy(np.flatnonzero(is_constant)).to(x.device)
            x[:, columns] = torch.where(x[:, columns].isnan(), x[:, columns], 0.0)
        return x

    def _standardized(self, X: Any, dtype: torch.dtype) -> torch.Tensor:
        """`standardize` of an ndarray or tensor as a tensor of `dtype`; the shift, which takes digits, in float64."""
        if not isinstance(X, torch.Tensor):
            X = torch.from_numpy(np.require(X, np.float32 if X.dtype == np.float32 else np.float64, ["C", "W"]))
        wide = X.dtype if X.device.type == "mps" else torch.float64
        shift, scale = (torch.as_tensor(a).to(X.device, wide) for a in (self.shift, self.scale))
        x = torch.empty(X.shape, dtype=dtype, device=X.device)
        if X.dtype == dtype:
            torch.sub(X, shift, out=x).div_(scale.to(dtype))
        else:
            torch.div(X - shift, scale, out=x)  # float64 numbers may be too large for float32
        if own := self.with_borders:
            x[:, own] = torch.from_numpy(self.standardize(on_host(X[:, own]).astype(np.float64), own)).to(x)
        return x.clamp_(-FARTHEST, FARTHEST)

    def _standardized_csr(self, X: Any) -> np.ndarray:
        """`standardize` of a CSR, dense: float64 for the stored cells alone, since most are zero and alike."""
        x = np.tile(self.standardize(np.zeros(X.shape[1])), (X.shape[0], 1))
        x[np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), X.indices] = self.standardize(
            X.data.astype(np.float64), X.indices
        )
        return x

    def given_tensor(self, cells: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        """Cells of the given columns in data space (n, G), NaN for a missing category, in model space, as `like` is."""
        return torch.from_numpy(self.standardize(cells, self.given)).to(like)

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
                values = torch.from_numpy(dense(block[:, columns]).astype(np.float64))
                wrong = ~(family.support.check(values) | values.isnan())
                if bool(wrong.any()):
                    row, d = (int(i) for i in wrong.nonzero()[0])
                    self._refuse_value(X, columns[d], float(values[row, d]))

    def _refuse_value(self, X: Any, d: int, value: float) -> None:
        *others, last = (repr(name) for name in families_for(column(X, d).astype(np.float64)))
        raise ValueError(
            f"Column {self.label(d)!r} has the value {value:g}, outside the support of its likelihood "
            f"{self.families[d]!r}. Use a likelihood that holds all values of the column, {', '.join(others)} or "
            f"{last}, or correct the values."
        )
