"""skorch's callbacks, one by one: they do what they promise, or are refused by name with what to use."""

import threading
import warnings

import numpy as np
import pytest
import skorch.callbacks as sc
import torch
from sklearn.datasets import load_wine
from sklearn.metrics import make_scorer, r2_score
from torch.optim.lr_scheduler import StepLR

from skvae import VAETransformer
from skvae._training.optimizers import set_rate

X, _ = load_wine(return_X_y=True)
FAST = {"max_iter": 3, "hidden_layer_sizes": (8,), "batch_size": 32, "random_state": 0}


def fit(*callbacks, table=X, **parameters):
    settings = {"prior": "normal", **FAST, **parameters}  # a fitted one has parameters that no step has moved
    return VAETransformer(2, callbacks=list(callbacks), **settings).fit(table)


class Held:
    """Stands for writers, runs and clients: it cannot be copied, and writes down every call."""

    info = type("Info", (), {"run_id": "run"})

    def __init__(self):
        self.lock = threading.Lock()
        self.calls = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


def epochs(net, X, y=None):
    return float(len(net.history))


REFUSED = {
    "LRScheduler": (sc.LRScheduler, "learning_rate_schedule"),
    "LRScheduler of StepLR": (lambda: sc.LRScheduler(StepLR, step_size=1), "learning_rate_schedule"),
    "Checkpoint": (sc.Checkpoint, "checkpoint="),
    "TrainEndCheckpoint": (sc.TrainEndCheckpoint, "checkpoint="),
    "LoadInitState": (lambda: sc.LoadInitState(sc.Checkpoint()), "checkpoint="),
    "InputShapeSetter": (sc.InputShapeSetter, "Leave it out"),
    "EarlyStopping": (lambda: sc.EarlyStopping(load_best=True), "load_best=False"),
    "WandbLogger": (lambda: sc.WandbLogger(Held()), "save_model=False"),
    "MlflowLogger": (lambda: sc.MlflowLogger(Held(), Held()), "create_artifact=False"),
    "EpochScoring": (lambda: sc.EpochScoring("r2"), "a function of"),
    "EpochScoring of a metric": (lambda: sc.EpochScoring(r2_score), "a function of"),
    "EpochScoring of a scorer": (lambda: sc.EpochScoring(make_scorer(r2_score)), "a function of"),
    "BatchScoring": (lambda: sc.BatchScoring(None), "a function of"),
}
WORKING = {
    "EpochTimer", "PrintLog", "ProgressBar", "GradientNormClipping", "PassthroughScoring", "Freezer", "Unfreezer",
    "Initializer", "ParamMapper", "NeptuneLogger", "TensorBoard", "SacredLogger", "Callback",
}  # fmt: skip


def test_every_callback_of_skorch_is_refused_or_works():
    classes = {name for name in sc.__all__ if isinstance(getattr(sc, name), type)} - {"WarmRestartLR"}  # no callback
    assert classes <= WORKING | {name.partition(" ")[0] for name in REFUSED}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_by_name(name):
    make, instead = REFUSED[name]
    for callback in (make(), ("mine", make())):
        with pytest.raises(ValueError, match=rf"{name.partition(' ')[0]}.*{instead}"):
            fit(callback)


@pytest.mark.parametrize("callback", [3, "EarlyStopping", threading.Lock()])
def test_what_is_no_callback_is_refused(callback):
    with pytest.raises(ValueError, match=r"no skorch\.callbacks\.Callback.*set_callbacks"):
        fit(callback)


@pytest.mark.parametrize(
    "callback",
    [sc.EarlyStopping(), sc.EpochScoring(epochs), sc.BatchScoring(epochs), sc.PassthroughScoring("valid_loss")],
)
def test_watching_held_out_rows_that_are_not_there_is_an_error(callback):
    fit(callback)
    with pytest.raises(ValueError, match=f"{type(callback).__name__} watches held-out rows"):
        fit(callback, early_stopping=False)


def test_steps_in_closed_form_are_not_heard_of():
    linear = {"hidden_layer_sizes": (), "schedule": "exact_em", "batch_size": "auto"}
    for callback in (sc.ProgressBar(), sc.GradientNormClipping(1.0), sc.Freezer("*")):
        with pytest.raises(ValueError, match=f"{type(callback).__name__} concerns gradient steps"):
            fit(callback, **linear)
    fit(sc.EarlyStopping(), **linear)


# ---------------------------------------------------------------- hooks of batches and gradients


class Listener(sc.Callback):
    def __init__(self):
        self.heard = []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.heard.append(("begin", training, batch[0].clone(), batch[1]))

    def on_grad_computed(self, net, named_parameters, batch=None, training=None, **kwargs):
        self.heard.append(("gradient", [name for name, p in named_parameters if p.grad is not None]))

    def on_batch_end(self, net, batch=None, training=None, loss=None, **kwargs):
        assert torch.isfinite(loss)
        key = "train_loss" if training else "valid_loss"
        self.heard.append(("end", training, net.history[-1, "batches", -1, key]))


def test_batches_and_gradients_are_heard_and_change_nothing():
    table = X.copy()
    table[::3, 2] = np.nan
    listener = Listener()
    vae, silent = fit(listener, table=table), fit(table=table)
    np.testing.assert_array_equal(vae.transform(table), silent.transform(table))
    n_steps = int(np.ceil(round(0.9 * len(X)) / 32))
    one_epoch = [("begin", True), ("gradient",), ("end", True)] * n_steps + [("begin", False), ("end", False)]
    assert [call[: 1 if call[0] == "gradient" else 2] for call in listener.heard] == 3 * one_epoch
    batches = [call for call in listener.heard if call[0] == "begin"]
    assert all(call[3] is None for call in batches)
    seen = torch.cat([call[2] for call in batches[: n_steps + 1]])
    assert len(seen) == len(X)
    assert torch.isnan(seen).sum() == len(X[::3])
    losses = [call[2] for call in listener.heard if call[:2] == ("end", False)]
    np.testing.assert_allclose(losses, [record["valid_loss"] for record in vae.history_[1:]], rtol=1e-5)
    assert {name for call in listener.heard if call[0] == "gradient" for name in call[1]} == {
        name for name, p in vae.module_.named_parameters() if p.requires_grad
    }


def test_each_step_has_the_gradients_of_its_own_group():
    listener = Listener()
    fit(listener, schedule="em", early_stopping=False, max_iter=1)
    first, second = (set(call[1]) for call in listener.heard[1::3][:2])
    assert first
    assert second
    assert not first & second


def test_clipping_clips():
    norms = []

    class Norm(sc.Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            norms.append(float(torch.cat([p.grad.ravel() for _, p in named_parameters]).norm()))

    fit(Norm())
    assert max(norms) > 1e-2
    norms.clear()
    fit(sc.GradientNormClipping(1e-3), Norm())
    assert max(norms) < 1.001e-3


def test_a_progress_bar_counts_the_batches():
    counts = []

    class Bar(sc.ProgressBar):
        def on_epoch_end(self, net, **kwargs):
            counts.append((self.pbar_.n, self.pbar_.total, "train_loss" in self.pbar_.postfix))
            super().on_epoch_end(net, **kwargs)

    fit(Bar(), max_iter=1)
    fit(Bar("count"), max_iter=2, early_stopping=False)
    n = int(np.ceil(round(0.9 * len(X)) / 32)) + 1  # one chunk of held-out rows
    assert counts == [(n, n, False), (6, None, True), (6, 6, True)]


@pytest.mark.parametrize("on_train", [True, False])
def test_scores_of_batches_and_epochs(on_train):
    callbacks = [
        sc.BatchScoring(lambda net, X, y=None: float(torch.nan_to_num(X).mean()), name="mean", on_train=on_train),
        sc.EpochScoring(epochs, name="epochs", on_train=on_train),
        sc.PassthroughScoring(f"{'train' if on_train else 'valid'}_loss", on_train=on_train),
    ]
    vae, plain = fit(*callbacks), fit()
    assert [record["epochs"] for record in vae.history_[1:]] == [1, 2, 3]
    assert all(abs(record["mean"]) < 1 for record in vae.history_[1:])
    key = f"{'train' if on_train else 'valid'}_loss"  # the mean over batches of the number of the epoch
    np.testing.assert_allclose(vae.history_[-1][key], plain.history_[-1][key], rtol=1e-5)


# ---------------------------------------------------------------- parameters


def test_frozen_parameters_stay():
    start = fit(max_iter=0, init="pca", early_stopping=False)
    for schedule in ("joint", "em"):
        callback = sc.Freezer("decoder.*")
        vae = fit(callback, init="pca", early_stopping=False, schedule=schedule)
        moved = {
            name
            for (name, p), (_, q) in zip(vae.module_.named_parameters(), start.module_.named_parameters(), strict=True)
            if not torch.equal(p, q)
        }
        assert moved
        assert not any(name.startswith("decoder.") for name in moved)
        thawed = [p.requires_grad for p in vae.module_.parameters()]
        assert thawed == [p.requires_grad for p in start.module_.parameters()]


def test_an_initializer_initialises():
    def nothing(p):
        torch.nn.init.zeros_(p)

    callbacks = [sc.Initializer("decoder.affine.*", fn=nothing), sc.Freezer("decoder.affine.*")]
    vae = fit(*callbacks, early_stopping=False)
    assert not vae.module_.decoder.affine.weight.any()


def test_a_rate_that_a_callback_sets_stays_set():
    rates = []

    class Halve(sc.Callback):
        def on_epoch_begin(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

        def on_epoch_end(self, net, **kwargs):
            for group in net.optimizer_.param_groups:
                group["lr"] /= 2

    for optimizer in ("adamw", torch.optim.Adam):
        rates.clear()
        fit(Halve(), optimizer=optimizer, learning_rate=0.01, learning_rate_schedule=lambda epoch: 1 / (1 + epoch))
        np.testing.assert_allclose(rates, [0.01, 0.01 / 2 / 2, 0.01 / 3 / 4])
    group = {"lr": 0.0, "scheduled": 0.0}
    set_rate(group, 0.1)
    assert group["lr"] == 0.1


def test_a_learning_rate_that_changes_while_a_model_goes_on_counts():
    for optimizer in ("adamw", torch.optim.Adam):
        vae = VAETransformer(2, optimizer=optimizer, learning_rate=1e-3, hidden_layer_sizes=(8,), random_state=0)
        before = vae.partial_fit(X).transform(X)
        vae.set_params(learning_rate=1e-12).partial_fit(X)
        np.testing.assert_allclose(vae.transform(X), before, atol=1e-6)


# ---------------------------------------------------------------- loggers and copies


def test_loggers_share_their_writers():
    writer, run, client, sacred = Held(), Held(), Held(), Held()
    fit(
        sc.TensorBoard(writer),
        sc.WandbLogger(run, save_model=False),
        sc.MlflowLogger(Held(), client, create_artifact=False, log_on_batch_end=True),
        sc.SacredLogger(sacred, log_on_batch_end=True),
    )
    scalars = [kwargs["tag"] for name, _, kwargs in writer.calls if name == "add_scalar"]
    assert scalars.count("Loss/valid_loss") == 3
    assert writer.calls[-1][0] == "close"
    assert [name for name, _, _ in run.calls] == ["watch", "log", "log", "log"]
    assert run.calls[-1][1][0].keys() >= {"train_loss", "valid_loss"}
    assert client.calls[-1][0] == "set_terminated"
    names = [args[0] for name, args, _ in sacred.calls]
    assert "train_loss_batch" in names
    assert "train_loss_epoch" in names


def test_callbacks_are_copied_and_share_what_they_hold():
    class Record(sc.Callback):
        def __init__(self):
            self.losses = []
            self.n = 0

        def on_epoch_end(self, net, **kwargs):
            self.losses.append(net.history[-1, "train_loss"])
            self.n += 1

    record = Record()
    vae = fit(record)
    assert record.losses == [epoch["train_loss"] for epoch in vae.history_[1:]]
    assert record.n == 0


def test_a_log_of_the_users_is_printed(capsys):
    fit(sc.PrintLog)
    fit(sc.PrintLog())
    assert capsys.readouterr().out.count("valid_loss") == 2


def test_sgd_has_the_momentum_that_its_docstring_says():
    """As MLPClassifier's "sgd"; torch's own has none."""

    def momentum(parameters, **options):
        return torch.optim.SGD(parameters, momentum=0.9, **options)

    ours, theirs, plain = (
        fit(optimizer=o, learning_rate=5e-4, early_stopping=False).transform(X)
        for o in ("sgd", momentum, torch.optim.SGD)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.abs(ours - plain).max() > 1e-3
    assert "momentum 0.9" in VAETransformer.__doc__


def test_listeners_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Listener(), sc.GradientNormClipping(1.0), sc.EpochScoring(epochs))
