"""How many threads a piece of work is worth.

Two threads that wait for each other spin: on a machine that is busy with something else, as in a search with several
jobs, a small step on two threads can take ten times as long as on one, and on an idle machine it gains little. So
threads are limited by the work at hand, inside `fit` and the verbs, and restored after. There are never more than the
caller has: what the user, joblib or the environment has set is respected.
"""

from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

__all__ = ["WORK_PER_THREAD", "limited_threads"]

WORK_PER_THREAD = 1e9  # multiply-adds


@contextmanager
def limited_threads(work):
    """Leave one thread for every `WORK_PER_THREAD` of the given multiply-adds, at least one."""
    n_threads = max(1, int(work / WORK_PER_THREAD))
    if n_threads >= torch.get_num_threads():
        yield
    else:
        with _controller().limit(limits=n_threads, user_api="openmp"):
            yield


@cache
def _controller():
    """The process's thread pools: looking for them takes milliseconds, and torch's own was there before us."""
    return ThreadpoolController()
