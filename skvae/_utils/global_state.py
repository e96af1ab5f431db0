"""The lock of all that belongs to the whole process, and what a fork leaves of it.

A forked child has one thread: the one that forked. What other threads were at in the parent is never ended there: a
lock that one of them holds would stay locked, and so would torch's own lock inside a generator that one of them draws
from. So a fork waits until no thread is inside a block under `lock`, and the child drops what belonged to others.

Interrupts come between any two steps of Python, also inside a ``finally``. So a block changes such a state inside a
``try`` and puts it back twice: in a ``finally``, and in one around that, where the second finds nothing to do unless an
interrupt has cut the first short.
"""

import os
import threading
from collections.abc import Callable

__all__ = ["in_forked_children", "lock"]

#: Of one thread at a time; held while another process is forked.
lock = threading.RLock()

_in_children: list[Callable[[], None]] = []


def in_forked_children(function: Callable[[], None]) -> Callable[[], None]:
    """Decorate a function that every forked child calls first, under the lock."""
    _in_children.append(function)
    return function


def _begin_as_child() -> None:
    try:
        for function in _in_children:
            function()
    finally:
        lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=_begin_as_child)
