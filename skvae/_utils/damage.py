"""What goes wrong with damaged files and states is a ValueError that says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["damage_is_a_value_error"]

#: What reading plain data of the wrong shape raises, whoever reads it.
_KINDS = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, TypeError,
          ValueError)  # fmt: skip


@contextmanager
def damage_is_a_value_error(message: Callable[[Exception], str], *kinds: type[Exception]) -> Iterator[None]:
    """Inside the block, errors of reading malformed data become a ValueError.

    Parameters
    ----------
    message : callable
        Error -> what to say: what is damaged, and what to do about it.
    *kinds : type of Exception
        What else the reader raises, such as `zipfile.BadZipFile`.
    """
    caught: tuple[type[Exception], ...] = (*_KINDS, *kinds)
    try:
        yield
    except caught as error:
        raise ValueError(message(error)) from error
