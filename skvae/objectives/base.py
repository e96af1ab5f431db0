"""The contract of an objective: (model, x, mask, u) -> row-wise loss and its readable parts, in model space.

An objective is a value. Training averages its "loss" over a batch; `monitor` is the number that early stopping watches
on held-out rows, the lower the better, or None to keep the last state. An objective with a critic builds it as the
model's auxiliary module, whose parameters (psi) are moved by a loss and an optimizer of their own.

=======================  =================  =========================  =========================  ====================
name                     reads              gives                      who calls it               default
=======================  =================  =========================  =========================  ====================
__call__                 model, x, mask, u  dict of (B,), with "loss"  every step, held-out rows  must be given
monitor                  -                  str or None                early stopping             "loss"
log_px_parts             -                  dict of signs              history, log-Jacobian      loss, reconstruction
n_samples, n_draws       -                  int                        who draws u                1, n_samples
pairs_draws              -                  bool                       training                   False
posterior                -                  str or None                where posterior="auto"     "diag"
needs_density            -                  bool                       compatibility of parts     False
needs_factors            -                  bool                       compatibility of parts     False
exchanges_components     -                  bool                       compatibility of parts     False
needs_pathwise           -                  bool                       compatibility of parts     True
estimates_kl             -                  bool                       compatibility of parts     False
takes_closed_form        -                  bool                       compatibility of parts     False
needs_closed_form        -                  bool                       compatibility of parts     False
uses_prior               -                  bool                       `sample`, compatibility    True
generates                -                  bool                       compatibility, fitted prior  False
is_row_wise              -                  bool                       distributed training       True
warm_up                  -                  int                        early stopping             0
at                       epoch              Objective                  each epoch                 the objective itself
annealed                 n_epochs           Objective                  `fit`, idle starts         the objective itself
auxiliary                n_features, width  nn.Module or None          the model, once            None
auxiliary_loss           as `__call__`      dict, "auxiliary_loss"     steps of the critic        raises
auxiliary_learning_rate  -                  float or None              the critic's optimizer     None
betas                    -                  two floats or None         every optimizer            None
check                    -                  None, or raises            `fit`, first               constraints
=======================  =================  =========================  =========================  ====================
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol

from torch import Tensor, nn
from torch.distributions import Distribution

from .._utils.component import Component

__all__ = ["Model", "Objective"]


class Model(Protocol):
    """What an objective may use of `LatentVariableModel`."""

    encoder: Any
    posterior: Any
    prior: Any
    auxiliary: Any

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Distribution:
        """q(z given x) of rows."""

    def draw(self, q: Distribution, u: Tensor) -> Tensor:
        """Codes from base noise, differentiable in training."""

    def given(self, x: Tensor, mask: Tensor | None) -> Tensor | None:
        """The cells of given columns, (B, G)."""

    def raw_row(self, z: Tensor, given: Tensor | None = None) -> list[Tensor]:
        """The numbers behind p(x given z), in pieces (S, B, ...)."""

    def decode(self, z: Tensor, given: Tensor | None = None) -> Distribution:
        """p(x given z) of codes, and of the cells of given columns."""

    def training_log_likelihood(self, x: Tensor, mask: Tensor | None, z: Tensor) -> Tensor:
        """What takes the place of ln p(x given z) in training, (S, B)."""


class Objective(Component, ABC):
    """Base class of objectives; subclass it for your own.

    An objective is a value: called with the model, rows and base noise, it gives one loss per row, and perhaps builds
    an auxiliary module, a critic. Its class attributes say what it needs, so that a model that lacks it is refused, and
    what its parts mean.

    Attributes
    ----------
    monitor : str or None
        Which of the parts is watched on held-out rows.
    log_px_parts : dict of str -> float
        The parts that contain log p(x given z), and with which sign: the history adds the log-Jacobian to them.
    warm_up : int
        Epochs before early stopping starts to count.
    n_samples : int
        S, draws of z per row and training step.
    n_draws : int
        Draws of base noise per row and step that the loop passes; S unless some serve another purpose.
    pairs_draws : bool
        Whether the draws of a training step come in pairs, u and -u, for a loss that is a mean over the draws.
    posterior : str or None
        What ``posterior="auto"`` means; None for an objective without an encoder.
    needs_density : bool
        Whether log q(z given x) is needed.
    needs_factors : bool
        Whether q must factorise over the components, so that each has its own aggregate posterior.
    exchanges_components : bool
        Whether components from different rows are combined; the result must be a valid code.
    needs_pathwise : bool
        Whether draws of q must be differentiable in its parameters.
    estimates_kl : bool
        Whether a KL to the prior is estimated without ln q(z given x), so that q must be spread out inside the prior.
    takes_closed_form : bool
        Whether a KL in closed form, where one is registered, takes the place of ln q(z given x) at draws.
    needs_closed_form : bool
        Whether a KL in closed form is required.
    uses_prior : bool
        Whether codes are pulled towards the prior, so that `sample` may draw from it.
    generates : bool
        Whether rows are drawn in training, x ~ p(x given z) with z ~ p(z): the likelihood's draws must be
        differentiable, and the prior stays the one that they were drawn from.
    auxiliary_learning_rate : float or None
        Of the auxiliary module; None is the estimator's.
    betas : pair of float or None
        The decay rates of Adam's means of the gradient and of its square, for all groups; SGD takes the first one as
        its momentum. None is the optimizer's own, 0.9 and 0.999.
    is_row_wise : bool
        Whether a row's loss does not depend on other rows. A loss that compares the rows of a batch needs them all in
        one process, and is refused with ``distributed=True``.

    See Also
    --------
    ELBO : The objective of the variational autoencoder.
    AE : The shortest one to read.
    Schedule : Which parameters its gradient moves, and when.

    Examples
    --------
    An autoencoder whose codes are kept small; `RAE` also keeps the decoder smooth:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import Objective, VAETransformer
    >>> class SmallCodes(Objective):
    ...     posterior, uses_prior = "point", False
    ...
    ...     def __init__(self, weight=1.0):
    ...         self.weight = weight
    ...
    ...     def __call__(self, model, x, mask, u):
    ...         z = model.draw(model.encode(x, mask), u)
    ...         log_px = model.training_log_likelihood(x, mask, z).mean(0)
    ...         return {"loss": self.weight / 2 * z.square().sum(-1).mean(0) - log_px, "reconstruction": log_px}
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, objective=SmallCodes(weight=10.0), max_iter=5, early_stopping=False, random_state=0)
    >>> size = lambda vae: (vae.fit_transform(X) ** 2).mean()
    >>> round(float(size(vae)), 1), round(float(size(vae.set_params(objective__weight=0.0))), 1)
    (0.4, 1.0)
    """

    monitor: str | None = "loss"
    log_px_parts: dict[str, float] = {"loss": -1.0, "reconstruction": 1.0}
    warm_up = 0
    n_samples = 1
    pairs_draws = False
    posterior: str | None = "diag"
    needs_density = False
    needs_factors = False
    exchanges_components = False
    needs_pathwise = True
    estimates_kl = False
    takes_closed_form = False
    needs_closed_form = False
    uses_prior = True
    generates = False
    auxiliary_learning_rate: float | None = None
    betas: tuple[float, float] | None = None
    is_row_wise = True

    @property
    def n_draws(self) -> int:
        """Draws of base noise per row and step that the loop hands over.

        S, if every draw becomes one code; more if some serve another purpose.

        See Also
        --------
        ELBO : Needs S more for a KL with its own draws.

        Examples
        --------
        >>> from skvae import ELBO
        >>> ELBO(n_samples=3).n_draws, ELBO(n_samples=3, kl="monte_carlo").n_draws
        (3, 6)
        """
        return self.n_samples

    @property
    def has_auxiliary(self) -> bool:
        """Whether this class builds an auxiliary module.

        It is so where `auxiliary` is overridden; schedules and optimizers of the third group, psi, exist only then.

        See Also
        --------
        auxiliary : Builds it.

        Examples
        --------
        >>> from skvae import AAE, ELBO
        >>> AAE().has_auxiliary, ELBO().has_auxiliary
        (True, False)
        """
        return type(self).auxiliary is not Objective.auxiliary

    def at(self, epoch: float) -> "Objective":
        """Give the objective of an absolute epoch 0, 1, ..., a copy where its weights change over time.

        Held-out rows are always scored with that of epoch inf, when all annealing is over; otherwise a bound with a
        growing KL weight would seem to get worse.

        Parameters
        ----------
        epoch : int or float
            Completed epochs, including those of earlier fits under ``warm_start`` and `partial_fit`.

        Returns
        -------
        Objective
            Itself, or a copy whose weights are those of the epoch.

        See Also
        --------
        Annealing : A schedule of the KL weight.

        Examples
        --------
        >>> import math
        >>> from skvae import ELBO, LinearAnnealing
        >>> objective = ELBO(beta=LinearAnnealing(n_epochs=10))
        >>> objective.at(5), objective.at(math.inf)
        (ELBO(beta=0.5), ELBO())
        """
        return self

    def annealed(self, n_epochs: int) -> "Objective":
        """Give the objective whose KL weight rises from 0 over `n_epochs` epochs, if that is possible.

        `fit` trains with it where the closed-form initialisation carries too little information. An objective without
        such a weight, or with its own annealing, returns itself.

        Parameters
        ----------
        n_epochs : int
            Number of epochs of the rise.

        Returns
        -------
        Objective
            Itself, or a copy.

        See Also
        --------
        LinearAnnealing : The rise.

        Examples
        --------
        >>> from skvae import ELBO, IWAE
        >>> ELBO(beta=2.0).annealed(20)
        ELBO(beta=LinearAnnealing(end=2.0, n_epochs=20))
        >>> IWAE().annealed(20)
        IWAE()
        """
        return self

    @abstractmethod
    def __call__(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """Give the parts of the loss; one of them is "loss", which trains phi and theta.

        Every part goes into the history of the fit, in nats per row; `monitor` names the one that early stopping
        watches.

        Parameters
        ----------
        model : LatentVariableModel
            Encoder, posterior, prior, decoder and likelihood, with `encode`, `draw`, `decode` and
            `training_log_likelihood`.
        x : Tensor (B, D)
            Rows in model space, missing cells filled.
        mask : Tensor (B, D) or None
            Which cells are observed; None where all are.
        u : Tensor (n_draws, B, n_noise)
            Base noise for `model.draw`.

        Returns
        -------
        dict of str -> Tensor (B,)
            One number per row for each part.

        See Also
        --------
        auxiliary_loss : The same for a critic.

        Examples
        --------
        On a fitted model; the loss is the negative bound:

        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from skvae import ELBO, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> model = VAETransformer(2, max_iter=0).fit(X).module_
        >>> parts = ELBO()(model, torch.zeros(3, 4), None, torch.zeros(1, 3, 2))
        >>> sorted(parts), bool((parts["loss"] == parts["kl"] - parts["reconstruction"]).all())
        (['kl', 'loss', 'reconstruction'], True)
        """

    def auxiliary(self, n_features: int, width: int) -> nn.Module | None:
        """Build the auxiliary module for rows (B, D) and codes (B, K); None where there is none.

        The result becomes `model.auxiliary`. Its parameters, psi, are trained by `auxiliary_loss` alone, with their own
        optimizer.

        Parameters
        ----------
        n_features : int
            D.
        width : int
            K.

        Returns
        -------
        torch.nn.Module or None
            A new module.

        See Also
        --------
        auxiliary_loss : What trains it.

        Examples
        --------
        The critic of codes of an adversarial autoencoder is silent at the start:

        >>> import torch
        >>> from skvae import AAE
        >>> AAE().auxiliary(n_features=4, width=2)(torch.ones(3, 2)).tolist()
        [0.0, 0.0, 0.0]
        """
        return None

    def auxiliary_loss(self, model: Model, x: Tensor, mask: Tensor | None, u: Tensor) -> dict[str, Tensor]:
        """Give the parts of the auxiliary module's loss; one of them is "auxiliary_loss", which trains psi.

        It is called on the same batches as the objective itself, in the steps that the schedule assigns to the group
        "auxiliary".

        Parameters
        ----------
        model : LatentVariableModel
            As in `__call__`; encode and decode without gradient here.
        x : Tensor (B, D)
            Rows in model space, missing cells filled.
        mask : Tensor (B, D) or None
            Which cells are observed; None where all are.
        u : Tensor (n_draws, B, n_noise)
            Base noise for `model.draw`.

        Returns
        -------
        dict of str -> Tensor (B,)
            One number per row for each part.

        See Also
        --------
        auxiliary : Builds the module.

        Examples
        --------
        A critic that cannot tell codes from draws of the prior loses 2 ln 2:

        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from skvae import AAE, VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> model = VAETransformer(2, objective="aae", max_iter=0).fit(X).module_
        >>> AAE().auxiliary_loss(model, torch.zeros(2, 4), None, torch.zeros(1, 2, 0))
        {'auxiliary_loss': tensor([1.3863, 1.3863], grad_fn=<AddBackward0>)}
        """
        raise NotImplementedError(f"{type(self).__name__} has no auxiliary module.")
