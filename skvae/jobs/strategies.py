"""How many rows of which class to draw: the parameter `sampling_strategy` of imbalanced-learn's over-samplers."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["STRATEGIES", "rows_to_make"]


#: Numbers of rows of the classes, (C,) -> the classes that get as many rows as the largest one has.
STRATEGIES: dict[str, Callable[[np.ndarray], list[int]]] = {
    "minority": lambda n: [int(n.argmin())],
    "not minority": lambda n: [c for c in range(len(n)) if c != n.argmin()],
    "not majority": lambda n: [c for c in range(len(n)) if c != n.argmax()],
    "all": lambda n: [*range(len(n))],
}
STRATEGIES["auto"] = STRATEGIES["not majority"]


def rows_to_make(strategy: Any, y: Any, classes: list, n: np.ndarray) -> dict[Any, int]:
    """The number of rows to draw for each class that is to be over-sampled, {class: number}.

    Parameters
    ----------
    strategy : str, float, dict or callable
        A name among `STRATEGIES`, the size of the smaller of two classes over that of the larger one, the wanted number
        of rows of some classes, or a function of y that gives such a dict.
    y : array-like (N,)
    classes : list (C,)
    n : int ndarray (C,)
        Rows of each class.
    """
    if isinstance(strategy, str):
        return {classes[c]: int(n.max() - n[c]) for c in STRATEGIES[strategy](n)}
    if callable(strategy):
        strategy = strategy(y)
    if isinstance(strategy, Mapping):
        return _up_to(strategy, classes, n)
    return _up_to_ratio(float(strategy), classes, n)


def _up_to(wanted: Mapping, classes: list, n: np.ndarray) -> dict[Any, int]:
    if unknown := [c for c in wanted if c not in classes]:
        raise ValueError(f"sampling_strategy names {unknown}, which are no classes of y. The classes are {classes}.")
    has = dict(zip(classes, n.tolist(), strict=True))
    if fewer := {c: has[c] for c, number in wanted.items() if number < has[c]}:
        raise ValueError(
            f"sampling_strategy={dict(wanted)} asks for fewer rows than y has: {fewer}. Rows are only made, and none "
            "is removed."
        )
    return {c: int(number) - has[c] for c, number in wanted.items()}


def _up_to_ratio(ratio: float, classes: list, n: np.ndarray) -> dict[Any, int]:
    if len(classes) != 2:
        raise ValueError(
            f"sampling_strategy={ratio:g} is a ratio of two classes, and y has {len(classes)}. Give a dict of the "
            "wanted number of rows of each."
        )
    smaller = 1 - int(n.argmax())
    number = int(n.max() * ratio) - int(n[smaller])
    if number <= 0:
        raise ValueError(
            f"sampling_strategy={ratio:g} asks for no more rows of class {classes[smaller]!r} than y has: the ratio is "
            f"{n[smaller] / n.max():.3g} already. Raise it, up to 1."
        )
    return {classes[smaller]: number}
