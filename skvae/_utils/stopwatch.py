"""Where the time of a long call goes: seconds by phase."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stopwatch"]


class Stopwatch:
    """Seconds of each phase, by the clock and of the processor, without those of the phases inside it.

    Examples
    --------
    >>> from skvae._utils.stopwatch import Stopwatch
    >>> stopwatch = Stopwatch()
    >>> with stopwatch("train"):
    ...     with stopwatch("hold out"):
    ...         pass
    >>> list(stopwatch.seconds)
    ['train', 'hold out']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self._running: list[str] = []
        self._last = _now()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Count the seconds of the block as those of a phase, which may have some already."""
        self._charge()
        self._running.append(phase)
        self.seconds.setdefault(phase, (0.0, 0.0))
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def _charge(self) -> None:
        """Add what has passed since the last change to the innermost phase that runs."""
        now = _now()
        if self._running:
            phase = self._running[-1]
            wall, cpu = self.seconds[phase]
            self.seconds[phase] = wall + now[0] - self._last[0], cpu + now[1] - self._last[1]
        self._last = now

    def lines(self) -> list[str]:
        """Give a table of the phases, in the order in which they began, and of their sum."""
        wall, cpu = (sum(column) for column in zip(*self.seconds.values(), strict=True))
        rows = [*self.seconds.items(), ("in all", (wall, cpu))]
        return [f"{'phase':14}{'seconds':>10}{'processor':>11}{'share':>7}"] + [
            f"{phase:14}{a:10.2f}{b:11.2f}{b / max(cpu, 1e-9):7.0%}" for phase, (a, b) in rows
        ]


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
