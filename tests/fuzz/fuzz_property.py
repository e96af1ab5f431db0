"""The property: finite results, or a clear error; and after an error the earlier fit is as it was."""

import linecache
import re
import traceback
import warnings
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import sklearn
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError

import skvae
from skvae import VAETransformer

__all__ = ["attempt", "check_error", "check_finite", "fingerprint"]

OURS = Path(skvae.__file__).parent
SKLEARN = Path(sklearn.__file__).parent
#: Where scikit-learn raises errors that are meant for users.
SPEAKING = [
    SKLEARN / "utils" / name for name in ("validation.py", "_param_validation.py", "_array_api.py", "_available_if.py")
]
NAMED = re.compile(
    r"column|row|cell|table|'?\b[XZy]\b'?|array|parameter|argument|given|n_samples|likelihood|posterior|prior|objective|"
    r"schedule|scaling|component|estimator|VAETransformer|batch|chunk|sample|categor|early_stopping|init|feature|data",
    re.IGNORECASE,
)


def attempt(call: Any, *args: Any) -> tuple[Any, Exception | None]:
    """What a call gives, or its error; arithmetic of ours that numpy warns of is one, too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", category=RuntimeWarning, module="skvae")
            return call(*args), None
    except Exception as error:
        return None, error


def check_error(error: Exception) -> None:
    """An error is clear if it was raised for the user, by a line of ours or of scikit-learn's, and says of what."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(frame.filename)
    said = linecache.getline(frame.filename, frame.lineno or 0).strip()
    kinds = (ValueError, TypeError, NotFittedError, AttributeError)
    is_ours = OURS in path.parents or path in SPEAKING
    if isinstance(error, kinds) and is_ours and said.startswith("raise ") and NAMED.search(str(error)):
        return
    raise AssertionError(
        f"not a clear error, at {frame.name} in {path.name}: {type(error).__name__}: {error}"
    ) from error


def check_finite(result: Any, may_be_missing: set[int]) -> None:
    """No number is infinite, and none is missing but in columns that had nothing to learn from."""
    if isinstance(result, torch.Tensor):
        result = result.detach().numpy()
    if isinstance(result, list):
        for one in result:
            check_finite(one, may_be_missing)
        return
    columns = _columns(result)
    for d, cells in enumerate(columns):
        bad = [c for c in cells if _is_bad(c) and not (d in may_be_missing and _is_missing(c))]
        assert not bad, f"column {d} of the result has {bad[:3]}"


def _columns(result: Any) -> list[list]:
    if sparse.issparse(result):
        result = result.toarray()
    frame = nw.from_native(result, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        return [frame[:, d].to_list() for d in range(frame.shape[1])]
    array = np.asarray(result)
    array = array.reshape(1, 1) if array.ndim == 0 else array[:, None] if array.ndim == 1 else array
    return [array[..., d].ravel().tolist() for d in range(array.shape[-1])]


def _is_missing(cell: Any) -> bool:
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and np.isnan(cell))


def _is_bad(cell: Any) -> bool:
    return _is_missing(cell) or (isinstance(cell, (float, complex)) and not np.isfinite(cell))


def fingerprint(vae: VAETransformer) -> Any:
    """What a failed call must leave alone: the fit itself, its weights, its attributes."""
    fitted = vars(vae).get("_learned")
    if fitted is None or not hasattr(fitted, "module"):
        return None
    weights = [p.detach().clone() for p in fitted.module.state_dict().values()]
    return id(fitted), sorted(vars(vae)), [w.numpy().tobytes() for w in weights]
