"""Bounds of codes that are not on the whole line."""

import numpy as np
from sklearn.datasets import load_iris

from skvae import ELBO, VAETransformer

IRIS = load_iris(as_frame=True).data


def test_closed_form_of_bounded_codes_against_a_box():
    for objective in (ELBO(kl="analytic"), ELBO(gradient="score_function", n_samples=2)):
        vae = VAETransformer(2, posterior="beta", prior="uniform", objective=objective, max_iter=2, random_state=0)
        assert np.isfinite(vae.fit(IRIS).score(IRIS))
