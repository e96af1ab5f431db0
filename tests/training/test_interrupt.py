"""Ctrl-C in the training of a fit: what the estimator has afterwards, and that the interrupt goes on."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skvae import VAETransformer

X = load_breast_cancer().data
STEP = 12  # of 16 or 18 in an epoch: the average moves every eighth
SETTINGS = {"n_components": 2, "hidden_layer_sizes": (8,), "random_state": 0}


class CtrlC(Callback):
    """Interrupts a step of an epoch, counted from 1, or its end."""

    def __init__(self, epoch, at_end=False):
        self.epoch = epoch
        self.at_end = at_end

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == self.epoch and len(net.history[-1]["batches"]) == STEP and not self.at_end:
            raise KeyboardInterrupt

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch and self.at_end:
            raise KeyboardInterrupt


def interrupted(epoch, at_end=False, **parameters):
    vae = VAETransformer(**{**SETTINGS, "max_iter": 9, "callbacks": [CtrlC(epoch, at_end)], **parameters})
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X)
    return vae


@pytest.mark.parametrize("at_end", [False, True])
def test_what_is_kept_is_the_best_state_before_the_interrupt(at_end):
    vae = interrupted(6, at_end, on_interrupt="keep")
    whole = VAETransformer(**SETTINGS, max_iter=vae.n_iter_).fit(X)
    assert vae.n_iter_ == (6 if at_end else 5)
    assert vae.best_iter_ == whole.best_iter_ > 0
    np.testing.assert_array_equal(vae.transform(X), whole.transform(X))
    losses = [[record["valid_loss"] for record in model.history_] for model in (vae, whole)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("at_end", [False, True])
def test_a_kept_fit_goes_on(at_end):
    vae = interrupted(4 if at_end else 5, at_end, on_interrupt="keep", early_stopping=False, warm_start=True)
    assert vae.n_iter_ == 4
    np.testing.assert_array_equal(
        vae.transform(X), VAETransformer(**SETTINGS, early_stopping=False, max_iter=4).fit(X).transform(X)
    )
    vae.set_params(callbacks=None, max_iter=2).fit(X)
    whole = VAETransformer(**SETTINGS, early_stopping=False, max_iter=6).fit(X)
    assert vae.n_iter_ == 6
    np.testing.assert_array_equal(vae.transform(X), whole.transform(X))


def test_without_an_epoch_there_is_nothing_to_keep():
    assert not hasattr(interrupted(1, on_interrupt="keep"), "n_iter_")


def test_by_default_an_earlier_fit_stays():
    vae = VAETransformer(**SETTINGS, max_iter=1).fit(X)
    codes = vae.transform(X)
    with pytest.raises(KeyboardInterrupt):
        vae.set_params(max_iter=9, callbacks=[CtrlC(4)]).fit(X)
    np.testing.assert_array_equal(vae.transform(X), codes)
    assert not hasattr(interrupted(4), "n_iter_")


def test_a_single_pass_keeps_nothing_and_says_so():
    vae = VAETransformer(**SETTINGS, callbacks=[CtrlC(1, at_end=True)], on_interrupt="keep")
    with pytest.raises(KeyboardInterrupt) as interrupt:
        vae.partial_fit(X)
    assert "kept" not in str(interrupt.value)
    assert not hasattr(vae, "n_iter_")


def test_a_stream_keeps_too():
    vae = VAETransformer(**SETTINGS, max_iter=9, callbacks=[CtrlC(3)], on_interrupt="keep")
    with pytest.raises(KeyboardInterrupt, match="interrupted after 2 epochs; the best state so far is kept"):
        vae.fit_batches(lambda: iter([X[:300], X[300:]]))
    assert vae.n_iter_ == 2


def test_a_checkpoint_stays_and_is_gone_on_from(tmp_path):
    from skvae import Checkpoint

    checkpoint = Checkpoint(tmp_path, every_n_epochs=1)
    vae = interrupted(4, on_interrupt="keep", checkpoint=checkpoint)
    assert len(list(tmp_path.glob("*.pt"))) == 1
    vae.set_params(callbacks=None, on_interrupt="discard", checkpoint__resume=True).fit(X)
    np.testing.assert_array_equal(vae.transform(X), VAETransformer(**SETTINGS, max_iter=9).fit(X).transform(X))


def test_a_search_ends():
    vae = VAETransformer(**SETTINGS, max_iter=9, callbacks=[CtrlC(3)], on_interrupt="keep")
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(vae, {"n_components": [1, 2]}, cv=2).fit(X)
