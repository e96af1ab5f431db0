"""Pictures: their numbers against independent computations, and that each draws on the axes that it is given."""

import subprocess
import sys
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from failing import Failing
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skvae import Gaussian, NormalMixture, VAEOutlierDetector, VAETransformer, display
from skvae._fitting.plan import Plan
from skvae._fitting.prepare import prepare
from skvae.display import (
    AnomalyDisplay,
    BoundDisplay,
    ComponentDisplay,
    LatentSpaceDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    SynthesisDisplay,
    TrainingCurveDisplay,
)
from skvae.display.plotting import _luminance, image_values, short
from skvae.display.samples import _most_different

X, y = load_iris(return_X_y=True)
DIGITS = load_digits().data


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(n_components=2, max_iter=3, random_state=0).fit(X)


@pytest.fixture(scope="module")
def digits():
    return VAETransformer(n_components=2, max_iter=0, random_state=0).fit(DIGITS)


@pytest.fixture(scope="module")
def frame():
    """200 rows with numbers, a category, a boolean and missing values."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["cat", "dog", "emu"], 200)
    weight = np.select([kind == "cat", kind == "dog"], [4.0, 20.0], 40.0) + rng.normal(size=200).round(1)
    table = pd.DataFrame({"kind": kind, "weight": weight, "tame": kind != "emu", "age": rng.integers(1, 15, 200)})
    table["teeth"] = 2 * table["age"] + rng.integers(0, 5, 200)
    table.loc[:9, "weight"] = np.nan
    table.loc[5:14, "kind"] = None
    return table


@pytest.fixture(scope="module")
def pets(frame):
    return VAETransformer(n_components=2, max_iter=20, random_state=0).fit(frame)


#: What each class draws of an iris model, and the shape of its axes.
DRAWN = {
    LatentSpaceDisplay: (lambda vae, **kw: LatentSpaceDisplay.from_estimator(vae, X, y, **kw), ()),
    TrainingCurveDisplay: (lambda vae, **kw: TrainingCurveDisplay.from_estimator(vae, **kw), (3,)),
    ReconstructionDisplay: (lambda vae, **kw: ReconstructionDisplay.from_estimator(vae, X, **kw), (4,)),
    ComponentDisplay: (lambda vae, **kw: ComponentDisplay.from_estimator(vae, X, **kw), (2,)),
    ManifoldDisplay: (lambda vae, **kw: ManifoldDisplay.from_estimators([vae, vae], (2, 2), n=3, **kw), (2,)),
    SampleDisplay: (lambda vae, **kw: SampleDisplay.from_estimator(vae, X, random_state=0, **kw), (4, 4)),
    SynthesisDisplay: (
        lambda vae, **kw: SynthesisDisplay.from_estimator(vae, X[::2], X[1::2], random_state=0, **kw),
        (2,),
    ),
    AnomalyDisplay: (lambda vae, **kw: AnomalyDisplay.from_estimator(vae, X, n_rows=5, **kw), (2,)),
    BoundDisplay: (lambda vae, **kw: BoundDisplay.from_estimator(vae, X, n_draws=(1, 5), **kw), (2,)),
}


def axes_of(drawn):
    return np.asarray(drawn.axes_ if hasattr(drawn, "axes_") else drawn.ax_)


def test_every_display_is_drawn_here():
    assert {cls.__name__ for cls in DRAWN} == set(display.__all__)


@pytest.mark.parametrize("cls", DRAWN)
def test_a_display_makes_a_figure_or_draws_on_the_axes_that_it_is_given(cls, vae):
    draw, shape = DRAWN[cls]
    drawn = draw(vae)
    assert isinstance(drawn, cls)
    assert len(plt.get_fignums()) == 1
    assert axes_of(drawn).shape == shape
    drawn.figure_.canvas.draw()

    figure, ax = plt.subplots()
    drawn = draw(vae, ax=ax)
    assert drawn.figure_ is figure
    assert len(plt.get_fignums()) == 2  # the one above and ours
    assert all(a.get_subplotspec().get_topmost_subplotspec() == ax.get_subplotspec() for a in axes_of(drawn).flat)
    figure.canvas.draw()
    assert drawn.plot() is drawn
    assert drawn.figure_ is not figure


@pytest.mark.parametrize("cls", [cls for cls, (_, shape) in DRAWN.items() if shape])
def test_panels_take_an_array_of_axes_of_their_number(cls, vae):
    draw, shape = DRAWN[cls]
    figure, axes = plt.subplots(1, int(np.prod(shape)))
    drawn = draw(vae, ax=axes)
    assert axes_of(drawn).ravel().tolist() == axes.tolist()
    assert plt.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match=f"{cls.__name__} draws {len(axes)} panels, but 'ax' has 1 axes"):
        draw(vae, ax=axes[:1])


def test_axes_without_a_grid_cannot_be_divided(vae):
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="divides 'ax' into 2 panels"):
        ComponentDisplay.from_estimator(vae, X, ax=ax)
    assert LatentSpaceDisplay.from_estimator(vae, X, ax=ax).ax_ is ax


@pytest.mark.parametrize("cls", DRAWN)
def test_a_display_refuses_what_is_no_fitted_vae(cls, vae):
    draw, _ = DRAWN[cls]
    for estimator in (VAETransformer(), make_pipeline(StandardScaler(), VAETransformer(objective="gan"))):
        with pytest.raises(NotFittedError):
            draw(estimator)
    with pytest.raises(ValueError, match=f"{cls.__name__} takes a VAETransformer.* Got PCA"):
        draw(PCA().fit(X))
    assert plt.get_fignums() == []


@pytest.mark.parametrize("cls", [cls for cls in DRAWN if cls is not ManifoldDisplay])
def test_a_pipeline_transforms_the_table_first(cls):
    scaled = StandardScaler().fit_transform(X)
    pipe = make_pipeline(StandardScaler(), VAETransformer(n_components=2, max_iter=3, random_state=0)).fit(X)
    draw, _ = DRAWN[cls]
    ours = vars(draw(pipe))
    theirs = vars(_drawn_of(cls, pipe[-1], scaled))
    for name in ("codes", "observed", "effects", "real", "bounds", "history", "surprise", "report"):
        if name == "report" and name in ours:
            assert ours[name].made == theirs[name].made
        elif name in ours:
            np.testing.assert_equal(ours[name], theirs[name])


def test_the_plane_needs_a_fitted_vae():
    with pytest.raises(NotFittedError):
        ManifoldDisplay.from_estimator(VAETransformer(2), (2, 2))
    with pytest.raises(ValueError, match="ManifoldDisplay takes a VAETransformer"):
        ManifoldDisplay.from_estimator(PCA().fit(X), (2, 2))


@pytest.mark.parametrize("cls", [cls for cls in DRAWN if cls not in (ManifoldDisplay, TrainingCurveDisplay)])
def test_a_fit_in_between_does_not_mix_two_models(cls):
    """An earlier step that fits the last one anew stands for a `fit` in another thread."""
    draw, _ = DRAWN[cls]
    vae = VAETransformer(n_components=2, max_iter=1, random_state=0).fit(X)
    expected = vars(draw(vae))
    again = FunctionTransformer(lambda X: vae.set_params(n_components=3).fit(X) and X)
    drawn = vars(draw(make_pipeline(again, vae)))
    for name in {"codes", "reconstructed", "effects", "sampled", "bounds", "surprise"} & set(drawn):
        np.testing.assert_array_equal(drawn[name], expected[name])
    assert vae.module_.n_components == 3


def _drawn_of(cls, vae, table):
    if cls is TrainingCurveDisplay:
        return cls.from_estimator(vae, table)
    if cls is SynthesisDisplay:
        return cls.from_estimator(vae, table[::2], table[1::2], random_state=0)
    options = {AnomalyDisplay: {"n_rows": 5}, SampleDisplay: {"random_state": 0}, BoundDisplay: {"n_draws": (1, 5)}}
    return cls.from_estimator(vae, table, **options.get(cls, {}))


def test_importing_the_displays_imports_no_matplotlib():
    code = "import skvae.display, sys; print('matplotlib' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize("cls", DRAWN)
def test_without_matplotlib_the_error_says_what_to_install(cls, vae, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=rf"{cls.__name__}.* needs matplotlib: pip install matplotlib"):
        DRAWN[cls][0](vae)


# ---------------------------------------------------------------- latent space


def test_latent_space_draws_the_codes_and_names_their_information(vae):
    drawn = LatentSpaceDisplay.from_estimator(vae, X, components=(1, 0))
    np.testing.assert_array_equal(drawn.scatter_[0].get_offsets(), vae.transform(X)[:, [1, 0]])
    assert drawn.ax_.get_xlabel() == f"Component 1 (KL {vae.kl_per_component_[1]:.2f} nats)"
    assert drawn.legend_ is None
    assert drawn.colorbar_ is None
    autoencoder = VAETransformer(2, objective="ae", max_iter=2, random_state=0).fit(X)
    assert LatentSpaceDisplay.from_estimator(autoencoder, X).ax_.get_xlabel() == "Component 0"


@pytest.mark.parametrize("make", [np.asarray, list, pd.Series, pl.Series])
def test_classes_have_a_legend_whatever_holds_them(vae, make):
    names = load_iris().target_names[y].astype(object)
    drawn = LatentSpaceDisplay.from_estimator(vae, X, make(names.tolist()))
    assert [text.get_text() for text in drawn.legend_.get_texts()] == ["setosa", "versicolor", "virginica"]
    assert [len(points.get_offsets()) for points in drawn.scatter_] == [50, 50, 50]
    colors = [to_hex(points.get_facecolor()[0]) for points in drawn.scatter_]
    assert len(set(colors)) == 3


def test_classes_keep_the_order_of_their_dtype_and_missing_ones_come_last(vae):
    grades = pd.Series(pd.Categorical(["low", "high", None] * 50, ["low", "mid", "high"]), name="grade")
    drawn = LatentSpaceDisplay.from_estimator(vae, X, grades)
    assert [text.get_text() for text in drawn.legend_.get_texts()] == ["low", "high", "missing"]
    assert drawn.legend_.get_title().get_text() == "grade"


def test_numbers_have_a_color_bar(vae):
    numbers = pd.Series(X[:, 0], name="length").where(np.arange(150) > 9)
    drawn = LatentSpaceDisplay.from_estimator(vae, X, numbers)
    assert drawn.legend_ is None
    assert drawn.colorbar_.ax.get_ylabel() == "length"
    missing, known = drawn.scatter_
    np.testing.assert_array_equal(known.get_array(), X[10:, 0])
    assert len(missing.get_offsets()) == 10


@pytest.mark.parametrize(
    ("y", "named"),
    [
        (pd.Series(pd.date_range("2026-01-01", periods=150)), r"cells of Timestamp: of dates take days"),
        ([1.5, "a"] * 75, r"cells of float, str: .* make mixed cells strings"),
    ],
)
def test_cells_that_are_neither_numbers_nor_names_are_refused(vae, y, named):
    with pytest.raises(TypeError, match=f"y must be numbers, strings, .*{named}"):
        LatentSpaceDisplay.from_estimator(vae, X, y)


def test_more_than_ten_classes_all_look_different(vae):
    drawn = LatentSpaceDisplay.from_estimator(vae, X, [f"class {i % 25:02d}" for i in range(150)])
    assert len({to_hex(points.get_facecolor()[0]) for points in drawn.scatter_}) == 25


def test_hexagons_count_every_row(vae):
    drawn = LatentSpaceDisplay.from_estimator(vae, X, density=True)
    assert drawn.density_.get_array().sum() == 150
    assert drawn.scatter_ == []
    means = LatentSpaceDisplay.from_estimator(vae, X, X[:, 0], density=True).density_.get_array()
    assert X[:, 0].min() <= means.min() <= means.max() <= X[:, 0].max()


def test_hexagons_have_the_color_of_the_majority():
    codes = np.concatenate([np.zeros((30, 2)), np.ones((20, 2))])
    drawn = LatentSpaceDisplay(codes, y=["a"] * 20 + ["b"] * 10 + ["b"] * 20)
    drawn.plot(density=True).figure_.canvas.draw()
    assert drawn.density_.get_array().tolist() == [30, 20]
    legend = [to_hex(handle.get_facecolor()[0]) for handle in drawn.legend_.legend_handles]
    assert [to_hex(color) for color in drawn.density_.get_facecolors()] == legend


def test_density_is_automatic_where_rows_are_many():
    codes = np.random.default_rng(0).normal(size=(20_001, 2))
    assert LatentSpaceDisplay(codes[:-1]).plot().density_ is None
    assert LatentSpaceDisplay(codes).plot().density_.get_array().sum() == 20_001


def shapes(drawn):
    """A A' of each ellipse, A its half axes in data space: n_std squared times a covariance, (n, 2, 2)."""
    drawn.figure_.canvas.draw()
    axes = drawn.ellipses_.get_transforms()[:, :2, :2]
    return axes @ axes.swapaxes(1, 2)


def test_ellipses_have_the_axes_of_a_mean_field_posterior(vae):
    drawn = LatentSpaceDisplay.from_estimator(vae, X, ellipses=7, n_std=1.5)
    scale = vae.encode(X).scale.numpy()[drawn.ellipse_rows]
    np.testing.assert_allclose(shapes(drawn), [np.diag((1.5 * s) ** 2) for s in scale], atol=1e-12)
    centers = vae.transform(X)[drawn.ellipse_rows]
    np.testing.assert_array_equal(drawn.ellipses_.get_offsets(), centers)
    assert ((centers + 1.5 * scale).max(0) <= [drawn.ax_.get_xlim()[1], drawn.ax_.get_ylim()[1]]).all()
    assert len(drawn.ellipse_rows) == 7


def test_ellipses_of_a_full_covariance_are_its_level_sets():
    full = VAETransformer(3, posterior="full", max_iter=5, random_state=0).fit(X)
    drawn = LatentSpaceDisplay.from_estimator(full, X, components=(0, 2), ellipses=5)
    covariances = full.encode(X).covariance_matrix.numpy()[drawn.ellipse_rows][:, [0, 2]][:, :, [0, 2]]
    np.testing.assert_allclose(shapes(drawn), 4 * covariances, rtol=1e-6, atol=1e-9)


def test_ellipses_lean_as_the_covariance_does():
    covariances = np.array([[[2.0, 0.9], [0.9, 1.0]], [[0.5, -0.3], [-0.3, 1.0]], [[0.0, 0.0], [0.0, 1.0]]])
    drawn = LatentSpaceDisplay(np.eye(3)[:, :2], ellipse_rows=np.arange(3), covariances=covariances).plot(n_std=3.0)
    np.testing.assert_allclose(shapes(drawn), 9 * covariances, atol=1e-12)


def test_ellipses_take_rows_of_frames_and_refuse_posteriors_without_a_variance(pets, frame):
    assert len(LatentSpaceDisplay.from_estimator(pets, frame, ellipses=True).ellipse_rows) == 100
    cauchy = VAETransformer(2, posterior="cauchy", max_iter=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"no finite variance\. Use ellipses=False"):
        LatentSpaceDisplay.from_estimator(cauchy, X, ellipses=5)
    flow = VAETransformer(2, posterior="flow", max_iter=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="no covariance to draw ellipses of"):
        LatentSpaceDisplay.from_estimator(flow, X, ellipses=5)


@pytest.mark.parametrize("bad", [{"components": (0, 2)}, {"components": (0,)}, {"ellipses": -1}, {"ellipses": "all"}])
def test_latent_space_names_a_bad_parameter(vae, bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' must be"):
        LatentSpaceDisplay.from_estimator(vae, X, **bad)


def test_y_has_an_entry_per_row(vae):
    with pytest.raises(ValueError, match="y has 10 entries, X 150 rows"):
        LatentSpaceDisplay.from_estimator(vae, X, y[:10])


def test_a_generator_without_codes_says_so():
    gan = VAETransformer(2, objective="gan", max_iter=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"LatentSpaceDisplay: .* trains a generator without an encoder"):
        LatentSpaceDisplay.from_estimator(gan, X)
    assert ManifoldDisplay.from_estimators([gan], (2, 2), n=2).means[0].shape == (2, 2, 4)


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def cancer_fit():
    table = load_breast_cancer().data
    return VAETransformer(n_components=3, max_iter=3, random_state=0).fit(table), table


def test_curves_are_reconstruction_minus_kl_of_the_history(cancer_fit):
    vae, _ = cancer_fit
    drawn = TrainingCurveDisplay.from_estimator(vae)
    expected = [record["valid_reconstruction"] - record["valid_kl"] for record in vae.history_]
    np.testing.assert_array_equal(drawn.lines_["valid"].get_ydata(), expected)
    assert drawn.lines_["train"].get_xdata().tolist() == [1, 2, 3]
    np.testing.assert_array_equal(drawn.lines_["train_kl"].get_ydata(), [r["train_kl"] for r in vae.history_[1:]])
    assert drawn.levels == {"initialisation": expected[0]}
    assert drawn.best_line_.get_xdata()[0] == vae.best_iter_
    assert [ax.get_ylabel().split()[0] for ax in drawn.axes_] == ["ELBO", "Reconstruction", "KL"]


def test_levels_are_linear_models_of_the_training_rows_on_the_held_out_ones(cancer_fit):
    """Up to the one pair of draws that held-out rows have; PCA is 4 nats off on training rows, 1.1 solved on all."""
    vae, table = cancer_fit
    n = int(np.ceil(0.1 * len(table)))
    plan = Plan.of(vae.get_params(deep=False), "VAETransformer")
    held_out = np.asarray(prepare(plan, vae, table, None, vae.fitted_).rows[0][:n].take(slice(None)))
    train = table[~(table[:, None] == held_out[None]).all(2).any(1)]
    assert len(train) == len(table) - n
    scaler = StandardScaler().fit(train)
    jacobian = np.log(scaler.scale_).sum()
    levels = TrainingCurveDisplay.from_estimator(vae, table).levels
    pca = PCA(3).fit(scaler.transform(train))
    assert levels["PCA"] == pytest.approx(_log_likelihood(pca, scaler.transform(held_out)) - jacobian, abs=0.15)
    fa = FactorAnalysis(3, tol=1e-8, max_iter=20_000, svd_method="lapack").fit(scaler.transform(train))
    expected = fa.score(scaler.transform(held_out)) - jacobian
    assert levels["factor analysis"] == pytest.approx(expected, abs=0.15)
    assert levels["initialisation"] == TrainingCurveDisplay.from_estimator(vae).levels["initialisation"]


def _log_likelihood(pca, rows):
    """Of probabilistic PCA, by scipy: the mean and covariance that PCA reports."""
    n = pca.n_samples_
    mean, covariance = pca.mean_, pca.get_covariance() * (n - 1) / n  # maximum likelihood divides by n
    return multivariate_normal(mean, covariance).logpdf(rows).mean()


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3)])
def test_levels_know_the_held_out_rows_of_any_seed(random_state):
    likelihood = Gaussian(background=0)  # or the initialisation has a background that PCA has not
    vae = VAETransformer(2, likelihood=likelihood, init="pca", max_iter=1, random_state=random_state).fit(X)
    levels = TrainingCurveDisplay.from_estimator(vae, X).levels
    assert levels["PCA"] == pytest.approx(levels["initialisation"], abs=1e-9)
    assert list(TrainingCurveDisplay.from_estimator(vae, X).level_lines_) == ["initialisation, PCA", "factor analysis"]


def test_levels_have_the_number_of_components_that_the_fit_has_chosen():
    """For the linear models "auto" would choose again: 3 for this table."""
    vae = VAETransformer(1, max_iter=1, random_state=0).fit(X)
    levels = TrainingCurveDisplay.from_estimator(vae, X).levels
    assert TrainingCurveDisplay.from_estimator(vae.set_params(n_components="auto"), X).levels == levels


def test_levels_take_weights_and_held_out_rows_and_refuse_another_table():
    weight = np.random.default_rng(0).uniform(0.5, 2, 150)
    vae = VAETransformer(2, max_iter=1, random_state=0).fit(X, sample_weight=weight, X_val=X[:30] + 0.01)
    drawn = TrainingCurveDisplay.from_estimator(vae, X, X_val=X[:30] + 0.01, sample_weight=weight)
    assert set(drawn.levels) == {"initialisation", "PCA", "factor analysis"}
    for wrong in ({}, {"X_val": X[:30] + 0.01}, {"sample_weight": weight}):
        with pytest.raises(ValueError, match="are not those that fit saw"):
            TrainingCurveDisplay.from_estimator(vae, X, **wrong)


def test_curves_without_held_out_rows_have_no_levels():
    vae = VAETransformer(2, max_iter=2, early_stopping=False, random_state=0).fit(X)
    drawn = TrainingCurveDisplay.from_estimator(vae)
    assert drawn.levels == {}
    assert set(drawn.lines_) == {"train", "train_reconstruction", "train_kl"}
    assert drawn.best_line_ is None
    with pytest.raises(ValueError, match="held no rows out"):
        TrainingCurveDisplay.from_estimator(vae, X)
    with pytest.raises(ValueError, match="no epoch was trained"):
        TrainingCurveDisplay.from_estimator(VAETransformer(2, max_iter=0).fit(X))


@pytest.mark.parametrize(
    ("objective", "label", "sign", "parts"),
    [
        ("iwae", "Bound of 8 draws (nats per row)", -1, ["reconstruction", "kl"]),
        ("ae", "Loss of AE", 1, ["reconstruction"]),
        ("wae_mmd", "Loss of WAEMMD", 1, ["reconstruction", "mmd"]),
        ("aae", "Loss of AAE", 1, ["reconstruction", "adversarial", "auxiliary_loss"]),
        ("avb", "Bound of AVB (nats per row)", -1, ["reconstruction", "kl", "auxiliary_loss"]),
        ("gan", "Loss of GAN", 1, ["auxiliary_loss"]),
    ],
)
def test_other_objectives_show_what_they_have(objective, label, sign, parts):
    vae = VAETransformer(2, objective=objective, max_iter=2, random_state=0).fit(X)
    drawn = TrainingCurveDisplay.from_estimator(vae)
    assert drawn.ax_.get_ylabel() == label
    last = [record for record in vae.history_ if "train_loss" in record][-1]
    assert drawn.lines_["train"].get_ydata()[-1] == sign * last["train_loss"]
    assert {f"train_{part}" for part in parts} <= set(drawn.lines_)
    assert len(drawn.axes_) == 1 + len(parts)


@pytest.mark.parametrize(
    ("objective", "parts"), [("vae_gan", ["adversarial", "auxiliary_loss"]), ("beta_tc_vae", ["total_correlation"])]
)
def test_a_bound_with_more_beside_it_is_shown_as_a_bound(objective, parts):
    vae = VAETransformer(2, objective=objective, max_iter=2, random_state=0).fit(X)
    drawn = TrainingCurveDisplay.from_estimator(vae)
    assert drawn.ax_.get_ylabel() == "ELBO (nats per row)"
    last = [record for record in vae.history_ if "train_loss" in record][-1]
    assert drawn.lines_["train"].get_ydata()[-1] == last["train_reconstruction"] - last["train_kl"]
    assert {f"train_{part}" for part in parts} <= set(drawn.lines_)


def test_weighted_columns_are_on_the_label():
    vae = VAETransformer(2, max_iter=1, column_weights={0: 2.0}, random_state=0).fit(X)
    assert TrainingCurveDisplay.from_estimator(vae).ax_.get_ylabel() == "ELBO (nats per row, columns weighted)"


def test_a_bad_beginning_does_not_squeeze_the_curve():
    history = [
        {"epoch": i, "train_reconstruction": -1e4 if i == 1 else -5 + i / 100, "train_kl": 1.0} for i in range(1, 60)
    ]
    drawn = TrainingCurveDisplay(history).plot(parts=False)
    assert drawn.ax_.get_ylim()[0] > -10
    assert drawn.lines_["train"].get_ydata()[0] == -10_001


def test_bounds_and_errors_are_those_of_the_scores(vae):
    drawn = BoundDisplay.from_estimator(vae, X, n_draws=(1, 2, 20))
    elbo, scores = vae.score_samples(X), vae.score_samples(X, n_importance_samples=20)
    assert drawn.elbo == pytest.approx(vae.score(X))
    assert drawn.bounds[2] == pytest.approx(scores.mean())
    assert drawn.bound_errors[2] == pytest.approx(scores.std(ddof=1) / np.sqrt(150))
    assert drawn.gap_errors[2] == pytest.approx((scores - elbo).std(ddof=1) / np.sqrt(150))
    np.testing.assert_array_equal(drawn.gap_lines_[0].get_ydata(), drawn.bounds - drawn.elbo)
    assert [ax.get_xscale() for ax in drawn.axes_] == ["log", "log"]
    with pytest.raises(ValueError, match=r"'n_draws' must be ints in the range \[1, inf\)"):
        BoundDisplay.from_estimator(vae, X, n_draws=(0, 5))


def test_small_bounds_are_means_over_blocks_of_the_same_draws():
    """So they rise with the draws, and that of one draw is the ELBO, up to an error that many draws make small."""
    incomplete = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    vae = VAETransformer(2, max_iter=5, scaling="power", random_state=0).fit(incomplete)
    drawn = BoundDisplay.from_estimator(vae, incomplete, n_draws=(1, 2, 4, 400))
    assert (np.diff(drawn.bounds) > 0).all()
    assert drawn.bounds[0] == pytest.approx(drawn.elbo, abs=0.1)
    assert drawn.bounds[-1] == pytest.approx(vae.score_samples(incomplete, n_importance_samples=400).mean())


def test_bounds_need_a_score():
    autoencoder = VAETransformer(2, objective="ae", max_iter=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"BoundDisplay: .* there is no evidence lower bound"):
        BoundDisplay.from_estimator(autoencoder, X)


# ---------------------------------------------------------------- tables


def test_reconstruction_scores_are_r2_and_agreement(pets, frame):
    drawn = ReconstructionDisplay.from_estimator(pets, frame)
    means = pets.reconstruct(frame)
    seen = frame["weight"].notna()
    assert drawn.scores_[1] == pytest.approx(r2_score(frame["weight"][seen], means["weight"][seen]))
    known = frame["kind"].notna()
    assert drawn.scores_[0] == pytest.approx((frame["kind"] == means["kind"])[known].mean())
    assert drawn.scores_[2] == pytest.approx((frame["tame"] == (means["tame"] > 0.5)).mean())
    assert drawn.scores_[drawn.columns_].tolist() == sorted(drawn.scores_)
    titles = [ax.get_title() for ax in drawn.axes_]
    assert f"weight\nR² {drawn.scores_[1]:.2f}" in titles
    assert f"kind\nagree {drawn.scores_[0]:.2f}" in titles


def test_shares_of_levels_are_those_within_an_observed_level(pets, frame):
    drawn = ReconstructionDisplay.from_estimator(pets, frame, order=None)
    known = frame["kind"].notna()
    table = pd.crosstab(pets.reconstruct(frame)["kind"][known], frame["kind"][known], normalize="columns")
    table = table.reindex(index=["cat", "dog", "emu"], fill_value=0.0)
    np.testing.assert_allclose(drawn.artists_[0].get_array(), table.to_numpy())


def test_columns_come_worst_best_or_in_order(vae):
    draw = partial(ReconstructionDisplay.from_estimator, vae, X)
    worst = draw(max_columns=2)
    assert len(worst.axes_) == 2
    assert draw(max_columns=4, order="best").columns_ == draw(max_columns=4).columns_[::-1]
    assert draw(order=None).columns_ == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="'order' must be"):
        draw(order="first")


def test_many_levels_are_the_frequent_ones_and_others():
    rng = np.random.default_rng(0)
    codes = rng.geometric(0.15, size=(400, 1)).clip(max=20) - 1.0
    levels = [[f"level {c}" for c in range(20)]]
    drawn = ReconstructionDisplay(codes, codes, levels=levels).plot()
    shares = drawn.artists_[0].get_array()
    np.testing.assert_allclose(shares, np.eye(8))
    assert [tick.get_text() for tick in drawn.axes_[0].get_yticklabels()][-1] == "other"
    sampled = SampleDisplay(codes, codes, levels=levels).plot()
    heights = [bar.get_height() for bar in sampled.axes_[0, 0].patches]
    assert sum(heights) == pytest.approx(2.0)
    assert len(heights) == 16


def test_images_stand_over_their_reconstruction(digits):
    drawn = ReconstructionDisplay.from_estimator(digits, DIGITS, image_shape=(8, 8), n_images=3)
    picture = np.asarray(drawn.artists_[0].get_array())
    assert picture.shape == (17, 26)
    np.testing.assert_array_equal(picture[:8, 9:17], DIGITS[1].reshape(8, 8))
    np.testing.assert_allclose(picture[9:, 18:], digits.reconstruct(DIGITS[:3])[2].reshape(8, 8), rtol=1e-6)
    assert [tick.get_text() for tick in drawn.axes_[0].get_yticklabels()] == ["original", "reconstruction"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda vae, shape: ReconstructionDisplay.from_estimator(vae, DIGITS, image_shape=shape),
        lambda vae, shape: ComponentDisplay.from_estimator(vae, DIGITS, image_shape=shape),
        lambda vae, shape: ManifoldDisplay.from_estimator(vae, shape),
        lambda vae, shape: ManifoldDisplay.from_estimators([vae], shape),
    ],
)
def test_an_image_has_as_many_pixels_as_the_table_columns(digits, draw):
    with pytest.raises(ValueError, match=r"image_shape=\(8, 9\) makes 72 pixels, but the table has 64 columns"):
        draw(digits, (8, 9))
    with pytest.raises(ValueError, match="'image_shape' must be"):
        draw(digits, (4, 4, 4))
    assert plt.get_fignums() == []


def test_channels_come_last():
    colors = np.arange(12.0)
    images = image_values(colors, (3, 2, 2), "a test")
    assert images.shape == (2, 2, 3)
    assert images[0, 1].tolist() == [1.0, 5.0, 9.0]
    assert image_values(colors, (1, 3, 4), "a test").shape == (3, 4)
    drawn = ReconstructionDisplay(np.stack([colors] * 2), np.stack([colors] * 2), image_shape=(3, 2, 2)).plot()
    picture = drawn.artists_[0].get_array()
    np.testing.assert_allclose(picture[:2, :2], images / 11)
    assert (picture[2] == 1).all()  # the gap is white


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_samples_stand_beside_the_table(frame, library):
    table = frame if library == "pandas" else pl.from_pandas(frame)
    vae = VAETransformer(n_components=2, max_iter=3, random_state=0).fit(table)
    drawn = SampleDisplay.from_estimator(vae, table, n_samples=50, columns=["age", "kind", "weight"], random_state=0)
    made = vae.sample(50, random_state=0)
    np.testing.assert_array_equal(drawn.sampled[:, 0], made["age"].to_numpy())
    assert [drawn.levels[1][int(c)] for c in drawn.sampled[:, 1]] == list(made["kind"])
    np.testing.assert_array_equal(np.isnan(drawn.real[:, 2]), frame["weight"].isna())
    assert [text.get_text() for text in drawn.legend_.get_texts()] == ["real", "sampled"]
    bars = [bar.get_height() for bar in drawn.axes_[1, 1].patches]
    expected = frame["kind"].value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(bars[:3], expected)
    points = drawn.axes_[2, 0].collections[0].get_offsets()
    assert len(points) == 250
    assert [ax.get_xlabel() for ax in drawn.axes_[-1]] == ["age", "kind", "weight"]


def test_samples_of_unknown_columns_are_an_error(vae):
    assert SampleDisplay.from_estimator(vae, X, columns=[3, -4], random_state=0).names == ["x3", "x0"]
    with pytest.raises(ValueError, match="The 'columns' parameter names the column 'weight'"):
        SampleDisplay.from_estimator(vae, X, columns=["weight"])


@pytest.mark.parametrize("decimals", [0, 1])
def test_a_histogram_of_few_decimals_is_no_comb(decimals):
    ages = np.round(np.arange(20, 90).repeat(3)[:, None] / 10**decimals, decimals)
    heights = [bar.get_height() for bar in SampleDisplay(ages, ages).plot().axes_[0, 0].patches[:-1]]
    assert np.ptp(heights[2:-3]) < 1e-9


def test_a_column_without_a_value_is_left_out():
    table = np.column_stack([X[:, 0], np.full(150, np.nan)])
    vae = VAETransformer(1, max_iter=0, random_state=0).fit(table)
    drawn = ReconstructionDisplay.from_estimator(vae, table)
    assert drawn.columns_ == [0]
    assert np.isnan(drawn.scores_[1])
    SampleDisplay.from_estimator(vae, table, random_state=0).figure_.canvas.draw()
    assert ComponentDisplay.from_estimator(vae, table).effects.shape == (2, 1)


# ---------------------------------------------------------------- components and images


def test_effects_are_differences_of_decoded_ends(vae):
    drawn = ComponentDisplay.from_estimator(vae, X)
    Z = vae.transform(X)
    for k in range(2):
        ends = np.tile(Z.mean(0), (2, 1))
        ends[:, k] = np.quantile(Z[:, k], norm.cdf([-2, 2]))
        low, high = vae.inverse_transform(ends)
        np.testing.assert_allclose(drawn.effects[:, k], (high - low) / X.std(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(drawn.information, vae.kl_per_component_)
    assert [bar.get_height() for bar in drawn.bars_] == vae.kl_per_component_.tolist()
    bars, heat_map = drawn.axes_
    assert bars.get_xlim() == heat_map.get_xlim()  # each over its column
    drawn.figure_.canvas.draw()
    assert bars.get_position().x0 == pytest.approx(heat_map.get_position().x0)
    assert bars.get_position().width == pytest.approx(heat_map.get_position().width)


def test_effects_on_levels_are_changes_of_probability(pets, frame):
    drawn = ComponentDisplay.from_estimator(pets, frame)
    assert drawn.names == ["kind = cat", "kind = dog", "kind = emu", "weight", "tame = True", "age", "teeth"]
    Z = np.asarray(pets.transform(frame))
    ends = np.tile(Z.mean(0), (2, 1))
    ends[:, 0] = np.quantile(Z[:, 0], norm.cdf([-2, 2]))
    p = pets.decode(ends)
    for row, column, value in ((1, "kind", "dog"), (4, "tame", True)):
        asked = frame.iloc[[20, 21]].assign(**{column: value})
        low, high = np.exp(p.log_prob(asked).numpy())[:, list(frame).index(column)]
        assert drawn.effects[row, 0] == pytest.approx((high - low) / 0.5, abs=1e-6)
    assert np.abs(drawn.effects[[0, 1, 2, 4]]).max() <= 2
    assert drawn.effects[:3].sum(0) == pytest.approx([0, 0], abs=1e-6)  # levels share one probability


def test_grades_have_a_row_for_each_level():
    rng = np.random.default_rng(0)
    table = np.c_[rng.integers(0, 4, 200), rng.normal(size=200)]
    vae = VAETransformer(1, likelihood=[("ordinal", [0])], max_iter=0, random_state=0).fit(table)
    drawn = ComponentDisplay.from_estimator(vae, table)
    assert drawn.names == ["x0 = 0", "x0 = 1", "x0 = 2", "x0 = 3", "x1"]


def test_rows_and_components_are_those_with_the_most_to_say():
    table = load_breast_cancer().data
    vae = VAETransformer(5, max_iter=0, random_state=0).fit(table)
    everything = ComponentDisplay.from_estimator(vae, table)
    some = ComponentDisplay.from_estimator(vae, table, max_components=2, max_rows=4)
    assert some.effects.shape == (4, 2)
    rows = np.sort(np.argsort(-np.abs(everything.effects[:, :2]).max(1))[:4])
    np.testing.assert_allclose(some.effects, everything.effects[rows, :2], rtol=1e-9)


def test_components_that_are_off_are_grey():
    drawn = ComponentDisplay(np.array([1.0, 0.04, 0.06]), effects=np.ones((1, 3)), names=["a"]).plot()
    first, second, third = (to_hex(bar.get_facecolor()) for bar in drawn.bars_)
    assert first == third != second
    assert drawn.axes_[0].get_title() == "2 of 3 live"


def test_codes_without_a_kl_show_their_variance():
    autoencoder = VAETransformer(2, objective="ae", max_iter=2, random_state=0).fit(X)
    drawn = ComponentDisplay.from_estimator(autoencoder, X)
    np.testing.assert_allclose(drawn.information, autoencoder.transform(X).var(0))
    assert drawn.axes_[0].get_ylabel() == "Variance\nof codes"


@pytest.mark.parametrize("posterior", ["categorical", "dirichlet", "von_mises_fisher"])
def test_codes_that_have_no_low_end_are_refused(posterior):
    vae = VAETransformer(3, posterior=posterior, max_iter=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="ComponentDisplay moves"):
        ComponentDisplay.from_estimator(vae, X)


def test_strips_of_images_go_from_low_to_high(digits):
    drawn = ComponentDisplay.from_estimator(digits, DIGITS, image_shape=(8, 8), n_steps=3)
    Z = digits.transform(DIGITS)
    ends = np.tile(Z.mean(0), (3, 1))
    ends[:, 1] = np.quantile(Z[:, 1], norm.cdf([-2, 0, 2]))
    np.testing.assert_allclose(drawn.traversals[1], digits.inverse_transform(ends), rtol=1e-5, atol=1e-5)


def test_the_plane_is_a_grid_of_normal_quantiles(digits):
    drawn = ManifoldDisplay.from_estimator(digits, (8, 8), n=5)
    quantiles = norm.ppf((np.arange(5) + 0.5) / 5)
    np.testing.assert_allclose(drawn.coordinates, np.stack([quantiles, quantiles], 1), atol=1e-6)
    lower_right = digits.inverse_transform([[quantiles[4], quantiles[0]]])[0]
    np.testing.assert_allclose(drawn.means[0][4, 4], lower_right, rtol=1e-4, atol=1e-4)
    assert drawn.ax_.get_ylabel() == "Component 1"


def test_the_plane_follows_the_prior_or_says_why_not(digits):
    laplace = VAETransformer(2, posterior="laplace", max_iter=0, random_state=0).fit(DIGITS)
    drawn = ManifoldDisplay.from_estimator(laplace, (8, 8), n=4)
    u = np.array([0.125, 0.375])
    expected = np.log(2 * u)  # quantiles of the standard Laplace, up to its scale
    assert drawn.coordinates[0, 0] / drawn.coordinates[1, 0] == pytest.approx(expected[0] / expected[1], rel=1e-5)
    flow = VAETransformer(2, prior="flow", max_iter=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="whose components have quantiles"):
        ManifoldDisplay.from_estimator(flow, (2, 2))
    with pytest.raises(ValueError, match="n_components=2, but the model has 3"):
        ManifoldDisplay.from_estimator(VAETransformer(3, max_iter=0).fit(X), (2, 2))
    plain = VAETransformer(2, objective="ae", prior="normal", max_iter=1).fit(X)
    with pytest.raises(ValueError, match="draws no code"):
        ManifoldDisplay.from_estimator(plain, (2, 2))


@pytest.mark.parametrize("prior", [NormalMixture(2), NormalMixture(3, covariance="full"), "vamp"], ids=repr)
def test_the_plane_of_a_mixture_follows_the_quantiles_of_each_component(prior):
    mixture = VAETransformer(2, prior=prior, max_iter=1, random_state=0).fit(X)
    coordinates = ManifoldDisplay.from_estimator(mixture, (2, 2), n=4).coordinates
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codes = mixture.prior_.sample((40_000,)).numpy()
    shares = (codes[:, None] < coordinates).mean(0)
    np.testing.assert_allclose(shares, np.tile([[0.125], [0.375], [0.625], [0.875]], 2), atol=0.01)  # 4 sd of a share


def test_draws_of_several_models_stand_side_by_side(digits):
    other = VAETransformer(5, max_iter=0, random_state=0).fit(DIGITS)
    drawn = ManifoldDisplay.from_estimators([digits, other], (8, 8), n=3, random_state=1)
    again = ManifoldDisplay.from_estimators([digits, other], (8, 8), n=3, random_state=1, labels=["a", "b"])
    np.testing.assert_array_equal(drawn.means[1], again.means[1])
    assert [ax.get_title() for ax in again.axes_] == ["a", "b"]
    with pytest.raises(ValueError, match="'labels' has 1 entries for 2 estimators"):
        ManifoldDisplay.from_estimators([digits, other], (8, 8), labels=["a"])


def test_long_names_are_cut_in_the_middle():
    assert short("Married-civ-spouse", 10) == "Marrie…use"
    assert short("short", 10) == "short"


HOSTILE = ["$%$", "_hidden", "a_b^{", "\\frac", "%", "größe ∑", "rate $x_1$", "\\$"]


def drawn_texts(drawn):
    """Everything that a picture writes, after it was rendered."""
    drawn.figure_.canvas.draw()
    texts = [text.get_text() for text in drawn.figure_.findobj(plt.Text) if text.get_visible()]
    for text in drawn.figure_.findobj(plt.Text):  # as rendered: neither a formula nor TeX
        is_name = any(name in text.get_text() for name in HOSTILE)
        assert not (is_name and (text.get_parse_math() or text.get_usetex()))
    plt.close(drawn.figure_)
    return texts


def hostile_frame(n=160):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(n, 2))
    numbers = codes @ rng.normal(size=(2, len(HOSTILE))) + 0.3 * rng.normal(size=(n, len(HOSTILE)))
    table = pd.DataFrame(numbers, columns=HOSTILE)
    return table.assign(_kind=np.array(HOSTILE)[np.arange(n) % len(HOSTILE)])


@pytest.fixture(scope="module")
def hostile():
    table = hostile_frame()
    return table, VAETransformer(2, max_iter=2, random_state=0).fit(table)


@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("grid", [False, True])
def test_names_of_classes_are_literal_and_all_there(hostile, density, grid):
    table, vae = hostile
    ax = plt.subplots()[1] if grid else None
    drawn = LatentSpaceDisplay.from_estimator(vae, table, table["_kind"], density=density, ax=ax)
    assert [text.get_text() for text in drawn.names_] == sorted(HOSTILE)
    assert {"_kind", *HOSTILE} <= set(drawn_texts(drawn))
    drawn = LatentSpaceDisplay.from_estimator(vae, table, table["$%$"], density=density)
    assert ("Mean of $%$" if density else "$%$") in drawn_texts(drawn)


def test_names_of_columns_and_levels_are_literal(hostile):
    table, vae = hostile
    drawn = ComponentDisplay.from_estimator(vae, table)
    assert set(HOSTILE) | {f"_kind = {name}" for name in HOSTILE} <= set(drawn_texts(drawn))
    drawn = ReconstructionDisplay.from_estimator(vae, table)
    texts = drawn_texts(drawn)
    assert {text.partition("\n")[0] for text in texts if "\n" in text} == {"_kind", *HOSTILE}
    drawn = SampleDisplay.from_estimator(vae, table, columns=[*HOSTILE[:2], "_kind"], random_state=0)
    short_names = [short(name, 10) for name in HOSTILE]
    assert {"$%$", "_hidden", "_kind", *short_names} <= set(drawn_texts(drawn))
    for name in HOSTILE:
        numbers = table[[name]].to_numpy()
        assert name in drawn_texts(SampleDisplay(numbers, numbers, names=[name]).plot())


def test_titles_and_names_of_lines_are_literal(vae):
    vaes = [vae] * len(HOSTILE)
    drawn = ManifoldDisplay.from_estimators(vaes, (2, 2), n=2, labels=HOSTILE)
    assert set(HOSTILE) <= set(drawn_texts(drawn))
    history = [{"epoch": i, "train_reconstruction": -5.0 + i, "train_kl": 1.0, "train_$%$": 2.0} for i in (1, 2)]
    levels = {name: -float(i) for i, name in enumerate(HOSTILE)}
    drawn = TrainingCurveDisplay(history, label="a_b^{ $%$", levels=levels, best_iter=1).plot()
    legend = [text.get_text() for text in drawn.legend_.get_texts()]
    assert legend == ["training rows", *(f"{name}: {value:.2f}" for name, value in levels.items()), "kept: epoch 1"]
    assert {"a_b^{ $%$", "$%$"} <= set(drawn_texts(drawn))
    assert drawn_texts(DRAWN[BoundDisplay][0](vae))


# ---------------------------------------------------------------- anomalies


def test_the_rarest_rows_and_their_cells(frame):
    """What a detector says: rows in the order of their scores, cells as `explain` has them, the threshold."""
    table = frame.copy()
    table.loc[50, "weight"] = 400.0
    table.index = [f"pet {i}" for i in range(len(table))]
    detector = VAEOutlierDetector(VAETransformer(2, max_iter=0), random_state=0).fit(table)
    drawn = AnomalyDisplay.from_estimator(detector, table, n_rows=4)
    scores = detector.score_samples(table)
    order = scores.argsort()[:4]
    assert drawn.rows == table.index[order].tolist()
    assert drawn.rows[0] == "pet 50"
    np.testing.assert_array_equal(drawn.surprise, detector.explain(table).to_numpy()[order])
    assert drawn.offset == detector.offset_
    assert drawn.cells[0][1] == "400"
    np.testing.assert_array_equal(drawn.image_.get_array().filled(np.nan), drawn.surprise)
    counts = [sum(patch.get_height() for patch in bars) for bars in drawn.axes_[0].containers]
    assert counts == [4, 196]
    behind = make_pipeline(FunctionTransformer(), detector)
    np.testing.assert_array_equal(AnomalyDisplay.from_estimator(behind, table, n_rows=4).surprise, drawn.surprise)
    new = table.head(3).assign(kind="dragon", weight=np.nan)
    assert AnomalyDisplay.from_estimator(detector, new).cells[0][:2] == ["new level", "missing"]
    with pytest.raises(NotFittedError):
        AnomalyDisplay.from_estimator(VAEOutlierDetector(), table)


def test_of_many_columns_the_surprising_ones_are_shown_in_their_order():
    surprise = np.zeros((3, 80))
    surprise[[0, 1, 2], [70, 5, 33]] = 9.0, 3.0, 6.0
    surprise[:, 60] = np.nan  # missing cells surprise nobody
    drawn = AnomalyDisplay(np.arange(10.0), surprise, list("abc"), names=[f"column {d}" for d in range(80)])
    assert [label.get_text() for label in drawn.plot(max_columns=3).axes_[1].get_xticklabels()] == [
        "column 5",
        "column 33",
        "column 70",
    ]
    np.testing.assert_array_equal(drawn.image_.get_array(), surprise[:, [5, 33, 70]])
    assert "3 of 80 columns" in drawn.axes_[1].get_title()
    assert len(drawn.plot().axes_[1].get_xticklabels()) == 30


def test_many_classes_have_their_names_at_their_medians():
    centers = np.array([(i % 4, i // 4) for i in range(12)]) * 10.0
    codes = np.concatenate([centers, centers + 0.1, centers - 0.1])
    drawn = LatentSpaceDisplay(codes, y=[f"class {i:02d}" for i in range(12)] * 3).plot()
    assert drawn.legend_ is None
    assert [text.get_text() for text in drawn.names_] == [f"class {i:02d}" for i in range(12)]
    np.testing.assert_allclose([text.get_position() for text in drawn.names_], centers)


def test_names_do_not_lie_on_each_other():
    codes = np.random.default_rng(0).normal(size=(400, 2))
    drawn = LatentSpaceDisplay(codes, y=[f"class {i % 10}" for i in range(400)]).plot()
    drawn.figure_.canvas.draw()
    boxes = [Text.get_window_extent(name) for name in drawn.names_]  # without its line
    assert not any(a.shrunk(0.95, 0.8).overlaps(b.shrunk(0.95, 0.8)) for i, a in enumerate(boxes) for b in boxes[:i])


def test_far_rows_are_crosses_at_the_border_of_the_bulk():
    codes = np.random.default_rng(0).normal(size=(500, 2))
    assert LatentSpaceDisplay(codes).plot().far_ is None
    codes[7] = 1000.0, 0.5
    drawn = LatentSpaceDisplay(codes).plot()
    (low, high), _ = drawn.ax_.get_xlim(), drawn.ax_.get_ylim()
    assert -5 < low < high < 5
    np.testing.assert_allclose(drawn.far_.get_offsets(), [[high, 0.5]])


# ---------------------------------------------------------------- equal axes, what differs, hover, while training


def test_reconstruction_panels_have_equal_axes(vae):
    drawn = ReconstructionDisplay.from_estimator(vae, X)
    for panel in drawn.axes_:
        assert panel.get_xlim() == panel.get_ylim()
        assert panel.get_box_aspect() == 1


def test_samples_show_the_columns_that_differ_most():
    """A column of another margin, and a pair that depend on each other in the table alone."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, 8))
    table[:, 6] = table[:, 2]
    other = rng.normal(size=(400, 8))
    other[:, 4] **= 2
    assert _most_different(table, other, [False] * 8, 3) == [2, 4, 6]
    table[::3, 0] = np.nan
    table[:, 5], other[:, 5] = rng.integers(0, 3, 400), 0.0
    assert 5 in _most_different(table, other, [d == 5 for d in range(8)], 4)
    constant = np.full((5, 2), np.nan)
    assert _most_different(constant, constant, [False] * 2, 1) == [0]


def test_sampled_images_stand_under_real_ones(digits):
    drawn = SampleDisplay.from_estimator(digits, DIGITS, image_shape=(8, 8), n_images=5, random_state=0)
    assert drawn.real.shape == drawn.sampled.shape == (5, 64)
    np.testing.assert_array_equal(drawn.real[0], DIGITS[0])
    assert np.isfinite(drawn.image_.get_array()[:8, :8]).all()
    assert [text.get_text() for text in drawn.axes_[0, 0].get_yticklabels()] == ["real", "sampled"]


def test_samples_on_a_dark_ground(vae):
    with plt.style.context("dark_background"):
        drawn = SampleDisplay.from_estimator(vae, X, random_state=0)
        assert _luminance(drawn.axes_[1, 0].collections[0].get_facecolor()[0][:3]) > 0.05


def test_the_band_of_the_bound_is_explained(vae):
    legend = BoundDisplay.from_estimator(vae, X[:40], n_draws=(1, 2)).axes_[0].get_legend()
    assert "bars, band: 1 standard error" in [text.get_text() for text in legend.get_texts()]


def test_a_map_that_says_what_rows_are(vae):
    pytest.importorskip("plotly")
    table = pd.DataFrame(X, columns=["$a$", "<b>", "c%{x}", "d"], index=[f"flower {i}" for i in range(len(X))])
    kinds = pd.Series(np.array(["one", "two", "$three$"])[y], name="kind")
    figure = LatentSpaceDisplay.from_estimator(vae, X, kinds).to_plotly(table, max_columns=3)
    assert [trace.name for trace in figure.data] == ["&#36;three&#36;", "one", "two"]
    first = figure.data[1]
    np.testing.assert_allclose(np.column_stack([first.x, first.y]), vae.transform(X)[y == 0], rtol=1e-6)
    assert figure.data[2].text[0].startswith("<b>flower 50</b>")
    assert first.text[0] == "<b>flower 0</b><br>&#36;a&#36;: 5.1<br>&lt;b&gt;: 3.5<br>c&#37;{x}: 1.4"
    amounts = pd.Series(np.arange(3000) / 7, name="US$ <1%")
    numbers = LatentSpaceDisplay(np.random.default_rng(0).normal(size=(3000, 2)), y=amounts).to_plotly()
    assert numbers.data[0].marker.colorbar.title.text == "US&#36; &lt;1&#37;"
    assert numbers.data[0].type == "scattergl"
    assert numbers.data[0].text[7] == "row 7"
    with pytest.raises(ValueError, match="X has 2 rows"):
        LatentSpaceDisplay(np.zeros((3, 2))).to_plotly([[1], [2]])


class Shell:
    """Stands for a notebook: it shows a figure once, and exchanges it."""

    def __init__(self):
        self.shown = []

    def __call__(self, figure, display_id):
        self.update(figure)
        return self

    def update(self, figure):
        (line, *_) = [line for line in figure.axes[0].lines if line.get_label() == "held-out rows"]
        self.shown.append(len(line.get_xdata()))


def test_the_curve_is_redrawn_while_a_model_trains(monkeypatch):
    shell = Shell()
    monkeypatch.setattr("skvae.display.live._notebook", lambda: shell)
    live = TrainingCurveDisplay.live(every=0)
    fitted = VAETransformer(2, max_iter=3, callbacks=[live], random_state=0).fit(X)
    assert shell.shown == [1, 2, 3, 3]
    plain = VAETransformer(2, max_iter=3, random_state=0).fit(X)
    np.testing.assert_array_equal(fitted.transform(X), plain.transform(X))
    monkeypatch.undo()
    clone(fitted).fit(X)  # no notebook, no window
    assert not plt.get_fignums()


@pytest.mark.parametrize("at_once", [False, True])
def test_the_figure_closes_when_the_training_fails(at_once):
    own = plt.figure()
    live = TrainingCurveDisplay.live(every=0)
    for callbacks in ([Failing(at_once), live], [live, Failing(at_once)]):
        with pytest.raises(RuntimeError, match="failed"):
            VAETransformer(2, max_iter=3, callbacks=callbacks, random_state=0).fit(X)
        assert plt.get_fignums() == [own.number]
    VAETransformer(2, max_iter=1, callbacks=[live], random_state=0).fit(X)  # it can be used again


@pytest.mark.parametrize("weights", [None, [1.0, 1.0, 2.0, 1.0]])
def test_the_axis_of_a_live_curve_says_whether_columns_have_weights(weights, monkeypatch):
    labels = []
    monkeypatch.setattr(Shell, "update", lambda self, figure: labels.append(figure.axes[0].get_ylabel()))
    monkeypatch.setattr("skvae.display.live._notebook", lambda: Shell())
    live = TrainingCurveDisplay.live(every=0)
    fitted = VAETransformer(2, max_iter=1, column_weights=weights, callbacks=[live], random_state=0).fit(X)
    assert set(labels) == {TrainingCurveDisplay.from_estimator(fitted).label}
    assert ("columns weighted" in labels[0]) == (weights is not None)


@pytest.mark.parametrize("n_classes", [2, 10, 30])
def test_nothing_dark_stands_on_a_dark_ground(n_classes, vae):
    """Names, crosses and points have a contrast of at least 2 (WCAG 2.1) with the ground."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(300, 2))
    codes[0] = 40.0
    names = np.array([f"$x_{{{c}}}$ %" for c in range(n_classes)])[np.arange(300) % n_classes]
    with plt.style.context("dark_background"):
        drawn = LatentSpaceDisplay(codes, y=names).plot()
        colors = [points.get_facecolor()[0] for points in drawn.scatter_] + [drawn.far_.get_edgecolor()[0]]
        colors += [to_rgb(text.get_color()) for text in drawn.names_]
        drawn.figure_.canvas.draw()
    contrast = [(_luminance(color[:3]) + 0.05) / 0.05 for color in colors]
    assert min(contrast) > 2
    assert len(drawn.names_) == (n_classes if n_classes > 7 else 0)
