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
