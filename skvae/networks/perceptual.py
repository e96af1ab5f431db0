"""A reconstruction term in the space of features that the user gives, beside the likelihood."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .._utils.checks import NON_NEGATIVE
from .._utils.component import Component
from ..families.base import Family

__all__ = ["FeatureLoss"]


class FeatureLoss(Component):
    r"""Perceptual loss: the distance between rows and their reconstructions in a space of features.

    Training raises the objective with

    .. math:: \ln p(x | z) - \frac{\lambda}{F} \| \phi(x) - \phi(\hat x(z)) \|^2, \qquad \hat x(z) = E[x | z]

    in place of :math:`\ln p(x | z)`: errors that change the features count more than others. Scores never contain the
    term, but loss and reconstruction in `history_` do. Missing cells of x are replaced by those of :math:`\hat x`, and
    so make no difference.

    Parameters
    ----------
    features : torch.nn.Module or callable
        The map phi: rows (N, D) in data space to features (N, ...), F numbers each. A module is copied and frozen, in
        eval mode: it is not trained.
    weight : float, default=1.0
        The weight lambda: nats per unit of mean squared difference.

    See Also
    --------
    ConvNet : Networks for the same rows of pixels.
    VAETransformer : Takes it as ``feature_loss``.

    References
    ----------
    J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual Losses for Real-Time Style Transfer", ECCV 2016, eq. 2.
    X. Hou et al., "Deep Feature Consistent Variational Autoencoder", WACV 2017.

    Examples
    --------
    Edges as features:

    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from skvae import FeatureLoss, VAETransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> edges = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
    >>> loss = FeatureLoss(edges, weight=5.0)
    >>> VAETransformer(5, feature_loss=loss, max_iter=2, random_state=0).fit(X).transform(X).shape
    (1797, 5)
    """

    _parameter_constraints = {"features": [callable], "weight": [NON_NEGATIVE]}

    def __init__(self, features: nn.Module | Callable[[Tensor], Tensor], weight: float = 1.0) -> None:
        self.features = features
        self.weight = weight

    def check(self, families: Sequence[Family] = (), scaling: str | None = None) -> None:
        """Also that columns have a mean in data space which is differentiable in z."""
        super().check()
        if any(family.nominal for family in families):
            raise ValueError("feature_loss takes rows of numbers; X has columns of categories. Leave these out.")
        if scaling in ("power", "quantile"):
            raise ValueError(
                f"feature_loss needs reconstructions in data space, which scaling={scaling!r} gives by quadrature "
                "only. Use scaling='global' or 'standard'."
            )

    def build(self, shift: Sequence[float], scale: Sequence[float]) -> nn.Module:
        """Build the module for columns x = (X - shift) / scale, (D,) each."""
        return _FeatureDistance(self.features, float(self.weight), shift, scale)


class _FeatureDistance(nn.Module):
    """The weighted squared distance of rows and reconstructions in feature space, both mapped back to data space."""

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        features: nn.Module | Callable[[Tensor], Tensor],
        weight: float,
        shift: Sequence[float],
        scale: Sequence[float],
    ) -> None:
        super().__init__()
        self.features = copy.deepcopy(features).requires_grad_(False) if isinstance(features, nn.Module) else features
        self.weight = weight
        self.register_buffer("shift", torch.as_tensor(shift, dtype=torch.get_default_dtype()), persistent=False)
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.get_default_dtype()), persistent=False)
        self.eval()
        self._check_features(len(self.shift))

    def _check_features(self, n_columns: int) -> None:
        """Run the features on two rows, before a user's mistake shows up somewhere else."""
        try:
            shape = tuple(self.features(torch.zeros(2, n_columns)).shape)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"The 'features' of FeatureLoss fail on rows of {n_columns} columns: {error}") from error
        if len(shape) < 2 or shape[0] != 2:
            raise ValueError(f"The 'features' of FeatureLoss give shape {shape} for two rows; it must be (2, ...).")

    def train(self, mode: bool = True) -> "_FeatureDistance":
        """Stay in eval mode: running means and dropout of the user's module are not ours to move."""
        return super().train(False)

    def forward(self, x: Tensor, mask: Tensor | None, mean: Tensor) -> Tensor:
        """lambda mean_f (phi(x) - phi(mean))^2 for rows x, mask (B, D) and reconstructions mean (S, B, D): (S, B)."""
        x = x.expand_as(mean) if mask is None else torch.where(mask, x, mean)
        seen, given = (self.features((rows * self.scale + self.shift).flatten(0, 1)) for rows in (x, mean))
        return self.weight * (seen - given).flatten(1).square().mean(1).unflatten(0, mean.shape[:2])
