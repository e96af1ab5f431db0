"""The estimator against closed forms: probabilistic PCA, factor analysis, the exact linear-Gaussian posterior."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from standardize import standardized

from skvae import ELBO, Gaussian, VAETransformer
from skvae._inference.evaluation import elbo, importance_weighted
from skvae._starts.linear_gaussian import SecondMoments, factor_analysis, probabilistic_pca
from skvae._utils.random import whitened_pairs

OPTIMUM = {"wine": -15.213, "breast_cancer": -24.625, "digits": -77.917}
LINEAR = {"n_components": 5, "hidden_layer_sizes": (), "early_stopping": False, "random_state": 0}


def linear_parts(vae):
    """W (D, K), b (D,), noise (D,) of a linear decoder in data space, from the raw weights."""
    state = {k: v.double().numpy() for k, v in vae.module_.state_dict().items()}
    scale, shift = vae.fitted_.columns.scale, vae.fitted_.columns.shift
    W = state["decoder.affine.weight"] * scale[:, None]
    b = state["decoder.affine.bias"] * scale + shift
    return W, b, vae.noise_variance_


def exact_log_likelihood(vae, X):
    W, b, noise = linear_parts(vae)
    scale = X.std(0)  # only for the condition number
    W, noise = W / scale[:, None], noise / scale**2
    return multivariate_normal(b / scale, W @ W.T + np.diag(noise)).logpdf(X / scale) - np.log(scale).sum()


def numpy_em(S, W, psi, floor, n_steps):
    """Textbook EM of factor analysis, written from Ghahramani & Hinton (1996) with E[z z'] spelled out."""
    for _ in range(n_steps):
        Sigma_inv = np.linalg.inv(W @ W.T + np.diag(psi))
        beta = W.T @ Sigma_inv
        Ezz = np.eye(W.shape[1]) - beta @ W + beta @ S @ beta.T
        W = S @ beta.T @ np.linalg.inv(Ezz)
        psi = np.maximum(np.diag(S - W @ beta @ S), floor)
    return W, psi


@pytest.mark.parametrize("name", OPTIMUM)
def test_linear_model_stays_at_the_ppca_optimum(name):
    X = standardized(name)
    vae = VAETransformer(likelihood=Gaussian(noise="shared"), max_iter=50, **LINEAR).fit(X)
    assert vae.n_iter_ == vae.best_iter_ == 50  # nothing was restored
    assert OPTIMUM[name] - 0.02 < vae.score(X) < OPTIMUM[name] + 0.001  # the optimum is printed to three decimals


@pytest.mark.parametrize("name", OPTIMUM)
def test_linear_model_reaches_the_ppca_optimum_from_a_random_initialisation(name):
    X = standardized(name)
    vae = VAETransformer(likelihood=Gaussian(noise="shared"), init="random", max_iter=50, **LINEAR).fit(X)
    assert OPTIMUM[name] - 0.2 < vae.score(X) < OPTIMUM[name] + 0.001


@pytest.mark.parametrize("posterior", ["diag", "full"])
@pytest.mark.parametrize("name", OPTIMUM)
def test_max_iter_0_is_ppca(name, posterior):
    X = standardized(name)
    vae = VAETransformer(likelihood=Gaussian(noise="shared"), posterior=posterior, max_iter=0, **LINEAR).fit(X)
    assert vae.score(X) == pytest.approx(OPTIMUM[name], abs=0.001)
    # n / (n - 1) against n in the noise variance is PCA's only difference.
    assert vae.score(X) == pytest.approx(PCA(5).fit(X).score(X), abs=0.01)
    codes, pca = vae.transform(X), PCA(5).fit_transform(X)
    correlation = np.corrcoef(codes.T, pca.T)[:5, 5:]
    np.testing.assert_allclose(np.abs(np.diag(correlation)), 1, atol=1e-5)


@pytest.mark.parametrize("init", ["pca", "factor_analysis"])
def test_score_is_exact_for_the_initialisation_in_data_space(cancer, init):
    vae = VAETransformer(6, init=init, max_iter=0, random_state=0).fit(cancer)
    exact = exact_log_likelihood(vae, cancer)
    # The weights are float32: relative error 1e-6 of a row's squared distance.
    np.testing.assert_allclose(vae.score_samples(cancer), exact, rtol=2e-4, atol=2e-3)
    assert vae.score(cancer) == pytest.approx(exact.mean(), abs=2e-3)


@pytest.mark.parametrize("noise", ["shared", "feature"])
def test_transform_is_the_exact_posterior_mean(wine, noise):
    vae = VAETransformer(likelihood=Gaussian(noise=noise), max_iter=0, **LINEAR).fit(wine)
    W, b, psi = linear_parts(vae)
    posterior = np.linalg.solve(np.eye(5) + W.T / psi @ W, W.T / psi @ (wine - b).T).T
    np.testing.assert_allclose(vae.transform(wine), posterior[:, vae.order_] * vae.signs_, atol=1e-5)


def test_factor_analysis_initialisation_is_em_with_the_same_floor(wine):
    S = wine.T @ wine / len(wine)
    ppca = probabilistic_pca(SecondMoments(wine, np.ones(len(wine))), 4, Gaussian(noise="shared").tie_noise)
    W, psi = numpy_em(S, ppca.loadings, ppca.noise, 1e-3, 1000)
    expected = multivariate_normal(np.zeros(13), W @ W.T + np.diag(psi)).logpdf(wine).mean()
    vae = VAETransformer(4, init="factor_analysis", max_iter=0, random_state=0).fit(wine)
    assert vae.score(wine) == pytest.approx(expected, abs=2e-3)
    trained = VAETransformer(4, hidden_layer_sizes=(), init="factor_analysis", early_stopping=False, max_iter=50)
    assert trained.set_params(random_state=0).fit(wine).score(wine) == pytest.approx(expected, abs=0.02)


def test_em_climbs_and_the_floor_holds():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(200, 6))
    X[:, 5] = X[:, 4]  # a duplicated column: without a floor its noise goes to zero
    X = (X - X.mean(0)) / X.std(0)
    moments, tie = SecondMoments(X, np.ones(200)), Gaussian(floor=0.01).tie_noise
    model = probabilistic_pca(moments, 2, Gaussian(noise="shared").tie_noise)
    levels = []
    for _ in range(100):
        model = moments.em_step(model, tie)
        levels.append(moments.log_likelihood(model))
    assert np.all(np.diff(levels) > -1e-10)
    assert model.noise.min() == pytest.approx(0.01)
    dense = multivariate_normal(np.zeros(6), model.loadings @ model.loadings.T + np.diag(model.noise)).logpdf(X).mean()
    assert levels[-1] == pytest.approx(dense, abs=1e-9)
    assert moments.log_likelihood(factor_analysis(moments, 2, tie)) >= levels[-1] - 1e-3


@pytest.mark.parametrize(("posterior", "loses"), [("diag", True), ("full", False)])
def test_posterior_on_a_rotated_correlated_case(posterior, loses):
    """A diagonal posterior loses exactly 1/2 (sum_j ln P_jj - ln det P) on rotated loadings, a full one nothing."""
    rng = np.random.default_rng(0)
    W, psi = rng.normal(size=(6, 3)), rng.uniform(0.2, 1.0, size=6)
    X = rng.normal(size=(400, 3)) @ W.T + rng.normal(size=(400, 6)) * np.sqrt(psi)
    # scaling=None: model space is data space
    vae = VAETransformer(3, scaling=None, posterior=posterior, max_iter=0, random_state=0, hidden_layer_sizes=()).fit(X)
    model = vae.fitted_.module_in(torch.float64)
    P = np.eye(3) + W.T / psi @ W
    projection = np.linalg.solve(P, W.T / psi)
    covariance = np.diag(1 / np.diag(P)) if posterior == "diag" else np.linalg.inv(P)
    with torch.no_grad():
        for layer, (weight, bias) in (
            (model.encoder.affine, model.posterior.start(np.zeros(3), projection, covariance)[:2]),
            (model.decoder.affine, (W, np.zeros(6))),
        ):
            layer.weight.copy_(torch.as_tensor(weight))
            layer.bias.copy_(torch.as_tensor(bias))
        log_variance, floor = model.likelihood.heads[0].own
        log_variance.copy_(torch.as_tensor(np.log(psi - floor.numpy())))
        u = whitened_pairs(2, 3, torch.Generator().manual_seed(0))
        bound = elbo(model, torch.as_tensor(X), None, u).numpy()
    exact = multivariate_normal(np.zeros(6), W @ W.T + np.diag(psi)).logpdf(X)
    gap = 0.5 * (np.log(np.diag(P)).sum() - np.linalg.slogdet(P)[1])
    assert gap > 0.5  # the case is a hard one
    np.testing.assert_allclose(exact - bound, gap if loses else 0.0, atol=1e-5)


def test_more_components_than_the_table_feeds_stay_off(wine):
    vae = VAETransformer(20, max_iter=0, random_state=0).fit(wine)
    assert (vae.kl_per_component_[12:] < 1e-10).all()
    assert np.isfinite(vae.score(wine))


def test_rows_fewer_than_columns_and_wide_tables_agree_with_pca():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 200)) + 0.3 * rng.normal(size=(30, 200))
    vae = VAETransformer(4, scaling="global", likelihood=Gaussian(noise="shared"), max_iter=0, random_state=0).fit(X)
    # scikit-learn divides the discarded variance by min(n, D) - K; the maximum-likelihood noise divides by D - K.
    values = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    noise = values[4:].sum() / 196
    expected = -0.5 * (200 * np.log(2 * np.pi) + np.log(values[:4]).sum() + 196 * np.log(noise) + 200)
    assert vae.score(X) == pytest.approx(expected, rel=1e-5)


def test_importance_weighted_bound_rises_to_the_exact_likelihood(wine):
    vae = VAETransformer(2, hidden_layer_sizes=(), posterior="diag", max_iter=0, random_state=0).fit(wine)
    model = vae.fitted_.module_in(torch.float64)
    with torch.no_grad():
        model.encoder.affine.bias[2:] += 1.0  # a posterior that is too wide: the ELBO has a gap
        x = torch.as_tensor(vae.fitted_.columns.standardize(wine))
        u = torch.randn(4000, len(x), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        bounds = [importance_weighted(model, x, None, u[:S]).mean().item() for S in (1, 10, 100, 4000)]
        gap = elbo(model, x, None, whitened_pairs(8, 2, torch.Generator().manual_seed(0))).mean().item()
    exact = exact_log_likelihood(vae, wine).mean() - vae.fitted_.columns.log_jacobian(wine, None).item()
    assert gap < exact - 0.3
    assert bounds[0] < bounds[1] < bounds[2] < exact + 0.01
    assert bounds[3] == pytest.approx(exact, abs=0.01)


def test_whitened_pairs_have_exact_moments():
    u = whitened_pairs(8, 5, torch.Generator().manual_seed(0))[:, 0]
    assert len(u) == 10  # two times K where that is more
    torch.testing.assert_close(u.mean(0), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(u.T @ u / len(u), torch.eye(5, dtype=torch.float64))


def test_score_is_in_data_space(wine):
    scaled = wine * np.geomspace(1e-3, 1e3, 13) + 10.0
    a = VAETransformer(3, max_iter=5, random_state=0).fit(wine)
    b = VAETransformer(3, max_iter=5, random_state=0).fit(scaled)
    jacobian = -np.log(np.geomspace(1e-3, 1e3, 13)).sum()
    np.testing.assert_allclose(b.score_samples(scaled), a.score_samples(wine) + jacobian, atol=1e-3)
    np.testing.assert_allclose(b.transform(scaled), a.transform(wine), atol=1e-4)


def test_large_offsets_do_not_reach_float32(wine):
    a = VAETransformer(3, max_iter=0, random_state=0).fit(wine)
    b = VAETransformer(3, max_iter=0, random_state=0).fit(wine + 1e8)
    assert b.score(wine + 1e8) == pytest.approx(a.score(wine), abs=1e-3)


def test_beta_trains_another_model_but_score_keeps_weight_one(cancer):
    noise = {"likelihood": Gaussian(noise="feature", background=0)}
    plain = VAETransformer(5, random_state=0, max_iter=60, **noise).fit(cancer)
    beta = VAETransformer(5, random_state=0, max_iter=60, objective=ELBO(beta=4.0), **noise).fit(cancer)
    assert beta.best_iter_ > 0  # by plain ELBO the start would win
    assert beta.kl_per_component_.sum() < plain.kl_per_component_.sum() - 1
    held = plain.history_[-1]
    assert held["valid_loss"] == pytest.approx(held["valid_kl"] - held["valid_reconstruction"], abs=1e-4)
