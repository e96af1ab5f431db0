"""The plan of a fit: every parameter is checked, and its part in a fit that goes on is decided."""

import numpy as np
import pytest

from skvae import VAETransformer
from skvae._fitting.plan import CONSTRAINTS, OPTIMIZATION, STRUCTURE, Plan

PARAMETERS = set(VAETransformer().get_params(deep=False))
#: What may change while a fitted model goes on.
MAY_CHANGE = {
    *("column_weights", "init", "learning_rate", "learning_rate_schedule", "batch_size", "max_iter", "max_steps"),
    *("early_stopping", "validation_fraction", "n_iter_no_change", "tol", "n_score_samples", "warm_start"),
    *("keep_optimizer", "device", "distributed", "precision", "compile", "callbacks", "checkpoint", "verbose"),
    *("on_interrupt", "random_state"),
}


def test_every_parameter_has_constraints_and_one_part_in_a_fit_that_goes_on():
    assert set(CONSTRAINTS) == PARAMETERS
    assert sorted([*STRUCTURE, *OPTIMIZATION, *MAY_CHANGE]) == sorted(PARAMETERS)


def plan_of(**parameters):
    return Plan.of(VAETransformer(**parameters).get_params(deep=False), "VAETransformer")


@pytest.mark.parametrize(
    ("shape", "size", "n_epochs"),
    [
        ((40, 8), 32, 300),
        ((1500, 16), 256, 300),
        ((1500, 17), 128, 300),
        ((10**6, 8), 512, 30),
        ((5 * 10**6, 8), 512, 6),
        ((2 * 10**7, 8), 512, 1),
        ((10**9, 8), 512, 1),
    ],
)
def test_auto_goes_by_the_size_of_the_table(shape, size, n_epochs):
    plan = plan_of()
    assert plan.batch_size(shape) == size
    assert plan.max_epochs(shape) == n_epochs
    for other in ({"early_stopping": False}, {"max_iter": 30}, {"objective": "ae"}):
        assert plan_of(**other).batch_size((1500, 16)) == 128
    assert plan_of(batch_size=7, max_iter=3).batch_size(shape) == 7
    assert plan_of(batch_size=7, max_iter=3).max_epochs(shape) == 3


@pytest.mark.parametrize(
    ("max_steps", "n_epochs"), [(None, 40), (400, 40), (399, 39), (25, 2), (10, 1), (1, 1)], ids=str
)
def test_steps_limit_epochs_to_whole_ones(max_steps, n_epochs):
    """Of 160 rows in batches of 16."""
    plan = plan_of(batch_size=16, max_iter=40, max_steps=max_steps)
    assert plan.max_epochs((160, 4)) == n_epochs
    assert plan_of(max_iter=0, max_steps=max_steps).max_epochs((160, 4)) == 0


def test_a_tenth_of_the_rows_is_held_out_and_of_many_rows_fewer():
    ones = np.broadcast_to(np.float32(1), (10**7,))  # as of a file
    assert plan_of().validation_fraction(ones[:150]) == 0.1
    assert plan_of().validation_fraction(ones) == pytest.approx(20_000 / 10**7)
    assert plan_of().validation_fraction(np.full(1000, 1000.0)) == plan_of().validation_fraction(ones[: 10**6])
    assert plan_of(validation_fraction=0.3).validation_fraction(ones) == 0.3


def test_few_rows_and_adversaries_hold_nothing_out():
    assert plan_of().held_out((99, 4)) == (False, 30)
    assert plan_of().held_out((100, 4)) == (True, 300)
    assert plan_of(early_stopping=True).held_out((20, 4)) == (True, 300)
    assert plan_of(objective="gan").held_out((1000, 4)) == (False, 300)


def test_a_plan_cannot_be_changed():
    with pytest.raises(AttributeError):
        plan_of().single_pass = True
