"""Everything that a fit has learned, as one frozen value: what methods, metrics, displays and export read.

A letter more than in the papers: the *output map* is the order and the signs in which latent codes leave the estimator.
Code k is ``signs[k]`` times component ``order[k]`` of the module.
"""

import copy
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.distributions import Distribution

from .._tables.columns import Columns
from .._tables.schema import Schema
from .._utils.arrays import as_tensor, torch_float
from ..components import Parts
from ..families import Family
from ..model import LatentVariableModel
from .code_density import as_normal_mixture
from .decoded import N_NODES, InDataSpace

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture  # takes a tenth of a second

__all__ = ["IMPORTANCE_STREAM", "IMPUTATION_STREAM", "SCORE_STREAM", "Fitted", "Learned", "fitted_of", "snapshot"]

#: Second keys of the generators of frozen noise.
SCORE_STREAM, IMPORTANCE_STREAM, IMPUTATION_STREAM = 1, 2, 3


def attribute(**options: Any) -> Any:
    """A field that is also an attribute of the estimator, with an underscore at its end."""
    return field(metadata={"is_attribute": True}, **options)


class Learned:
    """What an estimator holds by its one reference; its fields that are marked so are attributes of the estimator."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the estimator by name, without those that this fit does not have."""
        marked = [f.name for f in fields(self) if f.metadata.get("is_attribute")]  # type: ignore[arg-type]
        return {f"{name}_": getattr(self, name) for name in marked if getattr(self, name) is not None}


@dataclass(frozen=True, kw_only=True)
class Fitted(Learned):
    """A fitted model, its table and how it came about.

    Parameters
    ----------
    schema : Schema
        What the fitted table was.
    columns : Columns
        The way between its numbers and the model's.
    ordering : Columns
        Of all rows: by these a fit that goes on sorts them, so that it holds the same ones out.
    seed : int
        Of everything that is drawn.
    parts : Parts
        Components, with "auto" resolved.
    config : dict
        Arguments of `LatentVariableModel`.
    made_of : dict of str to str
        Parameters that cannot change while the fit goes on.
    device : str
    score_noise : Tensor (S, 1, n_noise)
        The frozen draws of scores.
    module_signs : list of float
        Signs of the components in the module's order, taken after initialisation.
    training_state : dict or None
        Weights that are trained, optimizers and number of steps; None once stored without them.
    n_features_in, ... : object
        The attributes of `VAETransformer` of that name, see there.
    """

    schema: Schema
    columns: Columns
    ordering: Columns
    seed: int
    parts: Parts
    config: dict[str, Any]
    made_of: dict[str, str]
    device: str
    score_noise: Tensor
    module_signs: list[float]
    training_state: dict[str, Any] | None
    n_features_in: int = attribute()
    feature_names_in: np.ndarray | None = attribute()
    module: LatentVariableModel = attribute()
    init: str = attribute()
    n_iter: int = attribute()
    best_iter: int = attribute()
    history: list[dict[str, Any]] = attribute()
    order: Any = attribute()
    signs: Any = attribute()
    kl_per_component: Any | None = attribute()
    noise_variance: Any = attribute()
    likelihoods: dict[Any, Family] = attribute()
    code_density: "GaussianMixture | None" = attribute()

    def module_in(self, dtype: torch.dtype) -> LatentVariableModel:
        """Give the module in a precision: float64 in, float64 inference."""
        return self.module if dtype == torch.float32 else copy.deepcopy(self.module).to(dtype)

    def inference_dtype(self, dtype: Any) -> torch.dtype:
        """Give the precision of inference for a table of this dtype."""
        return torch.float32 if self.device == "mps" else torch_float(dtype)

    def output_map(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """Order and signs as tensors beside `tensor`, of the width of z: a one-hot variable moves as a block."""
        order, signs = (as_tensor(a).to(tensor.device) for a in (self.order, self.signs))
        n_classes = self.module.width // self.module.n_components
        if n_classes > 1:
            order = (order[:, None] * n_classes + torch.arange(n_classes, device=order.device)).flatten()
            signs = signs.repeat_interleave(n_classes)
        return order, signs.to(tensor.dtype)

    def in_data_space(self, module: LatentVariableModel, z: Tensor) -> InDataSpace:
        """p(x given z) of codes z (S, B, K) in the module's own order, in data space."""
        return InDataSpace(module.decode(z), module.likelihood, self.columns)

    @property
    def n_nodes(self) -> int:
        """Values per cell behind a mean in data space."""
        return N_NODES if self.columns.maps else 1

    def code_prior(self, module: LatentVariableModel) -> Distribution:
        """Where latent codes are drawn from: the mixture fitted to the codes, or the prior."""
        if self.code_density is not None:
            return as_normal_mixture(self.code_density, next(module.parameters()))
        return module.prior(module.encode)


def fitted_of(estimator: Any) -> Fitted:
    """Give the fitted value of a VAETransformer, or raise scikit-learn's NotFittedError."""
    check_is_fitted(estimator)
    return estimator.fitted_


def snapshot(estimator: Any) -> Any:
    """Give an estimator with this one's parameters and fit, which a later `fit` of this one does not change."""
    check_is_fitted(estimator)
    return copy.copy(estimator)
