"""Warnings that point at the user's line: the one that called skvae, however many libraries stand between."""

import contextlib
import functools
import os
import sys
import warnings
from functools import cache
from importlib.util import find_spec
from types import FrameType

__all__ = ["warn_user"]

#: Packages that call skvae, or that skvae calls and that call it back. None of their lines is the user's.
_LIBRARIES = ("skvae", "sklearn", "skorch", "joblib", "torch")


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn as if the user's own line had done it.

    A number for `stacklevel` would be right for one way to the warning only: scikit-learn wraps `transform` for
    `set_output` and `fit` for its callbacks, a pipeline or a search calls `fit` through joblib, and a checkpoint is
    written inside skorch's loop.

    Parameters
    ----------
    message : str
    category : type of Warning, default=UserWarning
    """
    frame = _users_frame(sys._getframe(1))
    warnings.warn_explicit(
        message,
        category,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=frame.f_globals.get("__name__", "<unknown>"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),  # where Python notes what was said already
    )


def _users_frame(frame: FrameType) -> FrameType:
    """The first frame outside the libraries, from `frame` outwards; the outermost one where there is none."""
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_prefixes()):
        frame = frame.f_back
    return frame


@cache
def _prefixes() -> tuple[str, ...]:
    """The libraries' folders; and the modules of Python's own whose wrappers stand between their frames."""
    specs = [spec for name in _LIBRARIES if (spec := find_spec(name)) is not None]  # without importing skorch
    folders = [os.path.join(folder, "") for spec in specs for folder in spec.submodule_search_locations or ()]
    return (*folders, contextlib.__file__, functools.__file__)
