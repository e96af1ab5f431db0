"""Agreement between the processes of one fit: that they were called alike, and that they hold the same numbers."""

import hashlib
from dataclasses import fields, replace
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np

from .._inference.fitted import Fitted
from .._storage.registry import fingerprint
from .._tables.columns import Columns
from .._tables.selection import RowSelection, blocks, stored
from .._training.processes import OneProcess
from .plan import Plan
from .prepare import RowsAndWeights
from .race import Start

__all__ = ["agree", "compare_calls", "compare_tables"]

#: Parameters that each process may have its own of.
MAY_DIFFER = ("device", "callbacks", "verbose", "random_state")
#: Fields of `Start` that each process has its own of; module and columns take over the numbers inside.
OWN = ("columns", "config", "made_of", "module", "device", "training_state")
UNITS = ("shift", "scale", "reach", "maps")


def compare_calls(plan: Plan, earlier: Fitted | None) -> None:
    """Raise a ValueError in every process if they were not called alike; else some would wait for ever."""
    if plan.processes.size == 1:
        return
    parameters = {k: v for k, v in plan.parameters.items() if k not in MAY_DIFFER}
    description: dict[str, Any] = {f"the {name!r} parameter": fingerprint(value) for name, value in parameters.items()}
    seed = plan.given.random_state
    description["the 'random_state' parameter"] = seed if isinstance(seed, Integral) else "no int"
    goes_on = earlier and [earlier.seed, earlier.n_iter, fingerprint(earlier.module)]
    description["the model that goes on"] = goes_on
    plan.processes.compare(description)


def compare_tables(
    processes: OneProcess, columns: Columns, train: RowsAndWeights, valid: RowsAndWeights | None
) -> None:
    """Do the same for what was made of the tables."""
    if processes.size == 1:
        return
    description: dict[str, Any] = {}
    description["the columns"] = [(columns.label(d), fingerprint(family)) for d, family in enumerate(columns.families)]
    for name, rows in (("training", train), ("held-out", valid)):
        X, weight = rows or (np.zeros((0, 1)), np.zeros(0))
        description[f"the number of {name} rows"] = X.shape[0]
        description[f"the sum of the weights of the {name} rows"] = np.array(weight.sum())
        description["the units of the columns"] = np.stack([columns.shift, columns.scale])
        description[f"a hash of the {name} rows"] = _hash_of_first_rows(X)
    processes.compare(description)


def _hash_of_first_rows(X: RowSelection) -> list[str]:
    """Of the first block of rows, which after sorting are a random subset."""
    return [hashlib.sha256(stored(block).tobytes()).hexdigest()[:12] for _, block in islice(blocks(X), 1)]


def agree(processes: OneProcess, start: Start) -> Start:
    """Take over what the first process has: on other machines the last bits may differ.

    The columns are the own ones with the first process's scales, since their families are those of the module.
    """
    if processes.size == 1:
        return start
    values = {f.name: getattr(start, f.name) for f in fields(start) if f.name not in OWN}
    units = {name: getattr(start.columns, name) for name in UNITS}
    values, units = processes.broadcast((values, units))
    processes.broadcast_([*start.module.parameters(), *start.module.buffers()])
    return replace(start, columns=replace(start.columns, **units), **values)
