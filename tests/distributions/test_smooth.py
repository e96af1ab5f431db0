"""A clamp that leaves a gradient."""

import pytest
import torch

from skvae.distributions.smooth import BEND, soft_clamp

TYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", TYPES)
def test_inside_nothing_changes_and_outside_the_ends_hold(dtype):
    inside = torch.linspace(-20 + BEND + 1e-6, 3 - BEND - 1e-6, 1001, dtype=dtype)
    assert torch.equal(soft_clamp(inside, -20.0, 3.0), inside)
    far = torch.tensor([-1e30, -1e4, -100.0, -20.0, 3.0, 100.0, 1e4, 1e30], dtype=dtype)
    bent = soft_clamp(far, -20.0, 3.0)
    assert bent.min() >= -20 * (1 + 1e-6)
    assert bent.max() <= 3 * (1 + 1e-6)
    assert bool((bent.diff() >= 0).all())
    assert torch.equal(soft_clamp(far[4:], low=-20.0), far[4:])
    assert torch.equal(soft_clamp(far[:4], high=3.0), far[:4])


@pytest.mark.parametrize("dtype", TYPES)
def test_the_slope_is_nowhere_zero_and_the_derivative(dtype):
    x = torch.tensor([0.0, 2.5, 3.0, 5.0, 1e2, 1e4, 1e8, 1e18], dtype=dtype)
    for sign in (1, -1):
        at = (sign * x).requires_grad_()
        (slope,) = torch.autograd.grad(soft_clamp(at, -3.0, 3.0).sum(), at)
        expected = (BEND / (BEND + (x.double() - 3 + BEND).clamp(min=0))) ** 2
        torch.testing.assert_close(slope.double(), expected, rtol=1e-5, atol=0)
        assert bool((slope > 0).all())
    assert soft_clamp(torch.tensor(1e6, dtype=dtype), high=1.0).item() == pytest.approx(1.0, abs=1e-6)
    assert soft_clamp(torch.tensor(torch.inf, dtype=dtype), -1.0, 1.0).item() == pytest.approx(1.0)


@pytest.mark.parametrize("at", [0.0, 50.0], ids=["inside", "beyond"])
def test_without_gradients_a_parameter_gives_none(at):
    """As of every operation: where x is a parameter itself, what comes back is not."""
    x = torch.full((2,), at, requires_grad=True)
    with torch.no_grad():
        assert not soft_clamp(x, -20.0, 3.0).requires_grad
    assert soft_clamp(x, -20.0, 3.0).requires_grad
