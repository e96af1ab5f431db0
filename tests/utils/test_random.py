"""Global generators are left as they were, whatever happens inside; rows have draws of their own."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from skvae._utils.random import exclusive, isolated, row_choices, row_normals


@pytest.mark.parametrize("block", [lambda seed: isolated("cpu", seed), exclusive])
@pytest.mark.parametrize("seed", [0, "a seed", -1])
def test_a_block_that_fails_leaves_global_generators(block, seed):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises((TypeError, ValueError, RuntimeError)), block(seed):
        raise RuntimeError(torch.randn(3))
    assert torch.equal(torch.get_rng_state(), before)
    with isolated("cpu", 1):
        torch.randn(3)
    assert torch.equal(torch.get_rng_state(), before)


def splitmix64(key, counter):
    """Steele, Lea & Flood (2014), figure 16, in Python's ints."""
    word = (key + counter * 0x9E3779B97F4A7C15) % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = ((word ^ (word >> shift)) * factor) % 2**64
    return word ^ (word >> 31)


def test_draws_of_a_row_are_a_function_of_its_key():
    keys = [0, 3, 2**63 + 5, 2**64 - 1]
    u = row_normals(torch.tensor([key - 2**64 if key >> 63 else key for key in keys]), 5, 3)
    for b, key in enumerate(keys):
        for s in range(5):
            for k in range(3):
                word = splitmix64(key, 1 + s // 2 * 3 + k)
                radius = math.sqrt(-2 * math.log(((word >> 32) + 0.5) / 2**32))
                angle = 2 * math.pi * (word & 0xFFFFFFFF) / 2**32
                assert u[s, b, k].item() == pytest.approx(radius * (math.sin if s % 2 else math.cos)(angle), abs=1e-14)


def test_draws_of_rows_are_standard_normal_and_independent():
    keys = torch.from_numpy(np.random.default_rng(0).integers(-(2**63), 2**63, 2000))
    u = row_normals(keys, 51, 3)
    assert u.shape == (51, 2000, 3)
    torch.testing.assert_close(row_normals(keys, 10, 3), u[:10], rtol=0, atol=0)
    torch.testing.assert_close(row_normals(keys[[7, 3]], 51, 3), u[:, [7, 3]], rtol=0, atol=0)
    assert stats.kstest(u.flatten().numpy(), "norm").pvalue > 0.01
    n_pairs = 2000
    for draws in (u[:, :, 0].numpy(), u[0].T.numpy(), u[:2].transpose(1, 2).flatten(0, 1).numpy()):
        correlations = np.corrcoef(draws) - np.eye(len(draws))
        assert np.abs(correlations).max() < 5 / math.sqrt(n_pairs)  # of draws, of components, of both
        squares = np.corrcoef(draws**2) - np.eye(len(draws))
        assert np.abs(squares).max() < 5 / math.sqrt(n_pairs)
    assert len(np.unique(u[0, :, 0].numpy())) == 2000


def test_choices_of_rows_are_uniform():
    keys = torch.from_numpy(np.random.default_rng(1).integers(-(2**63), 2**63, 1000))
    chosen = row_choices(keys, 20, 7)
    assert chosen.shape == (20, 1000)
    assert stats.chisquare(torch.bincount(chosen.flatten(), minlength=7).numpy()).pvalue > 0.01
    assert torch.equal(row_choices(keys[[5]], 20, 7)[:, 0], chosen[:, 5])
    assert row_choices(keys, 0, 0).shape == (0, 1000)
