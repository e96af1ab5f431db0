"""Imputed cells and sampled rows, against conditional distributions in closed form."""

import numpy as np
import pandas as pd
import pytest
from linear_oracle import linear_model, oracle, with_missing
from sklearn.datasets import load_iris

from skvae import Gaussian, VAETransformer
from skvae._inference.fitted import Fitted


def test_imputed_means_are_the_conditional_ones(wine, monkeypatch):
    """Linear-Gaussian model: E[x_mis | x_obs] in closed form, and to the error of 2000 weighted draws."""
    X = with_missing(wine, 0.3)
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(X)
    _, _, _, mean = oracle(vae, X)
    imputed = vae.impute(X)
    missing = np.isnan(X)
    np.testing.assert_array_equal(imputed[~missing], X[~missing])
    np.testing.assert_allclose(imputed[missing], mean[missing], rtol=1e-5, atol=1e-5)  # of float32
    np.testing.assert_allclose(vae.impute(X[5:9]), imputed[5:9], atol=1e-5)  # row by row

    monkeypatch.setattr(Fitted, "not_linear", "a reason to weigh codes")
    weighted = vae.impute(X, n_importance_samples=2000)
    # sd of z given x is below 1 and loadings below 1: 4 standard errors of a mean of some 1500 draws
    np.testing.assert_allclose(weighted[missing], mean[missing], atol=0.1)
    np.testing.assert_allclose(vae.impute(X[5:9], n_importance_samples=2000), weighted[5:9], atol=1e-5)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_drawn_tables_have_the_conditional_distribution(wine, is_weighted, monkeypatch):
    if is_weighted:
        monkeypatch.setattr(Fitted, "not_linear", "a reason to weigh codes")
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


def test_codes_of_a_row_make_rows_like_it(wine):
    """Linear-Gaussian model: E[z | x] and Cov[z | x] in closed form, so mean and covariance of rows are known."""
    vae = VAETransformer(3, posterior="full", max_iter=0, random_state=0).fit(wine)
    W, mean, noise = linear_model(vae)
    of_z = np.linalg.inv(np.eye(3) + W.T @ (W / noise[:, None]))
    n, scale = 20_000, wine.std(0)
    made = vae.sample(n, random_state=0, codes_of=wine[7:8])
    expected = mean + W @ of_z @ W.T @ ((wine[7] - mean) / noise)
    covariance = W @ of_z @ W.T + np.diag(noise)
    np.testing.assert_allclose((made.mean(0) - expected) / scale, 0, atol=5 / np.sqrt(n))
    np.testing.assert_allclose((np.cov(made.T) - covariance) / np.outer(scale, scale), 0, atol=7 / np.sqrt(n))
    two = vae.sample(n, random_state=0, codes_of=wine[[7, 150]])  # half of the rows from each
    other = mean + W @ of_z @ W.T @ ((wine[150] - mean) / noise)
    np.testing.assert_allclose((two.mean(0) - (expected + other) / 2) / scale, 0, atol=0.05)
    np.testing.assert_array_equal(made, vae.sample(n, random_state=0, codes_of=wine[7:8]))


def test_codes_of_rows_bring_their_conditions_and_missing_cells():
    rng = np.random.default_rng(0)
    site = rng.choice(["a", "b"], 300)
    frame = pd.DataFrame({"x": rng.normal(size=300), "y": rng.normal(size=300) + 9 * (site == "b"), "site": site})
    vae = VAETransformer(1, max_iter=0, conditions="site", random_state=0).fit(frame)
    made = vae.sample(200, random_state=0, codes_of=frame[site == "b"].assign(x=np.nan))
    assert (made["site"] == "b").all()
    assert made["y"].min() > 4
    assert made.notna().all(axis=None)


def test_columns_are_left_out():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "who": [f"u{i}" for i in range(60)], "y": rng.normal(size=60)})
    with pytest.warns(UserWarning, match=r"leave it out of made rows: sample\(..., without='who'\)"):
        vae = VAETransformer(1, max_iter=0, random_state=0).fit(frame)
    whole = vae.sample(5, random_state=0)
    pd.testing.assert_frame_equal(vae.sample(5, random_state=0, without="who"), whole[["x", "y"]])
    pd.testing.assert_frame_equal(vae.sample(5, random_state=0, without=["y", 0]), whole[["who"]])
    array = VAETransformer(1, max_iter=0, random_state=0).fit(frame[["x", "y"]].to_numpy())
    np.testing.assert_array_equal(array.sample(5, 0, without=0), array.sample(5, 0)[:, 1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"without": "z"}, "The 'without' parameter names the column 'z'"),
        ({"without": [0, 1, 2, 3]}, r"sample\(without=...\) names all columns"),
        ({"codes_of": np.empty((0, 4))}, "0 sample"),
        ({"codes_of": np.ones((2, 3))}, "3 features"),
        ({"codes_of": np.ones((2, 4)), "given": {0: 5.0}}, "'given' or 'codes_of'"),
    ],
)
def test_what_sample_cannot_do(arguments, message):
    vae = VAETransformer(1, max_iter=0).fit(load_iris().data)
    with pytest.raises(ValueError, match=message):
        vae.sample(3, **arguments)


def test_codes_of_rows_need_an_encoder():
    gan = VAETransformer(1, objective="gan", likelihood=Gaussian(background=0), max_iter=1).fit(load_iris().data)
    with pytest.raises(ValueError, match=r"objective=GAN\(\) has no encoder"):
        gan.sample(3, codes_of=load_iris().data)
