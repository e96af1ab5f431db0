"""One row at a time: float64 rows go through a kept copy of the module, which is never older than the module."""

import copy
import gc
import pickle
import time
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from skvae import MLP, VAETransformer
from skvae._inference.precision import in_precision

pytestmark = pytest.mark.one_in(2)


def fitted(table, **parameters):
    return VAETransformer(3, max_iter=2, random_state=0, **parameters).fit(table)


def frame_of(wine):
    return pd.DataFrame(wine, columns=[f"c{d}" for d in range(wine.shape[1])])


def mixed_of(wine):
    frame = frame_of(wine)
    return frame.assign(word=np.where(wine[:, 0] > 0, "high", "low"), flag=wine[:, 1] > 0)


@pytest.mark.parametrize("table_of", [np.asarray, frame_of, mixed_of])
@pytest.mark.parametrize("parameters", [{}, {"encoder": MLP((8,))}, {"posterior": "full"}])
def test_a_row_alone_has_the_codes_that_it_has_in_a_batch(wine, table_of, parameters):
    table = table_of(wine)
    vae = fitted(table, **parameters)
    alone = np.concatenate([vae.transform(table[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, vae.transform(table)[:5], rtol=0, atol=1e-12)


def test_a_row_alone_in_float32(wine):
    vae, table = fitted(wine), wine.astype(np.float32)
    alone = np.concatenate([vae.transform(table[i : i + 1]) for i in range(5)])
    assert alone.dtype == np.float32
    np.testing.assert_allclose(alone, vae.transform(table)[:5], rtol=0, atol=1e-6)


def step(module):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module.encode(torch.ones(2, 13)).mean.sum().backward()
    optimizer.step()


def load(module):
    module.load_state_dict({name: 0.5 * tensor for name, tensor in module.state_dict().items()})


def write_into_data(module):
    module.encoder.affine.weight.data[0] += 1  # no counter of changes sees this


def write_into_numpy(module):
    module.encoder.affine.weight.detach().numpy()[0] += 1


def give_a_new_parameter(module):
    module.encoder.affine.bias = torch.nn.Parameter(torch.ones_like(module.encoder.affine.bias))


def give_a_new_part(module):
    module.encoder.affine = torch.nn.Linear(13, module.encoder.affine.out_features)


def widen(module):
    write_into_data(module.double())


def hook(module):
    module.encoder.register_forward_hook(lambda part, rows, raw: raw + 1)


CHANGES = [step, load, write_into_data, write_into_numpy, give_a_new_parameter, give_a_new_part, widen, hook]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_done_to_the_module_is_seen_at_once(wine, change, dtype):
    vae, rows = fitted(wine), wine[:3].astype(dtype)
    before = vae.transform(rows)
    change(vae.module_)
    after = vae.transform(rows)
    x, mask = vae.fitted_.columns.tensors(rows, "cpu", torch.float64)
    module = in_precision(vae.module_, torch.float64)
    with torch.no_grad():
        expected = module.encode(x, mask).mean.numpy()[:, vae.order_] * vae.signs_
    np.testing.assert_allclose(after, expected, rtol=1e-6 if dtype == np.float64 else 1e-4, atol=1e-5)
    assert np.abs(after - before).max() > 0.01


def test_the_copy_is_kept_while_the_module_is_as_it_was(wine):
    vae = fitted(wine)
    kept = vae.fitted_.module_in(torch.float64)
    vae.transform(wine)
    vae.impute(wine[:2])
    vae.score_samples(wine)
    assert vae.fitted_.module_in(torch.float64) is kept
    assert vae.fitted_.module_in(torch.float32) is vae.module_


def test_neither_estimator_nor_module_hold_the_copy(wine):
    vae = fitted(wine)
    attributes, fit, module = dict(vars(vae)), dict(vars(vae.fitted_)), dict(vars(vae.module_))
    stored = pickle.dumps(vae), pickle.dumps(vae.module_)
    vae.transform(wine[:1])
    assert (vars(vae), vars(vae.fitted_), vars(vae.module_)) == (attributes, fit, module)
    assert (pickle.dumps(vae), pickle.dumps(vae.module_)) == stored
    kept = vae.fitted_.module_in(torch.float64)
    for twin in (copy.deepcopy(vae), pickle.loads(stored[0]), clone(vae).fit(wine)):
        assert twin.fitted_.module_in(torch.float64) is not kept


def test_the_copy_goes_with_its_module(wine):
    vae = fitted(wine)
    vae.transform(wine[:1])
    kept, module = weakref.ref(vae.fitted_.module_in(torch.float64)), weakref.ref(vae.module_)
    vae.fit(wine)
    gc.collect()
    assert module() is None
    assert kept() is None


def test_a_posterior_outlives_what_is_done_to_the_module(wine):
    vae = fitted(wine)
    q = vae.encode(wine[:2])
    before = q.mean.clone()
    step(vae.module_)
    vae.transform(wine[:2])
    torch.testing.assert_close(q.mean, before, rtol=0, atol=0)


def cpu_seconds(call):
    tick = time.process_time()
    call()
    return time.process_time() - tick


def test_a_row_costs_a_small_multiple_of_its_way_through_the_module(wine):
    """Both by turns, so that a busy machine slows both; it is seven times; with a copy at each call it is 19."""
    vae, row, x = fitted(wine), wine[:1], torch.zeros(1, 13)

    def forward():
        with torch.no_grad():
            vae.module_.posterior.center(vae.module_.encode(x))

    seconds = np.array([[cpu_seconds(lambda: vae.transform(row)), cpu_seconds(forward)] for _ in range(200)])
    transform, through_the_module = np.median(seconds, axis=0)
    assert transform < 12 * through_the_module
