"""How an estimator is kept: the state that pickle, joblib and skops take, and `save` and `load`.

The state holds plain data: the parameters, with components of this package by their names (`registry.py`), everything
that `fit` has learned (`to_plain.py`), and a format version. It names no module of this package but the estimator's,
and nothing is imported by what a state says. `save` and `load` write the same state into one file without pickle
(`files.py`). Components of the user's own are objects in it.
"""

import copy
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._inference.fitted import REFERENCE, HoldsFit, earlier_fit
from . import files
from .checks import FORMAT_VERSION, checked_version, damage_of_state, refuse_methods
from .from_plain import from_plain
from .registry import described, made
from .to_plain import to_plain

__all__ = ["Stored"]

#: Parameters that may be components, or lists with components.
COMPONENTS = (
    *("encoder", "decoder", "likelihood", "feature_loss", "posterior", "prior", "objective", "schedule", "checkpoint"),
)
NOT_SAVED = ("_skl_callbacks", "_metadata_request")


class Stored(HoldsFit, BaseEstimator):
    """How a fitted estimator is copied, pickled, saved and loaded."""

    def __deepcopy__(self, memo):
        """Copy everything, the optimizer's state too: a copy within a process loses nothing, unlike a pickle."""
        twin = memo[id(self)] = type(self).__new__(type(self))
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Give parameters, plain numbers and numpy arrays, and a format version; never a torch or skorch object."""
        state = {**super().__getstate__(), "_format_version": FORMAT_VERSION}
        state |= {name: described(state[name]) for name in COMPONENTS}
        state["device"] = str(self.device)
        fitted = earlier_fit(self)
        return state if fitted is None else state | {REFERENCE: to_plain(fitted, self.keep_optimizer)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set everything, or raise a ValueError and set nothing."""
        checked_version(state)
        with damage_of_state():
            state = {name: value for name, value in state.items() if name != "_format_version"}
            learned = state.pop(REFERENCE, None)
            refuse_methods(self, state)
            state |= {name: made(state[name]) for name in COMPONENTS if name in state}
            state |= _younger(type(self), state)
            if learned is not None:
                state[REFERENCE] = from_plain(learned) if isinstance(learned, dict) else learned
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
            The package safetensors is missing: ``pip install safetensors``.
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
        files.write(path, {k: v for k, v in self.__getstate__().items() if k not in NOT_SAVED})

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
            The package safetensors is missing: ``pip install safetensors``.
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


def _younger(kind: type, state: dict[str, Any]) -> dict[str, Any]:
    """Parameters younger than the state, at their defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in state and p.default is not p.empty}
