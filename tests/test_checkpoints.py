"""Checkpoints: a fit that was killed anywhere goes on, and ends bit for bit where it would have ended."""

import numpy as np
import pytest
import torch
from torch import nn

from skvae import (
    ELBO,
    Aggressive,
    Checkpoint,
    CyclicalAnnealing,
    Gaussian,
    Schedule,
    VAETransformer,
    VariationalEM,
)
from skvae.loop import Net

X = np.random.default_rng(0).normal(size=(160, 3)) @ np.random.default_rng(1).normal(size=(3, 5))
X = np.round(X + np.random.default_rng(2).normal(size=X.shape), 2)
FAST = {"n_components": 2, "hidden_layer_sizes": (4,), "max_iter": 3, "batch_size": 32, "random_state": 0}
ALWAYS = 1e-9  # minutes: before every step


class Killed(BaseException):
    """As sudden as a signal, within this process."""


def assert_same_fit(a, b, X=X):
    """Weights, history but for the clock, and what the verbs say, to the last bit."""
    for name, tensor in a.module_.state_dict().items():
        assert torch.equal(tensor, b.module_.state_dict()[name]), name
    clean = lambda history: [{k: v for k, v in record.items() if k != "dur"} for record in history]
    assert clean(a.history_) == clean(b.history_)
    assert (a.n_iter_, a.best_iter_) == (b.n_iter_, b.best_iter_)
    if hasattr(a, "transform"):
        np.testing.assert_array_equal(a.transform(X), b.transform(X))


def fit_killed(vae, monkeypatch, at_steps, X=X, **fit_params):
    """Fit; training is interrupted after so many steps of each launch, and launched again; so many times."""
    step = Net._step
    for n in at_steps:
        count = iter(range(n))

        def step_or_die(net, *args, count=count):
            if next(count, None) is None:
                raise Killed
            return step(net, *args)

        monkeypatch.setattr(Net, "_step", step_or_die)
        with pytest.raises(Killed):
            vae.fit(X, **fit_params)
    monkeypatch.setattr(Net, "_step", step)
    return vae.fit(X, **fit_params)


class WithBatchNorm(nn.Sequential):
    def __init__(self, n_in, n_out):
        super().__init__(nn.Linear(n_in, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, n_out))


class Greedy(Schedule):
    """Skips what went well, by the worst row of each batch: reads more of a loss than its mean."""

    groups = (("inference", "generative"),)

    def steps(self, batches):
        level = np.inf
        for batch in batches:
            worst = float((yield 0, batch).max())
            if worst > level:
                yield 0, batches.draw()
            level = worst


def torch_adam(parameters, lr, weight_decay):
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)


KINDS = {
    "joint": {},
    "dropout": {"dropout": 0.2},
    "early_stopping": {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 9, "learning_rate": 0.1},
    "no_early_stopping": {"early_stopping": False},
    "em": {"schedule": VariationalEM(n_inference_steps=2)},
    "aggressive": {"schedule": Aggressive(max_inference_steps=25), "max_iter": 2},
    "own_schedule": {"schedule": Greedy()},
    "annealed": {"objective": ELBO(beta=CyclicalAnnealing(2, 2))},
    "iwae": {"objective": "iwae"},
    "ae": {"objective": "ae"},
    "wae_mmd": {"objective": "wae_mmd"},
    "aae": {"objective": "aae"},
    "avb": {"objective": "avb"},
    "gan": {"objective": "gan"},
    "batch_norm": {"encoder": WithBatchNorm, "decoder": WithBatchNorm},
    "laplace": {"posterior": "laplace"},
    "gamma": {"posterior": "gamma", "prior": "auto"},
    "vamp": {"prior": "vamp"},
    "torch_optimizer": {"optimizer": torch_adam},
    "sgd": {"optimizer": "sgd", "learning_rate_schedule": "inverse_sqrt"},
    "random_start": {"init": "random"},
    "bent": {"scaling": "quantile"},
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_fit_goes_on(kind, monkeypatch, tmp_path):
    vae = VAETransformer(**{**FAST, **KINDS[kind]})
    whole = VAETransformer(**vae.get_params(deep=False)).fit(X)
    vae.set_params(checkpoint=Checkpoint(tmp_path, every_minutes=ALWAYS))
    assert_same_fit(fit_killed(vae, monkeypatch, [3, 1, 5]), whole)
    assert list(tmp_path.iterdir()) == []
