"""A fork while threads work, and an interrupt anywhere, leave no lock, no lowered limit and no seeded generator."""

import contextlib
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from skvae import VAETransformer
from skvae._utils import random, threads
from skvae._utils.random import exclusive, isolated
from skvae._utils.threads import limited_threads

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
SECONDS = 60


def ended(work):
    """Whether a forked child comes to the end of its work, without an error; it is killed where it does not."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@contextlib.contextmanager
def meanwhile(*works):
    """Threads that do their work over and over while the block runs."""
    stop = threading.Event()

    def repeat(work):
        while not stop.is_set():
            work()

    running = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in running:
            thread.join()


def fitted(wine):
    return VAETransformer(2, max_iter=1, random_state=0).fit(wine)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_samples_whatever_threads_were_at(wine):
    vae, incomplete = fitted(wine), np.where(wine > 1, np.nan, wine)
    works = [lambda: vae.sample(2000), lambda: vae.impute(incomplete, n_draws=2), lambda: fitted(wine)]
    expected = vae.sample(5, random_state=0)

    def in_child():
        np.testing.assert_array_equal(vae.sample(5, random_state=0), expected)
        fitted(wine)

    with meanwhile(*works):
        assert all(ended(in_child) for _ in range(8))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_has_the_users_generator_and_not_that_of_a_thread():
    torch.manual_seed(3)
    expected = torch.randn(3)
    torch.manual_seed(3)
    inside, leave = threading.Event(), threading.Event()

    def train():
        with isolated("cpu", 0):
            inside.set()
            leave.wait(SECONDS)

    thread = threading.Thread(target=train)
    thread.start()
    inside.wait(SECONDS)

    def in_child():
        assert not random._open
        assert torch.equal(torch.randn(3), expected)

    try:
        assert ended(in_child)
    finally:
        leave.set()
        thread.join()
    assert torch.equal(torch.randn(3), expected)


def test_a_child_goes_on_inside_its_own_block():
    with exclusive(0):

        def in_child():
            random._leave(object())
            assert len(random._open) == 1

        assert ended(in_child)
    assert ended(lambda: fitted(np.eye(5)))


def test_a_child_does_not_wait_for_the_parents_openmp():
    """torch's large products take two threads where there is work enough; the child has one."""
    square = torch.ones(600, 600)
    with threadpool_limits(2, user_api="openmp"):
        before = torch.get_num_threads()
        square.exp()  # the pool is there

        def in_child():
            with limited_threads(1e12):
                square.exp()

        assert ended(in_child)
        assert before == torch.get_num_threads()


WATCHED = {random.__file__, threads.__file__, contextlib.__file__}


class Interrupted(Exception):
    pass


def interrupted_at(step, block):
    """Run a block and raise at the step-th moment at which Python looks for signals; whether there was such a moment.

    Python looks where a function begins and where a call of C has returned.
    """
    left = [step]

    def profile(frame, event, argument):
        if event in ("call", "c_return") and frame.f_code.co_filename in WATCHED:
            left[0] -= 1
            if left[0] == 0:
                sys.setprofile(None)
                raise Interrupted

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        with block():
            pass
    except Interrupted:
        return True
    finally:
        sys.setprofile(before)
    return False


@pytest.mark.parametrize("block", [lambda: isolated("cpu", 0), lambda: exclusive(0), lambda: limited_threads(0)])
def test_an_interrupt_at_any_moment_leaves_nothing_behind(block):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    step = 1
    with threadpool_limits(2, user_api="openmp"):
        while interrupted_at(step, block):
            assert not random._open
            assert not random._saved
            assert torch.equal(torch.get_rng_state(), before)
            assert torch.get_num_threads() == 2
            step += 1
    assert step > 5
    other = threading.Thread(target=lambda: fitted(np.eye(4)), daemon=True)  # which needs the lock
    other.start()
    other.join(SECONDS)
    assert not other.is_alive()


def test_a_device_that_does_not_exist_leaves_nothing_behind():
    with pytest.raises((AttributeError, RuntimeError)), isolated("no_such_device", 0):
        pass
    assert not random._open
    assert not random._saved
