"""Export of fitted models to ONNX."""

from .converters import OPSET, to_onnx

__all__ = ["OPSET", "to_onnx"]
