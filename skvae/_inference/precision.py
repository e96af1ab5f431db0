"""A module in another precision: a copy, made anew or kept beside the module while that stays as it is.

Copying a module takes milliseconds, a row through it a tenth of one. The kept copy of a module that a user trains in
place is renewed: at each call its tensors are compared with the module's, cell by cell. The counters of changes that
torch keeps would be quicker, but what is written through ``parameter.data`` or numpy passes them by.

Copies are kept outside the module and the estimator, so that neither is another after a call, in a pickle or in a
clone, and they go with the module.
"""

import copy
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..model import LatentVariableModel

__all__ = ["in_precision", "kept_in_precision"]


@dataclass(frozen=True)
class _Kept:
    """A copy for use, and the module as it was then: its tensors, cloned, and what else a call of it goes by."""

    copy: LatentVariableModel
    tensors: list[Tensor]
    state: list[int]


#: Module -> its copy in the precision asked for last.
_kept: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()


def in_precision(module: LatentVariableModel, dtype: torch.dtype) -> LatentVariableModel:
    """Give the module in a precision, as a new copy where it is in another."""
    return module if _is_in(module, dtype) else copy.deepcopy(module).to(dtype)


def kept_in_precision(module: LatentVariableModel, dtype: torch.dtype) -> LatentVariableModel:
    """Give the same, by one copy for all calls while the module is unchanged; nobody may write into it."""
    if _is_in(module, dtype):
        return module
    kept = _kept.get(module)
    tensors, state = _described(module)
    if kept is None or not (_is_in(kept.copy, dtype) and state == kept.state and _same(tensors, kept.tensors)):
        frozen = [tensor.detach().clone() for tensor in tensors]  # before the copy: if trained between, it is renewed
        kept = _kept[module] = _Kept(in_precision(module, dtype), frozen, state)
    return kept.copy


def _is_in(module: nn.Module, dtype: torch.dtype) -> bool:
    return next(module.parameters()).dtype == dtype


def _described(module: nn.Module) -> tuple[list[Tensor], list[int]]:
    """Parameters and buffers, and by identity the rest that a call goes by: submodules, attributes and hooks."""
    tensors: list[Any] = []
    state: list[int] = []
    parts: list[Any] = [module]
    for part in parts:  # `module.modules()` makes names, too, which takes longer
        attributes = vars(part)
        state += map(id, attributes.values())
        state += attributes["_forward_hooks"]  # its keys are never given again
        state += attributes["_forward_pre_hooks"]
        parts += [value for value in attributes["_modules"].values() if value is not None]
        tensors += [value for value in attributes["_parameters"].values() if value is not None]
        tensors += [value for value in attributes["_buffers"].values() if value is not None]
    return tensors, [*state, *map(id, parts)]


def _same(tensors: list[Tensor], others: list[Tensor]) -> bool:
    return len(tensors) == len(others) and all(map(_equal, tensors, others))


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
