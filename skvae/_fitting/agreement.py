"""Agreement between the processes of one fit: they are called alike and hold the same numbers."""

import hashlib
from dataclasses import fields, replace
from itertools import islice
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from .._inference.fitted import Fitted
from .._storage.registry import fingerprint
from .._tables.columns import Columns
from .._tables.selection import blocks, stored
from .._training.processes import OneProcess
from .plan import Plan
from .prepare import RowsAndWeights
from .start import Progress, Start

__all__ = ["agree", "compare_calls", "compare_tables"]

#: Parameters that may differ between processes.
MAY_DIFFER = ("device", "callbacks", "verbose", "random_state")
#: Fields that each process keeps; of columns and module, it takes over the numbers inside.
OWN = ("columns", "config", "made_of", "module", "device", "progress", "training_state")
#: Attributes of the columns that are computed from rows.
SCALES = ("shift", "scale", "reach", "maps")

Value = TypeVar("Value", Start, Progress)


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
    """Raise a ValueError in every process if their prepared tables differ."""
    if processes.size == 1:
        return
    description: dict[str, Any] = {}
    description["the columns"] = [(columns.label(d), fingerprint(family)) for d, family in enumerate(columns.families)]
    for name, rows in (("training", train), ("held-out", valid)):
        X, weight = rows or (np.zeros((0, 1)), np.zeros(0))
        description[f"the number of {name} rows"] = X.shape[0]
        description[f"the sum of the weights of the {name} rows"] = np.array(weight.sum())
        description["the scaling of the columns"] = np.stack([columns.shift, columns.scale])
        description[f"a hash of the {name} rows"] = _hash_of_first_rows(X)
    processes.compare(description)


def _hash_of_first_rows(X: Any) -> list[str]:
    """Hashes of the first block of rows, which after sorting is a random subset; none without rows."""
    return [hashlib.sha256(stored(block).tobytes()).hexdigest()[:12] for _, block in islice(blocks(X), 1)]


def agree(processes: OneProcess, value: Value) -> Value:
    """Take over the numbers of the first process, since the last bits may differ between machines.

    Columns and module stay the process's own, with the first one's numbers inside, since these belong together.
    """
    if processes.size == 1:
        return value
    numbers = {f.name: getattr(value, f.name) for f in fields(value) if f.name not in OWN}
    numbers = processes.broadcast(numbers)
    if isinstance(value, Start):
        computed = [f.name for f in fields(value.columns) if f.metadata.get("is_computed")]
        scales = processes.broadcast({name: getattr(value.columns, name) for name in computed})
        numbers["columns"] = replace(value.columns, **scales)
        processes.broadcast_([*value.module.parameters(), *value.module.buffers()])
    return replace(value, **numbers)
