"""Maximum mean discrepancy between two sets of codes (Gretton et al. 2012; Tolstikhin et al. 2018, algorithm 2)."""

import torch

__all__ = ["KERNELS", "mmd"]

_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # the mean over them, as in the code of Tolstikhin et al.


def imq(squared_distance, width):
    """Inverse multiquadratic kernel C / (C + |a - b|^2), mean over C = 2 width scale."""
    return sum(2 * width * c / (2 * width * c + squared_distance) for c in _SCALES) / len(_SCALES)


def rbf(squared_distance, width):
    """Gaussian kernel exp(-|a - b|^2 / C), mean over C = 2 width scale."""
    return sum(torch.exp(-squared_distance / (2 * width * c)) for c in _SCALES) / len(_SCALES)


KERNELS = {"imq": imq, "rbf": rbf}


def mmd(a, b, kernel="imq"):
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
    >>> bool(mmd(a, a.flip(0)).mean().abs() < 0.01 < mmd(a, a + 1).mean())
    True
    """
    k = lambda a, b: KERNELS[kernel](_squared_distances(a, b), a.shape[1])  # noqa: E731
    B = len(a)
    within = sum((k(c, c).sum(1) - 1) / max(B - 1, 1) for c in (a, b))  # k(c_i, c_i) = 1
    across = k(a, b)
    return within - across.mean(1) - across.mean(0)


def _squared_distances(a, b):
    # Without a square root, whose gradient at equal codes is not finite.
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0.0)
