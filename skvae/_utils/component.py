"""What all components have in common: they are values whose parameters are checked before anything is computed."""

from typing import Any, ClassVar

from .checks import check_parameters
from .documented import Documented

__all__ = ["Component"]


class Component(Documented):
    """Base class of families, posteriors, priors, objectives, networks, schedules and their like.

    A component is a value: `__init__` only assigns, as scikit-learn wants it, so that it can be cloned, printed, set by
    name and searched over. A wrong parameter therefore shows in `check`, which `fit` calls. A component of one's own
    may say what its parameters can be in `_parameter_constraints`, as scikit-learn's estimators do, and need not.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def check(self) -> None:
        """Raise a ValueError for a bad parameter; `fit` calls it before anything is computed.

        Components among the parameters are checked, too.

        See Also
        --------
        VAETransformer.fit : Calls it.

        Examples
        --------
        >>> from skvae import VampPrior
        >>> VampPrior(n_members=0).check()
        Traceback (most recent call last):
        sklearn.utils._param_validation.InvalidParameterError: The 'n_members' parameter of VampPrior must be an int
        in the range [1, inf). Got 0 instead.
        """
        parameters = self.get_params(deep=False)
        check_parameters(self._parameter_constraints, parameters, type(self).__name__)
        for value in parameters.values():
            if isinstance(value, Component):
                value.check()
