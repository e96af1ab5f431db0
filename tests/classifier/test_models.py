"""The models of the label by themselves: EM against scikit-learn's discriminants, exponents, folds."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skvae.classifier import class_normals
from skvae.classifier.class_normals import fit_class_normals
from skvae.classifier.label_model import _folds
from skvae.classifier.linear import fit_linear, standardization
from skvae.classifier.pooled import fit_exponents, pooled


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return X, np.zeros_like(X), y


def few(y, n, seed=0):
    """Labels of n rows of each class."""
    rng = np.random.default_rng(seed)
    label = np.full(len(y), -1)
    for c in np.unique(y):
        label[rng.permutation(np.flatnonzero(y == c))[:n]] = c
    return label


def test_normals_of_labelled_rows_are_quadratic_discriminant_analysis(iris, monkeypatch):
    """With all labels and nothing borrowed EM is one step: means and covariances of the classes."""
    monkeypatch.setattr(class_normals, "_BORROWED", -4.0)  # nu = K + borrowed = 0
    e, v, y = iris
    normals = fit_class_normals(e, v, y, np.ones(150), 3)
    for c in range(3):
        S = normals.factors[c] @ normals.factors[c].T
        np.testing.assert_allclose(normals.means[c], e[y == c].mean(0), rtol=1e-12)
        np.testing.assert_allclose(S, np.cov(e[y == c].T, bias=True), rtol=1e-5)


def test_strongly_borrowed_covariances_are_linear_discriminant_analysis(iris, monkeypatch):
    monkeypatch.setattr(class_normals, "_BORROWED", 1e9)
    e, v, y = iris
    log_p = fit_class_normals(e, v, y, np.ones(150), 3).log_posterior(e, v)
    np.testing.assert_allclose(np.exp(log_p), LinearDiscriminantAnalysis().fit(e, y).predict_proba(e), atol=0.01)


def test_log_joint_is_the_expected_normal_density():
    """Against the mean of scipy's log-density over draws with exactly these moments."""
    rng = np.random.default_rng(0)
    e, v, y = rng.normal(size=(40, 2)), rng.uniform(0.1, 1, (40, 2)), np.repeat([0, 1], 20)
    normals = fit_class_normals(e, v, y, np.ones(40), 2)
    u = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    for c in range(2):
        p = multivariate_normal(normals.means[c], normals.factors[c] @ normals.factors[c].T)
        exact = np.mean([p.logpdf(e + s * np.sqrt(v)) for s in u], 0) + np.log(normals.weights[c])
        np.testing.assert_allclose(normals.log_joint(e, v)[:, c], exact, rtol=1e-10)


def test_predictions_are_expected_normal_densities():
    """Against scipy's normal, convolved with the variance of each row's code."""
    rng = np.random.default_rng(0)
    e, v, y = rng.normal(size=(40, 2)), rng.uniform(0.1, 1, (40, 2)), np.repeat([0, 1], 20)
    normals = fit_class_normals(e, v, y, np.ones(40), 2)
    p = np.empty((40, 2))
    for c in range(2):
        S = normals.factors[c] @ normals.factors[c].T
        density = [multivariate_normal(normals.means[c], S + np.diag(w)).pdf(m) for m, w in zip(e, v, strict=True)]
        p[:, c] = normals.weights[c] * np.array(density)
    np.testing.assert_allclose(np.exp(normals.log_posterior(e, v)), p / p.sum(1, keepdims=True), rtol=1e-10)


def test_rows_without_label_help():
    """Two long groups side by side, two labels in each: the others show where the groups are."""
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 200)
    e = np.stack([rng.normal(size=400) * 3, y * 2 + rng.normal(size=400) * 0.5], 1)
    v, accuracy = np.zeros_like(e), []
    for seed in range(20):
        label = few(y, 2, seed)
        accuracy.append([])
        for unlabeled_weight in (1e-9, 0.2):
            model = fit_class_normals(e, v, label, np.where(label >= 0, 1.0, unlabeled_weight), 2)
            accuracy[-1].append(np.mean(model.log_posterior(e, v).argmax(1) == y))
    alone, together = np.mean(accuracy, 0)
    assert together > 0.95 > alone + 0.05


def test_a_component_without_information_tells_nothing(iris):
    """Codes of mean zero and variance one, as q of a dead component has, change no probability."""
    e, v, y = iris
    dead, label = np.zeros((150, 3)), few(y, 5)
    weight = np.ones(150)
    log_p = fit_class_normals(e, v, label, weight, 3, 1).log_posterior(e, v)
    wide = np.hstack([e, dead]), np.hstack([v, dead + 1])
    more = fit_class_normals(*wide, label, weight, 3, 1).log_posterior(*wide)
    assert (more.argmax(1) == log_p.argmax(1)).mean() > 0.97  # nu = K + 5 borrows a little more


def test_members_follow_a_class_in_two_groups():
    """Groups 0 1 0 on a line: one normal per class covers the wrong places, two do not."""
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 100)
    e, y = group[:, None] * 4 + rng.normal(size=(300, 1)), (group == 1).astype(int)
    v = np.zeros_like(e)
    one, two = (fit_class_normals(e, v, y, np.ones(300), 2, m) for m in (1, 2))
    assert list(two.owner) == [0, 0, 1, 1]
    np.testing.assert_allclose(sorted(two.means[:2, 0]), [0, 8], atol=0.4)
    assert two.log_posterior(e, v)[np.arange(300), y].mean() > one.log_posterior(e, v)[np.arange(300), y].mean() + 0.1


def test_draws_have_the_moments_of_their_class(iris):
    e, v, y = iris
    normals = fit_class_normals(e, v, y, np.ones(150), 3)
    z = normals.sample(np.full(20000, 2), np.random.default_rng(0))
    np.testing.assert_allclose(z.mean(0), normals.means[2], atol=0.02)
    np.testing.assert_allclose(np.cov(z.T), normals.factors[2] @ normals.factors[2].T, atol=0.02)
    share = np.bincount(normals.sample_classes(9000, np.random.default_rng(0))) / 9000
    np.testing.assert_allclose(share, 1 / 3, atol=0.02)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_linear_model_is_scikit_learns(n_classes):
    X, y = load_wine(return_X_y=True)
    X, y = X[y < n_classes], y[y < n_classes]
    weight = np.ones(len(y))
    model = fit_linear(X, y, weight, *standardization(X, weight), C=1.0)
    Z = StandardScaler().fit_transform(X)
    theirs = LogisticRegression(max_iter=1000).fit(Z, y).predict_log_proba(Z)
    np.testing.assert_allclose(model.log_posterior(X), theirs, atol=1e-6)


def test_missing_cells_are_average_and_constant_columns_count_nothing():
    x = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])
    shift, scale = standardization(x, np.array([1.0, 1.0, 7.0]))
    np.testing.assert_allclose([shift, scale], [[2, 5], [1, 1]])
    model = fit_linear(x, np.array([0, 1, 1]), np.ones(3), shift, scale, C=1.0)
    np.testing.assert_allclose(model.log_posterior(np.array([[np.nan, np.nan]])), model.log_posterior([[2.0, 5.0]]))


def test_exponents_find_the_model_that_knows():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 3000)
    truth = rng.normal(size=(3000, 3))
    y = (truth + rng.gumbel(size=truth.shape)).argmax(1)  # a softmax of `truth`
    log_p = np.stack([pooled(truth[None], np.ones(1)), pooled(rng.normal(size=(1, 3000, 3)), np.ones(1))])
    np.testing.assert_allclose(fit_exponents(log_p, y, np.ones(3000)), [1, 0], atol=0.08)
    sharp = np.stack([4 * log_p[0], log_p[1]])
    np.testing.assert_allclose(fit_exponents(sharp, y, np.ones(3000)), [0.25, 0], atol=0.08)


def test_without_labels_left_out_both_models_count_half():
    log_p = np.zeros((2, 0, 3))
    np.testing.assert_allclose(fit_exponents(log_p, np.zeros(0, dtype=int), np.zeros(0)), 0.5)


def test_folds_leave_a_row_of_each_class():
    label = np.array([0, 1, 1, 2, 2, 2, 2, 2, 2, 2])
    fold = _folds(label)
    assert fold[0] == -1
    for k in range(fold.max() + 1):
        assert set(label[fold != k]) == {0, 1, 2}
    assert np.bincount(fold[label == 2]).max() == 2
