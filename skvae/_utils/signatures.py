"""Signatures that overrides may make their own."""

from collections.abc import Callable
from typing import TypeVar

__all__ = ["own_signature"]

T = TypeVar("T")


def own_signature(method: Callable[..., T]) -> Callable[..., T]:
    """Tell type checkers that overrides of a method name and count their arguments as they need them."""
    return method
