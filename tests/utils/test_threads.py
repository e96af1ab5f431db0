"""Threads are limited by the work at hand and given back."""

import pytest
import skorch.callbacks
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from skvae import VAETransformer
from skvae._utils.threads import limited_threads


def test_threads_are_capped_inside_fit_and_restored(cancer):
    seen = []

    class Look(skorch.callbacks.Callback):
        def on_epoch_begin(self, net, **kwargs):
            seen.append([pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"])

    before = [pool["num_threads"] for pool in threadpool_info()]
    VAETransformer(3, max_iter=5, callbacks=[Look()], random_state=0).fit(cancer)
    assert seen
    assert all(n == 1 for counts in seen for n in counts)
    assert [pool["num_threads"] for pool in threadpool_info()] == before


@pytest.mark.parametrize(
    ("work", "allowed", "expected"), [(0, 3, 1), (1.9e9, 3, 1), (2e9, 3, 2), (1e12, 3, 3), (1e12, 1, 1)]
)
def test_threads_follow_the_work_and_never_exceed_the_callers(work, allowed, expected):
    with threadpool_limits(allowed, user_api="openmp"):
        with limited_threads(work):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == allowed
