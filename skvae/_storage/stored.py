"""How an estimator is stored: the state that pickle, joblib and skops take, and `save` and `load`.

The state is plain data: the parameters, with components of this package by their names (`registry.py`), everything that
`fit` has learned (`to_plain.py`), and a format version. It names no module of this package but the estimator's, and
nothing is imported because a state says so. Components of the user's own are objects in it. `save` and `load` write the
same state into one file without pickle (`files.py`).
"""

import copy
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._inference.fitted import REFERENCE, VALIDATED, Fitted, HoldsFit, Learned
from . import files
from .checks import (
    FORMAT_VERSION,
    check,
    check_version,
    damage_of_state,
    refuse_attributes_of_the_fit,
    refuse_methods,
)
from .from_plain import from_plain
from .registry import fingerprint, from_config, get_config
from .seal import CHECKED, SEAL, check_seal, sealed
from .to_plain import to_plain

__all__ = ["Stored"]

_VERSION = "_format_version"
#: What a file does not hold; the first two are scikit-learn's, of classes that no file can name.
_NOT_SAVED = ("_skl_callbacks", "_metadata_request", SEAL)  # a file has a digest of all its bytes
_OUTPUT = "_sklearn_output_config"  # of `set_output`


class Stored(HoldsFit, BaseEstimator):
    """How a fitted estimator is copied, pickled, saved and loaded."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy everything, the optimizer's state too: a copy within a process loses nothing, unlike a pickle."""
        twin: Any = type(self).__new__(type(self))
        memo[id(self)] = twin
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Give parameters and the fit as plain numbers and numpy arrays, a format version, and a digest of them."""
        state = dict(super().__getstate__())
        learned = state.pop(REFERENCE, None)
        for name in VALIDATED:  # set by a subclass's own validation; the fit has them
            state.pop(name, None)
        state = {**get_config(state), "device": str(state["device"]), _VERSION: FORMAT_VERSION}
        if learned is not None:
            is_fit = isinstance(learned, Fitted)  # else statistics, which are on their way to a fit
            state[REFERENCE] = to_plain(learned, self.keep_optimizer) if is_fit else learned
        return sealed(state, {*self._get_param_names(), REFERENCE, _VERSION, _OUTPUT} & set(state))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set everything, or raise a ValueError and set nothing."""
        check_version(state)
        with damage_of_state():
            state = {name: value for name, value in check_seal(state).items() if name != _VERSION}
            learned = state.pop(REFERENCE, None)
            refuse_methods(self, state)
            refuse_attributes_of_the_fit(state)
            state = from_config(state)
            younger = _younger(type(self), state)
            state |= younger
            if isinstance(learned, dict):
                learned = {**learned, "made_of": {k: fingerprint(v) for k, v in younger.items()} | learned["made_of"]}
            if learned is not None:
                state[REFERENCE] = from_plain(learned) if isinstance(learned, dict) else learned
                check(isinstance(state[REFERENCE], Learned), f"its fit is a {type(learned).__name__}")
        super().__setstate__(state)

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted model into one file, without pickle.

        The file is in the safetensors format. Its tensors are the arrays of the fitted model; its header contains the
        parameters and everything else that `fit` has learned as JSON. The file contains no code and no path to code.
        skvae's own components are stored by class name. Your own classes and functions are stored by name, too, and
        have to be passed to `load`. The callbacks of ``set_callbacks`` and the metadata requests of ``set_fit_request``
        are not stored.

        Parameters
        ----------
        path : str or path-like
            Where to write. A file that exists there is replaced once the new one is complete and on the disk; for a
            symbolic link the target is replaced.

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If a parameter cannot be written as JSON, for example a lambda.

        See Also
        --------
        load : Read the file again.

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
        """Read a fitted model from a file that `save` has written.

        Nothing in the file is imported, evaluated or unpickled, and it cannot request more memory than a multiple of
        its size. So the file may come from somebody whom you do not trust, as long as you trust the components that you
        pass. A digest in it shows whether any bit has changed. Files that an older release has written can be read; a
        file in a newer format raises an error.

        Parameters
        ----------
        path : str or path-like
            Where the file is.
        components : list of classes and functions, optional
            The classes and functions among the parameters that are not skvae's own, such as a subclass of `Prior` or
            an optimizer. They are found by their ``__name__``. If one is missing, the error names it.

        Returns
        -------
        VAETransformer
            The fitted model. It is on the device of the fit if this machine has that device, else on the CPU.

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        OSError
            If the file does not exist or cannot be read.
        ValueError
            If the file is damaged, has a newer format or was not written by skvae, or if a component was not passed.

        See Also
        --------
        save : Write the file.

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
        vae.__setstate__(files.read(path, _check_before, components) | {SEAL: CHECKED})
        return vae


def _check_before(state: Any) -> None:
    """Check that a file's state is that of a fitted estimator, before anything in it is constructed."""
    check_version(state)
    with damage_of_state():
        check(isinstance(state.get(REFERENCE), dict), "it holds no fitted model")


def _younger(kind: type, state: dict[str, Any]) -> dict[str, Any]:
    """Give the parameters that are younger than the state at their defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in state and p.default is not p.empty}
