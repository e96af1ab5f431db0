"""Export of fitted models to ONNX (extra "onnx")."""

from .converters import OPSET, to_onnx

__all__ = ["OPSET", "to_onnx"]
