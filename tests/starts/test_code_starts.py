"""Initial codes of other families."""

import pytest
from scipy import stats
from sklearn.datasets import load_iris

from skvae import VAETransformer

IRIS = load_iris(as_frame=True).data


@pytest.mark.parametrize(
    "posterior", ["gamma", "exponential", "log_normal", "weibull", "beta", "dirichlet", "categorical"]
)
def test_initial_codes_that_are_not_normal_are_no_worse_than_no_codes(posterior):
    """But for what the KL of codes costs that an affine decoder cannot read: within two nats."""
    X = IRIS.to_numpy()
    no_codes = stats.norm(X.mean(0), X.std(0)).logpdf(X).sum(1).mean()
    assert VAETransformer(2, posterior=posterior, max_iter=0, random_state=0).fit(X).score(X) > no_codes - 2
