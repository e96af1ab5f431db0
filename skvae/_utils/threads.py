"""How many threads a piece of work is worth.

Two threads that wait for each other spin: on a machine that is busy with something else, as in a search with several
jobs, a small step on two threads can take ten times as long as on one, and on an idle machine it gains little. So
threads are limited by the work at hand, inside `fit` and the other methods, and restored after. There are never more
than the caller has: what the user, joblib or the environment has set is respected.

A forked process has one thread for all its work. OpenMP's pool was made of the parent's threads: where the parent has
used it, the child would wait for them for ever.

OpenMP keeps its number per thread of Python, and so do we: fits in several threads do not see each other's limits, and
none is left behind whatever the order in which they end.
"""

import ctypes
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import LibController, ThreadpoolController

from .global_state import in_forked_children

__all__ = ["WORK_PER_THREAD", "limited_threads"]

WORK_PER_THREAD = 1e9  # multiply-adds

_most_threads = math.inf


@contextmanager
def limited_threads(work: float) -> Iterator[None]:
    """Leave one thread for every `WORK_PER_THREAD` of the given multiply-adds, at least one.

    Torch's MKL is limited beside OpenMP: after `torch.set_num_threads` it does not ask OpenMP any more.
    """
    n_threads = int(min(max(1, work / WORK_PER_THREAD), _most_threads))
    if n_threads >= torch.get_num_threads():
        yield
        return
    before = [library.get_num_threads() for library in _openmp()]
    try:
        try:
            for library in _openmp():
                library.set_num_threads(n_threads)
            before += map(_set_mkl_threads(), [n_threads])  # in one step: no interrupt comes between call and result
            yield
        finally:
            _restore(before)
    finally:
        _restore(before)  # once more, since an interrupt may have cut the first short


def _restore(before: list[int]) -> None:
    """Give each OpenMP its number of threads back, and MKL the last one, if it was limited."""
    for library, n_threads in zip(_openmp(), before, strict=False):
        library.set_num_threads(n_threads)
    for n_threads in before[len(_openmp()) :]:
        _set_mkl_threads()(n_threads)


@in_forked_children
def _work_alone() -> None:
    global _most_threads
    _most_threads = 1


@cache
def _openmp() -> list[LibController]:
    """The process's OpenMP libraries: looking for them takes milliseconds, and torch's own was there before us."""
    return ThreadpoolController().select(user_api="openmp").lib_controllers


@cache
def _set_mkl_threads() -> Callable[[int], int]:
    """MKL's function n -> the number before, both of this thread alone, 0 for none; without MKL one that does nothing.

    threadpoolctl finds MKL by the name of its file, but in torch's wheels it is a part of torch's own.
    """
    return getattr(ctypes.CDLL(torch._C.__file__), "MKL_Set_Num_Threads_Local", lambda n_threads: 0)
