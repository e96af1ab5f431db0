"""How far a long step has come, where `verbose` asks for it: lines, or a bar."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["duration", "progress"]

#: Seconds without a word, and between two lines: a short step says nothing.
EVERY = 5.0


@contextmanager
def progress(verbose: int, step: str, total: int | None, unit: str = "rows") -> Iterator[Callable[[int], object]]:
    """Give a function that is told how many more units are done, and says how many of all, and the time left.

    Parameters
    ----------
    verbose : int
        0 says nothing; 1 prints a line every five seconds; 2 draws a bar, in terminals and notebooks. A step that ends
        within five seconds says nothing.
    step : str
        What is done, e.g. "VAETransformer.impute".
    total : int or None
        Units in all, where that is known.
    unit : str, default="rows"

    Examples
    --------
    >>> from skvae._utils.progress import progress
    >>> with progress(1, "VAETransformer.impute", 1000) as told:
    ...     told(500)
    """
    if verbose > 1:
        from tqdm.auto import tqdm  # late: it warns in a notebook without ipywidgets

        with tqdm(desc=step, total=total, unit=f" {unit}", delay=EVERY) as bar:
            yield bar.update
        return
    lines = _Lines(step, total, unit)
    yield lines.tell if verbose else _keep_silent
    if verbose:
        lines.end()


def duration(seconds: float) -> str:
    """Give seconds as a person says them.

    Examples
    --------
    >>> from skvae._utils.progress import duration
    >>> duration(7.2), duration(400), duration(9000)
    ('7 s', '7 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _keep_silent(n: int) -> None:
    """Stand for a function that is told how many units are done."""


class _Lines:
    """A line now and then, with the time left at the pace so far."""

    def __init__(self, step: str, total: int | None, unit: str) -> None:
        self.step, self.total, self.unit = step, total, unit
        self.done = 0
        self.start = self.last = time.monotonic()

    def tell(self, n: int) -> None:
        """Take note of n more units."""
        self.done += n
        now = time.monotonic()
        if now - self.last < EVERY:
            return
        self.last = now
        share, left = "", ""
        if self.total is not None:
            share = f" of {self.total}"
            if self.done < self.total:
                left = f", {duration((now - self.start) * (self.total / self.done - 1))} left"
        print(f"[{self.step}] {self.done}{share} {self.unit}{left}", flush=True)

    def end(self) -> None:
        """Say how long it took, if anything was said before."""
        if self.last > self.start:
            print(f"[{self.step}] {self.done} {self.unit} in {duration(time.monotonic() - self.start)}", flush=True)
