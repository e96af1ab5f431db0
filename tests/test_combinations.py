"""Everything with everything: every pair of variants fits at least once, or is an error that explains."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from test_contract import results_of_methods
from test_families import CONSTRUCTORS

from skvae import (
    AAE,
    ELBO,
    IWAE,
    MLP,
    CategoricalPosterior,
    FlowPosterior,
    FlowPrior,
    Implicit,
    Joint,
    LinearAnnealing,
    MeanField,
    NormalMixture,
    Product,
    UniformCategorical,
    VAETransformer,
    VampPrior,
    VariationalEM,
)
from skvae._fitting.compatibility import check_model, check_parts
from skvae.components import Parts, component
from skvae.model import LatentVariableModel

SMALL = {"n_transforms": 1, "hidden_layer_sizes": (4,)}
CORE_POSTERIORS = {
    "auto": "auto",
    "diag": "diag",
    "full": "full",
    "point": "point",
    "categorical": CategoricalPosterior(n_classes=3),
    "categorical exact": CategoricalPosterior(n_classes=3, temperature=None),
    "flow": FlowPosterior(**SMALL),
    "implicit": Implicit(hidden_layer_sizes=(4,)),
    "product": Product(CategoricalPosterior(n_classes=3), MeanField()),
}
FAMILY_POSTERIORS = {name: name for name, make in CONSTRUCTORS.items() if make().reparameterized and " " not in name}
LIKELIHOODS = {name: make for name, make in CONSTRUCTORS.items() if make().observable}
DIMENSIONS = {
    "posterior": CORE_POSTERIORS
    | FAMILY_POSTERIORS
    | {"dirichlet": "dirichlet", "elliptical": "elliptical"}
    | {"von_mises_fisher": "von_mises_fisher"},
    "prior": {
        "auto": "auto",
        "normal": "normal",
        "mixture": NormalMixture(n_members=3),
        "mixture full": NormalMixture(n_members=3, covariance="full"),
        "vamp": VampPrior(n_members=3),
        "flow": FlowPrior(**SMALL),
        "uniform": "uniform",
    },
    "objective": {
        "elbo": "elbo",
        "joint": ELBO(kl="joint", free_bits=0.1),
        "monte carlo": ELBO(kl="monte_carlo", n_samples=2),
        "annealed": ELBO(beta=LinearAnnealing(n_epochs=2)),
        "score function": ELBO(gradient="score_function", n_samples=2),
        "iwae": IWAE(n_samples=3),
        "dreg": IWAE(n_samples=3, gradient="doubly_reparameterized"),
        "vimco": IWAE(n_samples=3, gradient="score_function"),
        "ae": "ae",
        "rae": "rae",
        "wae_mmd": "wae_mmd",
        "aae": AAE(hidden_layer_sizes=(4,)),
        "avb": "avb",
        "gan": "gan",
        "vae_gan": "vae_gan",
        "beta_tc_vae": "beta_tc_vae",
        "factor_vae": "factor_vae",
        "info_vae": "info_vae",
    },
    "schedule": {"joint": "joint", "em": VariationalEM(), "exact_em": "exact_em", "aggressive": "aggressive"},
    "likelihood": LIKELIHOODS,
}
DEFAULTS = {"posterior": "auto", "prior": "auto", "objective": "elbo", "schedule": "joint", "likelihood": "gaussian"}
IRIS = load_iris().data


def iris_for(family):
    """The iris in the support of a family: as they are, as tenths, above the mean, fractions, classes or with atoms."""
    name = type(family).__name__
    if name == "Bernoulli":
        return (IRIS.mean(0) < IRIS).astype(float)
    if name in ("Categorical", "Ordinal"):
        return np.clip(np.round(IRIS), 0, 4)
    if name in ("Beta", "ContinuousBernoulli"):
        return IRIS / 10
    if name == "ZeroOneInflatedBeta":
        return np.clip(IRIS / 4 - 0.5, 0, 1)
    if family.atoms:
        return np.maximum(IRIS - 1.5, 0)
    if family.units is None:
        return np.round(10 * IRIS) - 1
    return IRIS


def estimator(combination):
    parameters = {kind: DIMENSIONS[kind][name] for kind, name in combination.items()}
    parameters["likelihood"] = parameters["likelihood"]()
    hidden = () if combination["schedule"] == "exact_em" else (4,)
    # At the default rate, aggressive inference loses a Rayleigh code within its first epoch, and says so.
    options = {"learning_rate": 1e-3, "max_iter": 1, "n_score_samples": 8, "random_state": 0}
    return VAETransformer(2, hidden_layer_sizes=hidden, **options, **parameters)


@functools.cache
def why_codes_cannot_live(posterior, prior, objective):
    """The message of `check_model`, or None; it does not depend on the rest."""
    combination = {"posterior": posterior, "prior": prior, "objective": objective, "schedule": "joint"}
    vae = estimator(combination | {"likelihood": "gaussian"})
    parts = Parts.of(vae.get_params(deep=False))
    q, p, objective = parts.posterior, parts.prior, parts.objective
    with torch.random.fork_rng():
        model = LatentVariableModel(4, 2, q, p, [(CONSTRUCTORS["gaussian"](), range(4))], objective=objective)
        try:
            check_model(model, q, p, objective)
        except ValueError as error:
            return str(error)
    return None


@functools.cache
def why_not(combination):
    """The message that refuses a combination (a frozenset of items), or None."""
    combination = dict(combination)
    vae = estimator(combination)
    try:
        parts, schedule = Parts.of(vae.get_params(deep=False)), component("schedule", vae.schedule)
        networks = [MLP(vae.hidden_layer_sizes), MLP(vae.hidden_layer_sizes)]
        likelihood = vae.likelihood.for_column(np.arange(5.0))
        check_parts(parts.posterior, parts.prior, parts.objective, schedule, [likelihood], networks)
    except ValueError as error:
        return str(error)
    return why_codes_cannot_live(*(combination[kind] for kind in ("posterior", "prior", "objective")))


def fits_and_answers(combination):
    vae = estimator(combination)
    X = iris_for(vae.likelihood)
    vae.fit(X)
    for name, result in results_of_methods(vae, X).items():
        assert np.isfinite(result).all(), f"{combination}: {name}"


def pairs_of(combination):
    return {frozenset(pair) for pair in itertools.combinations(sorted(combination.items()), 2)}


def covering_array(dimensions, seed=0):
    """Greedy: for each pair that is still open, the best of some possible completions; and the pairs without any."""
    rng = np.random.default_rng(seed)
    names = {kind: list(variants) for kind, variants in dimensions.items()}
    open_pairs = {
        frozenset([(a, i), (b, j)])
        for a, b in itertools.combinations(sorted(names), 2)
        for i in names[a]
        for j in names[b]
    }
    rows, impossible = [], []
    for pair in sorted(open_pairs, key=lambda pair: sorted(pair)):
        if pair not in open_pairs:
            continue
        best = None
        for attempt in range(400):
            row = {kind: variants[rng.integers(len(variants))] for kind, variants in names.items()}
            row |= {kind: DEFAULTS[kind] for kind in names if rng.random() < attempt / 60}  # company that obliges
            row |= dict(pair)
            if why_not(frozenset(row.items())) is None:
                new = len(pairs_of(row) & open_pairs)
                best = max(best or (0, None), (new, attempt, row), key=lambda entry: entry[0])
            if best and attempt >= 30:
                break
        if best is None:
            impossible.append(pair)
            open_pairs.discard(pair)
        else:
            rows.append(best[2])
            open_pairs -= pairs_of(best[2])
    return rows, impossible


def variants_without(rows):
    """The variants (kind, name) that no row has."""
    found = {pair for row in rows for pair in row.items()}
    return [(kind, name) for kind, names in DIMENSIONS.items() for name in names if (kind, name) not in found]


def with_variant(rows, variant):
    """The first row that has a variant."""
    return next(row for row in rows if variant in row.items())


@pytest.mark.filterwarnings("ignore:.* groups hold no row:UserWarning")  # the table has none
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 16))])
def test_every_pair_of_variants_fits_and_answers_or_explains(part):
    """A sixteenth of the pairs for every push, in which every variant has some company; the others every night."""
    rows, impossible = covering_array(DIMENSIONS)
    assert len(rows) > 300
    for pair in impossible:  # each is refused in the most obliging company, by a message that says what to do
        assert why_not(frozenset((DEFAULTS | dict(pair)).items())), pair
    own = rows[part::16]
    if not part:
        own += [with_variant(rows, variant) for variant in variants_without(own)]
    for row in own:
        fits_and_answers(row)


class Together(Joint):
    groups = (("inference", "generative", "auxiliary"),)


class Forgetful(Joint):
    groups = (("inference", "generative"),)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"objective": "gan", "posterior": "diag"}, "no encoder and no place for posterior=MeanField"),
        ({"objective": "gan", "schedule": "em"}, "no encoder for schedule"),
        ({"objective": "gan", "likelihood": "poisson"}, "differentiates generated rows"),
        ({"objective": "elbo", "posterior": "point"}, r"needs ln q\(z\|x\)"),
        ({"objective": "iwae", "posterior": "implicit"}, r"needs ln q\(z\|x\)"),
        ({"objective": "ae", "posterior": "diag"}, "has no noise in its codes"),
        ({"objective": "ae", "prior": "uniform"}, "does not use a prior"),
        ({"objective": "aae", "prior": "vamp"}, "is a mixture of posteriors"),
        ({"prior": "uniform"}, "codes leave the support of the prior"),
        ({"posterior": "gamma", "prior": "uniform"}, "codes leave the support of the prior"),
        ({"posterior": "categorical", "prior": "normal"}, "one is discrete"),
        ({"posterior": CategoricalPosterior(temperature=None)}, "differentiates draws"),
        ({"prior": "mixture", "objective": ELBO(kl="analytic")}, "no KL in closed form"),
        ({"schedule": "exact_em"}, r"needs hidden_layer_sizes=\(\)"),
        ({"schedule": "exact_em", "hidden_layer_sizes": (), "posterior": "flow"}, "needs posterior='diag' or 'full'"),
        ({"schedule": "exact_em", "hidden_layer_sizes": (), "objective": ELBO(beta=2.0)}, "with beta=1"),
        ({"schedule": "exact_em", "hidden_layer_sizes": (), "likelihood": "poisson"}, "needs a Gaussian likelihood"),
        ({"schedule": "aggressive", "objective": "ae"}, r"watches I\(x; z\)"),
        ({"objective": ELBO(n_samples=1, gradient="score_function")}, "set n_samples to at least 2"),
        ({"objective": IWAE(n_samples=1, gradient="score_function")}, "'n_samples' parameter of IWAE"),
        ({"posterior": "categorical", "objective": "iwae"}, "a relaxed code does not have"),
        ({"posterior": "categorical", "objective": ELBO(kl="joint")}, "a relaxed code does not have"),
        ({"posterior": "categorical", "prior": "vamp"}, "a relaxed code does not have"),
        ({"posterior": "categorical", "objective": "avb"}, "contrasts codes with normal ones"),
        ({"posterior": "point", "objective": "avb"}, "estimates a KL, which is infinite"),
        ({"posterior": "cauchy", "prior": "normal"}, "codes without a variance"),
        ({"posterior": "full", "objective": "beta_tc_vae"}, "compares the code with its single components"),
        ({"posterior": "categorical", "objective": "factor_vae"}, "components from different rows, which are no code"),
        ({"posterior": "dirichlet", "objective": "factor_vae"}, "components from different rows, which are no code"),
        ({"posterior": "dirichlet", "prior": "uniform"}, "one lives on a simplex"),
        ({"posterior": "uniform", "prior": "vamp"}, "codes leave the support"),
        ({"posterior": "categorical", "prior": UniformCategorical(n_classes=1)}, "'n_classes' parameter of UniformCat"),
        ({"posterior": "categorical", "prior": UniformCategorical(n_classes=3)}, "are not 3 classes each"),
        ({"objective": AAE(hidden_layer_sizes=())}, "'hidden_layer_sizes' parameter of AAE"),
        ({"schedule": Together()}, "it has a loss of its own"),
        ({"schedule": Forgetful(), "objective": "aae"}, "has a critic, which schedule=Forgetful.. does not move"),
        ({"objective": ELBO(kl="exact")}, "'kl' parameter of ELBO must be a str among"),
        ({"objective": ELBO(beta=LinearAnnealing(n_epochs=0))}, "'n_epochs' parameter of LinearAnnealing"),
        ({"objective": AAE(weight=-1.0)}, "'weight' parameter of AAE"),
        ({"objective": AAE(hidden_layer_sizes=(0,))}, "'hidden_layer_sizes' parameter of AAE"),
        ({"posterior": CategoricalPosterior(n_classes=1)}, "'n_classes' parameter of CategoricalPosterior"),
        ({"posterior": FlowPosterior(n_transforms=0)}, "'n_transforms' parameter of FlowPosterior"),
        ({"prior": NormalMixture(n_members=0)}, "'n_members' parameter of NormalMixture"),
        ({"schedule": VariationalEM(n_inference_steps=0)}, "'n_inference_steps' parameter of VariationalEM"),
    ],
)
def test_impossible_pairs_and_bad_parameters_explain(parameters, message):
    vae = VAETransformer(2, max_iter=1, random_state=0, **parameters)
    with pytest.raises(ValueError, match=message):
        vae.fit(np.round(10 * IRIS) if parameters.get("likelihood") == "poisson" else IRIS)
    assert not [name for name in vars(vae) if name.endswith("_")]  # nothing half-fitted


IDLE = [
    ({"encoder": MLP((4,)), "decoder": MLP((4,)), "hidden_layer_sizes": (8,)}, "hidden_layer_sizes"),
    ({"encoder": MLP((4,)), "decoder": MLP((4,)), "hidden_layer_sizes": ()}, "hidden_layer_sizes"),
    ({"encoder": MLP((4,)), "decoder": MLP((4,)), "activation": "relu"}, "activation"),
    ({"encoder": MLP((4,)), "decoder": MLP((4,)), "dropout": 0.1}, "dropout"),
    ({"objective": "gan", "decoder": MLP((4,)), "dropout": 0.1}, "dropout"),
    ({"objective": "gan", "column_weights": [1.0, 1.0, 1.0, 2.0]}, "column_weights"),
    ({"schedule": "exact_em", "hidden_layer_sizes": (), "column_weights": {0: 2.0}}, "column_weights"),
    ({"schedule": "exact_em", "hidden_layer_sizes": (), "max_steps": 100}, "max_steps"),
    *[
        ({"objective": objective, "early_stopping": True}, "early_stopping")
        for objective in ("aae", "avb", "gan", "vae_gan", "factor_vae")
    ],
]


@pytest.mark.parametrize(("parameters", "idle"), IDLE, ids=lambda value: value if isinstance(value, str) else "")
def test_what_would_have_no_effect_is_refused(parameters, idle):
    vae = VAETransformer(2, max_iter=1, random_state=0, **parameters)
    with pytest.raises(ValueError, match=f"{idle}=.*Leave it"):
        vae.fit(IRIS)
    defaults = {"hidden_layer_sizes": "auto", "activation": "silu", "dropout": 0}
    vae.set_params(**{idle: defaults.get(idle, "auto" if idle == "early_stopping" else None)}).fit(IRIS)


CORE = {
    "posterior": CORE_POSTERIORS,
    "prior": DIMENSIONS["prior"],
    "objective": DIMENSIONS["objective"],
    "schedule": DIMENSIONS["schedule"],
    "likelihood": {name: CONSTRUCTORS[name] for name in ("gaussian", "bernoulli", "gamma row", "poisson")},
}


@pytest.mark.slow
def test_the_full_product_of_the_core():
    possible = 0
    for names in itertools.product(*CORE.values()):
        combination = dict(zip(CORE, names, strict=True))
        if why_not(frozenset(combination.items())) is None:
            possible += 1
            fits_and_answers(combination)
    total = math.prod(map(len, CORE.values()))
    print(f"{possible} of {total} combinations are possible; all fit and answer")
    assert possible > 1000
