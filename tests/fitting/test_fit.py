"""Fits are repeatable, leave nothing stale and take small tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris

import skvae
from skvae import VAETransformer, metrics

IRIS = load_iris(as_frame=True).data


@pytest.mark.parametrize("objective", ["aae", "wae_mmd", "avb", "gan"])
def test_same_seed_same_bits(objective):
    a, b = (VAETransformer(2, objective=objective, max_iter=3, random_state=3).fit(IRIS) for _ in range(2))
    np.testing.assert_array_equal(a.sample(5, random_state=0), b.sample(5, random_state=0))
    assert a.history_[-1]["train_loss"] == b.history_[-1]["train_loss"]


def test_global_generators_and_inputs_stay_as_they_were():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002 - the global one is the point
    for objective in ("aae", "wae_mmd", "avb", "ae", "gan"):
        vae = VAETransformer(2, objective=objective, max_iter=2, random_state=0).fit(IRIS)
        vae.sample(3, random_state=0)
        if hasattr(vae, "transform"):
            vae.reconstruct(IRIS, sample=True, random_state=0)
            metrics.mmd_to_prior(vae, IRIS)
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


def test_a_refit_leaves_nothing_stale():
    vae = VAETransformer(2, objective="ae", max_iter=2, random_state=0).fit(IRIS)
    assert vae.fitted_.prior_is_fitted
    vae.set_params(objective="elbo").fit(IRIS)
    fresh = VAETransformer(2, max_iter=2, random_state=0).fit(IRIS)
    pd.testing.assert_frame_equal(vae.sample(5, random_state=0), fresh.sample(5, random_state=0))
    assert not hasattr(vae.set_params(objective="ae").fit(IRIS), "kl_per_component_")


def test_held_out_rows_see_the_same_draws_of_the_prior_every_epoch():
    vae = VAETransformer(2, objective="wae_mmd", learning_rate=1e-12, max_iter=4, random_state=0, n_iter_no_change=9)
    X = np.random.default_rng(0).normal(size=(200, 3))
    losses = [record["valid_loss"] for record in vae.fit(X).history_]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_objectives_without_a_monitor_hold_nothing_out():
    X = np.random.default_rng(0).normal(size=(200, 3))
    aae = VAETransformer(2, objective="aae", max_iter=3, random_state=0).fit(X)
    assert "valid_loss" not in aae.history_[0]
    assert aae.best_iter_ == 3


def test_weights_reach_the_density_of_codes_and_the_members_of_a_prior():
    rng = np.random.default_rng(0)
    far = np.repeat([0, 1], 200)
    X = rng.normal(size=(400, 3)) + 20 * far[:, None]
    weight = np.where(far, 1.0, 9.0)
    ae = VAETransformer(1, objective="ae", max_iter=5, random_state=0).fit(X, sample_weight=weight)
    assert np.mean(ae.sample(2000, random_state=0, calibrate=False)[:, 0] < 10) == pytest.approx(0.9, abs=0.04)
    prior = skvae.NormalMixture(n_members=2)
    vae = VAETransformer(1, prior=prior, max_iter=0, random_state=0).fit(X, sample_weight=weight)
    assert vae.module_.prior.logits.softmax(0).max().item() == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize(
    "parameters", [{"objective": "ae"}, {"prior": "mixture"}, {"prior": "vamp"}, {"prior": "flow"}]
)
@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_few_rows_and_one_component(parameters, n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 4))
    vae = VAETransformer(1, max_iter=2, random_state=0, **parameters).fit(X)
    assert np.isfinite(vae.sample(4, random_state=0)).all()
    if hasattr(vae, "score"):
        assert vae.score(X) > VAETransformer(1, max_iter=2, random_state=0).fit(X).score(X) - 10


@pytest.mark.parametrize("around", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_a_fit_inside_of_what_it_does_not_need_is_the_same(around):
    vae = VAETransformer(2, max_iter=2, random_state=0)
    codes = vae.fit(IRIS).transform(IRIS)
    on = skvae.VAETransformer(2, random_state=0).partial_fit(IRIS).partial_fit(IRIS).transform(IRIS)
    batches = VAETransformer(2, max_iter=1, random_state=0)
    with around():
        inside = VAETransformer(2, max_iter=2, random_state=0).fit(IRIS, X_val=None)
        np.testing.assert_array_equal(inside.transform(IRIS), codes)
        steps = VAETransformer(2, random_state=0).partial_fit(IRIS).partial_fit(IRIS)
        np.testing.assert_array_equal(steps.transform(IRIS), on)
        batches.fit_batches(lambda: iter([IRIS[:100], IRIS[100:]]))
    assert not any(p.is_inference() for p in [*inside.module_.parameters(), *batches.module_.parameters()])
    x = torch.zeros(1, 4, requires_grad=True)
    inside.module_.posterior.center(inside.module_.encode(x, None)).sum().backward()  # module_ is differentiable
    assert bool(x.grad.any())


SEEDED = {
    "fit": lambda vae, seed: VAETransformer(2, random_state=seed).fit(IRIS),
    "sample": lambda vae, seed: vae.sample(2, random_state=seed),
    "impute": lambda vae, seed: vae.impute(IRIS, n_draws=2, random_state=seed),
    "reconstruct": lambda vae, seed: vae.reconstruct(IRIS, sample=True, random_state=seed),
    "effective_sample_size": lambda vae, seed: metrics.effective_sample_size(vae, IRIS, random_state=seed),
    "mutual_information": lambda vae, seed: metrics.mutual_information(vae, IRIS, random_state=seed),
    "aggregate_posterior_kl": lambda vae, seed: metrics.aggregate_posterior_kl(vae, IRIS, random_state=seed),
    "mmd_to_prior": lambda vae, seed: metrics.mmd_to_prior(vae, IRIS, random_state=seed),
}


@pytest.mark.parametrize("seeded", SEEDED.values(), ids=SEEDED)
def test_bad_seeds_are_refused_by_the_name_of_the_parameter(seeded):
    vae = VAETransformer(2, max_iter=0, random_state=0).fit(IRIS)
    for seed in (-1, 2**32, "a", 1.5, np.random.default_rng(0)):
        with pytest.raises(ValueError, match=r"The 'random_state' parameter .*must be an int .* Got "):
            seeded(vae, seed)
