"""For pytest alone, and here for the doctests: pictures go nowhere, and no figure outlives its test."""

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

__all__ = ["no_figure_stays_open"]

collect_ignore_glob = [] if find_spec("onnxruntime") else ["onnx*"]  # as on Python 3.10; its examples run graphs

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    """Close what a test has left open: beyond 20 figures matplotlib warns, and warnings are errors."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
