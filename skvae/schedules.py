"""Schedules: which parameter group is updated in each step. A schedule is a value.

`groups` names the parameter groups behind each optimizer; `steps(batches)` is a generator that yields (optimizer
number, batch) and is sent the loss of that step (a tensor, which it need not read). A step of an optimizer whose groups
are empty in this model, such as the auxiliary one without a critic, is skipped.

=============  ======================  =========================  ===========================  =====================
name           reads                   gives                      who calls it                 default
=============  ======================  =========================  ===========================  =====================
steps          batches, their history  yields (optimizer, batch)  the loop, each epoch         must be given
groups         -                       tuples of group names      optimizers, compatibility    ()
learning_rate  names of a group        float or None              optimizers, once each        None, the estimator's
watches        -                       str or None                the loop, after each epoch   None
closed_form    -                       bool                       the loop, in place of steps  False
reads_losses   -                       bool                       checkpoints inside an epoch  True
check          -                       None, or raises            `fit`, first                 constraints
=============  ======================  =========================  ===========================  =====================
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Generator
from itertools import pairwise
from typing import Any, TypeAlias

from torch import Tensor

from ._utils.checks import COUNT, POSITIVE
from ._utils.component import Component

__all__ = ["SCHEDULES", "Aggressive", "ExactEM", "Joint", "Schedule", "Steps", "VariationalEM", "send"]

#: Yields (optimizer number, batch), and is sent the loss of that step.
Steps: TypeAlias = Generator[tuple[int, Any], Tensor | None, None]

_RISE = 0.01  # nats: estimates near their bound, the logarithm of the number of rows, creep up for ever
_PATIENCE = 10  # inner steps between two looks at the loss, as in the code of He et al. (2019)


class Schedule(Component, ABC):
    """Base class of schedules; subclass it for your own.

    A schedule is a value: it names the parameter groups behind each optimizer, and decides which of them steps next, on
    which batch. It may read the loss of its last step, which waits for the device, or ignore it.

    Attributes
    ----------
    groups : tuple of tuple of str
        For each optimizer the parameter groups it updates: "inference" (phi), "generative" (theta), "auxiliary" (psi).
    watches : str or None
        What the loop writes into the history after each epoch for `steps` to read: "mutual_information".
    closed_form : bool
        Whether an epoch is one step of the linear model's EM instead of gradient steps.
    reads_losses : bool
        Whether `steps` reads what its yields return; a checkpoint inside an epoch then keeps these losses.

    See Also
    --------
    Joint : The schedule of nearly every paper.
    Objective : What the steps lower.

    Examples
    --------
    Encoder and decoder on every other batch:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import Schedule, VAETransformer
    >>> class Alternating(Schedule):
    ...     groups = (("inference",), ("generative",))
    ...
    ...     def steps(self, batches):
    ...         for i, batch in enumerate(batches):
    ...             yield i % 2, batch
    >>> list(Alternating().steps(["first", "second", "third"]))
    [(0, 'first'), (1, 'second'), (0, 'third')]
    >>> X, _ = load_iris(return_X_y=True)
    >>> VAETransformer(2, schedule=Alternating(), max_iter=2, random_state=0).fit(X).n_iter_
    2
    """

    groups: tuple[tuple[str, ...], ...] = ()
    watches: str | None = None
    closed_form = False
    reads_losses = True

    def learning_rate(self, names: tuple[str, ...]) -> float | None:
        """Give the learning rate of the optimizer of some groups; None is the estimator's.

        It is called once per optimizer, when that is created; the factor of `learning_rate_schedule` is applied on top.
        The rate of a critic, in the group "auxiliary", is the objective's.

        Parameters
        ----------
        names : tuple of str
            One of `groups`.

        Returns
        -------
        float or None
            The rate.

        See Also
        --------
        VariationalEM : Has one for each kind of step.

        Examples
        --------
        >>> from skvae import VariationalEM
        >>> schedule = VariationalEM(inference_learning_rate=0.01)
        >>> [schedule.learning_rate(names) for names in schedule.groups]
        [0.01, None, None]
        """
        return None

    @abstractmethod
    def steps(self, batches: Any) -> Steps:
        """Yield (optimizer number, batch) for one epoch; each yield returns the loss of that step.

        It is a detached tensor (B,), still on the device; with ``distributed=True`` its mean over the batch's rows in
        all processes, (1,), so that all processes decide alike; None for a step of the critic, and for one that was
        skipped because its groups are empty in the model.

        Parameters
        ----------
        batches : iterable
            The batches of one pass over the rows. ``batches.draw()`` gives one at random, ``batches.history`` the
            records of earlier epochs.

        Yields
        ------
        (int, batch)
            The position in `groups` of what is updated, and the rows.

        See Also
        --------
        Aggressive : Reads the losses and the history.

        Examples
        --------
        >>> from skvae import VariationalEM
        >>> list(VariationalEM(n_inference_steps=2).steps(["batch"]))  # 2 is a critic, if there is one
        [(2, 'batch'), (0, 'batch'), (2, 'batch'), (0, 'batch'), (2, 'batch'), (1, 'batch')]
        """


class Joint(Schedule):
    """Encoder and decoder are updated together in every step: short name "joint".

    Auto-encoding variational Bayes. If there is a critic, it is updated first, on the same batch.

    Kingma & Welling (2014), algorithm 1; Yang's lecture, algorithm 1; Ghojogh's, eq. (38).

    See Also
    --------
    VariationalEM : Encoder and decoder in turn.
    Aggressive : A decoder that waits for its encoder.

    Examples
    --------
    Optimizer 0 has encoder and decoder, optimizer 1 the critic, if there is one:

    >>> from skvae import Joint
    >>> Joint().groups
    (('inference', 'generative'), ('auxiliary',))
    >>> list(Joint().steps(["first", "second"]))
    [(1, 'first'), (0, 'first'), (1, 'second'), (0, 'second')]
    """

    groups = (("inference", "generative"), ("auxiliary",))
    reads_losses = False

    def steps(self, batches: Any) -> Steps:
        """A step of the critic and one of the model, on each batch."""
        for batch in batches:
            yield 1, batch
            yield 0, batch


class VariationalEM(Schedule):
    r"""Separate encoder and decoder steps, each with its own optimizer: short name "em".

    .. math:: \phi \leftarrow \phi + \eta_e \nabla_\phi L(\phi, \theta), \qquad
        \theta \leftarrow \theta + \eta_d \nabla_\theta L(\phi, \theta)

    The history has the loss of each kind of step, ``train_loss_inference`` and ``train_loss_generative``: hill climbing
    in two directions.

    Ghojogh's lecture, eqs. (16) to (19), (33), (34); He's, "Training VAEs"; Neal & Hinton (1998).

    Parameters
    ----------
    n_inference_steps : int, default=1
        E-steps on each batch.
    n_generative_steps : int, default=1
        M-steps on each batch.
    inference_learning_rate : float, optional
        Of the encoder; None is the estimator's.
    generative_learning_rate : float, optional
        Of the decoder; None is the estimator's.

    See Also
    --------
    ExactEM : Both steps in closed form, for the linear model.
    Aggressive : Encoder steps for as long as they help.

    Examples
    --------
    The M-step of a batch begins where the E-step left it:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer, VariationalEM
    >>> X, _ = load_iris(return_X_y=True)
    >>> schedule = VariationalEM(n_inference_steps=5, inference_learning_rate=0.01)
    >>> vae = VAETransformer(2, schedule=schedule, max_iter=2, early_stopping=False, random_state=0).fit(X)
    >>> sorted(name for name in vae.history_[-1] if name.startswith("train_loss_"))
    ['train_loss_generative', 'train_loss_inference']
    """

    groups = (("inference",), ("generative",), ("auxiliary",))
    reads_losses = False

    _parameter_constraints = {
        "n_inference_steps": [COUNT],
        "n_generative_steps": [COUNT],
        "inference_learning_rate": [POSITIVE, None],
        "generative_learning_rate": [POSITIVE, None],
    }

    def __init__(
        self,
        n_inference_steps: int = 1,
        n_generative_steps: int = 1,
        inference_learning_rate: float | None = None,
        generative_learning_rate: float | None = None,
    ) -> None:
        self.n_inference_steps = n_inference_steps
        self.n_generative_steps = n_generative_steps
        self.inference_learning_rate = inference_learning_rate
        self.generative_learning_rate = generative_learning_rate

    def learning_rate(self, names: tuple[str, ...]) -> float | None:
        """The one given for the group."""
        return {"inference": self.inference_learning_rate, "generative": self.generative_learning_rate}.get(names[0])

    def steps(self, batches: Any) -> Steps:
        """E-steps, then M-steps, on every batch; a critic moves before each."""
        for batch in batches:
            for which in [0] * self.n_inference_steps + [1] * self.n_generative_steps:
                yield 2, batch
                yield which, batch


class ExactEM(Schedule):
    """Expectation maximisation of the linear-Gaussian model in closed form, on all rows at once: short name "exact_em".

    One epoch is one E-step, the exact posterior put into the encoder, and one M-step: those of probabilistic PCA with
    ``Gaussian(noise="shared")``, of factor analysis with one noise variance per column. The likelihood never falls. It
    needs ``hidden_layer_sizes=()``, a Gaussian likelihood, a normal posterior and prior and the plain ELBO; with
    ``init="random"`` the whole climb is visible. There are no gradient steps, so the optimizer, its rate and decay,
    batches, precision and compilation have no effect.

    Rubin & Thayer (1982); Tipping & Bishop (1999), appendix B; Ghojogh's lecture, eqs. (12), (13); He's, "EM is Hill
    Climbing".

    See Also
    --------
    VariationalEM : Gradient steps, for any model.
    sklearn.decomposition.FactorAnalysis : The same model, by its own EM.

    Examples
    --------
    From a random initialisation to what ``init="factor_analysis"`` has at once:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import ExactEM, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> linear = VAETransformer(1, hidden_layer_sizes=(), early_stopping=False, random_state=0)
    >>> climb = linear.set_params(schedule=ExactEM(), init="random", max_iter=100).fit(X)
    >>> [round(float(epoch["train_loss"]), 2) for epoch in climb.history_[:5]]
    [4.84, 4.49, 3.94, 3.47, 3.19]
    >>> reached = climb.score(X)
    >>> round(reached, 2), round(linear.set_params(init="factor_analysis", max_iter=0).fit(X).score(X), 2)
    (-2.82, -2.82)
    """

    groups = (("inference", "generative"),)
    closed_form = True

    def steps(self, batches: Any) -> Steps:
        """There are none: the epoch is one step of EM."""
        return
        yield  # which makes it a generator


class Aggressive(Schedule):
    """Encoder steps until they stop helping before each decoder step, while information rises: short name "aggressive".

    Inner steps, each on a random batch, continue while the mean loss of ten of them is below that of the ten before.
    When the mutual information I(x; z), measured after every epoch, no longer rises, encoder and decoder steps
    alternate.

    He et al. (2019), algorithm 1; He's lecture, "VAE training that is closer to EM".

    Parameters
    ----------
    max_inference_steps : int, default=100
        The largest number of inner steps.

    See Also
    --------
    VariationalEM : A fixed number of encoder steps.
    metrics.mutual_information : The quantity that is monitored.

    Examples
    --------
    The history has what it watches:

    >>> from sklearn.datasets import load_iris
    >>> from skvae import Aggressive, VAETransformer
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(2, schedule=Aggressive(max_inference_steps=20), max_iter=1, random_state=0).fit(X)
    >>> round(vae.history_[-1]["mutual_information"], 1)
    2.2
    """

    groups = (("inference",), ("generative",), ("auxiliary",))
    watches = "mutual_information"

    _parameter_constraints = {"max_inference_steps": [COUNT]}

    def __init__(self, max_inference_steps: int = 100) -> None:
        self.max_inference_steps = max_inference_steps

    def steps(self, batches: Any) -> Steps:
        """Inner loop and decoder step; or encoder and decoder step."""
        information = [record[self.watches] for record in batches.history if self.watches in record]
        rising = all(now > before + _RISE for before, now in pairwise(information))
        for batch in batches:
            if rising:
                yield from self._until_it_stops_paying(batches)
            else:
                yield 2, batch
                yield 0, batch
            yield 2, batch
            yield 1, batch

    def _until_it_stops_paying(self, batches: Any) -> Steps:
        # Losses of single batches are noisy, so sums over windows of `_PATIENCE` steps are compared: the inner loop
        # ends with the first window whose sum is not below that of the window before.
        before, now = math.inf, []
        for _ in range(self.max_inference_steps):
            batch = batches.draw()
            # With a critic, the loss of the encoder is an estimate that holds for a critic which has followed the
            # encoder: so the critic moves before. Without one, group 2 has no parameters and the step is skipped.
            yield 2, batch
            loss = yield 0, batch
            assert loss is not None, "every model whose information can be watched has an encoder to move"
            now.append(loss.mean())
            if len(now) == _PATIENCE:
                level = float(sum(now))
                if level >= before:
                    return
                before, now = level, []


def send(steps: Steps, loss: Tensor | None) -> tuple[int, Any] | None:
    """Send a schedule the loss of its last step, and give its next one; None when the epoch is over."""
    try:
        return steps.send(loss)
    except StopIteration:
        return None


SCHEDULES: dict[str, type[Schedule]] = {
    "joint": Joint,
    "em": VariationalEM,
    "exact_em": ExactEM,
    "aggressive": Aggressive,
}
