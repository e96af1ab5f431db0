"""scikit-learn's contract: its own checks without an expected failure, and those it does not yield by itself."""

import inspect
import pickle
import re

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy import sparse
from sklearn import set_config
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Binarizer, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import VAETransformer

SMALL = {"n_components": 2, "max_iter": 5}


class WithoutInverse(VAETransformer):
    """A model with conditions, whose `inverse_transform` needs what scikit-learn's checks do not give."""

    @property
    def inverse_transform(self):
        raise AttributeError("inverse_transform")


CONFIGURATIONS = [
    VAETransformer(**SMALL),
    VAETransformer(**SMALL, hidden_layer_sizes=()),
    VAETransformer(**SMALL, objective="gan"),
    VAETransformer(**SMALL, posterior="categorical"),
    VAETransformer(**SMALL, categorical_features=[0], posterior="full", scaling="quantile", column_weights={0: 0.5}),
    WithoutInverse(**SMALL, conditions=[0], categorical_features=[0]),
]
AT_NIGHT = [
    VAETransformer(**SMALL, posterior="full"),
    VAETransformer(**SMALL, init="random"),
    VAETransformer(**SMALL, init="factor_analysis"),
    VAETransformer(**SMALL, early_stopping=True),
    VAETransformer(**SMALL, objective="ae"),
    VAETransformer(**SMALL, objective="aae", prior="uniform"),
    VAETransformer(**SMALL, objective="vae_gan"),
    VAETransformer(**SMALL, objective="beta_tc_vae"),
    VAETransformer(**SMALL, posterior="flow", prior="vamp"),
    VAETransformer(**SMALL, categorical_features=[0], prior="mixture"),
    VAETransformer(**SMALL, categorical_features=[0]),
    VAETransformer(**SMALL, scaling="power"),
]
EXTRA = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


def takes_groups_for_classes(estimator):
    """Checks of sparse rows that ask whoever has predict_proba for the probabilities of a classifier's four classes."""
    names = ["check_estimator_sparse_array", "check_estimator_sparse_matrix"] if estimator.prior == "vamp" else []
    return dict.fromkeys(names, "predict_proba is of the groups of the prior")


@parametrize_with_checks(CONFIGURATIONS)
@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict:UserWarning:sklearn")
@pytest.mark.filterwarnings("ignore:Column 'x0' has .* levels")  # the checks fill the category with normal draws
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(AT_NIGHT, expected_failed_checks=takes_groups_for_classes)
@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict:UserWarning:sklearn")
@pytest.mark.filterwarnings("ignore:.* groups hold no row:UserWarning")  # the checks' tables have none
@pytest.mark.filterwarnings("ignore:Column 'x0' has .* levels")
def test_scikit_learn_checks_of_other_variants(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_extra_checks(name):
    getattr(estimator_checks, name)("VAETransformer", VAETransformer(**SMALL))


def test_bernoulli_behind_a_binarizer_has_the_same_properties(bits):
    """parametrize_with_checks feeds real numbers; here the same properties on a table of zeros and ones."""
    real = np.random.default_rng(0).normal(size=bits.shape) + 3 * (bits - 0.5)
    model = make_pipeline(Binarizer(), VAETransformer(2, max_iter=5, random_state=0)).fit(real)
    vae = model[-1]
    assert {repr(f) for f in vae.likelihoods_.values()} == {"Bernoulli()"}
    np.testing.assert_array_equal(clone(model).fit(real).transform(real), model.transform(real))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(real), model.transform(real))
    np.testing.assert_allclose(model.transform(real[:5]), model.transform(real)[:5], atol=1e-12)
    order = np.random.default_rng(1).permutation(len(real))
    np.testing.assert_array_equal(clone(model).fit(real[order]).transform(real), model.transform(real))
    weight = np.random.default_rng(2).integers(0, 3, len(real))
    weighted = clone(model).fit(real, vaetransformer__sample_weight=weight)
    repeated = clone(model).fit(np.repeat(real, weight, axis=0))
    np.testing.assert_array_equal(weighted.transform(real), repeated.transform(real))
    np.testing.assert_allclose(model.fit_transform(real), model.transform(real))
    assert set(np.unique(vae.sample(50, random_state=0))) == {0.0, 1.0}


def test_grid_search_over_the_latent_size_and_components():
    X, _ = load_iris(return_X_y=True)
    pipe = Pipeline([("scale", StandardScaler()), ("vae", VAETransformer(max_iter=3, random_state=0))])
    grid = {"vae__n_components": [1, 2], "vae__objective__beta": [1.0, 4.0], "vae__posterior": ["diag", "full"]}
    serial = GridSearchCV(pipe, grid, cv=2).fit(X)
    parallel = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(X)
    np.testing.assert_array_equal(serial.cv_results_["mean_test_score"], parallel.cv_results_["mean_test_score"])
    assert np.isfinite(serial.cv_results_["mean_test_score"]).all()
    assert serial.best_estimator_[-1].sample(3).shape == (3, 4)
    assert pipe.get_params()["vae__objective"] == "elbo"  # the search worked on clones


def test_halving_over_max_iter():
    X, _ = load_iris(return_X_y=True)
    search = HalvingGridSearchCV(
        VAETransformer(2, random_state=0), {"learning_rate": [1e-3, 1e-2]}, resource="max_iter", max_resources=8, cv=2
    )
    assert search.fit(X).best_estimator_.n_iter_ <= 8


def test_pipeline_with_a_classifier_and_string_y():
    X, y = load_iris(return_X_y=True)
    names = load_iris().target_names[y]
    pipe = make_pipeline(VAETransformer(2, max_iter=10, random_state=0), LogisticRegression())
    assert cross_val_score(pipe, X, names, cv=3).mean() > 0.8


def test_metadata_routing():
    X, _ = load_iris(return_X_y=True)
    weight = np.random.default_rng(0).uniform(size=len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        vae = VAETransformer(2, max_iter=1, random_state=0).set_fit_request(sample_weight=True, X_val=True)
        vae.set_score_request(sample_weight=True)
        pipe = make_pipeline(vae).fit(X, sample_weight=weight, X_val=X[:20])
        direct = VAETransformer(2, max_iter=1, random_state=0).fit(X, sample_weight=weight, X_val=X[:20])
        np.testing.assert_array_equal(pipe.transform(X), direct.transform(X))
        GridSearchCV(vae.set_fit_request(X_val=False), {"n_components": [1]}, cv=2).fit(X, sample_weight=weight)
    assert direct.score(X, sample_weight=weight) == pytest.approx(np.average(direct.score_samples(X), weights=weight))


def test_clone_pickle_joblib(tmp_path, cancer):
    vae = VAETransformer(3, max_iter=3, random_state=0).fit(cancer)
    joblib.dump(vae, tmp_path / "vae.joblib")
    for copied in (pickle.loads(pickle.dumps(vae)), joblib.load(tmp_path / "vae.joblib")):
        np.testing.assert_array_equal(copied.transform(cancer), vae.transform(cancer))
        np.testing.assert_array_equal(copied.sample(3, random_state=0), vae.sample(3, random_state=0))
        assert copied.score(cancer) == vae.score(cancer)
        assert copied.history_ == vae.history_
    assert b"torch" not in pickle.dumps(vae)  # parameters, plain numbers and numpy arrays
    with pytest.raises(NotFittedError):
        clone(vae).transform(cancer)
    newer = vae.__getstate__() | {"_format_version": 99}
    with pytest.raises(ValueError, match="newer skvae"):
        VAETransformer().__setstate__(newer)


def test_a_model_fitted_on_a_missing_device_loads_on_the_cpu(cancer):
    vae = VAETransformer(3, max_iter=1, random_state=0).fit(cancer)
    state = vae.__getstate__() | {"_device": "cuda:7"}
    loaded = VAETransformer()
    loaded.__setstate__(state)
    np.testing.assert_array_equal(loaded.transform(cancer), vae.transform(cancer))


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array])
def test_sparse_equals_dense(container):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6)) * (rng.uniform(size=(300, 6)) < 0.3)
    dense = VAETransformer(2, max_iter=3, random_state=0).fit(X)
    other = VAETransformer(2, max_iter=3, random_state=0).fit(container(X))
    np.testing.assert_allclose(other.transform(container(X)), dense.transform(X), atol=1e-4)
    assert other.score(container(X)) == pytest.approx(dense.score(X), abs=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, bool])
def test_dtypes(dtype, bits):
    X = bits.astype(dtype)
    vae = VAETransformer(2, max_iter=2, random_state=0).fit(X)
    expected = np.float32 if dtype is np.float32 else np.float64
    assert vae.transform(X).dtype == vae.score_samples(X).dtype == expected
    assert vae.inverse_transform(vae.transform(X)).dtype == expected


def test_torch_tensors_under_array_api_dispatch(cancer):
    torch = pytest.importorskip("torch")
    X = torch.as_tensor(cancer)
    vae = VAETransformer(3, max_iter=2, random_state=0)
    reference = clone(vae).fit(cancer)
    with sklearn.config_context(array_api_dispatch=True):
        codes = vae.fit(X).transform(X)
        assert isinstance(codes, torch.Tensor)
        assert isinstance(vae.inverse_transform(codes), torch.Tensor)
        assert isinstance(vae.kl_per_component_, torch.Tensor)
    np.testing.assert_array_equal(codes.numpy(), reference.transform(cancer))
    assert isinstance(reference.transform(X), np.ndarray)  # dispatch off: torch in, numpy out


FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


@pytest.mark.parametrize("library", FRAMES)
def test_frames_in_and_out(library, wine):
    names = [f"column {d}" for d in range(13)]
    frame = FRAMES[library](dict(zip(names, wine.T, strict=True)))
    vae = VAETransformer(2, max_iter=2, random_state=0).fit(frame)
    assert list(vae.feature_names_in_) == names
    assert list(vae.likelihoods_) == names
    for out in (vae.sample(4, random_state=0), vae.inverse_transform(vae.transform(frame))):
        assert isinstance(out, FRAMES[library])
        assert list(out.columns) == names
    vae.set_output(transform="pandas")
    assert list(vae.transform(frame).columns) == ["vaetransformer0", "vaetransformer1"]
    assert isinstance(vae.inverse_transform(vae.transform(frame)), FRAMES[library])  # the library that fit saw
    np.testing.assert_array_equal(
        vae.transform(frame), VAETransformer(2, max_iter=2, random_state=0).fit(wine).transform(wine)
    )


def test_frames_with_numbers_for_names(wine):
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(pd.DataFrame(wine))
    assert list(vae.sample(2).columns) == list(range(13))
    assert list(vae.inverse_transform(np.zeros((1, 2))).columns) == list(range(13))


def test_stored_zeros_and_nan_in_csr():
    X = np.random.default_rng(0).normal(size=(50, 3))
    X[:9, 0], X[3, 1] = 0.0, np.nan
    csr = sparse.csr_array(X)
    csr.data[:4] = 0.0  # stored, not left out
    a = VAETransformer(2, max_iter=0, random_state=0).fit(csr)
    b = VAETransformer(2, max_iter=0, random_state=0).fit(csr.toarray())
    np.testing.assert_allclose(a.fitted_.columns.scale, b.fitted_.columns.scale)
    np.testing.assert_allclose(a.fitted_.columns.scale, np.nanstd(csr.toarray(), axis=0))
    assert a.score(csr) == pytest.approx(b.score(csr.toarray()))


def test_inverse_transform_keeps_the_index_of_Z(wine):
    frame = pd.DataFrame(wine, columns=list("abcdefghijklm"), index=pd.Index(range(1000, 1178), name="row"))
    vae = VAETransformer(2, max_iter=1, random_state=0).set_output(transform="pandas").fit(frame)
    back = vae.inverse_transform(vae.transform(frame).iloc[5:9])
    assert list(back.index) == [1005, 1006, 1007, 1008]


def test_fitted_on_an_array_gives_arrays_whatever_set_output_says(wine):
    vae = VAETransformer(2, max_iter=1, random_state=0).set_output(transform="pandas").fit(wine)
    assert isinstance(vae.inverse_transform(vae.transform(wine)), np.ndarray)
    assert isinstance(vae.sample(2), np.ndarray)


def test_refit_on_an_array_forgets_names(wine):
    vae = VAETransformer(2, max_iter=1).fit(pd.DataFrame(wine, columns=list("abcdefghijklm")))
    vae.fit(wine)
    assert not hasattr(vae, "feature_names_in_")


def test_global_set_output(wine):
    try:
        set_config(transform_output="polars")
        assert isinstance(VAETransformer(2, max_iter=1).fit_transform(wine), pl.DataFrame)
    finally:
        set_config(transform_output="default")


def test_set_params_expands_short_names():
    vae = VAETransformer().set_params(objective__beta=4.0, likelihood="gaussian", likelihood__noise="shared")
    assert vae.objective.beta == 4.0
    assert vae.likelihood.noise == "shared"
    with pytest.raises(ValueError, match="likelihood='auto' has no parameters"):
        VAETransformer().set_params(likelihood__noise="shared")
    with pytest.raises(ValueError, match="Invalid parameter 'gamma' for estimator ELBO"):
        VAETransformer().set_params(objective__gamma=1)


def test_parameters_come_in_groups():
    """The five that matter most, then the model, the table, the training, the machine; in the HTML repr, too."""
    names = list(inspect.signature(VAETransformer).parameters)
    assert names[:5] == ["n_components", "hidden_layer_sizes", "likelihood", "max_iter", "random_state"]
    said = re.search(r"(?s)The parameters come in groups.*?Parameters", VAETransformer.__doc__).group()
    ends = [names.index(name) for name in re.findall(r"`(\w+)`", said)]
    assert ends == sorted(ends)
    assert ends[4] + 1 == ends[5]
    assert all(end + 1 == begin for end, begin in zip(ends[6::2], ends[7::2], strict=False))
    assert ends[-1] + 1 == len(names)
    assert list(VAETransformer._parameter_groups) == [names[begin] for begin in [0, *ends[5::2]]]
