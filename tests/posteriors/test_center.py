"""The centre of a posterior, with and without the posterior."""

import pytest
import torch

from skvae import CategoricalPosterior, FullCovariance, Gaussian, MeanField

POSTERIORS = [
    MeanField(),
    MeanField(Gaussian(noise=0.5)),
    MeanField("laplace"),
    FullCovariance(),
    CategoricalPosterior(),
]


@pytest.mark.parametrize("posterior", POSTERIORS, ids=str)
def test_raw_numbers_have_the_centre_of_their_posterior(posterior):
    head = posterior.build(2)
    raw = torch.randn(5, head.n_raw, generator=torch.Generator().manual_seed(0))
    center = head.center_of(raw)
    assert torch.equal(center, head.center(head(raw)))
    assert len(center.unique()) == center.numel()  # no component's numbers stand for another's
