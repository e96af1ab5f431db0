"""A fitted classifier as one file without pickle: its own state with those of its two transformers inside."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._storage import files
from .._storage.checks import check, damage_of_state
from .._storage.seal import CHECKED, SEAL
from .class_normals import ClassNormals
from .label_model import LabelModel
from .linear import LinearModel

__all__ = ["label_model_of", "read_state", "write_state"]

_FORMAT = "_classifier_format"
FORMAT_VERSION = 1
_INNER = "estimator", "estimator_"
_FROZEN = "frozen"  # in the place of the parameter: it is the fitted one
_NOT_SAVED = ("_skl_callbacks", "_metadata_request", SEAL)


def label_model_of(state: Any) -> LabelModel:
    """The model of the label from plain arrays; a ValueError where they do not fit together."""
    with damage_of_state():
        normals, linear = ClassNormals(**state["normals"]), LinearModel(**state["linear"])
        M, K = normals.means.shape
        n_classes, n_columns = linear.coef.shape
        shapes = {
            "owner": (normals.owner, (M,)),
            "weights": (normals.weights, (M,)),
            "factors": (normals.factors, (M, K, K)),
            "shift": (linear.shift, (n_columns,)),
            "scale": (linear.scale, (n_columns,)),
            "intercept": (linear.intercept, (n_classes,)),
            "exponents": (state["exponents"], (2,)),
        }
        for name, (array, shape) in shapes.items():
            check(isinstance(array, np.ndarray) and array.shape == shape, f"{name} is not of shape {shape}")
        check(np.array_equal(np.unique(normals.owner), np.arange(n_classes)), "a class has no member")
        check(bool((np.diff(normals.owner) >= 0).all()), "its members are not in the order of the classes")
        return LabelModel(normals, linear, state["exponents"])


def write_state(path: str | os.PathLike, state: dict[str, Any]) -> None:
    """Write the state of a classifier, the states of its transformers in their places."""
    plain = {name: value for name, value in state.items() if name not in _NOT_SAVED}
    if isinstance(plain["estimator"], FrozenEstimator):
        plain["estimator"] = _FROZEN
    for name in _INNER:
        if not (plain[name] is None or plain[name] == _FROZEN):
            inner = plain[name].__getstate__()
            plain[name] = {k: v for k, v in inner.items() if k not in _NOT_SAVED}
    files.write(path, plain | {_FORMAT: FORMAT_VERSION})


def read_state(path: str | os.PathLike, transformer: Any, components: Sequence[Callable] | None) -> dict[str, Any]:
    """Read it again.

    Parameters
    ----------
    path : str or path-like
    transformer : type
        The class of the transformers inside.
    components : list of classes and functions, optional
        The user's own among the parameters.
    """
    state = files.read(path, _check_before, components)
    with damage_of_state():
        del state[_FORMAT]
        for name in _INNER:
            if not (state[name] is None or state[name] == _FROZEN):
                inner = transformer.__new__(transformer)
                inner.__setstate__(state[name] | {SEAL: CHECKED})
                state[name] = inner
        if state["estimator"] == _FROZEN:
            state["estimator"] = FrozenEstimator(state["estimator_"])
        check(isinstance(state["classes_"], np.ndarray), "its classes are no array")
    return state


def _check_before(state: Any) -> None:
    """Check that a file's state is that of a classifier, before anything in it is constructed."""
    version = state.get(_FORMAT) if isinstance(state, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError("This file holds no VAEClassifier. For a transformer, call VAETransformer.load.")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"This VAEClassifier was stored by a newer skvae (format {version}). Upgrade skvae to load it."
        )
