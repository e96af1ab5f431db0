"""``n_components="auto"``: what is chosen, that everything after it is a fit of that number, and what is refused."""

import time

import numpy as np
import pandas as pd
import pytest
import torch

from skvae import Checkpoint, VAETransformer
from skvae._fitting.n_components import NestedELBO
from skvae._inference.evaluation import elbo, truncated_elbo

LINEAR = {"n_components": "auto", "max_iter": 0}
N_COLUMNS = 20


def made(n_factors, n_rows, seed, curve=lambda t: t):
    """Columns of unit variance that factors explain, and noise of 0.3 of it."""
    rng = np.random.default_rng(seed)
    signal = curve(rng.normal(size=(n_rows, n_factors)) @ rng.normal(size=(n_factors, N_COLUMNS)))
    return signal / signal.std(0) + 0.3 * rng.normal(size=(n_rows, N_COLUMNS))


FRAME = pd.DataFrame(made(2, 200, 0)[:, :5]).add_prefix("c")


def chosen(X, **parameters):
    return VAETransformer(**{**LINEAR, "random_state": 0, **parameters}).fit(X).n_components_


# ---------------------------------------------------------------- the choice


@pytest.mark.parametrize("n_factors", [1, 3, 8])
def test_linear_factors_are_counted(n_factors):
    counts = [chosen(made(n_factors, 500, seed)) for seed in range(3)]
    assert max(abs(np.array(counts) - n_factors)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("n_rows", [500, 1500, 5000])
@pytest.mark.parametrize("n_factors", [1, 3, 8])
def test_factors_are_counted_with_nets(n_factors, n_rows):
    counts = [chosen(made(n_factors, n_rows, seed), max_iter=1) for seed in range(10)]
    assert sum(abs(np.array(counts) - n_factors) <= 1) >= 9


def test_nets_count_a_curved_factor_once():
    """A linear model needs another component for each bend."""
    X = made(1, 500, 3, lambda t: np.sin(1.5 * t))
    assert chosen(X) == 3
    assert chosen(X, max_iter=1) <= 2


def test_nets_count_what_no_correlation_shows():
    """Products of the coordinates of a point on a sphere are uncorrelated with each other and with these."""
    rng = np.random.default_rng(0)
    x, y, z = (u := rng.normal(size=(3, 1000))) / np.linalg.norm(u, axis=0)
    X = np.column_stack([x, y, z, x * y, y * z, x * z]) + 0.03 * rng.normal(size=(1000, 6))
    assert chosen(X) == 1
    assert chosen(X, max_iter=1) in (2, 3)


def test_noise_alone_has_the_least():
    assert chosen(np.random.default_rng(0).normal(size=(300, 6))) == 1


def test_held_out_rows_of_ones_own_choose():
    """They have one factor of three; the other two cost their KL."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(3, 10))

    def rows(n, *scales):
        return rng.normal(size=(n, 3)) * scales @ loadings + 0.3 * rng.normal(size=(n, 10))

    vae = VAETransformer("auto", max_iter=0, random_state=0)
    assert vae.fit(rows(300, 1, 1, 1), X_val=rows(200, 1, 1, 1)).n_components_ == 3
    assert vae.fit(rows(300, 1, 0, 0), X_val=rows(200, 1, 0, 0)).n_components_ == 1


def test_tables_of_any_kind():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(300, 2))
    frame = pd.DataFrame(factor @ rng.normal(size=(2, 6)) + 0.2 * rng.normal(size=(300, 6)))
    frame = frame.mask(rng.random(frame.shape) < 0.1).add_prefix("c")
    frame["kind"] = np.where(factor[:, 0] > 0.5, "a", "b")
    frame["site"] = rng.choice(["x", "y"], 300)
    assert chosen(frame, conditions=["site"]) in (2, 3)


@pytest.mark.parametrize(
    "other", [{"objective": "ae"}, {"posterior": "full"}, {"objective": "gan"}, {"init": "random"}]
)
def test_whatever_is_trained_the_choice_is_the_same(other):
    X = made(2, 200, 0)
    assert chosen(X, **other) == chosen(X) == 2


# ---------------------------------------------------------------- the trial


def test_the_trial_raises_the_bounds_that_choose():
    """Each of K rows is cut off after another number of components; an exact linear decoder has no other terms."""
    module = VAETransformer(3, max_iter=0, likelihood="gaussian").fit(made(3, 100, 0)).module_.double()
    x = torch.from_numpy(made(3, 3, 1))
    u = torch.randn(16, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([truncated_elbo(module, x, None, u, k) for k in (1, 2, 3)])
    assert sorted(cuts(NestedELBO()(module, x, None, u), expected)) == [0, 1, 2]
    torch.testing.assert_close(truncated_elbo(module, x, None, u, 3), elbo(module, x, None, u))


def cuts(parts, expected):
    """Which of the bounds (K, B) of all cuts a row has, (B,)."""
    gap = (expected + parts["loss"]).abs()
    assert gap.amin(0).max() < 1e-6
    return gap.argmin(0).tolist()


def test_a_batch_of_one_row_trains_all_components():
    """Each of 40 steps misses the last of three with probability 2/3: all of them with 1e-7."""
    module = VAETransformer(3, max_iter=0, likelihood="gaussian").fit(made(3, 100, 0)).module_.double()
    x, u = torch.from_numpy(made(3, 2, 1)[:1]), torch.zeros(1, 1, 3, dtype=torch.float64)
    expected = torch.stack([truncated_elbo(module, x, None, u, k) for k in (1, 2, 3)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert {cuts(NestedELBO()(module, x, None, u), expected)[0] for _ in range(40)} == {0, 1, 2}


def test_a_component_that_is_cut_off_costs_no_kl_and_tells_nothing():
    module = VAETransformer(2, max_iter=0).fit(made(2, 100, 0)).module_.double()
    x = torch.from_numpy(made(2, 5, 1))
    u = torch.zeros(1, 1, 2, dtype=torch.float64)
    nothing = module.log_likelihood(x, None, torch.zeros(1, 5, 2, dtype=torch.float64))[0]
    torch.testing.assert_close(truncated_elbo(module, x, None, u, 0), nothing)


# ---------------------------------------------------------------- what keeps it


def test_the_fit_is_that_of_the_number():
    X = made(2, 200, 0)
    auto = VAETransformer("auto", max_iter=3, random_state=0).fit(X)
    number = VAETransformer(auto.n_components_, max_iter=3, random_state=0).fit(X)
    np.testing.assert_array_equal(auto.transform(X), number.transform(X))
    assert number.n_components_ == auto.n_components_ == auto.transform(X).shape[1]
    assert list(auto.get_feature_names_out()) == [f"vaetransformer{k}" for k in range(auto.n_components_)]
    assert auto.n_components == "auto"


def test_later_calls_keep_it():
    more = made(5, 300, 7)[:, :5]
    linear = {"hidden_layer_sizes": (), "random_state": 0}
    vae = VAETransformer("auto", max_iter=1, warm_start=True, **linear).fit(FRAME)
    n = vae.n_components_
    assert chosen(more) != n
    assert vae.fit(pd.DataFrame(more, columns=FRAME.columns)).n_components_ == n
    assert vae.partial_fit(FRAME).n_components_ == n
    assert vae.set_params(n_components=n).partial_fit(FRAME).n_components_ == n
    with pytest.raises(ValueError, match="'n_components' parameter of VAETransformer cannot change"):
        vae.set_params(n_components=n + 1).partial_fit(FRAME)


def test_every_way_to_fit_chooses(tmp_path):
    linear = {"hidden_layer_sizes": (), "random_state": 0}
    whole = VAETransformer("auto", max_iter=1, **linear).fit(FRAME)
    chunks = [FRAME[:90], FRAME[90:]]
    streamed = VAETransformer("auto", max_iter=1, **linear).fit_batches(lambda: iter(chunks))
    partly = VAETransformer("auto", **linear).fit_statistics(lambda: iter(chunks))
    partly.partial_fit(chunks[0]).partial_fit(chunks[1])
    assert streamed.n_components_ == partly.n_components_ == whole.n_components_ == 2
    partly.save(tmp_path / "model.skvae")
    again = VAETransformer.load(tmp_path / "model.skvae")
    assert again.n_components == "auto"
    assert again.partial_fit(FRAME).n_components_ == 2


@pytest.mark.slow
def test_a_checkpoint_goes_on_with_it(tmp_path):
    from skorch.callbacks import Callback

    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise RuntimeError("stopped")

    parameters = {"n_components": "auto", "max_iter": 5, "early_stopping": False, "random_state": 0}
    plain = VAETransformer(**parameters).fit(FRAME)
    often = Checkpoint(tmp_path, every_n_epochs=1, every_minutes=None)
    vae = VAETransformer(**parameters, checkpoint=often, callbacks=[Stop()])
    with pytest.raises(RuntimeError, match="stopped"):
        vae.fit(FRAME)
    assert list(tmp_path.glob("*.pt"))
    vae.set_params(callbacks=None).fit(FRAME)
    np.testing.assert_array_equal(vae.transform(FRAME), plain.transform(FRAME))


@pytest.mark.slow
def test_it_takes_half_as_long_again_at_most():
    """As a fit of the largest number that it looks at; in processor time, since machines are shared."""

    def seconds(n_components):
        before = time.process_time()
        vae = VAETransformer(n_components, random_state=0).fit(X)
        return time.process_time() - before, vae.n_components_

    X = made(3, 1500, 0)
    VAETransformer(2, max_iter=1).fit(X)  # imports
    auto, n = seconds("auto")
    assert auto <= 1.5 * seconds(8)[0]
    assert n == 3


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("given", [0.95, "mle"])
def test_words_of_pca_are_answered_with_ours(given):
    with pytest.raises(ValueError, match="write n_components='auto', which lets held-out rows choose"):
        VAETransformer(given).fit(FRAME)


@pytest.mark.parametrize("given", [0, 1.0, "most", None, True])
def test_other_words_are_refused(given):
    with pytest.raises(ValueError, match="'n_components' parameter of VAETransformer must be"):
        VAETransformer(given).fit(FRAME)


def test_few_rows_are_refused():
    with pytest.raises(ValueError, match="needs at least 10 distinct ones"):
        VAETransformer("auto").fit(FRAME[:9])


@pytest.mark.parametrize("posterior", ["categorical", "dirichlet"])
def test_codes_off_the_line_are_refused(posterior):
    with pytest.raises(ValueError, match="counts coordinates on the line, which posterior="):
        VAETransformer("auto", posterior=posterior).fit(FRAME)
