"""Hashes of the rows that a fit depends on."""

import hashlib

import numpy as np
from scipy import sparse

from .._tables.selection import RowSelection, blocks
from .._utils.digests import feed

__all__ = ["digest_of_rows"]


def digest_of_rows(X: RowSelection, weight: np.ndarray) -> str:
    """A `digest` of a `RowSelection` and its weights, read block by block: rows to the last bit, and their order."""
    found = hashlib.sha256()
    for _, block in blocks(X):
        feed(found, [block.indptr, block.indices, block.data] if sparse.issparse(block) else block)
    for _, part in blocks(weight[:, None]):
        feed(found, part)
    return found.hexdigest()[:20]
