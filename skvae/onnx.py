"""ONNX graphs of fitted estimators: importing this module registers `VAETransformer` with skl2onnx.

After ``import skvae.onnx`` plain ``skl2onnx.to_onnx`` converts a pipeline with a `VAETransformer` in it. `to_onnx` here
also gives the graphs of `inverse_transform` and `score_samples`, reads the column types of a frame, and pins the opset.
torch's own exporter translates the networks; `graphs.py` says in torch what a verb does, and `decompositions.py` what
ONNX lacks. Needs ``pip install onnx onnxscript skl2onnx``.

Precision is that of the verb: a float32 array has a float32 graph, everything else a float64 one.

What cells are in a graph:

- A missing number or boolean is NaN, in a float tensor.
- A category of strings is a string tensor; a string that fit has not seen counts as missing, as in the estimator. ONNX
  has no missing strings: use the empty string.
- A category of numbers or bools is a tensor of these, its values, never pandas' codes.
- A graph does not raise: a row outside the support of a column's family has the score NaN, where the estimator refuses
  it, and what else the estimator refuses (infinite numbers, a boolean column that holds 2) gives numbers without
  meaning.
"""

import warnings

import numpy as np
import onnxscript  # noqa: F401 - torch's exporter asks for it late
import skl2onnx
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
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

from .decompositions import plain_program
from .estimator import VAETransformer
from .frames import Column, as_frame
from .graphs import VERBS

__all__ = ["OPSET", "to_onnx"]

#: The operator sets of `to_onnx`: the oldest ones that torch's exporter writes, which onnxruntime reads from 1.14 on.
OPSET = {"": 18, "ai.onnx.ml": 3}

_ALIAS = "SkvaeVAETransformer"


def to_onnx(model, X, method="transform", target_opset=None, **options):
    """Convert a fitted estimator, or a pipeline that holds one, to an ONNX graph of one of its verbs.

    An array, of rows or of codes, is one input tensor "X" of shape (n, D); a frame is one tensor of shape (n, 1) for
    each column, in their order, and skl2onnx puts "_" for what is no letter or digit in their names.
    `inverse_transform` gives one tensor for a table of numbers, and one for each column, under its name, for a table
    that also has categories or booleans. The number of rows is free.

    Parameters
    ----------
    model : VAETransformer or Pipeline
        Fitted. Steps behind the `VAETransformer` are those that skl2onnx knows.
    X : array-like or frame of shape (n_samples, n_features)
        A table as the verb takes it, of which only the types of the columns count: rows, or codes for
        `inverse_transform`.
    method : {"transform", "inverse_transform", "score_samples"}, default="transform"
        The verb of the `VAETransformer`. With "transform" the graph is that of the whole pipeline, whatever its last
        step; the others need the `VAETransformer` to be the last. Codes are inverted through earlier steps that are
        `StandardScaler`.
    target_opset : int or dict, optional
        Operator sets, at least 18; `OPSET` if not given.
    **options : dict
        Of `skl2onnx.to_onnx`, such as ``options={"zipmap": False}`` for a classifier.

    Returns
    -------
    onnx.ModelProto
        With the outputs "codes" (n, K), "bound" (n,) in nats, "X_out" (n, D) or the columns (n, 1); those of a
        pipeline's other last step are skl2onnx's.

    Raises
    ------
    AttributeError
        The model has no such verb.
    NotImplementedError
        A part of the model has no graph; the message says which.
    ValueError
        A verb that is not one of the three, or columns that do not fit the estimator.

    See Also
    --------
    skl2onnx.to_onnx : The same for `transform`, after ``import skvae.onnx``.

    Notes
    -----
    Posteriors whose draws come from scipy (gamma and its kin, Student t) have a graph of `transform` and
    `inverse_transform`, and none of `score_samples`. Nor has `inverse_transform` with ``scaling="power"`` or
    "quantile" where a bent column is Student t.

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
    if method not in VERBS:
        raise ValueError(f"The 'method' parameter of to_onnx must be one of {list(VERBS)}. Got {method!r} instead.")
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


def _inverted(model):
    """The steps of a pipeline backwards, the `VAETransformer` first."""
    steps = model.steps if isinstance(model, Pipeline) else [("vae", model)]
    steps = [(name, step) for name, step in steps if step is not None and step != "passthrough"]
    return Pipeline([(name, step if i == 0 else _inverse(name, step)) for i, (name, step) in enumerate(steps[::-1])])


def _inverse(name, step):
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


def _input_types(X):
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


def _column_type(column):
    """int64 and bool for numpy's own dtypes, which have no missing cells; float32; float64 for all other numbers."""
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


def _parse(scope, model, inputs, custom_parsers=None):
    """Declare the operator and its outputs."""
    operator = scope.declare_local_operator(_ALIAS, model)
    operator.inputs = inputs
    for name, kind in _outputs(model, _method(scope, model), inputs):
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _method(holder, model):
    return holder.get_options(model, {"method": "transform"})["method"]


def _outputs(model, method, inputs):
    """Name and type of each output tensor."""
    check_is_fitted(model)
    getattr(model, method)  # raises where the model has no such verb, and says why
    schema = model._schema
    number = _number_type(schema, inputs)
    if method == "score_samples":
        return [("bound", number([None]))]
    if method == "transform":
        return [("codes", number([None, model._n_features_out]))]
    if not _is_by_column(schema):
        return [("X_out", number([None, len(schema.kinds)]))]
    kinds = {"U": StringTensorType, "i": Int64TensorType, "b": BooleanTensorType}
    letters = {d: _levels(schema, d).dtype.kind for d in schema.levels}
    return [(schema.label(d), kinds.get(letters.get(d), number)([None, 1])) for d in range(len(schema.kinds))]


def _is_by_column(schema):
    """Whether means are one tensor per column: in a table of several types."""
    return not (schema.is_plain or schema.is_numeric)


def _number_type(schema, inputs):
    """float32 for float32 arrays, as the verbs have it, else float64."""
    is_single = all(isinstance(variable.type, FloatTensorType) for variable in inputs)
    return FloatTensorType if is_single and (schema.is_plain or schema.is_numeric) else DoubleTensorType


def _levels(schema, d):
    """The levels of a category as an array of strings, int64, float64 or bools."""
    levels = schema.levels[d]
    if levels.dtype == object and all(isinstance(level, str) for level in levels):
        return levels.astype(str)
    if levels.dtype.kind not in "iufb":
        raise NotImplementedError(f"Column {schema.label(d)!r} has levels of several types: no tensor holds them.")
    return levels.astype({"u": np.int64, "i": np.int64, "f": np.float64, "b": np.bool_}[levels.dtype.kind])


def _calculate_shapes(operator):
    """Types and shapes are known since `_parse`."""


def _convert(scope, operator, container):
    """Table -> numbers -> torch's graph -> outputs."""
    model, inputs, outputs = operator.raw_operator, operator.inputs, operator.outputs
    method = _method(container, model)
    nodes = _Nodes(scope, container)
    is_single = _number_type(model._schema, inputs) is FloatTensorType
    dtype = torch.float32 if is_single else torch.float64
    width = model._n_features_out if method == "inverse_transform" else len(model._schema.kinds)
    if method == "inverse_transform":
        table = nodes.cast(nodes.side_by_side([v.full_name for v in inputs]), dtype)
    else:
        table = _numbers(nodes, model._schema, inputs, dtype)
    proto = _exported(model, method, dtype, width, container.target_opset_any_domain(""))
    (result,) = nodes.graft(proto, [table])
    if method == "inverse_transform" and model._schema.levels:
        _give_levels(nodes, model._schema, result, outputs, dtype)
    elif method == "inverse_transform" and _is_by_column(model._schema):
        for d, output in enumerate(outputs):
            nodes.add("Identity", [nodes.column(result, d)], output.full_name)
    else:
        nodes.add("Identity", [result], outputs[0].full_name)


def _exported(model, method, dtype, width, opset):
    """torch's graph of a verb: one input (n, width) and one output."""
    if opset < OPSET[""]:
        raise ValueError(f"target_opset must be at least {OPSET['']} for a VAETransformer. Got {opset}.")
    example, shapes = (torch.zeros(3, width, dtype=dtype),), ({0: torch.export.Dim("rows")},)
    try:
        with warnings.catch_warnings():  # torch's exporter copies its own deprecated objects
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            program = plain_program(VERBS[method](model, dtype), example, shapes)
            return torch.onnx.export(program, dynamo=True, opset_version=opset, verbose=False).model_proto
    except RuntimeError as error:
        raise NotImplementedError(_why_not(model, method, error)) from error


def _why_not(model, method, error):
    posterior, prior, _ = model._fitted_parts()
    parts = f"posterior={posterior!r}, prior={prior!r}, likelihood={model.likelihood!r} and scaling={model.scaling!r}"
    reason = f"torch's exporter says {type(error).__name__}: {str(error).splitlines()[0]}"
    if ".numpy()" in reason:
        reason = "draws or quantiles of one of these families are scipy's, which a graph cannot hold. Choose another."
    return f"{method} of a VAETransformer with {parts} has no ONNX graph: {reason}"


# ---------------------------------------------------------------- tables


def _numbers(nodes, schema, inputs, dtype):
    """The input tensors as one table of numbers (n, D), categories as codes."""
    widths = [variable.type.shape[1] or 1 for variable in inputs]
    if sum(widths) != len(schema.kinds):
        raise ValueError(f"The graph's inputs have {sum(widths)} columns; the VAETransformer has {len(schema.kinds)}.")
    if not schema.levels and "empty" not in schema.kinds:
        for variable in inputs:
            _check_numbers(schema.label(0), variable)
        return nodes.side_by_side([nodes.cast(variable.full_name, dtype) for variable in inputs])
    parts = []
    for variable, width in zip(inputs, widths, strict=True):
        for j in range(width):
            d = len(parts)
            tensor = variable.full_name if width == 1 else nodes.column(variable.full_name, j)
            parts.append(_column_numbers(nodes, schema, d, variable, tensor, dtype))
    return nodes.side_by_side(parts)


def _column_numbers(nodes, schema, d, variable, tensor, dtype):
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
        codes = np.arange(len(levels), dtype=np.float32).tolist()
        found = nodes.add(
            "LabelEncoder", [tensor], op_domain="ai.onnx.ml", op_version=2, keys_strings=levels.tolist(),
            values_floats=codes, default_float=float("nan"),
        )  # fmt: skip
        return nodes.cast(found, dtype)
    return _position(nodes, tensor, levels, dtype)


def _check_numbers(label, variable):
    if isinstance(variable.type, StringTensorType):
        raise ValueError(f"Column {label!r} holds numbers, but its input is a tensor of strings.")


def _position(nodes, tensor, levels, dtype):
    """The position of each cell (n, 1) among levels that are numbers, NaN where it is none of them."""
    values = nodes.constant(levels.astype(np.float64)[None], torch.float64)
    is_level = nodes.cast(nodes.add("Equal", [nodes.cast(tensor, torch.float64), values]), dtype)
    axis = nodes.constant(np.array([1]), torch.int64)
    found = nodes.add("ReduceSum", [is_level, axis])
    numbered = nodes.add("MatMul", [is_level, nodes.constant(np.arange(len(levels))[:, None], dtype)])
    return nodes.add("Div", [nodes.add("Mul", [numbered, found]), found])  # 0 / 0 is NaN


def _give_levels(nodes, schema, result, outputs, dtype):
    """Means (n, D) with categories as codes -> outputs: levels by position."""
    columns = []
    for d in range(len(schema.kinds)):
        column = nodes.column(result, d)
        if d in schema.levels:
            levels = _levels(schema, d)
            codes = nodes.cast(nodes.add("Round", [column]), torch.int64)
            if schema.is_numeric:
                column = nodes.add("Gather", [nodes.constant(levels, dtype), codes])
            else:
                column = nodes.add("Gather", [nodes.constant(levels), codes])
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

    def __init__(self, scope, container):
        self.scope, self.container = scope, container

    def add(self, op_type, inputs, output=None, **attributes):
        """A node; the name of its output."""
        output = output or self.scope.get_unique_variable_name(f"skvae_{op_type.lower()}")
        name = self.scope.get_unique_operator_name(f"skvae_{op_type}")
        self.container.add_node(op_type, inputs, [output], name=name, **attributes)
        return output

    def constant(self, array, dtype=None):
        """An initializer of this torch dtype, or as the array is; its name."""
        name = self.scope.get_unique_variable_name("skvae_constant")
        if dtype is not None:
            array = array.astype(str(dtype).removeprefix("torch."))
        if array.dtype.kind == "U":
            content = [text.encode() for text in array]
            self.container.initializers.append(helper.make_tensor(name, TensorProto.STRING, array.shape, content))
        else:
            self.container.initializers.append(numpy_helper.from_array(array, name))
        return name

    def cast(self, tensor, dtype):
        """A tensor in another type."""
        return self.add("Cast", [tensor], to=self._TYPES[dtype])

    def column(self, tensor, j):
        """Column j of (n, D) as (n, 1)."""
        return self.add("Gather", [tensor, self.constant(np.array([j]), torch.int64)], axis=1)

    def side_by_side(self, tensors):
        """Columns as one table."""
        return tensors[0] if len(tensors) == 1 else self.add("Concat", tensors, axis=1)

    def graft(self, proto, inputs):
        """Take over another model's graph, renamed; the names of its outputs."""
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

    def _take(self, node, names):
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
    VAETransformer, _ALIAS, _calculate_shapes, _convert, parser=_parse, options={"method": list(VERBS)}
)
