"""Objectives with a critic: what their players find, on blobs, in boxes and against formulas by hand."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from skvae import AAE, AVB, GAN, VAEGAN, Gaussian, Point, UniformPrior, VAETransformer, metrics
from skvae._fitting.plan import Plan
from skvae.objectives.adversarial import logistic_loss

IRIS = load_iris().data


def blobs(seed=0, n_rows=300, distance=4.0):
    """Three round blobs of equal size in five columns: rows, the blob of each, and centres."""
    rng = np.random.default_rng(seed)
    centers = distance * rng.normal(size=(3, 5))
    blob = np.arange(n_rows) % 3
    return centers[blob] + rng.normal(size=(n_rows, 5)), blob, centers


def shares(rows, centers):
    """The share of the rows that lies nearest to each centre."""
    nearest = np.square(rows[:, None] - centers).sum(-1).argmin(1)
    return np.bincount(nearest, minlength=3) / len(rows)


def assert_covers(seed, **parameters):
    X, _, centers = blobs(seed)
    gan = VAETransformer(2, objective="gan", random_state=seed, **parameters).fit(X)
    share = shares(gan.sample(2000, random_state=0), centers)
    assert share.min() > 0.2
    assert share.max() < 0.47


def test_a_gan_covers_three_blobs():
    """A third each; the bounds leave room for a game that still moves, and not for a blob that is lost."""
    assert_covers(0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 10))
def test_a_gan_covers_three_blobs_of_any_seed(seed):
    assert_covers(seed)


def test_a_game_has_its_steps_however_few_the_rows():
    plan = Plan.of(VAETransformer(objective="gan").get_params(deep=False), "VAETransformer")
    for n_rows in (5, 90, 150, 300, 1000, 100_000):
        shape = n_rows, 2
        n_steps = plan.max_epochs(shape) * np.ceil(n_rows / plan.batch_size(shape))
        assert 3000 <= n_steps <= 6200
        assert plan.held_out(shape) == (False, plan.max_epochs(shape)) <= (False, plan.most_epochs)
    assert plan.hidden_layer_sizes(300) == (128, 128)


def test_the_gradient_penalty_by_hand():
    """gamma / 2 times the squared slopes of the critic at both sources, by finite differences in float64."""
    torch.manual_seed(0)
    objective = GAN(hidden_layer_sizes=(8,), gradient_penalty=3.0)
    critic = objective.auxiliary(2, 1).double()
    for parameter in critic.parameters():
        torch.nn.init.normal_(parameter)

    class Holder:
        auxiliary = critic

    real, fake, h = torch.randn(5, 2).double(), torch.randn(5, 2).double(), 1e-5 * torch.eye(2).double()
    slopes = [torch.stack([(critic(x + e) - critic(x - e)) / 2e-5 for e in h], -1) for x in (real, fake)]
    expected = logistic_loss(critic(real), critic(fake)) + 1.5 * sum(slope.square().sum(-1) for slope in slopes)
    torch.testing.assert_close(objective._critic_loss(Holder, real, fake), expected, rtol=1e-6, atol=0)
    plain = GAN(gradient_penalty=0.0)._critic_loss(Holder, real, fake)
    torch.testing.assert_close(plain, logistic_loss(critic(real), critic(fake)))


@pytest.mark.parametrize("objective", [AAE(betas=(0.2, 0.9)), AVB(betas=(0.2, 0.9)), GAN(), VAEGAN()], ids=repr)
def test_penalty_and_betas_reach_the_training(objective):
    """With either of them otherwise the models differ; with torch's own Adam and the same numbers they agree."""

    def weights(optimizer="adam", **changed):
        vae = VAETransformer(2, objective=objective, optimizer=optimizer, hidden_layer_sizes=(4,), max_iter=2)
        vae.set_params(**{f"objective__{name}": value for name, value in changed.items()}, random_state=0).fit(IRIS)
        return torch.cat([p.detach().flatten() for p in vae.module_.decoder.parameters()])

    here = weights()
    torch.testing.assert_close(weights(torch.optim.Adam), here, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(weights(betas=None), here, rtol=1e-3)
    assert not torch.allclose(weights(gradient_penalty=20.0), here, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(weights("sgd", betas=(0.0, 0.9)), weights("sgd", betas=(0.9, 0.9)), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_codes_of_an_aae_are_as_near_to_the_prior_as_those_of_a_wae(seed):
    """On blobs, whose codes begin in three heaps, and at no more error."""
    X, _, _ = blobs(seed)
    aae, wae = (VAETransformer(2, objective=name, random_state=seed).fit(X) for name in ("aae", "wae_mmd"))
    assert metrics.mmd_to_prior(aae, X) < metrics.mmd_to_prior(wae, X) + 2e-3  # twice the noise of 300 codes
    assert metrics.reconstruction_error(aae, X) < metrics.reconstruction_error(wae, X)


@pytest.mark.parametrize("objective", ["aae", "wae_mmd", "ae"])
def test_codes_stay_in_their_box(objective):
    """Also those of rows far out, and they fill it."""
    low, high = -2.0, 1.0
    given = {"posterior": Point(low, high)} if objective == "ae" else {"prior": UniformPrior(low, high)}
    vae = VAETransformer(2, objective=objective, max_iter=20, random_state=0, **given).fit(IRIS)
    assert vae.fitted_.parts.posterior.get_params() == {"low": low, "high": high}
    far = np.concatenate([IRIS, 100 * IRIS, -100 * IRIS])
    far[::7, 1] = np.nan
    Z = vae.transform(far)
    assert low <= Z.min() < low + 0.5
    assert high - 0.5 < Z.max() <= high
    assert np.isfinite(vae.inverse_transform(Z)).all()


def test_a_box_begins_filled():
    """Phi of codes that begin near normal, so that little is left to do for the critic: uniform deciles to 0.05."""
    X = np.random.default_rng(0).normal(size=(1000, 2)) @ np.array([[1.0, 0.5, 0.2], [0.0, 1.0, -1.0]])
    vae = VAETransformer(2, objective="aae", prior="uniform", max_iter=0).fit(X)
    deciles = np.quantile(vae.transform(X), np.arange(1, 10) / 10, axis=0)
    np.testing.assert_allclose(deciles, np.repeat(np.arange(1, 10)[:, None] / 10, 2, axis=1), atol=0.05)
    assert metrics.reconstruction_error(vae, X) < 0.1  # of which the lines through Phi take all


@pytest.mark.parametrize("box", [{"low": 0.0}, {"high": 1.0}, {"low": 1.0, "high": 1.0}, {"low": 2.0, "high": 1.0}])
def test_half_a_box_explains(box):
    with pytest.raises(ValueError, match="Point takes low < high"):
        VAETransformer(2, objective="wae_mmd", posterior=Point(**box), max_iter=1).fit(IRIS)


@pytest.mark.parametrize("betas", [(0.5,), (0.5, 1.0), 0.5, (0.5, 0.9, 0.9)])
def test_bad_betas_explain(betas):
    with pytest.raises(ValueError, match="'betas' parameter of GAN"):
        VAETransformer(2, objective=GAN(betas=betas), max_iter=1).fit(IRIS)


def test_without_weight_a_vae_gan_is_a_vae():
    """The critic then watches: the bound and its gradients are those of the ELBO, over the same draws of codes."""
    options = {"likelihood": Gaussian(noise="feature", background=0), "prior": "normal", "max_iter": 3}
    options |= {"hidden_layer_sizes": (8,), "early_stopping": False, "random_state": 0}
    vae = VAETransformer(2, **options).fit(IRIS)
    watched = VAETransformer(2, objective=VAEGAN(weight=0.0, betas=None), **options).fit(IRIS)
    assert watched.score(IRIS) == pytest.approx(vae.score(IRIS), abs=0.02)
    np.testing.assert_allclose(watched.transform(IRIS), vae.transform(IRIS), atol=0.05)


def test_draws_of_a_vae_gan_look_like_rows():
    """A critic that counts, beside the same that only watches: fewer draws between blobs, at no lower a bound."""
    X, _, centers = blobs()

    def fitted(weight):
        vae = VAETransformer(2, objective=VAEGAN(weight=weight), max_iter=60, random_state=0).fit(X)
        distance = np.linalg.norm(vae.sample(3000, random_state=0)[:, None] - centers, axis=-1).min(1)
        return vae, np.mean(distance < 4)  # within four standard deviations of a blob: 99 % of the rows

    (vae, inside), (watched, expected) = fitted(20.0), fitted(0.0)
    assert inside > expected + 0.03  # three standard errors of a difference of two shares of 3000
    assert vae.score(X) > watched.score(X) - 0.2
