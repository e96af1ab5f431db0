"""Posteriors q(z given x) = network + head: raw numbers -> distribution over the code.

`Posterior` is the value, its `build` gives the head. A head reads `n_raw` numbers per row and offers

- `forward(raw)`: raw (B, n_raw) -> q,
- `push(q, u)`: base noise u (S, 1 or B, n_noise), standard normal, -> exact draws z (S, B, K) (Kingma & Welling 2014,
  section 2.4); row-wise and deterministic, so that a row's score does not depend on its neighbours,
- `rsample(q, u)`: draws that are differentiable in the raw numbers, for training; `push` where that is,
- `center(q)`: what transform returns, (B, K),
- `marginals(q)`: q_k(z_k given x), for the information of single components,
- `condition`: what holes in a row do to its raw numbers, a function of `conditioning.py` or None,
- `start(mean, projection, covariance)`: the raw affine map that imitates the normal code of the closed-form start.
"""

from abc import ABC, abstractmethod
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from scipy.stats import norm
from torch import nn
from torch.distributions import AffineTransform, ComposeTransform, MultivariateNormal, Normal

from ._documented import Documented
from ._random import whitened_pairs
from .architectures import mlp
from .conditioning import condition_covariance, condition_location, condition_spread
from .distributions import Flow, OneHots, PointMass
from .distributions import Implicit as ImplicitDistribution
from .families import FAMILIES, Gaussian
from .family import Family, FamilyHead, uniform
from .flows import check_flow, coupling_layers
from .priors import Standard, StandardNormal, UniformCategorical

__all__ = [
    "POSTERIORS",
    "CategoricalPosterior",
    "FlowPosterior",
    "FullCovariance",
    "Head",
    "Implicit",
    "MeanField",
    "Point",
    "Posterior",
]


class Posterior(Documented, ABC):
    """Base class of posteriors; subclass it for one of your own.

    A posterior is a value without weights; its `build` gives the head, a module that maps the encoder's numbers to q.

    Attributes
    ----------
    has_density : bool
        Whether log q(z given x) can be computed; without it there is no score.
    reparameterized : bool
        Whether draws are differentiable in the numbers from the network.

    See Also
    --------
    Head : The base class of what `build` makes.
    MeanField : A posterior of any `Family`, for which nothing of this is to be written.

    Examples
    --------
    One spread for all components, which costs a little where some are better known than others:

    >>> import numpy as np
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skvae import Head, Posterior, VAETransformer
    >>> class IsotropicHead(Head):
    ...     def forward(self, raw):
    ...         scale = raw[..., -1:].clamp(-10, 10).exp().expand_as(raw[..., :-1])
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
    >>> 0 < score("diag") - score(Isotropic()) < 1
    True
    """

    has_density = True
    reparameterized = True

    @abstractmethod
    def build(self, n_components) -> "Head":
        """Make the head for a code of `n_components` variables.

        Called once in `fit`; the weights of a posterior live in the head and in nothing else.

        Parameters
        ----------
        n_components : int
            Number of latent variables; z has `width` columns.

        Returns
        -------
        Head
            A new module, at its start.

        See Also
        --------
        Head : What it must offer.
        width : How wide its codes are.

        Examples
        --------
        Two locations, and the three numbers of a lower triangle:

        >>> from skvae import FullCovariance
        >>> FullCovariance().build(2).n_raw
        5
        """

    def prior(self):
        """Give the prior that ``prior="auto"`` means.

        The standard member of the posterior's own family, so that a component can reach the prior and be switched off.

        Returns
        -------
        Prior
            A component without weights.

        See Also
        --------
        VAETransformer : Asks for it where its parameter `prior` is "auto".

        Examples
        --------
        >>> from skvae import FullCovariance, MeanField
        >>> FullCovariance().prior(), MeanField("pareto").prior()
        (StandardNormal(), Standard(family=Pareto()))
        """
        return StandardNormal()

    def width(self, n_components):
        """Give K, the width of z, for a number of latent variables.

        They differ where one variable takes several columns, as a one-hot variable does.

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
        build : Makes the head whose codes are that wide.

        Examples
        --------
        >>> from skvae import CategoricalPosterior, MeanField
        >>> MeanField().width(2), CategoricalPosterior(n_classes=3).width(2)
        (2, 6)
        """
        return n_components

    def check(self):
        """Raise a ValueError for a bad parameter; called before training.

        `__init__` only assigns, as scikit-learn wants it, so that a wrong value shows here.

        See Also
        --------
        VAETransformer.fit : Calls it, before anything is computed.

        Examples
        --------
        >>> from skvae import MeanField
        >>> MeanField("poisson").check()
        Traceback (most recent call last):
        ValueError: The 'family' parameter of MeanField must be one of ['beta', ...]... Got 'poisson' instead.
        """


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
        What holes in a row do to its raw numbers, a function of `skvae.conditioning`; None where nothing is done.

    See Also
    --------
    Posterior : The value that builds a head, with an example of one's own.
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

    condition = None

    def __init__(self, n_raw, n_noise):
        super().__init__()
        self.n_raw = n_raw
        self.n_noise = n_noise

    @abstractmethod
    def forward(self, raw):
        """Map raw numbers to q, one distribution per row.

        It factorises, batch shape (B, K) and no event shape, or is joint, batch shape (B,) and event shape (K,); what a
        KL looks like follows from that.

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
    def push(self, q, u):
        """Turn base noise into exact draws z of q.

        Row by row and deterministic, so that the score of a row depends neither on its neighbours nor on a generator.

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

    def rsample(self, q, u):
        """Turn base noise into draws that are differentiable in the raw numbers; `push` where that is.

        Only training calls it. They may be biased, as relaxed classes are, or draw anew, as gamma variables do: scores
        never see them.

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

    def center(self, q):
        """Give what `transform` reports: E[z given x], or what stands in for it.

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
        VAETransformer.transform : Reports it, most informative component first.

        Examples
        --------
        >>> import torch
        >>> from skvae import CategoricalPosterior
        >>> head = CategoricalPosterior(n_classes=2).build(1)
        >>> head.center(head(torch.tensor([[3.0, 0.0]])))
        tensor([[0.9526, 0.0474]])
        """
        return q.mean

    def marginals(self, q):
        """Give the components of q one by one, q_k(z_k given x): q itself where it factorises.

        The information of single components is read from them, which orders the codes.

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
    def start(self, mean, projection, covariance):
        """Imitate the normal code q = N(projection x + mean, covariance) of the closed-form start.

        The encoder's affine path becomes weight and bias; the decoder's reads basis and offset, since codes off the
        line stand for the normal ones.

        Parameters
        ----------
        mean : ndarray (n_components,)
            Mean of the normal code of an average row.
        projection : ndarray (n_components, D)
            How the rows move it.
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
        Family.code_start : What `MeanField` asks for each component.

        Examples
        --------
        A point has no spread; it keeps the mean:

        >>> import numpy as np
        >>> from skvae import Point
        >>> weight, bias, basis, offset = Point().build(1).start(np.zeros(1), np.array([[0.3, 0.4]]), np.eye(1))
        >>> weight, basis
        (array([[0.3, 0.4]]), array([[1.]]))
        """


class MeanField(Posterior):
    r"""Independent components of one family, :math:`q(z | x) = \prod_k q_k(z_k | x)`: short name "diag" if normal.

    Every short name of a reparameterized family is one of a posterior, too: ``posterior="laplace"``. Where rows have no
    holes, the linear start is rotated so that the exact posterior of normal codes is of this form.

    Kingma & Welling (2014), section 2.4, for which families can be reparameterised.

    Parameters
    ----------
    family : str or Family, default="gaussian"
        A family or its short name; every number of it comes from the encoder.

    See Also
    --------
    FullCovariance : Correlated normal components.
    FlowPosterior : Components that are bent together.

    Examples
    --------
    Laplace codes, with Laplace(0, 1) as their prior; a code and its spread for every row:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import MeanField, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, posterior=MeanField("laplace"), max_iter=0).fit(X)
    >>> vae.module_.prior()
    Laplace(loc: torch.Size([2]), scale: torch.Size([2]))
    >>> vae.encode(X).stddev.shape
    torch.Size([150, 2])
    """

    def __init__(self, family: str | Family = "gaussian"):
        self.family = family

    def check(self):
        """`family` is one that can be reparameterised."""
        family = FAMILIES[self.family]() if self.family in FAMILIES else self.family
        if not (isinstance(family, Family) and family.reparameterized):
            known = sorted(name for name, make in FAMILIES.items() if make.reparameterized)
            must = f"must be one of {known} or an instance of Family that can be reparameterised"
            raise ValueError(f"The 'family' parameter of MeanField {must}. Got {self.family!r} instead.")
        return family.amortized()

    def prior(self):
        """The family's own standard member."""
        family = self.check()
        return StandardNormal() if isinstance(family, Gaussian) else Standard(family)

    def build(self, n_components):
        """One head for all components."""
        return _MeanFieldHead(self.check(), n_components)


class _MeanFieldHead(Head):
    """Raw numbers (B, n_raw of the family * K) -> the family's distribution with batch shape (B, K)."""

    def __init__(self, family, n_components):
        head = FamilyHead(family, n_components)
        super().__init__(head.n_raw, n_components)
        self.family = family
        self.head = head
        if family.location_scale:
            self.condition = condition_location if family.n_raw == 1 else condition_spread

    def forward(self, raw):
        """Every component at once."""
        return self.head(raw)

    def push(self, q, u):
        """The family's inverse CDF or location-scale map."""
        return self.family.push(q, u)

    def rsample(self, q, u):
        """The family's differentiable draws."""
        return self.family.rsample(q, u)

    def center(self, q):
        """E[z given x] where it is finite, (B, K)."""
        return self.family.center(q)

    def start(self, mean, projection, covariance):
        """Component by component."""
        weight, bias, slope, offset = self.family.code_start(mean, projection, np.diag(covariance))
        return weight, bias, np.diag(slope), offset


class FullCovariance(Posterior):
    """Correlated components, :math:`q(z | x) = N(m(x), L(x) L(x)^T)`, L lower triangular: short name "full".

    The diagonal of L is exp(raw), the part below it is raw. With a linear decoder it loses nothing against the exact
    posterior even where the loadings are rotated, or where each row has holes of its own.

    See Also
    --------
    MeanField : Independent components, for which the start is rotated.
    Elliptical : The same with heavier tails.

    Examples
    --------
    Without holes the closed-form start needs no correlations; with holes each row would have its own:

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skvae import FullCovariance, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    >>> diag = VAETransformer(2, init="pca", max_iter=0).fit(X)
    >>> full = VAETransformer(2, init="pca", max_iter=0, posterior=FullCovariance()).fit(X)
    >>> round(full.score(X) - diag.score(X), 2)  # nats per row
    0.05
    """

    def build(self, n_components):
        """One joint normal over the code."""
        return _FullCovarianceHead(n_components)


class _FullCovarianceHead(Head):
    """Raw numbers (B, K + K (K + 1) / 2) -> MultivariateNormal with batch shape (B,) and event shape (K,)."""

    condition = staticmethod(condition_covariance)

    def __init__(self, n_components):
        rows, columns = np.tril_indices(n_components)
        super().__init__(n_components + len(rows), n_components)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)
        self.register_buffer("columns", torch.from_numpy(columns), persistent=False)

    def forward(self, raw):
        """Fill L from the raw numbers."""
        K = self.n_noise
        lower = raw.new_zeros(*raw.shape[:-1], K, K)
        lower[..., self.rows, self.columns] = raw[..., K:]
        log_diagonal = lower.diagonal(dim1=-2, dim2=-1).clamp(-10.0, 10.0)
        scale_tril = lower.tril(-1) + torch.diag_embed(log_diagonal.exp())
        return MultivariateNormal(raw[..., :K], scale_tril=scale_tril, validate_args=False)

    def push(self, q, u):
        """z = m + L u."""
        return q.loc + torch.einsum("bij,sbj->sbi", q.scale_tril, u.expand(-1, q.loc.shape[0], -1))

    def marginals(self, q):
        """Normal with the diagonal of the covariance."""
        return Normal(q.loc, q.stddev, validate_args=False)

    def start(self, mean, projection, covariance):
        """The normal code itself."""
        lower = np.linalg.cholesky(covariance)
        np.fill_diagonal(lower, np.log(np.diag(lower)))
        raw = lower[np.tril_indices(len(mean))]
        weight = np.concatenate([projection, np.zeros((len(raw), projection.shape[1]))])
        return weight, np.concatenate([mean, raw]), np.eye(len(mean)), np.zeros_like(mean)


class Point(Posterior):
    """One code for each row and no noise, the encoder of plain autoencoders: short name "point".

    It has no density, so no KL and no score: for objectives without a bound, such as AE, WAEMMD and AAE.

    See Also
    --------
    AE : The objective that wants nothing else.
    Implicit : Another posterior without density, with noise.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import Point, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective="wae_mmd", posterior=Point(), max_iter=0).fit(X)
    >>> bool((vae.encode(X).sample().numpy() == vae.transform(X)).all())
    True
    >>> hasattr(vae, "score")
    False
    """

    has_density = False

    def build(self, n_components):
        """The raw numbers are the code."""
        return _PointHead(n_components, 0)


class _PointHead(Head):
    """Raw numbers (B, K) -> PointMass."""

    condition = staticmethod(condition_location)

    def forward(self, raw):
        """As they are."""
        return PointMass(raw)

    def push(self, q, u):
        """There is no noise to push."""
        return q.rsample(u.shape[:1])

    def start(self, mean, projection, covariance):
        """The mean of the normal code."""
        return projection, mean, np.eye(len(mean)), np.zeros_like(mean)


class CategoricalPosterior(Posterior):
    r"""One-hot variables of C classes each, multinomial codes: short name "categorical".

    .. math:: q(z | x) = \prod_k \prod_c \pi_{kc}(x)^{z_{kc}}, \qquad K = n_{components}\, C

    Draws are exact by the Gumbel-max trick; in training they are relaxed to softmax((ln pi + g) / temperature), whose
    gradient is pathwise but biased. With ``temperature=None`` they stay exact, for objectives with
    ``gradient="score_function"``. transform gives the class probabilities; the prior is uniform.

    Jang, Gu & Poole (2017), eqs. (1) and (2); Maddison et al. (2017). He's lecture, "VAE is a Generative Model".

    Parameters
    ----------
    n_classes : int, default=10
        C.
    temperature : float or None, default=0.5
        Of the relaxed draws: low ones are nearer to a class and have gradients of larger variance.

    See Also
    --------
    UniformCategorical : Its prior.
    NormalMixture : A discrete variable in the prior, above a continuous code.

    Examples
    --------
    One variable of three classes is a soft clustering:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import CategoricalPosterior, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(1, posterior=CategoricalPosterior(n_classes=3), max_iter=0).fit(X)
    >>> vae.get_feature_names_out()
    array(['vaetransformer0_0', 'vaetransformer0_1', 'vaetransformer0_2'], dtype=object)
    >>> float(vae.transform(X).sum(axis=1).round(6).min())
    1.0
    """

    def __init__(self, n_classes: int = 10, temperature: float | None = 0.5):
        self.n_classes = n_classes
        self.temperature = temperature

    @property
    def reparameterized(self):
        """Relaxed draws are."""
        return self.temperature is not None

    def check(self):
        """At least two classes, a positive temperature."""
        if not (isinstance(self.n_classes, Integral) and self.n_classes >= 2):
            must = "must be an int in the range [2, inf)"
            raise ValueError(
                f"The 'n_classes' parameter of CategoricalPosterior {must}. Got {self.n_classes!r} instead."
            )
        if not (self.temperature is None or (isinstance(self.temperature, Real) and 0 < self.temperature < np.inf)):
            must = "must be a positive float or None"
            got = f"Got {self.temperature!r} instead."
            raise ValueError(f"The 'temperature' parameter of CategoricalPosterior {must}. {got}")

    def prior(self):
        """Every class alike."""
        return UniformCategorical(self.n_classes)

    def width(self, n_components):
        """C columns for each variable."""
        return n_components * self.n_classes

    def build(self, n_components):
        """C logits per variable."""
        return _CategoricalHead(n_components, self.n_classes, self.temperature)


class _CategoricalHead(Head):
    """Raw numbers (B, n C) -> OneHots of n variables."""

    def __init__(self, n_components, n_classes, temperature):
        super().__init__(n_components * n_classes, n_components * n_classes)
        self.n_classes = n_classes
        self.temperature = temperature

    def forward(self, raw):
        """Raw numbers are logits."""
        return OneHots(raw.unflatten(-1, (-1, self.n_classes)))

    def push(self, q, u):
        """One-hot at the largest ln pi + g, g = -ln -ln Phi(u)."""
        return nn.functional.one_hot(self._perturbed(q, u).argmax(-1), self.n_classes).to(u).flatten(-2)

    def rsample(self, q, u):
        """The softmax in place of the largest."""
        if self.temperature is None:
            return self.push(q, u)
        return (self._perturbed(q, u) / self.temperature).softmax(-1).flatten(-2)

    def _perturbed(self, q, u):
        gumbel = -torch.log(-torch.log(uniform(u)))
        return q.log_probabilities + gumbel.unflatten(-1, (-1, self.n_classes))

    def start(self, mean, projection, covariance):
        """Each variable cuts its normal code into C equally probable parts; a class stands for the mean of its part."""
        C, n = self.n_classes, len(mean)
        edges = norm.ppf(np.arange(C + 1) / C)
        centers = -C * np.diff(norm.pdf(edges))
        within = 1 - np.square(centers).mean()
        variance = np.diag(covariance)
        weight = np.einsum("kd,c->kcd", projection / (within + variance)[:, None], centers)
        offset = np.outer(mean, centers) - 0.5 * np.outer(1 - variance, np.square(centers))
        bias = offset / (within + variance)[:, None]
        return weight.reshape(n * C, -1), bias.ravel(), np.kron(np.eye(n), centers), np.zeros(n)


class Implicit(Posterior):
    r"""Draws from a network that is fed noise, without a density: short name "implicit".

    .. math:: z = m(x) + s(x) u + g(m(x), s(x), u), \qquad u \sim N(0, I)

    g is silent at the start, where q is normal. For objectives that need no density, first of all AVB. The centre is a
    Monte-Carlo mean over noise that is frozen at fit.

    Mescheder et al. (2017), section 3.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64,)
        Of g.

    See Also
    --------
    AVB : The bound that a critic estimates for it.
    FlowPosterior : A flexible posterior that keeps its density.

    Examples
    --------
    It can be drawn from, and that is all; so there is no score:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import Implicit, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective="avb", posterior=Implicit(), max_iter=0).fit(X)
    >>> vae.encode(X).sample((5,)).shape
    torch.Size([5, 150, 2])
    >>> hasattr(vae, "score")
    False
    """

    has_density = False

    def __init__(self, hidden_layer_sizes: tuple = (64,)):
        self.hidden_layer_sizes = hidden_layer_sizes

    def check(self):
        """At least one hidden layer."""
        sizes = self.hidden_layer_sizes
        if not (sizes and all(isinstance(n, Integral) and n >= 1 for n in sizes)):
            must = "must be a tuple of positive ints"
            raise ValueError(f"The 'hidden_layer_sizes' parameter of Implicit {must}. Got {sizes!r} instead.")

    def build(self, n_components):
        """Location, scale and the network of the noise."""
        return _ImplicitHead(n_components, self.hidden_layer_sizes)


class _DrawnHead(Head):
    """Heads around a normal N(loc, scale^2) whose q knows its moments by frozen draws only."""

    condition = staticmethod(condition_spread)

    def __init__(self, n_components, n_extra=0):
        super().__init__(2 * n_components + n_extra, n_components)
        self.normal = MeanField().build(n_components)
        self.register_buffer("frozen", whitened_pairs(64, n_components, torch.default_generator).float())

    def marginals(self, q):
        """Normal with the Monte-Carlo moments."""
        return Normal(q.mean, q.stddev, validate_args=False)

    def start(self, mean, projection, covariance):
        """The normal code itself; further raw numbers are zero."""
        weight, bias, basis, offset = self.normal.start(mean, projection, covariance)
        n_extra = self.n_raw - len(bias)
        return np.pad(weight, ((0, n_extra), (0, 0))), np.pad(bias, (0, n_extra)), basis, offset


class _ImplicitHead(_DrawnHead):
    """Raw numbers (B, 2 K) -> Implicit."""

    def __init__(self, n_components, hidden_layer_sizes):
        super().__init__(n_components)
        self.net = mlp(3 * n_components, n_components, hidden_layer_sizes, "silu", 0.0)

    def forward(self, raw):
        """What to do with noise."""
        return ImplicitDistribution(partial(self._draw, raw), raw.shape[:-1], (self.n_noise,), self.frozen)

    def _draw(self, raw, u):
        q = self.normal(raw)
        shape = (*u.shape[:-2], *raw.shape)
        context = torch.cat([raw.expand(shape), u.expand(*shape[:-1], -1)], -1)
        return self.normal.push(q, u) + self.net(context)

    def push(self, q, u):
        """Feed the noise."""
        return q.draw(u)


class FlowPosterior(Posterior):
    r"""A normal, bent by coupling layers that read the row: short name "flow".

    .. math:: z = m(x) + s(x) f^{-1}(u; c(x)), \quad
        \ln q(z|x) = \ln N(f(\tilde z; c); 0, I) + \ln |\det \partial f / \partial z|,
        \quad \tilde z = (z - m) / s

    f is the identity at the start. The centre is a Monte-Carlo mean over noise that is frozen at fit. Needs zuko:
    ``pip install zuko``.

    Rezende & Mohamed (2015), section 3; Dinh et al. (2017), section 3, coupling layers. Yang's lecture, eq. (12).

    Parameters
    ----------
    n_transforms : int, default=3
        Number of coupling layers.
    hidden_layer_sizes : tuple of int, default=(64,)
        Of each coupling layer.

    See Also
    --------
    FlowPrior : The same layers in the prior, without the row.
    FullCovariance : Correlations alone.

    Examples
    --------
    It begins where independent normals do:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import FlowPosterior, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> flow = VAETransformer(2, posterior=FlowPosterior(n_transforms=2), max_iter=0).fit(X)
    >>> abs(flow.score(X) - VAETransformer(2, max_iter=0).fit(X).score(X)) < 1e-6
    True
    """

    def __init__(self, n_transforms: int = 3, hidden_layer_sizes: tuple = (64,)):
        self.n_transforms = n_transforms
        self.hidden_layer_sizes = hidden_layer_sizes

    def check(self):
        """At least one transform, and zuko at hand."""
        check_flow(self)

    def build(self, n_components):
        """Location, scale and K numbers of context from the encoder."""
        return _FlowHead(n_components, self.n_transforms, self.hidden_layer_sizes)


class _FlowHead(_DrawnHead):
    """Raw numbers (B, 3 K) -> Flow."""

    def __init__(self, n_components, n_transforms, hidden_layer_sizes):
        super().__init__(n_components, n_extra=n_components)
        self.flow = coupling_layers(n_components, n_components, n_transforms, hidden_layer_sizes)

    def forward(self, raw):
        """f after the units of the normal."""
        K = self.n_noise
        normal = self.normal(raw[..., : 2 * K])
        units = AffineTransform(normal.loc, normal.scale, event_dim=1).inv
        transform = ComposeTransform([units, self.flow(raw[..., 2 * K :])])
        return Flow(transform, raw.shape[:-1], (K,), self.frozen)

    def push(self, q, u):
        """The inverse of the transform."""
        return q.draw(u)


POSTERIORS = {
    "diag": MeanField,
    "full": FullCovariance,
    "point": Point,
    "categorical": CategoricalPosterior,
    "flow": FlowPosterior,
    "implicit": Implicit,
    **{name: partial(MeanField, name) for name, family in FAMILIES.items() if family.reparameterized},
}
