"""Digests: equal for equal content, and for nothing else."""

import numpy as np
import torch

from skvae._utils import digests


def test_a_digest_tells_shapes_and_types_apart():
    """Zeros have the same bytes in all of them."""
    values = [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(6), np.zeros(6, np.int64), torch.zeros(12), [0.0] * 6]
    assert len({digests.digest(value) for value in values}) == len(values)
    assert digests.digest({"a": 1, "b": values[0]}) == digests.digest({"b": torch.zeros(2, 3).double(), "a": 1})
