"""The start of a code of classes: clusters of the linear codes, and the directions inside them.

    x = mu_c + W z + e,   c ~ Categorical(pi),   z ~ N(0, I),   e ~ N(0, diag(psi))

The classes are found among codes of ten directions, the directions W among the rows about the means of their classes.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.linalg

from .._tables.columns import Columns
from .._tables.selection import RowSelection, blocks
from ..distributions.normal_mixtures import best_normals
from ..model import LatentVariableModel
from ..posteriors.base import HeadInit
from ..posteriors.product import ProductHead
from .encoder import write_encoder
from .indicators import Varying
from .linear_gaussian import SecondMoments, all_directions, probabilistic_pca

__all__ = ["has_classes", "write_classes"]

_CLUSTERED, _MOST_CLUSTERED = 10, 2000  # directions, and rows, in which classes are looked for


def has_classes(model: LatentVariableModel) -> bool:
    """Whether the code is one class, alone or with others beside it."""
    return model.n_components == 1 or isinstance(model.posterior, ProductHead)


def write_classes(
    model: LatentVariableModel,
    columns: Columns,
    centred: RowSelection,
    weight: np.ndarray,
    mean: np.ndarray,
    unit: np.ndarray,
    seed: int,
) -> None:
    """Put linear discriminants of clusters of the linear codes into the encoder, as the logits of classes.

    With members N(mu_c, S) of weights pi_c over codes t, they are mu_c' S^-1 t + ln pi_c - mu_c' S^-1 mu_c / 2. Codes
    beside the class are those of the rows about the means of their classes.
    """
    varying = Varying(columns)
    second = SecondMoments(varying.of(centred).mapped(np.nan_to_num), weight)
    every = all_directions(second, _CLUSTERED, varying.tied_noise)
    solution = varying.placed(every or probabilistic_pca(second, _CLUSTERED, varying.tied_noise, seed))
    projection, covariance = solution.posterior()
    if not len(projection):
        return
    few, head, n_classes = slice(_MOST_CLUSTERED), model.posterior, model.widths[0]
    codes = np.nan_to_num(centred.take(few)) @ projection.T
    normals = best_normals(codes, weight[few], n_classes, "full", seed)
    again = np.arange(n_classes) % len(normals.weights)  # fewer codes than classes: some stand twice
    means, shares = normals.means[again], normals.weights[again]
    within = np.einsum("m,mij,mkj->ik", normals.weights, normals.factors, normals.factors)
    slopes = np.linalg.solve(within, means.T).T
    constants = np.log(shares) - 0.5 * np.sum(slopes * means, axis=1)
    K = len(projection)
    if isinstance(head, ProductHead):
        logits = slopes @ projection, constants
        inside = _directions_inside(varying, centred, weight, logits, model.n_components - 1, seed)
        projection = np.concatenate([projection, inside[0]])
        covariance = scipy.linalg.block_diag(covariance, inside[1])

    def start(mean: np.ndarray, projection: np.ndarray, covariance: np.ndarray) -> HeadInit:
        weight, bias = slopes @ projection[:K], slopes @ mean[:K] + constants
        if isinstance(head, ProductHead):
            of_codes = head.codes.start(mean[K:], projection[K:], covariance[K:, K:])
            weight, bias = np.concatenate([weight, of_codes[0]]), np.concatenate([bias, of_codes[1]])
        return weight, bias, np.zeros((1, model.width)), np.zeros(1)  # the decoder is regressed on the codes

    write_encoder(model, columns, projection / unit, covariance, mean, start)


def _directions_inside(
    varying: Varying,
    centred: RowSelection,
    weight: np.ndarray,
    logits: tuple[np.ndarray, np.ndarray],
    n_codes: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Projection (K, D') and covariance (K, K) of codes inside the classes that linear logits tell apart.

    The means of classes count as loadings, too, so that the codes do not say the class.
    """
    slopes, constants = logits
    members, sums = np.zeros(len(constants)), np.zeros(slopes.shape)

    def classes(rows: Any) -> np.ndarray:
        return np.argmax(np.nan_to_num(rows) @ slopes.T + constants, axis=1)

    for rows, block in blocks(centred):
        own = np.eye(len(constants))[classes(block)] * weight[rows, None]
        members += own.sum(0)
        sums += own.T @ np.nan_to_num(block)
    means = sums / np.maximum(members, 1e-300)[:, None]
    left = centred.mapped(lambda rows: np.nan_to_num(rows - means[classes(rows)]))
    second = SecondMoments(varying.of(left), weight)
    solution = varying.placed(probabilistic_pca(second, n_codes, varying.tied_noise, seed))
    solution = solution.rotated().padded(n_codes)
    between = (means * np.sqrt(members / members.sum())[:, None]).T
    projection, covariance = replace(solution, loadings=np.concatenate([solution.loadings, between], 1)).posterior()
    return projection[:n_codes], covariance[:n_codes, :n_codes]
