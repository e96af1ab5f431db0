"""Global generators are left as they were, whatever happens inside."""

import pytest
import torch

from skvae._utils.random import exclusive, isolated


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
