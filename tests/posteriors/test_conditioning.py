"""The encoder conditions on the observed cells."""

import pytest
import torch
from linear_oracle import with_missing

from skvae import VAETransformer
from skvae.posteriors.conditioning import joint_normal, push_joint


@pytest.mark.parametrize("posterior", ["diag", "full", "laplace", "student_t", "flow", "point", "log_normal"])
def test_a_mask_without_missing_values_changes_nothing(wine, posterior):
    objective = "ae" if posterior == "point" else "elbo"
    vae = VAETransformer(3, posterior=posterior, objective=objective, max_iter=3, random_state=0)
    module = vae.fit(with_missing(wine, 0.2)).module_.double()
    x = torch.from_numpy(wine)
    full = torch.ones_like(x, dtype=torch.bool)
    torch.testing.assert_close(module.encoder(x, full), module.encoder(x, None))
    lone = full.clone()
    lone[0, 0] = False  # one row is conditioned alone, not with all others
    torch.testing.assert_close(module.encoder(x, lone)[1:], module.encoder(x, None)[1:])


def test_a_complete_table_has_the_networks_it_always_had(wine):
    vae = VAETransformer(3, max_iter=2, random_state=0).fit(wine)
    names = {name.partition(".")[2] for name, _ in vae.module_.encoder.named_parameters()}
    shapes = [tuple(p.shape) for p in vae.module_.encoder.net.parameters()]
    assert not hasattr(vae.module_.encoder, "table")
    assert names == {"weight", "bias", "0.weight", "0.bias", "2.weight"}
    assert shapes[0] == (128, 13)


def test_the_joint_normal_is_the_one_that_independent_components_approximate():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(5, 3, 3, generator=generator, dtype=torch.float64)
    P = torch.eye(3) + root @ root.mT
    q = torch.distributions.Normal(torch.randn(5, 3, generator=generator), P.diagonal(dim1=-2, dim2=-1).rsqrt())
    joint = joint_normal(q, P)
    torch.testing.assert_close(joint.covariance_matrix, torch.linalg.inv(P))
    torch.testing.assert_close(joint.mean, q.mean)
    wider = joint_normal(torch.distributions.Normal(q.loc, 2 * q.stddev), P)
    torch.testing.assert_close(wider.covariance_matrix, 4 * joint.covariance_matrix)
    alone = joint_normal(q, torch.diag_embed(torch.rand(5, 3, generator=generator, dtype=torch.float64) + 1))
    torch.testing.assert_close(alone.covariance_matrix, torch.diag_embed(q.variance))
    draws = push_joint(joint, torch.randn(20_000, 5, 3, generator=generator, dtype=torch.float64))
    torch.testing.assert_close(torch.cov(draws[:, 0].T), joint.covariance_matrix[0], atol=0.03, rtol=0)
