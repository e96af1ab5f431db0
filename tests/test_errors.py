"""Bad input: each message names the parameter or column, what was wrong and what to do."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from skvae import ELBO, MLP, Bernoulli, Gaussian, LinearAnnealing, NormalMixture, VAETransformer

X = np.random.default_rng(0).normal(size=(120, 4))
FAST = {"max_iter": 1, "random_state": 0}


def with_cell(value):
    bad = X.copy()
    bad[3, 1] = value
    return bad


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (X[0], "Reshape your data"),
        (np.empty((0, 4)), r"Found array with 0 sample\(s\)"),
        (np.empty((4, 0)), r"Found array with 0 feature\(s\)"),
        (with_cell(np.inf), "infinity"),
        (X + 1j, "Complex data not supported"),
        (np.array([[b"a", b"b"], [b"c", b"d"]]), "could not convert string to float|arrays of bytes/strings"),
    ],
)
def test_bad_tables(bad, message):
    vae = VAETransformer(2, **FAST)
    with pytest.raises(ValueError, match=message):
        vae.fit(bad)
    assert not hasattr(vae, "n_features_in_")  # nothing half-fitted is left behind


def test_width_and_names():
    vae = VAETransformer(2, **FAST).fit(X)
    with pytest.raises(ValueError, match="X has 3 features, but VAETransformer is expecting 4 features"):
        vae.transform(X[:, :3])
    with pytest.raises(ValueError, match="Z has 3 columns, but this VAETransformer has n_components=2"):
        vae.inverse_transform(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="X has 3 features, but VAETransformer is expecting 4 features"):
        VAETransformer(2, **FAST).fit(X, X_val=X[:, :3])
    with pytest.raises(ValueError, match="X_val: "):
        VAETransformer(2, **FAST).fit(X, X_val=X[:, :3])
    frame = pd.DataFrame(X, columns=list("abcd"))
    with pytest.raises(ValueError, match="The feature names should match"):
        VAETransformer(2, **FAST).fit(frame).transform(frame[list("dcba")])


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("n_components", 0, r"'n_components' .* a str among {.auto.} or an int in the range \[1, inf\)"),
        ("n_components", None, "'n_components' parameter of VAETransformer must be a str among {.auto.} or an int"),
        ("n_components", 0.5, "'n_components' parameter of VAETransformer must be an int"),
        ("n_components", "mle", "'n_components' parameter of VAETransformer must be an int"),
        ("likelihood", "gausian", r"must be a str among (?=.*'auto')(?=.*'bernoulli')(?=.*'gaussian')"),
        ("posterior", "diagonal", r"must be a str among (?=.*'diag')(?=.*'full')"),
        ("prior", "gauss", "must be a str among .*'normal'"),
        ("objective", "iwaee", "must be a str among .*'elbo'"),
        ("schedule", "emm", "must be a str among .*'joint'"),
        ("init", "fa", r"must be a str among (?=.*'factor_analysis')(?=.*'pca')(?=.*'random')"),
        ("activation", "swish", "must be a str among .*'silu'"),
        ("optimizer", "lbfgs", r"must be a str among (?=.*'adam')(?=.*'adamw')(?=.*'sgd').*callable"),
        ("scaling", "minmax", r"must be a str among (?=.*'global')(?=.*'standard').*None"),
        ("learning_rate_schedule", "cosine", "must be a str among {'inverse_sqrt'}"),
        ("hidden_layer_sizes", (8, 0), r"'hidden_layer_sizes' .* must be a tuple of ints .* Got \(8, 0\)"),
        ("device", "cuda:99", "device='cuda:99' is not available on this machine"),
        (
            "likelihood",
            Gaussian(noise="column"),
            "'noise' parameter of Gaussian must be a str among .*'shared'.* or a float",
        ),
        ("likelihood", Gaussian(noise=-1.0), "'noise' parameter of Gaussian must be"),
        ("likelihood", Gaussian(floor=0.0), r"'floor' parameter of Gaussian must be a float in the range \(0.0, inf\)"),
        ("objective", ELBO(beta=-1.0), "'beta' parameter of ELBO must be a float in the range"),
        ("objective", ELBO(n_samples=0), "'n_samples' parameter of ELBO must be an int in the range"),
        ("validation_fraction", 0.999, "validation_fraction=0.999 leaves no row to train on"),
    ],
)
def test_bad_parameters(parameter, value, message):
    vae = VAETransformer(2, **FAST).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=message):
        vae.fit(X)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full(120, -1.0), "sample_weight must be finite and non-negative"),
        (np.r_[np.nan, np.ones(119)], "sample_weight must be finite and non-negative"),
        (np.zeros(120), "must contain at least one non-zero number"),
        (np.ones(7), r"sample_weight must have shape \(120,\)"),
    ],
)
def test_bad_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(2, **FAST).fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match=message):
        VAETransformer(2, **FAST).fit(X).score(X, sample_weight=weight)


@pytest.mark.parametrize(
    "method", ["transform", "score", "score_samples", "sample", "inverse_transform", "get_feature_names_out"]
)
def test_unfitted(method):
    arguments = {"sample": (), "get_feature_names_out": ()}.get(method, (X,))
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(VAETransformer(), method)(*arguments)


@pytest.mark.parametrize("n", [0, -1, 1.5])
def test_sample_counts(n):
    vae = VAETransformer(2, **FAST).fit(X)
    with pytest.raises(ValueError, match=r"'n_samples' parameter of VAETransformer.sample must be an int in the range"):
        vae.sample(n)
    with pytest.raises(ValueError, match=r"'n_importance_samples' parameter of VAETransformer.score_samples"):
        vae.score_samples(X, n_importance_samples=n)


def test_support_is_checked_in_fit_and_score_never_in_transform():
    bits = (X > 0).astype(float)
    bits_bad = bits.copy()
    bits_bad[3, 1] = 0.5
    with pytest.raises(ValueError, match=r"Column 'x1' has the value 0.5, outside the support"):
        VAETransformer(2, likelihood=Bernoulli(), **FAST).fit(bits_bad)
    frame = pd.DataFrame(bits, columns=list("abcd"))
    vae = VAETransformer(2, likelihood="bernoulli", **FAST).fit(frame)
    frame.loc[3, "b"] = 0.5
    with pytest.raises(ValueError, match=r"Column 'b' has the value 0.5"):
        vae.score(frame)
    with pytest.raises(ValueError, match=r"Column 'b' has the value 0.5"):
        VAETransformer(2, likelihood="bernoulli", **FAST).fit(frame[:0:-1], X_val=frame)
    assert np.isfinite(vae.transform(frame)).all()


def test_divergence_is_an_error_that_says_what_to_try():
    with pytest.raises(ValueError, match=r"training loss became (nan|inf).*Try a smaller learning_rate"):
        VAETransformer(2, learning_rate=1e30, max_iter=20, random_state=0).fit(X)


def test_values_too_large_for_a_variance_name_the_column():
    with pytest.raises(ValueError, match="Column 'x1' has values whose variance overflows float64"):
        VAETransformer(2, **FAST).fit(X * np.array([1.0, 1e200, 1.0, 1.0]))


def test_a_failed_refit_leaves_the_earlier_fit_intact():
    vae = VAETransformer(2, **FAST).fit(X)
    codes = vae.transform(X)
    diverging = {"learning_rate": 1e30, "max_iter": 20}
    for bad, message in (
        (diverging, "loss"),
        ({"n_components": 0}, "n_components"),
        ({"device": "cuda:99"}, "cuda:99"),
    ):
        broken = vae.get_params()
        with pytest.raises(ValueError, match=message):
            vae.set_params(**bad).fit(X[:, :3])
        vae.set_params(**{name: broken[name] for name in bad})
    with pytest.raises(ValueError, match="infinity"):
        vae.partial_fit(with_cell(np.inf))
    np.testing.assert_array_equal(vae.transform(X), codes)


@pytest.mark.parametrize("wrong", [True, np.True_])
@pytest.mark.parametrize(
    ("parameter", "make"),
    [
        ("n_members", lambda wrong: {"prior": NormalMixture(n_members=wrong)}),
        ("beta", lambda wrong: {"objective": ELBO(beta=wrong)}),
        ("hidden_layer_sizes", lambda wrong: {"encoder": MLP((8, wrong))}),
        ("floor", lambda wrong: {"likelihood": Gaussian(floor=wrong)}),
        ("end", lambda wrong: {"objective": ELBO(beta=LinearAnnealing(end=wrong))}),
        ("n_components", lambda wrong: {"n_components": wrong}),
    ],
)
def test_a_bool_is_no_number(parameter, make, wrong):
    with pytest.raises(ValueError, match=f"The {parameter!r} parameter of .* in the range .* Got .*True"):
        VAETransformer(**FAST).set_params(**make(wrong)).fit(X)
