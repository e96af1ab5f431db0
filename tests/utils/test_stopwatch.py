"""Seconds of phases, by a clock that the test turns."""

from contextlib import suppress

import pytest

from skvae._utils import stopwatch as module
from skvae._utils.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    now = [0.0, 0.0]
    monkeypatch.setattr(module, "_now", lambda: tuple(now))

    def turn(wall, cpu):
        now[:] = now[0] + wall, now[1] + cpu

    return turn


def test_a_phase_has_no_seconds_of_those_inside_it(clock):
    stopwatch = Stopwatch()
    clock(100, 100)  # before the first phase, and between two
    for _ in range(2):
        with stopwatch("train"):
            clock(2, 1)
            with stopwatch("hold out"):
                clock(4, 3)
            clock(1, 1)
        clock(10, 10)
    assert stopwatch.seconds == {"train": (6, 4), "hold out": (8, 6)}
    assert [line.split()[-3:] for line in stopwatch.lines()[1:]] == [
        ["6.00", "4.00", "40%"],
        ["8.00", "6.00", "60%"],
        ["14.00", "10.00", "100%"],
    ]


def test_a_phase_that_raises_has_ended(clock):
    stopwatch = Stopwatch()
    with suppress(KeyboardInterrupt), stopwatch("start"):
        clock(1, 1)
        raise KeyboardInterrupt
    clock(5, 5)
    with stopwatch("train"):
        clock(2, 2)
    assert stopwatch.seconds == {"start": (1, 1), "train": (2, 2)}
