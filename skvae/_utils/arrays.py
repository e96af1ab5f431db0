"""Arrays of any library, and devices: numpy, torch, Array API libraries in; the same library and device out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import sparse

from .compat import convert_to_numpy, get_namespace_and_device

__all__ = [
    "accepted_dtypes",
    "as_tensor",
    "choose_device",
    "convert",
    "float_dtypes",
    "is_available",
    "like",
    "narrowed",
    "on_host",
    "torch_float",
    "widened",
]

#: device="auto" takes CUDA above this; below, kernel launches cost more than they save.
CUDA_MULTIPLY_ADDS_PER_STEP = 1e8


def is_available(device: str | torch.device) -> bool:
    """Whether this machine has the device."""
    kind, _, index = str(device).partition(":")
    if kind == "cuda":
        return torch.cuda.is_available() and int(index or 0) < torch.cuda.device_count()
    return kind == "cpu" or (kind == "mps" and torch.backends.mps.is_available())


def choose_device(device: str | torch.device, table: Any, work: float) -> str:
    """Resolve "auto": the table's own device under Array API dispatch, CUDA when a step is worth it, else the CPU.

    Parameters
    ----------
    device : str or torch.device
    table : array as validated
    work : float
        Multiply-adds of one training step, forward.
    """
    if device != "auto":
        if not is_available(device):
            raise ValueError(f"device={str(device)!r} is not available on this machine. Use device='auto' or 'cpu'.")
        return str(device)
    if isinstance(table, torch.Tensor):
        return str(table.device)
    return "cuda" if work > CUDA_MULTIPLY_ADDS_PER_STEP and torch.cuda.is_available() else "cpu"


def accepted_dtypes(array: Any) -> Any:
    """What validation leaves as it is: `float_dtypes`, and numpy's ints and bools, which are cast block by block."""
    is_numpy = isinstance(array, np.ndarray) or sparse.issparse(array)
    return "numeric" if is_numpy and array.dtype.kind in "biu" else float_dtypes(array)


def float_dtypes(array: Any) -> list[Any]:
    """float64 and float32 of the array's library, the first for everything that is neither."""
    if isinstance(array, np.ndarray):
        return [np.float64, np.float32]
    xp, _, _ = get_namespace_and_device(array)
    return [xp.float64, xp.float32]


def torch_float(dtype: Any) -> torch.dtype:
    """float32 stays float32, everything else is float64, for dtypes of any array library."""
    return torch.float32 if str(dtype).endswith("float32") else torch.float64


def on_host(array: Any) -> Any:
    """Bring an array of any library to numpy; CSR and lists pass through."""
    if isinstance(array, np.ndarray):
        return array
    if isinstance(array, torch.Tensor):
        return array.detach().cpu().numpy()
    xp, is_array_api, _ = get_namespace_and_device(array)
    return convert_to_numpy(array, xp) if is_array_api else array


def as_tensor(array: Any) -> torch.Tensor:
    """Share memory with torch where torch can; a read-only numpy array is copied."""
    return array if isinstance(array, torch.Tensor) else torch.from_numpy(np.require(on_host(array), requirements="W"))


def narrowed(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Cast floats; what `dtype` is too narrow for becomes its largest number, and not infinite."""
    if torch.finfo(dtype).max < torch.finfo(tensor.dtype).max:
        tensor = tensor.clamp(torch.finfo(dtype).min, torch.finfo(dtype).max)
    return tensor.to(dtype)


def like(tensor: torch.Tensor, array: Any) -> Any:
    """Give a torch result the library and device of `array`; numpy where Array API dispatch is off."""
    if isinstance(array, torch.Tensor):
        return tensor.to(array.device)
    if isinstance(array, np.ndarray):
        return tensor.cpu().numpy()
    xp, is_array_api, device = get_namespace_and_device(array)
    result = tensor.cpu().numpy()
    return xp.asarray(result, device=device) if is_array_api else result


def convert(value: Any, kind: type | tuple[type, ...], function: Callable[[Any], Any]) -> Any:
    """Apply function to every instance of `kind` inside nested lists and dictionaries."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, dict):
        return {k: convert(v, kind, function) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [convert(v, kind, function) for v in value]
    return value


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as float64, or as float32 on "mps", which has no float64."""
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)
