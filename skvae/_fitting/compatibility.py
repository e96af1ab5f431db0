"""Which parts go together: each says what it needs and offers, and an impossible pair is an error that explains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.modules.batchnorm import _BatchNorm

from ..distributions.latent import OneHots, SideBySide, has_closed_form
from ..distributions.spherical import MANIFOLDS
from ..families.base import Family
from ..families.discrete import Constant
from ..families.gaussian import Gaussian
from ..families.given import Given
from ..model import LatentVariableModel
from ..networks.architectures import MLP, ConvNet
from ..networks.base import Network
from ..objectives.autoencoders import RAE
from ..objectives.base import Objective
from ..objectives.bounds import ELBO
from ..posteriors.base import Posterior
from ..posteriors.discrete import Point
from ..posteriors.normal import FullCovariance, MeanField
from ..priors.base import Prior
from ..priors.fixed import Standard, StandardNormal, UniformPrior
from ..priors.learned import NormalMixture, VampPrior
from ..priors.product import ProductPrior
from ..schedules import Schedule

__all__ = ["check_model", "check_parts", "check_row_wise", "check_row_wise_model", "refuse_idle"]

_PROBES = 64  # draws of q whose place in the support of p is looked at


def check_parts(
    posterior: Posterior | None,
    prior: Prior,
    objective: Objective,
    schedule: Schedule,
    likelihoods: Sequence[Family],
    networks: Sequence[Network],
) -> None:
    """Check the components of a VAETransformer before a module is built.

    Parameters
    ----------
    posterior : Posterior or None
        None is "auto" for an objective without an encoder.
    prior : Prior
    objective : Objective
    schedule : Schedule
    likelihoods : list of Family
    networks : list of Network
        Encoder and decoder.

    Raises
    ------
    ValueError
        A bad parameter of a component, or an impossible pair.
    """
    for component in (posterior, prior, objective, schedule):
        if component is not None:
            component.check()
    if any(isinstance(family, Given) for family in likelihoods):
        _check_conditional(prior, objective, schedule, networks)
    for network in networks:
        network.check(likelihoods)
    _check_encoder(posterior, objective, schedule)
    _check_prior(posterior, prior, objective)
    _check_schedule(schedule, objective)
    if schedule.closed_form:
        _check_linear_gaussian(posterior, prior, objective, schedule, likelihoods, networks)
    if objective.generates:
        _check_generator(objective, likelihoods)
    if isinstance(prior, VampPrior) and any(family.nominal for family in likelihoods):
        raise ValueError(
            "prior='vamp' trains rows of the table, which cannot be done for categories. Use prior='mixture', or name "
            "no categorical likelihood."
        )


#: Parameters of the estimator's own MLPs, and their defaults.
_OF_MLPS = {"hidden_layer_sizes": "auto", "activation": "silu", "dropout": 0.0}


def refuse_idle(parameters: Mapping[str, Any], objective: Objective, schedule: Schedule) -> None:
    """Raise a ValueError for parameters that have no effect beside the others.

    Those that scikit-learn leaves idle, too, are not refused: how an optimizer works where none is used, and when to
    stop where nothing stops.
    """

    def refuse(name: str, default: Any, why: str) -> None:
        value = parameters[name]
        if not (value is default or (np.isscalar(value) and value == default)):
            raise ValueError(f"{why}, so {name}=... has no effect. Leave it {default!r}.")

    if parameters["conditions"] is not None and parameters["feature_loss"] is not None:
        raise ValueError("feature_loss=... compares whole rows, conditions among them. Leave one of the two away.")
    if objective.posterior is None:
        for name in ("encoder", "feature_loss"):
            refuse(name, None, f"objective={objective!r} has no encoder")
        refuse("column_weights", None, f"objective={objective!r} has no likelihood")
    if schedule.closed_form:
        for name in ("column_weights", "feature_loss"):
            refuse(name, None, f"schedule={schedule!r} maximises the plain likelihood")
        refuse("max_steps", None, f"schedule={schedule!r} has no gradient steps")
    if parameters["decoder"] is not None and (objective.posterior is None or parameters["encoder"] is not None):
        for name, default in _OF_MLPS.items():
            refuse(name, default, "Both networks are given")
    if objective.monitor is None and parameters["early_stopping"] is True:
        raise ValueError(
            f"objective={objective!r} has no loss that could stop the training, so early_stopping=True would only take "
            "rows away. Leave it 'auto', or give rows as X_val, which appear in history_."
        )


def check_row_wise(objective: Objective, schedule: Schedule) -> None:
    """Raise a ValueError for what cannot be shared out over processes that each see a part of a batch."""
    if not objective.is_row_wise:
        raise ValueError(
            f"objective={objective!r} compares the rows of a batch with each other, so with distributed=True its loss "
            "would be another one than in one process. Use distributed=False, or an objective that goes row by row, "
            "such as 'elbo' without free_bits, 'iwae', 'ae' or 'aae'."
        )
    if schedule.closed_form:
        raise ValueError(
            f"schedule={schedule!r} takes all rows at once in closed form; there is nothing for other processes to do. "
            "Use distributed=False."
        )


def check_row_wise_model(model: LatentVariableModel) -> None:
    """Raise a ValueError for layers whose training looks at the whole batch."""
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and not name.startswith("feature_loss"):  # that stays in eval mode
            raise ValueError(
                f"The network has {layer!r} at {name!r}: its means over a batch would be those of one process's share "
                "with distributed=True. Use LayerNorm or GroupNorm, or distributed=False."
            )


def _check_encoder(posterior: Posterior | None, objective: Objective, schedule: Schedule) -> None:
    if objective.posterior is None:
        if posterior is not None:
            raise ValueError(
                f"objective={objective!r} has no encoder and no place for posterior={posterior!r}. Leave it 'auto'."
            )
        if ("inference", "generative") not in schedule.groups:
            raise ValueError(f"objective={objective!r} has no encoder for schedule={schedule!r}. Use schedule='joint'.")
        return
    assert posterior is not None, "an objective with an encoder names the posterior that 'auto' means"
    if schedule.watches == "mutual_information" and not posterior.has_density:
        raise ValueError(
            f"schedule={schedule!r} watches I(x; z), which needs ln q(z|x); posterior={posterior!r} has none. Use "
            "schedule='joint' or 'em'."
        )
    if objective.needs_density and not posterior.has_density:
        raise ValueError(
            f"objective={objective!r} needs ln q(z|x), which posterior={posterior!r} does not have. Use objective="
            "'ae', 'wae_mmd', 'aae' or 'avb', or a posterior with a density, e.g. 'diag'."
        )
    if objective.estimates_kl and isinstance(posterior, Point):
        raise ValueError(
            f"objective={objective!r} estimates a KL, which is infinite for posterior={posterior!r}. Leave it 'auto'."
        )
    if objective.needs_pathwise and not posterior.reparameterized:
        raise ValueError(
            f"objective={objective!r} differentiates draws, which posterior={posterior!r} does not allow. Use "
            "ELBO(gradient='score_function', n_samples=8), or a temperature."
        )
    if not objective.uses_prior and not isinstance(posterior, Point):
        raise ValueError(
            f"objective={objective!r} has no noise in its codes; posterior={posterior!r} has. Leave posterior='auto', "
            "or use 'elbo', 'wae_mmd' or 'aae'."
        )


def _check_conditional(prior: Prior, objective: Objective, schedule: Schedule, networks: Sequence[Network]) -> None:
    """Refuse what no model with conditions can have."""
    if isinstance(prior, VampPrior):
        why = f"prior={prior!r} trains rows of the table, conditions among them. Use prior='auto' or 'mixture'."
    elif objective.posterior is None:
        why = f"objective={objective!r} has no encoder that could read them. Use one with an encoder, 'elbo' or 'aae'."
    elif schedule.closed_form:
        why = f"schedule={schedule!r} knows no regression. Use schedule='joint', or max_iter=0."
    elif any(isinstance(network, ConvNet) for network in networks):
        why = "ConvNet reads rows of pixels and nothing else. Use an MLP."
    else:
        return
    raise ValueError(f"The 'conditions' parameter names columns, and {why}")


def _check_prior(posterior: Posterior | None, prior: Prior, objective: Objective) -> None:
    if not (objective.uses_prior or prior.fits_codes or isinstance(prior, StandardNormal)):
        raise ValueError(
            f"objective={objective!r} does not use a prior, and prior={prior!r} cannot be fitted to its codes. Leave "
            "prior='auto', or use 'mixture' or 'flow'."
        )
    if isinstance(prior, NormalMixture) and prior.n_members == "auto" and posterior is None:
        raise ValueError(
            f"prior={prior!r} finds its members by the codes of rows, and objective={objective!r} has no encoder. Give "
            "a number, e.g. NormalMixture(n_members=10)."
        )
    if isinstance(prior, VampPrior) and not (posterior and posterior.has_density):
        raise ValueError(
            "prior='vamp' is a mixture of posteriors and needs one with a density, e.g. 'diag'. Got "
            f"posterior={posterior!r}. Use prior='mixture'."
        )


def _check_schedule(schedule: Schedule, objective: Objective) -> None:
    if any("auxiliary" in names and len(names) > 1 for names in schedule.groups):
        raise ValueError(f"schedule={schedule!r} moves 'auxiliary' with other groups; it has a loss of its own.")
    if objective.has_auxiliary and not any("auxiliary" in names for names in schedule.groups):
        raise ValueError(
            f"objective={objective!r} has a critic, which schedule={schedule!r} does not move: its groups are "
            f"{schedule.groups}. Use schedule='joint'."
        )


def _check_linear_gaussian(
    posterior: Posterior | None,
    prior: Prior,
    objective: Objective,
    schedule: Schedule,
    likelihoods: Sequence[Family],
    networks: Sequence[Network],
) -> None:
    def demand(is_met: object, what: str, got: str) -> None:
        if not is_met:
            raise ValueError(
                f"schedule={schedule!r} is exact for the linear-Gaussian model only: it needs {what}. {got}"
            )

    nets = [network for network in networks if not isinstance(network, MLP) or network.hidden_layer_sizes]
    demand(not nets, "hidden_layer_sizes=()", f"Got {nets and nets[0]!r}.")
    others = [f for f in likelihoods if not isinstance(f, (Constant, Gaussian)) or getattr(f, "noise", "") == "row"]
    demand(not others, "a Gaussian likelihood whose noise does not depend on the row", f"Got {others and others[0]!r}.")
    normal = isinstance(posterior, FullCovariance) or (
        isinstance(posterior, MeanField) and isinstance(posterior.prior(), StandardNormal)
    )
    demand(normal, "posterior='diag' or 'full'", f"Got {posterior!r}.")
    demand(isinstance(prior, StandardNormal), "prior='normal'", f"Got {prior!r}.")
    plain = isinstance(objective, ELBO) and objective.beta == 1 and not objective.free_bits
    demand(plain, "objective='elbo' with beta=1 and no free bits", f"Got {objective!r}.")


def _check_generator(objective: Objective, likelihoods: Sequence[Family]) -> None:
    for family in likelihoods:
        if not family.reparameterized:
            raise ValueError(
                f"objective={objective!r} differentiates generated rows; draws of likelihood "
                f"{family!r} have no gradient. Use "
                "likelihood=Gaussian(background=0), or an objective that draws no rows, such as 'elbo' or 'aae'."
            )


@torch.no_grad()
def check_model(model: LatentVariableModel, posterior: Posterior | None, prior: Prior, objective: Objective) -> None:
    """Check that the codes of a new model can live where its prior does, and that a closed form is there if asked for.

    Raises
    ------
    ValueError
        The KL would be infinite, or has no closed form; the decoder has no slope of its own at a code.
    """
    if isinstance(objective, RAE) and objective.gradient_penalty:
        _check_slopes(model, objective)
    if posterior is None or not (posterior.has_density or objective.estimates_kl):
        return
    q, z = _probe(model, 0.0)
    p = model.prior(model.encode)
    pair = f"posterior={posterior!r} and prior={prior!r}"
    _check_kinds(q, p, prior, objective, pair)
    homes = [p]
    if isinstance(prior, VampPrior):  # other rows' posteriors have to cover this one's codes
        homes = [_probe(model, raw)[0] for raw in (-2.0, 2.0)]
    if not all(bool(home.support.check(z).all()) for home in homes):
        raise ValueError(
            f"{pair} do not go together: codes leave the support of the prior, where the KL is infinite. Leave "
            "prior='auto', or take a posterior that lives inside it, or posterior='point' with 'wae_mmd' or 'aae'."
        )
    of_codes = prior.codes if isinstance(prior, ProductPrior) else prior
    needs_variance = objective.estimates_kl or not isinstance(of_codes, (Standard, UniformPrior))
    if needs_variance and any(not part.event_shape and not part.variance.isfinite().all() for part in _parts(q)):
        raise ValueError(
            f"{pair} do not go together: codes without a variance have an infinite KL to normal tails, and no moments "
            "to report. Leave prior='auto', and not objective='avb'."
        )
    is_closed = has_closed_form(q, p)
    needs_log_q = not (is_closed and objective.takes_closed_form)
    if any(_are_discrete(q)) and objective.needs_density and objective.needs_pathwise and needs_log_q:
        raise ValueError(
            f"objective={objective!r} needs the density of a draw, which a relaxed code does not have: with {pair} use "
            "gradient='score_function', or ELBO(kl='analytic') with prior='auto'."
        )
    if objective.needs_closed_form and not is_closed:
        raise ValueError(
            f"{pair} have no KL in closed form, which objective={objective!r} needs. Use ELBO(kl='auto'), 'joint' or "
            "'monte_carlo', and free_bits with gradient='pathwise' only."
        )


def _check_slopes(model: LatentVariableModel, objective: RAE) -> None:
    """Refuse layers of the decoder under which the slopes at one code depend on the other rows of a batch."""
    for name, layer in model.decoder.named_modules(prefix="decoder"):
        if isinstance(layer, _BatchNorm):
            raise ValueError(
                f"The network has {layer!r} at {name!r}: what it decodes a code to depends on the batch, so there are "
                f"no slopes at a code, which objective={objective!r} penalises. Use LayerNorm, or "
                "RAE(gradient_penalty=0.0)."
            )


def _check_kinds(q: Distribution, p: Distribution, prior: Prior, objective: Objective, pair: str) -> None:
    """Refuse classes, shares and whole codes where the other side, or the objective, knows none."""
    if _are_discrete(q) != _are_discrete(p) and (isinstance(q, SideBySide) or not isinstance(prior, VampPrior)):
        raise ValueError(f"{pair} do not go together: one is discrete, the other not. Leave prior='auto'.")
    if isinstance(q, SideBySide) and isinstance(p, SideBySide) and q.sizes != p.sizes:
        raise ValueError(
            f"{pair} do not go together: the posterior has {q.sizes[0]} classes, the prior {p.sizes[0]}. Give the "
            "prior the 'n_classes' of the posterior, or leave prior='auto'."
        )
    is_bound = any(_are_discrete(q)) or q.support in MANIFOLDS
    if objective.estimates_kl and is_bound:
        raise ValueError(
            f"objective={objective!r} contrasts codes with normal ones; {pair} gives classes, shares or directions."
        )
    if objective.exchanges_components and is_bound:
        raise ValueError(
            f"objective={objective!r} puts together components from different rows, which are no code where {pair} "
            "gives classes, shares or directions. Leave it 'auto', or use 'diag' or 'full'."
        )
    if objective.needs_factors and q.event_shape:
        raise ValueError(
            f"objective={objective!r} compares the code with its single components, which {pair} do not "
            "give. Leave it 'auto', or use another posterior whose components are independent, e.g. 'laplace'."
        )
    for manifold, name in MANIFOLDS.items():
        pairs = zip(_parts(q), _parts(p), strict=True)
        if any((own.support is manifold) != (other.support is manifold) for own, other in pairs):
            raise ValueError(f"{pair} do not go together: one lives on {name}, the other not. Leave prior='auto'.")


def _are_discrete(p: Distribution) -> list[bool]:
    """Whether codes are one-hot, of each kind that there is."""
    return [isinstance(part, OneHots) for part in _parts(p)]


def _parts(p: Distribution) -> list[Distribution]:
    """The distribution of each kind of code."""
    return p.parts if isinstance(p, SideBySide) else [p]


def _probe(model: LatentVariableModel, raw: float) -> tuple[Distribution, Tensor]:
    """q for equal raw numbers, and draws of it."""
    generator = torch.Generator().manual_seed(0)
    q = model.posterior(torch.full((1, model.posterior.n_raw), raw))
    return q, model.posterior.push(q, torch.randn(_PROBES, 1, model.posterior.n_noise, generator=generator))
