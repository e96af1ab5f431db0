"""`VAETransformer`: parameters, validation, verbs; no mathematics."""

import copy
import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import clone
from torch.distributions import constraints

from ._fitting.compatibility import check_model, check_parts, check_row_wise, check_row_wise_model
from ._fitting.streams import Streams
from ._inference import evaluation
from ._inference.code_density import fit_code_density
from ._starts import closed_form
from ._storage.registry import told
from ._storage.stored import Stored
from ._tables.canonical import canonical_rows, n_held_out, sort_rows
from ._tables.columns import Columns
from ._tables.lazy import refuse_lazy
from ._tables.on_disk import mapped_rows
from ._tables.sampling import draw_positions
from ._tables.scalings import SCALINGS
from ._tables.schema import Schema
from ._tables.selection import blocks, stored
from ._training.batches import Rows
from ._training.checkpoints import Checkpoint, reserve
from ._training.digests import digest, digest_of_rows
from ._training.optimizers import OPTIMIZERS
from ._training.options import LEARNING_RATE_SCHEDULES, TrainingOptions, plain_history, train
from ._training.processes import joined, warn_without_launch
from ._training.resumable import Run
from ._training.tasks import Tasks, fitted_attributes
from ._utils.arrays import as_tensor, choose_device, like, on_host
from ._utils.checks import check_weight
from ._utils.compat import CallbackSupportMixin, Interval, StrOptions, validate_parameter_constraints, with_callbacks
from ._utils.documented import Documented
from ._utils.random import draw_seed, exclusive, torch_generator, whitened_pairs
from ._utils.threads import limited_threads
from ._verbs.verbs import SCORE_STREAM, Verbs
from .families import LIKELIHOODS
from .families.base import Family
from .model import LatentVariableModel
from .networks.architectures import ACTIVATIONS, MLP, FromFactory
from .networks.base import Network
from .networks.gates import work
from .networks.perceptual import FeatureLoss
from .objectives import OBJECTIVES
from .objectives.base import Objective
from .posteriors import POSTERIORS
from .posteriors.base import Posterior
from .priors import PRIORS
from .priors.base import Prior
from .priors.fixed import StandardNormal
from .priors.learned import NormalMixture, VampPrior
from .schedules import SCHEDULES, Schedule

__all__ = ["VAETransformer"]

#: Parameter -> (short names, base class): the one place where short names become components.
COMPONENTS = {
    "likelihood": (LIKELIHOODS, Family),
    "posterior": (POSTERIORS, Posterior),
    "prior": (PRIORS, Prior),
    "objective": (OBJECTIVES, Objective),
    "schedule": (SCHEDULES, Schedule),
}

STRUCTURE = (
    "n_components",
    "hidden_layer_sizes",
    "activation",
    "dropout",
    "encoder",
    "decoder",
    "categorical_features",
    "likelihood",
    "scaling",
    "feature_loss",
    "posterior",
    "prior",
    "objective",
)
OPTIMIZATION = ("optimizer", "schedule", "weight_decay")
#: What a checkpoint is not told of: what the result does not depend on, cannot be compared, or is there resolved.
NOT_OF_A_RUN = ("callbacks", "checkpoint", "column_weights", "keep_optimizer", "max_iter", "random_state", "verbose")

# With `distributed=True`: what each process may have its own of, and what all take over from the first.
MAY_DIFFER = ("device", "callbacks", "verbose", "random_state")
NUMBERS = ("init_", "_signs", "_score_noise", "history_", "n_iter_", "best_iter_")
UNITS = ("shift", "scale", "reach", "maps")

MIN_ROWS_FOR_VALIDATION = 100  # distinct rows; with fewer, `early_stopping="auto"` takes CAUTIOUS_EPOCHS at most
CAUTIOUS_EPOCHS = 30
WIDTH, MIN_ROWS_FOR_DEPTH = 128, 500  # `hidden_layer_sizes="auto"`
MOST_EPOCHS, FEWEST_EPOCHS, MOST_STEPS = 300, 30, 6000  # `max_iter="auto"`


LIVE = 0.05  # nats: a component with less information is switched off
MAX_CELLS_WITHOUT = 4_000_000
MAX_CODES = 5000  # behind the density that is fitted to codes


class VAETransformer(CallbackSupportMixin, Verbs, Streams, Stored, Documented):
    r"""Variational autoencoder: codes, a generative model and a log-likelihood for a table, as one transformer.

    The model is

    .. math:: p(z) = N(0, I), \quad p(x | z) = \prod_d p_d(x_d | f(z)), \quad q(z | x) = N(m(x), S(x)),

    with networks f, m and S, and training raises the evidence lower bound

    .. math:: L(x) = E_{q(z|x)} \ln p(x|z) - KL(q(z|x) \| p(z)) \le \ln p(x)

    (Kingma & Welling 2014, eq. 3). Both networks are an affine path plus an MLP that is silent at the start. The affine
    paths start as probabilistic PCA or factor analysis, where the bound *equals* the log-likelihood of that linear
    model; training goes on from there, and the best state on held-out rows is kept, the start among them.
    Columns are standardised inside, in float64, and scores are in the units of X: nothing needs scaling beforehand,
    and `score` compares with ``PCA.score`` and ``FactorAnalysis.score`` on the same table. Data frames go in as they
    are, with categories, booleans, counts and holes, and come back with the same columns and dtypes.

    Missing cells (NaN, None, NA, null) are taken to be missing at random: they leave the likelihood, the start is that
    of the observed cells, and the encoder conditions on them. A category that `fit` has not seen counts as missing.

    Parameters
    ----------
    n_components : int, default=10
        K, the width of the code. Components beyond what the table holds carry little information, or none (see
        `kl_per_component_`).
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Hidden layers of the encoder, and of the decoder in the same order. ``()`` is the linear model; "auto" is
        ``(128, 128)``, and ``(128,)`` with fewer than 500 distinct training rows and for adversarial objectives.
    activation : {"silu", "relu", "gelu", "elu", "tanh", "softplus"}, default="silu"
        Nonlinearity after each hidden layer of both networks.
    dropout : float, default=0.0
        Dropout rate after each hidden layer.
    encoder : Network or callable, optional
        Another network than the MLP of `hidden_layer_sizes`, `activation` and `dropout`, such as
        ``ConvNet(image_shape=(1, 28, 28))`` or an `MLP` of its own size, or a function
        ``(n_in, n_out) -> torch.nn.Module``. It enters as linear path + gate * net with the gate 0 at the start, which
        so stays exact; see `Network` for what it is called with.
    decoder : Network or callable, optional
        As `encoder`. With both given those three parameters have no effect.
    categorical_features : {"auto", "from_dtype"}, mask, indices, names or None, default="auto"
        The columns that hold categories. "from_dtype": those of pandas' category dtype and of polars' Categorical and
        Enum, as in HistGradientBoosting; "auto": these and columns of strings; else a bool mask, column numbers or
        names, or None for no column. There is no limit to the number of levels; each column is one column of codes.
    likelihood : str, Family or list of (str or Family, columns), default="auto"
        "auto" goes by type, never by the values of one column: categories are Categorical, bool columns, and arrays
        that hold only 0 and 1 everywhere, are Bernoulli, everything else Gaussian with one noise variance per column.
        A single family is that of all columns but the categories. Other short names:
        "gaussian", "laplace", "student_t", "logistic", "gumbel" on the line; "log_normal", "gamma" for positive values;
        "beta", "continuous_bernoulli" for fractions; "bernoulli"; "categorical" and "ordinal" for codes 0 .. C - 1;
        "poisson", "negative_binomial", "zero_inflated_poisson", "zero_inflated_negative_binomial" for counts. A
        list names the columns of each as ColumnTransformer does, ``[("poisson", ["visits"]), (Gaussian(), [0, 3])]``;
        columns that it does not name are "auto".
    scaling : {"standard", "global", "power", "quantile", None}, default="standard"
        Each column to unit variance; all columns by one scale (images, columns of one unit), centred each; or X as it
        is. With "global" try ``likelihood=Gaussian(noise="shared")``: with a noise of its own a pixel that hardly
        varies weighs as much as any other. "power" (Yeo-Johnson) and "quantile" (piecewise linear between quantiles)
        also bend each real column towards the normal, for skewed and many-peaked ones; the score has their
        log-Jacobian, and means in data units come by quadrature. Columns of a positive family are divided by their
        scale and never shifted; fractions, counts, categories and booleans are left alone.
    column_weights : array-like of shape (n_features,) or dict of column -> float, optional
        What each column's log-likelihood counts in training; 1 each. `score` is never weighted, `history_` is.
    feature_loss : FeatureLoss, optional
        A perceptual term in training: the distance between rows and reconstructions in a space of features, such as
        the inner layers of a network that was trained elsewhere.
    posterior : str or Posterior, default="auto"
        "diag" for independent normals, "full" for one normal with a full covariance, "point" for codes without noise,
        "categorical" for one-hot codes, "flow" for a normalizing flow, "implicit" for a network fed with noise,
        "dirichlet" for codes on the simplex, "elliptical" for a multivariate Student t, or the short name of a family
        of which the components are independent members: ``posterior="laplace"`` is ``MeanField("laplace")``. "auto"
        is what the objective calls for: "diag" for the bounds, "point" for autoencoders, "implicit" for "avb", no
        encoder for "gan".
    prior : {"auto", "normal", "mixture", "vamp", "flow", "uniform", "dirichlet", "elliptical"} or Prior, default="auto"
        "auto" is the standard member of the posterior's family: normal for normal codes.
    objective : {"elbo", "iwae", "ae", "wae_mmd", "aae", "avb", "gan"} or Objective, default="elbo"
        Evidence lower bound, importance-weighted bound, plain, Wasserstein and adversarial autoencoder, adversarial
        variational Bayes, generative adversarial network. ``ELBO(beta=4.0)`` weights the KL in training; `score` never
        does. Verbs without meaning are hidden: `score` for codes without density, all but `sample` and `decode` for
        "gan".
    schedule : {"joint", "em", "exact_em", "aggressive"} or Schedule, default="joint"
        Which parameter group moves in each step: both together, encoder and decoder in turn, the linear model's EM in
        closed form, or the encoder until it stops paying.
    init : {"auto", "pca", "early_factor_analysis", "factor_analysis", "random"}, default="auto"
        The start. "pca" has the directions of most variance and one noise variance for all columns;
        "factor_analysis" has one per column and the best linear likelihood; "early_factor_analysis" is ten steps of EM
        on the way from the first to the second, with most of the likelihood and most of the directions. "auto" takes
        "pca" or "early_factor_analysis" by their bounds on held-out rows and, less Akaike's correction, on their own.
        "random" is what other libraries do: there the affine paths and the noise, with no start to keep,
        learn at 8 times the learning rate at first, 16 times without hidden layers.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        A callable is called with (parameters, lr=..., weight_decay=...).
    learning_rate : float or "auto", default="auto"
        "auto" is 4e-3 for bounds from a closed-form start, with held-out rows that can stop the training. Else, as for
        autoencoders, it is 1e-3 for batches of up to 128 rows, and beyond that in proportion to them (Goyal et al.
        2017), up to 4e-3.
    learning_rate_schedule : {"inverse_sqrt"}, callable or None, default=None
        A factor on the learning rate as a function of the absolute epoch 0, 1, ...
    weight_decay : float, default=0.0
        On the weights of the MLPs only; the closed-form start is never shrunk.
    batch_size : int or "auto", default="auto"
        "auto" is a power of two near a sixteenth of the training rows, between 32 and 512.
    max_iter : int or "auto", default="auto"
        Epochs at most; "auto" is 300, or as many as make 6000 steps on large tables. 0 gives the start alone, whose
        `score` is the log-likelihood of the linear model.
    early_stopping : bool or "auto", default="auto"
        Whether to hold rows out, stop when they stop improving, and keep the best state; the start, where it is not
        beaten by more than one standard error of the mean difference over these rows. "auto" is on from 100 distinct
        rows; with fewer, nothing can be validated and at most 30 epochs are trained from the start.
        Adversarial objectives ("aae", "avb", "gan") have no number to watch: "auto" holds nothing out for them. Without
        held-out rows the last state is kept.
    validation_fraction : float, default=0.1
        Share of the distinct rows that is held out, chosen by a hash of their standardised content.
    n_iter_no_change : int, default=20
        Epochs without improvement before training stops.
    tol : float, default=0.0
        Improvement, in nats per row, that counts.
    n_score_samples : int, default=32
        Draws of z in `score_samples`, at least 2 K: antithetic and whitened, so exact for linear models with normal
        codes. Other posteriors have tails that 32 draws do not reach, and the bound comes out too high: on iris by 0.15
        nats for Laplace codes, with 256 draws by 0.04.
    code_density : {"prior", "mixture"}, default="prior"
        What `sample` and `impute` take p(z) for: the prior, or a Gaussian mixture that `fit` fits to the codes in the
        end, which is nearer to them where they do not fill the prior. Scores always have the prior.
    warm_start : bool, default=False
        Whether `fit` goes on from the last fit, with its units and components.
    keep_optimizer : bool, default=False
        Whether copies that go through pickle, and `save`, keep the optimizer's state, about three times the weights;
        with it, a fit that goes on after loading (`warm_start`, `partial_fit`) does so bit for bit. Without it, it
        starts from the loaded weights with a new optimizer. ``copy.deepcopy`` always keeps it.
    device : str, default="auto"
        "auto" is the device of X under Array API dispatch, else CUDA when there is one and a training step does more
        than 1e8 multiply-adds, else the CPU. "mps" infers in float32.
    distributed : bool, default=False
        Whether `fit` and `partial_fit` run in all processes of a ``torchrun`` launch, which share out the rows of every
        batch; `batch_size` counts the rows of all. Each calls them on the same table with the same parameters and ends
        with the same model, that of one process but for rounding and for draws that take no generator, such as dropout.
        With ``device="auto"`` each has the GPU of its local rank, where there are GPUs. Needs accelerate; see the
        user guide, "Several GPUs and machines".
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" autocasts training only. Inference has the precision of X.
    compile : bool, default=False
        Whether to compile the loss with ``torch.compile``.
    callbacks : list of skorch callbacks, optional
        Copied before use; epoch hooks only. For scikit-learn's callbacks see ``set_callbacks``.
    checkpoint : Checkpoint, str or path-like, optional
        Where `fit` writes down what training has made so far, every ten minutes or as the `Checkpoint` says: the same
        call goes on from there, bit for bit, when the process was killed. It needs a `random_state`. `partial_fit`
        writes none.
    verbose : int, default=0
        1 prints a line per epoch.
    random_state : int, RandomState instance or None, default=None
        An int makes fits bit-identical on one device; None takes fresh entropy from the operating system. Global
        generators are left as they were. Under joblib's threading backend, what draws from them does not repeat:
        dropout, gamma-like posteriors, and objectives that draw from the prior.

    Attributes
    ----------
    n_features_in_ : int
        D, the number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns, only when X has string ones.
    module_ : skvae.model.LatentVariableModel
        The torch module, in its own order of components.
    n_iter_ : int
        Epochs run.
    best_iter_ : int
        The epoch whose state was kept; 0 is the start.
    history_ : list of dict
        One record per epoch: loss, reconstruction and KL of training and held-out rows, in nats per row and the units
        of X. With held-out rows, epoch 0 is the start.
    init_ : str
        The start; with ``init="auto"`` the one that was chosen.
    order_ : ndarray of shape (n_components,)
        Output map: code k is ``signs_[k]`` times component ``order_[k]`` of `module_`, most informative first.
    signs_ : ndarray of shape (n_components,)
        The other half of the output map, -1 or 1.
    kl_per_component_ : ndarray of shape (n_components,)
        Mean KL of each component to the prior in nats, decreasing (but for later `partial_fit` calls, whose order is
        frozen); below 0.05 a component is switched off.
    noise_variance_ : ndarray of shape (n_features,)
        Variance of each column given the code, at the code's mean, in the units of X; of code numbers for categories.
    likelihoods_ : dict
        The family of each column, e.g. ``{"age": Gaussian(), "sex": Categorical(n_classes=2)}``.
    code_density_ : GaussianMixture
        Of the codes in the order of `module_`; only with ``code_density="mixture"`` and for plain autoencoders.
    statistics_ : TableStatistics
        What `fit_statistics` has learned, until `partial_fit` or `fit_batches` starts from it.

    See Also
    --------
    sklearn.decomposition.PCA : The linear model with one noise variance for all columns.
    sklearn.decomposition.FactorAnalysis : The linear model with one noise variance per column.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    M. E. Tipping, C. M. Bishop, "Probabilistic Principal Component Analysis", JRSS B 61, 1999.
    J. Lucas et al., "Don't Blame the ELBO!", NeurIPS 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.decomposition import PCA
    >>> from skvae import VAETransformer
    >>> X, _ = load_breast_cancer(return_X_y=True)
    >>> vae = VAETransformer(n_components=5, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (569, 5)
    >>> vae.score(X) > PCA(n_components=5).fit(X).score(X)
    True
    >>> vae.sample(3, random_state=0).shape
    (3, 30)

    A raw table, with a category, integers and a hole:

    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> kind = rng.choice(["cat", "dog"], 200)
    >>> weight = np.where(kind == "cat", 4.0, 20.0) + rng.normal(size=200).round(1)
    >>> frame = pd.DataFrame({"kind": kind, "weight": weight, "age": rng.integers(1, 15, 200)})
    >>> vae = VAETransformer(n_components=2, max_iter=30, random_state=0).fit(frame)
    >>> vae.likelihoods_
    {'kind': Categorical(n_classes=2), 'weight': Gaussian(), 'age': Gaussian()}
    >>> vae.sample(2, random_state=0).dtypes["age"]
    dtype('int64')
    >>> holes = pd.DataFrame({"kind": [None], "weight": [19.6], "age": [3]})
    >>> vae.impute(holes)
       kind  weight  age
    0   dog    19.6    3
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [StrOptions({"auto"}), "array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "encoder": [Network, callable, None],
        "decoder": [Network, callable, None],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), Family, list],
        "categorical_features": [StrOptions({"auto", "from_dtype"}), "array-like", None],
        "scaling": [StrOptions({"standard", "global", *SCALINGS}), None],
        "column_weights": ["array-like", dict, None],
        "feature_loss": [FeatureLoss, None],
        "posterior": [StrOptions({"auto", *COMPONENTS["posterior"][0]}), Posterior],
        "prior": [StrOptions({"auto", *COMPONENTS["prior"][0]}), Prior],
        "objective": [StrOptions(set(OBJECTIVES)), Objective],
        "schedule": [StrOptions(set(SCHEDULES)), Schedule],
        "init": [StrOptions({"auto", *closed_form.STARTS})],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "learning_rate_schedule": [StrOptions(set(LEARNING_RATE_SCHEDULES) - {None}), callable, None],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "early_stopping": [StrOptions({"auto"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_score_samples": [Interval(Integral, 1, None, closed="left")],
        "code_density": [StrOptions({"prior", "mixture"})],
        "warm_start": ["boolean"],
        "keep_optimizer": ["boolean"],
        "device": [str, torch.device],
        "distributed": ["boolean"],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "compile": ["boolean"],
        "callbacks": [list, tuple, None],
        "checkpoint": [Checkpoint, str, os.PathLike, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 10,
        *,
        hidden_layer_sizes: Sequence[int] | int | str = "auto",
        activation: str = "silu",
        dropout: float = 0.0,
        encoder: Network | Callable[[int, int], torch.nn.Module] | None = None,
        decoder: Network | Callable[[int, int], torch.nn.Module] | None = None,
        categorical_features: str | Sequence | None = "auto",
        likelihood: str | Family | list = "auto",
        scaling: str | None = "standard",
        column_weights: dict | Sequence | None = None,
        feature_loss: FeatureLoss | None = None,
        posterior: str | Posterior = "auto",
        prior: str | Prior = "auto",
        objective: str | Objective = "elbo",
        schedule: str | Schedule = "joint",
        init: str = "auto",
        optimizer: str | Callable = "adamw",
        learning_rate: float | str = "auto",
        learning_rate_schedule: str | Callable[[int], float] | None = None,
        weight_decay: float = 0.0,
        batch_size: int | str = "auto",
        max_iter: int | str = "auto",
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 20,
        tol: float = 0.0,
        n_score_samples: int = 32,
        code_density: str = "prior",
        warm_start: bool = False,
        keep_optimizer: bool = False,
        device: str | torch.device = "auto",
        distributed: bool = False,
        precision: str = "float32",
        compile: bool = False,
        callbacks: Sequence | None = None,
        checkpoint: Checkpoint | str | os.PathLike | None = None,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.encoder = encoder
        self.decoder = decoder
        self.categorical_features = categorical_features
        self.likelihood = likelihood
        self.scaling = scaling
        self.column_weights = column_weights
        self.feature_loss = feature_loss
        self.posterior = posterior
        self.prior = prior
        self.objective = objective
        self.schedule = schedule
        self.init = init
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.n_score_samples = n_score_samples
        self.code_density = code_density
        self.warm_start = warm_start
        self.keep_optimizer = keep_optimizer
        self.device = device
        self.distributed = distributed
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    # ---------------------------------------------------------------- parameters

    def set_params(self, **params: Any) -> "VAETransformer":
        """Set parameters; a short name is expanded to its component first where a nested parameter asks for it.

        ``set_params(objective__beta=4)`` on ``objective="elbo"`` gives ``objective=ELBO(beta=4)``; so a grid search
        over nested parameters needs no components.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator, and of its components as ``component__parameter``.

        Returns
        -------
        VAETransformer
            The estimator itself.

        See Also
        --------
        sklearn.base.BaseEstimator.set_params : The same without short names.

        Examples
        --------
        >>> from skvae import VAETransformer
        >>> VAETransformer().set_params(objective__beta=4.0)
        VAETransformer(objective=ELBO(beta=4.0))
        """
        nested = {name.partition("__")[0] for name in params if "__" in name} & set(COMPONENTS)
        for name in nested:
            value = params.pop(name) if name in params else getattr(self, name)
            if isinstance(value, list) or (isinstance(value, str) and value == "auto"):
                raise ValueError(
                    f"{name}={value!r} has no parameters. Set a component, e.g. likelihood=Gaussian(noise=1.0)."
                )
            setattr(self, name, self._component(name, value))
        return super().set_params(**params)

    def _component(self, name, value=None, of=""):
        """A new instance of the component behind a parameter, so that nothing fitted changes with it; "auto" stays."""
        value = getattr(self, name) if value is None else value
        short_names, base = COMPONENTS[name]
        if isinstance(value, base):
            return clone(value)
        if isinstance(value, str) and value == "auto":
            return value
        if name == "likelihood" and isinstance(value, list):
            return [(self._component(name, family, f" for columns {key!r}"), key) for family, key in _pairs(value)]
        if not isinstance(value, str) or value not in short_names:
            known = f"one of {sorted(short_names)} or an instance of {base.__name__}"
            raise ValueError(f"The {name!r} parameter of VAETransformer{of} must be {known}. Got {value!r} instead.")
        return short_names[value]()

    def _parts(self):
        """Posterior (None without an encoder), prior, objective and schedule, with "auto" resolved."""
        posterior, prior, objective, schedule = map(self._component, ("posterior", "prior", "objective", "schedule"))
        if posterior == "auto":
            posterior = objective.posterior and POSTERIORS[objective.posterior]()
        if prior == "auto":
            prior = posterior.prior() if posterior else StandardNormal()
        return posterior, prior, objective, schedule

    def _fitted_parts(self):
        """Posterior, prior and objective of the fitted model; before `fit`, of the parameters."""
        if hasattr(self, "_model_config"):
            return [self._model_config[name] for name in ("posterior", "prior", "objective")]
        return self._parts()[:3]

    def _why_no(self, what, to_fit=False):
        """Why the fitted model, or the one to fit, has no "codes", "score" or "mixture"; None where it has.

        None also for parameters that `fit` will complain of.
        """
        try:
            posterior, prior, objective = self._parts()[:3] if to_fit else self._fitted_parts()
        except ValueError:
            return None
        if what == "codes" and objective.posterior is None:
            return f"objective={objective!r} trains a generator without an encoder: use sample and decode."
        if what == "score" and not posterior.has_density:
            return (
                f"posterior={posterior!r} has no density, so there is no evidence lower bound. To select models, "
                "use scoring=skvae.metrics.neg_reconstruction_error."
            )
        if what == "mixture" and not isinstance(prior, (NormalMixture, VampPrior)):
            return f"prior={prior!r} has no members: use prior='mixture' or 'vamp'."
        return None

    def _hidden_layer_sizes(self, n_rows):
        """As a tuple; "auto" by the rows that train."""
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, str):
            is_adversarial = self._component("objective").monitor is None  # nothing would stop a net that overfits
            return (WIDTH,) if n_rows < MIN_ROWS_FOR_DEPTH or is_adversarial else (WIDTH, WIDTH)
        sizes = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
        if not all(isinstance(n, Integral) and n >= 1 for n in sizes):
            raise ValueError(
                "The 'hidden_layer_sizes' parameter of VAETransformer must be a tuple of ints in the range [1, inf). "
                f"Got {self.hidden_layer_sizes!r} instead."
            )
        return tuple(int(n) for n in sizes)

    def _networks(self, n_rows):
        """Encoder and decoder as components; by default the MLP that the estimator's own parameters describe."""
        networks = []
        for given in (self.encoder, self.decoder):
            if given is None:
                given = MLP(self._hidden_layer_sizes(n_rows), self.activation, float(self.dropout))
            networks.append(clone(given) if isinstance(given, Network) else FromFactory(given))
        return networks

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")  # `fit_statistics` alone fits nothing

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        # Sparse tables have no column of codes: one-hot columns of a CSR are Bernoulli, each its own.
        tags.input_tags.sparse = self.categorical_features is None or isinstance(self.categorical_features, str)
        tags.array_api_support = True
        return tags

    # ---------------------------------------------------------------- fitting

    @with_callbacks
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, X_val: Any = None) -> "VAETransformer":
        """Fit the model to the rows of X.

        The closed-form start, then training from there; the best state on held-out rows is kept, the start among them.
        Rows are made canonical first, equal ones merged and all of them sorted by content, so that their order does not
        count.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            NaN cells are missing. A numpy.memmap of numbers is not copied but read in runs of up to 64 neighbouring
            rows, shuffled; so the order of its rows counts, its equal rows are not merged, and rows are held out run
            by run: the fit is near that of the same array, and not bit-identical to it. joblib hands large arrays to
            its workers as such. With columns of `categorical_features` it is read whole.
        y : Ignored
            For the API's sake.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative; an integer weight equals that many copies of the row, exactly. An epoch draws
            sum(sample_weight) rows, but at least as many as there are distinct ones and at most four times that.
        X_val : array-like, frame or CSR of shape (n_val, n_features), optional
            Held-out rows for early stopping; then every row of X trains. With ``early_stopping=False`` they only
            appear in `history_`.

        Returns
        -------
        VAETransformer
            The estimator itself, fitted.

        Raises
        ------
        ValueError
            Bad parameters, tables or weights; cells outside the support of their likelihood; a loss that diverges;
            a checkpoint that is damaged. An earlier fit of the same estimator stays intact.
        TypeError
            Rows that are not in memory: collections of dask and Spark, lazy frames. The message has lines that work.
        OSError
            The folder of `checkpoint` cannot be written to, or has too little room; said before training.

        See Also
        --------
        partial_fit : One epoch at a time.
        fit_batches : The same for a table in chunks.
        fit_transform : Fit and encode.

        Examples
        --------
        An integer weight is that many copies of a row, to the last bit:

        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X, _ = load_iris(return_X_y=True)
        >>> weight = np.arange(len(X)) % 3
        >>> weighted = VAETransformer(2, max_iter=3, random_state=0).fit(X, sample_weight=weight)
        >>> copied = VAETransformer(2, max_iter=3, random_state=0).fit(np.repeat(X, weight, axis=0))
        >>> bool((weighted.transform(X) == copied.transform(X)).all())
        True
        """
        fitted = copy.copy(self)
        y = X if y is None else y  # what scikit-learn's scoring callbacks want to see
        tasks = Tasks(self, X, y, self._most_epochs)
        resume = self.warm_start and hasattr(self, "module_")
        fitted._fit(X, sample_weight, X_val, resume, tasks=tasks)
        self._adopt(fitted)
        tasks.end(fitted_attributes(self))
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "VAETransformer":
        """Train one epoch on X, without validation; the first call sets units, columns and start from it.

        n calls on the same table equal ``fit`` with ``max_iter=n`` and ``early_stopping=False``. Units, order and signs
        of the components are frozen after the first call: let it see rows that are like the rest, or call
        `fit_statistics` before, from which the first call takes all these then.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : Ignored
            For the API's sake.
        sample_weight : array-like of shape (n_samples,), optional
            As in `fit`.

        Returns
        -------
        VAETransformer
            The estimator itself, one epoch further.

        See Also
        --------
        fit : All epochs, with validation.
        fit_statistics : Look at all rows first.
        fit_batches : All epochs on a table in chunks.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> VAETransformer(n_components=2).partial_fit(X[:100]).partial_fit(X[100:]).n_iter_
        2
        """
        fitted = copy.copy(self)
        fitted._fit(X, sample_weight, None, resume=hasattr(self, "module_"), single_pass=True)
        return self._adopt(fitted)

    def _adopt(self, fitted):
        """Take over what `fitted` has learned, and drop what an earlier fit knew and this one does not (names)."""
        for name in set(fitted_attributes(self)) - set(vars(fitted)):
            delattr(self, name)
        vars(self).update(vars(fitted))
        return self

    def _fit(self, X, sample_weight, X_val, resume, single_pass=False, tasks=None):
        """Fit `self`, which is a shallow copy of the user's estimator: nothing of an earlier fit is written into."""
        refuse_lazy(X)  # before anything counts its rows
        self._check_parameters(resume, single_pass)
        statistics = vars(self).pop("statistics_", None)
        with limited_threads(0):
            known = self._begin_from(statistics) if statistics and single_pass else None
            table, *rows = self._canonical(X, sample_weight, resume or known is not None)
        self._learn(table, rows, known or rows, X_val, resume, single_pass, tasks)

    def _check_parameters(self, resume, single_pass=False):
        """Raise where a parameter, or a change of one, cannot be; before hours of reading."""
        validate_parameter_constraints(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        self._parts()
        if self.distributed and self._processes.size == 1:
            warn_without_launch()
        self._compare_calls(resume)
        checkpoint = None if single_pass else self._checkpoint()
        if checkpoint is not None:  # how much room it needs is known later
            self._processes.done_by_first(lambda: reserve(checkpoint.folder, 1))
        if resume:
            self._refuse_changes()

    def _learn(self, table, rows, known, X_val, resume, single_pass=False, tasks=None):
        """Start, train and describe the model of canonical rows, or go on with it.

        Parameters
        ----------
        table : array
            As validated: the kind of array, and the device, of what `fit` sets.
        rows : (RowSelection, ndarray)
            Rows and weights of the epochs.
        known : (RowSelection, ndarray)
            Rows and weights that the model starts from and is described by: `rows`, or a sample of what is to come.
        """
        objective = self._parts()[2]
        self._check_parts(known[0].shape[0])
        with limited_threads(self._work_per_step(rows[0], objective) / self._processes.size):
            self._learn_rows(table, rows, known, X_val, resume, single_pass, tasks)

    def _learn_rows(self, table, rows, known, X_val, resume, single_pass, tasks):
        objective = self._parts()[2]
        train, valid, n_epochs = self._split(*rows, X_val, single_pass)
        self._compare_tables(train, valid)
        if resume:
            self._device = self._processes.device or self._device
            self.module_ = copy.deepcopy(self.module_).to(self._device)
            self._model_config = {**self._model_config, "objective": objective}
        else:
            work = self._work_per_step(train[0], objective)
            self._device = self._processes.device or choose_device(self.device, table, work)
            self._training_state = None
            self.n_iter_, self.best_iter_, self.history_ = 0, 0, []
            self._choose_start(train if known is rows else known, valid)
            self._agree()
        live = None if resume else self._live_components(*known)
        hook = tasks and tasks.epochs(lambda net: self._snapshot(net, *known, table))
        run = None if single_pass or n_epochs == 0 else self._run(train, valid, n_epochs, resume)
        self._train(train, valid, n_epochs, hook, run)
        if not resume and self.best_iter_ == 0 and valid is not None and X_val is None:
            self._set_units(*rows)  # the start won: solve it on all rows
            self._start(self.init_, *rows)
        self._agree()
        self._describe(*known, table, frozen=resume and single_pass)
        self._warn_of_collapse(live)
        if run is not None:
            run.remove()

    def _checkpoint(self):
        """The `checkpoint` as a component; None without one."""
        if self.checkpoint is None:
            return None
        checkpoint = self.checkpoint if isinstance(self.checkpoint, Checkpoint) else Checkpoint(self.checkpoint)
        checkpoint.check()
        if self.random_state is None:
            raise ValueError(
                "checkpoint=... goes on with the same fit, and random_state=None makes every fit another one: set "
                "random_state, e.g. random_state=0."
            )
        return checkpoint

    def _run(self, train_rows, valid_rows, n_epochs, resume):
        """This fit to its checkpoint: everything that the result depends on; None without a checkpoint.

        Not the start, unless it comes from an earlier fit: the last bits of a sum depend on the machine.
        """
        checkpoint = self._checkpoint()
        if checkpoint is None:
            return None
        parameters = {k: told(v) for k, v in self.get_params(deep=False).items() if k not in NOT_OF_A_RUN}
        units = [self._columns.shift, self._columns.scale]
        earlier = [self.n_iter_, self.module_.state_dict(), self._training_state, units] if resume else None
        resolved = {
            "column_weights": self._model_config["column_weights"],
            "columns": [told(family) for family in self._columns.families],
            "device": torch.device(self._device).type,
            "max_iter": n_epochs,
            "random_state": self._seed,
            "the earlier fit": digest(earlier),
            "rows and weights": digest_of_rows(*train_rows),
            "held-out rows": valid_rows and digest_of_rows(*valid_rows),
        }
        made_of = parameters | {name: str(value) for name, value in resolved.items()}
        return Run(checkpoint, made_of, self._processes)

    def _check_parts(self, n_rows):
        """Check every component, alone and with the others, before anything is built."""
        parts = self._parts()
        check_parts(*parts, self._columns.families, self._networks(n_rows))
        for name in ("encoder", "feature_loss"):
            if parts[2].posterior is None and getattr(self, name) is not None:
                raise ValueError(f"objective={parts[2]!r} has no encoder, so {name}=... has no effect. Leave it None.")
        if self.feature_loss is not None:
            self.feature_loss.check(self._columns.families, self.scaling)
        if self._processes.size > 1:
            check_row_wise(*parts[2:])

    @property
    def _processes(self):
        """Those that share out the batches of a fit."""
        return joined(self.distributed, self.device)

    def _compare_calls(self, resume):
        """Raise a ValueError in every process if they were not called alike; else some would wait for ever."""
        if self._processes.size == 1:
            return
        parameters = {k: v for k, v in self.get_params(deep=False).items() if k not in MAY_DIFFER}
        description = {f"the {name!r} parameter": told(value) for name, value in parameters.items()}
        is_int = isinstance(self.random_state, Integral)
        description["the 'random_state' parameter"] = self.random_state if is_int else "no int"
        description["the model that goes on"] = [self._seed, self.n_iter_, told(self.module_)] if resume else None
        self._processes.compare(description)

    def _compare_tables(self, train, valid):
        """The same for what was made of the tables."""
        if self._processes.size == 1:
            return
        description = {}
        description["the columns"] = [(self._columns.label(d), told(f)) for d, f in enumerate(self._columns.families)]
        for name, rows in (("training", train), ("held-out", valid)):
            X, weight = rows or (np.zeros((0, 1)), np.zeros(0))
            description[f"the number of {name} rows"] = X.shape[0]
            description[f"the sum of the weights of the {name} rows"] = np.array(weight.sum())
            description["the units of the columns"] = np.stack([self._columns.shift, self._columns.scale])
            description[f"a hash of the {name} rows"] = _hash_of_first_rows(X)
        self._processes.compare(description)

    def _agree(self):
        """Take over the numbers of the first process: on other machines the last bits may differ."""
        if self._processes.size == 1:
            return
        numbers = {name: value for name, value in vars(self).items() if name in NUMBERS}
        units = {name: value for name, value in vars(self._columns).items() if name in UNITS}
        numbers, units = self._processes.first((numbers, units))
        vars(self).update(numbers)
        vars(self._columns).update(units)
        self._processes.spread_([*self.module_.parameters(), *self.module_.buffers()])

    def _canonical(self, X, sample_weight, resume):
        """Validate the table; give it back with its distinct rows, sorted, and their weights."""
        if not resume:
            self._begin(Schema.learn(X, self.categorical_features, _rows_that_count(X, sample_weight)))
        table = self._validate(X, reset=not resume)
        weight = None if sample_weight is None else check_weight(sample_weight, table.shape[0])
        return table, *self._in_order(*self._rows(X, table, weight), resume)

    def _begin(self, schema):
        """What a new fit sets first: what the table is, and the seed of everything."""
        self._schema = schema
        self._seed = self._processes.first(draw_seed(self.random_state))

    def _in_order(self, X, weight, resume, margins=None):
        """The rows in the order of the fit, after families and units are set, where the fit does not go on.

        With `margins` the rows are a sample of a table of which these are known exactly.
        """
        if not resume:
            self._columns = Columns.decide(X, self._schema, self._component("likelihood"), self.scaling, margins)
            self._columns.fit_units(X, weight)
            self._ordering = self._columns  # units of all rows: a warm start holds the same rows out
            has_holes = _has_holes(X) if margins is None else margins.has_holes
            self._holes = np.flatnonzero(has_holes).tolist()
        self._columns.check_support(X)
        return (X, weight) if X.is_on_disk else sort_rows(X, weight, self._ordering.standardize, self._seed)

    def _rows(self, X, table, weight):
        """Rows of the validated table: runs of a memory-mapped file that is read as it is, else the distinct ones."""
        if isinstance(X, np.memmap) and self._schema.is_plain:
            return mapped_rows(table, weight, self._seed)
        return canonical_rows(on_host(table), weight)

    def _refuse_changes(self):
        """What the model is made of cannot change while it goes on; nor what its optimizer's state belongs to."""
        names = STRUCTURE if self._training_state is None else STRUCTURE + OPTIMIZATION
        now_made_with = self._what_it_is_made_of()
        for name in names:
            before, now = self._made_with[name], now_made_with[name]
            if before != now:
                raise ValueError(
                    f"The {name!r} parameter of VAETransformer cannot change from {before} to {now} while a fitted "
                    "model goes on. Fit anew: clone the estimator, or fit with warm_start=False."
                )

    def _split(self, X, weight, X_val, single_pass):
        """Training rows, held-out rows or None, and the number of epochs."""
        n_epochs = 1 if single_pass else self._max_epochs(X.shape[0])
        if X_val is not None:
            X_val, val_weight = self._held_out(X_val)
            return (X, weight), (X_val, val_weight), n_epochs
        if single_pass or n_epochs == 0 or not self.early_stopping:
            return (X, weight), None, n_epochs
        if self.early_stopping == "auto" and X.shape[0] < MIN_ROWS_FOR_VALIDATION:
            return (X, weight), None, min(n_epochs, CAUTIOUS_EPOCHS)
        if self.early_stopping == "auto" and self._component("objective").monitor is None:
            return (X, weight), None, n_epochs
        n = n_held_out(X.shape[0], self.validation_fraction)
        return (X[n:], weight[n:]), (X[:n], weight[:n]), n_epochs

    @property
    def _most_epochs(self):
        """Epochs at most, before anything is known of the rows."""
        return MOST_EPOCHS if isinstance(self.max_iter, str) else self.max_iter

    def _max_epochs(self, n_rows):
        """Resolve "auto": 300 epochs, or as many as make 6000 steps, but 30 at least."""
        if self.max_iter != "auto":
            return self.max_iter
        return int(np.clip(MOST_STEPS * _batch_size(self.batch_size, n_rows) / n_rows, FEWEST_EPOCHS, MOST_EPOCHS))

    def _rate(self, n_rows, may_stop):
        """Resolve "auto": 4e-3 where a bound is raised from a closed-form start until held-out rows stop it.

        Else 1e-3 for batches of up to 128 rows, beyond in proportion to them (Goyal et al. 2017), up to 4e-3.
        """
        if self.learning_rate != "auto":
            return self.learning_rate
        if may_stop and self.init_ != "random" and self._component("objective").needs_density:
            return 4e-3
        return 1e-3 * float(np.clip(_batch_size(self.batch_size, n_rows) / 128, 1.0, 4.0))

    def _held_out(self, X_val):
        refuse_lazy(X_val, "X_val")
        try:
            X_val, weight = self._rows(X_val, self._validate(X_val, reset=False), None)
            self._columns.check_support(X_val)
        except ValueError as error:
            raise ValueError(f"X_val: {error}") from error
        return X_val, weight

    def _work_per_step(self, X, objective):
        """Multiply-adds of the nets for one batch, encoder and S times decoder, as if they gave K and D numbers."""
        widths = X.shape[1], self.n_components
        encoder, decoder = self._networks(X.shape[0])
        with exclusive(0):
            per_row = work(encoder, "encoder", *widths) + objective.n_draws * work(decoder, "decoder", *widths[::-1])
        return _batch_size(self.batch_size, X.shape[0]) * per_row

    def _choose_start(self, rows, valid):
        """Start as `init` says; "auto" solves every start of the race and takes the best one.

        So the fit is bit for bit that of ``init=init_``.
        """
        self._set_units(*rows)
        if self.init != "auto":
            return self._start(self.init, *rows)
        racers = [copy.copy(self)._start(init, *rows) for init in closed_form.RACE]
        return vars(self).update(vars(min(racers, key=lambda racer: racer._handicap(rows, valid))))

    def _handicap(self, rows, valid):
        """What a race of starts minimises: minus the mean bound of all rows, those that it was solved on corrected.

        That is (m - n L - n' L') / (n + n'), L the bound of the n rows that the start was solved on, L' that of n'
        held-out rows, and m how many numbers it has more than the others (Akaike 1974): factor analysis D - 1 noise
        variances. A few held-out rows alone would choose by chance. A model without a score takes PCA.
        """
        if self._why_no("codes") or self._why_no("score"):
            return closed_form.RACE.index(self.init_)
        n_more = 0 if self.init_ == "pca" else rows[0].shape[1] - 1
        parts = [rows] if valid is None else [rows, valid]
        counts = [max(weight.sum(), len(weight)) for _, weight in parts]
        bound = sum(n * self._mean_bound(*part) for n, part in zip(counts, parts, strict=True))
        return (n_more - bound) / sum(counts)

    def _mean_bound(self, X, weight):
        """Weighted mean of the evidence lower bound over rows, in nats and the model's units."""
        module, x, mask, w = self._inspected(X, weight)
        u = self._score_noise.to(x)
        bound = lambda x, mask: evaluation.elbo(module, x, mask, u)  # noqa: E731
        return float(self._mean(bound, module, x, mask, w))

    def _set_units(self, X, weight):
        """Units of the given rows; once for all racers, since that is several passes over a large table."""
        self._columns = copy.copy(self._columns).fit_units(X, weight)

    def _start(self, init, X, weight):
        """Closed-form start from the given rows, in a new module."""
        self.init_ = init
        posterior, prior, objective, _ = self._parts()
        encoder, decoder = self._networks(X.shape[0])
        self._model_config = {
            "n_features": X.shape[1],
            "n_components": int(self.n_components),
            "posterior": posterior,
            "prior": prior,
            "objective": objective,
            "likelihood": self._columns.groups,
            "holes": self._holes,
            "column_weights": self._columns.weights(self.column_weights),
            "feature_loss": self.feature_loss and clone(self.feature_loss),
            "units": (self._columns.shift.tolist(), self._columns.scale.tolist()) if self.feature_loss else None,
            "encoder": encoder,
            "decoder": decoder,
        }
        self._made_with = self._what_it_is_made_of()
        with exclusive(self._seed):
            module = LatentVariableModel(**self._model_config).float().eval()
            check_model(module, posterior, prior, objective)
        closed_form.start(module, self._columns, X, weight, init, self._seed)
        self.module_ = module.to(self._device)
        self._score_noise = whitened_pairs(
            self.n_score_samples, module.n_noise, torch_generator("cpu", self._seed, SCORE_STREAM)
        )
        self._start_prior(prior, X, weight)
        self._signs = self._component_signs(X, weight)
        return self

    def _what_it_is_made_of(self):
        """What cannot change while a fitted model goes on, as text; of the objective only its critic."""
        made = {name: told(getattr(self, name)) for name in STRUCTURE + OPTIMIZATION}
        posterior, prior, objective, _ = self._parts()
        made |= {"posterior": told(posterior), "prior": told(prior)}  # "auto" resolved
        made["objective"] = told(objective) if objective.has_auxiliary else "one without a critic"
        return made

    def _start_prior(self, prior, X, weight):
        """Spread a prior with members over draws of the start's posteriors."""
        module, x, mask, _ = self._inspected(X, weight)
        if not module.posterior:
            return
        rows = self._drawn_rows(weight[: len(x)], len(x))
        x, mask = x[rows], None if mask is None else mask[rows]
        generator = torch_generator("cpu", self._seed, SCORE_STREAM)
        u = torch.randn(1, len(x), module.n_noise, generator=generator, dtype=torch.float64).to(x)
        with torch.no_grad():
            z = module.posterior.push(module.encode(x, mask), u)[0]
            prior.start(self.module_.prior, z.cpu().double().numpy(), x, self._seed)

    def _drawn_rows(self, weight, n_most):
        """Positions of rows in proportion to their weights, each in turn several times where there are few."""
        n_draws = int(np.clip(weight.sum(), 1000, max(1000, n_most)))
        return draw_positions(weight, n_draws, np.random.default_rng(self._seed))

    def _component_signs(self, X, weight):
        """Signs of the module's components, taken at the start, so that no later epoch turns one over.

        Codes that live on a part of the line, or are classes, keep their sign.
        """
        module, x, mask, w = self._inspected(X, weight)
        if not module.posterior:
            return [1.0] * module.n_components
        with torch.no_grad():
            step = evaluation.chunk_rows(module, 1)
            masks = [None] * len(x) if mask is None else mask.split(step)
            encoded = [module.encode(*part) for part in zip(x.split(step), masks, strict=False)]
            if {encoded[0].support, module.prior(module.encode).support} - {constraints.real, constraints.real_vector}:
                return [1.0] * module.n_components
            return evaluation.signs(torch.cat([module.posterior.center(q) for q in encoded]), x, w).tolist()

    def _live_components(self, X, weight):
        """How many components carry information; None where that is not defined, or a fall of it says little.

        A random start says nothing, nor do few rows; and a prior with members comes towards the codes. Columns without
        structure give a component ln(1 + g) nats by chance, g = (D / n)^(1/2), since the largest eigenvalue of n rows
        of unit noise is near (1 + g)^2 (Marchenko & Pastur 1967). Such a one may go.
        """
        trained = list(self.module_.prior.parameters())
        if self.init_ == "random" or X.shape[0] < MIN_ROWS_FOR_VALIDATION or trained:
            return None
        if self._why_no("codes") or self._why_no("score"):
            return None
        module, x, mask, w = self._inspected(X, weight)
        by_chance = np.log1p((X.shape[1] / X.shape[0]) ** 0.5)
        return int((self._information(module, x, mask, w) > max(LIVE, by_chance)).sum())

    def _information(self, module, x, mask, w):
        """Mean KL of each component to the prior, (n,)."""
        u = self._score_noise.to(x)
        return self._mean(lambda x, mask: evaluation.kl_per_component(module, x, mask, u), module, x, mask, w)

    def _mean(self, function, module, x, mask, w):
        """Mean of `function` (x, mask) over rows of weights w, without gradients, chunk by chunk."""
        step = evaluation.chunk_rows(module, len(self._score_noise))
        masks = [None] * len(x) if mask is None else mask.split(step)
        with torch.no_grad():  # a sum, since small results that stay would fragment the heap
            return sum(
                share @ function(*pair) for share, *pair in zip(w.split(step), x.split(step), masks, strict=False)
            )

    def _warn_of_collapse(self, before):
        after = None if before is None else int((on_host(self.kl_per_component_) > LIVE).sum())
        if before is not None and after < before:
            warnings.warn(
                f"{before - after} of the {before} components that were live at the start have collapsed: they have no "
                "information (kl_per_component_ below 0.05). If they are wanted, lower the weight of the KL, e.g. "
                "ELBO(beta=0.5) or ELBO(free_bits=0.1), or try schedule='aggressive'; else a smaller n_components "
                "gives the same model.",
                UserWarning,
                stacklevel=6,
            )

    def _inspected(self, X, weight):
        """The module in float64 where the device has it, rows to look at, and their weights, summing to one."""
        dtype = self._inference_dtype("float64")
        n_rows = min(10_000, max(1, 10_000_000 // X.shape[1]))
        x, mask = self._columns.tensors(X.take(slice(n_rows)), self._device, dtype)  # sorted by hash: a random subset
        w = torch.as_tensor(weight[:n_rows] / weight[:n_rows].sum(), dtype=dtype, device=self._device)
        return self._module(dtype), x, mask, w

    def _train(self, train_rows, valid_rows, n_epochs, hook, run):
        """Run the loop and take over its history and state."""
        if n_epochs == 0:
            return
        if self._processes.size > 1:
            check_row_wise_model(self.module_)
        weights = self._model_config["column_weights"]
        rows = [part and Rows(*part, self._columns, self._device, weights) for part in (train_rows, valid_rows)]
        options = self._training_options(*rows, hook, run)
        result = train(self.module_, *rows, options, n_epochs, self._seed, self.n_iter_, self._training_state)
        self._training_state = result.state
        first = self.n_iter_
        # A model that goes on has its last record already.
        self.history_ = self.history_ + [r for r in result.history if first == 0 or r["epoch"] > first]
        self.n_iter_ = result.history[-1]["epoch"]
        if result.best_epoch != first or first == 0:  # else the state that an earlier call kept
            self.best_iter_ = self.n_iter_ if result.best_epoch is None else result.best_epoch

    def _training_options(self, rows, valid_rows, hook, run=None):
        _, _, objective, schedule = self._parts()
        n_rows = len(rows)
        exact_step = None
        if schedule.closed_form:
            exact_step = closed_form.EMSteps(self.module_, self._columns, rows.working_rows(), rows.weight)
        return TrainingOptions(
            objective=objective,
            schedule=schedule,
            optimizer=OPTIMIZERS.get(self.optimizer, self.optimizer),
            learning_rate=self._rate(n_rows, valid_rows is not None and bool(self.early_stopping)),
            learning_rate_factor=LEARNING_RATE_SCHEDULES.get(self.learning_rate_schedule, self.learning_rate_schedule),
            linear_factor=self._linear_factor(),
            weight_decay=self.weight_decay,
            batch_size=_batch_size(self.batch_size, n_rows),
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
            keeps_start=self.init_ != "random",
            precision=self.precision,
            compile=self.compile,
            callbacks=self.callbacks or [],
            on_epoch=hook,
            verbose=int(self.verbose) if self._processes.rank == 0 else 0,
            history=self.history_,
            exact_step=exact_step,
            processes=self._processes,
            run=run,
        )

    def _linear_factor(self):
        """Epoch -> factor on the learning rate of what a closed-form start would have set; None where one has."""
        has_nets = bool(self.module_.net_parameters())
        return partial(_random_start_factor, has_nets) if self.init_ == "random" else None

    def _describe(self, X, weight, table, frozen):
        """Fitted attributes that describe the model: order, signs, information, noise, likelihoods."""
        for name in ("kl_per_component_", "code_density_"):  # an earlier fit may have had them
            vars(self).pop(name, None)
        module, x, mask, w = self._inspected(X, weight)
        information = self._importance_of_components(module, x, mask, w)
        if not frozen:
            order = information.argsort(descending=True, stable=True)
            signs = torch.tensor(self._signs, dtype=x.dtype, device=order.device)[order]
            self.order_, self.signs_ = like(order, table), like(signs, table)
        if not (self._why_no("codes") or self._why_no("score")):
            self.kl_per_component_ = like(information[as_tensor(self.order_).to(information.device)], table)
        _, _, objective = self._fitted_parts()
        with torch.no_grad():
            center = x.new_zeros(1, module.width)
            if module.posterior:
                encoded = lambda x, mask: module.posterior.center(module.encode(x, mask))  # noqa: E731
                center = self._mean(encoded, module, x, mask, w)[None]
                if self.code_density == "mixture" or not objective.uses_prior:
                    self._fit_code_density(module, module.encode(x, mask), weight)
            self.noise_variance_ = like(self._in_data_units(module, center[None]).variance[0, 0], table)
        self.likelihoods_ = {self._columns.label(d): family for d, family in enumerate(self._columns.families)}

    def _fit_code_density(self, module, q, weight):
        """A Gaussian mixture of one draw of each row's code."""
        if q.support not in (constraints.real, constraints.real_vector):
            raise ValueError(
                "code_density='mixture' fits normals to the codes, which for posterior="
                f"{self._fitted_parts()[0]!r} do not live on the whole line. Use code_density='prior'."
            )
        n_rows = module.posterior.center(q).shape[0]
        generator = torch_generator("cpu", self._seed, SCORE_STREAM)
        u = torch.randn(1, n_rows, module.n_noise, generator=generator, dtype=torch.float64)
        z = module.posterior.push(q, u.to(module.posterior.center(q)))[0].cpu().double().numpy()
        self.code_density_ = fit_code_density(z[self._drawn_rows(weight[:n_rows], MAX_CODES)], self._seed)

    def _importance_of_components(self, module, x, mask, w):
        """Their KL where q has a density; else what log p(x given z) loses without each; nothing without an encoder."""
        if self._why_no("codes"):
            return torch.zeros(module.n_components)
        if not self._why_no("score"):
            return self._information(module, x, mask, w)
        n = max(1, MAX_CELLS_WITHOUT // (x.shape[1] * module.width))
        with torch.no_grad():
            return evaluation.reconstruction_loss_without_component(
                module, x[:n], None if mask is None else mask[:n]
            ).mean(0)

    def _snapshot(self, net, X, weight, table):
        """Fitted attributes as if fit had stopped after this epoch of `net`."""
        now = copy.copy(self)
        now.module_ = copy.deepcopy(net.averaged_).eval()
        now.n_iter_ = now.best_iter_ = net.epoch + 1
        now.history_ = self.history_ + plain_history(net)
        now._describe(X, weight, table, frozen=False)
        return fitted_attributes(now)


def _rows_that_count(X, sample_weight):
    """Which rows have a weight, bool (n,); None for all, and for weights that are refused later."""
    if sample_weight is None:
        return None
    weight = np.asarray(on_host(sample_weight))
    n_rows = X.shape[0] if hasattr(X, "shape") else np.asarray(X, dtype=object).shape[0]
    return weight != 0 if weight.shape == (n_rows,) and not weight.all() else None


def _hash_of_first_rows(X):
    """Of the first block of rows, which after sorting are a random subset."""
    return [hashlib.sha256(stored(block).tobytes()).hexdigest()[:12] for _, block in islice(blocks(X), 1)]


def _has_holes(X):
    """Which columns have a missing cell, bool (D,)."""
    found = np.zeros(X.shape[1], bool)
    for _, block in blocks(X):
        if sparse.issparse(block):
            found[block.indices[np.isnan(block.data)]] = True
        else:
            found |= np.isnan(block).any(0)
    return found


def _random_start_factor(has_nets, epoch):
    """16 for the affine paths, which have no start to keep and would take 1000 epochs at 1e-3; 1 from epoch 48 on.

    Beside MLPs 8, since at 16 the two paths sometimes fight, and Adam throws the model over hundreds of nats.
    """
    return 2.0 ** np.clip((48 - epoch) / 5, 0, 3 if has_nets else 4)


def _batch_size(batch_size, n_rows):
    """Resolve "auto": a power of two near a sixteenth of the rows, between 32 and 512."""
    if batch_size != "auto":
        return batch_size
    return int(2 ** np.clip(np.round(np.log2(n_rows / 16)), 5, 9))


def _pairs(likelihood):
    """The entries of a list of likelihoods, each a pair."""
    for entry in likelihood:
        if not (isinstance(entry, tuple) and len(entry) == 2):
            must = "must be pairs (likelihood, columns), e.g. [('poisson', ['visits']), (Gaussian(), [0, 3])]"
            raise ValueError(f"The entries of the 'likelihood' list {must}. Got {entry!r} instead.")
    return likelihood
