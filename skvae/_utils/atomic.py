"""Files that are replaced wholly or not at all, also when the process is killed or the machine goes down."""

import errno
import glob
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # on Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["remove_orphans", "replacing"]

_IS_POSIX = os.name == "posix"


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file to write to, in the same folder; it takes the place of `path` at the end of the block, if all goes well.

    A link stays, and what it points at is replaced. What was written is on the disk, and so is its name, before the
    block is left. While it is written, the file has a name of its own, and a lock that goes with the process.

    Parameters
    ----------
    path : str or path-like

    Yields
    ------
    binary file
    """
    if not os.fspath(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "")
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            with suppress(OSError):  # a file system without locks: there orphans stay
                _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if _IS_POSIX:  # while it is locked, or it could be taken for an orphan
                os.replace(temporary, target)
        if not _IS_POSIX:  # which rename no file that is open
            os.replace(temporary, target)
        _sync_names(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_orphans(path: str | os.PathLike) -> None:
    """Remove what processes that were killed inside `replacing` have left; what others are writing stays.

    Parameters
    ----------
    path : str or path-like
        As it was given to `replacing`.
    """
    target = Path(os.path.realpath(path))
    for orphan in target.parent.glob(f".{glob.escape(target.name)}.*"):
        with suppress(OSError), open(orphan, "r+b") as file:  # removed by another process, or being written
            _lock(file)
            orphan.unlink()


def _lock(file: BinaryIO) -> None:
    """Lock a file until it is closed; a BlockingIOError if another one has it open."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_names(folder: Path) -> None:
    """Bring the names of a folder's files to the disk, where the system lets a folder be opened."""
    if not _IS_POSIX:
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
