"""Imputed cells and sampled rows, against conditional distributions in closed form."""

import numpy as np
import pandas as pd
import pytest
from linear_oracle import linear_model, oracle, with_missing
from sklearn.datasets import load_iris

from skvae import VAETransformer


def test_imputed_means_are_the_conditional_ones(wine):
    """Linear-Gaussian model: E[x_mis | x_obs] in closed form, to the error of 2000 weighted draws."""
    X = with_missing(wine, 0.3)
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(X)
    _, _, _, mean = oracle(vae, X)
    imputed = vae.impute(X, n_importance_samples=2000)
    missing = np.isnan(X)
    np.testing.assert_array_equal(imputed[~missing], X[~missing])
    # sd of z given x is below 1 and loadings below 1: 4 standard errors of a mean of some 1500 draws
    np.testing.assert_allclose(imputed[missing], mean[missing], atol=0.1)
    np.testing.assert_allclose(vae.impute(X[5:9], n_importance_samples=2000), imputed[5:9], atol=1e-5)  # row by row


def test_drawn_tables_have_the_conditional_distribution(wine):
    X = with_missing(wine, 0.3)[:3]
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(with_missing(wine, 0.3))
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


def test_a_model_of_complete_rows_imputes_incomplete_ones(cancer):
    """Nothing was missing in fit: the conditioning comes from the initialisation, the weights put the rest right."""
    vae = VAETransformer(5, init="factor_analysis", max_iter=30, random_state=0).fit(cancer)
    incomplete = with_missing(cancer, 0.3)
    missing, scale = np.isnan(incomplete), cancer.std(0)
    with pytest.warns(UserWarning, match="worth fewer than 10 draws"):  # trained on complete rows
        error = np.square((vae.impute(incomplete) - cancer) / scale)[missing].mean()
    assert error < 0.6  # the column mean has 1; 0.49 to 0.51, by the processor
    assert np.isfinite(vae.score_samples(incomplete)).all()


@pytest.mark.parametrize(("name", "value"), [("n_draws", 0), ("n_importance_samples", 1.5), ("n_draws", "many")])
def test_counts_of_draws_are_checked(wine, name, value):
    vae = VAETransformer(2, max_iter=0).fit(wine)
    with pytest.raises(ValueError, match=f"The '{name}' parameter of VAETransformer.impute must be an int"):
        vae.impute(wine, **{name: value})


def test_impute_gives_back_the_frame():
    iris = load_iris(as_frame=True).data.iloc[::-1]
    incomplete = iris.mask(np.random.default_rng(0).uniform(size=iris.shape) < 0.2)
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(incomplete)
    imputed = vae.impute(incomplete)
    assert isinstance(imputed, pd.DataFrame)
    pd.testing.assert_index_equal(imputed.index, iris.index)
    assert (imputed.dtypes == iris.dtypes).all()
    pd.testing.assert_frame_equal(imputed.where(incomplete.notna()), incomplete)
    assert np.allclose(imputed, imputed.round(1))  # the decimals of the table


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


def test_a_rare_combination_is_a_warning(cancer):
    vae = VAETransformer(10, max_iter=50, random_state=0).fit(cancer)
    with pytest.warns(UserWarning, match="so rare"):
        vae.sample(
            3, given=dict(enumerate(cancer[:15].mean(0) + 3 * cancer.std(0) * (-1) ** np.arange(30))), random_state=0
        )


def test_gan_with_several_families():
    table = np.abs(np.random.default_rng(0).normal(size=(150, 3)))
    gan = VAETransformer(2, objective="gan", likelihood=[("gamma", [0]), ("laplace", [1])], max_iter=2, random_state=0)
    assert (gan.fit(table).sample(50, random_state=0)[:, 0] > 0).all()


def test_draws_of_a_row_do_not_depend_on_the_others(wine):
    """But for how many rows before it are equal to it: copies have draws of their own."""
    X = with_missing(wine, 0.3)
    vae = VAETransformer(3, max_iter=0, random_state=0).fit(X)
    first, second = vae.impute(X, n_draws=2, random_state=0)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(vae.impute(X[order], 2, random_state=0)[1], second[order], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(vae.impute(X[40:43], 2, random_state=0)[0], first[40:43], rtol=1e-4, atol=1e-4)
    row = np.where(np.arange(13) < 6, X[:1], np.nan)
    copies = vae.impute(np.repeat(row, 400, axis=0), n_draws=2, random_state=0)[0]
    assert len(np.unique(copies[:, 6:])) == 400 * 7
    np.testing.assert_allclose(copies[:1], vae.impute(row, 2, random_state=0)[0], rtol=1e-4, atol=1e-4)
    alone = np.stack(vae.impute(row, n_draws=400, random_state=1))[:, 0, 6:]
    np.testing.assert_allclose(copies[:, 6:].std(axis=0), alone.std(axis=0), rtol=0.25)  # 5 standard errors
