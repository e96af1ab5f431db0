"""The best state on held-out rows: kept, restored, and preferred to the start only where that is sure."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_loop import FAST, assert_same

from skvae import ELBO, Gaussian, VAETransformer
from skvae._training.early_stopping import Best, BestState


def test_the_kept_state_is_the_best_of_the_history(cancer):
    vae = VAETransformer(5, random_state=0, max_iter=30).fit(cancer)
    losses = [record["valid_loss"] for record in vae.history_]
    assert [record["epoch"] for record in vae.history_] == list(range(vae.n_iter_ + 1))
    assert vae.best_iter_ == int(np.argmin(losses))


def test_the_best_state_is_restored(cancer):
    settings = {"init": "pca", "learning_rate": 0.01, "n_iter_no_change": 5, "random_state": 0}
    train, valid = cancer[:200], cancer[200:]
    vae = VAETransformer(5, **settings).fit(train, X_val=valid)
    assert 0 < vae.best_iter_ < vae.n_iter_
    assert_same(vae, VAETransformer(5, max_iter=vae.best_iter_, **settings).fit(train, X_val=valid))


def test_patience_and_tol(cancer):
    """Gains of less than tol add up: 0.4, 0.9 and 1.4 nats are one gain of more than one nat, in the third epoch."""
    vae = VAETransformer(3, n_iter_no_change=3, tol=1e9, random_state=0).fit(cancer)
    losses = [record["valid_loss"] for record in vae.history_]
    assert (vae.n_iter_, vae.best_iter_) == (3, int(np.argmin(losses)))
    keeper = BestState(2, 1.0, ELBO(), keeps_start=False)
    net = SimpleNamespace(averaged_=torch.nn.Linear(1, 1), monitored=None)
    since = []
    for epoch, value in enumerate([5.0, 4.6, 4.1, 3.6, 3.7, 3.5]):
        keeper.offer(net, epoch, {"valid_loss": value})
        since.append((keeper.best.epoch, keeper.best.since))
    assert since == [(0, 0), (1, 0), (2, 0), (3, 3), (3, 3), (5, 3)]


def test_patience_counts_after_the_warm_up(cancer):
    class WarmingUp(ELBO):
        warm_up = 7

    vae = VAETransformer(3, n_iter_no_change=3, tol=1e9, objective=WarmingUp(), random_state=0).fit(cancer)
    assert vae.n_iter_ == 10


def test_without_a_monitor_the_last_state_is_kept(cancer):
    class Blind(ELBO):
        monitor = None

    vae = VAETransformer(**FAST, objective=Blind()).fit(cancer)
    assert vae.n_iter_ == vae.best_iter_ == 5


@pytest.mark.parametrize(("factor", "expected"), [(0.95, False), (1.05, True), (-3.0, False)])
def test_an_initialisation_is_given_up_only_beyond_one_standard_error(factor, expected):
    """Against the formula for weighted rows, sum w (d - m)^2 under squared shares."""
    rng = np.random.default_rng(0)
    weight, noise = rng.integers(1, 4, 30).astype(float), rng.normal(size=30)
    share = weight / weight.sum()
    noise -= share @ noise
    gain = noise + factor * np.sqrt(share**2 @ noise**2)
    keeper = BestState(patience=5, tol=0.0, objective=ELBO(), keeps_start=True)
    keeper.valid_rows = SimpleNamespace(weight=weight)
    keeper.first, keeper.best = Best(0, 0, torch.from_numpy(gain)), Best(0, 1, torch.zeros(30))
    assert keeper._is_sure() == expected


PLAIN = {"likelihood": Gaussian(background=0), "prior": "normal"}


def test_what_is_linear_stays_at_its_initialisation():
    """Factors and noise: now and then a net is better on the held-out rows, by chance, and is not taken for it."""
    by_chance = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        noise = rng.standard_t(3, size=(250, 8))
        X = rng.normal(size=(250, 2)) @ rng.normal(size=(2, 8)) + 0.5 * noise
        vae = VAETransformer(2, random_state=seed, **PLAIN).fit(X)
        if vae.best_iter_ == 0:
            losses = [record["valid_loss"] for record in vae.history_]
            by_chance += min(losses) < losses[0]
            start = VAETransformer(2, init=vae.init_, max_iter=0, random_state=seed).fit(X)
            assert vae.score(X) == pytest.approx(start.score(X), abs=1e-9)  # solved on all rows
    assert by_chance >= 2  # none without the rule
