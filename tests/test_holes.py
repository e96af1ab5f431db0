"""Missing cells: the exact start, conditioning, EM on observed cells, imputation, conditional samples."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris
from standardize import standardized

from skvae import IWAE, VAETransformer, metrics
from skvae._starts.linear_gaussian import LinearGaussian, ObservedCells, SecondMoments, climb, factor_analysis


def with_holes(X, share, seed=0):
    return np.where(np.random.default_rng(seed).uniform(size=X.shape) < share, np.nan, X)


def linear_model(vae):
    """Loadings, mean and noise of a started model with a Gaussian likelihood, in data units."""
    module, columns = vae.module_, vae._columns
    with torch.no_grad():
        noise = module.decode(torch.zeros(1, 1, module.width)).variance[0, 0]
    loadings, mean, noise = (
        a.detach().double().numpy() for a in (module.decoder.affine.weight, module.decoder.affine.bias, noise)
    )
    return loadings * columns.scale[:, None], mean * columns.scale + columns.shift, noise * columns.scale**2


def oracle(vae, X):
    """Row by row: ln p(x_obs), what the best independent posterior loses, E[z | x_obs] and E[x | x_obs]."""
    W, mean, noise = linear_model(vae)
    covariance = W @ W.T + np.diag(noise)
    rows = []
    for x in X:
        o = ~np.isnan(x)
        P = np.eye(W.shape[1]) + (W[o] / noise[o, None]).T @ W[o]
        z = np.linalg.solve(P, W[o].T @ ((x - mean)[o] / noise[o]))
        log_p = multivariate_normal(mean[o], covariance[np.ix_(o, o)]).logpdf(x[o]) if o.any() else 0.0
        rows.append((log_p, 0.5 * (np.log(np.diag(P)).sum() - np.linalg.slogdet(P)[1]), z, mean + W @ z))
    return [np.array(part) for part in zip(*rows, strict=True)]


@pytest.mark.parametrize("init", ["factor_analysis", "pca"])
@pytest.mark.parametrize("posterior", ["full", "diag"])
@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_the_start_with_holes_is_exact_up_to_the_gap_of_independence(name, posterior, init):
    """30 % missing: "full" is the exact posterior; "diag" loses (sum ln P_jj - ln det P) / 2 of each row's pattern."""
    X = with_holes(standardized(name), 0.3)
    vae = VAETransformer(5, posterior=posterior, init=init, max_iter=0, random_state=0).fit(X)
    log_p, gap, z, _ = oracle(vae, X)
    assert gap.mean() > 0.01
    np.testing.assert_allclose(vae.score_samples(X), log_p - (gap if posterior == "diag" else 0), atol=2e-5)
    order, signs = vae.order_, vae.signs_
    np.testing.assert_allclose(vae.transform(X), z[:, order] * signs, atol=1e-3)  # weights are float32


def test_rows_with_all_and_with_no_cells(wine):
    X = with_holes(wine, 0.3)
    X[0], X[1] = np.nan, wine[1]
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(X)
    log_p, _, _, mean = oracle(vae, X[:2])
    np.testing.assert_allclose(vae.score_samples(X[:2]), log_p, atol=1e-5)
    assert vae.score_samples(X[:1]) == pytest.approx(0, abs=1e-6)  # nothing seen, nothing to explain
    np.testing.assert_allclose(vae.transform(X[:1]), 0, atol=1e-6)
    np.testing.assert_allclose(vae.impute(X[:1]), mean[:1], atol=0.15)  # 200 draws of a mean of unit scale


@pytest.mark.parametrize("posterior", ["diag", "full", "laplace", "student_t", "flow", "point", "log_normal"])
def test_a_mask_without_holes_changes_nothing(wine, posterior):
    objective = "ae" if posterior == "point" else "elbo"
    vae = VAETransformer(3, posterior=posterior, objective=objective, max_iter=3, random_state=0)
    module = vae.fit(with_holes(wine, 0.2)).module_.double()
    x = torch.from_numpy(wine)
    full = torch.ones_like(x, dtype=torch.bool)
    torch.testing.assert_close(module.encoder(x, full), module.encoder(x, None))
    lone = full.clone()
    lone[0, 0] = False  # one row is conditioned alone, not with all others
    torch.testing.assert_close(module.encoder(x, lone)[1:], module.encoder(x, None)[1:])


def test_a_table_without_holes_has_the_networks_it_always_had(wine):
    vae = VAETransformer(3, max_iter=2, random_state=0).fit(wine)
    names = {name.partition(".")[2] for name, _ in vae.module_.encoder.named_parameters()}
    shapes = [tuple(p.shape) for p in vae.module_.encoder.net.parameters()]
    assert not hasattr(vae.module_.encoder, "table")
    assert names == {"weight", "bias", "0.weight", "0.bias", "2.weight"}
    assert shapes[0] == (128, 13)


def test_em_on_observed_cells_climbs_and_is_factor_analysis_without_holes(wine):
    tie = lambda noise: np.maximum(noise, 1e-3)  # noqa: E731
    weight = np.random.default_rng(0).uniform(0.5, 2, len(wine))
    centred = wine - weight @ wine / weight.sum()
    moments, rows = SecondMoments(centred, weight), ObservedCells(centred, weight)
    model = factor_analysis(moments, 3, tie, max_iter=5)
    assert rows.log_likelihood(model) == pytest.approx(moments.log_likelihood(model), abs=1e-10)
    one, other = moments.em_step(model, tie), rows.em_step(model, tie)
    np.testing.assert_allclose(other.loadings, one.loadings, atol=1e-8)
    np.testing.assert_allclose(other.noise, one.noise, atol=1e-8)
    np.testing.assert_allclose(other.mean, 0, atol=1e-10)

    rows = ObservedCells(with_holes(centred, 0.4), weight)
    levels = [rows.log_likelihood(model)]
    for _ in range(60):
        model = rows.em_step(model, tie)
        levels.append(rows.log_likelihood(model))
    assert np.diff(levels).min() > -1e-10
    assert levels[-1] > levels[0] + 0.1
    assert rows.log_likelihood(climb(model, rows, tie, 2000)) >= levels[-1]


def test_em_recovers_the_truth_behind_the_holes():
    """2000 rows of a known model, 40 % missing: covariance within what that many rows can tell."""
    rng = np.random.default_rng(0)
    W, noise = rng.normal(size=(8, 2)), rng.uniform(0.2, 1, 8)
    X = rng.normal(size=(2000, 2)) @ W.T + rng.normal(size=(2000, 8)) * np.sqrt(noise) + 5
    vae = VAETransformer(2, init="factor_analysis", max_iter=0, random_state=0).fit(with_holes(X, 0.4))
    W_hat, mean, noise_hat = linear_model(vae)
    np.testing.assert_allclose(W_hat @ W_hat.T + np.diag(noise_hat), W @ W.T + np.diag(noise), atol=0.35)
    np.testing.assert_allclose(mean, 5, atol=0.2)


def test_columns_without_a_cell_and_nothing_else_missing(wine):
    X = wine.copy()
    X[:, 3] = np.nan
    vae = VAETransformer(3, max_iter=5, random_state=0).fit(X)
    rest = VAETransformer(3, max_iter=0, random_state=0).fit(np.delete(X, 3, axis=1))
    start = VAETransformer(3, max_iter=0, random_state=0).fit(X)
    assert start.score(X) == pytest.approx(rest.score(np.delete(X, 3, axis=1)), abs=1e-3)
    assert np.isfinite(vae.score(X))
    assert (vae.impute(X)[:, 3] == 0).all()


# ---------------------------------------------------------------- imputation


def test_imputed_means_are_the_conditional_ones(wine):
    """Linear-Gaussian model: E[x_mis | x_obs] in closed form, to the error of 2000 weighted draws."""
    X = with_holes(wine, 0.3)
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(X)
    _, _, _, mean = oracle(vae, X)
    imputed = vae.impute(X, n_importance_samples=2000)
    missing = np.isnan(X)
    np.testing.assert_array_equal(imputed[~missing], X[~missing])
    # sd of z given x is below 1 and loadings below 1: 4 standard errors of a mean of some 1500 draws
    np.testing.assert_allclose(imputed[missing], mean[missing], atol=0.1)
    np.testing.assert_allclose(vae.impute(X[5:9], n_importance_samples=2000), imputed[5:9], atol=1e-5)  # row by row


def test_drawn_tables_have_the_conditional_distribution(wine):
    X = with_holes(wine, 0.3)[:3]
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(with_holes(wine, 0.3))
    W, mean, noise = linear_model(vae)
    covariance = W @ W.T + np.diag(noise)
    tables = np.stack(vae.impute(X, n_draws=3000, n_importance_samples=4000, random_state=0))
    assert tables.shape == (3000, 3, 13)
    for i, x in enumerate(X):
        o, m = ~np.isnan(x), np.isnan(x)
        gain = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
        np.testing.assert_allclose(tables[:, i, m].mean(0), mean[m] + gain @ (x - mean)[o], atol=0.15)
        expected = covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]
        np.testing.assert_allclose(np.cov(tables[:, i, m].T), expected, atol=0.2)
        assert (tables[:, i, o] == x[o]).all()
    again = np.stack(vae.impute(X, n_draws=2, n_importance_samples=50, random_state=1))
    np.testing.assert_array_equal(again, np.stack(vae.impute(X, 2, 50, random_state=1)))


def test_a_model_of_whole_rows_imputes_rows_with_holes(cancer):
    """Nothing was missing in fit: the conditioning comes from the start, the weights put the rest right."""
    vae = VAETransformer(5, init="factor_analysis", max_iter=30, random_state=0).fit(cancer)
    holes = with_holes(cancer, 0.3)
    missing, scale = np.isnan(holes), cancer.std(0)
    with pytest.warns(UserWarning, match="worth fewer than 10 draws"):  # trained on rows without holes
        error = np.square((vae.impute(holes) - cancer) / scale)[missing].mean()
    assert error < 0.5  # the column mean has 1
    assert np.isfinite(vae.score_samples(holes)).all()


@pytest.mark.parametrize("objective", ["elbo", IWAE(n_samples=5), "ae", "avb"])
def test_objectives_train_on_holes(cancer, objective):
    """MIWAE is the importance-weighted bound over the observed cells (Mattei & Frellsen 2019, eq. 4)."""
    holes = with_holes(cancer, 0.3)
    settings = {"init": "factor_analysis", "learning_rate": 1e-3, "random_state": 0}
    vae = VAETransformer(5, objective=objective, max_iter=15, **settings).fit(holes)
    missing, scale = np.isnan(holes), cancer.std(0)
    assert np.square((vae.impute(holes) - cancer) / scale)[missing].mean() < 0.6
    if objective in ("ae", "avb"):
        return
    start = VAETransformer(5, init="factor_analysis", max_iter=0, random_state=0).fit(holes)
    assert vae.score_samples(holes, 50).mean() > start.score_samples(holes, 50).mean() + 1


@pytest.mark.parametrize(("name", "value"), [("n_draws", 0), ("n_importance_samples", 1.5), ("n_draws", "many")])
def test_counts_of_draws_are_checked(wine, name, value):
    vae = VAETransformer(2, max_iter=0).fit(wine)
    with pytest.raises(ValueError, match=f"The '{name}' parameter of VAETransformer.impute must be an int"):
        vae.impute(wine, **{name: value})


def test_holes_keep_the_invariances(cancer):
    """Repetition, order, units and pickling with missing cells."""
    X = with_holes(cancer[:150], 0.2)
    weight = np.random.default_rng(1).integers(0, 3, len(X))
    make = lambda: VAETransformer(3, max_iter=3, random_state=0)  # noqa: E731
    weighted = make().fit(X, sample_weight=weight)
    repeated = make().fit(np.repeat(X, weight, axis=0)[::-1])
    np.testing.assert_array_equal(weighted.transform(X), repeated.transform(X))
    scaled = make().fit(1000 * X + 7)
    np.testing.assert_allclose(scaled.transform(1000 * X + 7), make().fit(X).transform(X), atol=1e-4)


def test_effective_sample_size_of_rows_with_holes_is_full_where_q_is_exact(wine):
    X = with_holes(wine, 0.3)
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(X)
    np.testing.assert_allclose(metrics.effective_sample_size(vae, X, 50), 50, rtol=1e-4)


# ---------------------------------------------------------------- conditional samples


def test_conditional_samples_have_the_conditional_distribution(wine):
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(wine)
    W, mean, noise = linear_model(vae)
    covariance = W @ W.T + np.diag(noise)
    drawn = vae.sample(4000, given={0: 1.5, 6: -1.0}, random_state=0)
    o = [0, 6]
    gain = covariance[:, o] @ np.linalg.inv(covariance[np.ix_(o, o)])
    expected = mean + gain @ (np.array([1.5, -1.0]) - mean[o])
    assert (drawn[:, o] == [1.5, -1.0]).all()
    np.testing.assert_allclose(drawn.mean(0), expected, atol=0.1)
    rest = covariance - gain @ covariance[o]
    np.testing.assert_allclose(np.cov(drawn.T), rest, atol=0.12)


def test_given_cells_are_checked():
    iris = load_iris(as_frame=True).data
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(iris)
    with pytest.raises(ValueError, match="'given' names the column 'colour'"):
        vae.sample(2, given={"colour": 1.0})
    with pytest.raises(ValueError, match="holds numbers"):
        vae.sample(2, given={"petal width (cm)": "wide"})
    with pytest.raises(ValueError, match="at least one entry"):
        vae.sample(2, given={})
    counts = VAETransformer(2, likelihood="poisson", max_iter=1).fit(np.random.default_rng(0).poisson(3, (50, 3)))
    with pytest.raises(ValueError, match="outside the support"):
        counts.sample(2, given={0: -1})
    with pytest.raises(ValueError, match="weighs codes"):
        VAETransformer(2, objective="ae", max_iter=1).fit(iris).sample(2, given={"petal width (cm)": 1.0})


def test_a_rare_combination_is_told(cancer):
    vae = VAETransformer(10, max_iter=50, random_state=0).fit(cancer)
    with pytest.warns(UserWarning, match="so rare"):
        vae.sample(
            3, given=dict(enumerate(cancer[:15].mean(0) + 3 * cancer.std(0) * (-1) ** np.arange(30))), random_state=0
        )


# ---------------------------------------------------------------- anomalies


def test_score_columns_is_the_density_under_the_rows_posterior(wine):
    """Linear-Gaussian model: x_d | row ~ N(w_d m + mean_d, w_d C w_d' + psi_d)."""
    X = with_holes(wine, 0.2)
    vae = VAETransformer(3, posterior="full", max_iter=0, n_score_samples=4000, random_state=0).fit(X)
    W, mean, noise = linear_model(vae)
    expected = np.full(X.shape, np.nan)
    for i, x in enumerate(X):
        o = ~np.isnan(x)
        C = np.linalg.inv(np.eye(3) + (W[o] / noise[o, None]).T @ W[o])
        centre = mean + W @ C @ (W[o].T @ ((x - mean)[o] / noise[o]))
        variance = np.einsum("dk,kl,dl->d", W, C, W) + noise
        log_p = -0.5 * (np.log(2 * np.pi * variance) + (x - centre) ** 2 / variance)
        expected[i, o] = log_p[o]
    scores = vae.score_columns(X)
    assert scores.shape == X.shape
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(X))
    np.testing.assert_allclose(scores, expected, atol=0.1)


def test_a_broken_cell_is_found():
    iris = load_iris(as_frame=True).data
    # Factor analysis has hardly any noise for petal lengths: codes would follow the broken cell, and others look wrong.
    vae = VAETransformer(2, init="pca", max_iter=30, random_state=0).fit(iris)
    broken = iris.copy()
    broken.iloc[::10, 2] = 6.9 - broken.iloc[::10, 2]  # a petal as long as another species has
    scores = vae.score_columns(broken)
    ranks = (scores - vae.score_columns(iris).mean(0))[::10].argmin(1)
    assert (ranks == 2).mean() > 0.6
    assert isinstance(scores, np.ndarray)
    assert vae.score_samples(broken)[::10].mean() < vae.score_samples(iris)[::10].mean() - 1


@pytest.mark.filterwarnings("ignore:The importance weights:UserWarning")  # duplicates leave hardly any noise
def test_log_likelihood_of_a_linear_gaussian_without_noise_columns_is_finite():
    """Columns that nothing is known of, a constant one and a duplicate, all with holes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    X[:, 1], X[:, 2] = 3.0, X[:, 0]
    X = np.c_[with_holes(X, 0.3), np.full(80, np.nan)]
    for init in ("pca", "factor_analysis"):
        vae = VAETransformer(2, init=init, max_iter=5, random_state=0).fit(X)
        assert np.isfinite(vae.score(X))
        assert np.isfinite(vae.impute(X)).all()


def test_linear_gaussian_precisions_add_up():
    model = LinearGaussian(np.random.default_rng(0).normal(size=(5, 2)), np.full(5, 0.5))
    _, C = model.posterior()
    np.testing.assert_allclose(np.linalg.inv(np.eye(2) + model.precisions().sum(0)), C)


def test_impute_gives_back_the_frame():
    iris = load_iris(as_frame=True).data.iloc[::-1]
    holes = iris.mask(np.random.default_rng(0).uniform(size=iris.shape) < 0.2)
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(holes)
    imputed = vae.impute(holes)
    assert isinstance(imputed, pd.DataFrame)
    pd.testing.assert_index_equal(imputed.index, iris.index)
    assert (imputed.dtypes == iris.dtypes).all()
    pd.testing.assert_frame_equal(imputed.where(holes.notna()), holes)
    assert np.allclose(imputed, imputed.round(1))  # the decimals of the table


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_holes_in_bfloat16(wine, share):
    """Some rows with holes, then nearly all: conditioned alone, and together with the others."""
    X = with_holes(wine, share)
    vae = VAETransformer(3, precision="bfloat16", max_iter=3, early_stopping=False, random_state=0).fit(X)
    exact = VAETransformer(3, max_iter=3, early_stopping=False, random_state=0).fit(X)
    assert vae.score(X) == pytest.approx(exact.score(X), abs=0.2)


def test_em_knows_the_mean_behind_cells_that_are_missing_at_random():
    """y is missing where x is large: the mean of the observed y is biased, that of the model is not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    X = np.c_[x, x + 0.3 * rng.normal(size=3000), x + 0.3 * rng.normal(size=3000)]
    X[x > 0.3, 1] = np.nan
    vae = VAETransformer(1, init="factor_analysis", max_iter=0, random_state=0).fit(X)
    _, mean, _ = linear_model(vae)
    assert np.nanmean(X[:, 1]) < -0.4
    assert mean[1] == pytest.approx(0, abs=0.05)
    assert vae.impute(X)[:, 1].mean() == pytest.approx(0, abs=0.05)
