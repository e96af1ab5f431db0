"""Cells of any finite size: finite results from every method, or an error that names the column."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA

from skvae import Gaussian, NormalMixture, VAETransformer, metrics
from skvae._inference.torch_modules import InverseTransform, ScoreSamples, Transform
from skvae._tables.columns import FARTHEST, NEXT_TO_ONE, NEXT_TO_ZERO

pytestmark = pytest.mark.filterwarnings("ignore:The importance weights:UserWarning")

WINE = load_wine().data[:, :5]
Z = (WINE - WINE.mean(0)) / WINE.std(0)
CELLS = [1e10, 1e19, 1e20, 1e30, 1e38, 1e100, 1e300, 1.7e308, 5e-324]
NAMES = list("abcde")


def with_cells(X, cells, dtype=np.float64, missing=False):
    """One row for each of the cells that the dtype holds, in the second column, and one row as it was."""
    cells = [c for c in cells if abs(c) <= float(np.finfo(dtype).max)]
    rows = np.repeat(X[:1], len(cells) + 1, axis=0).astype(dtype)
    rows[:-1, 1] = cells
    if missing:
        rows[:, [0, 3]] = np.nan
    return rows


def results(vae, X, missing):
    yield "transform", vae.transform(X)
    yield "reconstruct", vae.reconstruct(X)
    yield "drawn", vae.reconstruct(X, sample=True, random_state=0)
    yield "score_samples", vae.score_samples(X)
    yield "importance", vae.score_samples(X, n_importance_samples=5)
    columns = np.asarray(vae.score_columns(X))
    yield "score_columns", columns[:, 1:3] if missing else columns
    yield "encode", vae.encode(X).mean
    yield "effective_sample_size", metrics.effective_sample_size(vae, X, 5)
    yield "error", metrics.reconstruction_error(vae, X)
    yield "information", metrics.mutual_information(vae, X)
    yield "mmd", metrics.mmd_to_prior(vae, X)
    if missing:
        yield "impute", vae.impute(X, n_importance_samples=20)
        for table in vae.impute(X, n_draws=2, n_importance_samples=20, random_state=0):
            yield "impute by draws", table


def assert_finite(vae, X, missing=False):
    for name, result in results(vae, X, missing):
        assert np.isfinite(np.asarray(result, dtype=np.float64)).all(), name


CONTAINERS = {
    "array": (np.asarray, np.float64),
    "float32": (np.asarray, np.float32),
    "csr": (sparse.csr_array, np.float64),
    "pandas": (lambda X: pd.DataFrame(X, columns=NAMES), np.float64),
    "pandas float32": (lambda X: pd.DataFrame(X, columns=NAMES), np.float32),
    "polars": (lambda X: pl.DataFrame(X, schema=NAMES), np.float64),
}


@pytest.fixture(scope="module")
def fitted():
    models = {}

    def fit(scaling, frame=False):
        if (scaling, frame) not in models:
            X = pd.DataFrame(Z, columns=NAMES) if frame else Z
            models[scaling, frame] = VAETransformer(2, scaling=scaling, max_iter=3, random_state=0).fit(X)
        return models[scaling, frame]

    return fit


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_finite_in_finite_out_of_every_container(fitted, container, missing):
    make, dtype = CONTAINERS[container]
    if container == "csr" and missing:
        pytest.skip("zeros of a CSR are cells, and so few are missing")
    vae = fitted("standard", "pandas" in container or container == "polars")
    assert_finite(vae, make(with_cells(Z, [s * c for c in CELLS for s in (1, -1)], dtype, missing)), missing)


@pytest.mark.parametrize("scaling", ["global", "power", "quantile", None])
def test_finite_in_finite_out_of_every_scaling(fitted, scaling):
    for dtype in (np.float64, np.float32):
        for missing in (False, True):
            rows = with_cells(Z, [s * c for c in CELLS for s in (1, -1)], dtype, missing)
            assert_finite(fitted(scaling), rows, missing)


@pytest.mark.parametrize(
    "posterior", ["full", "flow", "log_normal", "pareto", "dirichlet", "categorical", "elliptical"]
)
def test_finite_in_finite_out_of_posteriors(posterior):
    vae = VAETransformer(2, posterior=posterior, max_iter=2, hidden_layer_sizes=(8,), random_state=0).fit(Z)
    for dtype in (np.float64, np.float32):
        assert_finite(vae, with_cells(Z, [s * c for c in CELLS for s in (1, -1)], dtype, True), True)


@pytest.mark.parametrize(
    "family",
    [
        "gamma",
        "zero_inflated_gamma",
        "log_normal",
        "poisson",
        "zero_inflated_poisson",
        "beta",
        "zero_one_inflated_beta",
    ],
)
def test_finite_in_finite_out_of_families(family):
    if "beta" in family:
        X, cells = 1 / (1 + np.exp(-Z)), [5e-324, 1e-300, 1e-45, 1e-20, 1 - 1e-16, 1 - 1e-12]
    elif "poisson" in family:
        X, cells = np.abs(Z * 3).round(), CELLS[:-1]
    else:
        X, cells = np.exp(Z), [*CELLS, 1e-300, 1e-45]
    if "inflated" in family:
        cells = [*cells, 0.0]
    vae = VAETransformer(2, likelihood=family_of(family), max_iter=2, random_state=0).fit(X)
    for missing in (False, True):
        assert_finite(vae, with_cells(X, cells, missing=missing), missing)


def family_of(name):
    from skvae.families import FAMILIES

    return FAMILIES[name]()


@pytest.mark.filterwarnings("ignore:The given cells:UserWarning")
@pytest.mark.parametrize("cell", [*CELLS, -1e20, -1.7e308])
def test_rows_with_an_extreme_cell_given(fitted, cell):
    rows = fitted("standard").sample(20, given={1: cell}, random_state=0)
    assert np.isfinite(rows).all()
    assert (rows[:, 1] == cell).all()


def test_mixture_priors_know_memberships_of_extreme_rows():
    vae = VAETransformer(2, prior=NormalMixture(3), max_iter=2, random_state=0).fit(Z)
    rows = with_cells(Z, CELLS)
    np.testing.assert_allclose(vae.prior_responsibilities(rows).sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("cell", [1e6, 1e10, -1e11])
def test_scores_far_out_are_exact(cell):
    """Of a linear model, against scikit-learn's probabilistic PCA; the bound is beyond."""
    vae = VAETransformer(2, likelihood=Gaussian(noise="shared", floor=1e-9), init="pca", max_iter=0).fit(Z)
    rows = with_cells(Z, [cell])
    exact = PCA(2).fit(Z).score_samples(rows)
    assert vae.score_samples(rows)[0] == pytest.approx(exact[0], rel=0.02)  # of n or n - 1
    assert vae.score_samples(rows)[1] == pytest.approx(exact[1], abs=0.1)


def test_cells_beyond_the_farthest_count_as_that_far(fitted):
    vae = fitted("standard")
    border = vae.fitted_.columns.shift[1] + FARTHEST * vae.fitted_.columns.scale[1]
    rows = with_cells(Z, [border, 10 * border, 1e300])
    for method in (vae.transform, vae.score_samples, vae.reconstruct):
        values = method(rows)
        np.testing.assert_allclose(values[1:3], np.stack([values[0]] * 2), rtol=1e-12)
    nearer = vae.score_samples(with_cells(Z, [border / 10]))[0]
    assert -1000 < vae.score_samples(rows)[0] < nearer < vae.score_samples(Z)[0] - 50


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extreme_codes_decode_to_finite_rows(fitted, dtype):
    vae = fitted("standard")
    codes = np.array([[c * s, 0.0] for c in CELLS for s in (1, -1) if c <= float(np.finfo(dtype).max)], dtype=dtype)
    assert np.isfinite(vae.inverse_transform(codes)).all()
    p = vae.decode(codes)
    for value in (p.mean, p.mode, p.variance, p.sample(), p.log_prob(Z[: len(codes)])):
        assert torch.isfinite(value).all()


def test_numbers_that_float32_cannot_hold_are_its_largest():
    """A float32 table near the end of float32."""
    vae = VAETransformer(2, max_iter=0, random_state=0).fit((Z * 3e36).astype(np.float32))
    codes = np.array([[1e5, 0.0], [-1e5, 0.0]], dtype=np.float32)
    rows = vae.inverse_transform(codes)
    assert rows.dtype == np.float32
    assert np.abs(rows).max() == np.finfo(np.float32).max


def test_small_numbers_stay_off_the_border_of_a_support():
    X = np.exp(Z)
    vae = VAETransformer(2, likelihood=family_of("log_normal"), max_iter=0, random_state=0).fit(X)
    scale = vae.fitted_.columns.scale[1]
    scores = vae.score_columns(with_cells(X, [5e-324, scale * NEXT_TO_ZERO, scale * 1e-37]))[:, 1]
    assert scores[0] == pytest.approx(scores[1], rel=1e-9)
    assert scores[0] < scores[2]
    columns = VAETransformer(2, likelihood=family_of("beta"), max_iter=0).fit(1 / (1 + np.exp(-Z))).fitted_.columns
    for dtype in (torch.float32, torch.float64):  # in which an atom at 0 or 1 would take them
        x, _ = columns.tensors(np.array([[1e-300, 1 - 1e-16, 0.5, 1e-3, 0.9]]), "cpu", dtype)
        np.testing.assert_allclose(x.double().numpy(), [[NEXT_TO_ZERO, NEXT_TO_ONE, 0.5, 1e-3, 0.9]], rtol=1e-7)


@pytest.mark.parametrize("cell", [-1.0, 0.5])
@pytest.mark.parametrize("method", ["impute", "effective_sample_size"])
def test_weights_of_a_cell_outside_the_support_are_refused_by_name(method, cell):
    X = np.abs(Z * 3).round()
    vae = VAETransformer(2, likelihood=family_of("poisson"), max_iter=0, random_state=0).fit(X)
    rows = with_cells(X, [cell], missing=True)
    with pytest.raises(ValueError, match=r"Column 'x1' has the value"):
        vae.impute(rows) if method == "impute" else metrics.effective_sample_size(vae, rows)


@pytest.mark.parametrize("scaling", ["standard", "global", "power", "quantile", None])
@pytest.mark.parametrize("cell", [1e10, 1e20, 1e38, 1e153, 1e155, -1.7e308, 5e-324])
def test_a_fit_of_an_extreme_cell_is_finite_or_names_the_column(cell, scaling):
    X = Z[:60].copy()
    X[7, 1] = cell
    try:
        vae = VAETransformer(2, scaling=scaling, max_iter=1, random_state=0).fit(X)
    except ValueError as error:
        assert abs(cell) > (1e12 if scaling is None else 1e154)
        assert "Column 'x1' has values" in str(error)  # noqa: PT017 - either is right, and the cell says which
        return
    assert_finite(vae, X)
    assert np.isfinite(vae.sample(20, random_state=0)).all()


@pytest.mark.parametrize("cell", [1e20, 1e300, -1.7e308])
def test_extreme_rows_that_are_held_out_or_come_later(cell):
    X = Z.copy()
    X[7, 1] = cell
    vae = VAETransformer(2, max_iter=2, random_state=0).fit(Z, X_val=X)
    assert_finite(vae, X)
    vae.partial_fit(X)
    assert_finite(vae, X)


@pytest.mark.parametrize("likelihood", [None, "log_normal"])
def test_graphs_agree_with_the_estimator_on_extremes(likelihood):
    X = Z if likelihood is None else np.exp(Z)
    family = "auto" if likelihood is None else family_of(likelihood)
    vae = VAETransformer(2, likelihood=family, max_iter=2, random_state=0).fit(X)
    rows = with_cells(X, CELLS, missing=True)
    graph = torch.from_numpy(rows)
    np.testing.assert_allclose(Transform(vae, torch.float64)(graph), vae.transform(rows), rtol=1e-9)
    np.testing.assert_allclose(ScoreSamples(vae, torch.float64)(graph), vae.score_samples(rows), rtol=1e-9)
    codes = np.array([[1e300, 0.0], [0.0, -1e100]])
    decoded = InverseTransform(vae, torch.float64)(torch.from_numpy(codes))
    np.testing.assert_allclose(decoded, vae.inverse_transform(codes), rtol=1e-9)


@pytest.mark.parametrize("value", [1e20, 1e300, 5e-324, -1.7e308])
def test_constant_columns_of_any_size(value):
    X = np.c_[Z, np.full(len(Z), value)]
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(X)
    rows = with_cells(X, CELLS, missing=True)
    rows[2:4, -1] = [-1e308, 3.0]
    assert_finite(vae, rows, True)
    assert (vae.sample(5, random_state=0)[:, -1] == value).all()
