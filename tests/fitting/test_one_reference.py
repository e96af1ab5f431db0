"""Everything fitted hangs on one reference: a reader sees one fit or the next, and an interrupt leaves one of them."""

import copy
import inspect
import pickle
import threading

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data
from skorch.callbacks import Callback

from skvae import VAETransformer
from skvae._inference import reading
from skvae._inference.fitted import adopt, learned_of

X = load_iris().data
FRAME = load_iris(as_frame=True).data
OTHER = X[:, ::-1] * 3 + 1


def fitted(n_components=2, table=X, **parameters):
    return VAETransformer(n_components, max_iter=1, random_state=0, **parameters).fit(table)


READERS = {
    "transform": lambda vae: vae.transform(X[:5]),
    "score_samples": lambda vae: vae.score_samples(X[:5]),
    "score_columns": lambda vae: vae.score_columns(X[:5]),
    "reconstruct": lambda vae: vae.reconstruct(X[:5]),
    "impute": lambda vae: vae.impute(np.where(np.eye(5, 4), np.nan, X[:5])),
    "encode": lambda vae: vae.encode(X[:5]).mean.numpy(),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("other", [{"n_components": 3}, {"table": OTHER}], ids=["width", "table"])
def test_a_fit_in_the_middle_of_a_method_changes_nothing(name, other, monkeypatch):
    """Another fit is adopted after validation and before inference, as a thread would do at the worst moment."""
    vae, later = fitted(), fitted(**other)
    expected = READERS[name](vae)
    tensors = type(vae.fitted_.columns).tensors

    def interrupted(self, *args):
        adopt(vae, later.fitted_)
        return tensors(self, *args)

    monkeypatch.setattr(type(vae.fitted_.columns), "tensors", interrupted)
    np.testing.assert_array_equal(READERS[name](vae), expected)
    assert vae.fitted_ is later.fitted_  # it did come in between


def test_column_names_of_set_output_are_those_of_the_codes(monkeypatch):
    vae = fitted(2, FRAME).set_output(transform="pandas")
    later = fitted(3, FRAME)
    over_chunks = reading.over_chunks

    def interrupted(*args, **kwargs):
        adopt(vae, later.fitted_)
        return over_chunks(*args, **kwargs)

    monkeypatch.setattr(reading, "over_chunks", interrupted)
    assert list(vae.transform(FRAME).columns) == ["vaetransformer0", "vaetransformer1"]
    assert vae.transform(FRAME).shape == (150, 3)


def test_readers_in_threads_see_one_fit_or_the_next():
    first, second = fitted(2), fitted(3, OTHER)
    answers = [vae.transform(X[:5]) for vae in (first, second)]
    vae, wrong, done = clone(first), [], threading.Event()
    adopt(vae, first.fitted_)

    def serve():
        while not done.is_set():
            codes = vae.transform(X[:5])
            if not any(codes.shape == a.shape and np.array_equal(codes, a) for a in answers):
                wrong.append(codes)

    threads = [threading.Thread(target=serve) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(200):
        adopt(vae, (second, first)[i % 2].fitted_)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


class InterruptionAtTheEnd(Callback):
    def on_train_end(self, net, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_batches"])
def test_an_interrupt_leaves_the_earlier_fit_whole(method):
    vae = fitted()
    before, codes = vae.fitted_, vae.transform(X)
    vae.set_params(n_components=2 if method == "partial_fit" else 3, callbacks=[InterruptionAtTheEnd()])
    with pytest.raises(KeyboardInterrupt):
        getattr(vae, method)(OTHER if method != "fit_batches" else lambda: iter([OTHER]))
    assert vae.fitted_ is before
    np.testing.assert_array_equal(vae.transform(X), codes)


def test_only_parameters_and_one_reference_are_instance_attributes():
    vae = fitted()
    assert set(vars(vae)) - set(vae.get_params(deep=False)) - {"_sklearn_output_config"} == {"_learned"}


def test_fitted_attributes_are_listed_and_belong_to_the_fit():
    vae = fitted()
    documented = {
        "module_",
        "n_iter_",
        "history_",
        "order_",
        "kl_per_component_",
        "n_features_in_",
        "fitted_",
        "prior_",
    }
    assert documented <= set(dir(vae))
    assert documented <= {name for name, _ in inspect.getmembers(vae)}
    if hasattr(BaseEstimator, "_get_fitted_attr_html"):  # scikit-learn 1.9
        assert "kl_per_component_" in vae._repr_html_()
    assert not documented & set(dir(VAETransformer()))
    vae.set_params(objective="ae").fit(X)
    assert not hasattr(vae, "kl_per_component_")
    assert "kl_per_component_" not in dir(vae)
    assert "prior_" in dir(vae)


def test_fitted_attributes_cannot_be_set():
    vae = fitted()
    with pytest.raises(AttributeError, match="order_ belongs to the fit"):
        vae.order_ = vae.order_[::-1]
    with pytest.raises(AttributeError):  # frozen
        vae.fitted_.order = vae.order_[::-1]


class Validating(VAETransformer):
    """A subclass that validates by itself, as scikit-learn's estimators do."""

    def fit(self, X, y=None):
        validate_data(self, X)
        return super().fit(X)


def test_validation_of_a_subclass_hides_nothing_of_the_fit():
    vae = Validating(2, max_iter=0, random_state=0)
    for table in (FRAME, X, FRAME):
        vae.fit(table)
        assert set(vars(vae)) - set(vae.get_params(deep=False)) == {"_learned"}
        assert hasattr(vae, "feature_names_in_") == (table is FRAME)
    validate_data(vae, X[:, :3])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(vae)).transform(FRAME), vae.fit(FRAME).transform(FRAME))


def test_constraints_of_a_subclass_are_checked():
    class Narrow(VAETransformer):
        _parameter_constraints = {**VAETransformer._parameter_constraints, "n_components": [None]}

    with pytest.raises(ValueError, match="'n_components' parameter of Narrow must be None"):
        Narrow(2).fit(X)


def test_score_asks_a_subclass_s_own_method():
    class Counting(VAETransformer):
        n_calls = 0

        def score_samples(self, X, **options):
            self.n_calls += 1
            return super().score_samples(X, **options)

    vae = Counting(2, max_iter=0).fit(X)
    vae.score(X)
    assert vae.n_calls == 1


def test_the_fitted_value_is_compared_by_identity_and_shows_little():
    vae = fitted()
    assert vae.fitted_ == vae.fitted_
    assert vae.fitted_ != copy.deepcopy(vae.fitted_)
    assert repr(vae.fitted_) == "<Fitted: 4 columns, 2 components, 1 epochs>"


def test_columns_without_names_forget_those_of_an_earlier_fit():
    vae = fitted(table=FRAME)
    assert list(vae.feature_names_in_) == list(FRAME.columns)
    assert not hasattr(vae.fit(X), "feature_names_in_")


def test_statistics_drop_the_fit_and_are_dropped_by_the_next():
    vae = fitted()
    vae.fit_statistics(lambda: iter([X[:70], X[70:]]))
    assert vae.statistics_.n_rows == 150
    assert vae.n_features_in_ == 4
    with pytest.raises(NotFittedError):
        vae.transform(X)
    vae.partial_fit(X[:70])
    assert not hasattr(vae, "statistics_")
    assert learned_of(vae) is vae.fitted_


METHODS = (
    *("transform", "inverse_transform", "score", "score_samples", "score_columns", "impute", "encode", "decode"),
    *("reconstruct", "sample", "get_feature_names_out"),
)


@pytest.mark.parametrize("method", METHODS)
def test_methods_before_fit_say_so(method):
    vae = VAETransformer()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(vae, method)(*(() if method in ("sample", "get_feature_names_out") else (X,)))
