"""Fits that continue: bit for bit, and without a change of structure."""

import pickle

import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris

from skvae import AAE, AVB, ELBO, Aggressive, LinearAnnealing, VAETransformer

IRIS = load_iris(as_frame=True).data


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": AAE()},
        {"objective": AVB()},
        {"objective": "gan"},
        {"objective": "wae_mmd"},
        {"schedule": "em"},
        {"schedule": Aggressive(max_inference_steps=12)},
        {"objective": ELBO(beta=LinearAnnealing(n_epochs=3))},
        {"posterior": "categorical"},
        {"posterior": "gamma"},
        {"prior": "vamp"},
        {"objective": ELBO(gradient="score_function", n_samples=2)},
    ],
    ids=repr,
)
def test_single_passes_equal_one_fit_through_a_pickle(parameters):
    """Critic, optimizers and annealing go on bit for bit, also from a stored state."""
    vae = VAETransformer(2, hidden_layer_sizes=(4,), random_state=0, keep_optimizer=True, **parameters)
    whole = clone(vae).set_params(max_iter=4, early_stopping=False).fit(IRIS)
    for _ in range(4):
        vae = pickle.loads(pickle.dumps(vae.partial_fit(IRIS)))
    for name, parameter in whole.module_.state_dict().items():
        if not name.startswith("prior.") or not whole.fitted_.prior_is_fitted:  # which single passes do not fit
            assert torch.equal(parameter, vae.module_.state_dict()[name]), name


def test_a_critic_cannot_change_while_a_model_goes_on():
    vae = VAETransformer(2, objective=AAE(), max_iter=1, warm_start=True, random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match="'objective' parameter"):
        vae.set_params(objective=AAE(hidden_layer_sizes=(8,))).fit(IRIS)
    plain = VAETransformer(2, max_iter=1, warm_start=True, random_state=0).fit(IRIS)
    plain.set_params(objective="iwae").fit(IRIS)  # both move the same parameters


@pytest.mark.parametrize(("first", "then"), [("elbo", "ae"), ("ae", "elbo"), ("elbo", "avb")])
def test_auto_cannot_mean_something_else_while_a_model_goes_on(first, then):
    vae = VAETransformer(2, objective=first, max_iter=1, warm_start=True, random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match="'posterior' parameter of VAETransformer cannot change"):
        vae.set_params(objective=then).fit(IRIS)


def test_weights_draws_and_the_device_may_change_while_a_model_goes_on():
    """As if the fit had begun with them, but for what the epochs before have made of the model."""
    settings = {"hidden_layer_sizes": (4,), "early_stopping": False, "max_iter": 2, "random_state": 0}
    first = VAETransformer(2, warm_start=True, **settings).fit(IRIS)
    same, weighted = clone(first), clone(first).set_params(column_weights=[10.0, 1.0, 1.0, 1.0])
    plain, other = same.fit(IRIS).fit(IRIS).history_, weighted.set_params(column_weights=None).fit(IRIS)
    other = other.set_params(column_weights=[10.0, 1.0, 1.0, 1.0]).fit(IRIS).history_
    assert [record["train_loss"] for record in plain[:2]] == [record["train_loss"] for record in other[:2]]
    assert plain[2]["train_loss"] != other[2]["train_loss"]
    assert weighted.fitted_.config["column_weights"] == [10.0, 1.0, 1.0, 1.0]
    assert len(first.set_params(n_score_samples=64).fit(IRIS).fitted_.score_noise) == 64
    with pytest.raises(ValueError, match="device='cuda:99' is not available"):
        first.set_params(device="cuda:99").fit(IRIS)
    assert first.set_params(device="cpu").fit(IRIS).n_iter_ == 6
