"""Draws of missing cells are as uncertain as they should be."""

import numpy as np
import pytest
import torch
from linear_oracle import with_missing
from sklearn.datasets import load_diabetes, load_wine
from torch.distributions import Normal

from skvae import ContaminatedGaussian, VAETransformer
from skvae._inference import imputation
from skvae._inference.imputation import effective_size, weighted_draws


def blocks(X):
    """A third of the rows lacks the second third of the columns, another third the last one."""
    which = np.random.default_rng(2).integers(0, 3, len(X))[:, None]
    return np.where((which > 0) & (np.arange(X.shape[1]) * 3 // X.shape[1] == which), np.nan, X)


def coverage(X, incomplete, K):
    """Share of the hidden cells between the 5 % and 95 % quantiles of their draws."""
    vae = VAETransformer(K, init="factor_analysis", max_iter=0, random_state=0).fit(incomplete)
    low, high = np.quantile(vae.impute(incomplete, n_draws=100, random_state=0), [0.05, 0.95], axis=0)
    return vae, ((low <= X) & (high >= X))[np.isnan(incomplete)].mean()


@pytest.mark.parametrize(
    ("load", "hide", "K"),
    [
        pytest.param(load_diabetes, blocks, 9, id="nearly as many factors as columns"),
        pytest.param(load_diabetes, blocks, 4, id="few factors"),
        pytest.param(load_wine, lambda X: with_missing(X, 0.5, seed=1), 5, id="half of the cells of few rows"),
    ],
)
def test_intervals_of_draws_hold_what_they_promise(load, hide, K):
    X, _ = load(return_X_y=True)
    vae, share = coverage(X, hide(X), K)
    assert 0.85 < share < 0.95
    assert np.median(vae.noise_variance_ / X.var(0)) > 0.05


def test_codes_of_incomplete_rows_have_even_weights():
    """The linear model's posterior is the proposal itself: only the quarter from the prior is lost."""
    X, _ = load_diabetes(return_X_y=True)
    incomplete = blocks(X)
    vae = VAETransformer(8, init="factor_analysis", max_iter=0, random_state=0).fit(incomplete)
    module = vae.module_.double()
    x, mask = vae.fitted_.columns.tensors(incomplete[:50], "cpu", torch.float64)
    generator = torch.Generator().manual_seed(0)
    u, z = (torch.randn(n, 50, 8, generator=generator, dtype=torch.float64) for n in (375, 125))
    with torch.no_grad():
        sizes = effective_size(weighted_draws(module, x, mask, u, z))
    assert sizes.min() > 300  # of 375


def test_adapted_draws_find_codes_that_the_encoder_misses(monkeypatch):
    """An encoder that is off by two standard deviations: the mean is nearly that of the exact linear model."""
    X, _ = load_diabetes(return_X_y=True)
    vae = VAETransformer(4, init="factor_analysis", max_iter=0, random_state=0).fit(X)
    module = vae.module_.double()
    x, mask = vae.fitted_.columns.tensors(with_missing(X, 0.2, seed=1)[:50], "cpu", torch.float64)
    exact = imputation.linear_codes(module, x, mask)
    encode = module.encode
    monkeypatch.setattr(module, "encode", lambda *rows: shifted(encode(*rows)))
    generator = torch.Generator().manual_seed(0)
    u, z = (torch.randn(n, 50, 4, generator=generator, dtype=torch.float64) for n in (1500, 500))
    sizes, errors = {}, {}
    for n_adapted in (0, imputation.N_ADAPTED):
        monkeypatch.setattr(imputation, "N_ADAPTED", n_adapted)
        with torch.no_grad():
            draws = weighted_draws(module, x, mask, u, z)
        sizes[n_adapted] = effective_size(draws).median()
        error = (draws.w[..., None] * draws.z).sum(0) - exact.loc
        errors[n_adapted] = (error / exact.stddev).square().mean().sqrt()
    assert sizes[2] > 200 > 10 * sizes[0]  # of 2000
    assert errors[2] < 0.2 < errors[0] / 2  # in standard deviations; of 200 draws the standard error is 0.07


def shifted(q):
    return Normal(q.loc + 2 * q.scale, q.scale)


def test_imputation_and_scores_of_a_contaminated_normal_are_integrals_over_the_code():
    """Of one component, by the trapezoid rule in z: p(x) and E[x_d given the observed cells]."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1)) @ np.array([[1.0, -2.0, 3.0]]) + rng.normal(size=(300, 3))
    family = ContaminatedGaussian(background=0.05)
    vae = VAETransformer(1, likelihood=family, init="factor_analysis", max_iter=0, random_state=0).fit(X)
    rows = X[:6].copy()
    rows[0, 2] += 40  # an outlier of the plain model
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    log_pz = torch.distributions.Normal(0.0, 1.0).log_prob(z)[:, None]
    p = vae.decode(vae_codes(vae, z))
    log_px = torch.stack([p.log_prob(np.tile(row, (len(z), 1))) for row in rows], 1)  # (Z, n, 3)
    log_p = (log_px.sum(-1) + log_pz).logsumexp(0) + np.log(16 / 4000)
    scores = vae.score_samples(rows, 20_000)
    np.testing.assert_allclose(scores[1:], log_p[1:], atol=0.05)
    assert scores[0] < log_p[0]  # the encoder of the plain model follows the wild cell: a loose bound
    incomplete = rows.copy()
    incomplete[:, 1] = np.nan
    w = (log_px[..., [0, 2]].sum(-1) + log_pz).softmax(0)
    expected = w.T @ p.mean[:, 1]
    imputed = vae.impute(incomplete)
    np.testing.assert_array_equal(imputed[:, [0, 2]], rows[:, [0, 2]])
    np.testing.assert_allclose(imputed[:, 1], expected, atol=0.1 * X[:, 1].std())
    plain = VAETransformer(1, init="factor_analysis", max_iter=0, random_state=0).fit(X)
    assert vae.score_samples(rows)[0] > plain.score_samples(rows)[0] + 20


def vae_codes(vae, z):
    """Codes (Z, 1) as `decode` takes them."""
    return z[:, None].numpy() * vae.signs_
