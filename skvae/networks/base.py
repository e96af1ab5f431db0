"""The contract of networks beside the linear paths of encoder and decoder.

=============  ===================  ====================  ===========================  =============
name           reads                gives                 who calls it                 default
=============  ===================  ====================  ===========================  =============
build_encoder  n_features, n_out    nn.Module             `Encoder`, once              must be given
build_decoder  n_components, n_out  nn.Module             `Decoder`, once              must be given
reads          -                    "rows" or "features"  `Encoder`, in every pass     "rows"
is_silent      -                    bool                  who builds: a gate, or none  False
check          families (D,)        None, or raises       `fit`, first; stored files   constraints
=============  ===================  ====================  ===========================  =============
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn

from .._utils.component import Component
from ..families.base import Family

__all__ = ["Network"]


class Network(Component, ABC):
    r"""Base class of networks for ``encoder=`` and ``decoder=``; subclass it for your own.

    A network is a value that builds a torch module. The module enters as

    .. math:: e(x, m) + g_e \odot \mathrm{net}_e(x, m), \qquad d(z) + g_d \odot \mathrm{net}_d(z)

    where e and d are the linear paths, which the closed-form initialisation sets, and g are gates, one per output, that
    are initially 0. If no more is needed, a plain function ``(n_in, n_out) -> torch.nn.Module`` is enough.

    Attributes
    ----------
    reads : {"rows", "features"}
        The input of the encoder's module. "rows": x (B, D) in model space and in the table's order, missing cells
        filled, and which cells were observed, a bool mask (B, D), or None for all. "features": one tensor (B, F) as the
        MLP sees it: numbers, then 8 trained numbers for each category, then a flag for each column that had a missing
        cell in `fit`, 1 where the cell is missing.
    is_silent : bool
        Whether the modules give zeros until they are trained, and so need no gate.

    See Also
    --------
    MLP : The default.
    ConvNet : Convolutions, for rows of pixels.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from skvae import Network, VAETransformer
    >>> class Bottleneck(Network):
    ...     reads = "features"
    ...
    ...     def build_encoder(self, n_features, n_out):
    ...         return nn.Sequential(nn.Linear(n_features, 4), nn.Tanh(), nn.Linear(4, n_out))
    ...
    ...     def build_decoder(self, n_components, n_out):
    ...         return self.build_encoder(n_components, n_out)
    >>> X, _ = load_digits(return_X_y=True)
    >>> vae = VAETransformer(2, encoder=Bottleneck(), decoder=Bottleneck(), max_iter=2, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (1797, 2)
    """

    reads = "rows"
    is_silent = False

    def check(self, families: Sequence[Family] = ()) -> None:
        """Raise a ValueError for a bad parameter, or for columns that the network does not support.

        It is called in `fit` before anything is built; the base class accepts all columns.

        Parameters
        ----------
        families : list of Family, optional
            The likelihood of each column, in the table's order, (D,); without them, parameters alone are checked.

        See Also
        --------
        Network.build_encoder : Called after it.

        Examples
        --------
        >>> from skvae import ConvNet, Gaussian
        >>> ConvNet(image_shape=(1, 8, 8)).check([Gaussian()] * 64)
        """
        super().check()

    @abstractmethod
    def build_encoder(self, n_features: int, n_out: int) -> nn.Module | None:
        """Build the encoder's module.

        It is called as `reads` says and gives raw numbers of the posterior.

        Parameters
        ----------
        n_features : int
            D for a network that reads rows; F for one that reads features.
        n_out : int
            R, the number of outputs that the posterior needs for a row.

        Returns
        -------
        torch.nn.Module or None
            Of ``(x (B, D), mask (B, D) or None) -> (B, R)``, or ``(h (B, F)) -> (B, R)``. A network that is silent
            may give None for no layers at all.

        See Also
        --------
        Network.build_decoder : The other way.

        Examples
        --------
        >>> import torch
        >>> from skvae import ConvNet
        >>> net = ConvNet(image_shape=(1, 8, 8)).build_encoder(64, 20)
        >>> net(torch.zeros(3, 64), None).shape
        torch.Size([3, 20])
        """

    @abstractmethod
    def build_decoder(self, n_components: int, n_out: int) -> nn.Module | None:
        """Build the decoder's module.

        It gives raw numbers of the likelihood: for each group of columns of one family all first numbers, then all
        second numbers; for a category of more than 64 levels a few numbers from which its logits are computed.

        Parameters
        ----------
        n_components : int
            K.
        n_out : int
            R, the number of outputs that the likelihood needs for a row.

        Returns
        -------
        torch.nn.Module or None
            Of ``(z (N, K)) -> (N, R)``.

        See Also
        --------
        Network.build_encoder : The other way.

        Examples
        --------
        >>> import torch
        >>> from skvae import ConvNet
        >>> net = ConvNet(image_shape=(1, 8, 8)).build_decoder(10, 64)
        >>> net(torch.zeros(3, 10)).shape
        torch.Size([3, 64])
        """
