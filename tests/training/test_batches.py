"""The rows that train, and an epoch's draw of them, cut into batches. Files are in `test_large.py`."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skvae import VAETransformer
from skvae._tables.canonical import canonical_rows
from skvae._training import batches
from skvae._training.batches import Batches, TrainingRows
from skvae._training.processes import ONE, Processes

X = np.random.default_rng(0).normal(size=(103, 3))
INCOMPLETE = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)


def rows_of(table, weight=None):
    columns = VAETransformer(2, max_iter=0, random_state=0).fit(table).fitted_.columns
    distinct, own = canonical_rows(table, weight)
    return TrainingRows(distinct, own, columns, "cpu")


def epoch(rows, batch_size=10, processes=ONE, seeds=(0, 0)):
    options = SimpleNamespace(batch_size=batch_size, processes=processes, history=[])
    return Batches(rows, options, seeds, [])


def catenated(parts):
    return torch.cat(list(parts))


@pytest.mark.parametrize(("n", "n_parts"), [(10, 3), (9, 3), (1, 1), (7, 7), (1000, 33)])
def test_cuts_are_those_of_numpy(n, n_parts):
    ends = np.cumsum([0, *map(len, np.array_split(np.arange(n), n_parts))])
    np.testing.assert_array_equal(batches._cuts(n, n_parts), ends)


@pytest.mark.parametrize("n_batches", [1, 3, 100])
def test_an_epoch_is_every_row_once_in_nearly_equal_batches(monkeypatch, n_batches):
    """However many batches are gathered at once, and in the same order."""
    rows = rows_of(X)
    whole = catenated(x for x, _, _ in epoch(rows))
    monkeypatch.setattr(batches, "_CELLS_PER_BLOCK", n_batches * 10 * 3)
    found = list(epoch(rows))
    assert [n_rows for _, _, n_rows in found] == [10] * 4 + [9] * 7  # 103 rows
    assert all(len(x) == n_rows and mask is None for x, mask, n_rows in found)
    assert torch.equal(catenated(x for x, _, _ in found), whole)
    assert torch.equal(whole.sort(0).values, rows.take(slice(None))[0].sort(0).values)


def test_large_tables_are_cast_as_they_are_drawn(monkeypatch):
    """And give the very rows and masks that a copy gives."""
    copied = rows_of(INCOMPLETE)
    monkeypatch.setattr(batches, "_CELLS_COPIED", 0)
    drawn = rows_of(INCOMPLETE)
    assert copied.copy is not None
    assert drawn.copy is None
    assert copied.log_jacobian == drawn.log_jacobian
    for ours, theirs in zip(epoch(copied), epoch(drawn), strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])


def test_processes_shard_every_batch():
    rows = rows_of(X)
    several = [Processes(SimpleNamespace(process_index=i, num_processes=2, device="cpu")) for i in (0, 1)]
    shards = [epoch(rows, processes=processes) for processes in several]
    for (whole, _, n), (first, _, n_first), (second, _, n_second) in zip(epoch(rows), *shards, strict=True):
        assert n == n_first == n_second
        assert torch.equal(torch.cat([first, second]), whole)


def test_weights_are_draws():
    """A row of weight 3 comes three times in an epoch, whose rows are as many as the weights say."""
    weight = np.ones(len(X))
    weight[:10] = 3
    drawn = catenated(x for x, _, _ in epoch(rows_of(X, weight)))
    counts = torch.unique(drawn, dim=0, return_counts=True)[1]
    assert len(drawn) == weight.sum()
    assert sorted(counts.tolist()) == sorted(weight.astype(int).tolist())


def test_batches_at_random_go_by_number_and_seed():
    first, second = epoch(rows_of(X)), epoch(rows_of(X))
    a, b = first.draw()[0], first.draw()[0]
    assert torch.equal(second.draw()[0], a)
    assert not torch.equal(a, b)
