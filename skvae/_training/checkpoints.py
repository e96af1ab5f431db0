"""Checkpoints: what training has made so far, in one file per run, so that a run that was killed goes on bit for bit.

Canonical rows, units and the start follow from table, parameters and seed: a run that goes on computes them again. The
file holds the rest: weights and their average, optimizers, history, the best state; and inside an epoch, which may take
an hour, how many steps are done, the states of the generators and the sums of the epoch's means. The schedule, a
generator, cannot be stored: it is run again over the steps that are done, which reads their rows and computes nothing.

The name of the file is a hash of everything that the result depends on. So another table, parameter or seed is another
run, and the candidates of a search share a folder.
"""

import os
import shutil
import tempfile
from errno import ENOSPC
from pathlib import Path

from .._utils.checks import COUNT, POSITIVE
from .._utils.compat import StrOptions
from .._utils.component import Component

__all__ = ["Checkpoint", "reserve"]


class Checkpoint(Component):
    """How often a fit writes down what it has learned, and where, so that it goes on after it was killed.

    ``VAETransformer(checkpoint=Checkpoint("runs"))``, or ``checkpoint="runs"`` for short. The same call of `fit` again,
    with the same table, parameters and seed, goes on from the file of the run that was interrupted, wherever that was,
    and ends bit for bit where it would have ended. A fit that ends well removes its file. Fits that differ in anything
    have files of their own: one folder is enough for all candidates of a search.

    A termination signal (SIGTERM), which schedulers send before they kill, writes a last checkpoint first.

    Parameters
    ----------
    folder : str or path-like
        Where the files are; made if it is missing. It needs room for two of them, some twelve times the weights.
    every_n_epochs : int, optional
        Write after so many epochs.
    every_minutes : float or None, default=10.0
        Write after so many minutes, inside an epoch, too; None for epochs alone.
    resume : {"auto", True, False}, default="auto"
        "auto" goes on if there is a file of this run; True raises a ValueError if there is none; False starts over.

    See Also
    --------
    VAETransformer : Takes it as its parameter `checkpoint`.
    VAETransformer.save : Keeps a fitted model.

    Examples
    --------
    A fit that is interrupted in its fourth epoch, and goes on:

    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skorch.callbacks import Callback
    >>> from skvae import Checkpoint, VAETransformer
    >>> class Interruption(Callback):
    ...     def on_epoch_begin(self, net, **kwargs):
    ...         if len(net.history) == 4:
    ...             raise KeyboardInterrupt
    >>> X, _ = load_iris(return_X_y=True)
    >>> whole = VAETransformer(2, max_iter=6, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     vae = VAETransformer(2, max_iter=6, random_state=0, checkpoint=Checkpoint(folder, every_n_epochs=1))
    ...     try:
    ...         vae.set_params(callbacks=[Interruption()]).fit(X)
    ...     except KeyboardInterrupt:
    ...         vae.set_params(callbacks=None, checkpoint__resume=True).fit(X)
    VAETransformer(...)
    >>> bool((vae.transform(X) == whole.transform(X)).all())
    True
    """

    _parameter_constraints = {
        "folder": [str, os.PathLike],
        "every_n_epochs": [COUNT, None],
        "every_minutes": [POSITIVE, None],
        "resume": [StrOptions({"auto"}), "boolean"],
    }

    def __init__(
        self,
        folder: str | os.PathLike,
        every_n_epochs: int | None = None,
        every_minutes: float | None = 10.0,
        resume: bool | str = "auto",
    ):
        self.folder = folder
        self.every_n_epochs = every_n_epochs
        self.every_minutes = every_minutes
        self.resume = resume

    def check(self) -> None:
        """Also that there is a time to write at."""
        super().check()
        if self.every_n_epochs is None and self.every_minutes is None:
            raise ValueError(
                "Checkpoint writes nothing without 'every_n_epochs' and 'every_minutes': give one of them."
            )


# ---------------------------------------------------------------- files and names


def reserve(folder, n_bytes):
    """Make the folder, and see whether it takes a file of so many bytes.

    Raises
    ------
    OSError
        It does not.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:  # without a name: nothing stays if we are killed here
            _allocate(file.fileno(), folder, n_bytes)
    except OSError as error:
        need = f", which need {n_bytes:,} bytes" if n_bytes > 1 else ""  # 1: the size is not known yet
        raise OSError(
            error.errno,
            f"The folder {os.fspath(folder)!r} of Checkpoint cannot hold the checkpoints of this fit{need}: "
            f"{error.strerror}. Give a folder that can be written to, on a disk with enough room",
        ) from error


def _allocate(file, folder, n_bytes):
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, n_bytes)
    elif shutil.disk_usage(folder).free < n_bytes:
        raise OSError(ENOSPC, os.strerror(ENOSPC))
