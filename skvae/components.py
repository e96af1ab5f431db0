"""Short names become components here, and nowhere else; so does "auto", where one component calls for another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sklearn.base import clone

from .families import LIKELIHOODS, Family
from .objectives import OBJECTIVES, Objective
from .posteriors import POSTERIORS, CategoricalPosterior, Point, Posterior, Product
from .priors import PRIORS, NormalMixture, Prior, StandardNormal, UniformPrior, VampPrior
from .schedules import SCHEDULES, Schedule

__all__ = ["COMPONENTS", "Parts", "component"]

#: Parameter -> (short names, base class).
COMPONENTS: dict[str, tuple[Mapping[str, Callable[[], Any]], type]] = {
    "likelihood": (LIKELIHOODS, Family),
    "posterior": (POSTERIORS, Posterior),
    "prior": (PRIORS, Prior),
    "objective": (OBJECTIVES, Objective),
    "schedule": (SCHEDULES, Schedule),
}


def component(name: str, value: Any, of: str = "") -> Any:
    """Give a new instance of the component behind a parameter, so that nothing fitted changes with it; "auto" stays.

    Raises
    ------
    ValueError
        A value that is neither a short name nor an instance of the base class.
    """
    short_names, base = COMPONENTS[name]
    if isinstance(value, base):
        return clone(value)
    if isinstance(value, str) and value == "auto":
        return value
    if name == "likelihood" and isinstance(value, list):
        return [(component(name, family, f" for columns {key!r}"), key) for family, key in _pairs(value)]
    if not isinstance(value, str) or value not in short_names:
        known = f"one of {sorted(short_names)} or an instance of {base.__name__}"
        raise ValueError(f"The {name!r} parameter of VAETransformer{of} must be {known}. Got {value!r} instead.")
    return short_names[value]()


def _pairs(likelihood: list) -> list:
    """The entries of a list of likelihoods, each a pair."""
    for entry in likelihood:
        if not (isinstance(entry, tuple) and len(entry) == 2):
            must = "must be pairs (likelihood, columns), e.g. [('poisson', ['visits']), (Gaussian(), [0, 3])]"
            raise ValueError(f"The entries of the 'likelihood' list {must}. Got {entry!r} instead.")
    return likelihood


@dataclass(frozen=True)
class Parts:
    """What a model is made of and trained for: posterior (None without an encoder), prior and objective."""

    posterior: Posterior | None
    prior: Prior
    objective: Objective

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Parts":
        """Resolve parameters: the objective names its posterior, and the posterior its prior."""
        posterior, prior, objective = (component(f.name, parameters[f.name]) for f in fields(cls))
        if posterior == "auto":
            posterior = None if objective.posterior is None else POSTERIORS[objective.posterior]()
            if isinstance(posterior, Point) and isinstance(prior, UniformPrior):
                posterior = Point(prior.low, prior.high)
        if prior == "auto":
            prior = posterior.prior() if posterior else StandardNormal()
        return cls(posterior, prior, objective)

    def lacks(self, what: str, n_components: int = 1) -> str | None:
        """Say why a model of these parts has no "codes", "score", "mixture" or "groups"; None where it has.

        Groups are what a user has asked for: members of a mixture, or the classes of one variable.
        """
        if what == "codes" and self.objective.posterior is None:
            return f"objective={self.objective!r} trains a generator without an encoder: use sample and decode."
        if what == "score" and not (self.posterior and self.posterior.has_density):
            return (
                f"posterior={self.posterior!r} has no density, so there is no evidence lower bound. To select models, "
                "use scoring=skvae.metrics.neg_reconstruction_error."
            )
        if what == "mixture" and not isinstance(self.prior, (NormalMixture, VampPrior)):
            return f"prior={self.prior!r} has no members: use prior='mixture' or 'vamp'."
        return self._lacks_groups(n_components) if what == "groups" else None

    def _lacks_groups(self, n_components: int) -> str | None:
        if isinstance(self.posterior, CategoricalPosterior):
            if n_components == 1:
                return None
            return (
                f"{n_components} categorical variables part the rows in as many ways: use n_components=1, or "
                "transform, which gives the class probabilities of each."
            )
        if isinstance(self.posterior, Product) or isinstance(self.prior, (NormalMixture, VampPrior)):
            return None
        return (
            f"prior={self.prior!r} has no members and posterior={self.posterior!r} no classes that could be groups: "
            "use prior='mixture' or, with n_components=1, posterior='categorical'."
        )
