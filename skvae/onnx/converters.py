"""ONNX graphs of fitted estimators: importing this module registers `VAETransformer` with skl2onnx.

After ``import skvae.onnx`` plain ``skl2onnx.to_onnx`` converts a pipeline with a `VAETransformer` in it. `to_onnx` here
also gives the graphs of `inverse_transform` and `score_samples`, reads the column types of a frame, and pins the opset.
torch's own exporter translates the networks; `_inference/torch_modules.py` says in torch what a method does, and
`decompositions.py` what ONNX lacks. It needs the extra "onnx".

The precision is that of the method: a float32 array has a float32 graph, everything else a float64 one.

How the values of a table enter a graph:

- A missing number or boolean is NaN in a float tensor.
- A category of strings is a string tensor. A string that `fit` has not seen counts as missing, as in the estimator.
  ONNX has no missing strings: use the empty string.
- A category of numbers or booleans is a tensor of its values, never of category indices.
- A graph does not raise errors: a row outside the support of a column's family has the score NaN, where the estimator
  refuses it, and whatever else the estimator refuses (infinite numbers, a 2 in a boolean column) gives meaningless
  numbers.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxscript  # noqa: F401 - torch's exporter asks for it late
import skl2onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from .._inference.fitted import fitted_of
from .._inference.torch_modules import METHODS
from .._tables.frames import Column, as_frame
from .._tables.schema import Schema
from ..estimator import VAETransformer
from .decompositions import plain_program

__all__ = ["OPSET", "to_onnx"]

#: The operator sets of `to_onnx`: the oldest ones that torch's exporter writes, which onnxruntime reads from 1.14 on.
OPSET = {"": 18, "ai.onnx.ml": 3}

_ALIAS = "SkvaeVAETransformer"


def to_onnx(
    model: Any, X: Any, method: str = "transform", target_opset: int | Mapping[str, int] | None = None, **options: Any
) -> ModelProto:
    """Convert a fitted estimator, or a pipeline with one, to an ONNX graph of one of its methods.

    An array of rows or of latent codes is one input tensor "X" of shape (n, D). A frame is one tensor of shape (n, 1)
    for each column, in their order, and skl2onnx replaces characters of their names that are not letters or digits by
    "_". Tensors cannot contain dates: a column of dates becomes float64, days since 1970-01-01 in the local time of its
    time zone, NaN if missing; durations are days, periods their ordinals. `inverse_transform` gives one tensor for a
    table of numbers, and one for each column, under its name, for a table that also has categories, booleans or dates.
    The number of rows is free.

    Parameters
    ----------
    model : VAETransformer or Pipeline
        A fitted model. Steps after the `VAETransformer` must be known to skl2onnx.
    X : array-like or frame of shape (n_samples, n_features)
        An input of the method, of which only the types of the columns are used: rows, or latent codes for
        `inverse_transform`.
    method : {"transform", "inverse_transform", "score_samples"}, default="transform"
        Method of the `VAETransformer`. With "transform" the graph is that of the whole pipeline, whatever its last
        step; the others need the `VAETransformer` to be the last. `inverse_transform` goes back through earlier steps
        that are `StandardScaler`.
    target_opset : int or dict, optional
        Operator sets, at least 18; `OPSET` if not given.
    **options : dict
        Further arguments of `skl2onnx.to_onnx`, such as ``options={"zipmap": False}`` for a classifier.

    Returns
    -------
    onnx.ModelProto
        A graph with the output "codes" (n, K), "bound" (n,) in nats, "X_out" (n, D) or the columns (n, 1); the outputs
        of another last step of a pipeline are those of skl2onnx.

    Raises
    ------
    AttributeError
        The model has no such method.
    NotImplementedError
        A part of the model has no graph; the message says which.
    ValueError
        A method that is not one of the three, or columns that do not fit the estimator.

    See Also
    --------
    skl2onnx.to_onnx : The same for `transform`, after ``import skvae.onnx``.

    Notes
    -----
    Posteriors whose draws come from scipy (the gamma family and Student t) have graphs of `transform` and
    `inverse_transform`, but none of `score_samples`. With ``scaling="power"`` or "quantile", `inverse_transform` has no
    graph where a transformed column is Student t.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.onnx import to_onnx
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAETransformer(n_components=2, max_iter=5, random_state=0).fit(X)
    >>> graph = to_onnx(vae, X, method="score_samples")
    >>> session = onnxruntime.InferenceSession(graph.SerializeToString())
    >>> bound = session.run(None, {"X": X})[0]
    >>> np.allclose(bound, vae.score_samples(X), rtol=1e-10)
    True
    """
    if method not in METHODS:
        raise ValueError(f"The 'method' parameter of to_onnx must be one of {list(METHODS)}. Got {method!r} instead.")
    if method != "transform":
        vae = model.steps[-1][1] if isinstance(model, Pipeline) else model
        if not isinstance(vae, VAETransformer):
            raise ValueError(f"method={method!r} needs a model whose last step is a VAETransformer. Got {model!r}.")
        options["options"] = {id(vae): {"method": method}, **options.get("options", {})}
        if method == "inverse_transform":
            model = _inverted(model)
    check_is_fitted(model)
    target_opset = OPSET if target_opset is None else target_opset
    return skl2onnx.to_onnx(model, initial_types=_input_types(X), target_opset=target_opset, **options)


def _inverted(model: Any) -> Pipeline:
    """The steps of a pipeline backwards, the `VAETransformer` first."""
    steps = model.steps if isinstance(model, Pipeline) else [("vae", model)]
    steps = [(name, step) for name, step in steps if step is not None and step != "passthrough"]
    return Pipeline([(name, step if i == 0 else _inverse(name, step)) for i, (name, step) in enumerate(steps[::-1])])


def _inverse(name: str, step: Any) -> StandardScaler:
    """The scaler that undoes a scaler: (x + mean / scale) / (1 / scale) = scale x + mean."""
    if type(step) is not StandardScaler:
        raise NotImplementedError(
            f"The step {name!r}, {step!r}, has no graph of its inverse_transform; only StandardScaler has. Convert the "
            "VAETransformer alone and invert the other steps outside the graph."
        )
    scale = np.ones(step.n_features_in_) if step.scale_ is None else step.scale_
    inverse = StandardScaler()
    inverse.scale_, inverse.n_features_in_ = 1 / scale, step.n_features_in_
    inverse.mean_ = np.zeros_like(scale) if step.mean_ is None or not step.with_mean else -step.mean_ / scale
    return inverse


# ---------------------------------------------------------------- input types


def _input_types(X: Any) -> list[tuple[str, Any]]:
    """Name and type of each input tensor."""
    frame = as_frame(X)
    if frame is not None:
        return [(str(name), _column_type(Column(frame[name], name))) for name in frame.columns]
    X = X if hasattr(X, "dtype") and hasattr(X, "shape") else np.asarray(X)
    letter = np.dtype(X.dtype).kind if isinstance(X.dtype, np.dtype) else "f"
    if letter == "O":
        raise ValueError("X is an array of objects, whose columns have no types. Use a frame, or an array of numbers.")
    is_single = str(X.dtype).endswith("float32")
    kinds = {"f": FloatTensorType if is_single else DoubleTensorType, "b": BooleanTensorType}
    kinds |= {"i": Int64TensorType, "u": Int64TensorType, "U": StringTensorType}
    return [("X", kinds[letter]([None, X.shape[1]]))]


def _column_type(column: Column) -> Any:
    """int64 and bool for numpy's own dtypes, which have no missing values; float32; float64 for all other numbers."""
    if column.kind() == "category":
        levels = column.levels()
        if levels.dtype == object or not len(levels):
            return StringTensorType([None, 1])
        column = Column(levels, column.label)
    dtype = column.native.dtype
    kinds = {"b": BooleanTensorType, "i": Int64TensorType, "u": Int64TensorType}
    if column.is_plain and str(dtype).lower() == "float32":
        return FloatTensorType([None, 1])
    return kinds.get(dtype.kind if isinstance(dtype, np.dtype) else "f", DoubleTensorType)([None, 1])


# ---------------------------------------------------------------- skl2onnx


def _parse(scope: Any, model: VAETransformer, inputs: list, custom_parsers: Any = None) -> list:
    """Declare the operator and its outputs."""
    operator = scope.declare_local_operator(_ALIAS, model)
    operator.inputs = inputs
    for name, kind in _outputs(model, _method(scope, model), inputs):
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _method(holder: Any, model: VAETransformer) -> str:
    """Name of the method that the options of a scope or a container ask for."""
    return holder.get_options(model, {"method": "transform"})["method"]


def _outputs(model: VAETransformer, method: str, inputs: list) -> list[tuple[str, Any]]:
    """Name and type of each output tensor."""
    fitted = fitted_of(model)
    getattr(model, method)  # raises where the model has no such method, and says why
    schema = fitted.schema
    number = _number_type(schema, inputs)
    if method == "score_samples":
        return [("bound", number([None]))]
    if method == "transform":
        return [("codes", number([None, fitted.module.width]))]
    if not _is_by_column(schema):
        return [("X_out", number([None, len(schema.kinds)]))]
    kinds = {"U": StringTensorType, "i": Int64TensorType, "b": BooleanTensorType}
    letters = {d: _levels(schema, d).dtype.kind for d in schema.levels}
    return [(schema.label(d), kinds.get(letters.get(d, ""), number)([None, 1])) for d in range(len(schema.kinds))]


def _is_by_column(schema: Schema) -> bool:
    """Whether means are one tensor per column: in a table of several types."""
    return not (schema.is_plain or schema.is_numeric)


def _number_type(schema: Schema, inputs: list) -> Any:
    """float32 for float32 arrays, as the methods have it, else float64."""
    is_single = all(isinstance(variable.type, FloatTensorType) for variable in inputs)
    return FloatTensorType if is_single and (schema.is_plain or schema.is_numeric) else DoubleTensorType


def _levels(schema: Schema, d: int) -> np.ndarray:
    """The levels of a category as an array of strings, int64, float64 or bools."""
    levels = schema.levels[d]
    if levels.dtype == object and all(isinstance(level, str) for level in levels):
        return levels.astype(str)
    if levels.dtype.kind not in "iufb":
        raise NotImplementedError(f"Column {schema.label(d)!r} has levels of several types: no tensor holds them.")
    return levels.astype({"u": np.int64, "i": np.int64, "f": np.float64, "b": np.bool_}[levels.dtype.kind])


def _calculate_shapes(operator: Any) -> None:
    """Types and shapes are known since `_parse`."""


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Table -> numbers -> torch's graph -> outputs."""
    model, inputs, outputs = operator.raw_operator, operator.inputs, operator.outputs
    fitted, method, nodes = fitted_of(model), _method(container, model), _Nodes(scope, container)
    schema = fitted.schema
    dtype = torch.float32 if _number_type(schema, inputs) is FloatTensorType else torch.float64
    if method == "inverse_transform":
        width, table = fitted.module.width, nodes.cast(nodes.side_by_side([v.full_name for v in inputs]), dtype)
    else:
        width, table = len(schema.kinds), _numbers(nodes, schema, inputs, dtype)
    proto = _exported(model, method, dtype, width, container.target_opset_any_domain(""))
    (result,) = nodes.graft(proto, [table])
    if method == "inverse_transform" and schema.levels:
        _give_levels(nodes, schema, result, outputs, dtype)
    elif method == "inverse_transform" and _is_by_column(schema):
        for d, output in enumerate(outputs):
            nodes.add("Identity", [nodes.column(result, d)], output.full_name)
    else:
        nodes.add("Identity", [result], outputs[0].full_name)


def _exported(model: VAETransformer, method: str, dtype: torch.dtype, width: int, opset: int) -> ModelProto:
    """torch's graph of a method: one input (n, width) and one output."""
    if opset < OPSET[""]:
        raise ValueError(f"target_opset must be at least {OPSET['']} for a VAETransformer. Got {opset}.")
    example, shapes = (torch.zeros(3, width, dtype=dtype),), ({0: torch.export.Dim("rows")},)
    try:
        with warnings.catch_warnings():  # torch's exporter copies its own deprecated objects
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            program = plain_program(METHODS[method](model, dtype), example, shapes)
            exported: Any = torch.onnx.export(program, dynamo=True, opset_version=opset, verbose=False)
    except RuntimeError as error:
        raise NotImplementedError(_why_not(model, method, error)) from error
    return exported.model_proto


def _why_not(model: VAETransformer, method: str, error: RuntimeError) -> str:
    """Say which parts of a model have no graph, and why."""
    of = fitted_of(model).parts
    parts = (
        f"posterior={of.posterior!r}, prior={of.prior!r}, likelihood={model.likelihood!r} and scaling={model.scaling!r}"
    )
    reason = f"torch's exporter says {type(error).__name__}: {str(error).splitlines()[0]}"
    if ".numpy()" in reason:
        reason = "draws or quantiles of one of these families are scipy's, which a graph cannot hold. Choose another."
    return f"{method} of a VAETransformer with {parts} has no ONNX graph: {reason}"


# ---------------------------------------------------------------- tables


def _numbers(nodes: "_Nodes", schema: Schema, inputs: list, dtype: torch.dtype) -> str:
    """Put the input tensors together to one table of numbers (n, D), categories as indices."""
    widths = [variable.type.shape[1] or 1 for variable in inputs]
    if sum(widths) != len(schema.kinds):
        raise ValueError(f"The graph's inputs have {sum(widths)} columns; the VAETransformer has {len(schema.kinds)}.")
    if not schema.levels and "empty" not in schema.kinds:
        for variable in inputs:
            _check_numbers(schema.label(0), variable)
        return nodes.side_by_side([nodes.cast(variable.full_name, dtype) for variable in inputs])
    parts: list[str] = []
    for variable, width in zip(inputs, widths, strict=True):
        for j in range(width):
            d = len(parts)
            tensor = variable.full_name if width == 1 else nodes.column(variable.full_name, j)
            parts.append(_column_numbers(nodes, schema, d, variable, tensor, dtype))
    return nodes.side_by_side(parts)


def _column_numbers(nodes: "_Nodes", schema: Schema, d: int, variable: Any, tensor: str, dtype: torch.dtype) -> str:
    """Column d as numbers (n, 1): a category as its index."""
    if d not in schema.levels:
        _check_numbers(schema.label(d), variable)
        numbers = nodes.cast(tensor, dtype)
        is_empty = schema.kinds[d] == "empty"
        return nodes.add("Mul", [numbers, nodes.constant(np.array(np.nan), dtype)]) if is_empty else numbers
    levels = _levels(schema, d)
    is_text = levels.dtype.kind == "U"
    if is_text != isinstance(variable.type, StringTensorType):
        raise ValueError(
            f"Column {schema.label(d)!r} is a category of {'strings' if is_text else 'numbers'}, but its input is a "
            f"{type(variable.type).__name__}. Convert with skvae.onnx.to_onnx, or give initial_types."
        )
    if is_text:
        indices = np.arange(len(levels), dtype=np.float32).tolist()
        found = nodes.add(
            "LabelEncoder", [tensor], op_domain="ai.onnx.ml", op_version=2, keys_strings=levels.tolist(),
            values_floats=indices, default_float=float("nan"),
        )  # fmt: skip
        return nodes.cast(found, dtype)
    return _index(nodes, tensor, levels, dtype)


def _check_numbers(label: Any, variable: Any) -> None:
    """Refuse strings for a column of numbers."""
    if isinstance(variable.type, StringTensorType):
        raise ValueError(f"Column {label!r} holds numbers, but its input is a tensor of strings.")


def _index(nodes: "_Nodes", tensor: str, levels: np.ndarray, dtype: torch.dtype) -> str:
    """Index of each cell (n, 1) among levels that are numbers, NaN where it is none of them."""
    values = nodes.constant(levels.astype(np.float64)[None], torch.float64)
    is_level = nodes.cast(nodes.add("Equal", [nodes.cast(tensor, torch.float64), values]), dtype)
    axis = nodes.constant(np.array([1]), torch.int64)
    found = nodes.add("ReduceSum", [is_level, axis])
    numbered = nodes.add("MatMul", [is_level, nodes.constant(np.arange(len(levels))[:, None], dtype)])
    return nodes.add("Div", [nodes.add("Mul", [numbered, found]), found])  # 0 / 0 is NaN


def _give_levels(nodes: "_Nodes", schema: Schema, result: str, outputs: Sequence, dtype: torch.dtype) -> None:
    """Write means (n, D), in which categories are indices, to the outputs, with levels for indices."""
    columns = []
    for d in range(len(schema.kinds)):
        column = nodes.column(result, d)
        if d in schema.levels:
            levels = _levels(schema, d)
            indices = nodes.cast(nodes.add("Round", [column]), torch.int64)
            constant = nodes.constant(levels, dtype if schema.is_numeric else None)
            column = nodes.add("Gather", [constant, indices])
        columns.append(column)
    if _is_by_column(schema):
        for column, output in zip(columns, outputs, strict=True):
            nodes.add("Identity", [column], output.full_name)
    else:
        nodes.add("Identity", [nodes.side_by_side(columns)], outputs[0].full_name)


class _Nodes:
    """Nodes and constants for a skl2onnx container, under names of their own."""

    _TYPES = {
        torch.float32: TensorProto.FLOAT,
        torch.float64: TensorProto.DOUBLE,
        torch.int64: TensorProto.INT64,
    }

    def __init__(self, scope: Any, container: Any) -> None:
        self.scope, self.container = scope, container

    def add(self, op_type: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Add a node; give the name of its output."""
        output = output or self.scope.get_unique_variable_name(f"skvae_{op_type.lower()}")
        name = self.scope.get_unique_operator_name(f"skvae_{op_type}")
        self.container.add_node(op_type, inputs, [output], name=name, **attributes)
        return output

    def constant(self, array: np.ndarray, dtype: torch.dtype | None = None) -> str:
        """Add an initializer of this torch dtype, or as the array is; give its name."""
        name = self.scope.get_unique_variable_name("skvae_constant")
        if dtype is not None:
            array = array.astype(str(dtype).removeprefix("torch."))
        if array.dtype.kind == "U":
            content = [text.encode() for text in array]
            self.container.initializers.append(helper.make_tensor(name, TensorProto.STRING, array.shape, content))
        else:
            self.container.initializers.append(numpy_helper.from_array(array, name))
        return name

    def cast(self, tensor: str, dtype: torch.dtype) -> str:
        """Give a tensor another type."""
        return self.add("Cast", [tensor], to=self._TYPES[dtype])

    def column(self, tensor: str, j: int) -> str:
        """Take column j of (n, D) as (n, 1)."""
        return self.add("Gather", [tensor, self.constant(np.array([j]), torch.int64)], axis=1)

    def side_by_side(self, tensors: list[str]) -> str:
        """Join columns to one table."""
        return tensors[0] if len(tensors) == 1 else self.add("Concat", tensors, axis=1)

    def graft(self, proto: ModelProto, inputs: list[str]) -> list[str]:
        """Take over another model's graph under new names; give the names of its outputs."""
        graph = proto.graph
        if proto.functions or any(a.HasField("g") for node in graph.node for a in node.attribute):
            raise NotImplementedError("torch's exporter wrote functions or subgraphs, which skl2onnx does not take.")
        if lacking := [node.op_type for node in graph.node if "" in node.input]:
            raise NotImplementedError(f"torch's exporter left an input of {lacking[0]} away, which skl2onnx refuses.")
        names = {"": ""} | dict(zip((value.name for value in graph.input), inputs, strict=True))
        for tensor in graph.initializer:
            names[tensor.name] = self.scope.get_unique_variable_name("skvae_weight")
            renamed = TensorProto()
            renamed.CopyFrom(tensor)
            renamed.name = names[tensor.name]
            self.container.initializers.append(renamed)
        for node in graph.node:
            self._take(node, names)
        for opset in proto.opset_import:
            self.container.node_domain_version_pair_sets.add((opset.domain, opset.version))
        return [names[value.name] for value in graph.output]

    def _take(self, node: NodeProto, names: dict[str, str]) -> None:
        """Add a copy of a node under new names, which are added to `names`."""
        for name in node.output:
            if name:
                names[name] = self.scope.get_unique_variable_name(f"skvae_{name}")
        renamed = NodeProto()
        renamed.CopyFrom(node)
        renamed.name = self.scope.get_unique_operator_name(f"skvae_{node.op_type}")
        renamed.input[:] = [names[name] for name in node.input]
        renamed.output[:] = [names[name] for name in node.output]
        renamed.doc_string = ""
        del renamed.metadata_props[:]  # torch's stack traces
        self.container.nodes.append(renamed)


skl2onnx.update_registered_converter(
    VAETransformer, _ALIAS, _calculate_shapes, _convert, parser=_parse, options={"method": list(METHODS)}
)
