"""Whatever a caller gives as a table -> a table that the rest reads: every cell once, missing ones as NaN, NA or null.

Containers have their own ways to hold a cell: numpy.ma masks it, scipy.sparse may store it in several parts that count
as their sum, and a record batch of pyarrow is no table to any reader. Every method passes what it is given through
`as_table` first, so that nothing else knows of them. What is no table is refused here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse

from .frames import is_series, native_frame
from .lazy import refuse_lazy
from .tables import as_array, kind_letter

__all__ = ["as_table"]

_PROTOCOLS = ("shape", "__array__", "__array_interface__", "__dlpack__", "__dataframe__")


def as_table(X: Any, name: str = "X") -> Any:
    """X as a native frame, an array of any library or a canonical CSR; X itself where it is one, and never changed.

    Parameters
    ----------
    X : object
        What the user gave.
    name : str
        The parameter, for errors.

    Raises
    ------
    TypeError
        X is no table, its rows are not in memory, or it is a tensor that requires grad.
    ValueError
        X is a table of which no model can be made: without columns, of one dimension with a name, of complex numbers.
    """
    if type(X) is np.ndarray and X.dtype.kind in "fiub":
        return X
    refuse_lazy(X, name)
    _refuse_other_shapes(X, name)
    X = _stacked(X, name) if isinstance(X, (list, tuple)) else _without_runs(native_frame(X))
    if hasattr(X, "dtype"):
        _refuse_dtypes(X, name)
    elif hasattr(X, "columns"):
        _refuse_no_columns(X, name)
    if isinstance(X, torch.Tensor):
        return _plain_tensor(X, name)
    if isinstance(X, np.ma.MaskedArray):
        return _unmasked(X)
    return _canonical(X) if sparse.issparse(X) else X


def _refuse_other_shapes(X: Any, name: str) -> None:
    if isinstance(X, Mapping) and not sparse.issparse(X):  # scipy's DOK is both
        raise TypeError(f"{name} is a {type(X).__name__}, not a table. Make a frame of it: pandas.DataFrame({name}).")
    if is_series(X):
        raise ValueError(
            f"{name} is a {type(X).__name__}, which has one dimension. Give a table of shape (n_samples, n_features): "
            "a frame with this single column, or one with a single row."
        )
    is_words = isinstance(X, (str, bytes))
    if is_words or not (isinstance(X, Sequence) or any(hasattr(X, protocol) for protocol in _PROTOCOLS)):
        raise TypeError(
            f"{name} is an object of type {type(X).__name__}, not a table. Give an array, a frame, a CSR or a list of "
            "rows."
        )


def _refuse_no_columns(X: Any, name: str) -> None:
    if len(X.columns) == 0:
        raise ValueError(f"{name} has no columns: 0 feature(s) (shape={X.shape}). Give a table of at least one.")


def _refuse_dtypes(X: Any, name: str) -> None:
    if kind_letter(X) == "c":
        raise ValueError(
            f"Complex data not supported: {name} holds complex numbers. Give their real and imaginary parts as columns."
        )
    if getattr(X.dtype, "names", None):
        raise TypeError(
            f"{name} is a structured array with the fields {list(X.dtype.names)}. Make a frame of it: "
            f"pandas.DataFrame({name})."
        )


def _plain_tensor(X: torch.Tensor, name: str) -> torch.Tensor:
    if X.requires_grad:
        raise TypeError(
            f"{name} requires grad, but no method of VAETransformer passes gradients on. Call .detach() first, or take "
            "module_, which is differentiable, with rows and codes in its own units."
        )
    if X.is_quantized or X.layout != torch.strided:
        remedy = "dequantize" if X.is_quantized else "to_dense"
        raise TypeError(f"{name} is a tensor that does not hold one number per cell. Call .{remedy}() first.")
    return X.float() if X.dtype == torch.bfloat16 else X  # numpy has no such type


def _unmasked(X: np.ma.MaskedArray) -> np.ndarray:
    """The array with masked cells as NaN, NaT, or None where it holds objects or strings."""
    if not np.ma.is_masked(X):
        return X.data
    kind = X.dtype.kind
    cells = X.data.astype(np.float64 if kind in "biu" else X.dtype if kind in "fmM" else object)  # a copy
    cells[X.mask] = None  # as a float NaN, as a time NaT
    return cells


def _canonical(X: Any) -> Any:
    """A CSR without repeated entries: they count as their sum, as in every product with it."""
    X = X.tocsr() if X.ndim == 2 else X
    if X.ndim != 2 or X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def _stacked(X: Any, name: str) -> Any:
    """A list of rows as an array, in which masked cells stay missing; else X, for scikit-learn to refuse."""
    if any(isinstance(row, Mapping) for row in X):
        raise TypeError(f"{name} is a list of dicts, not a table. Make a frame of it: pandas.DataFrame({name}).")
    X = [_plain_tensor(row, f"A row of {name}") if isinstance(row, torch.Tensor) else row for row in X]
    if any(isinstance(row, np.ma.MaskedArray) for row in X):
        return np.ma.array(X)
    array = as_array(X)
    return array if array.ndim == 2 else X


def _without_runs(X: Any) -> Any:
    """A table of pyarrow with its run-end encoded columns decoded, since pyarrow has no casts for these."""
    if not type(X).__module__.startswith("pyarrow"):
        return X
    import pyarrow as pa
    import pyarrow.compute as pc

    for d, field in enumerate(X.schema):
        if pa.types.is_run_end_encoded(field.type):
            chunks = [pc.run_end_decode(chunk) for chunk in X.column(d).chunks]
            X = X.set_column(d, field.name, pa.chunked_array(chunks, field.type.value_type))
    return X
