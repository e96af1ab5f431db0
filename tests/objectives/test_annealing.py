"""Annealing of the KL weight."""

import pickle

import numpy as np
from sklearn.datasets import load_iris

import skvae
from skvae import ELBO, VAETransformer

IRIS = load_iris(as_frame=True).data


class Square(skvae.Annealing):
    """A user's own course, without first and last epochs."""

    def __init__(self, n=5):
        self.n = n

    def __call__(self, epoch):
        return min(1.0, (epoch / self.n) ** 2)


def test_a_users_own_annealing():
    vae = VAETransformer(2, objective=ELBO(beta=Square()), max_iter=2, random_state=0).fit(IRIS)
    assert np.isfinite(pickle.loads(pickle.dumps(vae)).score(IRIS))
