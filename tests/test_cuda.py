"""What only a CUDA device can show; skipped without one."""

import pickle

import numpy as np
import pytest
import sklearn
import torch
from sklearn.datasets import load_digits

from skvae import Checkpoint, VAETransformer
from skvae._fitting.plan import Plan
from skvae._fitting.start import Start
from skvae._fitting.training import training_options
from skvae._training.loop import Net

pytestmark = pytest.mark.cuda
X = load_digits().data


def fit(**parameters):
    return VAETransformer(5, max_iter=5, random_state=0, **parameters).fit(X)


def test_cuda_agrees_with_the_cpu_and_repeats_itself():
    cuda = fit(device="cuda")
    assert next(cuda.module_.parameters()).is_cuda
    np.testing.assert_array_equal(cuda.transform(X), fit(device="cuda").transform(X))
    start = VAETransformer(5, max_iter=0, random_state=0, device="cuda").fit(X)
    assert start.score(X) == pytest.approx(VAETransformer(5, max_iter=0, random_state=0).fit(X).score(X), abs=1e-3)


def test_a_cuda_model_unpickles():
    cuda = fit(device="cuda")
    np.testing.assert_allclose(pickle.loads(pickle.dumps(cuda)).transform(X), cuda.transform(X), atol=1e-10)


def test_tensors_on_cuda_stay_there():
    with sklearn.config_context(array_api_dispatch=True):
        x = torch.as_tensor(X, device="cuda")
        vae = VAETransformer(5, max_iter=2, random_state=0).fit(x)
        assert vae.transform(x).is_cuda
        assert vae.inverse_transform(vae.transform(x)).is_cuda


@pytest.mark.parametrize("parameters", [{"precision": "bfloat16"}, {"compile": True}])
def test_options(parameters):
    assert np.isfinite(fit(device="cuda", **parameters).score(X))


def test_no_synchronisation_inside_an_epoch():
    torch.cuda.set_sync_debug_mode("error")
    try:
        from skvae._training import batches, loop

        vae = fit(device="cuda", early_stopping=False)
        rows = batches.TrainingRows(X, np.ones(len(X)), vae.fitted_.columns, "cuda")
        plan = Plan.of(vae.get_params(deep=False), "VAETransformer")
        options = training_options(plan, Start.of(vae.fitted_, plan), rows)
        net = loop.Net(vae.module_, options, seed=0, first_epoch=0, callbacks=[])
        net.initialize()
        net.load_training_state(None)
        generator = torch.Generator("cuda").manual_seed(0)
        net.objective = net.options.objective.at(0)
        for x, mask, _ in batches.Batches(rows, net.options, (0, 0), []):
            net._step(0, x, mask, generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("schedule", ["joint", "aggressive"])
def test_a_killed_fit_goes_on_from_its_checkpoint(tmp_path, monkeypatch, schedule):
    """Generators, losses and the best state are those of the device."""
    settings = {"hidden_layer_sizes": (16,), "dropout": 0.1, "max_iter": 3, "random_state": 0, "device": "cuda"}
    whole = VAETransformer(5, **settings, schedule=schedule).fit(X)
    step, n_steps = Net._step, iter(range(20))

    def step_or_die(*args):
        if next(n_steps, None) is None:
            raise KeyboardInterrupt
        return step(*args)

    vae = VAETransformer(5, **settings, schedule=schedule, checkpoint=Checkpoint(tmp_path, every_minutes=1e-9))
    with monkeypatch.context() as patched:
        patched.setattr(Net, "_step", step_or_die)
        with pytest.raises(KeyboardInterrupt):
            vae.fit(X)
    vae.set_params(checkpoint__resume=True, checkpoint__every_minutes=10.0).fit(X)
    for tensor, other in zip(vae.module_.state_dict().values(), whole.module_.state_dict().values(), strict=True):
        assert torch.equal(tensor, other)
