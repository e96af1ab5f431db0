"""Strategies for parameters of a model and for calls of its methods."""

from collections.abc import Callable
from typing import Any

import numpy as np
from fuzz_tables import CONTAINERS, Table, built, tables
from hypothesis import strategies as st

from skvae import (
    ELBO,
    IWAE,
    CategoricalPosterior,
    FlowPosterior,
    FlowPrior,
    Implicit,
    NormalMixture,
    VAETransformer,
    VampPrior,
    metrics,
)
from skvae.families import LIKELIHOODS
from skvae.posteriors import POSTERIORS

__all__ = ["CALLS", "Call", "calls", "parameters"]

#: Parameter -> values beside its default, which is taken as often as all of them.
PARAMETERS: dict[str, list[Any]] = {
    "n_components": [1, 3, 10],
    "likelihood": [*LIKELIHOODS, [("auto", [0]), ("laplace", [-1])], [("poisson", [0])]],
    "scaling": ["global", "power", "quantile", None],
    "posterior": [
        *POSTERIORS,
        CategoricalPosterior(n_classes=3),
        FlowPosterior(hidden_layer_sizes=(4,)),
        Implicit((4,)),
    ],
    "prior": [
        "normal",
        "uniform",
        NormalMixture(n_members=2),
        VampPrior(n_members=2),
        FlowPrior(hidden_layer_sizes=(4,)),
    ],
    "objective": [
        "iwae",
        "ae",
        "rae",
        "wae_mmd",
        "aae",
        "avb",
        "gan",
        "vae_gan",
        "beta_tc_vae",
        "factor_vae",
        "info_vae",
        ELBO(beta=4.0, free_bits=0.1),
        IWAE(n_samples=3),
    ],
    "schedule": ["em", "exact_em"],
    "init": ["pca", "early_factor_analysis", "factor_analysis", "random"],
    "categorical_features": ["from_dtype", None, [0]],
    "column_weights": [{0: 2.0}],
    "hidden_layer_sizes": [(), "auto"],
    "early_stopping": [True, False],
    "batch_size": [1, 7],
    "max_iter": [0, 3],
    "optimizer": ["sgd"],
}
BASE = {"n_components": 2, "hidden_layer_sizes": (4,), "max_iter": 1, "n_score_samples": 8, "random_state": 0}


@st.composite
def parameters(draw: Callable) -> dict[str, Any]:
    """The defaults but for at most three parameters; a tenth of a second to fit."""
    names = draw(st.lists(st.sampled_from([*PARAMETERS]), max_size=3, unique=True))
    return BASE | {name: draw(st.sampled_from(PARAMETERS[name])) for name in names}


Call = tuple[str, Callable[[VAETransformer], Any]]


def _weights(X: Any) -> np.ndarray:
    shape = np.shape(X) if not hasattr(X, "shape") else X.shape
    return np.arange(shape[0] if shape else 3)


#: Name -> (vae, X) -> a result.
OF_ROWS: dict[str, Callable[[VAETransformer, Any], Any]] = {
    "transform": lambda vae, X: vae.transform(X),
    "inverse_transform": lambda vae, X: vae.inverse_transform(vae.transform(X)),
    "encode": lambda vae, X: vae.encode(X).mean,
    "decode": lambda vae, X: vae.decode(vae.transform(X)).mean,
    "reconstruct": lambda vae, X: vae.reconstruct(X),
    "reconstruct_drawn": lambda vae, X: vae.reconstruct(X, sample=True, random_state=0),
    "impute": lambda vae, X: vae.impute(X),
    "impute_drawn": lambda vae, X: vae.impute(X, n_draws=2, random_state=0),
    "score_samples": lambda vae, X: vae.score_samples(X),
    "score_samples_weighted": lambda vae, X: vae.score_samples(X, n_importance_samples=5),
    "score_columns": lambda vae, X: vae.score_columns(X),
    "score": lambda vae, X: vae.score(X),
    "prior_responsibilities": lambda vae, X: vae.prior_responsibilities(X),
    "reconstruction_error": lambda vae, X: metrics.reconstruction_error(vae, X),
    "live_components": lambda vae, X: metrics.live_components(vae, X),
    "active_units": lambda vae, X: metrics.active_units(vae, X),
    "mutual_information": lambda vae, X: metrics.mutual_information(vae, X),
    "aggregate_posterior_kl": lambda vae, X: metrics.aggregate_posterior_kl(vae, X),
    "effective_sample_size": lambda vae, X: metrics.effective_sample_size(vae, X, n_importance_samples=5),
    "marginal_log_likelihood": lambda vae, X: metrics.marginal_log_likelihood(vae, X, n_importance_samples=5),
    "mmd_to_prior": lambda vae, X: metrics.mmd_to_prior(vae, X),
    "fit_transform": lambda vae, X: vae.fit_transform(X),
    "partial_fit": lambda vae, X: vae.partial_fit(X).n_iter_,
    "fit_batches": lambda vae, X: vae.fit_batches(lambda: iter([X, X])).n_iter_,
    "warm_start": lambda vae, X: vae.set_params(warm_start=True).fit(X).n_iter_,
    "fit_weighted": lambda vae, X: vae.fit(X, sample_weight=_weights(X)).n_iter_,
}
WITHOUT_ROWS: dict[str, Callable[[VAETransformer], Any]] = {
    "sample": lambda vae: vae.sample(20, random_state=0),
    "get_feature_names_out": lambda vae: vae.get_feature_names_out(),
    "decode_zeros": lambda vae: vae.decode(np.zeros((2, len(vae.get_feature_names_out())))).variance,
}
CALLS = [*OF_ROWS, *WITHOUT_ROWS, "sample_given"]


def _given(vae: VAETransformer, key: Any, value: Any) -> Any:
    return vae.sample(5, random_state=0, given={key: value})


@st.composite
def calls(draw: Callable, container: str, table: Table) -> Call:
    """A call on rows of the fitted table, or of another one, in the same container or in another one."""
    name = draw(st.sampled_from(CALLS))
    if name in WITHOUT_ROWS:
        return name, WITHOUT_ROWS[name]
    if name == "sample_given":
        d = draw(st.integers(0, len(table.columns) - 1))
        key = draw(st.sampled_from([d, table.names[d], str(table.names[d])]))
        value = draw(st.sampled_from([table.columns[d][0], table.columns[d][-1], 0, 1e20, "a", None]))
        return f"sample(given={{{key!r}: {value!r}}})", lambda vae: _given(vae, key, value)
    rows = draw(st.lists(st.integers(0, table.n_rows - 1), min_size=1, max_size=4)) if draw(st.booleans()) else None
    other = draw(st.sampled_from([None, None, None, tables()]))
    shown = table if rows is None else table.taken(rows)
    shown = shown if other is None else draw(other)
    box = draw(st.sampled_from([container, container, *CONTAINERS]))
    X = built(draw, box, shown)
    method = OF_ROWS[name]
    return f"{name}({box} of {shown!r})", lambda vae: method(vae, X)
