"""Optional packages: an import that fails says what to install."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["needed_by"]


@contextmanager
def needed_by(caller: str, *packages: str, extra: str) -> Iterator[None]:
    """Turn an ImportError inside the block into one that says who needs what, and how to install it.

    Parameters
    ----------
    caller : str
        What the user has asked for, e.g. "VAETransformer.save".
    *packages : str
        What the block imports, as pip knows it.
    extra : str
        The extra of skvae that brings these packages, in versions that work.

    Examples
    --------
    >>> from skvae._utils.extras import needed_by
    >>> with needed_by("VAETransformer.fly", "no_such_wings", extra="wings"):
    ...     import no_such_wings
    Traceback (most recent call last):
    ...
    ImportError: VAETransformer.fly needs no_such_wings: pip install no_such_wings, as the extra "wings" of skvae does.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{caller} needs {' and '.join(packages)}: pip install {' '.join(packages)}, as the extra "
            f'"{extra}" of skvae does.'
        ) from error
