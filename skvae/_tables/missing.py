"""Missing values in a table of numbers, where they are NaN."""

from typing import Any

import numpy as np
from scipy import sparse

from .selection import RowSelection, blocks, stored

__all__ = ["columns_with_missing", "has_missing"]


def columns_with_missing(X: Any) -> np.ndarray:
    """Which columns of an ndarray, CSR or `RowSelection` (n, D) have a missing value, bool (D,)."""
    found = np.zeros(X.shape[1], bool)
    for _, block in blocks(X):
        if sparse.issparse(block):
            found[block.indices[np.isnan(block.data)]] = True
        else:
            found |= np.isnan(block).any(0)
    return found


def has_missing(X: Any) -> bool:
    """Whether any value of an ndarray, CSR or `RowSelection` is missing; reads no further than to the first one."""
    if isinstance(X, RowSelection) and X.is_complete:
        return False
    return any(bool(np.isnan(stored(block)).any()) for _, block in blocks(X))
