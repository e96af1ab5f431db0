"""Groups of rows: predict, predict_proba, fit_predict, and the mixture that a prior of groups begins as."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, confusion_matrix
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import CategoricalPosterior, CategoricalPrior, NormalMixture, VAETransformer, VampPrior
from skvae._starts.linear_gaussian import SecondMoments, all_directions
from skvae.distributions.normal_mixtures import fewest_members

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


def groups(seed, sizes=(340, 48, 12), n_columns=5, distance=6.0):
    """Normal groups with unit variances whose centres are at least so far apart, and their numbers."""
    rng = np.random.default_rng(seed)
    while True:
        centers = distance * rng.normal(size=(len(sizes), n_columns))
        gaps = np.linalg.norm(centers[:, None] - centers, axis=2) + distance * np.eye(len(sizes))
        if gaps.min() >= distance:
            break
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return centers[y] + rng.normal(size=(len(y), n_columns)), y


def recalls(y, labels):
    """Share of each group that has the label which stands for it, one to one."""
    counts = confusion_matrix(y, labels)
    return (counts / counts.sum(1, keepdims=True).clip(1))[linear_sum_assignment(-counts)]


# ---------------------------------------------------------------- who has groups


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"objective": "ae"},
        {"prior": "flow"},
        {"posterior": "categorical"},
        {"objective": "gan", "prior": "mixture"},
    ],
)
def test_models_without_groups_offer_none(parameters):
    vae = VAETransformer(2, **parameters)
    assert not any(hasattr(vae, name) for name in ("predict", "predict_proba", "fit_predict"))


def test_the_mixture_that_auto_fits_is_no_clustering():
    X, _ = groups(0)
    vae = VAETransformer(2, **SMALL).fit(X)
    assert isinstance(vae.fitted_.parts.prior, NormalMixture)
    assert hasattr(vae, "prior_responsibilities")
    with pytest.raises(AttributeError) as hidden:
        vae.predict  # noqa: B018
    assert "prior='mixture'" in str(hidden.value.__cause__)
    assert hasattr(vae.set_params(prior="mixture"), "fit_predict")  # which fits first


@pytest.mark.parametrize(
    ("K", "parameters"),
    [
        (2, {"prior": NormalMixture(3)}),
        (2, {"prior": VampPrior(4)}),
        (1, {"posterior": CategoricalPosterior(n_classes=3)}),
    ],
)
def test_probabilities_are_those_of_members_and_classes(K, parameters):
    X, _ = groups(1)
    vae = VAETransformer(K, **parameters, **SMALL)
    labels = vae.fit_predict(X)
    probabilities = vae.predict_proba(X)
    other = vae.transform(X) if "posterior" in parameters else vae.prior_responsibilities(X)
    np.testing.assert_array_equal(probabilities, other)
    np.testing.assert_array_equal(labels, probabilities.argmax(1))
    assert labels.dtype.kind == "i"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(vae)).predict(X), labels)
    np.testing.assert_array_equal(vae.predict(X[5:6]), labels[5:6])  # row by row


def test_frames_missing_cells_and_pipelines():
    X, y = groups(2)
    frame = pd.DataFrame(X, columns=list("abcde")).mask(np.random.default_rng(0).random(X.shape) < 0.05)
    vae = VAETransformer(3, prior=NormalMixture(3), **SMALL)
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), vae)
    assert adjusted_rand_score(y, model.fit_predict(frame)) > 0.9
    assert model.predict_proba(frame).shape == (len(X), 3)
    with pytest.raises(ValueError, match="feature"):
        model[-1].predict(frame[["a", "b"]])


# ---------------------------------------------------------------- where a prior of groups begins


def test_all_directions_have_the_covariance_of_the_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))
    moments = SecondMoments(X - X.mean(0), np.ones(50))
    model = all_directions(moments, 4, lambda noise: noise)
    np.testing.assert_allclose(model.loadings @ model.loadings.T + np.diag(model.noise), np.cov(X.T, bias=True))
    assert all_directions(moments, 3, lambda noise: noise) is None
    assert all_directions(moments, 4, lambda noise: noise + 1.0) is None  # more than the rows have


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_the_start_is_the_mixture_over_the_rows(covariance):
    """With as many components as columns the bound is ln sum_m pi_m N(x; W mu_m + b, W S_m W' + psi), nearly."""
    X, _ = groups(3)
    vae = VAETransformer(5, prior=NormalMixture(3, covariance), max_iter=0, random_state=0).fit(X)
    p, decoded = vae.prior_, vae.decode(np.vstack([np.zeros(5), np.eye(5)]))
    mean, psi = decoded.mean.numpy(), decoded.variance.numpy()[0]
    W = (mean[1:] - mean[0]).T
    members = p.component_distribution
    S = members.covariance_matrix if covariance == "full" else members.variance.diag_embed()
    log_joint = [
        np.log(share) + multivariate_normal(mean[0] + W @ mu, W @ spread @ W.T + np.diag(psi)).logpdf(X)
        for share, mu, spread in zip(p.mixture_distribution.probs.numpy(), members.mean.numpy(), S.numpy(), strict=True)
    ]
    exact = logsumexp(log_joint, axis=0)
    gap = exact - vae.score_samples(X)
    assert 0 <= gap.mean() < 0.05
    if covariance == "full":
        assert vae.score(X) > GaussianMixture(3, random_state=0).fit(X).score(X) - 0.1


def crossed(seed):
    """Two long normals with one centre, at 60 degrees, so that no rotation makes both of them diagonal."""
    rng = np.random.default_rng(seed)
    directions = np.array([[1.0, 0.0, 0.0], [0.5, 0.75**0.5, 0.0]])
    return 3 * rng.normal(size=(800, 1)) * directions[rng.integers(0, 2, 800)] + 0.4 * rng.normal(size=(800, 3))


def nats_to_the_mixture(seed, covariance, **parameters):
    """The score less that of scikit-learn's mixture with full covariances."""
    X = crossed(seed)
    vae = VAETransformer(3, prior=NormalMixture(2, covariance), random_state=0, **parameters).fit(X)
    return vae.score(X) - GaussianMixture(2, n_init=5, random_state=0).fit(X).score(X)


@pytest.mark.parametrize("seed", range(2))
def test_crossed_groups_are_told_apart_by_full_covariances(seed):
    full = nats_to_the_mixture(seed, "full", max_iter=0)
    assert full > -0.1
    assert nats_to_the_mixture(seed, "diag", max_iter=0) < full - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_crossed_groups_stay_apart_when_trained(seed):
    assert nats_to_the_mixture(seed, "full") > -0.1


@pytest.mark.parametrize("seed", range(10, 15))
def test_the_start_finds_groups_of_unequal_shares(seed):
    X, y = groups(seed)
    labels = VAETransformer(5, prior=NormalMixture(3), max_iter=0, random_state=seed).fit_predict(X)
    assert adjusted_rand_score(y, labels) > 0.95
    assert recalls(y, labels).min() >= 0.9


@pytest.mark.parametrize("seed", [16, 17])
def test_one_categorical_variable_begins_at_clusters_and_its_shares_are_learned(seed):
    """Under a uniform prior it begins at equal parts of one direction, and stays near them."""
    X, y = groups(seed)
    posterior, prior = CategoricalPosterior(n_classes=3), CategoricalPrior(n_classes=3)
    start = VAETransformer(1, posterior=posterior, prior=prior, max_iter=0, random_state=seed)
    assert adjusted_rand_score(y, start.fit_predict(X)) > 0.95
    assert start.score(X) > GaussianMixture(3, n_init=5, random_state=0).fit(X).score(X) - 0.15
    shares = np.sort(start.prior_.mean.numpy())
    np.testing.assert_allclose(shares, [0.03, 0.12, 0.85], atol=0.01)
    trained = start.set_params(max_iter=4, early_stopping=False).fit(X)
    assert adjusted_rand_score(y, trained.predict(X)) > 0.95
    assert (np.sort(trained.prior_.mean.numpy()) != shares).all()
    again = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(again.predict_proba(X), trained.predict_proba(X))


def test_a_categorical_start_reads_categories_missing_cells_and_few_rows():
    X, y = groups(18)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(X, columns=list("abcde")).mask(rng.random(X.shape) < 0.05)
    frame["kind"] = np.array(["x", "y", "z"])[np.where(rng.random(len(y)) < 0.8, y, 0)]
    vae = VAETransformer(1, posterior=CategoricalPosterior(3), prior=CategoricalPrior(3), max_iter=0, random_state=0)
    assert adjusted_rand_score(y, vae.fit_predict(frame)) > 0.9
    assert np.isfinite(vae.fit(X[:2]).predict_proba(X)).all()
    with pytest.raises(ValueError, match="not 4 classes each"):
        vae.set_params(prior=CategoricalPrior(4)).fit(X)
    with pytest.raises(ValueError, match="one is discrete"):
        VAETransformer(10, prior="categorical").fit(X)


def test_weights_count_and_the_order_of_rows_does_not():
    X, _ = groups(4, sizes=(60, 30, 20))
    weight = 1 + np.arange(len(X)) % 3
    vae = VAETransformer(2, prior=NormalMixture(3), **SMALL)
    weighted = vae.fit(X, sample_weight=weight).predict_proba(X)
    shuffled = np.random.default_rng(0).permutation(np.repeat(np.arange(len(X)), weight))
    np.testing.assert_array_equal(vae.fit(X[shuffled]).predict_proba(X), weighted)


# ---------------------------------------------------------------- how many groups


def number_of_groups(seed, n_groups, n_columns, n_components):
    X, _ = groups(seed, sizes=(960 // n_groups,) * n_groups, n_columns=n_columns)
    vae = VAETransformer(n_components, prior=NormalMixture("auto"), init="pca", max_iter=0, random_state=seed).fit(X)
    return vae.predict_proba(X).shape[1]


@pytest.mark.parametrize(("n_groups", "n_columns", "n_components"), [(1, 4, 3), (3, 2, 2), (8, 5, 10)])
def test_the_number_of_groups_is_found(n_groups, n_columns, n_components):
    assert number_of_groups(20, n_groups, n_columns, n_components) == n_groups


@pytest.mark.slow
@pytest.mark.parametrize(("n_columns", "n_components"), [(2, 2), (5, 10), (10, 8)])
@pytest.mark.parametrize("n_groups", [1, 3, 8])
def test_the_number_of_groups_is_found_in_nine_of_ten_tables(n_groups, n_columns, n_components):
    found = [number_of_groups(seed, n_groups, n_columns, n_components) for seed in range(10)]
    assert sum(n == n_groups for n in found) >= 9


def test_members_are_as_few_as_held_out_rows_allow():
    """Draws of one row are held out together: many of few rows are no evidence for members."""
    rng = np.random.default_rng(0)
    few = rng.normal(size=(30, 2))
    copies = np.repeat(np.arange(30), 10)
    z = few[copies] + 0.1 * rng.normal(size=(300, 2))
    assert fewest_members(z, copies, seed=0) == 1
    assert fewest_members(z, np.arange(300), seed=0) > 5


def test_a_model_with_its_own_number_of_groups_is_stored_and_goes_on():
    X, y = groups(5)
    vae = VAETransformer(2, prior=NormalMixture("auto", "full"), warm_start=True, **SMALL)
    assert adjusted_rand_score(y, vae.fit_predict(X)) > 0.95
    assert vae.prior == vae.get_params()["prior"]
    assert repr(vae.prior) == "NormalMixture(covariance='full', n_members='auto')"
    again = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(again.predict_proba(X), vae.predict_proba(X))
    assert repr(vae.fitted_.parts.prior) == repr(again.fit(X).fitted_.parts.prior)
    assert repr(again.fitted_.parts.prior) != "NormalMixture(covariance='full')"
    with pytest.raises(ValueError, match="no encoder"):
        VAETransformer(2, objective="gan", prior=NormalMixture("auto")).fit(X)


def test_groups_without_rows_are_named():
    X = np.random.default_rng(0).normal(size=(200, 3))
    with pytest.warns(UserWarning, match="groups hold no row: .* Fewer are enough"):
        VAETransformer(1, prior=NormalMixture(40), max_iter=0, random_state=0).fit(X)


# ---------------------------------------------------------------- after the training


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n_components", [2, 5])
def test_groups_of_unequal_shares(n_components, seed):
    X, y = groups(seed, sizes=(1700, 240, 60))
    vae = VAETransformer(n_components, prior=NormalMixture(3), random_state=seed)
    labels = vae.fit_predict(X)
    assert adjusted_rand_score(y, labels) >= 0.95
    assert recalls(y, labels).min() >= 0.9
    assert vae.score(X) > GaussianMixture(3, n_init=5, random_state=seed).fit(X).score(X) - 0.2
    centers = np.array([X[y == k].mean(0) for k in range(3)])
    drawn = KMeans(3, init=centers, n_init=1, max_iter=1).fit(centers).predict(vae.sample(20_000, random_state=seed))
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 20_000, [0.85, 0.12, 0.03], atol=0.01)
