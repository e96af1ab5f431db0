"""A fitted estimator <-> plain data: its parameters, numbers, strings, lists, dicts, numpy arrays, a format version.

The one place that knows the format. `Stored` has its two faces: the state that pickle, joblib and skops take, and
`save` and `load`, which write the same state into one file without pickle (`files.py`). In a state everything that
`fit` has set is plain, built-in components by their names (`registry.py`); no class is imported by what a state says.
Parameters are as the user has set them, so components among them are objects there, as are the user's own everywhere.

Format 1 (0.1.0 before its release) kept objects of this package's classes instead; it is read, never written.
"""

import copy
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

from sklearn.utils.validation import check_is_fitted

from . import files
from .checks import FORMAT_VERSION, checked_version, damage_of_state
from .from_plain import _fitted, _from_format_1, _refuse_methods
from .to_plain import _plain

__all__ = ["Stored"]

_NOT_SAVED = ("_skl_callbacks", "_metadata_request")


class Stored:
    """How a fitted estimator is copied, pickled, saved and loaded."""

    def __copy__(self):
        """Share everything fitted; `copy.copy` would go through `__getstate__` and rebuild the module."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self, memo):
        """Copy everything, the optimizer's state too: a copy within a process loses nothing, unlike a pickle."""
        twin = memo[id(self)] = type(self).__new__(type(self))
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def __getstate__(self):
        """Parameters, plain numbers and numpy arrays, and a format version; never a torch or skorch object."""
        state = {**super().__getstate__(), "_format_version": FORMAT_VERSION}
        state["device"] = str(self.device)
        return state | _plain(self) if "module_" in state else state

    def __setstate__(self, state):
        """Set everything, or raise a ValueError and set nothing."""
        version = checked_version(state)
        with damage_of_state():
            state = {name: value for name, value in state.items() if name != "_format_version"}
            _refuse_methods(self, state)
            state |= _younger(type(self), state)
            if "module_" in state:
                state |= _from_format_1(state) if version == 1 else _fitted(state)
        super().__setstate__(state)

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted model into one file, without pickle.

        The file is in the safetensors format: the arrays as its tensors, and in its header the parameters and what else
        `fit` has learned, as JSON. It holds no code and no path to any: components of skvae are there by the names of
        their classes, your own classes and functions by theirs, and are passed to `load`. The callbacks of
        ``set_callbacks`` and metadata requests (``set_fit_request``) are not kept.

        Parameters
        ----------
        path : str or path-like
            A file that is there already is replaced when the new one is complete.

        Raises
        ------
        ImportError
            The package safetensors is missing: ``pip install "skvae[save]"``.
        sklearn.exceptions.NotFittedError
            There is nothing to keep yet.
        ValueError
            A parameter that has no words in JSON, such as a lambda.

        See Also
        --------
        load : Read such a file.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     vae.save(Path(folder) / "iris.safetensors")
        ...     again = VAETransformer.load(Path(folder) / "iris.safetensors")
        >>> bool((again.transform(X) == vae.transform(X)).all())
        True
        """
        check_is_fitted(self)
        files.write(path, {k: v for k, v in self.__getstate__().items() if k not in _NOT_SAVED})

    @classmethod
    def load(cls, path: str | os.PathLike, components: Sequence[Callable] | None = None) -> Any:
        """Read a model that `save` has written.

        Nothing in the file is imported, evaluated or unpickled: it may come from somebody you do not trust, as long as
        you trust the components that you pass. A file of an older release loads; one of a newer format is an error.

        Parameters
        ----------
        path : str or path-like
            Where the file is.
        components : list of classes and functions, optional
            Those in the parameters that are not skvae's own, such as a subclass of `Prior` or an optimizer; they are
            found by their ``__name__``. One that is missing is named in the error.

        Returns
        -------
        vae : VAETransformer
            Fitted; on the device of the fit where this machine has it, else on the CPU.

        Raises
        ------
        ImportError
            The package safetensors is missing: ``pip install "skvae[save]"``.
        OSError
            There is no such file.
        ValueError
            A file that is damaged, of a newer format or not of skvae; a component that was not passed.

        See Also
        --------
        save : Write such a file.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import load_iris
        >>> from skvae import NormalMixture, VAETransformer
        >>> class Pair(NormalMixture):
        ...     def __init__(self, n_members=2):
        ...         super().__init__(n_members)
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, prior=Pair(), max_iter=1).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     vae.save(Path(folder) / "iris.safetensors")
        ...     again = VAETransformer.load(Path(folder) / "iris.safetensors", components=[Pair])
        >>> again.prior
        Pair()
        """
        vae = cls.__new__(cls)
        vae.__setstate__(files.read(path, checked_version, components))
        return vae


def _younger(kind, state):
    """Parameters younger than the state, at their defaults; what the model was made with has them, too."""
    parameters = inspect.signature(kind).parameters.values()
    younger = {p.name: p.default for p in parameters if p.name not in state and p.default is not p.empty}
    if "_made_with" in state:
        made_with = {name: repr(default) for name, default in younger.items()} | state["_made_with"]
        return younger | {"_made_with": made_with}
    return younger
