"""Tables that do not fit into memory: methods of `VAETransformer` that read a source of chunks.

`fit_batches` writes the encoded rows of a source into a file, which is then fitted like any memory-mapped table.
`fit_statistics` reads a source so that the initialisation of `partial_fit` does not depend on its first chunk.
"""

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from .._inference.fitted import (
    ATTRIBUTE,
    REFERENCE,
    Fitted,
    HoldsFit,
    Learned,
    adopt,
    adopting_what_is_kept,
    earlier_fit,
    working_copy,
)
from .._tables.intake import as_table
from .._tables.on_disk import mapped_rows
from .._tables.schema import Schema
from .._tables.selection import dense
from .._tables.statistics import Outline, TableStatistics, count_rows, named
from .._tables.validation import validated
from .._training.tasks import Tasks
from .._utils.arrays import on_host
from .._utils.compat import with_callbacks
from .._utils.progress import progress
from .._utils.threads import limited_threads
from .fit import check_before, fit_rows
from .plan import Plan, parameters_of
from .prepare import Basis, Prepared, begin, decided, prepared

__all__ = ["Outlined", "Streams"]


@dataclass(frozen=True, eq=False)
class Outlined(Learned):
    """What `fit_statistics` leaves: statistics of a table, and no model yet."""

    statistics: TableStatistics = field(metadata=ATTRIBUTE)
    n_features_in: int = field(metadata=ATTRIBUTE)
    feature_names_in: np.ndarray | None = field(metadata=ATTRIBUTE)


class Streams(HoldsFit, BaseEstimator):
    """The methods that fit a source of chunks."""

    def fit_statistics(self, source: Callable | TableStatistics) -> "Streams":
        """Read a table in chunks, so that the next `partial_fit` is initialised from all of it.

        Columns and categories, scaling, families, the closed-form initialisation, order and signs of the components and
        everything that describes the model then come from these statistics, not from the first chunk that is trained
        on: the scaling from exact moments, the rest from a random sample of rows. An earlier fit is dropped. The
        statistics are used once: by the first `partial_fit`, or by `fit_batches`, which then reads its source once
        less; `fit` ignores them.

        Parameters
        ----------
        source : callable or TableStatistics
            A function without arguments that returns an iterator of chunks (arrays, frames or CSR matrices of the same
            columns), or existing statistics, perhaps merged from many machines.

        Returns
        -------
        VAETransformer
            The estimator itself, not fitted yet, with the attribute `statistics_`.

        Raises
        ------
        TypeError
            `source` is neither; it is a table or an iterator, for instance.
        ValueError
            A source without rows, or a chunk that does not match those before it; the message gives its number.

        See Also
        --------
        partial_fit : Train on one chunk.
        TableStatistics : Collect and merge statistics of chunks.

        Examples
        --------
        The first chunk has no dogs:

        >>> import pandas as pd
        >>> from skvae import VAETransformer
        >>> cats = pd.DataFrame({"kind": "cat", "weight": [3.9, 4.2, 4.0]})
        >>> dogs = pd.DataFrame({"kind": "dog", "weight": [20.1, 18.8, 19.7]})
        >>> vae = VAETransformer(n_components=1, random_state=0).fit_statistics(lambda: iter([cats, dogs]))
        >>> vae.partial_fit(cats).partial_fit(dogs).likelihoods_["kind"]
        Categorical(n_classes=2)
        """
        if isinstance(source, TableStatistics):
            _refuse_other_categories(self.categorical_features, source)
            statistics = copy.copy(source)  # later updates of the given ones are not ours
        else:
            statistics = TableStatistics(self.categorical_features)
            for chunk in _chunks(source):
                statistics.update(chunk)
        _refuse_nothing(statistics)
        twin = working_copy(self, None)
        _take_columns(twin, statistics._outline)
        return adopt(self, Outlined(statistics, twin.n_features_in_, getattr(twin, "feature_names_in_", None)))

    @with_callbacks
    def fit_batches(self, source: Callable, X_val: Any = None, cache_dir: Any = None) -> "Streams":
        """Fit the model to a table that comes in chunks and need not fit into memory.

        The source is read twice: once to learn columns and categories, once to write the encoded rows into a temporary
        file, which only this call can see and which is removed at its end, however it ends. The rest is as for `fit` of
        a numpy.memmap of these rows, bit for bit: runs of up to 64 neighbours are shuffled, and mixed again over blocks
        of 2^21 cells. So the order of the rows hardly matters, even where the table is sorted, and an epoch reads the
        file, not the source.

        Memory: the largest chunk, three times as encoded (8 bytes per cell), then what `fit` takes for any large
        table: up to 500 MB, with missing values 1.5 GB, for the initialisation (60 MB for 30 columns without missing
        values), and at most 25 bytes per row of the table, 15 with ``early_stopping=False``. Disk: 8 bytes per cell, 4
        where all chunks are float32 arrays, the size of the type for those of ints and bools.

        Parameters
        ----------
        source : callable
            A function without arguments that returns a fresh iterator of chunks each time: arrays, frames of any
            library that narwhals reads, or CSR matrices, all of the same columns; cells may be missing.
        X_val : array-like, frame or CSR of shape (n_val, n_features), optional
            As in `fit`.
        cache_dir : path-like, optional
            The folder of the temporary file; by default that of `tempfile`. Where that is in memory, as /tmp is on some
            systems, give one on a disk.

        Returns
        -------
        VAETransformer
            The estimator itself, fitted.

        Raises
        ------
        OSError
            The folder does not have enough space, or cannot be written to.
        TypeError
            `source` is not a function that returns an iterator of chunks.
        ValueError
            As in `fit`; also a source without rows, one that gives different rows the second time, and a chunk that
            does not match those before it; the message gives its number.

        See Also
        --------
        fit : Fit a table in memory, or in a numpy.memmap.
        partial_fit : Train on unbounded streams.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> def chunks():
        ...     rng = np.random.default_rng(0)
        ...     return (rng.normal(size=(100, 5)) for _ in range(4))
        >>> VAETransformer(n_components=2, max_iter=2, random_state=0).fit_batches(chunks).n_iter_
        2
        """
        plan = Plan.of(parameters_of(self), type(self).__name__, self._parameter_constraints)
        earlier = earlier_fit(self) if self.warm_start else None
        plan = plan.following(earlier)
        check_before(plan, earlier)
        tasks = Tasks(self, None, None, plan.most_epochs + 2)
        twin = working_copy(self, earlier)
        with _cache(cache_dir) as file:
            with plan.stopwatch("read"):
                outline, n_chunks = _outline(plan, source, getattr(self, "statistics_", None), tasks)
            if earlier is None:
                _take_columns(twin, outline)
            schema, seed = begin(plan, outline.schema) if earlier is None else (earlier.schema, earlier.seed)
            _check_space(outline, cache_dir)
            with plan.stopwatch("read"):
                table = _written(plan, source, outline, n_chunks, file, tasks, _encoder(twin, schema, outline.dtype))
        with limited_threads(0), plan.stopwatch("prepare"):
            rows = _prepared(plan, twin, schema, seed, table, earlier)
        with adopting_what_is_kept(self):
            fitted = fit_rows(plan, twin, rows, X_val, earlier, tasks)
        adopt(self, fitted)
        tasks.end({REFERENCE: fitted})
        return self


def _refuse_other_categories(categorical_features: Any, statistics: TableStatistics) -> None:
    own, given = repr(categorical_features), repr(statistics.categorical_features)
    if own != given:
        raise ValueError(
            f"The statistics were taken with category columns {given}, but the 'categorical_features' parameter of "
            f"VAETransformer is {own}. Give both the same."
        )


def _take_columns(estimator: BaseEstimator, outline: Outline) -> None:
    """Set number and names of the columns, as `fit` would."""
    validate_data(estimator, outline.head, skip_check_array=True, reset=True)


def _outline(
    plan: Plan, source: Callable, statistics: TableStatistics | None, tasks: Tasks
) -> tuple[Outline, int | None]:
    """The outline of a whole source and its number of chunks, from a first pass.

    Statistics of `fit_statistics` save that pass; their chunks may have been others, so that the number is None.
    """
    if statistics is not None:
        _refuse_nothing(statistics)
        return statistics._outline, None
    outline = Outline(plan.given.categorical_features)
    with progress(plan.verbose, "VAETransformer.fit_batches: reading", None) as told:
        for chunk in tasks.read(_chunks(source), None):
            before = outline.n_rows
            outline.update(chunk)
            told(outline.n_rows - before)
    plan.say(f"Read {outline.n_rows} rows in {outline.n_chunks} chunks")
    _refuse_nothing(outline)
    return outline, outline.n_chunks


def _encoder(estimator: BaseEstimator, schema: Schema, dtype: np.dtype) -> Callable[[Any, int], np.ndarray]:
    """A function that encodes a chunk as numbers (n, D), contiguous in memory."""

    def encoded(chunk: Any, number: int) -> np.ndarray:
        if count_rows(chunk) == 0:
            return np.empty((0, estimator.n_features_in_), dtype)
        with named(number):
            return np.ascontiguousarray(dense(on_host(validated(estimator, schema, chunk))), dtype)

    return encoded


def _written(
    plan: Plan,
    source: Callable,
    outline: Outline,
    n_chunks: int | None,
    file: Any,
    tasks: Tasks,
    encoded: Callable[[Any, int], np.ndarray],
) -> np.ndarray:
    """The encoded rows of a source as an array that is mapped from `file`."""
    shape = outline.n_rows, len(outline.schema.kinds)
    n_rows = 0
    with progress(plan.verbose, "VAETransformer.fit_batches: writing", outline.n_rows) as told:
        for i, chunk in enumerate(tasks.read(_chunks(source), n_chunks)):
            rows = encoded(chunk, i + 1)
            file.write(rows)
            n_rows += len(rows)
            if n_rows > outline.n_rows:
                break
            told(len(rows))
    file.flush()
    if n_rows != outline.n_rows:
        more = "more" if n_rows > outline.n_rows else n_rows
        raise ValueError(
            f"The source gave {outline.n_rows} rows the first time and {more} the second. It must return a fresh "
            "iterator of the same chunks each time it is called, e.g. source=lambda: iter(chunks)."
        )
    plan.say(f"Wrote {n_rows} rows, {np.prod(shape) * outline.dtype.itemsize / 1e6:.3g} MB")
    return np.asarray(np.memmap(file, outline.dtype, "r", shape=shape))


def _prepared(
    plan: Plan, estimator: BaseEstimator, schema: Schema, seed: int, table: np.ndarray, earlier: Fitted | None
) -> Prepared:
    """The rows of the file, ready for training."""
    rows = mapped_rows(table, None, seed)
    basis, rows = decided(plan, schema, seed, *rows) if earlier is None else (Basis.of(earlier), rows)
    return prepared(estimator, basis, table, basis.in_order(*rows))


def _chunks(source: Any) -> Iterator[Any]:
    """The chunks of a source; anything but a function that returns an iterator is refused."""
    how = (
        "It must be a function without arguments that returns an iterator of chunks, e.g. source=lambda: iter(chunks)."
    )
    if not callable(source):
        raise TypeError(f"'source' is {_type_of(source)}. {how}")
    chunks = source()
    if hasattr(chunks, "shape") or not hasattr(chunks, "__iter__"):
        raise TypeError(f"'source' returned {_type_of(chunks)}. {how}")
    return (as_table(chunk, "A chunk") for chunk in chunks)


def _refuse_nothing(outline: Outline | TableStatistics) -> None:
    if outline.n_rows == 0:
        raise ValueError("The source has no rows: it gave no chunk, or only empty ones.")


def _type_of(value: Any) -> str:
    return f"an object of type {type(value).__name__}"


def _cache(folder: Any) -> IO[bytes]:
    """An unnamed temporary file in a folder, opened before anything is read."""
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        where = tempfile.gettempdir() if folder is None else folder
        raise OSError(
            error.errno,
            f"fit_batches writes the encoded rows into a temporary file, which {str(where)!r} does not take: "
            f"{error.strerror}. Name a folder that can be written to: cache_dir=...",
        ) from error


def _check_space(outline: Outline, cache_dir: Any) -> None:
    """Raise if the rows do not fit on the disk, before time is spent on them."""
    folder = tempfile.gettempdir() if cache_dir is None else cache_dir
    needed = outline.n_rows * len(outline.schema.kinds) * outline.dtype.itemsize
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"fit_batches writes the encoded rows into a temporary file of {needed / 1e9:.3g} GB, but {folder!s} has "
            f"only {free / 1e9:.3g} GB left. Name a folder on a larger disk: cache_dir=..."
        )
