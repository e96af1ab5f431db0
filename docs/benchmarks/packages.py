# ruff: noqa: D102  an override does what the base says
"""How features.py uses each package: by its documentation, with two components."""

import math
import tempfile

import numpy as np
import pandas as pd
import torch
from peers import PEERS, pythae_networks
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import scale

from skvae import VAETransformer

EPOCHS = 3  # of short fits
K, DRAWS = 2, 500


class Lacks(Exception):
    """What a package does not offer."""


def same(a, b):
    """Equal bits."""
    return np.array_equal(np.asarray(a), np.asarray(b))


class Peer:
    """A package with scikit-learn's API. Others override what they do in another way."""

    size, epochs, seed = "n_components", None, "random_state"
    quiet, counts, documentation = {}, False, ()

    def make(self, **parameters):
        """The object that is fitted; imports the package."""
        raise NotImplementedError

    def new(self, seed=0, short=True):
        """An object with K components."""
        length = {self.epochs: EPOCHS} if short and self.epochs else {}
        return self.make(**{self.size: K, self.seed: seed}, **length, **self.quiet)

    def fit(self, X, seed=0, short=True):
        """A fitted model."""
        return self.new(seed, short).fit(X)

    def fit_frame(self, frame):
        """A model fitted to a frame with strings."""
        return self.fit(frame)

    def codes(self, model, X):
        """Codes of new rows."""
        return model.transform(X)

    def aside(self, model, X):
        """What else is to be said of codes."""
        return ""

    def likelihood(self, model, X):
        """Mean log-likelihood, or bound, in nats."""
        raise Lacks("no likelihood")

    def importance(self, model, X):
        """Importance-weighted likelihood and ELBO."""
        raise Lacks("none")

    def sample(self, model, n):
        """Rows."""
        raise Lacks("no sampling")

    def table(self):
        """Rows to fit, and new ones."""
        X = scale(load_breast_cancer().data)
        return X[:400], X[400:450]


class Skvae(Peer):
    """VAETransformer."""

    epochs = "max_iter"

    def make(self, **parameters):
        return VAETransformer(**parameters)

    def likelihood(self, model, X):
        return model.score(X)

    def importance(self, model, X):
        return model.score_samples(X, n_importance_samples=DRAWS).mean(), model.score(X)

    def sample(self, model, n):
        return model.sample(n, random_state=0)


class Linear(Peer):
    """PCA or factor analysis."""

    def __init__(self, make):
        self.make = make
        page = f"https://scikit-learn.org/stable/modules/generated/sklearn.decomposition.{make.__name__}.html"
        self.documentation = (f"`score` is a log-likelihood: <{page}>",)

    def likelihood(self, model, X):
        return model.score(X)

    def importance(self, model, X):
        raise Lacks("not needed: the likelihood is exact")


class Pythae(Peer):
    """VAE by its TrainingPipeline, with networks without a sigmoid at the end."""

    documentation = (
        "`get_nll` has importance weights and unit noise, and returns the log-likelihood, not its negative: "
        "<https://pythae.readthedocs.io/en/latest/models/autoencoders/vae.html>",
    )

    def new(self, seed=0, short=True, D=30):
        from pythae.models import VAE, VAEConfig

        return VAE(VAEConfig(input_dim=(D,), latent_dim=K), **pythae_networks(D, K, (32,)))

    def make(self):
        return self.new()

    def fit(self, X, seed=0, short=True):
        from pythae.pipelines import TrainingPipeline
        from pythae.trainers import BaseTrainerConfig

        X = np.asarray(X)
        length = {"num_epochs": EPOCHS} if short else {}
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(output_dir=folder, seed=seed, no_cuda=True, learning_rate=1e-3, **length)
            pipeline = TrainingPipeline(self.new(D=X.shape[1]), config)
            pipeline(X)
        return pipeline.trainer._best_model.eval()

    @torch.no_grad()
    def codes(self, model, X):
        return model.predict(as_float(X)).embedding.numpy()

    @torch.no_grad()
    def aside(self, model, X):
        draws = [model.embed(as_float(X)) for _ in range(2)]
        return "" if torch.equal(*draws) else "by `predict`; `embed` draws"

    @torch.no_grad()
    def likelihood(self, model, X):
        return model.get_nll(as_float(X), n_samples=DRAWS)

    @torch.no_grad()
    def importance(self, model, X):
        from pythae.data.datasets import DatasetOutput

        losses = [model(DatasetOutput(data=as_float(X))).loss for _ in range(20)]
        return self.likelihood(model, X), -float(sum(losses)) / 20 - 0.5 * X.shape[1] * math.log(2 * math.pi)

    def sample(self, model, n):
        from pythae.samplers import NormalSampler

        return NormalSampler(model).sample(n)


class Dimkit(Peer):
    """VAEReducer."""

    epochs = "epochs"
    documentation = ("One interface for all reducers: <https://pypi.org/project/dimkit/>",)

    def make(self, **parameters):
        from dimkit.reducers.vae import VAEReducer

        return VAEReducer(**parameters)

    def sample(self, model, n):
        return model.sample(n)


class Pyod(Peer):
    """The detector VAE."""

    size, epochs, quiet = "latent_dim", "epoch_num", {"verbose": 0}
    documentation = (
        "A detector of outliers, made for `decision_function`: <https://pyod.readthedocs.io/en/latest/api_cc.html>",
    )

    def make(self, **parameters):
        from pyod.models.vae import VAE

        return VAE(**parameters)

    def codes(self, model, X):
        twice = [model.decision_function(X) for _ in range(2)]
        raise Lacks(f"no `transform`; outlier scores of the same rows {'agree' if same(*twice) else 'differ'}")


class Encdr(Peer):
    """VENCDR."""

    size, epochs = "latent_dim", "max_epochs"
    quiet = {"trainer_kwargs": {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}}
    documentation = ("Interface, and Python 3.12 as it asks for: <https://pypi.org/project/encdr/>",)

    def make(self, **parameters):
        from encdr.encdr import VENCDR

        return VENCDR(**parameters)

    def likelihood(self, model, X):
        raise Lacks(f"`score` is a negative squared error ({model.score(X):.2f})")

    def sample(self, model, n):
        return model.sample(n)


class Tvae(Peer):
    """TVAE; columns that are not floats are named as discrete."""

    documentation = (
        "Floats are continuous, ints and strings discrete, no missing values; SDV prepares other tables for it: "
        "<https://github.com/sdv-dev/CTGAN#use-the-ctgan-standalone-library>",
    )

    def make(self, **parameters):
        from ctgan import TVAE

        return TVAE(epochs=EPOCHS, enable_gpu=False, **parameters)

    def new(self, seed=0, short=True):
        model = self.make(embedding_dim=K)
        model.set_random_state(seed)
        return model

    def fit(self, X, seed=0, short=True):
        model = self.new(seed)
        frame = pd.DataFrame(X)
        discrete = [name for name in frame if frame[name].dtype.kind != "f"]
        model.fit(X, discrete)
        return model

    def codes(self, model, X):
        raise Lacks("no encoder is kept")

    def sample(self, model, n):
        return model.sample(n)


class Scvi(Peer):
    """SCVI on counts."""

    counts = True
    documentation = (
        "`get_elbo`, `get_marginal_ll` and `get_latent_representation`: "
        "<https://docs.scvi-tools.org/en/stable/api/reference/scvi.model.base.VAEMixin.html>",
        "Counts by genes, categories enter as covariates (`setup_anndata`): <https://docs.scvi-tools.org/en/stable/api/reference/scvi.model.SCVI.html>",
    )

    def table(self):
        rng = np.random.default_rng(0)
        X = rng.poisson(np.exp(rng.normal(size=(450, 2)) @ rng.normal(scale=0.5, size=(2, 30)) + 1))
        return X[:400].astype(np.float32), X[400:].astype(np.float32)

    def new(self, seed=0, short=True, X=None):
        from anndata import AnnData
        from scvi.model import SCVI

        adata = AnnData(self.table()[0] if X is None else X)
        SCVI.setup_anndata(adata)
        return SCVI(adata, n_latent=K)

    def make(self):
        return self.new()

    def fit(self, X, seed=0, short=True):
        import scvi

        scvi.settings.seed = seed
        model = self.new(X=X)
        model.train(EPOCHS, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, logger=False)
        return model

    def codes(self, model, X):
        return model.get_latent_representation(data_of(X))

    def importance(self, model, X):
        X = data_of(X)
        elbo = np.mean([float(model.get_elbo(X)) for _ in range(20)])
        return float(model.get_marginal_ll(X, n_mc_samples=DRAWS)), elbo

    def sample(self, model, n):
        raise Lacks("counts given cells, `posterior_predictive_sample`, none from the prior")


def data_of(X):
    """Rows as scvi-tools takes them."""
    from anndata import AnnData

    return AnnData(X)


def as_float(X):
    """Rows as pythae takes them."""
    return torch.from_numpy(np.asarray(X).astype(np.float32))


#: Name -> (package, distribution, printed as); names and prints are those of peers.py, where it has them.
ROWS = {
    "skvae": Skvae(),
    "pythae": Pythae(),
    "dimkit": Dimkit(),
    "encdr": Encdr(),
    "pyod": Pyod(),
    "tvae": Tvae(),
    "scvi": Scvi(),
    "pca": Linear(PCA),
    "fa": Linear(FactorAnalysis),
}
PRINTED = {name: PEERS[name][1:] for name in ROWS if name in PEERS} | {
    "pca": ("scikit-learn", "scikit-learn PCA"),
    "fa": ("scikit-learn", "scikit-learn FactorAnalysis"),
}
