"""Columns that are given: p(x | z, c) and q(z | x, c), from the closed form to training, methods and errors."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score

from skvae import Gaussian, VAETransformer
from skvae._starts.regression import fitted_log_scales
from skvae._tables.encoding import encode
from skvae._tables.selection import RowSelection

SITES = np.array(["A", "B", "C"])


def made(n=400, seed=0, missing=0.0):
    """Four columns that depend on a category, two numbers and two codes; the modelled cells may be missing."""
    rng = np.random.default_rng(seed)
    site, year, dose = rng.integers(0, 3, n), rng.integers(2000, 2020, n), rng.exponential(size=n)
    c = np.column_stack([site == 1, site == 2, (year - 2010) / 6, dose])
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 4)) + 2 * c @ rng.normal(size=(4, 4))
    X = X + 0.5 * rng.normal(size=X.shape)
    X = np.where(rng.random(X.shape) < missing, np.nan, X)
    frame = pd.DataFrame(X, columns=list("abcd"))
    return frame.assign(site=SITES[site], year=year, dose=dose)


GIVEN = ["site", "year", "dose"]


# ---------------------------------------------------------------- the linear-Gaussian model


def design(frame):
    """What the mean is regressed on: a one, indicators, numbers of the size one."""
    years = (frame["year"] - 2010) / 10
    return np.column_stack([*(frame["site"] == site for site in SITES), years, frame["dose"]]).astype(float)


def em(X, c, K, floor=1e-3, n_steps=20_000):
    """EM of x = B c + W z + e with one noise variance, row by row; the mean is a part of B c."""
    D = X.shape[1]
    seen = ~np.isnan(X)
    rng = np.random.default_rng(0)
    W, B, psi, level = rng.normal(size=(D, K)), np.zeros((D, c.shape[1])), 1.0, -np.inf
    for step in range(n_steps):
        P = np.eye(K) + np.einsum("nd,dk,dl->nkl", seen / psi, W, W)
        C = np.linalg.inv(P)
        left = np.where(seen, X - c @ B.T, 0.0)
        m = np.einsum("nkl,nl->nk", C, left @ W / psi)
        h = np.concatenate([m, c], 1)
        second = h[:, :, None] * h[:, None, :]
        second[:, :K, :K] += C
        total = 0.0
        for d in range(D):
            own = seen[:, d]
            S = second[own].sum(0)
            beta = np.linalg.solve(S, h[own].T @ X[own, d])
            total += np.square(X[own, d]).sum() - beta @ h[own].T @ X[own, d]
            W[d], B[d] = beta[:K], beta[K:]
        psi = max(total / seen.sum(), floor)
        if step % 50 == 49:
            previous, level = level, log_density(X, c @ B.T, W @ W.T + psi * np.eye(D)).mean()
            if level - previous < 1e-10:
                break
    return log_density(X, c @ B.T, W @ W.T + psi * np.eye(D))


def log_density(X, mean, covariance):
    values = np.zeros(len(X))
    for i, x in enumerate(X):
        own = ~np.isnan(x)
        if own.any():
            values[i] = multivariate_normal(mean[i][own], covariance[np.ix_(own, own)]).logpdf(x[own])
    return values


def regression_and_pca(X, c, K):
    """The closed form on complete rows: slopes B, and the covariance of probabilistic PCA of the residuals."""
    B = np.linalg.lstsq(c, X, rcond=None)[0].T
    left = X - c @ B.T
    values, vectors = np.linalg.eigh(left.T @ left / len(X))
    noise = values[:-K].mean()
    W = vectors[:, -K:] * np.sqrt(values[-K:] - noise)
    return B, W @ W.T + noise * np.eye(X.shape[1])


def ppca(X, c, K):
    B, covariance = regression_and_pca(X, c, K)
    return log_density(X, c @ B.T, covariance)


@pytest.mark.parametrize("posterior", ["full", "diag"])
def test_wine_given_its_class_is_regression_and_pca(posterior):
    X, y = load_wine(return_X_y=True)
    frame = pd.DataFrame(X, columns=[f"x{d}" for d in range(13)]).assign(kind=SITES[y])
    options = {"likelihood": Gaussian(noise="shared"), "init": "pca", "max_iter": 0, "posterior": posterior}
    vae = VAETransformer(3, conditions=["kind"], **options).fit(frame)
    expected = ppca((X - X.mean(0)) / X.std(0), np.eye(3)[y], 3) - np.log(X.std(0)).sum()
    # Single rows differ by the weights' float32, their mean, at an optimum, by its square.
    np.testing.assert_allclose(vae.score_samples(frame), expected, atol=5e-6)
    assert abs(vae.score(frame) - expected.mean()) < 1e-9


def standardised(frame):
    X = frame[list("abcd")].to_numpy()
    return (X - np.nanmean(X, 0)) / np.nanstd(X, 0), np.where(np.isnan(X), 0.0, np.log(np.nanstd(X, 0))).sum(1)


def test_two_numbers_and_a_category_are_regression_and_pca():
    frame = made()
    options = {"likelihood": Gaussian(noise="shared"), "init": "pca", "max_iter": 0, "posterior": "full"}
    vae = VAETransformer(2, conditions=GIVEN, **options).fit(frame)
    X, log_scale = standardised(frame)
    expected = ppca(X, design(frame), 2) - log_scale
    np.testing.assert_allclose(vae.score_samples(frame), expected, atol=5e-6)
    assert abs(vae.score(frame) - expected.mean()) < 1e-9


def test_conditions_and_another_column_given_are_both_conditioned_on():
    """The conditional normal of the other columns: conditions move the mean, and the column moves it through z."""
    frame = made()
    options = {"likelihood": Gaussian(noise="shared"), "init": "pca", "max_iter": 0, "posterior": "full"}
    vae = VAETransformer(2, conditions=GIVEN, **options).fit(frame)
    X, _ = standardised(frame)
    B, covariance = regression_and_pca(X, design(frame), 2)
    c = {"site": "B", "year": 2018, "dose": 0.5}
    mean = B @ design(pd.DataFrame([c]))[0]
    gain = covariance[1:, 0] / covariance[0, 0]
    drawn = vae.sample(4000, given={**c, "a": 3.0}, random_state=0)[list("abcd")].to_numpy()
    assert (drawn[:, 0] == 3).all()
    location, scale = frame[list("abcd")].mean().to_numpy(), frame[list("abcd")].std(ddof=0).to_numpy()
    drawn = ((drawn - location) / scale)[:, 1:]
    expected = mean[1:] + gain * ((3 - location[0]) / scale[0] - mean[0])
    assert abs(expected - mean[1:]).max() > 0.2  # the column matters
    np.testing.assert_allclose(drawn.mean(0), expected, atol=0.05)
    rest = covariance[1:, 1:] - np.outer(gain, covariance[0, 1:])
    np.testing.assert_allclose(np.cov(drawn.T), rest, atol=0.05)


def test_with_missing_cells_slopes_and_loadings_are_the_fixed_point_of_one_em():
    frame = made(200, missing=0.3)
    options = {"likelihood": Gaussian(noise="shared"), "init": "pca", "max_iter": 0, "posterior": "full"}
    vae = VAETransformer(2, conditions=GIVEN, **options).fit(frame)
    X, log_scale = standardised(frame)
    expected = em(X, design(frame), 2) - log_scale
    assert abs(vae.score(frame) - expected.mean()) < 1e-6


@pytest.mark.parametrize("init", ["early_factor_analysis", "factor_analysis"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_bound_is_the_density_of_the_parameters(init, missing):
    frame = made(missing=missing)
    vae = VAETransformer(2, conditions=GIVEN, init=init, max_iter=0, posterior="full").fit(frame)
    fitted, module = vae.fitted_, vae.module_
    x, mask = fitted.columns.tensors(numbers(vae, frame), "cpu", torch.float64)
    given = module.given(x, mask)
    c, affine = module.conditions(given).numpy(), module.decoder.affine
    weight, bias = affine.weight.detach().double().numpy(), affine.bias.detach().double().numpy()
    W, mean = weight[:, :2], bias + c @ weight[:, 2:].T
    with torch.no_grad():
        psi = module.decode(torch.zeros(1, 1, 2), given[:1].float()).variance[0, 0, :4].double().numpy()
    X, log_scale = standardised(frame)
    expected = log_density(X, mean, W @ W.T + np.diag(psi)) - log_scale
    np.testing.assert_allclose(vae.score_samples(frame), expected, atol=1e-5)


def numbers(vae, frame):
    return encode(vae.fitted_.schema, frame)


def test_conditions_explain_what_they_explain():
    """ln p(x | c) is above ln p(x) by what c says of x, in the same units."""
    frame = made()
    options = {"max_iter": 0, "posterior": "full"}
    conditional = VAETransformer(2, conditions=GIVEN, **options).fit(frame).score(frame)
    marginal = VAETransformer(2, **options).fit(frame[list("abcd")]).score(frame[list("abcd")])
    assert conditional > marginal + 1


def test_log_scales_are_those_of_each_level():
    """Of a category they are its levels' standard deviations, but for four rows of the common one."""
    rng = np.random.default_rng(0)
    level = rng.integers(0, 3, 3000)
    e = rng.normal(size=(3000, 2)) * np.array([[1.0, 1.0], [4.0, 1.0], [0.5, 1.0]])[level]
    e[::9, 0] = np.nan
    shares = np.bincount(level) / 3000
    c = np.eye(3) - shares
    values, vectors = np.linalg.eigh(c[level].T @ c[level] / 3000)
    T = vectors[:, 1:] / np.sqrt(values[1:])
    same = {"deviations": RowSelection(e), "known": RowSelection(c[level] @ T), "weight": np.ones(3000)}
    G = fitted_log_scales(**same, levels=c @ T)
    scales = np.exp(c @ T @ G[0])
    squares, pooled = np.square(e[:, 0]), np.nanmean(np.square(e[:, 0]))
    own = [squares[(level == k) & ~np.isnan(squares)] for k in range(3)]
    expected = np.sqrt([(each.sum() + 4 * pooled) / (len(each) + 4) for each in own])
    np.testing.assert_allclose(scales / scales[0], expected / expected[0], rtol=1e-3)
    np.testing.assert_array_equal(G[1], 0)  # one scale for all is not refined for nothing


# ---------------------------------------------------------------- trained


@pytest.mark.slow
def test_setosas_have_the_spread_of_setosas():
    """0.17 in the table; a model of all columns together makes them 1.14 wide."""
    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(X, columns=["sl", "sw", "pl", "pw"]).assign(species=load_iris().target_names[y])
    spreads = []
    for seed in range(5):
        vae = VAETransformer(2, conditions=["species"], random_state=seed).fit(frame)
        spreads.append(vae.sample(1000, given={"species": "setosa"}, random_state=seed)["pl"].std())
    assert 0.12 < np.median(spreads) < 0.25


def batches(n, D, seed):
    """Three classes on a curved sheet, measured at three sites with offsets and scales of their own."""
    rng = np.random.default_rng(seed)
    kind, site = rng.integers(0, 3, n), rng.integers(0, 3, n)
    t = 2.5 * rng.normal(size=(3, 3))[kind] + rng.normal(size=(n, 3))
    X = 3 * np.tanh(t @ rng.normal(size=(3, D)) / 3) + 0.4 * rng.normal(size=(n, D))
    shift, scale = 3 * rng.normal(size=(3, D)), np.exp(0.4 * rng.normal(size=(3, D)))
    frame = pd.DataFrame(X * scale[site] + shift[site], columns=[f"x{d}" for d in range(D)])
    return frame.assign(site=SITES[site]), kind, site


def boosted(Z, y, scoring="balanced_accuracy"):
    return cross_val_score(HistGradientBoostingClassifier(max_iter=60), Z, y, cv=3, scoring=scoring).mean()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 of the 4 components that were live")  # the sheet has three
@pytest.mark.parametrize("seed", range(3))
def test_codes_know_the_class_and_not_the_site(seed):
    frame, kind, site = batches(1500, 8, seed)
    vae = VAETransformer(4, conditions=["site"], random_state=0).fit(frame)
    Z, X = vae.transform(frame), frame.drop(columns="site")
    assert boosted(X, site) > 0.95
    assert boosted(Z, site) < 1 / 3 + 0.1
    assert boosted(Z, kind) > boosted(X, kind) - 0.02
    at_one = vae.reconstruct(frame, given={"site": "A"})
    assert set(at_one.pop("site")) == {"A"}
    assert boosted(at_one, site, "roc_auc_ovr") < 0.6


def test_a_short_fit_knows_the_class_and_not_the_site():
    frame, kind, site = batches(600, 6, 3)
    vae = VAETransformer(4, conditions=["site"], hidden_layer_sizes=(64,), max_iter=20, random_state=0).fit(frame)
    Z = vae.transform(frame)
    assert boosted(Z, site) < 1 / 3 + 0.1
    assert boosted(Z, kind) > 0.8


def test_training_is_above_the_joint_model_less_what_it_gives_the_conditions():
    """ln p(x | c) against ln p(x, c) - ln p(c), on rows that neither has seen."""
    frame, _, site = batches(900, 6, 0)
    train, test = frame[:600], frame[600:]
    options = {"hidden_layer_sizes": (64,), "max_iter": 20, "random_state": 0}
    conditional = VAETransformer(4, conditions=["site"], **options).fit(train).score(test)
    joint = VAETransformer(4, **options).fit(train).score(test)
    log_pc = np.log(np.bincount(site[:600]) / 600)[site[600:]].mean()
    assert conditional > joint - log_pc


def test_one_modelled_column_with_missing_cells():
    """No direction is left for a code, and the regression alone remains; an array of 0 and 1 is Bernoulli as ever."""
    frame = made(missing=0.3)[["a", "site"]]
    vae = VAETransformer(1, conditions=["site"], max_iter=0, random_state=0).fit(frame)
    means = frame.groupby("site")["a"].mean()
    filled = vae.impute(frame)["a"][frame["a"].isna()]
    np.testing.assert_allclose(filled, frame["site"].map(means)[frame["a"].isna()], atol=0.1)
    binary = np.column_stack([frame["a"] > 0, frame["site"] == "A", frame["site"].map({"A": 0, "B": 1, "C": 2})])
    vae = VAETransformer(1, conditions=[2], categorical_features=[2], max_iter=0).fit(binary.astype(float))
    assert [str(family) for family in vae.likelihoods_.values()] == ["Bernoulli()", "Bernoulli()", "Given(n_levels=3)"]
