"""Operators that ONNX or its runtimes lack, in plain torch operations: what `torch.export` puts in their place.

ONNX has no factorisation of matrices and no special function but erf, and onnxruntime has no float64 kernel for erf,
softplus, elu, gelu, tan and what images need. Each function here has the signature of the operator that it stands for.
Matrices are small and positive definite, (..., K, K), and each of the K pivots is a handful of nodes; special functions
are good to 1e-13.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.nn.functional import pad

__all__ = ["DECOMPOSITIONS", "plain_program"]

aten = torch.ops.aten

# Moshier, "Methods and Programs for Mathematical Functions" (1989), the Cephes library: erf(x) = x T(x^2) / U(x^2) up
# to 1, erfc(x) = exp(-x^2) P(x) / Q(x) up to 8, and with R / S beyond. Highest power first.
_T = (9.60497373987051638749, 9.00260197203842689217e1, 2.23200534594684319226e3, 7.00332514112805075473e3,
      5.55923013010394962768e4)  # fmt: skip
_U = (1.0, 3.35617141647503099647e1, 5.21357949780152679795e2, 4.59432382970980127987e3, 2.26290000613890934246e4,
      4.92673942608635921086e4)  # fmt: skip
_P = (2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687, 4.86371970985681366614e1,
      1.96520832956077098242e2, 5.26445194995477358631e2, 9.34528527171957607540e2, 1.02755188689515710272e3,
      5.57535335369399327526e2)  # fmt: skip
_Q = (1.0, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2, 9.75708501743205489753e2,
      1.82390916687909736289e3, 2.24633760818710981792e3, 1.65666309194161350182e3,
      5.57535340817727675546e2)  # fmt: skip
_R = (5.64189583547755073984e-1, 1.27536670759978104416, 5.01905042251180477414, 6.16021097993053585195,
      7.40974269950448939160, 2.97886665372100240670)  # fmt: skip
_S = (1.0, 2.26052863220117276590, 9.39603524938001434673, 1.20489539808096656605e1, 1.70814450747565897222e1,
      9.60896809063285878198, 3.36907645100081516050)  # fmt: skip

# Lanczos (1964) with g = 7 and nine terms.
_LANCZOS = (0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
            12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7)  # fmt: skip


# ---------------------------------------------------------------- matrices


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L with L L' = A, a column per step: A loses the outer product of each."""
    K = A.shape[-1]
    columns = []
    for j in range(K):
        column = A[..., j] * A[..., j : j + 1, j].rsqrt()
        columns.append(column)
        A = A - column[..., :, None] * column[..., None, :]
    L = torch.stack(columns, -1).tril()  # rounding leaves something above the diagonal
    return L.mT if upper else L


def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X with A X = B, B (..., K, M): a row of X per step; X A = B if not `left`."""
    if not left:
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    K = A.shape[-1]
    rows: dict[int, Tensor] = {}
    for j in reversed(range(K)) if upper else range(K):
        row = B[..., j : j + 1, :]
        rows[j] = row if unitriangular else row / A[..., j : j + 1, j, None]
        B = B - A[..., :, j, None] * rows[j]
    return torch.cat([rows[j] for j in range(K)], -2)


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with L L' X = B."""
    L = L.mT if upper else L
    return solve_triangular(L.mT, solve_triangular(L, B, upper=False), upper=True)


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of L L'."""
    return cholesky_solve(torch.eye(L.shape[-1], dtype=L.dtype).expand(L.shape), L, upper)


# ---------------------------------------------------------------- images


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Any:
    """In float64, for which onnxruntime has no kernel: windows gathered, then one product with the weights."""
    if x.dtype != torch.float64 or x.ndim != 4 or transposed or groups != 1:
        return NotImplemented
    x = pad(x, (padding[1], padding[1], padding[0], padding[0]))
    windows = [_window(*size) for size in zip(x.shape[2:], weight.shape[2:], stride, dilation, strict=True)]
    (height, rows), (width, columns) = windows
    x = x.index_select(2, rows).index_select(3, columns)
    x = x.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (B, C, kernel, height, kernel, width)
    product = x.permute(0, 3, 5, 1, 2, 4).flatten(3) @ weight.flatten(1).mT
    return (product if bias is None else product + bias).permute(0, 3, 1, 2)


def _window(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, Tensor]:
    """How many windows there are along an axis, and the position of each cell of each, by cell and then window."""
    n = (size - dilation * (kernel - 1) - 1) // stride + 1
    return n, (dilation * torch.arange(kernel)[:, None] + stride * torch.arange(n)).flatten()


def upsample_nearest2d(
    x: Tensor, output_size: Sequence[int], scales_h: float | None = None, scales_w: float | None = None
) -> Tensor:
    """Rows and columns by number; ONNX's Resize has no float64 kernel, and an empty input, which skl2onnx refuses."""
    for axis, n, scale in zip((2, 3), output_size, (scales_h, scales_w), strict=True):
        number = torch.arange(n)
        number = number * x.shape[axis] // n if scale is None else (number / scale).floor().long()
        x = x.index_select(axis, number)
    return x


def upsample_nearest2d_vec(
    x: Tensor, output_size: Sequence[int] | None, scale_factors: Sequence[float] | None
) -> Tensor:
    """The same with either a size or factors."""
    if output_size:
        return upsample_nearest2d(x, output_size, *(scale_factors or ()))
    factors = scale_factors or ()
    return upsample_nearest2d(x, [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)], *factors)


# ---------------------------------------------------------------- functions


def clamp(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """As two operators: one that lacks an end has an empty input in ONNX, which skl2onnx does not take."""
    x = x if min is None else torch.maximum(x, x.new_full((), min))
    return x if max is None else torch.minimum(x, x.new_full((), max))


def clamp_max(x: Tensor, max: float) -> Tensor:
    """`clamp` at the upper end alone."""
    return clamp(x, max=max)


def tan(x: Tensor) -> Tensor:
    """sin / cos."""
    return x.sin() / x.cos()


def log1p(x: Tensor) -> Tensor:
    """ln(1 + x): what rounding takes from 1 + x is put back (Kahan)."""
    u = 1 + x
    is_one = u == 1
    return torch.where(is_one, x, u.log() * (x / torch.where(is_one, 1.0, u - 1)))


def expm1(x: Tensor) -> Tensor:
    """e^x - 1: as `log1p`; from 1 on nothing cancels."""
    near = x.clamp(-1.0, 1.0)
    u = near.exp()
    log = u.log()
    inner = torch.where(log == 0, near, (u - 1) * (near / torch.where(log == 0, 1.0, log)))
    return torch.where(x.abs() < 1, inner, x.exp() - 1)


def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """ln(1 + e^x)."""
    x = x * beta
    return (x.clamp(min=0) + log1p((-x.abs()).exp())) / beta


def log_sigmoid(x: Tensor) -> Tensor:
    """-softplus(-x)."""
    return -softplus(-x)


def logaddexp(x: Tensor, y: Tensor) -> Tensor:
    """ln(e^x + e^y)."""
    return torch.maximum(x, y) + log1p((-(x - y).abs()).exp())


def elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    """x, and alpha (e^x - 1) below 0."""
    return scale * torch.where(x > 0, x, alpha * expm1((x * input_scale).clamp(max=0)))


def _ratio(above: Sequence[float], below: Sequence[float], x: Tensor) -> Tensor:
    """A rational function by Horner's rule."""
    return _polynomial(above, x) / _polynomial(below, x)


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Any:
    """Horner's rule, the highest power first."""
    first, *others = coefficients
    value: Any = first
    for c in others:
        value = value * x + c
    return value


def erf(x: Tensor) -> Tensor:
    """1 - erfc, but near 0."""
    near = x.double().clamp(-1.0, 1.0)
    return torch.where(x.abs() < 1, near * _ratio(_T, _U, near.square()), 1 - _erfc(x.double())).to(x.dtype)


def erfc(x: Tensor) -> Tensor:
    """Accurate in the upper tail, down to e^-700."""
    return _erfc(x.double()).to(x.dtype)


def _erfc(x: Tensor) -> Tensor:
    near = x.clamp(-1.0, 1.0)
    z = x.abs().clamp(1.0, 26.0)
    tail = (-z.square()).exp() * torch.where(z < 8, _ratio(_P, _Q, z), _ratio(_R, _S, z))
    inner = 1 - near * _ratio(_T, _U, near.square())
    return torch.where(x.abs() < 1, inner, torch.where(x < 0, 2 - tail, tail))


def log_ndtr(x: Tensor) -> Tensor:
    """ln Phi(x), |x| < 36."""
    tail = _erfc(x.double().abs() / math.sqrt(2)) / 2
    return torch.where(x < 0, tail.log(), log1p(-tail)).to(x.dtype)


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x Phi(x)."""
    if approximate == "tanh":
        return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return x * erfc(-x / math.sqrt(2)) / 2


def lgamma(x: Tensor) -> Tensor:
    """Ln of the gamma function of positive x, from that of x + 1."""
    z = x.double()
    t = z + 7.5
    series: Any = _LANCZOS[0] + sum(c / (z + i) for i, c in enumerate(_LANCZOS[1:], start=1))
    return ((z + 0.5) * t.log() - t + 0.5 * math.log(2 * math.pi) + series.log() - z.log()).to(x.dtype)


#: Operator -> function.
DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten.linalg_cholesky.default: cholesky,
    aten.linalg_solve_triangular.default: solve_triangular,
    aten.cholesky_solve.default: cholesky_solve,
    aten.cholesky_inverse.default: cholesky_inverse,
    aten.convolution.default: convolution,
    aten.upsample_nearest2d.default: upsample_nearest2d,
    aten.upsample_nearest2d.vec: upsample_nearest2d_vec,
    aten.clamp.default: clamp,
    aten.clamp_min.default: clamp,
    aten.clamp_max.default: clamp_max,
    aten.tan.default: tan,
    aten.log1p.default: log1p,
    aten.expm1.default: expm1,
    aten.softplus.default: softplus,
    aten.log_sigmoid.default: log_sigmoid,
    aten.logaddexp.default: logaddexp,
    aten.elu.default: elu,
    aten.erf.default: erf,
    aten.special_erf.default: erf,
    aten.erfc.default: erfc,
    aten.special_log_ndtr.default: log_ndtr,
    aten.gelu.default: gelu,
    aten.lgamma.default: lgamma,
    aten.special_gammaln.default: lgamma,
}


def plain_program(module: nn.Module, example: tuple[Tensor, ...], dynamic_shapes: Any) -> ExportedProgram:
    """Export a module by `torch.export`, in operators that ONNX has.

    Parameters
    ----------
    module : nn.Module
    example : tuple of Tensor
    dynamic_shapes : as `torch.export.export` takes them

    Returns
    -------
    torch.export.ExportedProgram
    """
    decompositions = torch.export.default_decompositions()
    decompositions.update(DECOMPOSITIONS)
    program = torch.export.export(module, example, dynamic_shapes=dynamic_shapes)
    return _with_exact_constants(program.run_decompositions(decompositions))


def _with_exact_constants(program: ExportedProgram) -> ExportedProgram:
    """The program with its Python floats as tensors, which torch's exporter would round to float32."""
    for node in list(program.graph.nodes):
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or not hasattr(node.target, "_schema"):
            continue
        if node.target in (aten.full.default, aten.scalar_tensor.default) and value.is_floating_point():
            _fill_with_tensor(program, node, value)
        else:
            node.args = _exact_arguments(program, node)
    program.graph_module.recompile()
    return program


def _fill_with_tensor(program: ExportedProgram, node: Any, value: Tensor) -> None:
    """Put an expanded number in the place of a node that makes a tensor of one."""
    size = node.args[0] if node.target is aten.full.default else []
    with program.graph.inserting_before(node):
        expanded = program.graph.call_function(
            aten.expand.default, (_constant(program, node.args[-1], value.dtype), size)
        )
    expanded.meta["val"] = value
    node.replace_all_uses_with(expanded)
    program.graph.erase_node(node)


def _exact_arguments(program: ExportedProgram, node: Any) -> tuple:
    """Arguments of a node, with tensors for floats that stand for tensors."""
    kinds = [argument.type for argument in node.target._schema.arguments]
    dtypes = [a.meta["val"].dtype for a in node.args if isinstance(a, torch.fx.Node) and "val" in a.meta]
    floats = [dtype for dtype in dtypes if dtype.is_floating_point]
    return tuple(
        _constant(program, a, floats[0])
        if isinstance(a, float) and isinstance(kind, torch.TensorType) and floats
        else a
        for a, kind in zip(node.args, kinds, strict=False)
    )


def _constant(program: ExportedProgram, number: float, dtype: torch.dtype) -> Any:
    """Add a constant to the program; give its node."""
    tensor = torch.tensor(number, dtype=dtype)
    first = next(iter(program.graph.nodes))
    with program.graph.inserting_before(first):
        node = program.graph.placeholder(f"c_number_{len(program.constants)}")
    node.meta["val"] = first.meta["val"].fake_mode.from_tensor(tensor)
    spec = InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(node.name), node.name)
    program.graph_signature.input_specs.insert(0, spec)
    program.constants[node.name] = tensor
    return node
