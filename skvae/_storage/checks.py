"""Whether a stored state fits together; a ValueError says what does not."""

import inspect
from contextlib import AbstractContextManager
from dataclasses import fields
from itertools import chain, pairwise
from typing import Any, get_origin

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import BaseEstimator
from torch import nn

from .._inference.fitted import OPTIMIZATION, STRUCTURE, Fitted
from .._tables.clocks import CLOCK_KINDS, STEPS_PER_DAY
from .._tables.columns import Columns
from .._tables.missingness import Missingness
from .._tables.scalings import SCALINGS
from .._tables.schema import Schema, is_category
from .._tables.templates import check_description
from .._utils.component import Component
from .._utils.damage import damage_is_a_value_error
from ..model import LatentVariableModel
from ..networks.base import Network
from ..networks.perceptual import FeatureLoss
from ..objectives.base import Objective
from ..posteriors.base import Posterior
from ..priors.base import Prior
from .registry import is_built_in
from .to_plain import arrays_of

__all__ = [
    "FORMAT_VERSION",
    "check",
    "check_array",
    "check_calibration",
    "check_columns",
    "check_config",
    "check_fields",
    "check_missingness",
    "check_version",
    "check_weights",
    "damage_of_state",
    "has_own",
    "refuse_attributes_of_the_fit",
    "refuse_methods",
]

FORMAT_VERSION = 1
_MOST_DECIMALS = 400  # no float64 has more
_DAMAGED = "This is no VAETransformer as skvae stores it, or it is damaged: {}."


def check_version(state: Any) -> None:
    """See to it that a state has a format that this release knows."""
    version = state.get("_format_version") if isinstance(state, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError(_DAMAGED.format("it has no format version"))
    if version > FORMAT_VERSION:
        raise ValueError(
            f"This VAETransformer was stored by a newer skvae (format {version}, known up to {FORMAT_VERSION}). "
            "Upgrade skvae to load it."
        )


def damage_of_state() -> AbstractContextManager[None]:
    """Turn what goes wrong with a malformed state inside the block into a ValueError that says so."""

    def message(error: Exception) -> str:
        return _DAMAGED.format(f"{type(error).__name__}: {error}")

    return damage_is_a_value_error(message)


def check(holds: bool, what: str) -> None:
    """Raise a ValueError that says what is wrong, where something does not hold."""
    if not holds:
        raise ValueError(what)


def check_weights(module: nn.Module, arrays: dict[str, Any]) -> None:
    """See to it that arrays are all the weights of a module, with their shapes and types."""
    expected = arrays_of(module.state_dict())
    check(set(arrays) == set(expected), f"its weights are {sorted(arrays)}, not {sorted(expected)}")
    for name, array in expected.items():
        check_array(name, arrays[name], array.shape, array.dtype)


def check_array(name: str, array: Any, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """See to it that a value is an array of a shape and type."""
    check(isinstance(array, np.ndarray), f"{name} is a {type(array).__name__}")
    is_like = array.shape == shape and array.dtype == dtype
    check(is_like, f"{name} has shape {array.shape} and type {array.dtype}, not {shape} and {np.dtype(dtype)}")


def check_config(config: dict[str, Any], arrays: dict[str, np.ndarray], n_features: int, n_components: int) -> None:
    """See to it that components are made for these columns, and name no sizes that the stored weights do not fill."""
    expected = set(inspect.signature(LatentVariableModel).parameters)
    check(set(config) == expected, f"its components are {sorted(config)}, not {sorted(expected)}")
    sizes = config["n_features"], config["n_components"]
    check(sizes == (n_features, n_components), f"it has {sizes} columns and components, not {n_features, n_components}")
    kinds: dict[str, Any] = {
        **{"encoder": Network, "decoder": Network, "prior": Prior, "objective": Objective},
        **{"posterior": (Posterior, type(None)), "feature_loss": (FeatureLoss, type(None))},
    }
    for name, kind in kinds.items():
        check(isinstance(config[name], kind), f"its {name} is {config[name]!r}")
        if isinstance(config[name], Component) and not isinstance(config[name], Network):
            config[name].check()
    families = [family for family, columns in config["likelihood"] for _ in columns]
    for network in (config["encoder"], config["decoder"]):
        network.check(families)
    _check_columns_of_config(config, n_features)
    _check_sizes(config, sum(array.size for array in arrays.values()))


def _check_columns_of_config(config: dict[str, Any], n_features: int) -> None:
    incomplete, ends = config["incomplete"], [*(config["scales"] or ()), *(config["reach"] or ())]
    is_list = isinstance(incomplete, list) and all(type(d) is int and 0 <= d < n_features for d in incomplete)
    check(is_list and len(set(incomplete)) == len(incomplete), f"its incomplete columns are {incomplete!r}")
    for name in ("scales", "reach", "code_reach"):
        check(config[name] is None or len(config[name]) == 2, f"its {name} are {config[name]!r}")
    codes = config["code_reach"] or ()
    check(all(len(end) == config["n_components"] for end in codes), f"it has ends of {[*map(len, codes)]} components")
    for values in (config["column_weights"], *ends):
        check(
            values is None or len(values) == n_features,
            f"it has weights, scales or ends of {len(values or ())} columns",
        )


def _check_sizes(config: dict[str, Any], n_stored: int) -> None:
    """See to it that a part is no larger than all weights, so that building it takes no more memory than they do."""
    widest = [(family.n_raw + (family.n_categories or 0)) * len(columns) for family, columns in config["likelihood"]]
    for component in (config["encoder"], config["decoder"], config["prior"], config["posterior"], config["objective"]):
        parameters = component.get_params() if is_built_in(component) else {}
        for path, value in parameters.items():
            name = path.rpartition("__")[2]
            sizes = list(value) if isinstance(value, (tuple, list)) else [value]
            widest += [a * b for a, b in pairwise(sizes)] if len(sizes) > 1 else []
            widest += sizes if name.startswith(("hidden_", "channels", "n_classes", "n_members", "n_tr")) else []
        widest.append(parameters.get("kernel_size", 1) ** 2)
    check(max(widest) <= n_stored, f"its networks have more weights than the {n_stored} that are there")


def has_own(value: Any) -> bool:
    """Whether code of the user's is in a component, or in one of a list."""
    if isinstance(value, BaseEstimator):
        return not is_built_in(value) or has_own(list(value.get_params(deep=False).values()))
    return any(map(has_own, value)) if isinstance(value, (list, tuple)) else callable(value)


def check_fields(fitted: Fitted) -> None:
    """See to it that fields have their types, and that what belongs together has one size."""
    for f in fields(fitted):
        kind = get_origin(f.type) or f.type
        if kind in (int, bool, str, list, dict):
            value = getattr(fitted, f.name)
            check(type(value) is kind, f"{f.name} is a {type(value).__name__}")
    lacking = sorted({*STRUCTURE, *OPTIMIZATION} - set(fitted.made_of))
    check(not lacking, f"it does not say of what {lacking} it is made")
    module, columns = fitted.module, fitted.columns
    D, K = fitted.config["n_features"], module.n_components
    check(fitted.n_features_in == D, f"it has {fitted.n_features_in} features, not {D}")
    for name in ("families", "shift", "scale"):
        check(len(getattr(columns, name)) == D, f"{name} has another length than {D}")
    names = fitted.feature_names_in
    check(names is None or names.shape == (D,), f"it has names of another shape than {(D,)}")
    sizes = {"signs": K, "module_signs": K, "noise_variance": D, "kl_per_component": K}
    for name, size in sizes.items():
        value = getattr(fitted, name)
        check(value is None or np.shape(value) == (size,), f"{name} has another shape than {(size,)}")
    check(sorted(fitted.order.tolist()) == list(range(K)), f"order is no order of {K} components")
    table = fitted.combinations
    n_given = len(columns.given)
    check((table is None) == (n_given == 0), "it keeps conditions of columns that are not given, or none")
    if table is not None:
        check_array("combinations", table, (len(table), n_given + 1), np.float64)
        check(len(table) > 0 and bool((table[:, -1] > 0).all()), "combinations that it keeps have no weight")
    if fitted.missingness is not None:
        width = fitted.missingness.of_codes.shape[1]
        check(width in (0, module.width), f"missing cells depend on {width} codes, not {module.width}")
    if fitted.mean_code is not None:
        check_array("mean_code", fitted.mean_code, (module.width,), np.float64)
    noise = fitted.score_noise
    check(noise.ndim == 3 and noise.shape[1:] == (1, module.n_noise), f"the noise of scores is {tuple(noise.shape)}")


def check_columns(columns: Columns) -> None:
    """See to it that what is known of columns is that of all columns that there are, and of no others."""
    schema, D = columns.schema, len(columns.families)
    has_frame = schema.description is not None or schema.frame is not None
    lists = {"kinds": schema.kinds} | ({"names": schema.names} if has_frame or schema.names is not None else {})
    for name, values in lists.items():
        is_of_all = isinstance(values, list) and len(values) == D
        check(is_of_all, f"the {name} of its schema are not those of {D} columns")
    if schema.description is not None:
        check_description(schema.description, D)
    _check_numbers(schema)
    _check_conditions(columns)
    for d, levels in schema.levels.items():
        has_as_many = levels.ndim == 1 and columns.families[d].n_categories in (None, len(levels))
        check(has_as_many, f"its column {d} has levels of shape {levels.shape} under {columns.families[d]!r}")
    shifted = columns.has_units("standard") & ~columns.is_constant & ~columns.is_given
    mapped = np.flatnonzero(shifted).tolist() if columns.scaling in SCALINGS else []
    check(sorted(columns.maps) == mapped, f"it transforms the columns {sorted(columns.maps)}, not {mapped}")


def check_calibration(columns: Columns, state: dict[str, Any]) -> None:
    """See to it that quantiles are those of columns of numbers, and do not fall."""
    own, made, sizes = (state[name] for name in ("columns", "made", "sizes"))
    numbers = np.flatnonzero(columns.is_number & ~columns.is_constant & ~columns.is_given).tolist()
    are_numbers = isinstance(own, list) and len(own) > 0 and set(own) <= set(numbers) and own == sorted(set(own))
    check(are_numbers, f"it calibrates the columns {own!r}, which are not numbers")
    check_array("made", made, (len(made), len(own)), np.float64)
    check_array("sizes", sizes, (len(own),), np.int64)
    check(len(made) > 0 and bool((sizes >= 2).all()), "its quantiles are too few")
    for name in ("levels", "values"):
        check_array(name, state[name], (int(sizes.sum()),), np.float64)
    parts = (np.split(state[name], sizes.cumsum()[:-1]) for name in ("levels", "values"))
    do_not_fall = all(np.isfinite(part).all() and (np.diff(part) >= 0).all() for part in chain(made.T, *parts))
    check(do_not_fall, "its quantiles are not in order")
    check(state["levels"].min() >= 0 and state["levels"].max() <= 1, "levels of its quantiles are not from 0 to 1")


def check_missingness(columns: Columns, state: dict[str, Any]) -> None:
    """See to it that the model of missing cells is one of columns that are there, with numbers of one width."""
    names = {f.name for f in fields(Missingness)}
    check(set(state) == names, f"its model of missing cells has {sorted(state)}, not {sorted(names)}")
    own, n_codes, n_before = state["columns"], state["of_codes"].shape[-1], state["of_columns"].shape[-1]
    are_columns = isinstance(own, list) and own == sorted(set(own))
    known = set(range(len(columns.families))) - set(columns.given)
    check(are_columns and set(own) <= known, f"it has missing cells in the columns {own!r}")
    check_array("intercept", state["intercept"], (len(own),), np.float64)
    check_array("of_codes", state["of_codes"], (len(own), n_codes), np.float64)
    check_array("of_columns", state["of_columns"], (len(own), n_before), np.float64)
    check(n_before < max(len(own), 1), "missing cells depend on more columns than there are")
    finite = all(np.isfinite(state[name]).all() for name in ("of_codes", "of_columns"))
    check(
        finite and not np.isnan(state["intercept"]).any(), "its model of missing cells has numbers that are not finite"
    )


def _check_conditions(columns: Columns) -> None:
    """See to it that the columns that are given are those of the schema, with its levels."""
    schema = columns.schema
    check(schema.conditions == columns.given, f"its conditions are {schema.conditions}, not {columns.given}")
    exposures = sorted(set(columns.exposures.values()))
    are_numbers = all(d in columns.given and not is_category(schema, d) for d in exposures)
    check(schema.exposures == exposures and are_numbers, f"its exposures are {schema.exposures}, not {exposures}")
    for d in columns.given:
        n_levels = schema.n_levels.get(d, 2) if is_category(schema, d) else None
        check(
            columns.families[d].get_params() == {"n_levels": n_levels}, f"its condition {d} is {columns.families[d]!r}"
        )


def _check_numbers(schema: Schema) -> None:
    """See to it that columns of numbers and of categories have what belongs to their kind, and no others have it."""
    _check_clocks(schema)
    ends = [end for pair in schema.bounds.values() for end in pair]
    are_pairs = all(type(end) is float for end in ends) and all(low < high for low, high in schema.bounds.values())
    check(are_pairs, f"its bounds are {schema.bounds!r}")
    numbered = (schema.levels, schema.ordered, schema.integer, schema.decimals, schema.number_types)
    numbers = {d for columns in (*numbered, schema.clocks, schema.bounds) for d in columns}
    check(all(type(d) is int and 0 <= d < len(schema.kinds) for d in numbers), "its schema knows columns it has not")
    kinds = {kind: {d for d, own in enumerate(schema.kinds) if own == kind} for kind in set(schema.kinds)}
    check(kinds.get("category", set()) == set(schema.levels), "its levels are not those of its categories")
    if schema.names is not None:
        real = kinds.get("real", set()) - set(schema.clocks)
        are_typed = real <= set(schema.number_types) and real == schema.integer ^ set(schema.decimals)
        check(are_typed, "its schema lacks types or decimals of numbers")
    are_decimals = all(k is None or (type(k) is int and abs(k) <= _MOST_DECIMALS) for k in schema.decimals.values())
    check(are_decimals, f"its decimals are {list(schema.decimals.values())}")


def _check_clocks(schema: Schema) -> None:
    """See to it that columns of times are numbers, written as some clock writes them."""
    for d, clock in schema.clocks.items():
        check(type(d) is int and 0 <= d < len(schema.kinds) and schema.kinds[d] == "real", f"its clock {d} is of none")
        is_whole = clock.kind in CLOCK_KINDS and type(clock.fineness) is int and clock.fineness in STEPS_PER_DAY
        are_words = {type(clock.zone), type(clock.frequency)} <= {str, type(None)}
        check(is_whole and are_words, f"a clock of its schema is {clock!r}")


def refuse_attributes_of_the_fit(state: dict[str, Any]) -> None:
    """Refuse attributes that are read from the fit: one of the estimator's own would hide them unchecked."""
    names = {"fitted_", *(f"{f.name}_" for f in fields(Fitted) if f.metadata.get("is_attribute"))} & set(state)
    check(not names, f"it has values for {sorted(names)} outside its fit")


def refuse_methods(estimator: BaseEstimator, state: dict[str, Any]) -> None:
    """Refuse values in the place of methods, and of what our classes own, such as the link of the repr."""
    owned = {name: inspect.getattr_static(type(estimator), name, None) for name in state}
    names = [name for name, value in owned.items() if callable(value) or hasattr(value, "__get__")]
    ours = [base for base in type(estimator).__mro__ if base.__module__.startswith(("skvae.", "sklearn."))]
    names += [name for name in state if any(name in vars(base) for base in ours)]
    check(not names, f"it has values for {sorted(set(names))}")
