"""Statistics of a table in chunks, taken in one pass with bounded memory; those of two passes merge into one.

A table comes as chunks: arrays, frames, CSR matrices of the same columns. The statistics do not depend on how the rows
were cut into chunks, on their order, or on the order of the merges: the schema is a union, the moments are merged
exactly, and the sample holds the rows whose content has the smallest hashes.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from .._utils.arrays import accepted_dtypes, on_host
from .._utils.checks import check_parameters
from .._utils.compat import StrOptions
from .canonical import distinct, row_hash
from .encoding import encode, recoded, refuse_other_cells
from .frames import as_frame, readable
from .intake import as_table
from .moments import settled
from .schema import Schema
from .selection import RowSelection, blocks, dense
from .union import union

__all__ = ["Margins", "Outline", "TableStatistics", "count_rows", "named"]

_CELLS_SAMPLED = 1 << 22  # 32 MB


class TableStatistics:
    """Statistics of a table in chunks: its columns and categories, exact moments, and a random sample of its rows.

    The statistics of the parts of a table merge into those of the whole. Every cut into chunks, every order of the rows
    and every order of the merges gives the same categories, the same sample, and the same moments up to rounding. So
    statistics can be computed on many machines, and pickled. `VAETransformer.fit_statistics` computes the statistics of
    a table, or accepts existing ones.

    The sample has at most 2^22 cells (32 MB). An update needs three times that in memory, and four times the encoded
    chunk (8 bytes per cell).

    Parameters
    ----------
    categorical_features : {"auto", "from_dtype"}, mask, indices, names or None, default="auto"
        As in `VAETransformer`.

    Attributes
    ----------
    n_rows, n_chunks : int
        Numbers of rows and of chunks so far.
    mean, variance : ndarray of shape (n_features,)
        Mean and variance of the observed values of each column of numbers; 0 and 1 for categories and for columns
        without observed values.
    lowest, highest : ndarray of shape (n_features,)
        The smallest and the largest value of each column of numbers; NaN for categories and for columns without
        observed values.

    See Also
    --------
    VAETransformer.fit_statistics : Start a model from them.

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
    Stanford 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import TableStatistics
    >>> X = np.random.default_rng(0).normal(size=(1000, 3))
    >>> first = TableStatistics().update(X[:700])
    >>> second = TableStatistics().update(X[700:])
    >>> both = first.merge(second)
    >>> both.n_rows
    1000
    >>> both.mean.round(2), X.mean(axis=0).round(2)
    (array([-0.1 ,  0.03, -0.03]), array([-0.1 ,  0.03, -0.03]))
    """

    _parameter_constraints = {"categorical_features": [StrOptions({"auto", "from_dtype"}), "array-like", None]}

    def __init__(self, categorical_features: str | Sequence | None = "auto") -> None:
        self.categorical_features = categorical_features
        self._outline = Outline(categorical_features)
        self._margins: Any = None
        self._sample: Any = None

    def update(self, chunk: Any) -> "TableStatistics":
        """Take the rows of one more chunk into account.

        The position of the chunk in the table, and the way in which the table is cut, make no difference up to
        rounding.

        Parameters
        ----------
        chunk : array-like, frame or CSR of shape (n_samples, n_features)
            Rows, in which values may be missing. A chunk without rows changes nothing but `n_chunks`.

        Returns
        -------
        TableStatistics
            These statistics themselves.

        Raises
        ------
        ValueError
            The chunk has other columns than those before, a column of another kind, or cells that no model accepts. The
            message gives the number of the chunk, from 1; the statistics stay as they were. Bad parameters raise it,
            too.

        See Also
        --------
        merge : Take other statistics into account.

        Examples
        --------
        >>> import pandas as pd
        >>> from skvae import TableStatistics
        >>> statistics = TableStatistics()
        >>> for chunk in (pd.DataFrame({"kind": ["cat"], "age": [3]}), pd.DataFrame({"kind": ["dog"], "age": [7]})):
        ...     statistics = statistics.update(chunk)
        >>> statistics.mean
        array([0., 5.])
        """
        parameters = {"categorical_features": self.categorical_features}
        check_parameters(self._parameter_constraints, parameters, type(self).__name__)
        new = TableStatistics(self.categorical_features)
        with named(self.n_chunks + 1):
            new._look_at(as_table(chunk), self._sample and self._sample.threshold)
            return self.merge(new)

    def merge(self, other: "TableStatistics") -> "TableStatistics":
        """Take the statistics of other rows of the same table into account.

        The other statistics may come from another machine, since statistics can be pickled.

        Parameters
        ----------
        other : TableStatistics
            Statistics of the other rows, which stay as they are.

        Returns
        -------
        TableStatistics
            These statistics themselves.

        Raises
        ------
        TypeError
            `other` is not `TableStatistics`.
        ValueError
            The other rows have other columns, or a column of another kind.

        See Also
        --------
        update : Take a chunk into account.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import TableStatistics
        >>> TableStatistics().update(np.eye(3)).merge(TableStatistics().update(np.ones((2, 3)))).highest
        array([1., 1., 1.])
        """
        if not isinstance(other, TableStatistics):
            raise TypeError(
                "The 'other' parameter of TableStatistics.merge must be TableStatistics. Got an object of type "
                f"{type(other).__name__} instead."
            )
        outline = self._outline.merged(other._outline)
        if other.n_rows:
            self._margins = other._margins if self._margins is None else self._margins.merged(other._margins)
            mine, new = (s.n_rows and s._sample.recoded(outline.schema, s._outline.schema) for s in (self, other))
            self._sample = mine.merged(new) if mine else new
        self._outline = outline
        return self

    @property
    def _rows(self) -> tuple[RowSelection, np.ndarray]:
        """The sample as a selection of distinct encoded rows, in a random order, and how often each came."""
        return RowSelection(self._sample.rows), self._sample.count

    def _look_at(self, chunk: Any, threshold: np.uint64 | None) -> None:
        """The statistics of one chunk; of its sample only rows with hashes up to a threshold are wanted."""
        self._outline.look_at(chunk)
        if self.n_rows:
            schema = self._outline.schema
            X = encoded(chunk, schema)
            self._margins = Margins.of(X, sorted(schema.levels))
            self._sample = Sample.of(X, schema, threshold)

    @property
    def n_rows(self) -> int:
        """Number of rows so far."""
        return self._outline.n_rows

    @property
    def n_chunks(self) -> int:
        """Number of chunks so far, those without rows included."""
        return self._outline.n_chunks

    @property
    def _observed(self) -> "Margins":
        if self._margins is None:
            raise AttributeError("These TableStatistics have seen no rows yet. Call update(chunk) first.")
        return self._margins

    @property
    def mean(self) -> np.ndarray:
        """Mean of the observed values of each column, (D,); 0 for categories."""
        return self._observed.moments()[0]

    @property
    def variance(self) -> np.ndarray:
        """Variance of the observed values of each column, (D,); 1 for categories."""
        return self._observed.moments()[1]

    @property
    def lowest(self) -> np.ndarray:
        """The smallest value of each column, (D,); NaN for categories."""
        return self._observed.lowest

    @property
    def highest(self) -> np.ndarray:
        """The largest value of each column, (D,); NaN for categories."""
        return self._observed.highest

    def __repr__(self) -> str:
        return f"<TableStatistics of {self.n_rows} rows in {self.n_chunks} chunks>"


class Outline:
    """What chunks are together: their schema, how many rows and chunks, and the dtype that holds their numbers."""

    def __init__(self, categorical_features: Any) -> None:
        self.categorical_features = categorical_features
        self.schema: Any = None  # a Schema after the first row
        self.dtype: Any = None
        self.n_rows = self.n_chunks = 0

    def update(self, chunk: Any) -> None:
        """Take one more chunk into account."""
        new = Outline(self.categorical_features)
        with named(self.n_chunks + 1):
            new.look_at(chunk)
            both = self.merged(new)
        self.schema, self.dtype = both.schema, both.dtype
        self.n_rows, self.n_chunks = both.n_rows, both.n_chunks

    def look_at(self, chunk: Any) -> None:
        """Be the outline of one chunk; nothing is learned from one without rows."""
        self.n_rows, self.n_chunks = count_rows(chunk), 1
        if self.n_rows:
            self.schema = Schema.learn(chunk, self.categorical_features)
            self.dtype = _dtype(chunk, self.schema)

    def merged(self, other: "Outline") -> "Outline":
        """The outline of both."""
        both = copy.copy(other if self.schema is None else self)
        both.n_rows, both.n_chunks = self.n_rows + other.n_rows, self.n_chunks + other.n_chunks
        if self.schema is not None and other.schema is not None:
            both.schema = union(self.schema, other.schema)
            both.dtype = np.promote_types(self.dtype, other.dtype) if both.schema.is_plain else np.dtype(np.float64)
        return both

    @property
    def head(self) -> Any:
        """A table of these columns without rows, with their names."""
        return np.empty((0, len(self.schema.kinds))) if self.schema.names is None else self.schema.template


@dataclass
class Margins:
    """Number, mean, sum of squared deviations and extremes of the observed values of each column, (D,).

    Categories have no number and count as not observed, but for `has_missing`.
    """

    n_rows: int
    count: np.ndarray
    mean: np.ndarray
    second: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    has_missing: np.ndarray  # of categories, too
    is_binary: bool  # whether every cell that is observed is 0 or 1

    @classmethod
    def of(cls, X: Any, categories: Sequence[int]) -> "Margins":
        """The margins of rows (n, D), of which some columns hold category indices."""
        whole: Any = None
        for _, block in blocks(X):
            part = cls._of_block(block.astype(np.float64), categories)
            whole = part if whole is None else whole.merged(part)
        return whole

    @classmethod
    def _of_block(cls, x: np.ndarray, categories: Sequence[int]) -> "Margins":
        has_missing = np.isnan(x).any(0)
        x[:, categories] = np.nan
        is_there = ~np.isnan(x)
        count = is_there.sum(0)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses what is not finite, by column name
            mean = np.where(is_there, x, 0.0).sum(0) / np.maximum(count, 1)
            second = np.square(np.where(is_there, x - mean, 0.0)).sum(0)
        is_binary = bool(np.all((x == 0) | (x == 1) | ~is_there))
        return cls(len(x), count, mean, second, np.fmin.reduce(x), np.fmax.reduce(x), has_missing, is_binary)

    def merged(self, other: "Margins") -> "Margins":
        """The margins of both (Chan, Golub & LeVeque 1979, eq. 2.1)."""
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            apart = other.mean - self.mean
            mean = self.mean + share * apart
            second = self.second + other.second + np.square(apart) * self.count * share
        return Margins(
            self.n_rows + other.n_rows,
            count,
            mean,
            second,
            np.fmin(self.lowest, other.lowest),
            np.fmax(self.highest, other.highest),
            self.has_missing | other.has_missing,
            self.is_binary and other.is_binary,
        )

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each column, as `moments.moments` gives them."""
        with np.errstate(over="ignore", invalid="ignore"):
            return settled(self.mean, self.second / np.maximum(self.count, 1), self.count, self.n_rows)

    def extremes(self) -> np.ndarray:
        """Two rows with the least and the largest value of each column, (2, D)."""
        return np.stack([self.lowest, self.highest])


@dataclass
class Sample:
    """The distinct rows of the smallest hashes, in their order: a random sample that nothing but the content decides.

    Every copy of a row that is kept was counted, since thresholds only fall.
    """

    rows: np.ndarray  # float64 (k, D), encoded
    first: np.ndarray  # uint64 (k,): the hash that decides
    second: np.ndarray  # another, so that two unlike rows never meet
    count: np.ndarray  # float64 (k,)

    @classmethod
    def of(cls, X: np.ndarray, schema: Schema, threshold: np.uint64 | None) -> "Sample":
        """The sample of encoded rows X (n, D), of those with hashes up to a threshold, if one is given."""
        rows, names = RowSelection(X), _Names(schema)
        first = row_hash(rows, 1, names)
        if threshold is not None:
            near = np.flatnonzero(first <= threshold)
            rows, first = rows[near], first[near]
        second = row_hash(rows, 2, names)
        return cls._smallest(lambda positions: rows.take(positions), first, second, np.ones(len(first)), X.shape[1])

    @classmethod
    def _smallest(
        cls, take: Callable, first: np.ndarray, second: np.ndarray, count: np.ndarray, n_columns: int
    ) -> "Sample":
        if len(first) == 0:
            return cls(np.empty((0, n_columns)), first, second, count)
        positions, count = distinct(first, second, count)
        most = max(1, _CELLS_SAMPLED // n_columns)
        positions, count = positions[:most], count[:most]
        rows = take(positions).astype(np.float64, copy=False)
        rows += 0.0  # one zero, whichever came first
        return cls(rows, first[positions], second[positions], count)

    def merged(self, other: "Sample") -> "Sample":
        """The sample of both."""
        parts = [self, other]
        first, second, count = (np.concatenate([getattr(p, n) for p in parts]) for n in ("first", "second", "count"))
        rows = np.concatenate([self.rows, other.rows])
        return self._smallest(lambda positions: rows[positions], first, second, count, rows.shape[1])

    def recoded(self, new: Schema, old: Schema) -> "Sample":
        """The same rows in the category indices of another schema."""
        return Sample(recoded(new, self.rows, old), self.first, self.second, self.count)

    @property
    def threshold(self) -> np.uint64 | None:
        """The hash above which no row has a place any more; None while there is room."""
        is_full = len(self.rows) >= max(1, _CELLS_SAMPLED // self.rows.shape[1])
        return self.first[-1] if is_full else None


class _Names:
    """Encoded cells -> numbers that do not depend on which levels are known: of a category the hash of its level."""

    def __init__(self, schema: Schema) -> None:
        levels = {d: levels.tolist() for d, levels in schema.levels.items()}
        self.names = {d: np.array([*map(_name, own), np.nan]) for d, own in levels.items()}

    def __call__(self, cells: np.ndarray, columns: np.ndarray) -> np.ndarray:
        for d, names in self.names.items():
            # A missing cell has the index -1 for a moment, and so the last entry, which is NaN.
            cells[:, d] = names[np.nan_to_num(cells[:, d], nan=-1).astype(np.int64)]
        return cells


def _name(level: Any) -> np.float64:
    """A float64 of 62 bits of the level's hash, and none of the infinities: 1 and 1.0 have one, in every process."""
    if isinstance(level, (Real, Decimal)):
        number: Any = level
        level = int(number) if number == int(number) else float(number)
    text = repr(level)
    bits = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return np.uint64(bits & ~(1 << 62) | 1 << 61).view(np.float64)


def encoded(chunk: Any, schema: Schema) -> np.ndarray:
    """A chunk as validated numbers, one per cell, ndarray (n, D)."""
    rules = {"accept_sparse": "csr", "ensure_all_finite": "allow-nan", "input_name": "X"}
    if schema.is_plain:
        try:
            return dense(on_host(check_array(readable(chunk), dtype=accepted_dtypes(chunk), **rules)))
        except Exception as error:
            refuse_other_cells(chunk, error)
            raise
    return check_array(encode(schema, chunk), dtype=np.float64, **rules)


def count_rows(chunk: Any) -> int:
    """Rows of a table of any kind."""
    if getattr(chunk, "shape", ()):
        return chunk.shape[0]
    if not isinstance(chunk, Sequence):
        raise TypeError(f"a chunk is an array, a frame or a CSR matrix, not an object of type {type(chunk).__name__}.")
    return len(chunk)


def _dtype(chunk: Any, schema: Schema) -> np.dtype:
    """The dtype of an array of float32, ints or bools; float64 for whatever else is made numbers."""
    dtype = getattr(chunk, "dtype", None) if schema.is_plain and as_frame(chunk) is None else None
    if isinstance(dtype, np.dtype) and (dtype == np.float32 or dtype.kind in "biu"):
        return dtype
    return np.dtype(np.float64)


@contextmanager
def named(number: int) -> Iterator[None]:
    """Say in an error which chunk it was, from 1."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Chunk {number}: {error}") from error
