"""`VAETransformer`: its parameters and what they mean, `fit` and `partial_fit`; no mathematics."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils import Tags

from ._fitting.fit import fit_table
from ._fitting.plan import CONSTRAINTS, Plan, parameters_of
from ._fitting.streams import Streams
from ._inference.fitted import REFERENCE, adopt, adopting_what_is_kept, earlier_fit, learned_of, working_copy
from ._storage.stored import Stored
from ._tables.intake import as_table
from ._training.checkpoints import Checkpoint
from ._training.tasks import Tasks
from ._utils.compat import CallbackSupportMixin, with_callbacks
from ._utils.documented import Documented
from ._verbs.clustering import Clustering
from ._verbs.generation import Generation
from ._verbs.read_out import ReadOut
from ._verbs.representation import Representation
from ._verbs.scoring import Scoring
from .components import COMPONENTS, component
from .families import Family
from .networks import FeatureLoss, Network
from .objectives import Objective
from .posteriors import Posterior
from .priors import Prior
from .schedules import Schedule

__all__ = ["VAETransformer"]


class VAETransformer(
    CallbackSupportMixin, Representation, Scoring, Clustering, Generation, ReadOut, Streams, Stored, Documented
):
    r"""Variational autoencoder: latent codes, a generative model and a log-likelihood for a table, as one transformer.

    The model is

    .. math:: p(z) = N(0, I), \quad p(x | z) = \prod_d p_d(x_d | f(z)), \quad q(z | x) = N(m(x), S(x)),

    with networks f, m and S, and training raises the evidence lower bound

    .. math:: L(x) = E_{q(z|x)} \ln p(x|z) - KL(q(z|x) \| p(z)) \le \ln p(x)

    (Kingma & Welling 2014, eq. 3). Each network is an affine path plus an MLP whose output is initially zero. The
    affine paths are initialised with probabilistic PCA or factor analysis, where the bound *equals* the log-likelihood
    of that linear model. Training continues from there, and the best state on held-out rows is kept, the initialisation
    included. Then p(z) becomes a mixture of normals, fitted to the codes, where that is clearly better (see `prior`).
    Columns are standardised inside, in float64, and scores are in data space: nothing needs scaling beforehand, and
    `score` is comparable with ``PCA.score`` and ``FactorAnalysis.score`` on the same table. Data frames may contain
    categories, booleans, counts, dates, durations and missing values, and results have the same columns and dtypes.

    Missing values (NaN, None, NA, null) are assumed to be missing at random: they drop out of the likelihood, the
    initialisation uses the observed cells, and the encoder conditions on them. A category that `fit` has not seen
    counts as missing.

    The parameters come in groups, here and in the HTML repr. The first five matter most: `n_components`,
    `hidden_layer_sizes`, `likelihood`, `max_iter`, `random_state`. The others concern the model, from `objective` to
    `feature_loss`; the table, from `categorical_features` to `column_weights`; the training, from `init` to
    `keep_optimizer`; and scores and the machine, from `n_score_samples` to `verbose`.

    Parameters
    ----------
    n_components : int or "auto", default=10
        K, the number of components of the latent code. More components than the table needs carry little information,
        or none (see `kl_per_component_`). With "auto" held-out rows choose the smallest number, up to 32, that is not
        clearly worse than a larger one; the fit is then that of ``n_components=n_components_``, bit for bit.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        Sizes of the hidden layers of the encoder, and of the decoder in the same order. ``()`` is the linear model;
        "auto" is ``(128, 128)``, or ``(128,)`` with fewer than 500 distinct training rows; "aae", "gan", "vae_gan" and
        "factor_vae" always have the former, and "avb" the latter.
    likelihood : str, Family or list of (str or Family, columns), default="auto"
        "auto" goes by type: categories are Categorical; bool columns, and arrays that contain only 0 and 1, are
        Bernoulli; everything else is Gaussian. In a model with hidden layers and held-out rows that is a normal
        distribution whose variance depends on the code, with a broad background for outlying cells
        (`ContaminatedGaussian`); a column in which a tenth of the rows share one value keeps a single variance, since a
        variance per row would collapse to a spike there. ``Gaussian(noise="feature", background=0)`` is the normal
        distribution with one variance per column throughout, and often the better choice for a map in two dimensions. A
        single family applies to all columns except categories. Other short names: "gaussian", "laplace", "student_t",
        "logistic", "gumbel" for real numbers; "log_normal", "gamma" for positive values, and with exact zeros
        "zero_inflated_log_normal", "zero_inflated_gamma"; "beta" and "continuous_bernoulli" for fractions, with exact
        zeros and ones also "zero_one_inflated_beta"; "bernoulli"; "categorical" and "ordinal" for category indices 0 ..
        C - 1; "poisson", "negative_binomial", "zero_inflated_poisson", "zero_inflated_negative_binomial" for counts. A
        list names the columns of each as ColumnTransformer does, ``[("poisson", ["visits"]), (Gaussian(), [0, 3])]``;
        columns that it does not name are "auto". Whatever is chosen, a column of numbers with a single value in the
        whole table is `Constant`: every method gives this value back, and the networks do not see the column.
    max_iter : int or "auto", default="auto"
        The largest number of epochs; "auto" is 300; on large tables it is as many as make 6000 steps, but 30 at least,
        or as many as make 60 000 steps (one for 20 million rows), and for "gan" on small tables as many as make 3000.
        With 0 the model is the initialisation, whose `score` is the log-likelihood of the linear model.
    random_state : int, RandomState instance or None, default=None
        An int makes fits bit-identical on one device; None draws fresh entropy from the operating system. Global
        generators are left as they were. Under joblib's threading backend, draws from the global generators are not
        reproducible: dropout, gamma-like posteriors, and objectives that draw from the prior.
    objective : str or Objective, default="elbo"
        "elbo" for the evidence lower bound, "iwae" for the importance-weighted one; "ae", "rae", "wae_mmd" and "aae"
        for plain, regularised, Wasserstein and adversarial autoencoders; "avb" for adversarial variational Bayes, "gan"
        for a generative adversarial network, "vae_gan" for a bound with the critic of a GAN; "beta_tc_vae",
        "factor_vae" and "info_vae" for bounds with weights on parts of the KL. ``ELBO(beta=4.0)`` weights the whole KL
        in training; `score` never does. Methods that are meaningless for the objective are hidden: `score` for codes
        without density, all but `sample` and `decode` for "gan".
    posterior : str or Posterior, default="auto"
        "diag" for independent normals, "full" for one normal with a full covariance, "point" for codes without noise,
        "categorical" for one-hot codes, "flow" for a normalizing flow, "implicit" for a network that takes noise as
        input, "dirichlet" for codes on the simplex, "von_mises_fisher" for codes on the sphere, "elliptical" for a
        multivariate Student t, or the short name of a family, from which the components are independent:
        ``posterior="laplace"`` is ``MeanField("laplace")``. "auto" is what the objective requires: "diag" for the
        bounds, "point" for autoencoders, "implicit" for "avb", no encoder for "gan".
    prior : str or Prior, default="auto"
        "auto", the default, is the standard member of the posterior's family: N(0, I) for normal codes, under which the
        networks are trained. After the training it is replaced by a mixture of normals that is fitted to draws of the
        posteriors: up to 31 members, with diagonal or full covariances, and a broad one, chosen by the
        importance-weighted bound of held-out rows, or by five-fold cross-fitting with fewer than 1000 distinct rows.
        N(0, I) stays unless the mixture is better by more than one standard error. Whatever beta the model was trained
        with, the mixture is for the bound with beta=1. Scores, `sample`, `impute` and `prior_responsibilities` use it.
        N(0, I) also stays for fewer than 100 distinct rows, linear models (``hidden_layer_sizes=()``, ``max_iter=0``),
        `partial_fit`, and objectives without a bound, except for plain autoencoders: nothing pulls their codes towards
        a prior, so that they always get a mixture, or the "flow" or "mixture" that is named. "normal" is N(0, I);
        "mixture", "vamp" and, for categorical codes, "categorical" are trained with the networks, and provide
        `predict`.
    encoder : Network or callable, optional
        A network in place of the MLP of `hidden_layer_sizes`, `activation` and `dropout`, such as
        ``ConvNet(image_shape=(1, 28, 28))`` or an `MLP` of its own size, or a function
        ``(n_in, n_out) -> torch.nn.Module``. The result is linear path + gate * net. The gate is initially 0, so that
        the initialisation stays exact; see `Network` for how it is called.
    decoder : Network or callable, optional
        The same for the decoder. With both given, those three parameters must be left at their defaults.
    activation : {"silu", "relu", "gelu", "elu", "tanh", "softplus"}, default="silu"
        Nonlinearity after each hidden layer of both networks. Like `dropout`, it has no effect on a linear model.
    dropout : float, default=0.0
        Dropout rate after each hidden layer.
    feature_loss : FeatureLoss, optional
        A perceptual term in training: the distance between rows and reconstructions in a space of features, such as
        the inner layers of a network that was trained elsewhere.
    categorical_features : {"auto", "from_dtype"}, mask, indices, names or None, default="auto"
        The columns that are categories. "from_dtype": those of pandas' category dtype and of polars' Categorical and
        Enum, as in HistGradientBoosting; "auto": these and columns of strings; otherwise a bool mask, column numbers or
        names, or None for no column. The number of levels is not limited; each column becomes one column of category
        indices.
    conditions : str, int, mask, indices or names, optional
        Columns c of X that are given and not modelled: the model is p(x | z, c), q(z | x, c), and p(z) does not depend
        on c. They are numbers, booleans or categories, and enter the networks and the linear paths; the initialisation
        regresses the other columns on them. Scores are those of p(x | c); `transform` reads c from X, and `sample`,
        `inverse_transform` and `reconstruct` have a parameter `given` for it. A missing category, or one that `fit` has
        not seen, is a level of its own; a missing number raises an error. The model keeps at most 10 000 combinations
        of conditions from the fitted rows, from which `sample` draws. See the user guide, "Conditions".
    bounds : dict of column -> (low, high), optional
        Bounds on the numbers or dates of some columns, None for no bound: ``{"age": (18, None)}``. Sampled and imputed
        values beyond a bound are set to the bound, and rounding stays inside. A bound without a time zone is local time
        in the column's zone. Codes, scores and means ignore bounds; `likelihood` has families of positive numbers and
        of fractions.
    scaling : {"standard", "global", "power", "quantile", None}, default="standard"
        "standard" scales each column to unit variance; "global" centres each and divides all by one scale (images,
        columns of one unit); None leaves X as it is. With "global" try ``likelihood=Gaussian(noise="shared")``: with
        its own noise, a pixel that hardly varies weighs as much as any other. "power" (Yeo-Johnson) and "quantile"
        (piecewise linear between quantiles) also transform each real column towards the normal distribution, for skewed
        and multimodal ones; the score includes their log-Jacobian, and means in data space are computed by quadrature.
        With "quantile" draws and means lie in the fitted range. Columns of a positive family are divided by their scale
        and never shifted; fractions, counts, categories and booleans are left alone.
    column_weights : array-like of shape (n_features,) or dict of column -> float, optional
        The weight of each column's log-likelihood in training; 1 each. `score` is never weighted, but `history_` is.
    init : {"auto", "pca", "early_factor_analysis", "factor_analysis", "random"}, default="auto"
        The initialisation. "pca" has the directions of most variance and one noise variance for all columns;
        "factor_analysis" has one per column and the best linear likelihood; "early_factor_analysis" is ten steps of EM
        from the first towards the second, with most of the likelihood and most of the directions. "auto" chooses "pca"
        or "early_factor_analysis" by their bounds on held-out rows and, less Akaike's correction, on training rows.
        "random" is what other libraries do: the affine paths and the noise, which then have no solution to preserve,
        initially learn at 8 times the learning rate, 16 times without hidden layers. Where the other three carry too
        little information, such as on whitened columns, the KL of a plain ELBO is annealed automatically; see the user
        guide, "Initialisation".
    schedule : {"joint", "em", "exact_em", "aggressive"} or Schedule, default="joint"
        Which parameter group each step updates: both together, encoder and decoder in turn, the linear model's EM in
        closed form, or the encoder until it stops improving.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        "sgd" has momentum 0.9, as in MLPClassifier. `GAN` and other objectives with a critic have a parameter `betas`,
        for less momentum. A callable is called with (parameters, lr=..., weight_decay=...): ``torch.optim.SGD`` has no
        momentum.
    learning_rate : float or "auto", default="auto"
        "auto" is 6e-3 for bounds with a closed-form initialisation and held-out rows that can stop the training.
        Otherwise, as for autoencoders, it is 1e-3 for batches of up to 128 rows, and beyond that in proportion to them
        (Goyal et al. 2017), up to 4e-3.
    learning_rate_schedule : {"inverse_sqrt"}, callable or None, default=None
        A factor on the learning rate as a function of the absolute epoch 0, 1, ...
    weight_decay : float, default=0.0
        Decay of the weights of the MLPs only; the closed-form initialisation is never shrunk.
    batch_size : int or "auto", default="auto"
        "auto" is a power of two near a sixteenth of the training rows, between 32 and 512; near an eighth with
        ``max_iter="auto"`` for bounds of at most 16 columns with held-out rows that can stop the training.
    max_steps : int or None, default=None
        The largest number of gradient steps, rounded down to whole epochs of all rows, one at least; a limit beside
        `max_iter`. As the resource of a `HalvingGridSearchCV` it gives candidates whose batches have different sizes
        equal numbers of steps. `partial_fit` makes one epoch in any case.
    early_stopping : bool or "auto", default="auto"
        Whether to hold rows out, stop when they stop improving, and keep the best state; this is the initialisation
        unless another is better by more than one standard error of the mean difference over these rows. "auto" is on
        from 100 distinct rows; with fewer, nothing can be validated and training takes at most 30 epochs. Adversarial
        objectives ("aae", "avb", "gan", "vae_gan", "factor_vae") have no loss to monitor, and "auto" holds nothing out
        for them. Without held-out rows the last state is kept.
    validation_fraction : float or "auto", default="auto"
        Share of the rows, by weight, that is held out, chosen by a hash of their standardised content; "auto" is a
        tenth, and at most 20 000 rows, whose mean score is known well enough to choose an epoch. Copies of a row
        stay together, except for a row that alone would make up more than a fiftieth of the held-out rows and occurs
        more than three times as often as the median row: this share of its copies is held out, and the rest is trained
        on.
    n_iter_no_change : int or "auto", default="auto"
        Epochs without improvement before training stops; "auto" is 20, or as many as make 300 steps on small tables,
        where the score of few held-out rows fluctuates. Only used with early stopping, as `tol`.
    tol : float, default=0.01
        The smallest improvement, in nats per row, that the waiting begins anew for; smaller ones add up to it. The best
        state is kept in any case.
    warm_start : bool, default=False
        Whether `fit` continues from the last fit, with its scaling, seed and components.
    keep_optimizer : bool, default=False
        Whether pickled copies, and `save`, keep the optimizer's state, about three times the weights. With it, a fit
        that continues after loading (`warm_start`, `partial_fit`) does so bit for bit. Without it, it continues from
        the loaded weights with a new optimizer. ``copy.deepcopy`` always keeps it.
    n_score_samples : int, default=32
        Draws of z in `score_samples`; at least 2 K are used. They are antithetic and whitened, and so exact for linear
        models with normal codes. Other posteriors have tails that 32 draws do not reach, so the bound is overestimated:
        on iris by 0.15 nats for Laplace codes, with 256 draws by 0.04.
    device : str, default="auto"
        "auto" is the device of X under Array API dispatch, else CUDA when there is one and a training step does more
        than 1e8 multiply-adds, else the CPU. On "mps" inference is in float32.
    distributed : bool, default=False
        Whether `fit` and `partial_fit` run in all processes of a ``torchrun`` launch, which share the rows of every
        batch; `batch_size` counts the rows of all. Each process calls them on the same table with the same parameters
        and ends with the same model, which is that of one process up to rounding and draws that take no generator, such
        as dropout. With ``device="auto"`` each uses the GPU of its local rank, where there are GPUs. Needs accelerate;
        see the user guide, "Several GPUs and machines".
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" autocasts training only. Inference has the precision of X.
    compile : bool, default=False
        Whether to compile the loss with ``torch.compile``.
    callbacks : list of skorch callbacks, optional
        Copies of them are called; what they refer to, such as a log writer, is shared. They are called at epochs, at
        batches (X, None), with NaN where a cell is missing, and at gradients. ``net.module_`` has the weights that are
        trained, ``net.averaged_`` those that `fit` returns. Callbacks that would have no effect, such as skorch's
        LRScheduler and Checkpoint, are refused. For scikit-learn's callbacks see ``set_callbacks``.
    on_interrupt : {"discard", "keep"}, default="discard"
        What Ctrl-C during training in `fit` and `fit_batches` leaves. "discard": an earlier fit, or none. "keep": the
        best state so far, as if `max_iter` had ended the training after the last whole epoch, if there is one; weights
        and optimizer are copied before each epoch, and a second Ctrl-C discards it. KeyboardInterrupt is raised again
        either way, so that a search ends, too. "keep" does not work with several processes, or in `partial_fit`.
    checkpoint : Checkpoint, str or path-like, optional
        Where `fit` stores its progress, every ten minutes or as the `Checkpoint` says: after the process was killed,
        the same call continues from there, bit for bit. It needs a `random_state`. `partial_fit` writes none.
    verbose : int, default=0
        1 prints the phases of `fit`, a line per epoch with the time that the epochs to come would take, and for any
        method that takes longer than five seconds how far it is and the time left. 2 draws bars for epochs and methods,
        in terminals and notebooks, and prints the time of each phase of a fit. On a fitted model
        ``set_params(verbose=...)`` has an effect, too.

    Attributes
    ----------
    n_features_in_ : int
        D, the number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns; only when X has string names.
    module_ : skvae.model.LatentVariableModel
        The torch module, in its own order of components.
    n_components_ : int
        The number of components: `n_components`, or what "auto" has chosen.
    n_iter_ : int
        Number of epochs run.
    best_iter_ : int
        The epoch whose state was kept; 0 is the initialisation.
    history_ : list of dict
        One record per epoch: loss, reconstruction and KL of training and held-out rows, in nats per row in data space.
        With held-out rows, epoch 0 is the initialisation.
    init_ : str
        The initialisation; with ``init="auto"`` the one chosen.
    order_ : ndarray of shape (n_components,)
        Output map: code k is ``signs_[k]`` times component ``order_[k]`` of `module_`, most informative first.
    signs_ : ndarray of shape (n_components,)
        The other half of the output map, -1 or 1.
    kl_per_component_ : ndarray of shape (n_components,)
        Mean KL of each component to the training prior in nats, decreasing (except after later `partial_fit` calls,
        since the order is frozen); below 0.05 a component is inactive. A prior that is fitted to the codes afterwards
        does not change it.
    components_ : ndarray of shape (n_components, n_features)
        What one unit of each component adds to each column, in data units: the derivative of the decoder's mean at the
        mean of the codes. In a linear model these are the loadings, as in `FactorAnalysis`; NaN for categories. Codes
        of classes, on a simplex or on a sphere have none.
    noise_variance_ : ndarray of shape (n_features,)
        Variance of each column given the code, at the mean of the codes, in data space; for categories, of the category
        index.
    likelihoods_ : dict
        The family of each column, e.g. ``{"age": Gaussian(), "sex": Categorical(n_classes=2)}``.
    prior_ : torch.distributions.Distribution
        p(z) of codes in the order and with the signs of `transform`: ``prior_.sample((n,))`` draws codes. For a mixture
        ``prior_.mixture_distribution.probs`` are the weights, and ``prior_.component_distribution`` has the `mean` and
        the `variance` of each member, with full covariances also the `covariance_matrix`.
    fitted_ : skvae._inference.fitted.Fitted
        All of these as one frozen value, which displays, metrics and export read. A later fit sets another one.
    statistics_ : TableStatistics
        What `fit_statistics` has learned, until `partial_fit` or `fit_batches` uses it.

    See Also
    --------
    sklearn.decomposition.PCA : The linear model with one noise variance for all columns.
    sklearn.decomposition.FactorAnalysis : The linear model with one noise variance per column.
    sklearn.mixture.GaussianMixture : A density of few columns of numbers, without a network.
    VAEImputer : Fill missing cells in a pipeline.
    VAEOutlierDetector : Tell unusual rows by a threshold.
    VAEOversampler : Make rows of rare classes.
    VAEEmbedding : Give codes in PCA's units, for neighbours and clusters.
    VAEClassifier : Classify with few labels.

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
    >>> round(PCA(n_components=5).fit(X).score(X) / 30, 1), round(vae.score(X) / 30, 1)  # nats per cell
    (-1.4, 1.1)
    >>> vae.sample(3, random_state=0).shape
    (3, 30)

    A raw table with a category, integers and a missing value:

    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> kind = rng.choice(["cat", "dog"], 200)
    >>> weight = np.where(kind == "cat", 4.0, 20.0) + rng.normal(size=200).round(1)
    >>> frame = pd.DataFrame({"kind": kind, "weight": weight, "age": rng.integers(1, 15, 200)})
    >>> vae = VAETransformer(n_components=2, max_iter=30, random_state=0).fit(frame)
    >>> vae.likelihoods_
    {'kind': Categorical(n_classes=2), 'weight': ContaminatedGaussian(noise='row'), 'age': ...}
    >>> vae.sample(2, random_state=0).dtypes["age"]
    dtype('int64')
    >>> incomplete = pd.DataFrame({"kind": [None], "weight": [19.6], "age": [3]})
    >>> vae.impute(incomplete)
       kind  weight  age
    0   dog    19.6    3
    """

    _parameter_constraints = CONSTRAINTS
    _parameter_groups = {
        "n_components": "Most important",
        "objective": "Model",
        "categorical_features": "Table",
        "init": "Training",
        "n_score_samples": "Scores and machine",
    }

    def __init__(
        self,
        n_components: int | str = 10,
        *,
        hidden_layer_sizes: Sequence[int] | int | str = "auto",
        likelihood: str | Family | list = "auto",
        max_iter: int | str = "auto",
        random_state: int | np.random.RandomState | None = None,
        objective: str | Objective = "elbo",
        posterior: str | Posterior = "auto",
        prior: str | Prior = "auto",
        encoder: Network | Callable[[int, int], torch.nn.Module] | None = None,
        decoder: Network | Callable[[int, int], torch.nn.Module] | None = None,
        activation: str = "silu",
        dropout: float = 0.0,
        feature_loss: FeatureLoss | None = None,
        categorical_features: str | Sequence | None = "auto",
        conditions: str | int | Sequence | None = None,
        bounds: dict | None = None,
        scaling: str | None = "standard",
        column_weights: dict | Sequence | None = None,
        init: str = "auto",
        schedule: str | Schedule = "joint",
        optimizer: str | Callable = "adamw",
        learning_rate: float | str = "auto",
        learning_rate_schedule: str | Callable[[int], float] | None = None,
        weight_decay: float = 0.0,
        batch_size: int | str = "auto",
        max_steps: int | None = None,
        early_stopping: bool | str = "auto",
        validation_fraction: float | str = "auto",
        n_iter_no_change: int | str = "auto",
        tol: float = 0.01,
        warm_start: bool = False,
        keep_optimizer: bool = False,
        n_score_samples: int = 32,
        device: str | torch.device = "auto",
        distributed: bool = False,
        precision: str = "float32",
        compile: bool = False,
        callbacks: Sequence | None = None,
        on_interrupt: str = "discard",
        checkpoint: Checkpoint | str | os.PathLike | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.likelihood = likelihood
        self.max_iter = max_iter
        self.random_state = random_state
        self.objective = objective
        self.posterior = posterior
        self.prior = prior
        self.encoder = encoder
        self.decoder = decoder
        self.activation = activation
        self.dropout = dropout
        self.feature_loss = feature_loss
        self.categorical_features = categorical_features
        self.conditions = conditions
        self.bounds = bounds
        self.scaling = scaling
        self.column_weights = column_weights
        self.init = init
        self.schedule = schedule
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_steps = max_steps
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.keep_optimizer = keep_optimizer
        self.n_score_samples = n_score_samples
        self.device = device
        self.distributed = distributed
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.on_interrupt = on_interrupt
        self.checkpoint = checkpoint
        self.verbose = verbose

    def set_params(self, **params: Any) -> "VAETransformer":
        """Set parameters; a short name is first replaced by its component if a nested parameter requires it.

        ``set_params(objective__beta=4)`` on ``objective="elbo"`` gives ``objective=ELBO(beta=4)``, so that a
        grid search over nested parameters needs no components.

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
            setattr(self, name, component(name, value))
        return super().set_params(**params)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        # Sparse tables have no column of category indices: each one-hot column of a CSR is Bernoulli.
        tags.input_tags.sparse = self.categorical_features is None or isinstance(self.categorical_features, str)
        tags.array_api_support = True
        return tags

    @with_callbacks
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, X_val: Any = None) -> "VAETransformer":
        """Fit the model to the rows of X.

        Training continues from the closed-form initialisation, and the best state on held-out rows is kept, the
        initialisation included. Equal rows are merged first and all are sorted by content, so that their order does not
        matter.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing. A numpy.memmap of numbers is not copied but read in shuffled runs of up to 64
            neighbouring rows. So the order of its rows matters, equal rows are not merged, and rows are held out run by
            run: the fit is close to that of the same array in memory, but not bit-identical. joblib passes large arrays
            to its workers as memmaps. With `categorical_features` a memmap is read into memory as a whole.
        y : Ignored
            The target is ignored: the codes describe X alone, but a search or a pipeline may pass y on. For codes that
            depend on it, make it a column of X, or see `VAEClassifier`.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows; an integer weight equals that many copies of the row, exactly. An epoch
            draws sum(sample_weight) rows, but at least as many as there are distinct ones, and at most four times that
            or 2048.
        X_val : array-like, frame or CSR of shape (n_val, n_features), optional
            Held-out rows for early stopping; all rows of X are then trained on. With ``early_stopping=False`` they only
            appear in `history_`.

        Returns
        -------
        VAETransformer
            The estimator itself, fitted.

        Raises
        ------
        ValueError
            Bad parameters, tables or weights; cells outside the support of their likelihood, or outside `bounds`; a
            loss that diverges; a checkpoint that is damaged. An earlier fit of the same estimator stays intact.
        TypeError
            Rows that are not in memory: collections of dask and Spark, lazy frames. The message shows code that works.
        OSError
            The folder of `checkpoint` cannot be written to, or has too little space; raised before training.

        Warns
        -----
        UserWarning
            Components have lost their information, or fewer carry information than the table supports; a column of
            categories has more than half as many levels as rows, as identifiers have, or contains numbers as strings.

        See Also
        --------
        partial_fit : Train one epoch at a time.
        fit_batches : Fit a table that comes in chunks.
        fit_transform : Fit and encode.

        Examples
        --------
        An integer weight equals that many copies of a row, to the last bit:

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
        X = as_table(X)
        plan = Plan.of(parameters_of(self), type(self).__name__, self._parameter_constraints)
        earlier = earlier_fit(self) if self.warm_start else None
        y = X if y is None else y  # what scikit-learn's scoring callbacks want to see
        tasks = Tasks(self, X, y, plan.most_epochs)
        with adopting_what_is_kept(self):
            fitted = fit_table(plan, working_copy(self, earlier), X, sample_weight, X_val, earlier, tasks=tasks)
        adopt(self, fitted)
        tasks.end({REFERENCE: fitted})
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "VAETransformer":
        """Train one epoch on X, without validation; the first call sets scaling and initialisation from it.

        n calls on the same table equal ``fit`` with ``max_iter=n`` and ``early_stopping=False``, with two exceptions.
        The prior stays N(0, I), or what an earlier `fit` has fitted to the codes. The margins to which `sample`
        calibrates stay those of an earlier `fit` or of `fit_statistics`; without either there are none, since a chunk
        need not represent the table. The scaling, and the order and signs of the components, are frozen after the first
        call, so its rows should be representative. Otherwise call `fit_statistics` first, from which the first call
        then takes all of these.

        Parameters
        ----------
        X : array-like, frame or CSR of shape (n_samples, n_features)
            Rows; cells may be missing.
        y : Ignored
            Not used, present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            As in `fit`.

        Returns
        -------
        VAETransformer
            The estimator itself, one epoch further.

        See Also
        --------
        fit : Train all epochs, with validation.
        fit_statistics : Read all rows first.
        fit_batches : Train all epochs on a table in chunks.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> VAETransformer(n_components=2).partial_fit(X[:100]).partial_fit(X[100:]).n_iter_
        2
        """
        X = as_table(X)
        plan = Plan.of(parameters_of(self), type(self).__name__, self._parameter_constraints, single_pass=True)
        earlier, twin = earlier_fit(self), working_copy(self, learned_of(self))
        statistics = getattr(twin, "statistics_", None)
        return adopt(self, fit_table(plan, twin, X, sample_weight, None, earlier, statistics))
