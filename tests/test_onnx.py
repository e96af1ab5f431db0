"""Graphs of the methods: through onnxruntime they give what the estimator gives.

A conversion takes seconds, so few are made here. That the modules of `_inference/torch_modules.py` equal the methods
of the estimator for every kind of model is tested in torch, and so is what stands for operators that ONNX lacks; the
slow sweep converts all of them.
"""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import polars as pl
import pytest
import skl2onnx
import torch
from scipy import special
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae import ContaminatedGaussian, ConvNet, Gaussian, Poisson, VAETransformer
from skvae._inference.fitted import adopt
from skvae._inference.torch_modules import METHODS
from skvae.onnx.converters import OPSET, to_onnx
from skvae.onnx.decompositions import DECOMPOSITIONS

pytestmark = pytest.mark.one_in(3)

onnxruntime = pytest.importorskip("onnxruntime")  # no release for Python 3.10 runs all graphs

TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def run(graph, X):
    """The outputs for a table, by name; a frame's columns go in by position."""
    onnx.checker.check_model(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds(session, X)), strict=True))


def feeds(session, X):
    if isinstance(X, np.ndarray):
        return {"X": X}
    if isinstance(X, pl.DataFrame):
        X = X.to_pandas()
    return {
        value.name: X[[column]].to_numpy(TYPES[value.type])
        if value.type in TYPES
        else X[[column]].astype(object).fillna("").to_numpy()
        for value, column in zip(session.get_inputs(), X.columns, strict=True)
    }


def only(outputs):
    (tensor,) = outputs.values()
    return tensor


def assert_same(actual, expected, rounding=0.0):
    """The type, and the largest difference relative to the largest number."""
    expected = np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    tolerance = max(TOLERANCE[expected.dtype] * np.abs(expected).max(), rounding)
    assert np.abs(actual - expected).max() <= tolerance


@pytest.fixture(scope="module")
def incomplete():
    """Iris with missing values, far from 0."""
    X = load_iris().data * 10.0 + 1000.0
    X[3, 1] = X[5, 0] = X[5, 1] = np.nan
    X[9] = np.nan
    return X


@pytest.fixture(scope="module")
def mixed():
    """A frame of every kind of column, with missing values."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["Katze", "dog", "ærfugl"], 200)
    frame = pd.DataFrame(
        {
            "kind": kind,
            "weight (kg)": np.where(kind == "dog", 20.0, 4.0) + rng.normal(size=200).round(1),
            "age": rng.integers(1, 15, 200),
            "is_tame": rng.random(200) < 0.6,
            "size": pd.Categorical(rng.choice([10, 20, 30], 200)),
            "colour": pd.Categorical(rng.choice(["a", "b"], 200), categories=["a", "b", "c"]),
            "visits": rng.poisson(3, 200),
        }
    )
    frame.loc[3, "weight (kg)"] = np.nan
    frame.loc[[4, 5], "kind"] = None
    frame.loc[7, "colour"] = None
    return frame


@pytest.fixture(scope="module")
def fitted_mixed(mixed):
    return VAETransformer(2, likelihood=[("poisson", ["visits"])], max_iter=3, random_state=0).fit(mixed)


# ---------------------------------------------------------------- through onnxruntime


@pytest.mark.parametrize("dtype", [pytest.param(np.float64, marks=pytest.mark.slow), np.float32])
@pytest.mark.parametrize("method", METHODS)
def test_a_pipeline_of_numbers_with_missing_values(incomplete, method, dtype, tmp_path):
    pipeline = Pipeline([("scale", StandardScaler()), ("vae", VAETransformer(2, max_iter=5, random_state=0))])
    pipeline.fit(incomplete)
    X = incomplete.astype(dtype)
    X = pipeline.transform(X) if method == "inverse_transform" else X
    onnx.save(to_onnx(pipeline, X[:2], method=method), tmp_path / "graph.onnx")
    graph = onnx.load(tmp_path / "graph.onnx")
    expected = getattr(pipeline, method)(X)
    assert_same(only(run(graph, X)), expected)
    assert_same(only(run(graph, X[:1])), expected[:1])
    opsets = {opset.domain: opset.version for opset in graph.opset_import}
    assert opsets[""] == OPSET[""]
    assert opsets["ai.onnx.ml"] <= OPSET["ai.onnx.ml"]  # skl2onnx writes the oldest one that will do


def test_skl2onnx_alone_converts_at_its_own_opset(incomplete):
    """Numbers so far from 0 that a shift in float32 would cost four digits."""
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(incomplete)
    X = (incomplete + 1e4).astype(np.float32)
    columns = replace(vae.fitted_.columns, shift=vae.fitted_.columns.shift + 1e4)
    adopt(vae, replace(vae.fitted_, columns=columns))
    graph = skl2onnx.to_onnx(vae, X[:1])
    assert graph.opset_import[0].version == skl2onnx.get_latest_tested_opset_version()
    assert_same(only(run(graph, X)), vae.transform(X))


def test_skl2onnx_alone_converts_a_frame(mixed):
    frame = mixed[["kind", "age"]].drop(index=[4, 5])
    vae = VAETransformer(1, hidden_layer_sizes=(), max_iter=0).fit(frame)
    assert_same(only(run(skl2onnx.to_onnx(vae, frame[:1]), frame)), vae.transform(frame))


@pytest.mark.parametrize("method", METHODS)
def test_a_mixed_frame(mixed, fitted_mixed, method):
    frame = mixed.assign(kind=mixed["kind"].where(mixed.index != 10, "a kind that fit has not seen"))
    if method != "inverse_transform":
        graph = to_onnx(fitted_mixed, frame, method=method)
        assert_same(only(run(graph, frame)), getattr(fitted_mixed, method)(frame))
        assert_same(only(run(graph, frame[5:6])), getattr(fitted_mixed, method)(frame[5:6]))
        if method == "score_samples":  # where the estimator raises
            assert np.isnan(only(run(graph, frame[:1].assign(visits=-1)))).all()
        return
    Z = fitted_mixed.transform(frame)
    expected = fitted_mixed.inverse_transform(Z)
    outputs = run(to_onnx(fitted_mixed, Z, method=method), Z)
    assert list(outputs) == list(expected)
    for column, tensor in outputs.items():
        if column in ("kind", "colour", "size"):
            assert tensor[:, 0].tolist() == expected[column].tolist()
        else:
            assert_same(tensor[:, 0], expected[column])


@pytest.mark.parametrize("method", ["transform", "score_samples"])
def test_columns_that_are_given(mixed, method):
    """A category, of which some cells are missing and one is unknown, a number, and one that is an exposure, too."""
    conditions = ["kind", "weight (kg)", "age"]
    frame = mixed.assign(**{"weight (kg)": mixed["weight (kg)"].fillna(5.0), "height": np.arange(200.0) % 9})
    frame.loc[[2, 3, 5], "height"] = np.nan
    likelihood = [(Poisson(exposure="age"), ["visits"])]
    vae = VAETransformer(2, conditions=conditions, likelihood=likelihood, max_iter=3, random_state=0).fit(frame)
    frame.loc[10, "kind"] = "a kind that fit has not seen"
    graph = to_onnx(vae, frame, method=method)
    assert_same(only(run(graph, frame)), getattr(vae, method)(frame))
    assert_same(only(run(graph, frame[4:5])), getattr(vae, method)(frame[4:5]))
    if method == "score_samples":  # where the estimator raises
        assert np.isnan(only(run(graph, frame[:1].assign(age=-1)))).all()
    with pytest.raises(NotImplementedError, match="needs them beside the codes"):
        to_onnx(vae, vae.transform(frame), method="inverse_transform")


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_an_array_with_a_category_of_numbers(method):
    rng = np.random.default_rng(0)
    level = rng.choice([3.0, 5.0, 7.0], 200)
    X = np.c_[level, level + rng.normal(size=200), rng.normal(size=200)].astype(np.float32)
    X[3, 0] = X[4, 1] = np.nan
    vae = VAETransformer(2, categorical_features=[0], hidden_layer_sizes=(), max_iter=0).fit(X)
    X[5, 0] = 4.0  # which fit has not seen
    X = vae.transform(X) if method == "inverse_transform" else X
    assert_same(only(run(to_onnx(vae, X, method=method), X)), getattr(vae, method)(X))


def test_a_classifier_behind_it(mixed):
    """With polars in front."""
    frame = pl.from_pandas(mixed)
    y = np.where(mixed["kind"] == "dog", "dog", "other")
    pipeline = make_pipeline(VAETransformer(2, max_iter=3, random_state=0), LogisticRegression()).fit(frame, y)
    graph = to_onnx(pipeline, frame, options={"zipmap": False})
    outputs = run(graph, frame)
    assert outputs["label"].tolist() == pipeline.predict(frame).tolist()
    assert_same(outputs["probabilities"], pipeline.predict_proba(frame))


# ---------------------------------------------------------------- in torch


def tables():
    """Tables for families by their domain."""
    X = load_iris().data.copy()
    X[3, 1] = X[5, 0] = X[5, 1] = np.nan
    X[9] = np.nan
    return {
        "line": X,
        "positive": np.exp(X / 3),
        "fractions": np.clip(X / 10, 0.01, 0.99),
        "bits": np.where(np.isnan(X), np.nan, np.nanmean(X, 0) < X),
        "counts": np.rint(2 * X),
        "amounts": np.maximum(np.exp(X / 3) - 2, 0),
        "shares": np.clip(X / 4 - 0.5, 0, 1),
        "categories": np.rint(np.clip(X, 0, 4)),
    }


MODELS = {
    **{p: ("line", {"posterior": p}) for p in ("full", "laplace", "gumbel", "logistic", "categorical", "flow")},
    **{
        p: ("line", {"posterior": p})
        for p in ("student_t", "gamma", "uniform", "dirichlet", "elliptical", "von_mises_fisher", "product")
    },
    **{f"prior {p}": ("line", {"prior": p}) for p in ("mixture", "vamp", "flow")},
    **{o: ("line", {"objective": o}) for o in ("iwae", "ae", "wae_mmd", "aae", "avb")},
    **{a: ("line", {"activation": a}) for a in ("relu", "gelu", "elu", "tanh", "softplus")},
    **{f"scaling {s}": ("line", {"scaling": s}) for s in ("global", "power", "quantile", None)},
    **{f"likelihood {f}": ("line", {"likelihood": f}) for f in ("laplace", "student_t", "logistic", "gumbel")},
    **{f"likelihood {f}": ("positive", {"likelihood": f}) for f in ("log_normal", "gamma")},
    **{f"likelihood {f}": ("fractions", {"likelihood": f}) for f in ("beta", "continuous_bernoulli")},
    **{f"likelihood {f}": ("categories", {"likelihood": f}) for f in ("categorical", "ordinal")},
    **{f"likelihood {f}": ("counts", {"likelihood": f}) for f in ("poisson", "negative_binomial")},
    **{
        f"zero-inflated {f}": ("counts", {"likelihood": f"zero_inflated_{f}"}) for f in ("poisson", "negative_binomial")
    },
    **{f"zero-inflated {f}": ("amounts", {"likelihood": f"zero_inflated_{f}"}) for f in ("gamma", "log_normal")},
    "zero-one-inflated beta": ("shares", {"likelihood": "zero_one_inflated_beta"}),
    "bernoulli": ("bits", {"likelihood": "bernoulli"}),
    "noise per row": ("line", {"likelihood": Gaussian(noise="row", background=0)}),
    "noise per row, background": ("line", {"likelihood": ContaminatedGaussian(noise="row")}),
    "background": ("line", {"likelihood": ContaminatedGaussian(background=0.05)}),
    "quantile, background": ("line", {"scaling": "quantile", "likelihood": ContaminatedGaussian(background=0.05)}),
    "quantile, background in some": (
        "line",
        {"scaling": "quantile", "likelihood": [(ContaminatedGaussian(background=0.2), [0, 2]), ("laplace", [1])]},
    ),
    "linear": ("line", {"hidden_layer_sizes": ()}),
    "deep": ("line", {"hidden_layer_sizes": (128, 128)}),
    "power, laplace": ("line", {"scaling": "power", "likelihood": "laplace"}),
    "power, student_t": ("line", {"scaling": "power", "likelihood": "student_t"}),
}

#: Methods that have no graph, and why: draws and quantiles of these are scipy's.
REFUSED = {
    **{name: {"score_samples"} for name in ("student_t", "gamma", "dirichlet", "elliptical", "von_mises_fisher")},
    "power, student_t": {"inverse_transform"},
}


def cases(name):
    """A fitted model and (method, argument) of each method that it has."""
    table, parameters = MODELS[name]
    X = tables()[table]
    vae = VAETransformer(2, max_iter=3, random_state=0, **parameters).fit(X)
    fitted = vae.fitted_  # whatever order and signs fit finds, here are some that matter
    adopt(vae, replace(fitted, order=fitted.order[::-1].copy(), signs=fitted.signs * [1, -1]))
    for method in METHODS:
        if hasattr(vae, method):
            yield vae, method, vae.transform(X) if method == "inverse_transform" else X


@pytest.mark.parametrize("name", MODELS)
def test_methods_in_torch_are_the_estimators(name):
    for vae, method, X in cases(name):
        for dtype in (np.float64, np.float32):
            A = torch.from_numpy(X.astype(dtype))
            assert_same(METHODS[method](vae, A.dtype)(A).numpy(), getattr(vae, method)(A.numpy()))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_converts_or_says_what_cannot(name):
    for vae, method, X in cases(name):
        if method in REFUSED.get(name, ()):
            with pytest.raises(NotImplementedError, match="has no ONNX graph"):
                to_onnx(vae, X, method=method)
            continue
        of_estimator = getattr(vae, method)
        for dtype in (np.float64, np.float32):
            A = X.astype(dtype)
            # Log-gamma functions of large numbers nearly cancel: some scores know fewer digits in float32 themselves.
            rounding = np.abs(of_estimator(A) - of_estimator(A.astype(np.float64))).max()
            assert_same(only(run(to_onnx(vae, A, method=method), A)), of_estimator(A), 4 * rounding)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_convolutions(dtype):
    X = load_digits().data.astype(dtype)
    net = ConvNet(image_shape=(8, 8), channels=(4, 8))
    vae = VAETransformer(3, encoder=net, decoder=net, scaling="global", max_iter=2, random_state=0).fit(X)
    for method in METHODS:
        A = vae.transform(X) if method == "inverse_transform" else X
        assert_same(only(run(to_onnx(vae, A, method=method), A[:50])), getattr(vae, method)(A[:50]))


def test_functions_that_onnx_lacks():
    aten = torch.ops.aten
    x = torch.linspace(-30, 30, 10001, dtype=torch.float64)
    small = torch.cat([x, x * 1e-5, x * 1e-12])
    oracles = {
        aten.erf.default: (small, special.erf),
        aten.erfc.default: (x / 2, special.erfc),
        aten.special_log_ndtr.default: (x, special.log_ndtr),
        aten.lgamma.default: (small.abs().clamp(min=1e-300) + 3, special.gammaln),
        aten.log1p.default: (torch.cat([small.abs(), x / 31]), np.log1p),
        aten.expm1.default: (small, np.expm1),
        aten.softplus.default: (x, lambda x: np.logaddexp(0, x)),
        aten.log_sigmoid.default: (x, lambda x: -np.logaddexp(0, -x)),
        aten.gelu.default: (x, lambda x: x * special.ndtr(x)),
        aten.elu.default: (small, lambda x: np.where(x > 0, x, np.expm1(x))),
        aten.tan.default: (x, np.tan),
    }
    for operator, (x, oracle) in oracles.items():
        np.testing.assert_allclose(DECOMPOSITIONS[operator](x), oracle(x.numpy()), rtol=1e-12, err_msg=str(operator))


@pytest.mark.parametrize(("stride", "dilation", "size"), [(1, 1, 3), (2, 1, 3), (1, 2, 3), (2, 1, 5)])
def test_convolutions_in_float64(stride, dilation, size):
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, 9, 8), (5, 3, size, size), (5,)
    x, weight, bias = (torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes)
    options = [stride] * 2, [1, 2], [dilation] * 2, False, [0, 0], 1
    operator = torch.ops.aten.convolution.default
    torch.testing.assert_close(DECOMPOSITIONS[operator](x, weight, bias, *options), operator(x, weight, bias, *options))


@pytest.mark.parametrize("enlarge", [{"size": (9, 7)}, {"size": (4, 3)}, {"scale_factor": 2}, {"scale_factor": 1.5}])
def test_nearest_neighbours(enlarge):
    x = torch.arange(60.0).reshape(1, 2, 5, 6)
    size, factor = enlarge.get("size"), enlarge.get("scale_factor")
    resized = DECOMPOSITIONS[torch.ops.aten.upsample_nearest2d.vec](x, size, factor and [factor, factor])
    torch.testing.assert_close(resized, torch.nn.functional.interpolate(x, **enlarge))


def test_matrix_functions_that_onnx_lacks():
    aten, linalg = torch.ops.aten, torch.linalg
    generator = torch.Generator().manual_seed(0)
    A, B = (torch.randn(7, 5, n, dtype=torch.float64, generator=generator) for n in (9, 3))
    A = A @ A.mT + torch.eye(5)
    L = linalg.cholesky(A)
    same = torch.testing.assert_close
    for upper, factor in ((False, L), (True, L.mT)):
        same(DECOMPOSITIONS[aten.linalg_cholesky.default](A, upper=upper), factor)
        same(DECOMPOSITIONS[aten.cholesky_inverse.default](factor, upper), linalg.inv(A))
        same(DECOMPOSITIONS[aten.cholesky_solve.default](B, factor, upper), linalg.solve(A, B))
        solve = DECOMPOSITIONS[aten.linalg_solve_triangular.default]
        same(solve(factor, B, upper=upper), linalg.solve(factor, B))
        same(solve(factor, B.mT, upper=upper, left=False), linalg.solve(factor, B.mT, left=False))


# ---------------------------------------------------------------- refused


def test_errors(mixed, fitted_mixed, incomplete):
    vae = VAETransformer(2, hidden_layer_sizes=(), max_iter=0).fit(incomplete)
    with pytest.raises(ValueError, match="'method' parameter of to_onnx must be one of"):
        to_onnx(vae, incomplete, method="score")
    with pytest.raises(NotFittedError):
        to_onnx(clone(vae), incomplete)
    with pytest.raises(AttributeError, match="score"):
        to_onnx(clone(vae).set_params(objective="ae").fit(incomplete), incomplete, method="score_samples")
    with pytest.raises(ValueError, match="last step is a VAETransformer"):
        to_onnx(make_pipeline(vae, LogisticRegression()), incomplete, method="score_samples")
    with pytest.raises(NotImplementedError, match=r"'minmaxscaler'.* has no graph of its inverse_transform"):
        to_onnx(make_pipeline(MinMaxScaler(), vae).fit(incomplete), np.zeros((1, 2)), method="inverse_transform")
    with pytest.raises(ValueError, match="inputs have 3 columns; the VAETransformer has 4"):
        to_onnx(vae, incomplete[:, :3])
    with pytest.raises(ValueError, match="at least 18"):
        to_onnx(vae, incomplete, target_opset=17)
    with pytest.raises(ValueError, match="array of objects"):
        to_onnx(vae, incomplete.astype(object))
    with pytest.raises(ValueError, match="'x0' holds numbers, but its input is a tensor of strings"):
        to_onnx(vae, incomplete.astype(str))
    types = [(name, skl2onnx.common.data_types.Int64TensorType([None, 1])) for name in mixed]
    with pytest.raises(ValueError, match="'kind' is a category of strings, but its input is a Int64TensorType"):
        skl2onnx.to_onnx(fitted_mixed, initial_types=types)


def test_what_has_no_graph_says_so(incomplete):
    vae = VAETransformer(2, posterior="gamma", max_iter=0).fit(incomplete)
    with pytest.raises(NotImplementedError, match=r"score_samples.*posterior=MeanField\(family='gamma'\).*scipy"):
        to_onnx(vae, incomplete, method="score_samples")


def test_importing_skvae_imports_no_onnx():
    code = "import sys, skvae; print([m for m in ('onnx', 'skl2onnx', 'onnxscript', 'skvae.onnx') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# ---------------------------------------------------------------- the recipes of docs/deployment.md


def test_networks_export_with_torch(tmp_path, incomplete):
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(incomplete)
    x, mask = vae.fitted_.columns.tensors(incomplete, "cpu", torch.float32)
    rows = torch.export.Dim("rows")
    encoder, decoder = vae.module_.encoder, vae.module_.decoder
    programs = {
        "encoder": torch.export.export(encoder, (x[:2], mask[:2]), dynamic_shapes=({0: rows}, {0: rows})),
        "decoder": torch.export.export(decoder, (torch.zeros(1, 2, 2),), dynamic_shapes=({1: rows},)),
    }
    for name, program in programs.items():
        torch.export.save(program, tmp_path / f"{name}.pt2")
    loaded = {name: torch.export.load(tmp_path / f"{name}.pt2").module() for name in programs}
    with torch.no_grad():
        torch.testing.assert_close(loaded["encoder"](x, mask), encoder(x, mask))
        z = torch.randn(1, 7, 2)
        torch.testing.assert_close(loaded["decoder"](z), decoder(z))


def test_methods_export_with_torch(incomplete):
    vae = VAETransformer(2, hidden_layer_sizes=(), max_iter=0).fit(incomplete)
    X = torch.from_numpy(incomplete)
    module = METHODS["transform"](vae, X.dtype)
    program = torch.export.export(module, (X[:2],), dynamic_shapes=({0: torch.export.Dim("rows")},))
    assert_same(program.module()(X).numpy(), vae.transform(incomplete))


def test_a_graph_takes_days():
    """ONNX has no dates: such a column is one of float64, the numbers that are inside."""
    rng = np.random.default_rng(0)
    when = pd.to_datetime(rng.integers(15_000, 20_000, 100), unit="D").tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"x": rng.normal(size=100), "day": when})
    small = VAETransformer(1, max_iter=0, random_state=0).fit(frame)
    session = onnxruntime.InferenceSession(to_onnx(small, frame).SerializeToString())
    days = (frame["day"].dt.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(1, "D")
    inputs = {"x": frame["x"].to_numpy()[:, None], "day": days.to_numpy()[:, None]}
    np.testing.assert_allclose(session.run(None, inputs)[0], small.transform(frame), rtol=1e-6, atol=1e-6)
