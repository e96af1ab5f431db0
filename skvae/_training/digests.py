"""Hashes of everything that a fit depends on."""

import hashlib
from typing import Any

import numpy as np
import torch
from scipy import sparse

from .._tables.selection import RowSelection, blocks

__all__ = ["digest", "digest_of_rows"]


def digest(value: Any) -> str:
    """A hash of nested dicts and lists of plain data, tensors and arrays."""
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()[:20]


def _feed(found: "hashlib._Hash", value: Any) -> None:
    if isinstance(value, (dict, list, tuple)):
        found.update(f"{type(value).__name__} {len(value)}".encode())
        for part in sorted(value.items()) if isinstance(value, dict) else value:
            _feed(found, part)
    elif isinstance(value, (torch.Tensor, np.ndarray)):
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.ascontiguousarray(value)
        found.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    else:
        found.update(f"{value!r} ".encode())


def digest_of_rows(X: RowSelection, weight: np.ndarray) -> str:
    """A `digest` of a `RowSelection` and its weights, read block by block: rows to the last bit, and their order."""
    found = hashlib.sha256()
    for _, block in blocks(X):
        _feed(found, [block.indptr, block.indices, block.data] if sparse.issparse(block) else block)
    for _, part in blocks(weight[:, None]):
        _feed(found, part)
    return found.hexdigest()[:20]
