"""Components of one's own, one for each noun and written from the base classes' documentation: they do what ours do."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from torch import nn
from torch.nn.functional import logsigmoid, softplus

from skvae import (
    ELBO,
    Annealing,
    Family,
    Head,
    MeanField,
    Network,
    Objective,
    Posterior,
    Prior,
    Schedule,
    VAETransformer,
    metrics,
)

pytestmark = pytest.mark.one_in(2)

IRIS, SPECIES = load_iris(return_X_y=True)
MISSING = np.where(np.random.default_rng(0).random(IRIS.shape) < 0.1, np.nan, IRIS)
#: Two columns of category indices beside four of numbers, some cells missing in each.
MIXED = np.column_stack([MISSING, SPECIES, np.round(IRIS[:, 3])])
MIXED[::7, 4] = np.nan


class DoubleExponential(Family):
    """A real likelihood: one number from the network, and a scale of each column that is trained."""

    def distribution(self, loc, log_scale):
        return torch.distributions.Laplace(loc, log_scale.exp(), validate_args=False)

    def own_numbers(self, n):
        return [(np.zeros(n), True)]

    def start(self, mean, loadings, noise, resolution=None):
        return loadings, mean, [0.5 * np.log(noise / 2)]


class Indices(torch.distributions.Categorical):
    """Category indices in floating point, whose mean is the most probable one."""

    @property
    def mean(self):
        return self.probs.argmax(-1).to(self.probs)

    mode = mean

    @property
    def variance(self):
        numbers = torch.arange(self.probs.shape[-1]).to(self.probs)
        return self.probs @ numbers.square() - (self.probs @ numbers).square()

    def sample(self, sample_shape=()):
        return super().sample(torch.Size(sample_shape)).to(self.probs)


class Levels(Family):
    """A nominal likelihood that calls its number of categories C, and is no softmax: two categories are never equal."""

    units, nominal, reparameterized = None, True, False

    def __init__(self, C=3):
        self.C = C

    @property
    def n_raw(self):
        return self.C

    @property
    def support(self):
        return torch.distributions.constraints.integer_interval(0, self.C - 1)

    def distribution(self, *numbers):  # laid out number by number, since `split` is that of the base class
        weights = softplus(torch.stack(numbers, -1)) + 1e-3
        return Indices(weights / weights.sum(-1, keepdim=True), validate_args=False)

    def start(self, mean, loadings, noise, resolution=None):
        n = len(mean) // self.C
        p = np.clip(mean, 1e-3, 1.0)
        weight, bias = loadings / p[:, None], np.log(np.expm1(p))
        number_by_number = np.arange(n * self.C).reshape(n, self.C).T.ravel()
        return np.clip(weight, -1, 1)[number_by_number], bias[number_by_number], []


class Grades(Family):
    """Ordered categories with fewer numbers than categories, so `n_categories` says how many there are."""

    units, reparameterized = None, False
    n_categories = 3
    support = torch.distributions.constraints.integer_interval(0, 2)

    def distribution(self, logit):
        low, high = logsigmoid(-logit), logsigmoid(logit)  # binomial with two trials
        return Indices(logits=torch.stack([2 * low, np.log(2) + low + high, 2 * high], -1), validate_args=False)

    def start(self, mean, loadings, noise, resolution=None):
        return loadings, 2 * (mean - 1), []


class DoubleExponentialCode(Family):
    """A family of codes: every number comes from the encoder, and draws are torch's inverse CDF."""

    n_raw, observable = 2, False

    def distribution(self, loc, log_scale):
        return torch.distributions.Laplace(loc, log_scale.clamp(-10, 10).exp(), validate_args=False)

    def start(self, mean, loadings, noise, resolution=None):
        raise NotImplementedError


class IsotropicHead(Head):
    def forward(self, raw):
        scale = raw[..., -1:].clamp(-10, 10).exp().expand_as(raw[..., :-1])
        return torch.distributions.Normal(raw[..., :-1], scale, validate_args=False)

    def push(self, q, u):
        return q.loc + q.scale * u

    def start(self, mean, projection, covariance):
        weight = np.concatenate([projection, np.zeros_like(projection[:1])])
        bias = np.append(mean, np.log(np.diag(covariance)).mean() / 2)
        return weight, bias, np.eye(len(mean)), np.zeros_like(mean)


class Isotropic(Posterior):
    """One spread for all components."""

    def build(self, n_components):
        return IsotropicHead(n_components + 1, n_components)


class Spread(nn.Module):
    def __init__(self, n_components, scale):
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((n_components,), float(np.log(scale))))

    def forward(self, encode=None):
        return torch.distributions.Normal(torch.zeros_like(self.log_scale), self.log_scale.exp(), validate_args=False)


class TrainedSpread(Prior):
    """A normal that learns its own spread, which begins at that of the codes."""

    def __init__(self, scale=2.0):
        self.scale = scale

    def build(self, n_components):
        return Spread(n_components, self.scale)

    def start(self, module, z, x, seed):
        module.log_scale.copy_(torch.from_numpy(np.log(z.std(0) + 1e-3)))


class MomentCritic(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(2 * width, 1)
        nn.init.zeros_(self.linear.weight)

    def forward(self, z):
        return self.linear(torch.cat([z, z.square()], -1)).squeeze(-1)


class Moments(Objective):
    """An autoencoder whose critic sees two moments of the codes; it begins with a course of its own."""

    posterior, monitor = "point", None

    def __init__(self, weight=1.0):
        self.weight = weight

    def at(self, epoch):
        return Moments(self.weight * min(1.0, (epoch + 1) / 2))

    def __call__(self, model, x, mask, u):
        z = model.draw(model.encode(x, mask), u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        fooled = softplus(-model.auxiliary(z)).mean(0)
        return {"loss": self.weight * fooled - log_px, "reconstruction": log_px}

    def auxiliary(self, n_features, width):
        return MomentCritic(width)

    def auxiliary_loss(self, model, x, mask, u):
        with torch.no_grad():
            z = model.draw(model.encode(x, mask), u)[0]
            z_p = model.prior(model.encode).sample((len(z),))
        return {"auxiliary_loss": softplus(-model.auxiliary(z_p)) + softplus(model.auxiliary(z))}


class HalfBound(Objective):
    """A bound with half of its KL, by draws: what it needs, the class attributes say."""

    needs_density, n_samples = True, 2

    def __call__(self, model, x, mask, u):
        q, p = model.encode(x, mask), model.prior(model.encode)
        z = model.draw(q, u)
        log_px = model.training_log_likelihood(x, mask, z).mean(0)
        kl_qp = (q.log_prob(z) - p.log_prob(z)).sum(-1).mean(0)
        return {"loss": kl_qp / 2 - log_px, "reconstruction": log_px, "kl": kl_qp}


class RowReader(nn.Module):
    def __init__(self, n_features, n_out):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2 * n_features, 4), nn.Tanh(), nn.Linear(4, n_out))

    def forward(self, x, mask):
        observed = torch.ones_like(x) if mask is None else mask.to(x.dtype)
        return self.net(torch.cat([x, observed], -1))


class Reader(Network):
    """A network that reads rows and which of their cells are observed, made for few columns."""

    reads = "rows"

    def __init__(self, most=10):
        self.most = most

    def check(self, families):
        if len(families) > self.most:
            raise ValueError(f"Reader takes at most {self.most} columns. Got {len(families)}.")

    def build_encoder(self, n_features, n_out):
        return RowReader(n_features, n_out)

    def build_decoder(self, n_components, n_out):
        return nn.Sequential(nn.Linear(n_components, 4), nn.Tanh(), nn.Linear(4, n_out))


class Alternating(Schedule):
    """Encoder and decoder in turn, more of the one whose loss fell less."""

    groups = (("inference",), ("generative",), ("auxiliary",))

    def __init__(self, rate=2e-3):
        self.rate = rate

    def learning_rate(self, names):
        return self.rate if names == ("inference",) else None

    def steps(self, batches):
        before = float("inf")
        for batch in batches:
            yield 2, batch
            loss = yield 0, batch
            now = before if loss is None else float(loss.mean())
            yield (1, batch) if now < before else (0, batch)
            before = now


class Cosine(Annealing):
    """Half a cosine."""

    def __init__(self, n_epochs=10):
        self.n_epochs = n_epochs

    @property
    def warm_up(self):
        return self.n_epochs

    def __call__(self, epoch):
        return (1 - np.cos(np.pi * min(1.0, epoch / self.n_epochs))) / 2


#: Name -> parameters of a model with a component of one's own.
OWN = {
    "real likelihood": {"likelihood": DoubleExponential()},
    "nominal likelihood": {"likelihood": [(Levels(3), [4, 5])]},
    "nominal likelihood of two sizes": {"likelihood": [(Levels(3), [4]), (Levels(4), [5])]},
    "nominal likelihood of many categories": {"likelihood": [(Levels(70), [4])]},
    "ordered likelihood": {"likelihood": [(Grades(), [4])]},
    "family of codes": {"posterior": MeanField(DoubleExponentialCode())},
    "posterior": {"posterior": Isotropic()},
    "prior": {"prior": TrainedSpread()},
    "objective": {"objective": HalfBound()},
    "objective with a critic": {"objective": Moments(weight=2.0)},
    "network": {"encoder": Reader(), "decoder": Reader(), "hidden_layer_sizes": "auto"},
    "schedule": {"schedule": Alternating()},
    "course": {"objective": ELBO(beta=Cosine(n_epochs=2))},
}
CLASSES = [DoubleExponential, Levels, Grades, DoubleExponentialCode, Isotropic, TrainedSpread, HalfBound, Moments,
           Reader, Alternating, Cosine]  # fmt: skip


def table_for(name):
    return MIXED if "likelihood" in name and name != "real likelihood" else MISSING


@pytest.mark.filterwarnings("ignore:The importance weights")
@pytest.mark.parametrize("name", OWN)
def test_a_component_of_ones_own_does_what_ours_do(name, tmp_path):
    X = table_for(name)
    options = {"hidden_layer_sizes": (4,), "n_score_samples": 8, "random_state": 0} | OWN[name]
    vae = VAETransformer(2, max_iter=3, **options)
    vae = clone(vae).fit(X)
    answers = {"transform": vae.transform(X), "sample": vae.sample(20, random_state=0)}
    answers["reconstruct"] = vae.reconstruct(X)
    answers["inverse_transform"] = vae.inverse_transform(answers["transform"])
    answers["error"] = metrics.reconstruction_error(vae, X)
    if hasattr(vae, "score"):
        answers["score_samples"] = vae.score_samples(X)
        answers["impute"] = vae.impute(X)
        np.testing.assert_array_equal(answers["impute"][~np.isnan(X)], X[~np.isnan(X)])
    assert all(np.isfinite(answer).all() for answer in answers.values())
    vae.save(tmp_path / "model.safetensors")
    loaded = VAETransformer.load(tmp_path / "model.safetensors", components=CLASSES)
    for again in (pickle.loads(pickle.dumps(vae)), loaded, clone(vae).fit(X)):
        np.testing.assert_array_equal(again.transform(X), answers["transform"])
        np.testing.assert_array_equal(again.sample(20, random_state=0), answers["sample"])


@pytest.mark.filterwarnings("ignore:The importance weights")
@pytest.mark.parametrize("name", [name for name in OWN if name.startswith(("nominal", "ordered"))])
def test_category_indices_are_imputed_and_drawn(name):
    vae = VAETransformer(2, max_iter=0, random_state=0, **OWN[name]).fit(MIXED)
    for cells in (vae.impute(MIXED)[:, 4], vae.sample(50, random_state=0)[:, 4], vae.reconstruct(MIXED)[:, 4]):
        assert set(cells) <= {0.0, 1.0, 2.0} | ({*range(70)} if "many" in name else set())
    hit = vae.impute(MIXED)[::7, 4] == SPECIES[::7]
    assert hit.mean() > 0.5  # a third would be chance


def test_a_nominal_family_keeps_its_own_distribution_beside_others():
    """Categories of few levels share a softmax; this family is none."""
    vae = VAETransformer(2, max_iter=0, random_state=0, **OWN["nominal likelihood of two sizes"]).fit(MIXED)
    parts = vae.module_.likelihood.parts(vae.module_.decode(torch.zeros(1, 3, 2)))
    kinds = {tuple(columns): type(part) for _, columns, part in parts}
    assert kinds[(4,)] is kinds[(5,)] is Indices


def test_a_network_of_ones_own_is_asked_about_the_columns():
    with pytest.raises(ValueError, match="Reader takes at most 2 columns"):
        VAETransformer(2, encoder=Reader(most=2), max_iter=0).fit(IRIS)


def test_a_prior_of_ones_own_starts_at_the_codes_and_learns():
    start, trained = (
        VAETransformer(2, prior=TrainedSpread(), max_iter=n, early_stopping=False, random_state=0).fit(IRIS)
        for n in (0, 3)
    )
    assert (start.module_.prior.log_scale != TrainedSpread().build(2).log_scale).all()
    assert (start.module_.prior.log_scale != trained.module_.prior.log_scale).any()
    assert clone(trained).set_params(prior__scale=1.0).prior.scale == 1.0


def test_components_of_ones_own_fit_better_than_the_initialisation(cancer):
    own = {"prior": TrainedSpread(), "likelihood": DoubleExponential()}
    vae = VAETransformer(3, max_iter=30, random_state=0, **own).fit(cancer)
    assert vae.score(cancer) > VAETransformer(3, max_iter=0).fit(cancer).score(cancer)
