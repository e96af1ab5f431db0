"""Checkpoints: the state of training, in one file per fit, so that a fit that was killed resumes bit for bit.

Canonical rows, the scaling and the initialisation follow from table, parameters and seed: a fit that resumes computes
them again. The file holds the rest: weights and their average, optimizers, history, the best state; and inside an
epoch, which may take an hour, how many steps are done, the states of the generators and the sums of the epoch's means.
The schedule, a generator, cannot be stored: it is run again over the steps that are done, which reads their rows and
computes nothing.

The name of the file is a hash of everything that the result depends on. So another table, parameter or seed is another
file, and the candidates of a search share a folder.
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
    """When and where a fit writes its training state, so that it can resume after it was killed.

    Pass one to the estimator, ``VAETransformer(checkpoint=Checkpoint("runs"))``, or ``checkpoint="runs"`` for short.
    When `fit` is called again with the same table, parameters and seed, it resumes from the file of the interrupted
    fit, wherever in training that was, and ends bit for bit where the uninterrupted fit would have ended. A fit that
    ends normally removes its file. Fits that differ in anything have separate files, so all candidates of a search can
    share one folder.

    On a termination signal (SIGTERM), which schedulers send before they kill a job, a last checkpoint is written.

    Parameters
    ----------
    folder : str or path-like
        The folder of the files. It is created if it does not exist, and needs space for two files, each some six times
        as large as the weights.
    every_n_epochs : int, optional
        How many epochs there are between two checkpoints.
    every_minutes : float or None, default=10.0
        How many minutes there are between two checkpoints, which may then be written inside an epoch; None writes after
        whole epochs only.
    resume : {"auto", True, False}, default="auto"
        "auto" resumes if there is a file of this fit; True raises a ValueError if there is none; False starts over.

    See Also
    --------
    VAETransformer : The estimator, which takes it as its parameter `checkpoint`.
    VAETransformer.save : Store a fitted model.

    Examples
    --------
    A fit is interrupted in its fourth epoch, and resumes:

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
    ) -> None:
        self.folder = folder
        self.every_n_epochs = every_n_epochs
        self.every_minutes = every_minutes
        self.resume = resume

    def check(self) -> None:
        """Also that the folder has a name, and that there is a time to write at."""
        super().check()
        if not os.fspath(self.folder):
            raise ValueError(
                f"The 'folder' parameter of Checkpoint, or 'checkpoint' of VAETransformer, is {self.folder!r}, which "
                "names no folder. Give a name, '.' for the present folder, or checkpoint=None."
            )
        if self.every_n_epochs is None and self.every_minutes is None:
            raise ValueError(
                "Checkpoint writes nothing without 'every_n_epochs' and 'every_minutes': give one of them."
            )


# ---------------------------------------------------------------- files and names


def reserve(folder: str | os.PathLike, n_bytes: int) -> None:
    """Make the folder, and find out whether its disk has space for a file of so many bytes.

    Raises
    ------
    OSError
        It cannot be made or written to, or its disk has not that much space.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=Path(folder)) as file:  # without a name: nothing stays if we are killed here
            _allocate(file.fileno(), folder, n_bytes)
    except OSError as error:
        need = f", which need {n_bytes:,} bytes" if n_bytes > 1 else ""  # 1: the size is not known yet
        raise OSError(
            error.errno,
            f"The folder {os.fspath(folder)!r} of Checkpoint cannot hold the checkpoints of this fit{need}: "
            f"{error.strerror}. Give a folder that can be written to, on a disk with enough room",
        ) from error


def _allocate(file: int, folder: str | os.PathLike, n_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, n_bytes)
    elif shutil.disk_usage(folder).free < n_bytes:
        raise OSError(ENOSPC, os.strerror(ENOSPC))
