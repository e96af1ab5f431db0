"""Rubin's rules against numbers by hand and his own special cases; imputed analyses, and how often they are right."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from scipy.stats import t as student_t
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skvae import VAEImputer, VAETransformer, multiple_imputation, pool_estimates

QUICK = VAEImputer(VAETransformer(2, max_iter=0, posterior="full", init="factor_analysis"))


def regression(n, seed):
    """Rows of y = x0 / 2 + x1 + e, of which x1 is missing the more often the larger y is."""
    rng = np.random.default_rng(seed)
    x0 = rng.normal(size=n)
    x1 = 0.5 * x0 + rng.normal(size=n)
    y = 0.5 * x0 + x1 + rng.normal(size=n)
    return np.column_stack([x0, np.where(rng.random(n) < 1 / (1 + np.exp(-1.5 * y)), np.nan, x1)]), y


def least_squares(X, y):
    """Coefficients and their variances, in closed form."""
    A = np.column_stack([np.ones(len(X)), X])
    inverse = np.linalg.inv(A.T @ A)
    b = inverse @ A.T @ y
    return b, np.square(y - A @ b).sum() / (len(X) - 3) * np.diag(inverse)


# ---------------------------------------------------------------- Rubin's rules


def test_pooled_numbers_by_hand():
    """Rubin (1987), eqs. 3.1.2 to 3.1.7: nu = (M - 1) (1 + 1/r)^2 with r = (1 + 1/M) b / u."""
    q, u = np.array([1.0, 1.2, 1.1, 0.9]), np.array([0.04, 0.05, 0.04, 0.05])
    pooled = pool_estimates(q, u)
    b = np.square(q - 1.05).sum() / 3
    r = 1.25 * b / 0.045
    assert pooled.estimates[0] == pytest.approx(1.05)
    assert pooled.variances[0] == pytest.approx(0.045 + 1.25 * b)
    assert pooled.degrees_of_freedom[0] == pytest.approx(3 * (1 + 1 / r) ** 2)
    low, high = pooled.interval(0.9)
    half = student_t.ppf(0.95, 3 * (1 + 1 / r) ** 2) * np.sqrt(0.045 + 1.25 * b)
    np.testing.assert_allclose([low[0], high[0]], [1.05 - half, 1.05 + half])
    frame = pool_estimates(q, u, names=["effect"]).to_frame(0.9)
    assert frame.loc["effect", "low"] == low[0]
    assert frame.loc["effect", "p-value"] == pytest.approx(
        2 * student_t.sf(1.05 / np.sqrt(pooled.variances[0]), pooled.degrees_of_freedom[0])
    )


def test_limits_of_the_degrees_of_freedom():
    """Without differences those of the complete table, times (nu + 1) / (nu + 3); with nothing else, M - 1 at most."""
    same = pool_estimates(np.ones((5, 2)), np.full((5, 2), 0.1), complete_df=20)
    np.testing.assert_allclose(same.degrees_of_freedom, 20 * 21 / 23)
    np.testing.assert_array_equal(same.missing_information, 0)
    assert np.isinf(pool_estimates(np.ones(5), np.full(5, 0.1)).degrees_of_freedom).all()
    only = pool_estimates(np.arange(5.0), np.zeros(5))
    assert only.degrees_of_freedom[0] == pytest.approx(4)
    assert pool_estimates(np.arange(5.0), np.zeros(5), complete_df=20).degrees_of_freedom[0] == 0
    many = pool_estimates(np.arange(5.0), np.ones(5), complete_df=1e9)
    np.testing.assert_allclose(many.degrees_of_freedom, pool_estimates(np.arange(5.0), np.ones(5)).degrees_of_freedom)


@pytest.mark.parametrize(
    ("q", "u", "message"),
    [
        ([1.0], [1.0], "at least two draws"),
        ([1.0, 2.0], [[1.0], [2.0]], "must have one shape"),
        ([1.0, 2.0], [1.0, -1.0], "not negative"),
        ([1.0, np.nan], [1.0, 1.0], "must be finite"),
    ],
)
def test_bad_estimates(q, u, message):
    with pytest.raises(ValueError, match=message):
        pool_estimates(q, u)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"complete_df": 0}, "The 'complete_df' parameter of pool_estimates"),
        ({"complete_df": np.nan}, "The 'complete_df' parameter of pool_estimates"),
        ({"names": ["a", "b"]}, "names has 2 entries, and there are 1 estimates"),
    ],
)
def test_bad_options_of_pooling(arguments, message):
    with pytest.raises(ValueError, match=message):
        pool_estimates([1.0, 2.0], [1.0, 1.0], **arguments)


# ---------------------------------------------------------------- analyses


def test_complete_tables_give_the_estimates_themselves():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = X @ [1, 2] + rng.normal(size=60)
    exact, variance = least_squares(X, y)
    pooled = multiple_imputation(least_squares, X, y, imputer=QUICK, n_draws=2, random_state=0)
    np.testing.assert_allclose(pooled.estimates, exact)
    np.testing.assert_allclose(pooled.standard_errors, np.sqrt(variance))
    np.testing.assert_allclose(pooled.degrees_of_freedom, 59 * 60 / 62)
    drawn = multiple_imputation(LinearRegression(), X, y, imputer=QUICK, n_draws=2, n_resamples=200, random_state=0)
    np.testing.assert_allclose(drawn.estimates, exact)
    assert drawn.names == ("intercept", "x0", "x1")
    np.testing.assert_allclose(drawn.degrees_of_freedom, 57 * 58 / 60)
    # 400 resamples: 4 % error of a standard error, and the bootstrap's own bias of some (n - p) / n
    np.testing.assert_allclose(drawn.standard_errors, np.sqrt(variance), rtol=0.25)


def test_what_is_missing_shows_in_the_standard_errors():
    X, y = regression(200, seed=0)
    pooled = multiple_imputation(least_squares, X, y, imputer=QUICK, n_draws=5, random_state=0)
    known = ~np.isnan(X[:, 1])
    assert 0.4 < known.mean() < 0.6
    truth = np.array([0, 0.5, 1])
    assert (np.abs(pooled.estimates - truth) < 3 * pooled.standard_errors).all()
    of_complete_rows = least_squares(X[known], y[known])[0]
    assert np.abs(of_complete_rows - truth).sum() > 3 * np.abs(pooled.estimates - truth).sum()
    assert (pooled.missing_information > 0.1).all()
    options = {"imputer": QUICK, "n_draws": 2, "bootstrap": False, "random_state": 0}
    first, again = (multiple_imputation(least_squares, X, y, **options) for _ in range(2))
    np.testing.assert_array_equal(first.estimates, again.estimates)
    assert (first.estimates != pooled.estimates).all()


def test_frames_pipelines_and_classes():
    rng = np.random.default_rng(0)
    size = rng.normal(size=150)
    X = pd.DataFrame({"size": size, "kind": np.where(size + rng.normal(size=150) > 0, "a", "b")})
    y = np.where(size + rng.normal(size=150) > 0, "yes", "no")
    X = X.mask(rng.random(X.shape) < 0.2)
    columns = make_column_transformer(
        (StandardScaler(), ["size"]), (OneHotEncoder(drop="first"), ["kind"]), verbose_feature_names_out=False
    )
    model = make_pipeline(columns, LogisticRegression())
    options = {"imputer": QUICK, "n_draws": 2, "n_resamples": 5, "random_state": 0}
    pooled = multiple_imputation(model, X, y, **options)
    assert list(pooled.to_frame().index) == ["intercept", "size", "kind_b"]
    assert pooled.estimates[1] > 0.5
    assert (pooled.standard_errors > 0).all()
    table = pl.from_pandas(X[["size"]])
    mean = multiple_imputation(lambda X: np.mean(X["size"].to_numpy()), table, **options)
    assert mean.estimates[0] == pytest.approx(np.nanmean(X["size"]), abs=0.2)
    assert mean.names is None


def test_a_target_with_missing_numbers_is_imputed():
    X, y = regression(200, seed=1)
    holes = np.where(np.arange(200) % 4 == 0, np.nan, y)
    pooled = multiple_imputation(
        least_squares,
        np.nan_to_num(X, nan=-9),
        holes,
        n_draws=2,
        imputer=VAEImputer(VAETransformer(2, max_iter=0), missing_values=-9),
        random_state=0,
    )
    assert (np.abs(pooled.estimates - [0, 0.5, 1]) < 5 * pooled.standard_errors).all()


@pytest.mark.parametrize("dtype", [np.int64, bool])
def test_a_real_target_stays_as_it_is_beside_whole_numbers(dtype):
    """Of the target, and of its missing cells: as integers y = 0.3 would be 0, and NaN the lowest of them all."""
    X = np.random.default_rng(0).integers(0, 2, (60, 2)).astype(dtype)
    y = 0.3 + 0.1 * X[:, 0]
    options = {"imputer": QUICK, "n_draws": 2, "random_state": 0}
    pooled = multiple_imputation(LinearRegression(), X, np.where(np.arange(60) == 7, np.nan, y), **options)
    np.testing.assert_allclose(pooled.estimates, [0.3, 0.1, 0], atol=0.02)


@pytest.mark.parametrize(
    "limits", [{"min_value": {-1: 5}}, {"min_value": [-np.inf, 5]}, {"min_value": {1: 5}}], ids=["end", "each", "start"]
)
def test_positions_are_those_of_the_columns_of_the_table(limits):
    X, y = regression(40, seed=0)
    model = VAETransformer(1, max_iter=0, conditions=[True, False])
    found = []
    multiple_imputation(
        lambda X, y: found.append(X[:, 1]) or [X[:, 1].mean()],
        X,
        np.where(np.arange(40) == 3, np.nan, y),
        imputer=VAEImputer(model, **limits),
        n_draws=2,
        n_resamples=2,
        random_state=0,
    )
    assert (found[0][np.isnan(X[:, 1])] >= 5).all()


def test_a_target_of_objects_that_are_numbers():
    X, y = regression(60, seed=2)
    holes = [None if i == 3 else value for i, value in enumerate(y.tolist())]
    options = {"imputer": QUICK, "n_draws": 2, "random_state": 0}
    of_objects, of_floats = (
        multiple_imputation(least_squares, X, np.array(holes, dtype=dtype), **options) for dtype in (object, float)
    )
    np.testing.assert_array_equal(of_objects.estimates, of_floats.estimates)


def test_rows_with_replacement_hold_a_cell_of_every_column():
    """Of one observed cell a third of the resamples have none, and a model of them knows nothing of the column."""
    X, y = regression(40, seed=0)
    X[:, 1] = np.where(np.arange(40) == 5, 7.0, np.nan)
    means = multiple_imputation(
        lambda X: X[:, 1].mean(), np.column_stack([X, y]), imputer=QUICK, n_draws=10, n_resamples=2, random_state=0
    )
    assert means.estimates[0] == pytest.approx(7)
    assert means.between[0] == pytest.approx(0)
    X = np.where(np.eye(40, dtype=bool), 1.0, np.nan)
    with pytest.raises(ValueError, match=r"Columns \['x0', .* have so few observed cells"):
        multiple_imputation(lambda X: X.mean(), X, imputer=QUICK, n_draws=2)


def test_steps_without_names_and_sparse_tables_of_classes():
    X = np.random.default_rng(0).integers(0, 3, (80, 2)).astype(np.float64)
    y = np.where(X[:, 0] + np.arange(80) % 2 > 1, "yes", "no")
    options = {"imputer": QUICK, "n_draws": 2, "n_resamples": 2, "random_state": 0}
    model = make_pipeline(FunctionTransformer(np.log1p), LinearRegression())
    assert multiple_imputation(model, X, X[:, 0], **options).names == ("intercept", "x0", "x1")
    assert multiple_imputation(make_pipeline(LinearRegression()), X, X[:, 0], **options).names[1:] == ("x0", "x1")
    dense, of_csr = (multiple_imputation(LogisticRegression(), X_, y, **options) for X_ in (X, sparse.csr_array(X)))
    np.testing.assert_allclose(of_csr.estimates, dense.estimates)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_draws": 1}, ValueError, "The 'n_draws' parameter of multiple_imputation"),
        ({"imputer": VAETransformer()}, ValueError, "The 'imputer' parameter of multiple_imputation"),
        ({"analysis": 3}, TypeError, "analysis must be an estimator or a function"),
        ({"analysis": DecisionTreeRegressor()}, TypeError, "A fitted DecisionTreeRegressor has no coef_"),
        ({"X": np.full((50, 2), np.nan)}, ValueError, r"Columns \['x0', 'x1'\] have no observed cell"),
        ({"y": [None, *["a", "b"] * 24, "a"]}, ValueError, "y has rows without a class"),
        ({"y": np.zeros(49)}, ValueError, "inconsistent numbers of samples"),
        ({"analysis": lambda X, y: np.unique(X[:, 0])}, ValueError, "gives another number of estimates"),
        ({"analysis": lambda X, y: (1.0, 2.0, 3.0)}, ValueError, "gave a tuple of 3, which must be a pair"),
        ({"y": np.full(50, np.nan)}, ValueError, r"Columns \['y'\] have no observed cell"),
    ],
)
def test_bad_input(arguments, error, message):
    X, y = regression(50, seed=0)
    options = {"analysis": LinearRegression(), "X": X, "y": y, "imputer": QUICK, "n_draws": 2} | arguments
    with pytest.raises(error, match=message):
        multiple_imputation(**options)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """60 tables of 150 rows, half of one column missing by y: 180 intervals, 5 standard errors of correlated thirds."""
    truth, held = np.array([0, 0.5, 1]), []
    for seed in range(60):
        pooled = multiple_imputation(
            least_squares, *regression(150, seed), imputer=QUICK, n_draws=10, random_state=seed
        )
        low, high = pooled.interval()
        held.append((low < truth) & (truth < high))
    assert 0.89 < np.mean(held) < 0.995


def test_every_table_and_analysis_counts(monkeypatch, capsys):
    monkeypatch.setattr("skvae._utils.progress.EVERY", 0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    X[:20, 1] = np.nan
    imputer = VAEImputer(VAETransformer(1, max_iter=0))
    multiple_imputation(lambda X: X.mean(0), X, imputer=imputer, n_draws=3, n_resamples=5, random_state=0, verbose=1)
    assert "[multiple_imputation] 6 steps in" in capsys.readouterr().out
