"""Verbs: what is offered, hidden, consistent and repeatable for every kind of model."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.distributions import Bernoulli, MultivariateNormal, Normal

import skvae
from skvae import AAE, AVB, ELBO, Aggressive, CategoricalPosterior, LinearAnnealing, VAETransformer, metrics
from skvae._inference.fitted import adopt
from skvae.distributions import coupling as flows
from skvae.distributions.latent import OneHots, PointMass, Reordered

IRIS = load_iris(as_frame=True).data


def test_hidden_verbs_say_why():
    ae, gan = VAETransformer(objective="ae"), VAETransformer(objective="gan")
    assert hasattr(ae, "transform")
    assert not hasattr(ae, "score")
    assert not hasattr(ae, "score_samples")
    for verb in (
        "transform",
        "fit_transform",
        "inverse_transform",
        "encode",
        "reconstruct",
        "score",
        "get_feature_names_out",
    ):
        assert not hasattr(gan, verb), verb
    assert hasattr(gan, "sample")
    assert hasattr(gan, "decode")
    with pytest.raises(AttributeError) as hidden:
        ae.score  # noqa: B018
    assert "scoring=skvae.metrics.neg_reconstruction_error" in str(hidden.value.__cause__)
    with pytest.raises(AttributeError) as hidden:
        gan.transform  # noqa: B018
    assert "without an encoder" in str(hidden.value.__cause__)
    assert hasattr(VAETransformer(objective="aae", posterior="diag"), "score")  # it has a density
    assert not hasattr(VAETransformer(), "prior_responsibilities")
    assert hasattr(VAETransformer(posterior="nonsense"), "score")  # fit will complain, not hasattr


def test_set_output_and_hidden_verbs_live_together():
    gan = VAETransformer(2, objective="gan", max_iter=1, random_state=0).fit(IRIS)
    assert not hasattr(gan, "transform")
    assert list(gan.sample(2, random_state=0).columns) == list(IRIS.columns)
    codes = VAETransformer(2, posterior=CategoricalPosterior(n_classes=2), max_iter=1, random_state=0)
    frame = codes.set_output(transform="pandas").fit_transform(IRIS)
    assert list(frame.columns) == [f"vaetransformer{k}_{c}" for k in range(2) for c in range(2)]
    np.testing.assert_allclose(frame.iloc[:, :2].sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("posterior", "kind"),
    [("diag", Normal), ("full", MultivariateNormal), ("flow", Reordered), ("laplace", Reordered),
     ("categorical", OneHots), ("gamma", Reordered)],
)  # fmt: skip
def test_encode_agrees_with_transform(posterior, kind):
    vae = VAETransformer(3, posterior=posterior, max_iter=3, random_state=1).fit(IRIS)
    signs = np.array([1, -1, 1] if posterior != "categorical" else [1, 1, 1])
    adopt(vae, replace(vae.fitted_, order=np.array([2, 0, 1]), signs=signs))
    q = vae.encode(IRIS)
    assert isinstance(q, kind)
    np.testing.assert_allclose(q.mean, vae.transform(IRIS), rtol=1e-6)
    np.testing.assert_allclose(vae.inverse_transform(vae.transform(IRIS)), vae.reconstruct(IRIS), rtol=1e-5)
    draws = q.sample((4000,))
    error = 5 * (q.variance / 4000).sqrt() + 0.05
    assert bool(((draws.mean(0) - q.mean).abs() < error).all())
    assert q.log_prob(q.sample()).shape == ((150, 3) if not q.event_shape else (150,))
    # The density goes with the draws: that of the module at the module's own codes.
    inner, z = getattr(q, "q", None), q.sample()
    if inner is not None:
        own = torch.empty_like(z)
        own[:, vae.order_] = z * torch.as_tensor(vae.signs_)
        expected = inner.log_prob(own)
        expected = expected if q.event_shape else expected[:, vae.order_]
        torch.testing.assert_close(q.log_prob(z), expected)


def test_point_codes_are_reordered_too():
    ae = VAETransformer(2, objective="ae", max_iter=3, random_state=0).fit(IRIS)
    assert isinstance(ae.encode(IRIS), PointMass)
    np.testing.assert_allclose(ae.encode(IRIS).mean, ae.transform(IRIS))


def test_decode_is_a_distribution_in_data_units():
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(IRIS)
    Z = vae.transform(IRIS)
    p = vae.decode(Z)
    np.testing.assert_allclose(p.mean, vae.inverse_transform(Z), rtol=1e-6)
    scale = np.sqrt(vae.noise_variance_)
    np.testing.assert_allclose(p.log_prob(IRIS), stats.norm(p.mean, scale).logpdf(IRIS), rtol=1e-5)
    np.testing.assert_allclose(p.variance[0], vae.noise_variance_, rtol=1e-5)
    holes = IRIS.mask(IRIS > 5)
    assert bool((p.log_prob(holes)[np.isnan(holes.to_numpy())] == 0).all())
    torch.manual_seed(0)
    np.testing.assert_allclose(p.sample((2000,)).mean(0), p.mean, atol=0.1)


def test_decode_of_counts_and_booleans():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"visits": rng.poisson(3.0, 200), "member": rng.random(200) < 0.3, "height": rng.normal(size=200)}
    )
    vae = VAETransformer(2, likelihood=[("poisson", ["visits"])], max_iter=2, random_state=0).fit(table)
    p = vae.decode(vae.transform(table))
    np.testing.assert_allclose(p.log_prob(table)[:, 0], stats.poisson(p.mean[:, 0]).logpmf(table["visits"]), rtol=1e-5)
    np.testing.assert_allclose(
        p.log_prob(table)[:, 1], Bernoulli(p.mean[:, 1]).log_prob(torch.as_tensor(table["member"].to_numpy(float)))
    )
    assert set(np.unique(p.mode[:, 1])) <= {0.0, 1.0}


def test_reconstruct_through_the_center_and_by_the_test_phase():
    frame = IRIS.set_index(IRIS.index + 1000)
    vae = VAETransformer(2, max_iter=5, random_state=0).fit(frame)
    through = vae.reconstruct(frame)
    pd.testing.assert_frame_equal(through, vae.inverse_transform(pd.DataFrame(vae.transform(frame), frame.index)))
    drawn = [vae.reconstruct(frame, sample=True, random_state=s) for s in (0, 0, 1)]
    pd.testing.assert_frame_equal(drawn[0], drawn[1])
    assert not drawn[0].equals(drawn[2])
    many = np.mean([vae.reconstruct(frame, sample=True, random_state=s) for s in range(200)], axis=0)
    np.testing.assert_allclose(many, through, atol=0.3)


def test_grid_search_over_what_has_no_score():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), VAETransformer(objective="ae", max_iter=5, random_state=0)),
        {"vaetransformer__n_components": [1, 3]},
        scoring=metrics.neg_reconstruction_error,
        cv=3,
    ).fit(IRIS)
    assert search.best_params_ == {"vaetransformer__n_components": 3}
    with pytest.raises(TypeError, match="scor"):
        GridSearchCV(VAETransformer(objective="ae"), {"n_components": [1]}).fit(IRIS)


def test_grid_search_over_components():
    grid = {"objective": ["elbo", "iwae"], "posterior": ["diag", "full"], "prior": ["auto", "mixture"]}
    search = GridSearchCV(VAETransformer(2, max_iter=1, random_state=0), grid, cv=2, error_score="raise").fit(IRIS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    nested = GridSearchCV(
        VAETransformer(1, posterior="categorical", max_iter=1, random_state=0), {"posterior__n_classes": [2, 3]}, cv=2
    ).fit(IRIS)
    assert nested.best_estimator_.module_.width in (2, 3)


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": AAE()},
        {"objective": AVB()},
        {"objective": "gan"},
        {"objective": "wae_mmd"},
        {"schedule": "em"},
        {"schedule": Aggressive(max_inference_steps=12)},
        {"objective": ELBO(beta=LinearAnnealing(n_epochs=3))},
        {"posterior": "categorical"},
        {"posterior": "gamma"},
        {"prior": "vamp"},
        {"objective": ELBO(gradient="score_function", n_samples=2)},
    ],
    ids=repr,
)
def test_single_passes_equal_one_fit_through_a_pickle(parameters):
    """Critic, optimizers and annealing go on bit for bit, also from a stored state."""
    vae = VAETransformer(2, hidden_layer_sizes=(4,), random_state=0, keep_optimizer=True, **parameters)
    whole = clone(vae).set_params(max_iter=4, early_stopping=False).fit(IRIS)
    for _ in range(4):
        vae = pickle.loads(pickle.dumps(vae.partial_fit(IRIS)))
    for name, parameter in whole.module_.state_dict().items():
        assert torch.equal(parameter, vae.module_.state_dict()[name]), name


def test_a_critic_cannot_change_while_a_model_goes_on():
    vae = VAETransformer(2, objective=AAE(), max_iter=1, warm_start=True, random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match="'objective' parameter"):
        vae.set_params(objective=AAE(hidden_layer_sizes=(8,))).fit(IRIS)
    plain = VAETransformer(2, max_iter=1, warm_start=True, random_state=0).fit(IRIS)
    plain.set_params(objective="iwae").fit(IRIS)  # both move the same parameters


def test_global_generators_and_inputs_stay_as_they_were():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002 - the global one is the point
    for objective in ("aae", "wae_mmd", "avb", "ae", "gan"):
        vae = VAETransformer(2, objective=objective, max_iter=2, random_state=0).fit(IRIS)
        vae.sample(3, random_state=0)
        if hasattr(vae, "transform"):
            vae.reconstruct(IRIS, sample=True, random_state=0)
            metrics.mmd_to_prior(vae, IRIS)
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


@pytest.mark.parametrize("objective", ["aae", "wae_mmd", "avb", "gan"])
def test_same_seed_same_bits(objective):
    a, b = (VAETransformer(2, objective=objective, max_iter=3, random_state=3).fit(IRIS) for _ in range(2))
    np.testing.assert_array_equal(a.sample(5, random_state=0), b.sample(5, random_state=0))
    assert a.history_[-1]["train_loss"] == b.history_[-1]["train_loss"]


def test_held_out_rows_see_the_same_draws_of_the_prior_every_epoch():
    vae = VAETransformer(2, objective="wae_mmd", learning_rate=1e-12, max_iter=4, random_state=0, n_iter_no_change=9)
    X = np.random.default_rng(0).normal(size=(200, 3))
    losses = [record["valid_loss"] for record in vae.fit(X).history_]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_missing_cells_under_every_objective():
    X = IRIS.to_numpy().copy()
    X[::7, 1] = np.nan
    for objective in ("elbo", "iwae", "ae", "wae_mmd", "aae", "avb", "gan"):
        vae = VAETransformer(2, objective=objective, max_iter=2, random_state=0).fit(X)
        assert np.isfinite(vae.sample(5, random_state=0)).all()
        if hasattr(vae, "transform"):
            assert np.isfinite(vae.transform(X)).all()


def test_zuko_is_imported_late_and_leaves_validation_on():
    code = (
        "import sys, skvae; assert 'zuko' not in sys.modules\n"
        "from torch.distributions import Distribution\n"
        "import numpy as np; X = np.random.default_rng(0).normal(size=(60, 3))\n"
        "skvae.VAETransformer(2, posterior='flow', prior='flow', max_iter=1).fit(X)\n"
        "assert 'zuko' in sys.modules and Distribution._validate_args"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_zuko_is_an_error_that_says_what_to_install(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(flows.importlib, "import_module", absent)
    with pytest.raises(ImportError, match="pip install zuko"):
        VAETransformer(2, posterior="flow", max_iter=1).fit(IRIS)


# ---------------------------------------------------------------- findings of reviews


def test_a_refit_leaves_nothing_stale():
    vae = VAETransformer(2, objective="ae", max_iter=2, random_state=0).fit(IRIS)
    assert hasattr(vae, "code_density_")
    vae.set_params(objective="elbo").fit(IRIS)
    assert not hasattr(vae, "code_density_")
    fresh = VAETransformer(2, max_iter=2, random_state=0).fit(IRIS)
    pd.testing.assert_frame_equal(vae.sample(5, random_state=0), fresh.sample(5, random_state=0))
    assert not hasattr(vae.set_params(objective="ae").fit(IRIS), "kl_per_component_")


def test_what_a_fitted_model_offers_goes_by_its_fit():
    vae = VAETransformer(2, objective="ae", max_iter=1, random_state=0).fit(IRIS).set_params(objective="elbo")
    assert not hasattr(vae, "score")  # until the next fit
    gan = VAETransformer(2, objective="gan", max_iter=1, random_state=0).fit(IRIS).set_params(objective="elbo")
    assert not hasattr(gan, "transform")
    assert gan.fit_transform(IRIS).shape == (150, 2)


@pytest.mark.parametrize(("first", "then"), [("elbo", "ae"), ("ae", "elbo"), ("elbo", "avb")])
def test_auto_cannot_mean_something_else_while_a_model_goes_on(first, then):
    vae = VAETransformer(2, objective=first, max_iter=1, warm_start=True, random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match="'posterior' parameter of VAETransformer cannot change"):
        vae.set_params(objective=then).fit(IRIS)


@pytest.mark.parametrize(
    "posterior", ["gamma", "exponential", "log_normal", "weibull", "beta", "dirichlet", "categorical"]
)
def test_starts_of_codes_that_are_not_normal_are_no_worse_than_no_codes(posterior):
    """But for what the KL of codes costs that an affine decoder cannot read: within two nats."""
    X = IRIS.to_numpy()
    no_codes = stats.norm(X.mean(0), X.std(0)).logpdf(X).sum(1).mean()
    assert VAETransformer(2, posterior=posterior, max_iter=0, random_state=0).fit(X).score(X) > no_codes - 2


class Square(skvae.Annealing):
    """A user's own course, without start and end."""

    def __init__(self, n=5):
        self.n = n

    def __call__(self, epoch):
        return min(1.0, (epoch / self.n) ** 2)


def test_a_users_own_annealing():
    vae = VAETransformer(2, objective=ELBO(beta=Square()), max_iter=2, random_state=0).fit(IRIS)
    assert np.isfinite(pickle.loads(pickle.dumps(vae)).score(IRIS))


def test_weights_reach_the_density_of_codes_and_the_members_of_a_prior():
    rng = np.random.default_rng(0)
    far = np.repeat([0, 1], 200)
    X = rng.normal(size=(400, 3)) + 20 * far[:, None]
    weight = np.where(far, 1.0, 9.0)
    ae = VAETransformer(1, objective="ae", max_iter=5, random_state=0).fit(X, sample_weight=weight)
    assert np.mean(ae.sample(2000, random_state=0)[:, 0] < 10) == pytest.approx(0.9, abs=0.04)
    prior = skvae.NormalMixture(n_members=2)
    vae = VAETransformer(1, prior=prior, max_iter=0, random_state=0).fit(X, sample_weight=weight)
    assert vae.module_.prior.logits.softmax(0).max().item() == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize(
    "parameters", [{"objective": "ae"}, {"prior": "mixture"}, {"prior": "vamp"}, {"prior": "flow"}]
)
@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_few_rows_and_one_component(parameters, n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 4))
    vae = VAETransformer(1, max_iter=2, random_state=0, **parameters).fit(X)
    assert np.isfinite(vae.sample(4, random_state=0)).all()
    if hasattr(vae, "score"):
        assert vae.score(X) > VAETransformer(1, max_iter=2, random_state=0).fit(X).score(X) - 10


def test_gan_with_several_families():
    table = np.abs(np.random.default_rng(0).normal(size=(150, 3)))
    gan = VAETransformer(2, objective="gan", likelihood=[("gamma", [0]), ("laplace", [1])], max_iter=2, random_state=0)
    assert (gan.fit(table).sample(50, random_state=0)[:, 0] > 0).all()


def test_closed_form_of_bounded_codes_against_a_box():
    for objective in (ELBO(kl="analytic"), ELBO(gradient="score_function", n_samples=2)):
        vae = VAETransformer(2, posterior="beta", prior="uniform", objective=objective, max_iter=2, random_state=0)
        assert np.isfinite(vae.fit(IRIS).score(IRIS))


def test_objectives_without_a_monitor_hold_nothing_out():
    X = np.random.default_rng(0).normal(size=(200, 3))
    aae = VAETransformer(2, objective="aae", max_iter=3, random_state=0).fit(X)
    assert "valid_loss" not in aae.history_[0]
    assert aae.best_iter_ == 3
