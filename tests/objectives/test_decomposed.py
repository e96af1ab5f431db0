"""Bounds whose KL is taken apart: the parts in closed form and by hand, and what each weight does to the codes."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris, load_wine
from torch.distributions import MultivariateNormal, Normal

from skvae import ELBO, MLP, WAEMMD, BetaTCVAE, FactorVAE, Gaussian, InfoVAE, VAETransformer, metrics
from skvae.distributions.latent import log_aggregate_and_factors
from skvae.distributions.mmd import mmd
from skvae.objectives.decomposed import decomposed_kl

IRIS, WINE = load_iris().data, load_wine().data


@pytest.fixture
def model():
    """A model whose encoder gives each row a code of its own, in float64, with rows and noise."""
    torch.manual_seed(0)
    fitted = VAETransformer(2, encoder=MLP((4,)), max_iter=1, prior="normal", early_stopping=False).fit(IRIS)
    return fitted.module_.double(), torch.randn(40, 4).double(), torch.randn(3, 40, 2).double()


def test_aggregates_by_a_double_loop():
    rng = np.random.default_rng(0)
    loc, scale, z = rng.normal(size=(5, 3)), rng.uniform(0.5, 2, (5, 3)), rng.normal(size=(2, 5, 3))
    q = Normal(torch.as_tensor(loc), torch.as_tensor(scale))
    density = np.exp(-0.5 * ((z[:, :, None] - loc) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))  # (S, i, j, K)
    log_qz, log_factors = log_aggregate_and_factors(q, torch.as_tensor(z))
    np.testing.assert_allclose(log_qz, np.log(density.prod(-1).mean(-1)), rtol=1e-12)
    np.testing.assert_allclose(log_factors, np.log(density.mean(-2)).sum(-1), rtol=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_parts_of_the_kl_of_known_codes_are_in_closed_form(rho):
    """q(z) = N(0, R) in two components, R of ones and rho: TC is -ln(1 - rho^2) / 2, and I(x; z) = ln det R / s^2 / 2.

    The rows stand for the table, and their means have covariance R - s^2 I. The tolerances are two standard errors of a
    mean over 1500 rows (0.7 / 39 for ln q(z)) and the bias of as many kernels of width s, near 0.01.
    """
    s, n = 0.3, 1500
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loc = MultivariateNormal(torch.zeros(2).double(), covariance - s**2 * torch.eye(2)).sample((n,))
        z = loc + s * torch.randn(1, n, 2, dtype=torch.float64)
    q, p = Normal(loc, torch.full_like(loc, s)), Normal(torch.zeros(2).double(), 1.0)
    parts = {name: part.mean().item() for name, part in decomposed_kl(q, p, z).items()}
    assert parts["total_correlation"] == pytest.approx(-math.log(1 - rho**2) / 2, abs=0.05)
    assert parts["mutual_information"] == pytest.approx(math.log((1 - rho**2) / s**4) / 2, abs=0.07)
    assert parts["dimension_wise"] == pytest.approx(0.0, abs=0.05)


def test_with_weights_of_one_the_parts_add_up_to_the_elbo(model):
    """Exactly in the loss, whose KL is in closed form; and over the same draws the parts are the Monte-Carlo KL."""
    module, x, u = model
    parts = BetaTCVAE(beta=1.0)(module, x, None, u)
    expected = ELBO()(module, x, None, u)
    torch.testing.assert_close(parts["loss"], expected["loss"])
    names = ("mutual_information", "total_correlation", "dimension_wise")
    joint = ELBO(kl="joint")(module, x, None, u)["kl"]
    torch.testing.assert_close(sum(parts[name] for name in names), joint)
    heavier = BetaTCVAE(alpha=0.5, beta=3.0, gamma=2.0)(module, x, None, u)["loss"]
    extra = -0.5 * parts[names[0]] + 2 * parts[names[1]] + parts[names[2]]
    torch.testing.assert_close(heavier, expected["loss"] + extra)


def mixed_sources(n=1000, seed=0):
    """Two independent uniform sources in six columns, rotated away from the axes that a linear model begins with."""
    rng = np.random.default_rng(seed)
    sources = rng.uniform(-1, 1, (n, 2))
    turned = sources @ np.array([[1.0, 1.0], [-1.0, 1.0]])
    X = np.concatenate([turned, np.sin(turned), turned @ np.array([[0.5, -1.0], [1.0, 0.5]])], axis=1)
    return X + 0.3 * rng.normal(size=X.shape), sources


def total_correlation(vae, X):
    with torch.no_grad():
        q = vae.encode(X)
        torch.manual_seed(0)
        log_qz, log_factors = log_aggregate_and_factors(q, q.sample((1,)))
    return float((log_qz - log_factors).mean())


def test_the_weight_makes_components_less_dependent():
    """Less total correlation than the plain bound for a tenth of a nat; a weight on the whole KL costs a nat."""
    X, _ = mixed_sources()
    options = {"likelihood": Gaussian(noise="feature", background=0), "prior": "normal", "max_iter": 40}
    options |= {"hidden_layer_sizes": (32,), "batch_size": 200, "early_stopping": False, "random_state": 0}
    plain, heavy, weighted, watched = (
        VAETransformer(2, objective=objective, **options).fit(X)
        for objective in (ELBO(), ELBO(beta=4.0), BetaTCVAE(beta=6.0), FactorVAE(weight=10.0))
    )
    for vae in (weighted, watched):
        assert total_correlation(vae, X) < total_correlation(plain, X) / 2
        assert vae.score(X) > plain.score(X) - 0.2
    assert heavy.score(X) < plain.score(X) - 1


def test_critic_of_permuted_components_learns_the_total_correlation():
    """On codes of known dependence, -ln(1 - rho^2) / 2 = 0.51 at rho 0.8; to 15 %."""
    objective, rho = FactorVAE(hidden_layer_sizes=(32,)), 0.8
    torch.manual_seed(0)

    class Holder:
        auxiliary = objective.auxiliary(2, 2)

        def encode(self, x, mask):
            return x

        def draw(self, q, u):
            return q[None]

    optimizer = torch.optim.Adam(Holder.auxiliary.parameters(), lr=5e-3)
    p = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, rho], [rho, 1.0]]))
    for _ in range(300):
        optimizer.zero_grad()
        objective.auxiliary_loss(Holder(), p.sample((256,)), None, None)["auxiliary_loss"].mean().backward()
        optimizer.step()
    estimate = Holder.auxiliary(p.sample((20000,))).mean().item()
    assert estimate == pytest.approx(-math.log(1 - rho**2) / 2, rel=0.15)


def test_info_vae_between_the_elbo_and_the_wasserstein_autoencoder(model):
    """alpha 0 and lambda 1 is the ELBO; alpha 1 has no KL, and the loss of WAEMMD on the same codes."""
    module, x, u = model
    u = u[:1]
    torch.testing.assert_close(InfoVAE(0.0, 1.0)(module, x, None, u)["loss"], ELBO()(module, x, None, u)["loss"])
    losses = []
    for objective in (InfoVAE(1.0, 50.0), WAEMMD(50.0)):
        torch.manual_seed(0)
        losses.append(objective(module, x, None, u)["loss"])
    torch.testing.assert_close(*losses)
    torch.manual_seed(0)
    z, z_p = module.draw(module.encode(x), u)[0], module.prior().sample((len(x),))
    parts = ELBO()(module, x, None, u)
    torch.manual_seed(0)
    loss = InfoVAE(0.25, 20.0, kernel="rbf")(module, x, None, u)["loss"]
    torch.testing.assert_close(loss, 0.75 * parts["kl"] - parts["reconstruction"] + 19.25 * mmd(z, z_p, "rbf"))


def test_info_vae_keeps_information_and_the_prior():
    """A tenth of the KL alone gives more information, too, to codes that are unlike the prior as a whole."""
    options = {"prior": "normal", "max_iter": 30, "learning_rate": 4e-3, "early_stopping": False, "random_state": 0}
    options |= {"likelihood": Gaussian(noise=0.5, background=0), "batch_size": 60}
    light, info, plain = (
        VAETransformer(3, objective=objective, **options).fit(WINE)
        for objective in (ELBO(beta=0.1), InfoVAE(alpha=0.9), ELBO())
    )
    assert info.kl_per_component_.sum() > plain.kl_per_component_.sum() + 1
    assert light.kl_per_component_.sum() > info.kl_per_component_.sum()
    assert metrics.mmd_to_prior(info, WINE) < metrics.mmd_to_prior(light, WINE) / 4
    assert metrics.aggregate_posterior_kl(info, WINE) < metrics.aggregate_posterior_kl(light, WINE) - 0.5


def test_a_reward_for_discrepancy_is_refused():
    with pytest.raises(ValueError, match=r"InfoVAE needs alpha \+ weight >= 1"):
        VAETransformer(2, objective=InfoVAE(alpha=0.2, weight=0.5)).fit(IRIS)
