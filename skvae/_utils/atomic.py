"""Files that are replaced wholly or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A path to write to, in the same folder; it takes the place of `path` at the end of the block, if all goes well.

    Parameters
    ----------
    path : str or path-like

    Yields
    ------
    pathlib.Path
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
