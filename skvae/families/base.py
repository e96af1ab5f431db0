"""The contract of a one-dimensional family: numbers -> distribution. Likelihoods and posteriors share it.

A family of n variables reads `n_raw * n` numbers from a network and may own further numbers that do not depend on the
row, trained or fixed, such as the noise of a Gaussian decoder. It is a value without weights; `FamilyHead` is the
module that it builds. A likelihood implements the rows of the table that columns and decoder use, a family of codes
those that a mean-field posterior uses; `observable` and `reparameterized` say which of the two it is for.

=================  =====================  =========================  ==============================  ==================
name               reads                  gives                      who calls it                    default
=================  =====================  =========================  ==============================  ==================
distribution       numbers (..., n) each  Distribution (..., n)      `FamilyHead`, in every pass     must be given
start              linear model, (n, m)   numbers, own numbers       initialisation of decoder       must be given
support            -                      a torch constraint         checks of columns               the real line
units              -                      "standard", "scale", None  scaling of columns              "standard"
interior           -                      float                      missing cells                   0.0
n_raw              -                      int                        who builds a network            1
atoms              -                      floats                     initialisation, log-Jacobian    none
nominal            -                      bool                       encoder, indicators             False
n_categories       -                      int or None                imputation, errors, pictures    `n_raw` if nominal
shares_softmax     -                      bool                       `ColumnLikelihood`              False
exposure           -                      column or None             `ColumnLikelihood`, encoder     None
observable         -                      bool                       choice of likelihoods           True
reparameterized    -                      bool                       compatibility of parts          True
heavy_tails        -                      bool                       columns with power transforms   False
location_scale     -                      bool                       missing cells, scales of c      False
split              raw (..., n_raw n), n  n_raw of (..., n)          `FamilyHead`, in every pass     number by number
own_numbers        n                      arrays, trained or not     `FamilyHead`, once              none
reads_column       -                      bool                       `fit`, before `for_column`      if that is its own
for_column         values (n,)            Family                     `fit`, once a column            the family itself
in_training        has_atom               Family                     `fit`, before a net is trained  itself
with_background    -                      Family or None             `fit`, after training           None
tie_noise          variances (n,)         variances (n,)             EM of the initialisation        at least 0.001
information_noise  mean, variance (n,)    variances (n,)             initialisation of encoder       the variances
amortized          -                      Family                     `MeanField`                     the family itself
push               q, noise (S, B, n)     draws (S, B, n)            scores, sampling                q.icdf(Phi(u))
parts              q, noise (Q, ..., n)   shares, values             moments of transformed columns  one part, `push`
rsample            q, noise (S, B, n)     draws (S, B, n)            training                        `push`
center             q                      (B, n)                     `transform`                     the mean
standard           zeros (n,)             Distribution (n,)          the default prior               raw numbers zero
code_start         normal code, (n, D)    numbers, map back          initialisation                  by quantiles
check              -                      None, or raises            `fit`, first                    constraints
=================  =====================  =========================  ==============================  ==================
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from .._utils.component import Component
from .._utils.signatures import own_signature
from ..distributions.quantiles import tail
from .code_starts import quantile_start

__all__ = ["CodeInit", "Family", "FamilyHead", "Init", "uniform"]

#: What `Family.start` and `Family.code_start` give.
Init: TypeAlias = tuple[np.ndarray, np.ndarray, list[np.ndarray]]
CodeInit: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Family(Component, ABC):
    """Base class of one-dimensional families; subclass it for your own.

    A family turns raw outputs of a network into a distribution per variable. A likelihood needs `distribution`,
    `start`, `support`, `units` and, if 0 is outside the support, `interior`; a posterior needs `distribution` and,
    where torch has no `icdf`, `push`. It is a value without weights: trained numbers are declared in `own_numbers`.

    Attributes
    ----------
    support : torch.distributions.constraints.Constraint
        Where the density is positive; for columns that are not standardised, data outside it raise an error in fit and
        score.
    units : {"standard", "scale", None}
        How a column is scaled before the model sees it: shifted and scaled (real numbers), divided by its scale
        (positive values), or not at all (counts, booleans, fractions).
    interior : float
        A point inside the support, in model space, that replaces missing cells.
    n_raw : int
        Numbers per variable that the network gives.
    observable : bool
        Whether a column can be of this family: its support does not depend on the parameters, and mean and variance are
        finite.
    atoms : sequence of float
        Values, in model space and in data space, that have a probability of their own in addition to a density. The
        log-density is with respect to Lebesgue measure plus counting measure on the atoms, so scaling a column does not
        change it at an atom. `start` then has one more argument, the `shares` of each atom in each column, (A, n).
    nominal : bool
        Whether a column contains category indices without an order: the encoder then looks them up, the linear model of
        the initialisation has one indicator column for each of the `n_raw` categories, and the distribution has their
        probabilities as `probs`, (..., n, n_raw).
    n_categories : int or None
        C, if cells are category indices 0, ..., C - 1, so that the most probable one is imputed and errors are counted;
        None for numbers. If it is set, the distribution has `probs`, (..., n, C).
    shares_softmax : bool
        Whether the distribution is the softmax of the logits that `split` gives, so that columns of several such
        families can be computed together.
    exposure : str, int or None
        One of the `conditions`, whose logarithm is added to the first number, the log of a mean; in a fitted model its
        position. The encoder and the initialisation then count each cell as so many cells.
    heavy_tails : bool
        Whether exp(x) has no mean. The inverse of ``scaling="power"`` grows like exp, so such a family is never chosen
        automatically there; if it is requested by name, it has no mean in data space.
    location_scale : bool
        Whether the first two numbers, both from the network, are a location and a log squared scale.
    reparameterized : bool
        Whether draws are differentiable in the parameters, so that a posterior can be of this family.

    See Also
    --------
    Posterior : The base class of posteriors; `MeanField` makes one from any reparameterized family.
    Gaussian : The default family.

    Examples
    --------
    Waiting times as a likelihood, which starts with the mean and the slopes of the linear model:

    >>> import numpy as np
    >>> import torch
    >>> from skvae import Family, VAETransformer
    >>> class Waiting(Family):
    ...     support, units, interior = torch.distributions.constraints.nonnegative, "scale", 1.0
    ...
    ...     def distribution(self, log_mean):
    ...         return torch.distributions.Exponential(torch.exp(-log_mean))
    ...
    ...     def start(self, mean, loadings, noise, resolution=None):
    ...         return loadings / mean[:, None], np.log(mean), []
    >>> X = np.random.default_rng(0).exponential([1.0, 10.0, 100.0], size=(300, 3))
    >>> vae = VAETransformer(1, likelihood=Waiting(), max_iter=3, random_state=0).fit(X)
    >>> round(vae.score(X), 1), round(VAETransformer(1, max_iter=3, random_state=0).fit(X).score(X), 1)
    (-10.0, -10.8)
    """

    support: constraints.Constraint = constraints.real
    units: str | None = "standard"
    interior = 0.0
    n_raw = 1
    observable = True
    atoms: Sequence[float] = ()
    nominal = False
    shares_softmax = False
    exposure: Any = None
    heavy_tails = False
    location_scale = False
    reparameterized = True

    @property
    def n_categories(self) -> int | None:
        """The number of categories C where cells are category indices, None where they are numbers.

        By default a nominal family has as many categories as outputs of the network. A family of ordered grades, which
        needs fewer, overrides this. It is read only after `for_column`.

        See Also
        --------
        for_column : Takes the number of categories from the data where it is left open.

        Examples
        --------
        >>> from skvae import Categorical, Gaussian, Ordinal
        >>> Categorical(n_classes=3).n_categories, Ordinal(n_classes=3).n_categories, Gaussian().n_categories
        (3, 3, None)
        """
        return self.n_raw if self.nominal else None

    @property
    def reads_column(self) -> bool:
        """Whether `for_column` depends on the values, so that `fit` has to cut the table into columns for it.

        By default it is true if a family overrides `for_column`.

        See Also
        --------
        for_column : Reads them.

        Examples
        --------
        >>> from skvae import Categorical, Laplace
        >>> Categorical().reads_column, Laplace().reads_column
        (True, False)
        """
        return type(self).for_column is not Family.for_column

    @own_signature
    @abstractmethod
    def distribution(self, *numbers: Tensor) -> Distribution:
        """Map raw numbers to a distribution with one variable per column or component.

        This defines the family; everything else, training and methods alike, goes through it.

        Parameters
        ----------
        *numbers : Tensor (..., n)
            The `n_raw` numbers from the network, as `split` gives them, and then the family's own, as `own_numbers`
            lists them.

        Returns
        -------
        torch.distributions.Distribution
            Batch shape (..., n), no event shape.

        See Also
        --------
        split : Cuts the output of the network into these numbers.
        own_numbers : What comes after them.

        Examples
        --------
        Location, log squared scale above the floor, floor:

        >>> import torch
        >>> from skvae import Laplace
        >>> numbers = torch.tensor([3.0]), torch.tensor([0.0]), torch.tensor([0.0])
        >>> Laplace().distribution(*numbers).log_prob(torch.tensor([5.0]))  # -ln 2 - 2
        tensor([-2.6931])
        """

    @abstractmethod
    def start(
        self, mean: np.ndarray, loadings: np.ndarray, noise: np.ndarray, resolution: np.ndarray | None = None
    ) -> Init:
        """Give the raw numbers that approximate x = mean + loadings z + sqrt(noise) e, with z and e standard normal.

        This is how a closed-form linear model initialises a decoder: the raw numbers are weight z + bias. It is exact
        for `Gaussian`; other families match margins and the slopes of the mean.

        Parameters
        ----------
        mean : ndarray (n,)
            Mean of each column in model space. For a nominal family n counts indicators, the C of each column next to
            each other.
        loadings : ndarray (n, m)
            Covariances of the columns with the m components of the linear model.
        noise : ndarray (n,)
            Variance of each column given z, after `tie_noise`.
        resolution : ndarray (n,), optional
            The smallest noise variance of each column that its rows can distinguish from zero.

        Returns
        -------
        weight : ndarray (n_raw * n, m)
            Slopes of the raw numbers, laid out number by number.
        bias : ndarray (n_raw * n,)
            The raw numbers at z = 0.
        own : list of ndarray
            The family's own numbers, in the order of `own_numbers`.

        See Also
        --------
        code_start : The same for a posterior.
        tie_noise : Runs before, and may change the noise.

        Examples
        --------
        The slope is that of the sigmoid, 0.08 / (0.2 * 0.8), and the bias keeps the mean under z ~ N(0, 1):

        >>> import numpy as np
        >>> from skvae import Bernoulli
        >>> mean, loadings, noise = np.array([0.2]), np.array([[0.08]]), np.array([0.15])
        >>> Bernoulli().start(mean, loadings, noise)
        (array([[0.5]]), array([-1.45...]), [])
        """

    def split(self, raw: Tensor, n: int) -> Sequence[Tensor]:
        """Cut raw numbers of a network into the tensors that `distribution` takes first.

        The layout is number by number: all first numbers, then all second numbers. `Categorical` cuts column by column,
        since its logits of one column belong together.

        Parameters
        ----------
        raw : Tensor (..., n_raw * n)
            What the network gives.
        n : int
            Number of variables.

        Returns
        -------
        sequence of Tensor (..., n)
            One for each of the `n_raw` numbers; of `Categorical` one with all logits, (..., n, C).

        See Also
        --------
        distribution : Takes them.

        Examples
        --------
        >>> import torch
        >>> from skvae import Laplace
        >>> Laplace(noise="row").split(torch.tensor([0.1, 0.2, -3.0, -4.0]), 2)
        (tensor([0.1000, 0.2000]), tensor([-3., -4.]))
        """
        return raw.chunk(self.n_raw, -1)

    def own_numbers(self, n: int) -> list[tuple[np.ndarray, bool]]:
        """List the numbers that the family owns for n variables, trained or fixed.

        They do not depend on the row: the noise of a Gaussian decoder, the thresholds of an ordinal one, a floor. The
        module that is built from the family makes each of them a parameter.

        Parameters
        ----------
        n : int
            Number of variables.

        Returns
        -------
        list of (ndarray, bool)
            Initial values, broadcastable to (n,), and whether they are trained.

        See Also
        --------
        distribution : Takes them after the numbers from the network.
        start : Gives them better values.

        Examples
        --------
        One log squared scale per column, which trains, and the floor, which does not:

        >>> from skvae import Laplace
        >>> Laplace().own_numbers(2)
        [(array([0., 0.]), True), (array([0.001, 0.001]), False)]
        >>> Laplace(noise="row").own_numbers(2)
        [(array([0.001]), False)]
        """
        return []

    def for_column(self, values: np.ndarray) -> "Family":
        """Give the family of one column, another one where it depends on the column's values.

        `fit` calls it once per column, so a parameter that is left open, such as a number of categories, is known
        before anything is built.

        Parameters
        ----------
        values : ndarray (n,)
            The observed values of the column, without the missing ones.

        Returns
        -------
        Family
            This one, or a copy that knows the column.

        See Also
        --------
        Categorical : Takes its number of classes from the column.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import Categorical
        >>> Categorical().for_column(np.array([0.0, 2.0, 1.0, 2.0]))
        Categorical(n_classes=3)
        """
        return self

    def in_training(self, has_atom: bool) -> "Family":
        """Give the family with which a network is trained, where held-out rows stop its training.

        It is a more flexible family, nearly the same at the numbers that `start` gives. Linear models keep the family
        itself.

        Parameters
        ----------
        has_atom : bool
            Whether a tenth of the rows or more share one value of the column, and the others lie closer than its noise.

        Returns
        -------
        Family
            By default the family itself.

        See Also
        --------
        with_background : What comes after training.

        Examples
        --------
        A variance for each row, and a background; around an atom such a variance would shrink to nothing:

        >>> from skvae import Gaussian
        >>> Gaussian().in_training(has_atom=False), Gaussian().in_training(has_atom=True)
        (ContaminatedGaussian(noise='row'), Gaussian())
        >>> Gaussian(noise="feature").in_training(has_atom=False)
        Gaussian(noise='feature')
        """
        return self

    def with_background(self) -> "Family | None":
        """Give the family that replaces this one after training, None if it stays.

        It reads the same outputs of the network. Its own numbers are then fitted to the cells, while codes and network
        stay fixed.

        Returns
        -------
        Family or None
            None if training ends with the family with which it began.

        See Also
        --------
        in_training : What comes before.

        Examples
        --------
        >>> from skvae import Gaussian, Laplace
        >>> Gaussian(noise="feature").with_background()
        ContaminatedGaussian()
        >>> Gaussian(background=0).with_background(), Laplace().with_background()
        (None, None)
        """
        return None

    def tie_noise(self, noise: np.ndarray) -> np.ndarray:
        """Project noise variances per variable onto those that the family can have.

        The closed-form initialisation calls it in every EM step. So probabilistic PCA and factor analysis are one
        routine, and differ only in this projection.

        Parameters
        ----------
        noise : ndarray (n,)
            Variances in model space.

        Returns
        -------
        ndarray (n,)
            Those that the family can have, none below its floor.

        See Also
        --------
        start : Receives what this gives.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import Gaussian
        >>> noise = np.array([0.1, 0.3])
        >>> Gaussian(noise="feature").tie_noise(noise), Gaussian(noise="shared").tie_noise(noise)
        (array([0.1, 0.3]), array([0.2, 0.2]))
        """
        return np.maximum(noise, 1e-3)

    def information_noise(self, mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Give the noise variance of a normal column that would be as informative about z as one of this family.

        For a canonical link that is the variance at the mean: the Fisher information of x about its natural parameter.
        The encoder's initialisation weights columns of different families by it.

        Parameters
        ----------
        mean : ndarray (n,)
            Mean of each column in model space.
        noise : ndarray (n,)
            Variance of each column given z.

        Returns
        -------
        ndarray (n,)
            Noise variances; `noise` itself on the line.

        See Also
        --------
        start : The decoder's side of the same approximation.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import Bernoulli
        >>> Bernoulli().information_noise(np.array([0.5, 0.1]), np.array([0.2, 0.1]))  # p (1 - p)
        array([0.25, 0.09])
        """
        return noise

    def amortized(self) -> "Family":
        """Give the same family with every number from the network, as a mean-field posterior needs it.

        A likelihood may have its own noise, one for all rows; a posterior has a spread for each row. A noise that the
        user has fixed at a number stays.

        Returns
        -------
        Family
            By default the family itself, which owns no numbers. The families of this package that do give a copy with
            ``noise="row"`` and the floor of a posterior.

        See Also
        --------
        MeanField : Builds its head of this.

        Examples
        --------
        >>> from skvae import Laplace
        >>> Laplace().amortized()
        Laplace(floor=1e-09, noise='row')
        """
        return self

    def push(self, q: Any, u: Tensor) -> Tensor:
        """Turn base noise into exact draws: by default the inverse CDF of Phi(u).

        This is deterministic and row by row, so that the score of a row does not depend on other rows (Kingma & Welling
        2014, section 2.4). It need not be differentiable; `rsample` must be.

        Parameters
        ----------
        q : torch.distributions.Distribution
            What `distribution` gave, batch shape (B, n).
        u : Tensor (S, B or 1, n)
            Standard normal noise.

        Returns
        -------
        Tensor (S, B, n)
            Draws of q.

        See Also
        --------
        rsample : The draws that training differentiates.

        Examples
        --------
        No noise is the median, ln 2 for a rate of 1:

        >>> import torch
        >>> from skvae import Exponential
        >>> q = Exponential().standard(torch.zeros(1))
        >>> Exponential().push(q, torch.zeros(1, 1, 1))
        tensor([[[0.6931]]])
        """
        return q.icdf(uniform(u))

    def parts(self, q: Any, u: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Give the components of q as a mixture: their shares, and their values at standard normal noise.

        An expectation under q is the weighted sum of theirs, each by quadrature in the noise: if few draws come from a
        part, the quantiles of the mixture bend sharply, but those of the parts do not.

        Parameters
        ----------
        q : torch.distributions.Distribution
            What `distribution` gave, batch shape (..., n).
        u : Tensor (Q, 1, ..., 1)
            Standard normal noise.

        Returns
        -------
        list of (Tensor, Tensor)
            The share of each part, which broadcasts to (..., n), and its values, (Q, ..., n).

        See Also
        --------
        push : The values of a single part, by default.

        Examples
        --------
        >>> import torch
        >>> from skvae import ContaminatedGaussian, Laplace
        >>> u = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> len(Laplace().parts(Laplace().standard(torch.zeros(1)), u))
        1
        >>> family = ContaminatedGaussian(background=0.01)
        >>> [round(share.item(), 4) for share, _ in family.parts(family.standard(torch.zeros(1)), u)]
        [0.99, 0.01]
        """
        return [(torch.ones_like(u[0]), self.push(q, u))]

    def rsample(self, q: Any, u: Tensor) -> Tensor:
        """Turn base noise into draws that are differentiable in the numbers of q; `push` where that is.

        Families without an elementary inverse CDF draw from torch's global generator instead, and differentiate
        implicitly; they use only the number of draws in u.

        Parameters
        ----------
        q : torch.distributions.Distribution
            What `distribution` gave, batch shape (B, n).
        u : Tensor (S, B or 1, n)
            Standard normal noise.

        Returns
        -------
        Tensor (S, B, n)
            Draws of q with a gradient.

        See Also
        --------
        push : Exact draws, deterministic in u.

        Examples
        --------
        >>> import torch
        >>> from skvae import Chi2
        >>> raw = torch.zeros(1, requires_grad=True)
        >>> q, u = Chi2().distribution(raw), torch.zeros(3, 1, 1)
        >>> Chi2().rsample(q, u).requires_grad, Chi2().push(q, u).requires_grad
        (True, False)
        """
        return self.push(q, u)

    def center(self, q: Any) -> Tensor:
        """Give what `transform` returns for a posterior: the mean if it is finite, else the median or location.

        One number per component represents q, in the order of the module; the estimator's order and signs are applied
        later.

        Parameters
        ----------
        q : torch.distributions.Distribution
            What `distribution` gave, batch shape (B, n).

        Returns
        -------
        Tensor (B, n)
            The centres.

        See Also
        --------
        Head.center : The same for a whole posterior.

        Examples
        --------
        >>> import torch
        >>> from skvae import Cauchy, Rayleigh
        >>> Rayleigh().center(Rayleigh().standard(torch.zeros(1)))  # sqrt(pi / 2)
        tensor([1.2533])
        >>> Cauchy().center(Cauchy().standard(torch.zeros(1)))  # it has no mean
        tensor([0.])
        """
        return q.mean

    def standard(self, zero: Tensor) -> Distribution:
        """Give the family's own standard member, by default that of all raw numbers zero.

        It is the default prior for a posterior of this family. Families whose posteriors must lie inside the support of
        the prior, such as `Uniform` or `Pareto`, take the widest member.

        Parameters
        ----------
        zero : Tensor (n,)
            Zeros, whose shape, type and device the member takes.

        Returns
        -------
        torch.distributions.Distribution
            Batch shape (n,).

        See Also
        --------
        Standard : The prior that is made from it.

        Examples
        --------
        >>> import torch
        >>> from skvae import Gumbel, Uniform
        >>> Gumbel().standard(torch.zeros(2)).mean  # Euler's constant
        tensor([0.5772, 0.5772])
        >>> Uniform().standard(torch.zeros(2)).variance  # 1 / 12
        tensor([0.0833, 0.0833])
        """
        own = (torch.as_tensor(number).to(zero) for number, _ in self.own_numbers(len(zero)))
        return self.distribution(*[zero] * self.n_raw, *own)

    def code_start(self, mean: np.ndarray, projection: np.ndarray, variance: np.ndarray) -> CodeInit:
        """Give raw numbers that approximate the normal code t = projection x + mean with the given variances.

        The draws z of the family have the support of its standard member p, so z_k represents the t_k with Phi(t_k) =
        F_p(z_k). Families on the real line set t_k = (z_k - location) / scale; this is the affine approximation for all
        others, see `quantile_start` in `families/code_starts.py`.

        Parameters
        ----------
        mean : ndarray (n,)
            Mean of the normal code of an average row.
        projection : ndarray (n, D)
            Its dependence on the row.
        variance : ndarray (n,)
            Variance of the normal code, the same for all rows.

        Returns
        -------
        weight : ndarray (n_raw * n, D)
            Slopes of the raw numbers, laid out number by number.
        bias : ndarray (n_raw * n,)
            The raw numbers of an average row.
        slope : ndarray (n,)
            The decoder approximates t by slope * z + offset.
        offset : ndarray (n,)
            The other half of that map.

        See Also
        --------
        start : The same for a likelihood.

        Examples
        --------
        A Laplace code has variance 2 where t has 1, so z is sqrt(2) t:

        >>> import numpy as np
        >>> from skvae import Laplace
        >>> mean, projection, variance = np.array([0.0]), np.array([[0.5]]), np.array([0.25])
        >>> weight, bias, slope, offset = Laplace(noise="row").code_start(mean, projection, variance)
        >>> weight.round(4), slope.round(4)
        (array([[0.7071],
               [0.    ]]), array([0.7071]))
        """
        return quantile_start(self, mean, projection, variance)


class FamilyHead(nn.Module):
    """n variables of one family: raw numbers (..., n_raw * n) -> distribution with batch shape (..., n)."""

    def __init__(self, family: Family, n: int) -> None:
        super().__init__()
        self.family = family
        self.n = n
        self.n_raw = family.n_raw * n
        self.own = nn.ParameterList(
            nn.Parameter(torch.from_numpy(number).to(torch.get_default_dtype()), requires_grad=trained)
            for number, trained in family.own_numbers(n)
        )

    def forward(self, raw: Tensor, log_exposure: Tensor | None = None) -> Distribution:
        """Split the raw numbers, append the family's own, and build the distribution.

        The logarithm of an exposure, (..., 1), is added to the first number.
        """
        own = self.own._parameters.values()  # iterating over a ParameterList looks each up by its name, at 10 us
        first, *others = self.family.split(raw, self.n)
        if log_exposure is not None:
            first = first + log_exposure
        return self.family.distribution(first, *others, *own)


def uniform(u: Tensor) -> Tensor:
    """Phi(u) of standard normal noise, kept inside (0, 1): what an inverse CDF takes."""
    eps = torch.finfo(u.dtype).eps
    return tail(u).clamp(eps, 1 - eps)
