"""Export of fitted models to ONNX (extra "onnx")."""

from .._utils.extras import needed_by

with needed_by("skvae.onnx", "onnx", "onnxscript", "skl2onnx", extra="onnx"):
    from .converters import OPSET, to_onnx

__all__ = ["OPSET", "to_onnx"]
