"""The encoder conditions on the observed cells."""

import pytest
import torch
from linear_oracle import with_missing

from skvae import VAETransformer


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
