"""Everything that a fit has learned, as one frozen value: what methods, metrics, displays and export read.

A letter more than in the papers: the *output map* is the order and the signs in which latent codes leave the estimator.
Code k is ``signs[k]`` times component ``order[k]`` of the module.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.distributions import Distribution

from .._tables.calibration import Calibration
from .._tables.columns import Columns
from .._tables.missingness import Missingness
from .._tables.schema import Schema
from .._utils.arrays import as_tensor, torch_float
from ..components import Parts
from ..distributions import reordered
from ..distributions.spherical import MANIFOLDS
from ..families import Family, Gaussian
from ..families.discrete import Constant
from ..model import LatentVariableModel
from ..priors import StandardNormal
from .decoded import N_NODES, InDataSpace
from .precision import kept_in_precision

__all__ = [
    "ATTRIBUTE",
    "FARTHEST_CODE",
    "IMPORTANCE_STREAM",
    "IMPUTATION_STREAM",
    "MARGIN_STREAM",
    "MISSING_STREAM",
    "OPTIMIZATION",
    "PRIOR_STREAM",
    "REFERENCE",
    "SCORE_STREAM",
    "STRUCTURE",
    "VALIDATED",
    "Fitted",
    "HoldsFit",
    "Interrupted",
    "Learned",
    "adopt",
    "adopting_what_is_kept",
    "earlier_fit",
    "fitted_of",
    "inference_dtype",
    "learned_of",
    "snapshot",
    "working_copy",
]

#: Second keys of the generators of frozen noise.
SCORE_STREAM, IMPORTANCE_STREAM, IMPUTATION_STREAM, PRIOR_STREAM, MARGIN_STREAM, MISSING_STREAM = 1, 2, 3, 4, 5, 6

#: The largest absolute value of codes that are decoded: rows at the farthest that a cell can be have such codes.
FARTHEST_CODE = 1e15

#: The instance attribute that holds everything fitted.
REFERENCE = "_learned"
#: Attributes that scikit-learn's validation sets on an estimator.
VALIDATED = ("n_features_in_", "feature_names_in_")
#: Metadata of a field that is also an attribute of the estimator, with an underscore at its end.
ATTRIBUTE = {"is_attribute": True}
#: Of such a field that is an array of the library of X, under Array API dispatch.
ARRAY = {"is_attribute": True, "is_like_X": True}


#: Parameters that cannot change while a fit continues; the second while it has its optimizer's state.
STRUCTURE = (
    "n_components",
    "hidden_layer_sizes",
    "activation",
    "dropout",
    "encoder",
    "decoder",
    "categorical_features",
    "conditions",
    "likelihood",
    "bounds",
    "scaling",
    "feature_loss",
    "posterior",
    "prior",
    "objective",
)
OPTIMIZATION = ("optimizer", "schedule", "weight_decay")


class Learned:
    """What an estimator holds by its one reference; fields marked `ATTRIBUTE` are attributes of the estimator."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the estimator by name, without those that this fit does not have."""
        marked = _marked(type(self))  # type: ignore[arg-type]  # mypy takes no class for hashable
        return {name: getattr(self, marked[name]) for name in marked if getattr(self, marked[name]) is not None}

    def attribute(self, name: str) -> Any:
        """One attribute of the estimator; None where there is none of that name."""
        marked = _marked(type(self))  # type: ignore[arg-type]
        return getattr(self, marked[name]) if name in marked else None


@cache
def _marked(kind: Any) -> dict[str, str]:
    """The attributes of the estimator by name, in the order of the fields of a class -> the field."""
    return {f"{f.name}_": f.name for f in fields(kind) if f.metadata.get("is_attribute")}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Fitted(Learned):
    """A fitted model, what is known of its table, and how it was fitted.

    Parameters
    ----------
    schema : Schema
        Kinds, levels and dtypes of the fitted table.
    columns : Columns
        The map between data space and model space.
    ordering : Columns
        Columns scaled by all rows. A fit that continues sorts by these, and so holds the same rows out.
    seed : int
        Seed of all random numbers.
    config : dict
        Arguments of `LatentVariableModel`: its components, with "auto" resolved, and sizes.
    made_of : dict of str to str
        Parameters that cannot change while the fit continues.
    device : str
        Where the module computes, as torch names it.
    score_noise : Tensor (S, 1, n_noise)
        The frozen draws of scores.
    module_signs : list of float
        Signs of the components in the module's order, taken after initialisation.
    training_state : dict or None
        Trained weights, optimizers and number of steps; None once stored without them.
    prior_is_fitted : bool
        Whether the prior was fitted to the codes after the training, which went on under N(0, I).
    combinations : ndarray (m, G + 1) or None
        Conditions of fitted rows, in data space, and in the last column how often each of these combinations comes: at
        most 10 000, which `sample` draws from. None without conditions.
    calibration : Calibration or None
        The margins of the table and of made rows, between which `sample` maps; None for linear models.
    missingness : Missingness or None
        Which cells of made rows `sample` leaves out on request; None of a table without missing cells.
    mean_code : ndarray (n_codes,) or None
        The mean of the codes of fitted rows, in the module's own order; None without an encoder.
    n_features_in, ... : object
        The attributes of `VAETransformer` of that name.
    """

    schema: Schema
    columns: Columns
    ordering: Columns
    seed: int
    config: dict[str, Any]
    made_of: dict[str, str]
    device: str
    score_noise: Tensor
    module_signs: list[float]
    training_state: dict[str, Any] | None
    prior_is_fitted: bool
    combinations: np.ndarray | None = None
    calibration: Calibration | None = None
    missingness: Missingness | None = None
    mean_code: np.ndarray | None = None
    n_features_in: int = field(metadata=ATTRIBUTE)
    feature_names_in: np.ndarray | None = field(metadata=ATTRIBUTE)
    module: LatentVariableModel = field(metadata=ATTRIBUTE)
    init: str = field(metadata=ATTRIBUTE)
    n_iter: int = field(metadata=ATTRIBUTE)
    best_iter: int = field(metadata=ATTRIBUTE)
    history: list[dict[str, Any]] = field(metadata=ATTRIBUTE)
    order: Any = field(metadata=ARRAY)
    signs: Any = field(metadata=ARRAY)
    kl_per_component: Any | None = field(metadata=ARRAY)
    noise_variance: Any = field(metadata=ARRAY)
    likelihoods: dict[Any, Family] = field(metadata=ATTRIBUTE)

    def __repr__(self) -> str:
        return f"<Fitted: {self.n_features_in} columns, {self.module.n_components} components, {self.n_iter} epochs>"

    @property
    def parts(self) -> Parts:
        """Posterior, prior and objective of the fitted model."""
        return Parts(*(self.config[f.name] for f in fields(Parts)))

    def lacks(self, what: str) -> str | None:
        """Say what `Parts.lacks` says; a mixture that the fit has put in place of N(0, I) is a density, not groups."""
        if what == "groups" and self.prior_is_fitted:
            return (
                f"prior='auto' has fitted {self.parts.prior!r} to the codes as a density, whose members need not be "
                "groups: fit with prior='mixture', or take prior_responsibilities."
            )
        return self.parts.lacks(what, self.module.n_components)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the estimator by name; `fitted_` is the whole value, and `prior_` is made for the occasion."""
        return {"fitted_": self, "prior_": self.prior, "n_components_": self.module.n_components, **super().attributes}

    def attribute(self, name: str) -> Any:
        """One attribute of the estimator; None where there is none of that name."""
        if name == "prior_":
            return self.prior
        if name == "n_components_":
            return self.module.n_components
        return self if name == "fitted_" else super().attribute(name)

    @property
    def off_the_line(self) -> str | None:
        """Say why one component cannot move while the others stay; None where it can."""
        posterior, prior = self.parts.posterior, self.module.prior(self.module.encode)
        if self.module.width != self.module.n_components:
            return f"posterior={posterior!r} has classes, which do not lie on a line"
        if prior.support in MANIFOLDS:
            return f"codes of posterior={posterior!r} lie on {MANIFOLDS[prior.support]}, where none moves by itself"
        return None

    @property
    def not_linear(self) -> str | None:
        """Say what makes the model another than linear and Gaussian; None where p(x) is one normal."""
        if self.module.decoder.net is not None and self.best_iter > 0:  # until it is trained its net gives zeros
            return "hidden layers that are trained"
        if not isinstance(self.parts.prior, StandardNormal):
            return f"the prior {self.parts.prior!r}"
        if self.columns.given:
            return "conditions"
        if maps := self.columns.maps:
            return f"columns under a scaling that is not affine: {[self.columns.label(d) for d in maps]}"
        others = {repr(family) for family in self.columns.families if not _is_plain(family)}
        return f"columns under {', '.join(sorted(others))}" if others else None

    @property
    def center(self) -> np.ndarray:
        """The mean of the codes of fitted rows, (n_codes,), in the order of `transform`; without an encoder 0."""
        own = (
            torch.zeros(self.module.width, dtype=torch.float64)
            if self.mean_code is None
            else torch.from_numpy(self.mean_code)
        )
        order, signs = self.output_map(own)
        return (own[order] * signs).numpy()

    def module_in(self, dtype: torch.dtype) -> LatentVariableModel:
        """Give the module in a precision, where it is in another as a kept copy that nobody may write into."""
        return kept_in_precision(self.module, dtype)

    def inference_dtype(self, dtype: Any) -> torch.dtype:
        """Give the precision of inference for a table of this dtype."""
        return inference_dtype(self.device, dtype)

    def output_map(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """Order and signs as tensors like `tensor`, of the width of z: a one-hot variable moves as a block."""
        order, signs = (as_tensor(a).to(tensor.device) for a in (self.order, self.signs))
        if self.module.width > self.module.n_components:
            widths = torch.tensor(self.module.widths, device=order.device)
            blocks = torch.arange(self.module.width, device=order.device).split(self.module.widths)
            signs = signs.repeat_interleave(widths[order])
            order = torch.cat([blocks[k] for k in order.tolist()])
        return order, signs.to(tensor.dtype)

    def own_codes(self, Z: Any) -> tuple[LatentVariableModel, Tensor]:
        """Give the module in the precision of codes Z, and these in the module's own order, (n, K)."""
        dtype = self.inference_dtype(Z.dtype)
        z = as_tensor(Z).to(self.device, dtype).clamp(-FARTHEST_CODE, FARTHEST_CODE)
        order, signs = self.output_map(z)
        ordered = torch.empty_like(z)
        ordered[:, order] = z * signs
        return self.module_in(dtype), ordered

    @property
    def usual_conditions(self) -> np.ndarray | None:
        """The conditions (1, G), in data space, that most of the fitted rows have; None without conditions."""
        if self.combinations is None:
            return None
        return self.combinations[[int(self.combinations[:, -1].argmax())], :-1]

    def in_data_space(self, module: LatentVariableModel, z: Tensor, given: Tensor | None = None) -> InDataSpace:
        """Give p(x given z) of codes z (S, B, K) in the module's own order, and given cells (B, G), in data space."""
        return InDataSpace(module.decode(z, given), module.likelihood, self.columns)

    @property
    def n_nodes(self) -> int:
        """Number of quadrature nodes per cell of a mean in data space."""
        return N_NODES if self.columns.maps else 1

    @property
    def prior(self) -> Distribution:
        """The distribution of latent codes in the order and with the signs of `transform`, in float64."""
        module = copy.deepcopy(self.module).cpu().double()
        with torch.no_grad():
            return reordered(module.prior(module.encode), *self.output_map(torch.zeros(0, dtype=torch.float64)))


def _is_plain(family: Family) -> bool:
    return type(family) is Constant or (type(family) is Gaussian and family.noise != "row")


def inference_dtype(device: str, dtype: Any) -> torch.dtype:
    """Give the precision of inference on a device: "mps" has no float64."""
    return torch.float32 if device == "mps" else torch_float(dtype)


class HoldsFit:
    """An estimator that holds everything fitted by one reference.

    A reader in another thread sees one fit or the next, never a mixture, and an interrupt leaves one of them whole.
    Attributes of the fit are read through the reference and cannot be set; scikit-learn's validation may still set some
    on a working copy.
    """

    def __getattr__(self, name: str) -> Any:
        learned = learned_of(self)
        value = None if learned is None or name.startswith("_") else learned.attribute(name)
        if value is not None:
            return value
        return super().__getattribute__(name)  # once more, for its error: that of a hidden method gives the reason

    def __setattr__(self, name: str, value: Any) -> None:
        learned = learned_of(self)
        if name.endswith("_") and name not in VALIDATED and learned is not None and learned.attribute(name) is not None:
            raise AttributeError(
                f"{name} belongs to the fit of this {type(self).__name__} and cannot be set. Fit anew."
            )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in VALIDATED and name not in vars(self):
            return  # scikit-learn's validation forgets the names of an earlier fit; that fit keeps its own
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        learned = learned_of(self)
        names = [] if learned is None else learned.attributes
        return sorted({*super().__dir__(), *names})

    def __copy__(self) -> Any:
        """Share everything fitted; `copy.copy` would go through `__getstate__` and rebuild the module."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __sklearn_is_fitted__(self) -> bool:
        return earlier_fit(self) is not None  # `fit_statistics` alone fits nothing


def learned_of(estimator: Any) -> Learned | None:
    """Give what an estimator has learned, if anything."""
    return vars(estimator).get(REFERENCE)


def earlier_fit(estimator: Any) -> Fitted | None:
    """Give the fit that a new call may continue, if there is one."""
    learned = learned_of(estimator)
    return learned if isinstance(learned, Fitted) else None


def adopt(estimator: Any, learned: Learned) -> Any:
    """Give an estimator a new fit, in one step; whatever an earlier one knew is gone with it.

    Instance attributes that would hide the fit's go first, such as those that a subclass's own validation has set.
    """
    for name in learned.attributes:
        vars(estimator).pop(name, None)
    setattr(estimator, REFERENCE, learned)
    return estimator


class Interrupted(KeyboardInterrupt):
    """A KeyboardInterrupt that brings the fit that the epochs before it have come to."""

    def __init__(self, fitted: Fitted) -> None:
        super().__init__(f"fit was interrupted after {fitted.n_iter} epochs; the best state so far is kept.")
        self.fitted = fitted


@contextmanager
def adopting_what_is_kept(estimator: Any) -> Iterator[None]:
    """Give an estimator the fit that an interrupt inside the block brings, and let the interrupt go on."""
    try:
        yield
    except Interrupted as interrupt:
        adopt(estimator, interrupt.fitted)
        raise


def working_copy(estimator: Any, earlier: Learned | None) -> Any:
    """Give a shallow copy with an earlier fit, into which scikit-learn's validation may write."""
    twin = copy.copy(estimator)
    vars(twin).pop(REFERENCE, None)
    return twin if earlier is None else adopt(twin, earlier)


def fitted_of(estimator: Any) -> Fitted:
    """Give the fitted value of an estimator, or raise scikit-learn's NotFittedError."""
    fitted = earlier_fit(estimator)
    if fitted is None:
        check_is_fitted(estimator)  # raises
    return cast(Fitted, fitted)


def snapshot(estimator: Any) -> Any:
    """Give an estimator with this one's parameters and fit, which a later `fit` of this one does not change."""
    twin = copy.copy(estimator)
    check_is_fitted(twin)
    return twin
