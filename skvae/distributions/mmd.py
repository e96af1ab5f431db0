"""Maximum mean discrepancy between two sets of codes (Gretton et al. 2012; Tolstikhin et al. 2018, algorithm 2)."""

import torch
from torch import Tensor

__all__ = ["KERNELS", "mmd"]

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # the mean over them, as in the code of Tolstikhin et al.


def imq(squared_distance: Tensor, width: float) -> Tensor:
    """Inverse multiquadratic kernel C / (C + |a - b|^2), mean over C = 2 width scale."""
    kernels = [2 * width * c / (2 * width * c + squared_distance) for c in _SCALES]
    return sum(kernels[1:], kernels[0]) / len(_SCALES)


def rbf(squared_distance: Tensor, width: float) -> Tensor:
    """Gaussian kernel exp(-|a - b|^2 / C), mean over C = 2 width scale."""
    kernels = [torch.exp(-squared_distance / (2 * width * c)) for c in _SCALES]
    return sum(kernels[1:], kernels[0]) / len(_SCALES)


KERNELS = {"imq": imq, "rbf": rbf}


def mmd(a: Tensor, b: Tensor, kernel: str = "imq") -> Tensor:
    r"""Contributions (B,) of the rows to the unbiased estimate of the squared MMD, which is their mean.

    .. math:: \frac{1}{B (B - 1)} \sum_{i \ne j} [k(a_i, a_j) + k(b_i, b_j)] - \frac{2}{B^2} \sum_{i, j} k(a_i, b_j)

    Parameters
    ----------
    a, b : Tensor (B, K)
    kernel : {"imq", "rbf"}

    Examples
    --------
    >>> import torch
    >>> a = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    >>> mmd(a, a.flip(0)).mean(), mmd(a, a + 1).mean()
    (tensor(-0.0017), tensor(0.1303))
    """

    def k(a: Tensor, b: Tensor) -> Tensor:
        return KERNELS[kernel](_squared_distances(a, b), a.shape[1])

    B = len(a)
    within = sum((k(c, c).sum(1) - 1) / max(B - 1, 1) for c in (a, b))  # k(c_i, c_i) = 1
    across = k(a, b)
    return within - across.mean(1) - across.mean(0)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    # Without a square root, whose gradient at equal codes is not finite.
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0.0)
