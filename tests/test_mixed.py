"""Raw tables: categories, booleans, counts and reals in one frame, through every method and back."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from test_families import check_gradients

from skvae import (
    ELBO,
    IWAE,
    MLP,
    Categorical,
    Gaussian,
    MeanField,
    NormalMixture,
    StandardNormal,
    VAETransformer,
    metrics,
)
from skvae.model import LatentVariableModel


def raw(n=300, seed=0):
    """Six kinds of columns behind one two-dimensional cause."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    return pd.DataFrame(
        {
            "city": np.array(["Rome", "Oslo", "Lima"])[np.digitize(z[:, 0] + 0.3 * rng.normal(size=n), [-0.5, 0.5])],
            "height": (170 + 8 * z[:, 1] + 2 * rng.normal(size=n)).round(1),
            "visits": rng.poisson(np.exp(0.8 * z[:, 0])),
            "member": z[:, 1] + 0.3 * rng.normal(size=n) > 0,
            "grade": pd.Categorical.from_codes(np.digitize(z[:, 0], [-1, 0, 1]), list("abcd"), ordered=True),
            "income": np.exp(8 + z[:, 0] + 0.3 * rng.normal(size=n)).round(2),
        }
    )


def with_missing(frame, share=0.15, seed=1):
    frame = frame.astype({"member": "boolean", "visits": "Int64"})
    return frame.mask(np.random.default_rng(seed).uniform(size=frame.shape) < share)


FRAMES = {"pandas": lambda frame: frame, "polars": pl.from_pandas}


def assert_same_kind(result, frame):
    assert type(result) is type(frame)
    assert list(result.columns) == list(frame.columns)
    assert list(result.dtypes) == list(frame.dtypes)


def assert_frame_of_means(mean, frame):
    """Categories in their own dtype, all else floats."""
    assert type(mean) is type(frame)
    assert list(mean.columns) == list(frame.columns)
    for name in frame.columns:
        own = name in ("city", "grade")
        assert mean[name].dtype == frame[name].dtype if own else "loat64" in str(mean[name].dtype)


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("make", [raw, lambda: with_missing(raw())], ids=["whole", "incomplete"])
def test_round_trip(library, make):
    frame = FRAMES[library](make())
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(frame)
    assert np.isfinite(vae.score_samples(frame)).all()
    codes = vae.transform(frame)
    assert codes.shape == (300, 2)
    assert_same_kind(vae.sample(20, random_state=0), frame)
    filled = vae.impute(frame)
    assert_same_kind(filled, frame)
    assert_same_kind(vae.impute(frame, n_draws=2, random_state=0)[1], frame)
    mean = vae.inverse_transform(codes)
    assert_frame_of_means(mean, frame)
    mean = mean if library == "pandas" else mean.to_pandas()
    assert set(mean["city"]) <= {"Rome", "Oslo", "Lima"}
    assert mean["member"].between(0, 1).all()
    original, filled = (f if library == "pandas" else f.to_pandas() for f in (frame, filled))
    observed = original.notna().to_numpy()
    assert not filled.isna().any(axis=None)
    for d, name in enumerate(original):
        assert (original[name][observed[:, d]] == filled[name][observed[:, d]]).all()
    assert vae.transform(frame[:7]) == pytest.approx(codes[:7], abs=1e-12)


def test_pandas_and_polars_give_the_same_codes_and_the_index_comes_back():
    frame = with_missing(raw())
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(frame)
    other = VAETransformer(2, max_iter=5, random_state=0).fit(pl.from_pandas(frame))
    np.testing.assert_array_equal(vae.transform(frame), other.transform(pl.from_pandas(frame)))
    np.testing.assert_array_equal(vae.transform(frame), vae.transform(frame.astype({"city": "category"})))
    shuffled = frame.sample(frac=1, random_state=0)
    pd.testing.assert_index_equal(vae.impute(shuffled).index, shuffled.index)
    pd.testing.assert_index_equal(vae.reconstruct(shuffled, sample=True, random_state=0).index, shuffled.index)


def test_likelihoods_are_decided_by_kind_and_overridden_by_name():
    vae = VAETransformer(2, max_iter=1, likelihood=[("poisson", ["visits"]), ("ordinal", "grade")]).fit(raw())
    assert {name: repr(family) for name, family in vae.likelihoods_.items()} == {
        "city": "Categorical(n_classes=3)",
        "height": "ContaminatedGaussian(noise='row')",
        "visits": "Poisson()",
        "member": "Bernoulli()",
        "grade": "Ordinal(n_classes=4)",
        "income": "ContaminatedGaussian(noise='row')",
    }
    assert_same_kind(vae.sample(5, random_state=0), raw())
    single = VAETransformer(2, max_iter=1, likelihood="laplace").fit(raw())
    kinds = [type(family).__name__ for family in single.likelihoods_.values()]
    assert kinds == ["Categorical", "Laplace", "Laplace", "Laplace", "Categorical", "Laplace"]
    with pytest.raises(ValueError, match="Column 'city' is a category; its likelihood cannot be Gaussian"):
        VAETransformer(likelihood=[("gaussian", ["city"])]).fit(raw())
    with pytest.raises(ValueError, match="Column 'city' has 3 levels; its likelihood Categorical"):
        VAETransformer(likelihood=[(Categorical(4), ["city"])]).fit(raw())


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("auto", ["city", "grade"]),
        (["city", "grade", "visits"], ["city", "visits", "grade"]),
        ([0, 4], ["city", "grade"]),
        ([True, False, False, True, True, False], ["city", "member", "grade"]),
    ],
)
def test_categorical_features(chosen, expected):
    vae = VAETransformer(2, categorical_features=chosen, max_iter=2, random_state=0).fit(raw())
    assert [name for name, family in vae.likelihoods_.items() if isinstance(family, Categorical)] == expected
    assert np.isfinite(vae.score(raw()))
    assert_same_kind(vae.sample(9, random_state=0), raw())


def test_categories_of_arrays():
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(200, 2)), rng.choice([2.0, 5.0, 7.5], 200)]
    vae = VAETransformer(2, categorical_features=[2], max_iter=3, random_state=0).fit(X)
    assert set(vae.sample(100, random_state=0)[:, 2]) == {2.0, 5.0, 7.5}
    assert set(vae.inverse_transform(vae.transform(X))[:, 2]) <= {2.0, 5.0, 7.5}
    objects = np.array([["a", 1.5, True], ["b", 2.5, False]] * 20, dtype=object)
    mixed = VAETransformer(1, max_iter=2, random_state=0).fit(objects)
    assert set(mixed.sample(30, random_state=0)[:, 0]) <= {"a", "b"}
    assert np.isfinite(mixed.score(objects.tolist()))


def test_unknown_categories_count_as_missing():
    frame = raw()
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(frame)
    unknown, missing = frame.copy(), frame.copy()
    unknown.loc[:9, "city"] = "Atlantis"
    missing.loc[:9, "city"] = None
    np.testing.assert_array_equal(vae.transform(unknown), vae.transform(missing))
    np.testing.assert_array_equal(vae.score_samples(unknown), vae.score_samples(missing))
    assert np.isnan(vae.score_columns(unknown)[:10, 0]).all()
    assert (vae.impute(unknown)["city"][:10] == "Atlantis").all()  # it is not missing in the table
    assert set(vae.impute(missing)["city"][:10]) <= {"Rome", "Oslo", "Lima"}


def test_indices_outside_a_categorical_likelihood_count_as_missing_in_transform():
    X = np.random.default_rng(0).integers(0, 3, (100, 3)).astype(float)
    vae = VAETransformer(1, likelihood="categorical", max_iter=2, random_state=0).fit(X)
    np.testing.assert_array_equal(vae.transform([[1, 2, 9]]), vae.transform([[1, 2, np.nan]]))
    with pytest.raises(ValueError, match="Column 'x2' has the value 9, outside the support"):
        vae.score([[1, 2, 9]])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame(np.zeros((5, 2)), columns=["a", "a"]), "'a'"),
        (raw().assign(odd=[1, "one"] * 150), "'odd'"),
        (raw().assign(none=pd.Categorical([None] * 300)), "'none'"),
    ],
)
def test_bad_tables_name_the_column(frame, message):
    vae = VAETransformer(2, max_iter=1)
    with pytest.raises(ValueError, match=message):
        vae.fit(frame)
    assert not hasattr(vae, "n_features_in_")


def test_bad_columns_in_transform():
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(raw())
    with pytest.raises(ValueError, match="The feature names should match"):
        vae.transform(raw()[["height", "city", "visits", "member", "grade", "income"]])
    with pytest.raises(ValueError, match=r"The feature names should match|6 features"):
        vae.transform(raw().drop(columns="city"))
    with pytest.raises(ValueError, match="'height'"):
        vae.transform(raw().assign(height="tall"))
    with pytest.raises(ValueError, match="Column 'visits' has the value -1, outside the support"):
        VAETransformer(likelihood=[("poisson", ["visits"])]).fit(raw().assign(visits=-1))
    with pytest.raises(ValueError, match=r"Column 'height' has the value .*, outside the support"):
        VAETransformer(likelihood=[("beta", ["height"])]).fit(raw())


# ---------------------------------------------------------------- invariances


def test_weights_order_and_pickling():
    frame = with_missing(raw(150))
    weight = np.random.default_rng(2).integers(0, 3, len(frame))
    make = lambda **parameters: VAETransformer(2, max_iter=3, random_state=0, **parameters)  # noqa: E731
    weighted = make().fit(frame, sample_weight=weight)
    repeated = make().fit(frame.iloc[np.repeat(np.arange(len(frame)), weight)[::-1]])
    np.testing.assert_array_equal(weighted.transform(frame), repeated.transform(frame))
    again = pickle.loads(pickle.dumps(weighted))
    np.testing.assert_array_equal(again.score_samples(frame), weighted.score_samples(frame))
    pd.testing.assert_frame_equal(again.sample(5, random_state=0), weighted.sample(5, random_state=0))
    np.testing.assert_array_equal(
        clone(weighted).fit(frame, sample_weight=weight).transform(frame), weighted.transform(frame)
    )
    steps = make()
    for _ in range(3):
        steps.partial_fit(frame)
    whole = make(prior="normal", early_stopping=False).fit(frame)
    torch.testing.assert_close(steps.module_.state_dict(), whole.module_.state_dict())
    assert np.isfinite(whole.set_params(warm_start=True).fit(frame).score(frame))


def test_the_initialisation_is_better_than_independent_columns():
    """Frequencies, and normal columns: what an independent model scores, in closed form."""
    frame = raw(2000).drop(columns="income")
    independent = 0.0
    for name in frame:
        if name in ("height", "visits"):
            independent -= 0.5 * (np.log(2 * np.pi * frame[name].var(ddof=0)) + 1)
        else:
            p = frame[name].value_counts(normalize=True)
            independent += float((p * np.log(p)).sum())
    for init in ("pca", "factor_analysis"):
        start = VAETransformer(2, init=init, max_iter=0, random_state=0).fit(frame)
        assert start.score(frame) > independent + 0.3
    trained = VAETransformer(2, max_iter=100, random_state=0).fit(frame)
    assert trained.score(frame) > start.score(frame) + 0.3


def test_only_categories_and_a_category_of_one_level():
    frame = raw()[["city", "grade"]].assign(same="x")
    vae = VAETransformer(2, max_iter=20, random_state=0).fit(frame)
    assert vae.score(frame) > VAETransformer(2, max_iter=0, random_state=0).fit(frame).score(frame)
    assert (vae.sample(20, random_state=0)["same"] == "x").all()


def test_independent_categories_keep_their_frequencies():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.choice(list("xyz"), 4000, p=[0.7, 0.2, 0.1]), "b": rng.normal(size=4000)})
    vae = VAETransformer(1, max_iter=5, random_state=0).fit(frame)
    drawn = vae.sample(20_000, random_state=0)["a"].value_counts(normalize=True)
    for level, p in frame["a"].value_counts(normalize=True).items():
        assert drawn[level] == pytest.approx(p, abs=0.03)


@pytest.mark.parametrize("posterior", ["diag", "full", "laplace", "log_normal", "categorical", "flow", "dirichlet"])
@pytest.mark.parametrize("objective", ["elbo", IWAE(n_samples=3)])
def test_posteriors_read_mixed_tables_with_missing_values(posterior, objective):
    if posterior == "categorical" and objective != "elbo":
        return
    frame = with_missing(raw(120))
    vae = VAETransformer(2, posterior=posterior, objective=objective, max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of collapse and of poor weights, after three epochs
        vae.fit(frame)
        assert not vae.impute(frame, n_importance_samples=20).isna().any(axis=None)
    assert np.isfinite(vae.score_samples(frame)).all()


@pytest.mark.parametrize("objective", ["ae", "wae_mmd", "aae", "avb"])
def test_autoencoders_read_mixed_tables_with_missing_values(objective):
    frame = with_missing(raw(120))
    vae = VAETransformer(2, objective=objective, max_iter=3, random_state=0).fit(frame)
    assert not vae.impute(frame).isna().any(axis=None)
    assert_same_kind(vae.sample(4, random_state=0), frame)


def test_vamp_refuses_categories_and_a_mixture_does_not():
    with pytest.raises(ValueError, match="prior='vamp' trains rows of the table"):
        VAETransformer(2, prior="vamp").fit(raw())
    assert np.isfinite(VAETransformer(2, prior=NormalMixture(3), max_iter=2, random_state=0).fit(raw()).score(raw()))


def test_a_gradient_reaches_every_number_behind_categories_and_missing_values():
    likelihood = [(Gaussian(), [0, 3]), (Categorical(3), [1]), (Categorical(70), [2])]
    model = LatentVariableModel(
        4, 2, MeanField(), StandardNormal(), likelihood, MLP((6,)), MLP((6,)), incomplete=[1, 3]
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 4, generator=generator)
    x[:, 1], x[:, 2] = torch.arange(40) % 3, torch.arange(40) + 15
    mask = torch.rand(40, 4, generator=generator) < 0.8
    check_gradients(model, x, mask)
    assert not model.encoder.table.grad[-1].any()  # a missing category stays at zero
    assert model.encoder.net[0].weight.grad[:, -2:].any(0).all()  # the MLP sees which cells are missing
    assert not model.encoder.embedding.grad[-1].any()


def test_padded_softmaxes_are_the_softmaxes():
    """Columns of 2, 3 and 4 levels share one distribution: log-prob, mean, sample and order of columns."""
    likelihood = [(Categorical(2), [3]), (Gaussian(), [1]), (Categorical(4), [0]), (Categorical(3), [2])]
    model = LatentVariableModel(4, 2, MeanField(), StandardNormal(), likelihood)
    torch.manual_seed(0)
    raw_numbers = torch.randn(1, 5, model.likelihood.n_plain)
    p = model.likelihood([raw_numbers])
    assert len(p.parts) == 2  # up to four levels, and the numbers
    x = torch.tensor([[3.0, 0.1, 2.0, 1.0]] * 5)
    log_p = p.log_prob(x)
    blocks = dict(zip([3, 1, 0, 2], raw_numbers.split([2, 1, 4, 3], -1), strict=True))
    for d in (0, 2, 3):
        torch.testing.assert_close(log_p[..., d], blocks[d].log_softmax(-1)[..., int(x[0, d])])
        torch.testing.assert_close(p.mode[..., d], blocks[d].argmax(-1).float())
    assert (p.sample((200,)).amax((0, 1, 2))[[0, 2, 3]] <= torch.tensor([3.0, 2.0, 1.0])).all()


# ---------------------------------------------------------------- pipelines


def test_pipelines_in_front_and_behind():
    frame, y = raw(), raw()["visits"] > 1
    X = frame.drop(columns="visits")
    assert (
        cross_val_score(
            make_pipeline(VAETransformer(2, max_iter=20, random_state=0), LogisticRegression()), X, y
        ).mean()
        > 0.7
    )
    encode = ColumnTransformer(
        [("one hot", OneHotEncoder(), ["city", "grade"]), ("scale", StandardScaler(), ["height", "income"])]
    )
    assert np.isfinite(make_pipeline(encode, VAETransformer(2, max_iter=2, random_state=0)).fit(X).score(X))
    framed = make_pipeline(
        ColumnTransformer(
            [("scale", StandardScaler(), ["height"])], remainder="passthrough", verbose_feature_names_out=False
        ).set_output(transform="pandas"),
        VAETransformer(2, max_iter=2, random_state=0).set_output(transform="pandas"),
        HistGradientBoostingClassifier(max_iter=5),
    ).fit(X, y)
    assert [type(f).__name__ for f in framed[1].likelihoods_.values()][-1] == "ContaminatedGaussian"
    assert framed.score(X, y) > 0.6


# ---------------------------------------------------------------- scalings


def skewed(n=800, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    return np.c_[np.exp(1.5 * z + 0.3 * rng.normal(size=n)), z + rng.choice([-4.0, 4.0], n), z]


@pytest.mark.parametrize("scaling", ["power", "quantile"])
def test_transformed_columns_score_in_data_space(scaling):
    X = skewed()
    vae = VAETransformer(2, scaling=scaling, max_iter=0, random_state=0).fit(X)
    plain = VAETransformer(2, max_iter=0, random_state=0).fit(X)
    assert vae.score(X) > plain.score(X) + (0.5 if scaling == "power" else 1.0)
    other = VAETransformer(2, scaling=scaling, max_iter=0, random_state=0).fit(100 * X + 5)
    assert vae.score(X) - other.score(100 * X + 5) == pytest.approx(3 * np.log(100), abs=1e-3)
    # change of variables, by hand: the score of the transformed table plus the slopes of the transformations
    columns = vae.fitted_.columns
    transformed, slopes = columns.working_array(X), columns.log_slopes(X)
    inside = VAETransformer(2, scaling=None, max_iter=0, random_state=0).fit(transformed)
    assert vae.score(X) == pytest.approx(inside.score(transformed) + slopes.sum(1).mean(), abs=1e-4)
    step = 1e-6 * X.std(0)
    numeric = np.log((columns.working_array(X + step) - columns.working_array(X - step)) / (2 * step))
    assert np.quantile(np.abs(numeric - slopes), 0.95) < 1e-3  # kinks apart


@pytest.mark.parametrize("scaling", ["power", "quantile"])
def test_means_of_transformed_columns_are_by_quadrature(scaling):
    X = skewed()
    X[::9, 0] = np.nan
    vae = VAETransformer(2, scaling=scaling, max_iter=5, random_state=0).fit(X)
    Z = vae.transform(X[:4])
    p = vae.decode(Z)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = p.sample((40_000,))
    error = 5 * draws.std(0) / 200  # five standard errors
    assert (np.abs(vae.inverse_transform(Z) - draws.mean(0).numpy()) < error.numpy() + 1e-3).all()
    torch.testing.assert_close(p.variance.sqrt(), draws.std(0), rtol=0.1, atol=1e-2)
    image_of_the_mean = vae.fitted_.columns.to_data(p.p.mean)
    assert np.abs(image_of_the_mean - p.mean.numpy())[:, 0].max() > 0.01  # which would have been wrong
    np.testing.assert_allclose(p.log_prob(X[:4]).isnan(), False)
    assert np.isfinite(vae.score_columns(X)[~np.isnan(X)]).all()
    assert np.isfinite(vae.impute(X)).all()


def test_transformations_leave_other_kinds_alone():
    vae = VAETransformer(2, scaling="quantile", likelihood=[("poisson", ["visits"])], max_iter=2, random_state=0)
    vae.fit(with_missing(raw()))
    assert sorted(vae.fitted_.columns.maps) == [1, 5]
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(0.5, (200, 4)).astype(float))
    transformed = VAETransformer(2, scaling="power", max_iter=2, random_state=0).fit(counts)
    dense = VAETransformer(2, scaling="power", max_iter=2, random_state=0).fit(counts.toarray())
    assert transformed.score(counts) == pytest.approx(dense.score(counts.toarray()), abs=1e-3)
    assert transformed.history_[-1]["train_loss"] == pytest.approx(dense.history_[-1]["train_loss"], abs=1e-3)


# ---------------------------------------------------------------- weights of columns, densities of codes


def test_column_weights_move_training_and_never_the_score():
    frame = raw(600)
    plain = VAETransformer(1, max_iter=60, random_state=0).fit(frame)
    tilted = VAETransformer(1, column_weights={"city": 5.0, "grade": 0.0}, max_iter=60, random_state=0).fit(frame)
    per_column = lambda vae: vae.score_columns(frame).mean(0)  # noqa: E731
    assert per_column(tilted)[0] > per_column(plain)[0]
    assert tilted.score(frame) < plain.score(frame)
    twin = VAETransformer(1, column_weights=np.ones(6), max_iter=3, random_state=0).fit(frame)
    assert twin.score(frame) == pytest.approx(VAETransformer(1, max_iter=3, random_state=0).fit(frame).score(frame))
    start = VAETransformer(1, column_weights=[2.0] * 6, max_iter=0, random_state=0).fit(frame)
    assert start.score(frame) == VAETransformer(1, max_iter=0, random_state=0).fit(frame).score(frame)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], "one for each of 6 columns"),
        ([-1.0] * 6, "at least 0"),
        ({"town": 2.0}, "'column_weights' parameter names the column 'town'"),
        (["heavy"] * 6, "column_weights"),
    ],
)
def test_bad_column_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(column_weights=weights).fit(raw())


def test_the_prior_is_fitted_to_groups_of_codes_and_is_where_samples_come_from():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(-6, 1, (400, 3)), rng.normal(6, 1, (400, 3))]
    vae = VAETransformer(1, max_iter=10, random_state=0).fit(X)
    normal = VAETransformer(1, prior="normal", max_iter=10, random_state=0).fit(X)
    assert vae.fitted_.parts.prior.n_members >= 2
    rows, others = (model.sample(2000, random_state=0, calibrate=False) for model in (vae, normal))
    between = lambda sample: (np.abs(sample.mean(1)) < 2).mean()  # noqa: E731
    assert between(rows) < 0.3 * between(others)
    assert vae.score(X) > normal.score(X) + 0.3
    assert vae.sample(50, given={0: 6.0}, random_state=0)[:, 1].mean() > 4


# ---------------------------------------------------------------- wide categories and sparse tables


def test_a_wide_category_is_one_column_of_category_indices():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 400, 3000)
    frame = pd.DataFrame({"shop": [f"shop {g}" for g in group], "size": group / 400 + 0.05 * rng.normal(size=3000)})
    vae = VAETransformer(1, max_iter=30, random_state=0).fit(frame)
    assert vae.n_features_in_ == 2
    assert vae.fitted_.config["n_features"] == 2
    assert [tuple(p.shape) for p in vae.module_.decoder.spread] == [(400, 15)]
    start = VAETransformer(1, max_iter=0, random_state=0).fit(frame)
    assert vae.score(frame) > start.score(frame) + 0.1


def test_one_hot_rows_are_never_densified_whole():
    """200 000 x 400 booleans would be 640 MB dense; the peak of numpy's memory stays far below."""
    import tracemalloc

    rng = np.random.default_rng(0)
    n, D = 200_000, 400
    columns = (rng.integers(0, D, n) + np.arange(3)[:, None] * 7) % D
    X = sparse.csr_matrix((np.ones(3 * n), (np.tile(np.arange(n), 3), columns.ravel())), shape=(n, D))
    X.data[:] = 1.0
    tracemalloc.start()
    vae = VAETransformer(2, hidden_layer_sizes=(), max_iter=1, early_stopping=False, batch_size=4096, random_state=0)
    vae.fit(X)
    assert {repr(family) for family in vae.likelihoods_.values()} == {"Bernoulli()"}
    scores = vae.score_samples(X[:5000])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(scores).all()
    assert peak < 0.6 * n * D * 8


def test_objective_with_beta_on_mixed_tables():
    vae = VAETransformer(2, objective=ELBO(beta=0.5), max_iter=3, random_state=0).fit(raw())
    assert np.isfinite(vae.score(raw()))


def test_imputation_of_large_offsets_and_of_parts_of_a_table():
    rng = np.random.default_rng(0)
    z = rng.normal(size=400)
    frame = pd.DataFrame({"t": 1_700_000_000 + np.rint(100 * z).astype(int), "y": z + 0.1 * rng.normal(size=400)})
    incomplete = frame.astype({"t": "Int64"}).mask(np.c_[rng.random(400) < 0.2, np.zeros(400, bool)])
    vae = VAETransformer(1, max_iter=20, random_state=0).fit(incomplete)
    missing = incomplete["t"].isna()
    imputed = vae.impute(incomplete)
    error = (imputed["t"] - frame["t"])[missing].to_numpy(dtype=float)
    assert error.std() < 30  # of 100
    assert len(set(imputed["t"][missing])) > 40  # not the few numbers that float32 knows up there
    pd.testing.assert_frame_equal(vae.impute(incomplete.iloc[::-1]), imputed.iloc[::-1])
    pd.testing.assert_frame_equal(vae.impute(incomplete.iloc[390:]), imputed.iloc[390:])


def test_given_values_are_kept_or_refused():
    vae = VAETransformer(2, max_iter=2, random_state=0).fit(raw())
    drawn = vae.sample(5, given={"height": 171.2345, "city": "Rome", "visits": 2, "member": True}, random_state=0)
    assert_same_kind(drawn, raw())
    assert (drawn["height"] == 171.2345).all()
    assert (drawn["city"] == "Rome").all()
    assert drawn["member"].all()
    for given, message in [
        ({"visits": 2.5}, "whole numbers"),
        ({"city": "Paris"}, "has not seen"),
        ({"member": 3}, "bools"),
    ]:
        with pytest.raises(ValueError, match=message):
            vae.sample(1, given=given)


def test_reconstruction_error_does_not_depend_on_the_names_of_levels():
    frame = raw()
    renamed = frame.assign(city=frame["city"].map({"Rome": "C", "Oslo": "A", "Lima": "B"}))
    first, second = (VAETransformer(2, max_iter=0, random_state=0).fit(f) for f in (frame, renamed))
    assert metrics.reconstruction_error(first, frame) == pytest.approx(
        metrics.reconstruction_error(second, renamed), abs=0.02
    )


def test_initial_codes_are_centred_and_those_of_a_row_without_cells_are_zero():
    frame = raw()[["city", "grade", "member", "height"]]
    vae = VAETransformer(2, max_iter=0, random_state=0).fit(frame)
    np.testing.assert_allclose(vae.transform(frame).mean(0), 0, atol=0.02)
    nothing = pd.DataFrame([[None] * 4], columns=frame.columns).astype({"height": float})
    np.testing.assert_allclose(vae.transform(nothing), 0, atol=0.02)
