"""How many threads a piece of work is worth.

Two threads that wait for each other spin: on a machine that is busy with something else, as in a search with several
jobs, a small step on two threads can take ten times as long as on one, and on an idle machine it gains little. So
threads are limited by the work at hand, inside `fit` and the other methods, and restored after. There are never more
than the caller has: what the user, joblib or the environment has set is respected.

OpenMP keeps its number per thread of Python, and so do we: fits in several threads do not see each other's limits, and
none is left behind whatever the order in which they end.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

__all__ = ["WORK_PER_THREAD", "limited_threads"]

WORK_PER_THREAD = 1e9  # multiply-adds


@contextmanager
def limited_threads(work: float) -> Iterator[None]:
    """Leave one thread for every `WORK_PER_THREAD` of the given multiply-adds, at least one."""
    n_threads = max(1, int(work / WORK_PER_THREAD))
    if n_threads >= torch.get_num_threads():
        yield
    else:
        with _controller().limit(limits=n_threads, user_api="openmp"), _limited_mkl(n_threads):
            yield


@contextmanager
def _limited_mkl(n_threads: int) -> Iterator[None]:
    """Limit torch's MKL in this thread: after `torch.set_num_threads` it does not ask OpenMP any more."""
    before = _set_mkl_threads()(n_threads)
    try:
        yield
    finally:
        _set_mkl_threads()(before)


@cache
def _controller() -> ThreadpoolController:
    """The process's thread pools: looking for them takes milliseconds, and torch's own was there before us."""
    return ThreadpoolController()


@cache
def _set_mkl_threads() -> Callable[[int], int]:
    """MKL's function n -> the number before, both of this thread alone, 0 for none; without MKL one that does nothing.

    threadpoolctl finds MKL by the name of its file, but in torch's wheels it is a part of torch's own.
    """
    return getattr(ctypes.CDLL(torch._C.__file__), "MKL_Set_Num_Threads_Local", lambda n_threads: 0)
