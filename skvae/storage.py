"""A fitted estimator <-> plain data: its parameters, numbers, strings, lists, dicts, numpy arrays, a format version.

The one place that knows the format. `Stored` has its two faces: the state that pickle, joblib and skops take, and
`save` and `load`, which write the same state into one file without pickle (`files.py`). In a state everything that
`fit` has set is plain, built-in components by their names (`registry.py`); no class is imported by what a state says.
Parameters are as the user has set them, so components among them are objects there, as are the user's own everywhere.

Format 1 (0.1.0 before its release) kept objects of this package's classes instead; it is read, never written.
"""

import copy
import inspect
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn import config_context
from sklearn.utils.validation import check_is_fitted

from . import files
from ._arrays import convert, is_available, on_host
from ._random import exclusive
from .architectures import MLP, Network
from .columns import Columns
from .family import Family
from .model import LatentVariableModel
from .objective import Objective
from .posteriors import Posterior
from .priors import Prior
from .registry import described, is_built_in, made
from .scalings import SCALINGS
from .tables import Schema
from .templates import as_level, describe, plain_level

__all__ = ["FORMAT_VERSION", "Stored"]

FORMAT_VERSION = 2

#: Fitted attributes that are arrays of the library of X, under Array API dispatch.
_LIKE_X = ("order_", "signs_", "kl_per_component_", "noise_variance_")
#: Fitted attributes that are plain already, with their types.
_PLAIN = {
    **{"n_features_in_": int, "n_iter_": int, "best_iter_": int, "init_": str},
    **{"_seed": int, "_device": str, "_holes": list, "_signs": list, "_made_with": dict},
}
_NUMBER_TYPES = {
    np.dtype(t).name: t
    for t in (
        *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
        *(np.float16, np.float32, np.float64, np.longdouble),
    )
}
#: Of the mixture behind `code_density_`.
_MIXTURE = ("n_components", "reg_covar", "random_state")
_NOT_SAVED = ("_skl_callbacks", "_metadata_request")


class Stored:
    """How a fitted estimator is copied, pickled, saved and loaded."""

    def __copy__(self):
        """Share everything fitted; `copy.copy` would go through `__getstate__` and rebuild the module."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self, memo):
        """Copy everything, the optimizer's state too: a copy within a process loses nothing, unlike a pickle."""
        twin = memo[id(self)] = type(self).__new__(type(self))
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def __getstate__(self):
        """Parameters, plain numbers and numpy arrays, and a format version; never a torch or skorch object."""
        state = {**super().__getstate__(), "_format_version": FORMAT_VERSION}
        state["device"] = str(self.device)
        return state | _plain(self) if "module_" in state else state

    def __setstate__(self, state):
        """Set everything, or raise a ValueError and set nothing."""
        version = checked_version(state)
        with _damage_is_a_value_error():
            state = {name: value for name, value in state.items() if name != "_format_version"}
            _refuse_methods(self, state)
            state |= _younger(type(self), state)
            if "module_" in state:
                state |= _from_format_1(state) if version == 1 else _fitted(state)
        super().__setstate__(state)

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted model into one file, without pickle.

        The file is in the safetensors format: the arrays as its tensors, and in its header the parameters and what else
        `fit` has learned, as JSON. It holds no code and no path to any: components of skvae are there by the names of
        their classes, your own classes and functions by theirs, and are passed to `load`. The callbacks of
        ``set_callbacks`` and metadata requests (``set_fit_request``) are not kept.

        Parameters
        ----------
        path : str or path-like
            A file that is there already is replaced when the new one is complete.

        Raises
        ------
        ImportError
            The package safetensors is missing: ``pip install safetensors``.
        sklearn.exceptions.NotFittedError
            There is nothing to keep yet.
        ValueError
            A parameter that has no words in JSON, such as a lambda.

        See Also
        --------
        load : Read such a file.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, max_iter=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     vae.save(Path(folder) / "iris.safetensors")
        ...     again = VAETransformer.load(Path(folder) / "iris.safetensors")
        >>> bool((again.transform(X) == vae.transform(X)).all())
        True
        """
        check_is_fitted(self)
        files.write(path, {k: v for k, v in self.__getstate__().items() if k not in _NOT_SAVED})

    @classmethod
    def load(cls, path: str | os.PathLike, components: Sequence[Callable] | None = None) -> Any:
        """Read a model that `save` has written.

        Nothing in the file is imported, evaluated or unpickled: it may come from somebody you do not trust, as long as
        you trust the components that you pass. A file of an older release loads; one of a newer format is an error.

        Parameters
        ----------
        path : str or path-like
            Where the file is.
        components : list of classes and functions, optional
            Those in the parameters that are not skvae's own, such as a subclass of `Prior` or an optimizer; they are
            found by their ``__name__``. One that is missing is named in the error.

        Returns
        -------
        vae : VAETransformer
            Fitted; on the device of the fit where this machine has it, else on the CPU.

        Raises
        ------
        ImportError
            The package safetensors is missing: ``pip install safetensors``.
        OSError
            There is no such file.
        ValueError
            A file that is damaged, of a newer format or not of skvae; a component that was not passed.

        See Also
        --------
        save : Write such a file.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sklearn.datasets import load_iris
        >>> from skvae import NormalMixture, VAETransformer
        >>> class Pair(NormalMixture):
        ...     def __init__(self, n_members=2):
        ...         super().__init__(n_members)
        >>> X, _ = load_iris(return_X_y=True)
        >>> vae = VAETransformer(n_components=2, prior=Pair(), max_iter=1).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     vae.save(Path(folder) / "iris.safetensors")
        ...     again = VAETransformer.load(Path(folder) / "iris.safetensors", components=[Pair])
        >>> again.prior
        Pair()
        """
        vae = cls.__new__(cls)
        vae.__setstate__(files.read(path, checked_version, components))
        return vae


def checked_version(state):
    """The state's format; a ValueError for those of later releases."""
    version = state.get("_format_version", 1) if isinstance(state, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError(_DAMAGED.format("it has no format version"))
    if version > FORMAT_VERSION:
        raise ValueError(
            f"This VAETransformer was stored by a newer skvae (format {version}, known up to {FORMAT_VERSION}). "
            "Upgrade skvae to load it."
        )
    return version


_DAMAGED = "This is no VAETransformer as skvae stores it, or it is damaged: {}."


@contextmanager
def _damage_is_a_value_error():
    """What goes wrong with a malformed state, said as such."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(_DAMAGED.format(f"{type(error).__name__}: {error}")) from error


def _check(holds, what):
    if not holds:
        raise ValueError(what)


def _refuse_methods(estimator, state):
    """A state has no values in the place of methods, nor of what our classes own, such as the link of the repr."""
    owned = {name: inspect.getattr_static(type(estimator), name, None) for name in state}
    names = [name for name, value in owned.items() if callable(value) or hasattr(value, "__get__")]
    ours = [base for base in type(estimator).__mro__ if base.__module__.startswith(("skvae.", "sklearn."))]
    names += [name for name in state if any(name in vars(base) for base in ours)]
    _check(not names, f"it has values for {sorted(set(names))}")


def _younger(kind, state):
    """Parameters younger than the state, at their defaults; what the model was made with has them, too."""
    parameters = inspect.signature(kind).parameters.values()
    younger = {p.name: p.default for p in parameters if p.name not in state and p.default is not p.empty}
    if "_made_with" in state:
        made_with = {name: repr(default) for name, default in younger.items()} | state["_made_with"]
        return younger | {"_made_with": made_with}
    return younger


# ---------------------------------------------------------------- fitted -> plain


def _plain(estimator):
    """The fitted attributes of an estimator that are not plain, as plain data."""
    attributes = vars(estimator)
    config = {k: described(v) for k, v in estimator._model_config.items() if k != "likelihood"}
    ordering = {"shift": estimator._ordering.shift, "scale": estimator._ordering.scale}
    training_state = estimator._training_state if estimator.keep_optimizer else None
    state = {
        "module_": _arrays(estimator.module_.state_dict()),
        "history_": _by_name(estimator.history_),
        "likelihoods_": None,  # those of the columns
        "_schema": _schema_state(estimator._schema),
        "_columns": _columns_state(estimator._columns),
        "_ordering": ordering,
        "_model_config": config,
        "_score_noise": estimator._score_noise.numpy(),
        "_training_state": _arrays(training_state),
        "_array_library": "torch" if isinstance(estimator.order_, torch.Tensor) else "numpy",
    }
    with config_context(array_api_dispatch=not isinstance(estimator.order_, (np.ndarray, torch.Tensor))):
        state |= {name: on_host(attributes[name]) for name in _LIKE_X if name in attributes}
    if "code_density_" in attributes:
        state["code_density_"] = _mixture_state(estimator.code_density_)
    return state


def _arrays(tensors):
    """Tensors in nested lists and dicts as numpy arrays."""
    return convert(tensors, torch.Tensor, lambda tensor: tensor.detach().cpu().numpy())


def _tensors(arrays):
    """The inverse, in memory of their own."""
    return convert(arrays, np.ndarray, lambda array: torch.from_numpy(array.copy()))


def _columns_state(columns):
    return {
        "families": [[described(family), own] for family, own in columns.groups],
        "scaling": columns.scaling,
        "shift": columns.shift,
        "scale": columns.scale,
        "reach": columns.reach,
        "maps": [[d, {name: _item(value) for name, value in vars(bend).items()}] for d, bend in columns.maps.items()],
    }


def _schema_state(schema):
    template = schema._template_description
    if template is None and schema.template is not None:
        template = describe(schema.template) or {"frame": schema.template}  # of a dtype that we have no words for
    return {
        "names": schema.names,
        "library": schema.library,
        "kinds": schema.kinds,
        "levels": [[d, _plain_levels(levels)] for d, levels in schema.levels.items()],
        "ordered": sorted(schema.ordered),
        "integer": sorted(schema.integer),
        "decimals": [list(pair) for pair in schema.decimals.items()],
        "number_types": [[d, np.dtype(t).name] for d, t in schema._number_type.items()],
        "is_plain": bool(schema.is_plain),
        "is_numeric": bool(schema._is_numeric),
        "template": template,
    }


def _plain_levels(levels):
    return [plain_level(level) for level in levels.tolist()] if levels.dtype == object else levels


def _by_name(history):
    """Records as one array for each name, since hundreds of them are common; `names` are those of a kind of record."""
    names, values = [], {}
    for record in history:
        if list(record) not in names:
            names.append(list(record))
        for name, value in record.items():
            values.setdefault(name, []).append(value)
    kinds = np.array([names.index(list(record)) for record in history], dtype=np.int64)
    return {"names": names, "kinds": kinds, "values": {name: _packed(entries) for name, entries in values.items()}}


def _packed(values):
    """Bools, ints of 64 bits or floats as an array, anything else as it is."""
    kinds = set(map(type, values))
    if kinds in ({bool}, {float}) or (kinds == {int} and max(map(abs, values)) < 2**63):
        return np.array(values)
    return values


def _mixture_state(mixture):
    fitted = {k: v for k, v in vars(mixture).items() if k.endswith("_") and not k.startswith("_")}
    parameters = {name: getattr(mixture, name) for name in _MIXTURE}
    return {name: _item(value) for name, value in (parameters | fitted).items()}


def _item(value):
    """A numpy scalar as a Python number."""
    return value.item() if isinstance(value, np.generic) else value


# ---------------------------------------------------------------- plain -> fitted


def _fitted(state):
    """The fitted attributes that a state of format 2 describes."""
    for name, kind in _PLAIN.items():
        _check(type(state[name]) is kind, f"{name} is a {type(state[name]).__name__}")
    columns = _columns(_schema(state["_schema"]), state["_columns"])
    config = {**{k: made(v) for k, v in state["_model_config"].items()}, "likelihood": columns.groups}
    device = state["_device"] if is_available(state["_device"]) else "cpu"
    fitted = {
        "module_": _module(config, state["module_"], device, state["_seed"]),
        "history_": _records(state["history_"]),
        "likelihoods_": {columns.label(d): family for d, family in enumerate(columns.families)},
        "_schema": columns.schema,
        "_columns": columns,
        "_ordering": _ordering(columns, state["_ordering"]),
        "_model_config": config,
        "_device": device,
        "_score_noise": torch.from_numpy(state["_score_noise"].copy()),
        "_training_state": _tensors(state["_training_state"]),
    }
    if state["_training_state"] is not None:
        _check_weights(fitted["module_"], state["_training_state"]["weights"])
    if "code_density_" in state:
        fitted["code_density_"] = _mixture(state["code_density_"])
    fitted |= _of_library(state.pop("_array_library"), state, device)
    _check_sizes(state | fitted)
    return fitted


def _of_library(library, state, device):
    """Arrays that were torch's are torch's again; those of any other library stay numpy's."""
    arrays = {name: state[name] for name in _LIKE_X if name in state}
    return {k: torch.from_numpy(a.copy()).to(device) for k, a in arrays.items()} if library == "torch" else arrays


def _from_format_1(state):
    """Objects where format 2 has plain data, but for tensors."""
    config, device = dict(state["_model_config"]), state["_device"] if is_available(state["_device"]) else "cpu"
    if "network" in config:  # one MLP's parameters, for both
        config["encoder"] = config["decoder"] = MLP(**config.pop("network"))
    fitted = {
        "_model_config": config,
        "module_": _module(config, state["module_"], device, state["_seed"]),
        "_device": device,
        "_score_noise": torch.from_numpy(state["_score_noise"].copy()),
        "_training_state": _tensors(state["_training_state"]),
    }
    _check_sizes(state | fitted)
    return fitted


def _module(config, arrays, device, seed):
    """The module of a configuration with the stored weights, on the device.

    Built with the seed of the fit: a user's net may draw what is neither a parameter nor a buffer.
    """
    posterior, prior, objective = (config[name] for name in ("posterior", "prior", "objective"))
    _check(posterior is None or isinstance(posterior, Posterior), f"its posterior is {posterior!r}")
    _check(isinstance(prior, Prior), f"its prior is {prior!r}")
    _check(isinstance(objective, Objective), f"its objective is {objective!r}")
    _check_networks(config, arrays)
    with exclusive(seed):
        module = LatentVariableModel(**config).float()
    _check_weights(module, arrays)
    module.load_state_dict(_tensors(arrays))
    return module.to(device).eval()


def _check_weights(module, arrays):
    expected = _arrays(module.state_dict())
    _check(set(arrays) == set(expected), f"its weights are {sorted(arrays)}, not {sorted(expected)}")
    for name, array in expected.items():
        _check_array(name, arrays[name], array.shape, array.dtype)


def _check_array(name, array, shape, dtype):
    _check(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}")
    is_like = array.shape == shape and array.dtype == dtype
    _check(is_like, f"{name} has shape {array.shape} and type {array.dtype}, not {shape} and {np.dtype(dtype)}")


def _check_networks(config, arrays):
    """Networks that are made for these columns, and ask for no memory that the stored weights do not fill."""
    n_stored = sum(array.size for array in arrays.values())
    families = [family for family, own in config["likelihood"] for _ in own]
    widest = [config["n_features"], config["n_components"]]
    for network in (config["encoder"], config["decoder"]):
        _check(isinstance(network, Network), f"a network of it is {network!r}")
        network.check(families)
    for component in (config["encoder"], config["decoder"], config["prior"], config["posterior"]):
        parameters = component.get_params(deep=False) if is_built_in(component) else {}
        for name, value in parameters.items():
            sizes = list(value) if isinstance(value, (tuple, list)) else [value]
            widest += [a * b for a, b in pairwise(sizes)] if len(sizes) > 1 else []
            widest += sizes if name.startswith(("n_", "hidden_", "channels")) else []
        widest.append(parameters.get("kernel_size", 1) ** 2)
    _check(all(type(n) is int and n >= 1 for n in widest[:2]), f"it has {widest[:2]} features and components")
    _check(max(widest) <= n_stored, f"its networks have more weights than the {n_stored} that are there")


def _check_sizes(state):
    """What belongs together has one size."""
    module, columns = state["module_"], state["_columns"]
    D, K = state["_model_config"]["n_features"], module.n_components
    _check(isinstance(columns, Columns) and isinstance(columns.schema, Schema), "it has no columns")
    _check(state["n_features_in_"] == D, f"it has {state['n_features_in_']} features, not {D}")
    for name in ("families", "shift", "scale"):
        _check(len(getattr(columns, name)) == D, f"{name} has another length than {D}")
    _check(len(columns.schema.kinds) == D, f"its schema has {len(columns.schema.kinds)} columns, not {D}")
    _check(len(state["signs_"]) == K, f"signs_ has another length than {K}")
    _check(sorted(state["order_"].tolist()) == list(range(K)), f"order_ is no order of {K} components")
    noise = state["_score_noise"]
    _check(noise.ndim == 3 and noise.shape[1:] == (1, module.n_noise), f"the noise of scores is {noise.shape}")


def _columns(schema, state):
    families = {d: family for family, own in _groups(state["families"]) for d in own}
    columns = Columns(schema, [families[d] for d in range(len(families))], state["scaling"])
    D = len(columns.families)
    for name in ("shift", "scale", "reach"):
        _check_array(name, state[name], (D,), np.float64)
        setattr(columns, name, state[name])
    maps = state["maps"]
    _check(not maps or state["scaling"] in SCALINGS, f"its scaling is {state['scaling']!r}")
    columns.maps = {d: SCALINGS[state["scaling"]](**numbers) for d, numbers in maps}
    _check(all(type(d) is int and 0 <= d < D for d in columns.maps), "it bends columns that it does not have")
    return columns


def _groups(families):
    for description, own in families:
        family = made(description)
        _check(isinstance(family, Family), f"a column has the likelihood {family!r}")
        yield family, own


def _ordering(columns, state):
    """Units of all rows, by which a warm start sorts them: no more of them is used, and no map."""
    ordering = copy.copy(columns)
    ordering.maps = {}
    for name in ("shift", "scale"):
        _check_array(name, state[name], columns.shift.shape, np.float64)
        setattr(ordering, name, state[name])
    return ordering


def _schema(state):
    schema = Schema()
    for name in ("names", "library", "kinds", "is_plain"):
        setattr(schema, name, state[name])
    schema.levels = {d: _level_array(levels) for d, levels in state["levels"]}
    schema.ordered, schema.integer = set(state["ordered"]), set(state["integer"])
    schema.decimals = dict(state["decimals"])
    schema._number_type = {d: _NUMBER_TYPES[name] for d, name in state["number_types"]}
    schema._is_numeric = state["is_numeric"]
    template = state["template"]
    if template is None or "frame" in template:
        schema._template = template and template["frame"]
    else:
        schema._template, schema._template_description = None, template
    return schema


def _level_array(levels):
    if isinstance(levels, np.ndarray):
        return levels
    return np.fromiter(map(as_level, levels), dtype=object, count=len(levels))


def _records(state):
    values = {name: deque(v.tolist() if isinstance(v, np.ndarray) else v) for name, v in state["values"].items()}
    return [{name: values[name].popleft() for name in state["names"][kind]} for kind in state["kinds"].tolist()]


def _mixture(state):
    from sklearn.mixture import GaussianMixture  # takes a tenth of a second

    mixture = GaussianMixture(**{name: state[name] for name in _MIXTURE})
    fitted = {name: value for name, value in state.items() if name not in _MIXTURE}
    _refuse_methods(mixture, fitted)
    _check(all(name.endswith("_") for name in fitted), f"its mixture has {sorted(fitted)}")
    vars(mixture).update(fitted)
    n, K = mixture.means_.shape
    _check_array("weights_", mixture.weights_, (n,), np.float64)
    _check_array("precisions_cholesky_", mixture.precisions_cholesky_, (n, K, K), np.float64)
    return mixture
