"""The contract of priors p(z), where codes live: a value, whose module returns the distribution.

==================  =========================  ====================  ================================  =============
name                reads                      gives                 who calls it                      default
==================  =========================  ====================  ================================  =============
build               n_components               nn.Module             the model, once                   must be given
build(...).forward  encode                     p(z) of K components  every pass                        must be given
reads_rows          -                          bool                  who calls `build` and the module  False
fits_codes          -                          bool                  compatibility of parts            False
fit_codes           module, codes, w, seed     None, sets in place   after autoencoders are trained    raises
seeks_groups        -                          bool                  initialisation                    False
sized               codes, rows of them, seed  Prior without "auto"  initialisation                    itself
start               module, codes, rows, seed  None, sets in place   initialisation                    nothing
check               -                          None, or raises       `fit`, first                      constraints
==================  =========================  ====================  ================================  =============
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor, nn
from torch.distributions import Distribution

from .._utils.component import Component
from .._utils.signatures import own_signature

__all__ = ["Encode", "Prior"]

#: Rows (M, D) in model space -> their posterior.
Encode: TypeAlias = Callable[[Tensor], Distribution]


class Prior(Component, ABC):
    """Base class of priors; subclass it for your own.

    A prior is a value without weights; its `build` gives a torch module whose ``forward(encode)`` returns p(z).
    Parameters of that module are trained with the decoder.

    Attributes
    ----------
    reads_rows : bool
        Whether `build` also takes the number of columns, `n_features`, and the module the encode callable.
    fits_codes : bool
        Whether `fit_codes` can fit the module to codes, for objectives that do not pull codes towards a prior.
    seeks_groups : bool
        Whether the initialisation is for groups of rows: normal codes with as many components as columns have little
        noise, so that q is nearly exact under this prior, too, and one categorical variable represents the clusters of
        the linear codes.

    See Also
    --------
    Standard : A prior of any `Family`, without a subclass.
    Posterior : The base class of posteriors, which are compared with it.

    Examples
    --------
    A normal that learns its own spread, which the posterior then need not fill:

    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skvae import Prior, VAETransformer
    >>> class Wide(torch.nn.Module):
    ...     def __init__(self, n_components):
    ...         super().__init__()
    ...         self.log_scale = torch.nn.Parameter(torch.zeros(n_components))
    ...
    ...     def forward(self, encode=None):
    ...         return torch.distributions.Normal(torch.zeros_like(self.log_scale), self.log_scale.exp())
    >>> class WideNormal(Prior):
    ...     def build(self, n_components):
    ...         return Wide(n_components)
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, prior=WideNormal(), max_iter=50, early_stopping=False, random_state=0).fit(X)
    >>> vae.module_.prior.log_scale.exp().detach().numpy().round(2)  # it has learned
    array([1.06, 0.98], dtype=float32)
    """

    reads_rows = False
    fits_codes = False
    seeks_groups = False

    @own_signature
    @abstractmethod
    def build(self, n_components: int) -> nn.Module:
        """Make the module whose ``forward(encode)`` returns p(z).

        The encode callable maps rows (M, D), in model space, to their q; priors that do not read rows ignore it.

        Parameters
        ----------
        n_components : int
            K, the width of z. A prior with ``reads_rows = True`` takes `n_features`, D, as a second argument.

        Returns
        -------
        torch.nn.Module
            A new module; what its forward gives has batch shape (K,), or event shape (K,) where it is joint.

        See Also
        --------
        start : Sets what depends on the codes.

        Examples
        --------
        >>> import torch
        >>> from skvae import StandardNormal
        >>> StandardNormal().build(2)().log_prob(torch.zeros(2))  # -ln(2 pi) / 2
        tensor([-0.9189, -0.9189])
        """

    def sized(self, z: np.ndarray, row: np.ndarray, seed: int) -> "Prior":
        """Give the prior with a size that depends on the codes of the initialisation; by default the prior itself.

        It is called before `build`, so that the module has that size from the beginning.

        Parameters
        ----------
        z : ndarray (n, K)
            Draws from the posteriors of rows, at the initialisation.
        row : int ndarray (n,)
            The row to which each draw belongs.
        seed : int
            Of everything that is random here.

        Returns
        -------
        Prior
            The prior that is built, started and trained.

        See Also
        --------
        NormalMixture : Finds its number of members.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import NormalMixture
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(200, 1)) + 9 * rng.integers(2, size=(200, 1))
        >>> NormalMixture("auto").sized(z, np.arange(200), seed=0)
        NormalMixture(n_members=2)
        """
        return self

    def start(self, module: Any, z: np.ndarray, x: Tensor, seed: int) -> None:
        """Spread the module over the codes of the closed-form initialisation.

        Members of a mixture that begin alike stay alike, so they are placed at different rows here. By default nothing
        happens: the codes of the initialisation have a standard normal distribution.

        Parameters
        ----------
        module : torch.nn.Module
            The result of `build`; its parameters are set in place, without gradient.
        z : ndarray (n, K)
            One draw from the posterior of each row, at the initialisation.
        x : Tensor (n, D)
            The rows, in model space.
        seed : int
            Of everything that is random here.

        See Also
        --------
        NormalMixture : Starts at the clusters of the codes.
        VampPrior : Starts at rows whose codes lie far from each other.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from skvae import NormalMixture
        >>> prior = NormalMixture(n_members=2)
        >>> module, z = prior.build(1), np.array([[-2.0], [-2.0], [3.0], [3.0]])
        >>> with torch.no_grad():
        ...     prior.start(module, z, torch.zeros(4, 5), seed=0)
        >>> module.loc.detach().flatten().sort().values
        tensor([-2.,  3.])
        """

    def fit_codes(self, module: Any, z: np.ndarray, weight: np.ndarray, seed: int) -> None:
        """Fit the module to the codes of a trained autoencoder, as a density that `sample` draws from.

        It is only for objectives that do not pull codes towards a prior, whose training does not change the module.

        Parameters
        ----------
        module : torch.nn.Module
            The result of `build`, on the CPU; its parameters are set in place.
        z : ndarray (n, K)
            Codes of at most 4000 rows, in an order that does not matter.
        weight : ndarray (n,)
            The weights of these rows.
        seed : int
            Of everything that is random here.

        See Also
        --------
        FlowPrior : Maximises the likelihood of the codes by gradient steps.
        NormalMixture : By EM.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import NormalMixture
        >>> prior = NormalMixture(n_members=2)
        >>> module = prior.build(1)
        >>> prior.fit_codes(module, np.array([[-2.1], [-1.9], [3.1], [2.9]]), np.ones(4), seed=0)
        >>> module.loc.detach().flatten().sort().values.round()
        tensor([-2.,  3.])
        """
        raise NotImplementedError(f"{type(self).__name__} is not fitted to codes.")
