"""The contract of posteriors q(z given x): a value, `Posterior`, and the module that it builds, `Head`.

The encoder gives `n_raw` numbers per row, from which the head makes q. Shapes: raw (B, n_raw), base noise u (S, 1 or B,
n_noise), codes z (S, B, K).

=========================  ===================  ===================  =========================  ================
name                       reads                gives                who calls it               default
=========================  ===================  ===================  =========================  ================
Posterior.build            n_components         Head                 the model, once            must be given
Posterior.prior            -                    Prior                where prior="auto"         StandardNormal()
Posterior.width            n_components         K                    who needs the shape of z   sum of `widths`
Posterior.widths           n_components         columns of each      order of components        1 for each
Posterior.has_density      -                    bool                 scores, compatibility      True
Posterior.reparameterized  -                    bool                 compatibility of parts     True
Posterior.check            -                    None, or raises      `fit`, first               constraints
Head.forward               raw                  Distribution         every pass                 must be given
Head.push                  q, u                 z, exact draws       scores, sampling           must be given
Head.start                 normal code, (K, D)  numbers, map back    initialisation             must be given
Head.rsample               q, u                 z, with gradient     training                   `push`
Head.center                q                    (B, K)               `reconstruct`, signs       the mean
Head.center_of             raw                  (B, K)               `transform`                `center` of q
Head.marginals             q                    Distribution (B, K)  information of components  q
Head.condition             deviation, P, P_0    deviation            encoder, at missing cells  None
Head.n_raw, Head.n_noise   -                    int                  encoder, who draws noise   of `__init__`
=========================  ===================  ===================  =========================  ================
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor, nn
from torch.distributions import Distribution

from .._utils.component import Component
from ..priors.base import Prior
from ..priors.fixed import StandardNormal

__all__ = ["Head", "HeadInit", "Posterior"]

#: What `Head.start` gives.
HeadInit: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Posterior(Component, ABC):
    """Base class of posteriors; subclass it for your own.

    A posterior is a value without weights; its `build` gives the head, a module that maps the encoder's numbers to q.

    Attributes
    ----------
    has_density : bool
        Whether log q(z given x) can be computed; without it there is no score.
    reparameterized : bool
        Whether draws are differentiable in the outputs of the network.

    See Also
    --------
    Head : The base class of the modules that `build` makes.
    MeanField : A posterior of any `Family`, without a subclass.

    Examples
    --------
    One spread for all components, which costs a little where some are better known than others:

    >>> import numpy as np
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skvae import Head, Posterior, VAETransformer
    >>> class IsotropicHead(Head):
    ...     def forward(self, raw):
    ...         scale = torch.exp(10 * torch.atan(raw[..., -1:] / 10)).expand_as(raw[..., :-1])
    ...         return torch.distributions.Normal(raw[..., :-1], scale)
    ...
    ...     def push(self, q, u):
    ...         return q.loc + q.scale * u
    ...
    ...     def start(self, mean, projection, covariance):
    ...         weight = np.concatenate([projection, np.zeros_like(projection[:1])])
    ...         bias = np.append(mean, np.log(np.diag(covariance)).mean() / 2)
    ...         return weight, bias, np.eye(len(mean)), np.zeros_like(mean)
    >>> class Isotropic(Posterior):
    ...     def build(self, n_components):
    ...         return IsotropicHead(n_components + 1, n_components)
    >>> X, _ = load_iris(return_X_y=True)
    >>> score = lambda posterior: VAETransformer(2, posterior=posterior, max_iter=0).fit(X).score(X)
    >>> round(score("diag"), 2), round(score(Isotropic()), 2)
    (-2.63, -3.13)
    """

    has_density = True
    reparameterized = True

    @abstractmethod
    def build(self, n_components: int) -> "Head":
        """Make the head for a code of `n_components` variables.

        Called once in `fit`; the weights of a posterior live in the head and in nothing else.

        Parameters
        ----------
        n_components : int
            Number of latent variables; z has `width` columns.

        Returns
        -------
        Head
            A new module, at its initialisation.

        See Also
        --------
        Head : Its methods.
        width : How wide its codes are.

        Examples
        --------
        Two locations, and the three numbers of a lower triangle:

        >>> from skvae import FullCovariance
        >>> FullCovariance().build(2).n_raw
        5
        """

    def prior(self) -> Prior:
        """Give the prior that ``prior="auto"`` means.

        By default the standard member of the posterior's own family, so that a component can equal the prior and be
        inactive.

        Returns
        -------
        Prior
            A component without weights.

        See Also
        --------
        VAETransformer : Uses it if its parameter `prior` is "auto".

        Examples
        --------
        >>> from skvae import FullCovariance, MeanField
        >>> FullCovariance().prior(), MeanField("pareto").prior()
        (StandardNormal(), Standard(family=Pareto()))
        """
        return StandardNormal()

    def width(self, n_components: int) -> int:
        """Give K, the width of z, for a number of latent variables.

        They differ if one variable takes several columns, as a one-hot variable does.

        Parameters
        ----------
        n_components : int
            Number of latent variables.

        Returns
        -------
        int
            K, the number of columns that `transform` gives.

        See Also
        --------
        widths : Says how wide each variable is.
        build : Makes the head whose codes are that wide.

        Examples
        --------
        >>> from skvae import CategoricalPosterior, MeanField
        >>> MeanField().width(2), CategoricalPosterior(n_classes=3).width(2)
        (2, 6)
        """
        return sum(self.widths(n_components))

    def widths(self, n_components: int) -> list[int]:
        """Give the number of columns of z that each latent variable takes.

        A class takes one for each of its levels; `transform` has all of them side by side.

        Parameters
        ----------
        n_components : int
            Number of latent variables.

        Returns
        -------
        list of int
            One number for each variable, by default 1.

        See Also
        --------
        width : Their sum.

        Examples
        --------
        >>> from skvae import CategoricalPosterior, MeanField, Product
        >>> MeanField().widths(2), CategoricalPosterior(n_classes=3).widths(2)
        ([1, 1], [3, 3])
        >>> Product(CategoricalPosterior(n_classes=3), MeanField()).widths(2)
        [3, 1]
        """
        return [1] * n_components


class Head(nn.Module, ABC):
    """Base class of the modules that posteriors build: raw numbers of a row -> q -> draws of its code.

    Exact draws are a deterministic function of standard normal noise (Kingma & Welling 2014, section 2.4), so the
    caller decides how many there are and whether they are frozen.

    Parameters
    ----------
    n_raw : int
        Numbers per row that the encoder gives.
    n_noise : int
        Standard normal variables behind one draw of z.

    Attributes
    ----------
    condition : callable or None
        What missing cells do to the raw numbers of a row, a function of `posteriors/conditioning.py`; None for nothing.

    See Also
    --------
    Posterior : The value that builds a head, with an example of a subclass.
    Family : The contract of one-dimensional distributions, which `MeanField` turns into a head.

    Examples
    --------
    Four raw numbers, two locations and two log variances, are a normal code; draws need two noise variables:

    >>> import torch
    >>> from skvae import MeanField
    >>> head = MeanField().build(2)
    >>> head.n_raw, head.n_noise
    (4, 2)
    >>> q = head(torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
    >>> head.push(q, torch.tensor([[[0.0, 2.0]]]))
    tensor([[[1., 1.]]])
    """

    condition: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def __init__(self, n_raw: int, n_noise: int) -> None:
        super().__init__()
        self.n_raw = n_raw
        self.n_noise = n_noise

    @abstractmethod
    def forward(self, raw: Tensor) -> Distribution:
        """Map raw numbers to q, one distribution per row.

        It either factorises, with batch shape (B, K) and no event shape, or is joint, with batch shape (B,) and event
        shape (K,); the shape of a KL follows from that.

        Parameters
        ----------
        raw : Tensor (B, n_raw)
            What the encoder gives.

        Returns
        -------
        torch.distributions.Distribution
            The posterior of each row.

        See Also
        --------
        push : Draws from it.

        Examples
        --------
        >>> import torch
        >>> from skvae import FullCovariance, MeanField
        >>> MeanField().build(2)(torch.zeros(3, 4))
        Normal(loc: torch.Size([3, 2]), scale: torch.Size([3, 2]))
        >>> q = FullCovariance().build(2)(torch.zeros(3, 5))
        >>> q.batch_shape, q.event_shape
        (torch.Size([3]), torch.Size([2]))
        """

    @abstractmethod
    def push(self, q: Any, u: Tensor) -> Tensor:
        """Turn base noise into exact draws z of q.

        This is deterministic and row by row, so that the score of a row depends neither on other rows nor on a
        generator.

        Parameters
        ----------
        q : torch.distributions.Distribution
            What `forward` gave for B rows.
        u : Tensor (S, 1 or B, n_noise)
            Standard normal noise, shared by all rows or one for each.

        Returns
        -------
        Tensor (S, B, K)
            S codes of each row.

        See Also
        --------
        rsample : The draws that training differentiates.

        Examples
        --------
        A class is drawn by the Gumbel-max trick, here the more probable one:

        >>> import torch
        >>> from skvae import CategoricalPosterior
        >>> head = CategoricalPosterior(n_classes=2).build(1)
        >>> head.push(head(torch.tensor([[3.0, 0.0]])), torch.zeros(1, 1, 2))
        tensor([[[1., 0.]]])
        """

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Turn base noise into draws that are differentiable in the raw numbers; `push` where that is.

        Only training calls it. The draws may be biased, as those of relaxed classes, or come from torch's generator, as
        gamma variables do: scores never use them.

        Parameters
        ----------
        q : torch.distributions.Distribution
            What `forward` gave for B rows.
        u : Tensor (S, 1 or B, n_noise)
            Standard normal noise.

        Returns
        -------
        Tensor (S, B, K)
            S codes of each row, with a gradient.

        See Also
        --------
        push : The exact draws.

        Examples
        --------
        The same noise as in the example of `push`, a softmax in place of the largest:

        >>> import torch
        >>> from skvae import CategoricalPosterior
        >>> head = CategoricalPosterior(n_classes=2, temperature=1.0).build(1)
        >>> head.rsample(head(torch.tensor([[3.0, 0.0]])), torch.zeros(1, 1, 2))
        tensor([[[0.9526, 0.0474]]])
        """
        return self.push(q, u)

    def center(self, q: Any) -> Tensor:
        """Give what `transform` returns: E[z given x], or a substitute for it.

        By default the mean of q; a family without one gives its median or location.

        Parameters
        ----------
        q : torch.distributions.Distribution
            What `forward` gave for B rows.

        Returns
        -------
        Tensor (B, K)
            One code per row.

        See Also
        --------
        VAETransformer.transform : Returns it, most informative component first.

        Examples
        --------
        >>> import torch
        >>> from skvae import CategoricalPosterior
        >>> head = CategoricalPosterior(n_classes=2).build(1)
        >>> head.center(head(torch.tensor([[3.0, 0.0]])))
        tensor([[0.9526, 0.0474]])
        """
        return q.mean

    def center_of(self, raw: Tensor) -> Tensor:
        """Give `center` of the posterior that raw numbers make.

        A head whose raw numbers contain the center need not compute the rest of the posterior, a twelfth of the time of
        `transform`.

        Parameters
        ----------
        raw : Tensor (B, n_raw)
            What the encoder gives.

        Returns
        -------
        Tensor (B, K)
            One code per row.

        See Also
        --------
        center : The same of a posterior.

        Examples
        --------
        >>> import torch
        >>> from skvae import MeanField
        >>> head = MeanField().build(2)
        >>> head.center_of(torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
        tensor([[ 1., -1.]])
        """
        return self.center(self(raw))

    def marginals(self, q: Any) -> Distribution:
        """Give the components of q one by one, q_k(z_k given x): q itself where it factorises.

        They give the information of single components, by which the codes are ordered.

        Parameters
        ----------
        q : torch.distributions.Distribution
            What `forward` gave for B rows.

        Returns
        -------
        torch.distributions.Distribution
            Batch shape (B, K).

        See Also
        --------
        forward : Gives the joint distribution.

        Examples
        --------
        >>> import torch
        >>> from skvae import FullCovariance
        >>> head = FullCovariance().build(2)
        >>> head.marginals(head(torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]]))).variance.round()  # L = [[1, 0], [1, 1]]
        tensor([[1., 2.]])
        """
        return q

    @abstractmethod
    def start(self, mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        """Imitate the normal code q = N(projection x + mean, covariance) of the closed-form initialisation.

        Weight and bias become the encoder's affine path; the decoder's uses basis and offset, since codes that are not
        normal represent normal ones.

        Parameters
        ----------
        mean : ndarray (n_components,)
            Mean of the normal code of an average row.
        projection : ndarray (n_components, D)
            Its dependence on the row.
        covariance : ndarray (n_components, n_components)
            Covariance of the normal code, the same for all rows.

        Returns
        -------
        weight : ndarray (n_raw, D)
            Slopes of the raw numbers.
        bias : ndarray (n_raw,)
            The raw numbers of an average row.
        basis : ndarray (n_components, K)
            The normal code is imitated by basis z + offset.
        offset : ndarray (n_components,)
            The other half of that map.

        See Also
        --------
        Family.code_start : The same for one component, as in `MeanField`.

        Examples
        --------
        A point has no spread; it keeps the mean:

        >>> import numpy as np
        >>> from skvae import Point
        >>> weight, bias, basis, offset = Point().build(1).start(np.zeros(1), np.array([[0.3, 0.4]]), np.eye(1))
        >>> weight, basis
        (array([[0.3, 0.4]]), array([[1.]]))
        """
