"""Training: the race, stopping, continuing, randomness, threads, callbacks."""

from contextlib import contextmanager

import numpy as np
import pytest
import skorch.callbacks
import torch
from failing import Failing
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from skvae import ELBO, Gaussian, Joint, VAETransformer
from skvae._fitting import fit
from skvae._inference import reading
from skvae._verbs import representation

FAST = {"n_components": 3, "max_iter": 5, "random_state": 0}


def weights(vae):
    return {name: tensor.clone() for name, tensor in vae.module_.state_dict().items()}


def assert_same(a, b):
    assert all(torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True))


def test_default_beats_pca_on_held_out_rows(cancer):
    train, test = train_test_split(cancer, random_state=0)
    vae = VAETransformer(5, random_state=0).fit(train)
    scaler = StandardScaler().fit(train)
    pca = PCA(5).fit(scaler.transform(train)).score(scaler.transform(test)) - np.log(scaler.scale_).sum()
    assert vae.score(test) > pca + 2
    assert vae.best_iter_ > 0


def test_the_history_is_in_data_space(wine):
    vae = VAETransformer(3, max_iter=1, random_state=0).fit(wine * 1000)
    start = VAETransformer(3, max_iter=0, random_state=0).fit(wine * 1000)
    assert vae.history_[0]["valid_loss"] == pytest.approx(-start.score(wine * 1000), abs=3)


def test_if_the_initialisation_wins_it_is_solved_on_all_rows():
    X = np.random.default_rng(0).normal(size=(150, 4))  # nothing to learn
    plain = {"likelihood": Gaussian(background=0), "prior": "normal"}
    vae = VAETransformer(2, learning_rate=0.1, n_iter_no_change=2, random_state=0, **plain).fit(X)
    assert vae.best_iter_ == 0 < vae.n_iter_
    assert_same(vae, VAETransformer(2, max_iter=0, random_state=0).fit(X))


def test_x_val_is_held_out_and_all_of_x_trains(cancer):
    train, valid = cancer[:400], cancer[400:]
    vae = VAETransformer(**FAST).fit(train, X_val=valid)
    shift, scale = train.mean(0), train.std(0)
    np.testing.assert_allclose(vae.fitted_.columns.shift, shift)
    np.testing.assert_allclose(vae.fitted_.columns.scale, scale)
    assert "valid_loss" in vae.history_[-1]


def test_few_rows_take_the_cautious_rule():
    X = np.random.default_rng(0).normal(size=(99, 4))
    vae = VAETransformer(2, random_state=0).fit(X)
    assert vae.n_iter_ == 30
    assert "valid_loss" not in vae.history_[-1]
    assert VAETransformer(2, max_iter=1, random_state=0).fit(np.vstack([X, X[:1] + 1])).history_[-1]["valid_loss"]


@pytest.mark.parametrize("schedule", [None, "inverse_sqrt", lambda epoch: 0.5**epoch])
def test_partial_fit_n_times_is_fit_with_max_iter_n(cancer, schedule):
    vae = VAETransformer(3, learning_rate_schedule=schedule, prior="normal", dropout=0.1, random_state=0)
    whole = clone(vae).set_params(max_iter=4, early_stopping=False).fit(cancer)
    for _ in range(4):
        vae.partial_fit(cancer)
    assert_same(vae, whole)
    assert vae.n_iter_ == 4
    np.testing.assert_array_equal(vae.transform(cancer), whole.transform(cancer))


def test_partial_fit_freezes_order_and_signs(cancer):
    vae = VAETransformer(6, learning_rate=0.05, random_state=0).partial_fit(cancer)
    order, signs = vae.order_.copy(), vae.signs_.copy()
    for _ in range(10):
        vae.partial_fit(cancer)
    np.testing.assert_array_equal(vae.order_, order)
    np.testing.assert_array_equal(vae.signs_, signs)


def test_components_come_sorted_by_information_with_a_fixed_sign(cancer):
    vae = VAETransformer(6, max_iter=20, random_state=0).fit(cancer)
    assert np.all(np.diff(vae.kl_per_component_) <= 0)
    assert sorted(vae.order_) == list(range(6))
    start = VAETransformer(6, max_iter=0, random_state=0).fit(cancer)
    covariance = np.cov(start.transform(cancer).T, StandardScaler().fit_transform(cancer).T)[:6, 6:]
    assert (np.take_along_axis(covariance, np.abs(covariance).argmax(1)[:, None], 1) > 0).all()
    codes = vae.transform(cancer)
    module_codes = (
        vae.fitted_.module_in(torch.float64).encode(torch.as_tensor(vae.fitted_.columns.standardize(cancer))).mean
    )
    np.testing.assert_allclose(codes, module_codes.detach().numpy()[:, vae.order_] * vae.signs_)


def test_inverse_transform_undoes_the_output_map(cancer):
    vae = VAETransformer(6, init="random", max_iter=3, random_state=0).fit(cancer)
    assert list(vae.order_) != list(range(6))
    assert -1 in vae.signs_
    codes = vae.transform(cancer[:9])
    module = vae.fitted_.module_in(torch.float64)
    with torch.no_grad():
        q = module.encode(torch.as_tensor(vae.fitted_.columns.standardize(cancer[:9])))
        direct = vae.fitted_.columns.to_data(module.decode(q.mean[None]).mean[0])
    np.testing.assert_allclose(vae.inverse_transform(codes), direct)


def test_warm_start_goes_on(cancer):
    vae = VAETransformer(3, max_iter=3, warm_start=True, early_stopping=False, random_state=0).fit(cancer).fit(cancer)
    assert vae.n_iter_ == 6
    assert_same(vae, VAETransformer(3, max_iter=6, early_stopping=False, random_state=0).fit(cancer))


def test_same_seed_same_bits_and_none_is_fresh(cancer):
    assert_same(VAETransformer(**FAST).fit(cancer), VAETransformer(**FAST).fit(cancer))
    generators = [np.random.RandomState(3) for _ in range(2)]
    a, b = (VAETransformer(3, max_iter=2, random_state=g).fit(cancer) for g in generators)
    assert_same(a, b)
    np.random.seed(0)  # noqa: NPY002 - the global generator must not matter
    c = VAETransformer(3, max_iter=2, early_stopping=False).fit(cancer)
    np.random.seed(0)  # noqa: NPY002
    d = VAETransformer(3, max_iter=2, early_stopping=False).fit(cancer)
    assert not np.array_equal(c.transform(cancer), d.transform(cancer))
    assert not np.array_equal(c.sample(2), c.sample(2))


def test_global_generators_are_untouched(cancer):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    vae = VAETransformer(**FAST, dropout=0.5).fit(cancer)
    vae.sample(10)
    vae.score(cancer)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_score_is_deterministic_and_row_wise(cancer):
    vae = VAETransformer(**FAST).fit(cancer)
    together = vae.score_samples(cancer)
    np.testing.assert_array_equal(together, vae.score_samples(cancer))
    np.testing.assert_allclose(together[:7], vae.score_samples(cancer[:7]), atol=1e-9)
    assert isinstance(vae.score(cancer), float)
    assert vae.score(cancer) == pytest.approx(together.mean())
    tighter = vae.score_samples(cancer, n_importance_samples=200)
    assert tighter.mean() > together.mean()


def test_methods_limit_threads(cancer, monkeypatch):
    """Each method that runs a network says what it is about to do."""
    works = []

    @contextmanager
    def noted(work):
        works.append(work)
        yield

    vae = VAETransformer(3, hidden_layer_sizes=(20,), max_iter=0).fit(cancer)
    for module in (reading, representation):
        monkeypatch.setattr(module, "limited_threads", noted)
    Z = vae.transform(cancer)
    vae.inverse_transform(Z)
    vae.score_samples(cancer[:10])
    encoder, decoder = 30 * 20 + 20 * 6 + 30 * 6, 3 * 20 + 20 * 30 + 3 * 30
    assert works == [569 * (encoder + decoder), 569 * (encoder + decoder), 10 * (encoder + 32 * decoder)]


def test_ctrl_c_propagates_and_skorchs_early_stopping_stops(cancer):
    class Interrupt(skorch.callbacks.Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VAETransformer(**FAST, callbacks=[Interrupt()]).fit(cancer)
    stop = skorch.callbacks.EarlyStopping(patience=2, threshold=1e9, threshold_mode="abs")
    vae = VAETransformer(3, callbacks=[stop], random_state=0).fit(cancer)
    assert vae.n_iter_ == 3  # one best epoch, two misses
    assert not hasattr(stop, "misses_") or stop.misses_ == 0  # the user's object was copied


def test_verbose_names_the_phases_and_prints_a_line_per_epoch(cancer, capsys):
    VAETransformer(**FAST, verbose=1).fit(cancer)
    lines = capsys.readouterr().out.splitlines()
    phases = [line.split(":")[0] for line in lines if line.startswith("[VAETransformer]")]
    assert phases == [
        f"[VAETransformer] {p}" for p in ("Reading the table", "Initialising", "Training", "Describing the model")
    ]
    table = [line for line in lines if not line.startswith("[")]
    assert table[0].split()[:2] == ["epoch", "left"]
    assert "valid_loss" in table[0]
    assert len(table) == 2 + 5
    assert table[-1].split()[:3] == ["5", "0", "s"]


def test_silent_by_default_and_a_chunk_has_no_phases(cancer, capfd):
    vae = VAETransformer(**FAST).fit(cancer)
    vae.sample(2, given={0: 15.0})
    assert capfd.readouterr() == ("", "")
    VAETransformer(**FAST, verbose=1).partial_fit(cancer)
    assert len(capfd.readouterr().out.splitlines()) == 2 + 1


def test_a_bar_of_epochs(cancer, capfd):
    vae = VAETransformer(**FAST, verbose=2).fit(cancer)
    said, bar = capfd.readouterr()
    assert "valid_loss" not in said
    profile = [line.split("] ")[1].split()[:-3] for line in said.splitlines() if line.endswith("%")]
    phases = "prepare", "validate", "choose K", "start", "race", "train", "hold out", "describe"
    assert [" ".join(words) for words in profile] == [*phases, "fit the prior", "margins", "in all"]
    last = bar.split("\r")[-1]
    assert "5/5" in last
    assert f"loss={vae.history_[-1]['valid_loss']:.4g}" in last
    assert f"best epoch={vae.best_iter_}" in last


@pytest.mark.parametrize("at_once", [False, True])
def test_a_bar_closes_when_the_training_fails(cancer, capfd, at_once):
    with pytest.raises(RuntimeError, match="failed") as caught:  # whose traceback keeps the bar alive
        VAETransformer(**FAST, verbose=2, callbacks=[Failing(at_once)]).fit(cancer)
    assert not tqdm._instances
    assert caught.tb
    assert ("1/5" in capfd.readouterr().err) == (not at_once)


def test_bfloat16_trains_and_infers_in_the_precision_of_x(cancer):
    vae = VAETransformer(3, max_iter=30, precision="bfloat16", random_state=0).fit(cancer)
    assert vae.transform(cancer).dtype == np.float64
    assert vae.best_iter_ > 0
    assert next(vae.module_.parameters()).dtype == torch.float32


@pytest.mark.slow
def test_compile_gives_the_same_model(cancer):
    a = VAETransformer(**FAST).fit(cancer)
    b = VAETransformer(**FAST, compile=True).fit(cancer)
    np.testing.assert_allclose(b.transform(cancer), a.transform(cancer), atol=1e-3)
    assert not any(name.startswith("_orig_mod") for name in b.module_.state_dict())


def test_a_schedule_with_two_optimizers_and_feedback(cancer):
    """The seam for variational EM and aggressive inference: several groups, steps that are sent the loss."""
    heard = []

    class Alternating(Joint):
        groups = (("inference",), ("generative",))

        def steps(self, batches):
            for batch in batches:
                heard.append((yield 0, batch))
                heard.append((yield 1, batch))

    start = VAETransformer(3, max_iter=0, random_state=0).fit(cancer)
    likelihood = Gaussian(background=0)  # a variance per row takes more than 20 epochs of steps in turn
    vae = VAETransformer(
        3, max_iter=20, likelihood=likelihood, learning_rate=4e-3, schedule=Alternating(), random_state=0
    )
    vae.fit(cancer)
    assert vae.best_iter_ > 0
    assert vae.score(cancer) > start.score(cancer)
    assert torch.isfinite(torch.cat(heard)).all()


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", torch.optim.RAdam])
def test_optimizers(cancer, optimizer):
    rate = 1e-4 if optimizer == "sgd" else 1e-3
    vae = VAETransformer(3, optimizer=optimizer, learning_rate=rate, max_iter=30, weight_decay=1e-2, random_state=0)
    assert vae.fit(cancer).best_iter_ > 0


def test_missing_cells(wine):
    rng = np.random.default_rng(0)
    X = np.where(rng.uniform(size=wine.shape) < 0.2, np.nan, wine)
    X[5], X[:, 4] = np.nan, np.nan  # an empty row and an empty column
    vae = VAETransformer(3, random_state=0).fit(X)
    assert np.isfinite(vae.transform(X)).all()
    scores = vae.score_samples(X)
    assert np.isfinite(scores).all()
    assert scores[5] == pytest.approx(0, abs=1.5)  # nothing observed: log 1, less the encoder's mistake
    one = np.full((1, 13), np.nan)
    one[0, 2] = X[np.isfinite(X[:, 2]), 2][0]
    other = one.copy()
    other[0, 3] = 100.0  # an observed outlier costs, a missing one does not
    assert vae.score_samples(other)[0] < vae.score_samples(one)[0] - 10
    assert vae.score(X) > VAETransformer(3, init=vae.init_, max_iter=0).fit(X).score(X)


def test_log_jacobian_is_of_the_observed_cells(wine):
    X = wine.copy()
    X[::3, 2] = np.nan
    a = VAETransformer(2, max_iter=1, random_state=0).fit(X).score_samples(X)
    b = VAETransformer(2, max_iter=1, random_state=0).fit(X * 8).score_samples(X * 8)
    observed = np.isfinite(X).sum(1)
    np.testing.assert_allclose(b - a, -observed * np.log(8), atol=1e-4)


def test_bernoulli_start_has_the_margins_and_beats_independence(bits):
    start = VAETransformer(2, max_iter=0, random_state=0).fit(bits)
    p = bits.mean(0)
    independent = (bits * np.log(p) + (1 - bits) * np.log(1 - p)).sum(1).mean()
    assert start.score(bits) > independent + 0.3
    np.testing.assert_allclose(start.sample(20000, random_state=0).mean(0), p, atol=0.03)
    trained = VAETransformer(2, max_iter=50, random_state=0).fit(bits)
    assert trained.score(bits) >= start.score(bits)


def test_likelihood_goes_by_type_never_by_one_columns_values():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    X[:, 1] = X[:, 1] > 0
    vae = VAETransformer(1, max_iter=0)
    assert {repr(f) for f in vae.fit(X).likelihoods_.values()} == {"Gaussian()"}
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(bool), "c": X[:, 1]})
    assert {k: repr(v) for k, v in vae.fit(frame).likelihoods_.items()} == {
        "a": "Gaussian()",
        "b": "Bernoulli()",
        "c": "Gaussian()",
    }
    score = vae.score(frame)
    assert np.isfinite(score)
    assert set(vae.sample(100)["b"].unique()) == {0.0, 1.0}


def test_scaling():
    X = load_digits().data[:400]
    variance = X.var(0)
    varies = variance > 0
    for scaling, scale in (("standard", X.std(0)), ("global", np.sqrt(variance[varies].mean())), (None, 1.0)):
        vae = VAETransformer(2, scaling=scaling, max_iter=0).fit(X)
        np.testing.assert_allclose(vae.fitted_.columns.scale, np.where(varies, scale, 1.0))
        assert np.isfinite(vae.score(X))


@pytest.mark.parametrize("scaling", ["standard", pytest.param("global", marks=pytest.mark.slow)])
def test_digits_and_digits_over_16_give_the_same_codes(scaling):
    """With seed 0 a pixel varies among held-out rows only, and a scale of 1 there would depend on the scale of X."""
    X = load_digits().data
    vae = VAETransformer(10, scaling=scaling, max_iter=2, random_state=0)
    np.testing.assert_array_equal(vae.fit_transform(X), vae.fit_transform(X / 16))


def test_noise_variance_is_in_data_space(wine):
    a = VAETransformer(2, max_iter=3, random_state=0).fit(wine).noise_variance_
    b = VAETransformer(2, max_iter=3, random_state=0).fit(wine * 16).noise_variance_
    np.testing.assert_allclose(b, 256 * a, rtol=1e-6)
    fixed = VAETransformer(2, likelihood=Gaussian(noise=0.25), early_stopping=False, max_iter=3).fit(wine)
    np.testing.assert_allclose(fixed.noise_variance_, 0.25, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["feature", "row"])
def test_noise_of_a_column_that_few_rows_decide_is_not_driven_to_nothing(noise):
    """Three rows of 1000 carry a column's whole variance: a net memorises them, a fourth one must stay affordable."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(1000, 6))
    X[:, 5] = 0
    X[[1, 2, 3], 5] = 5.0, 4.0, 6.0
    settings = {"early_stopping": False, "max_iter": 150, "learning_rate": 1e-2, "random_state": 0}
    vae = VAETransformer(2, likelihood=Gaussian(noise=noise), **settings).fit(X)
    share = vae.noise_variance_ / X.var(0)
    assert share[5] > 0.05  # kurtosis 345: as good as 6 normal rows
    assert share[:5].min() < 0.05  # well-determined columns are free
    start = VAETransformer(2, likelihood=Gaussian(noise=noise), init="pca", max_iter=0, random_state=0).fit(X)
    np.testing.assert_allclose(start.noise_variance_ / X.var(0), start.noise_variance_[0] / X.var(0)[0], rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 4), (3, 1), (1, 1)])
def test_tiny_and_constant_tables(shape):
    for X in (np.ones(shape) * 3.7, np.random.default_rng(0).normal(size=shape)):
        vae = VAETransformer(2, random_state=0).fit(X)
        assert np.isfinite(vae.score(X))
        assert np.isfinite(vae.transform(X)).all()
        assert np.isfinite(vae.sample(3)).all()


def test_a_warm_start_holds_the_same_rows_out(cancer, monkeypatch):
    held = []
    original = fit.split

    def spy(*args):
        result = original(*args)
        held.append({row.tobytes() for row in result[1][0].take()})
        return result

    vae = VAETransformer(2, warm_start=True, max_iter=5, random_state=0)
    monkeypatch.setattr(fit, "split", spy)
    vae.fit(cancer)
    assert vae.best_iter_ > 0  # the scaling is that of the training part now
    vae.fit(cancer)
    assert held[0] == held[1]


def test_a_resumed_fit_keeps_the_best_epoch_and_one_record_per_epoch(wine):
    vae = VAETransformer(3, warm_start=True, max_iter=15, random_state=0).fit(wine)
    best = vae.best_iter_
    vae.set_params(learning_rate=1e-30, max_iter=5).fit(wine)  # nothing can be better
    assert vae.best_iter_ == best
    assert [record["epoch"] for record in vae.history_] == list(range(21))


@pytest.mark.parametrize(
    "change", [{"n_components": 4}, {"posterior": "full"}, {"hidden_layer_sizes": (3,)}, {"optimizer": "sgd"}]
)
def test_what_the_model_is_made_of_cannot_change_while_it_goes_on(wine, change):
    vae = VAETransformer(2, random_state=0).partial_fit(wine).set_params(**change)
    with pytest.raises(ValueError, match=f"The '{next(iter(change))}' parameter of VAETransformer cannot change from"):
        vae.partial_fit(wine)


def test_every_callback_sees_the_epoch_that_stops(cancer):
    epochs = []

    class Count(skorch.callbacks.Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(net.history[-1, "epoch"])

    vae = VAETransformer(3, n_iter_no_change=3, tol=1e9, callbacks=[Count()], random_state=0).fit(cancer)
    assert epochs == [1, 2, 3]
    assert "dur" in vae.history_[-1]


def test_x_val_without_early_stopping_is_only_recorded(cancer):
    vae = VAETransformer(3, max_iter=6, early_stopping=False, n_iter_no_change=1, random_state=0)
    vae.fit(cancer[:300], X_val=cancer[300:])
    assert vae.n_iter_ == vae.best_iter_ == 6
    assert "valid_loss" in vae.history_[-1]
    assert_same(vae, VAETransformer(3, max_iter=6, early_stopping=False, random_state=0).fit(cancer[:300]))


class Infinite(ELBO):
    """A bound that is infinite for held-out rows."""

    def __call__(self, model, x, mask, u):
        parts = super().__call__(model, x, mask, u)
        return parts if model.training else parts | {"loss": parts["loss"] + torch.inf}


def test_a_held_out_loss_that_is_not_finite_is_an_error(wine):
    with pytest.raises(ValueError, match="held-out loss became inf"):
        VAETransformer(2, objective=Infinite(), random_state=0).fit(wine)


def test_normalised_weights_do_no_harm(cancer):
    whole = VAETransformer(3, max_iter=30, random_state=0).fit(cancer)
    weight = np.full(len(cancer), 1 / len(cancer))
    normalised = VAETransformer(3, max_iter=30, random_state=0).fit(cancer, sample_weight=weight)
    assert normalised.score(cancer) == pytest.approx(whole.score(cancer), abs=0.05)


@pytest.mark.slow
def test_threads_repeat(cancer):
    from joblib import Parallel, delayed

    def work():
        vae = VAETransformer(2, early_stopping=False, max_iter=2, hidden_layer_sizes=(64, 64), random_state=0).fit(
            cancer
        )
        return vae.score(cancer), vae.sample(200, random_state=0).sum()

    assert len(set(Parallel(4, backend="threading")(delayed(work)() for _ in range(24)))) == 1


def test_torchs_own_settings_do_not_break_a_fit(wine):
    expected = VAETransformer(**FAST).fit(wine)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            vae = VAETransformer(**FAST).fit(wine)
    finally:
        torch.set_default_dtype(torch.float32)
    assert next(vae.module_.parameters()).dtype == torch.float32
    assert np.isfinite(vae.score(wine))
    assert expected.n_iter_ == vae.n_iter_


def test_bernoulli_bias_keeps_rare_margins():
    """Strong slopes flatten the mean of a logistic; the start's bias makes up for it."""
    rng = np.random.default_rng(0)
    bits = (rng.normal(size=(4000, 1)) + 0.3 * rng.normal(size=(4000, 6)) > 1.3).astype(float)
    start = VAETransformer(1, max_iter=0, random_state=0).fit(bits)
    np.testing.assert_allclose(start.sample(40_000, random_state=0).mean(0), bits.mean(0), atol=0.03)


def test_an_empty_table_is_not_a_table_of_bits():
    vae = VAETransformer(2, max_iter=0).fit(np.full((5, 3), np.nan))
    assert {repr(f) for f in vae.likelihoods_.values()} == {"Constant()"}


@pytest.mark.parametrize("schedule", ["joint", "em"])
def test_an_autoencoder_of_constants_has_nothing_to_learn(schedule):
    """Found by tests/fuzz: its loss depends on no parameter, and torch refused to go back through it."""
    X = np.tile([0.5, 3.0], (12, 1))
    vae = VAETransformer(1, objective="ae", schedule=schedule, max_iter=2, random_state=0).fit(X)
    np.testing.assert_array_equal(vae.reconstruct(X), X)


@pytest.mark.parametrize(("n_samples", "gradient"), [(2, "pathwise"), (3, "pathwise"), (2, "score_function")])
def test_draws_of_a_step_come_in_pairs(wine, n_samples, gradient):
    """The last of an odd number is alone; the score function's are independent."""
    heard = []

    class Heard(ELBO):
        def __call__(self, model, x, mask, u):
            if model.training:
                heard.append(u)
            return super().__call__(model, x, mask, u)

    objective = Heard(n_samples=n_samples, gradient=gradient)
    VAETransformer(2, objective=objective, max_iter=1, random_state=0).fit(wine)
    assert heard
    for u in heard:
        assert len(u) == n_samples
        assert torch.equal(u[0], -u[1]) == (gradient == "pathwise")
        assert n_samples == 2 or not torch.equal(u[2].abs(), u[0].abs())
