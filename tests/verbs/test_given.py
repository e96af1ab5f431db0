"""Methods of a model with conditions: what is given comes back, what is wrong is said."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skvae import ConvNet, FeatureLoss, Given, VAETransformer, metrics
from skvae._storage.seal import CHECKED, SEAL
from skvae.display import ComponentDisplay, ManifoldDisplay, ReconstructionDisplay

GIVEN = ["site", "year"]
SMALL = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


def made(n=300):
    """Numbers, a category and counts that depend on site and year, which are given; some cells are missing."""
    rng = np.random.default_rng(0)
    site, year = rng.integers(0, 3, n), rng.integers(2000, 2010, n)
    a = rng.normal(size=n) + 2 * site + (year - 2005) / 3
    b = 0.5 * a + rng.normal(size=n) * (1 + site)
    frame = pd.DataFrame({"a": a, "site": pd.Categorical(np.array(["A", "B", "C"])[site]), "b": b, "year": year})
    frame = frame.assign(kind=np.array(["x", "y"])[(a + rng.normal(size=n) > 2).astype(int)], n=rng.poisson(1 + site))
    frame.loc[::7, "a"] = np.nan
    frame.loc[::11, "kind"] = None
    frame.loc[::13, "site"] = np.nan
    return frame


@pytest.fixture(scope="module")
def frame():
    return made()


@pytest.fixture(scope="module")
def vae(frame):
    return VAETransformer(**SMALL, conditions=GIVEN, likelihood=[("poisson", ["n"])]).fit(frame)


# ---------------------------------------------------------------- what comes back


def test_rows_are_made_exactly_as_given(vae, frame):
    drawn = vae.sample(40, given={"site": "B", "year": 2024}, random_state=0)
    assert list(drawn.columns) == list(frame.columns)
    assert dict(drawn.dtypes) == dict(frame.dtypes)
    assert set(drawn["site"]) == {"B"}
    assert set(drawn["year"]) == {2024}
    one_each = vae.sample(given=frame[["year", "site"]][:20], random_state=0)  # columns in any order
    pd.testing.assert_frame_equal(one_each[GIVEN], frame[GIVEN][:20])


def test_without_given_conditions_are_those_of_fitted_rows(vae, frame):
    drawn = vae.sample(3000, random_state=0)
    known = set(map(tuple, frame[GIVEN].astype(str).to_numpy()))
    assert set(map(tuple, drawn[GIVEN].astype(str).to_numpy())) <= known
    shares = frame["site"].value_counts(normalize=True, dropna=False)
    np.testing.assert_allclose(
        drawn["site"].value_counts(normalize=True, dropna=False)[shares.index], shares, atol=0.04
    )


def test_combinations_count_by_weight_and_are_at_most_ten_thousand():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(12_000, 2)), rng.normal(size=12_000)])
    fitted = VAETransformer(1, conditions=[2], max_iter=0).fit(X).fitted_
    assert len(fitted.combinations) <= 10_000
    assert fitted.combinations[:, 1].sum() == 10_000
    weight = np.where(X[:200, 2] > 0, 3.0, 1.0)
    fitted = VAETransformer(1, conditions=[2], max_iter=0).fit(X[:200], sample_weight=weight).fitted_
    own = fitted.combinations
    np.testing.assert_allclose(own[own[:, 0] > 0, 1].sum() / own[:, 1].sum(), weight[weight > 1].sum() / weight.sum())


def test_conditions_and_other_columns_given_together(vae):
    c = {"site": "A", "year": 2005}
    drawn = vae.sample(400, given={**c, "a": 4.0}, random_state=0)
    assert set(drawn["a"]) == {4.0}
    assert set(drawn["site"]) == {"A"}
    assert drawn["b"].mean() > vae.sample(400, given=c, random_state=0)["b"].mean() + 0.5


def test_codes_decode_under_what_is_given(vae, frame):
    Z, c = vae.transform(frame), frame[GIVEN]
    means = vae.inverse_transform(Z, given=c)
    np.testing.assert_array_equal(means["year"], frame["year"])
    assert list(means["site"].astype(str)) == list(frame["site"].astype(str))
    pd.testing.assert_frame_equal(means, vae.reconstruct(frame), check_index_type=False)
    at_one = vae.reconstruct(frame, given={"site": "C"})
    pd.testing.assert_frame_equal(at_one, vae.inverse_transform(Z, given=c.assign(site="C")), check_index_type=False)
    np.testing.assert_array_equal(at_one["year"], frame["year"])
    drawn = vae.reconstruct(frame, given={"site": "C"}, sample=True, random_state=0)
    assert dict(drawn.dtypes) == dict(frame.dtypes)
    p = vae.decode(Z[:3], given={"site": "A", "year": 2001})
    np.testing.assert_array_equal(p.log_prob(frame[:3]).numpy()[:, [1, 3]], 0)


def test_scores_are_of_what_is_modelled(vae, frame):
    of_cells = vae.score_columns(frame)
    assert np.isnan(of_cells[:, [1, 3]]).all()
    assert np.isfinite(of_cells[~frame.isna().to_numpy() & [True, False, True, False, True, True]]).all()
    assert vae.noise_variance_[[1, 3]].tolist() == [0, 0]
    assert [repr(vae.likelihoods_[name]) for name in GIVEN] == ["Given(n_levels=3)", "Given()"]


def test_the_unit_of_a_condition_does_not_matter(frame):
    numbers = frame[["a", "b", "year"]]
    one = VAETransformer(2, conditions=["year"], max_iter=0).fit(numbers)
    other = VAETransformer(2, conditions=["year"], max_iter=0).fit(numbers.assign(year=numbers["year"] * 1000.0))
    scores = one.score(numbers), other.score(numbers.assign(year=numbers["year"] * 1000.0))
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)


def test_missing_and_unknown_categories_are_one_level(vae, frame):
    rows = frame[:2].assign(site=pd.Categorical(["Z", None], categories=["A", "B", "C", "Z"]))
    missing = frame[:2].assign(site=pd.Categorical([None, None], categories=["A", "B", "C"]))
    np.testing.assert_array_equal(vae.transform(rows), vae.transform(missing))
    assert not np.allclose(vae.transform(missing), vae.transform(frame[:2].assign(site="A")))


def test_without_missing_cells_in_fit_a_missing_category_is_average():
    rng = np.random.default_rng(0)
    site = np.repeat(["A", "B"], 100)
    X = pd.DataFrame({"a": rng.normal(size=200) + 3 * (site == "B"), "b": rng.normal(size=200), "site": site})
    vae = VAETransformer(1, conditions=["site"], max_iter=0).fit(X)
    means = [vae.inverse_transform([[0.0]], given=pd.DataFrame({"site": [s]}))["a"][0] for s in ("A", "B", None)]
    assert means[2] == pytest.approx(np.mean(means[:2]), abs=1e-4)


def test_a_missing_category_can_be_asked_for(vae, frame):
    """By a dict as by a frame, and beside other columns; in the rows, too, it is missing."""
    table = pd.DataFrame({"site": [None] * 3, "year": 2004})
    for given in ({"site": None, "year": 2004}, {"site": np.nan, "year": 2004}):
        pd.testing.assert_frame_equal(
            vae.sample(3, given=given, random_state=0), vae.sample(given=table, random_state=0)
        )
        means = vae.inverse_transform(np.zeros((3, 2)), given=given)
        pd.testing.assert_frame_equal(means, vae.inverse_transform(np.zeros((3, 2)), given=table))
    mixed = vae.sample(5, given={"site": None, "year": 2004, "a": 1.0}, random_state=0)
    assert mixed["site"].isna().all()
    assert set(mixed["a"]) == {1.0}
    at_none = vae.reconstruct(frame, given={"site": None})
    assert at_none["site"].isna().all()
    expected = vae.inverse_transform(vae.transform(frame), given=frame[GIVEN].assign(site=None))
    pd.testing.assert_frame_equal(at_none, expected, check_index_type=False)


def test_impute_keeps_conditions(vae, frame):
    full = vae.impute(frame)
    assert full[["a", "kind"]].notna().all(axis=None)
    pd.testing.assert_frame_equal(full[GIVEN], frame[GIVEN])


def test_metrics_and_displays_are_of_what_is_modelled(vae, frame):
    assert np.isfinite([metrics.reconstruction_error(vae, frame), metrics.mutual_information(vae, frame)]).all()
    assert not {"site", "year"} & set(ReconstructionDisplay.from_estimator(vae, frame).names)
    names = ComponentDisplay.from_estimator(vae, frame).names
    assert not any(name.startswith(("site", "year")) for name in names)
    X, y = load_digits(return_X_y=True)
    digits = pd.DataFrame(X).rename(columns=str).assign(digit=pd.Categorical(y))
    images = VAETransformer(2, conditions=["digit"], max_iter=0).fit(digits)
    assert ManifoldDisplay.from_estimator(images, (8, 8), n=2).means[0].shape == (2, 2, 64)


# ---------------------------------------------------------------- tables of all kinds, and fits that continue


def test_stored_models_are_the_same(vae, frame, tmp_path):
    vae.save(tmp_path / "vae.safetensors")
    for again in (pickle.loads(pickle.dumps(vae)), VAETransformer.load(tmp_path / "vae.safetensors")):
        np.testing.assert_array_equal(again.transform(frame), vae.transform(frame))
        pd.testing.assert_frame_equal(again.sample(20, random_state=0), vae.sample(20, random_state=0))
        assert again.conditions == GIVEN


@pytest.mark.parametrize("change", [{"conditions": []}, {"conditions": [3]}, {"conditions": [1, 9]}])
def test_a_stored_model_whose_conditions_are_not_its_own_is_refused(vae, change):
    state = vae.__getstate__()
    state["_learned"] = {**state["_learned"], "schema": {**state["_learned"]["schema"], **change}}
    with pytest.raises(ValueError, match="its conditions are"):
        VAETransformer().__setstate__({**state, SEAL: CHECKED})


def test_streams_and_parts_are_the_table(frame):
    options = {**SMALL, "conditions": GIVEN}
    parts = lambda: iter([frame[:150], frame[150:]])  # noqa: E731
    streamed = VAETransformer(**options).fit_batches(parts)
    assert set(streamed.sample(50, random_state=0)["site"].dropna()) <= {"A", "B", "C"}
    informed = VAETransformer(**options).fit_statistics(parts).partial_fit(frame[:150]).partial_fit(frame[150:])
    assert np.isfinite(informed.score(frame))
    assert len(informed.fitted_.combinations) > len(
        VAETransformer(**options).partial_fit(frame[:50]).fitted_.combinations
    )
    warm = VAETransformer(**options, warm_start=True).fit(frame).fit(frame)
    assert warm.n_iter_ == 6
    with pytest.raises(ValueError, match="'conditions' parameter of VAETransformer cannot change"):
        warm.set_params(conditions=["site"]).fit(frame)


def test_sparse_dense_and_other_libraries_agree(frame):
    X = frame[["b", "n", "year"]].to_numpy().astype(float)
    options = {**SMALL, "conditions": [-1]}
    dense = VAETransformer(**options).fit(X)
    for table in (sparse.csr_matrix(X), torch.from_numpy(X), X.tolist(), pl.DataFrame(X, schema=["b", "n", "year"])):
        assert VAETransformer(**options).fit(table).score(table) == pytest.approx(dense.score(X), abs=1e-9)
    np.testing.assert_array_equal(dense.sample(given=X[:5, [2]])[:, 2], X[:5, 2])
    assert dense.reconstruct(X.astype(np.float32)).dtype == np.float32
    of_polars = VAETransformer(**options).fit(pl.DataFrame(X, schema=["b", "n", "year"]))
    assert of_polars.sample(2, given={"year": 2001.0}, random_state=0)["year"].to_list() == [2001.0, 2001.0]
    masked = VAETransformer(**{**options, "conditions": [False, False, True]}).fit(X)
    np.testing.assert_array_equal(masked.transform(X), dense.transform(X))


def test_codes_come_as_frames_where_asked_for(vae, frame):
    rows = frame[40:50]
    for library in ("pandas", "polars"):
        Z = pickle.loads(pickle.dumps(vae)).set_output(transform=library).transform(rows)
        assert list(Z.columns) == list(vae.get_feature_names_out()) == ["vaetransformer0", "vaetransformer1"]
        np.testing.assert_array_equal(Z.to_numpy(), vae.transform(rows))
        assert library == "polars" or list(Z.index) == list(rows.index)
        means = vae.inverse_transform(Z, given=rows[GIVEN])
        np.testing.assert_array_equal(means["year"], rows["year"])


def test_bools_are_given():
    rng = np.random.default_rng(0)
    treated = rng.random(200) < 0.5
    X = pd.DataFrame({"a": rng.normal(size=200) + 3 * treated, "b": rng.normal(size=200), "treated": treated})
    drawn = (
        VAETransformer(1, conditions="treated", max_iter=0).fit(X).sample(2000, given={"treated": True}, random_state=0)
    )
    assert drawn["treated"].dtype == bool
    assert drawn["treated"].all()
    assert drawn["a"].mean() == pytest.approx(X["a"][treated].mean(), abs=0.1)


@pytest.mark.parametrize(
    "company",
    [
        *({"posterior": name} for name in ("full", "laplace", "flow", "categorical", "dirichlet")),
        *({"objective": name} for name in ("iwae", "ae", "wae_mmd", "aae", "avb")),
        *({"scaling": name} for name in ("quantile", "power", "global", None)),
        {"schedule": "em"},
        {"prior": "flow"},
        {"init": "random"},
        {"encoder": torch.nn.Linear, "decoder": torch.nn.Linear},
        {"likelihood": "student_t"},
    ],
    ids=str,
)
def test_in_the_company_of_others(frame, company):
    numbers = frame[["a", "b", "site", "year"]]
    options = {**SMALL, **({} if "encoder" not in company else {"hidden_layer_sizes": "auto"})}
    vae = VAETransformer(**options, conditions=GIVEN, **company).fit(numbers)
    assert np.isfinite(vae.reconstruct(numbers, given={"site": "A"})[["a", "b"]]).all(axis=None)
    drawn = vae.sample(5, given={"site": "A", "year": 2003}, random_state=0)
    assert np.isfinite(drawn[["a", "b"]]).all(axis=None)
    assert not hasattr(vae, "score") or np.isfinite(vae.score(numbers))


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"conditions": ["place"]}, "'conditions' parameter names the column 'place', but X has"),
        ({"conditions": [9]}, "names the column 9"),
        ({"conditions": []}, "names no column"),
        ({"conditions": [0, 1, 2, 3, 4, 5]}, r"names every column, all 6 feature\(s\)"),
        ({"conditions": [True]}, "has 1 entries, X 6 columns"),
        ({"conditions": ["a"]}, r"Column 'a' has missing values \(NaN\)"),
        ({"conditions": GIVEN, "likelihood": [("gaussian", ["year"])]}, "'year', which is one of the 'conditions'"),
        ({"conditions": GIVEN, "column_weights": {"year": 2.0}}, "'year', which is one of the 'conditions'"),
        ({"conditions": GIVEN, "prior": "vamp"}, "VampPrior.. trains rows"),
        ({"conditions": GIVEN, "objective": "gan"}, "has no encoder"),
        ({"conditions": GIVEN, "schedule": "exact_em", "hidden_layer_sizes": ()}, "knows no regression"),
        ({"conditions": GIVEN, "encoder": ConvNet((1, 1, 6))}, "ConvNet reads rows of pixels"),
        (
            {"conditions": GIVEN, "feature_loss": FeatureLoss(torch.nn.Flatten())},
            "feature_loss=[.]{3} compares whole rows",
        ),
        ({"likelihood": Given()}, r"Given\(\) is no likelihood"),
    ],
    ids=str,
)
def test_fit_says_what_is_wrong(frame, parameters, message):
    vae = VAETransformer(**{**SMALL, **parameters})
    with pytest.raises(ValueError, match=message):
        vae.fit(frame)
    assert set(vars(vae)) == set(vae.get_params(deep=False))  # nothing half-fitted is left


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"site": "A"}, r"lacks \['year'\]"),
        ({"site": "Z", "year": 2000}, "'Z' for column 'site', a category that fit has not seen"),
        ({"site": "A", "year": np.nan}, "Use a finite number"),
        ({"site": "A", "year": 2000.5}, "holds whole numbers"),
        ({"site": "A", "year": 2000, "kind": None}, "None for column 'kind', a category that fit has not seen"),
        ({"a": 1.0}, r"lacks \['site', 'year'\]"),
        (pd.DataFrame({"site": ["A"]}), "lacks 'year'"),
        (pd.DataFrame({"site": ["Z"], "year": [2000]}), "'Z' for column 'site'"),
        (pd.DataFrame({"site": ["A"], "year": [np.nan]}), "missing or infinite values in column 'year'"),
        (pd.DataFrame({"site": ["A"], "year": [2000.5]}), "has 2000.5 in column 'year', which holds whole numbers"),
        (
            pd.DataFrame({"site": ["A"], "year": [2000], "a": [1.0]}),
            "names 'a', which .* Only the dict of `sample` takes",
        ),
        (np.array([[0.0, 2000.0]]), "must be a dict, or a frame"),
    ],
    ids=str,
)
def test_sample_says_what_is_wrong(vae, given, message):
    with pytest.raises(ValueError, match=message):
        vae.sample(given=given)


def test_codes_alone_do_not_say_their_conditions(vae, frame):
    Z = vae.transform(frame)
    with pytest.raises(ValueError, match=r"conditions \['site', 'year'\].*Pipeline.inverse_transform passes none"):
        vae.inverse_transform(Z)
    identity = FunctionTransformer(check_inverse=False)
    pipe = make_pipeline(identity, VAETransformer(**SMALL, conditions=GIVEN)).fit(frame[["a", "b", *GIVEN]])
    with pytest.raises(ValueError, match="call the method of its last step"):
        pipe.inverse_transform(Z)
    with pytest.raises(ValueError, match="has 3 rows, for 300"):
        vae.inverse_transform(Z, given=frame[GIVEN][:3])
    with pytest.raises(ValueError, match="n_samples=7"):
        vae.sample(7, given=frame[GIVEN][:3])
    with pytest.raises(ValueError, match="Column 'year' has missing values"):
        vae.transform(frame.assign(year=np.nan))
    plain = VAETransformer(**SMALL).fit(frame[["a", "b"]])
    for method, rows in (("inverse_transform", Z), ("reconstruct", frame[["a", "b"]])):
        with pytest.raises(ValueError, match="'conditions'"):
            getattr(plain, method)(rows, given={"a": 1.0})
