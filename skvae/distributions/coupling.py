"""Coupling layers of zuko, the optional package behind "flow" posterior and prior; imported here only, and late."""

import importlib
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.distributions import Distribution

from .._utils.extras import needed_by
from .._utils.global_state import lock

__all__ = ["coupling_layers", "import_zuko"]


def import_zuko() -> Any:
    """Import zuko, which switches off the validation of all torch.distributions, and put that flag back."""
    with lock:  # a second thread would take the flag of an import that is under way for the user's
        flag = Distribution._validate_args
        try:
            with needed_by("A normalizing flow", "zuko", extra="flows"):
                return importlib.import_module("zuko")
        finally:
            Distribution.set_default_validate_args(flag)


def coupling_layers(n_features: int, n_context: int, n_transforms: int, hidden_layer_sizes: Sequence[int]) -> nn.Module:
    """A module: context (B, n_context) or None -> transform z -> u of K numbers, the identity at the start."""
    zuko = import_zuko()
    flow = zuko.flows.MAF(
        n_features, n_context, transforms=n_transforms, passes=2, hidden_features=tuple(hidden_layer_sizes)
    )
    for transform in flow.transform.transforms:
        has_network = hasattr(transform, "hyper")  # one number without context has parameters of its own
        for parameter in (list(transform.hyper)[-1] if has_network else transform).parameters():
            nn.init.zeros_(parameter)
    return flow.transform
