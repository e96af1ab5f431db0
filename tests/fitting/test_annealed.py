"""A start that carries nothing: the KL is annealed by itself, and nothing changes for all other starts."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

from skvae import ELBO, Checkpoint, LinearAnnealing, VAETransformer
from skvae._fitting import annealed
from skvae._fitting.plan import Plan, parameters_of
from skvae._fitting.start import Progress, Start
from skvae._training.loop import Net

DEFAULT = VAETransformer(2, random_state=0)
SHORT = VAETransformer(2, hidden_layer_sizes=(32,), batch_size=8, max_iter=9, random_state=0)  # too short to be judged
MARK = "the KL is annealed over"


def corners(n=800, seed=0):
    rng = np.random.default_rng(seed)
    return 4.0 * (2 * rng.integers(0, 2, (n, 2)) - 1) + rng.normal(size=(n, 2))


def crossed(n=800, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) * np.where(rng.integers(0, 2, (n, 1)), [3, 0.3], [0.3, 3])


def exclusive_or(n=800, seed=0):
    bits = np.random.default_rng(seed).integers(0, 2, (n, 2))
    return np.column_stack([bits, bits[:, 0] ^ bits[:, 1]]).astype(float)


def whitened(n=800, seed=0):
    """Three clusters after PCA(whiten=True): their columns are uncorrelated, with one variance."""
    rng = np.random.default_rng(seed)
    X = 4 * rng.normal(size=(3, 3))[rng.integers(0, 3, n)] + rng.normal(size=(n, 3))
    _, _, rotation = np.linalg.svd(X - X.mean(0), full_matrices=False)
    Z = (X - X.mean(0)) @ rotation.T
    return Z / Z.std(0)


def independent(X):
    """The mean log-density of independent normal columns, the best that a model without live components has."""
    return norm(X.mean(0), X.std(0)).logpdf(X).sum(1).mean()


@pytest.mark.parametrize(("make", "gain"), [(corners, 0.9), (crossed, 0.4), (whitened, 0.4)])
@pytest.mark.one_in(3)
def test_components_come_alive(make, gain):
    X = make()
    vae = clone(DEFAULT).set_params(max_iter=80).fit(X)
    assert (vae.kl_per_component_ > 0.5).all()
    assert vae.score(X) > independent(X) + gain
    assert GaussianMixture(4, random_state=0).fit(X).score(X) > independent(X) + 1.2 * gain  # there is more to find
    held_out = [record["valid_loss"] for record in vae.history_]
    assert min(held_out) < held_out[0] - gain


@pytest.mark.parametrize(
    ("information", "missed", "kept"), [(0.1, "n", 0), (0.1, "yn", 1), (0.1, "yy", 1), (1.0, "", 0)]
)
def test_a_training_that_misses_what_the_table_holds_is_repeated(information, missed, kept, monkeypatch):
    """Where the start carried nothing; the lowest held-out loss of a kept epoch wins, whatever other epochs had."""
    plan = Plan.of(parameters_of(SHORT), "VAETransformer")
    start = Start.of(clone(SHORT).fit(corners(200)).fitted_, plan)
    before, losses, answers = start.module.state_dict(), [3.0, 1.0, 2.0], iter(missed)

    def train(own, trial):
        assert all(torch.equal(own.module.state_dict()[name], before[name]) for name in before)
        with torch.no_grad():
            for p in own.module.parameters():
                p.fill_(trial)
        return Progress(2, 1, [{"epoch": 1, "valid_loss": losses[trial]}, {"epoch": 2, "valid_loss": -trial}])

    monkeypatch.setattr(annealed, "what_is_missed", lambda *args: "a mixture" if next(answers) == "y" else None)
    monkeypatch.setattr(annealed, "_information", lambda *args: torch.tensor([information, 0.0]))
    own, progress = annealed.best_of_some(plan, None, start, train)
    assert next(answers, None) is None
    assert progress.history[0]["valid_loss"] == losses[kept]
    assert all((p == kept).all() for p in own.module.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_all_corners_are_found_whatever_the_seed(seed):
    rng = np.random.default_rng(seed)
    X = rng.choice([-1.0, 1.0], (1000, 2)) + 0.1 * rng.normal(size=(1000, 2))
    vae = clone(DEFAULT).set_params(random_state=seed).fit(X)
    assert (vae.kl_per_component_ > 0.3).all()
    truth = norm([-1, 1], 0.1).pdf(X[..., None]).mean(-1)  # of each column, which are independent
    assert vae.score_samples(X, n_importance_samples=100).mean() > np.log(truth).sum(1).mean() - 0.3


def test_exclusive_or():
    """Independent bits have -3 ln 2 = -2.08, the truth -2 ln 2 = -1.39: the better half of it is learned, and told."""
    with pytest.warns(UserWarning, match=r"2 of 2 components.*frequencies of the 4 distinct rows are better by 0\.4"):
        vae = clone(DEFAULT).fit(exclusive_or())
    assert vae.score(exclusive_or()) > -1.95
    vae = clone(DEFAULT).set_params(learning_rate=0.01, early_stopping=False, max_iter=100)
    vae.set_params(objective=ELBO(beta=LinearAnnealing(20))).fit(exclusive_or())  # and not told
    assert vae.score(exclusive_or()) > -1.79


def epochs_waited(capsys, vae, X):
    """How many epochs the fit says that it anneals over, 0 where it says nothing."""
    clone(vae).set_params(verbose=1).fit(X)
    said = capsys.readouterr().out
    return int(said.split(MARK)[1].split()[0]) if MARK in said else 0


def test_where_the_kl_is_annealed(capsys, cancer):
    """450 steps, where the start has fewer live components than there are directions, and not for those who chose."""
    assert epochs_waited(capsys, clone(DEFAULT).set_params(max_iter=21), corners()) == 20
    few = clone(SHORT).set_params(max_iter=6, batch_size=2)
    assert epochs_waited(capsys, few, corners(200)) == 5
    assert epochs_waited(capsys, few, cancer[:200]) == 0
    assert epochs_waited(capsys, few, corners(200)[:, :1]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [
        {"max_iter": 5},  # as long as the course
        {"early_stopping": False},
        {"init": "random"},
        {"hidden_layer_sizes": ()},
        {"objective": ELBO(beta=LinearAnnealing(2))},
        {"objective": ELBO(free_bits=0.1)},
        {"objective": "iwae"},
        {"objective": "ae"},
    ],
    ids=str,
)
def test_who_chose_is_left_alone(capsys, other):
    vae = clone(SHORT).set_params(**{"max_iter": 6, "batch_size": 2, **other})
    assert epochs_waited(capsys, vae, corners(200)) == 0


def test_the_training_is_that_of_an_annealed_objective():
    """Bit for bit, and after it plain epochs go on."""
    X, vae = corners(), SHORT
    own, given = clone(vae).fit(X), clone(vae).set_params(objective=ELBO(beta=LinearAnnealing(5))).fit(X)
    assert_same(own, given)
    assert own.get_params()["objective"] == "elbo"
    assert_same(clone(vae).set_params(init=own.init_).fit(X), own)


def assert_same(a, b):
    pairs = zip(a.module_.state_dict().items(), b.module_.state_dict().values(), strict=True)
    assert all(torch.equal(x, y) for (name, x), y in pairs if "objective" not in name)
    assert [record["valid_loss"] for record in a.history_] == [record["valid_loss"] for record in b.history_]


def test_rows_order_and_weights():
    X, vae = corners(300), SHORT
    times = np.random.default_rng(1).integers(1, 4, len(X))
    weighted, repeated = clone(vae).fit(X, sample_weight=times), clone(vae).fit(np.repeat(X, times, axis=0)[::-1])
    assert_same(weighted, repeated)
    plain = clone(vae).set_params(objective=ELBO(beta=LinearAnnealing(1, start=1.0))).fit(X, sample_weight=times)
    assert plain.history_[1] != weighted.history_[1]  # so it was annealed


def test_noise_keeps_its_start():
    X = np.random.default_rng(0).normal(size=(600, 4))
    vae = clone(SHORT).set_params(n_iter_no_change=5).fit(X)
    assert vae.best_iter_ == 0
    assert vae.score(X) > independent(X) - 1e-6


@pytest.mark.slow
def test_a_killed_fit_goes_on(tmp_path, monkeypatch):
    """In the middle of the rise."""
    X, vae = corners(), clone(SHORT)
    whole = clone(vae).fit(X)
    vae.set_params(checkpoint=Checkpoint(tmp_path, every_n_epochs=1))
    begin = Net.on_epoch_begin

    def dying(net, *args, **kwargs):
        if len(net.history) == 3:
            raise InterruptedError
        begin(net, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Net, "on_epoch_begin", dying)
        with pytest.raises(InterruptedError):
            vae.fit(X)
    assert len(list(tmp_path.iterdir())) == 1
    assert_same(vae.fit(X), whole)
