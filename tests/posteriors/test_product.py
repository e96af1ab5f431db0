"""One class and codes inside it: the posterior `Product` and the prior `ProductPrior`."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from skvae import (
    ELBO,
    IWAE,
    CategoricalPosterior,
    CategoricalPrior,
    Cauchy,
    DirichletPrior,
    FullCovariance,
    Gaussian,
    MeanField,
    NormalMixture,
    Product,
    ProductPrior,
    StandardNormal,
    UniformPrior,
    UniformSphere,
    VAETransformer,
    VampPrior,
)
from skvae.distributions.latent import joint_log_prob, kl

C = 3


def product(n_classes=C, **options):
    return Product(CategoricalPosterior(n_classes, **options), MeanField())


def groups(n, seed, n_groups=4, bend=0.5):
    """Groups in six columns, one factor inside them that bends in another way in each, and both."""
    rng = np.random.default_rng(seed)
    group, t = rng.choice(n_groups, n, p=[0.4, 0.3, 0.2, 0.1]), rng.normal(size=n)
    X = 5 * rng.normal(size=(n_groups, 6))[group] + 2 * np.outer(t, rng.normal(size=6))
    X = X + bend * np.sin(2 * t)[:, None] * rng.normal(size=(n_groups, 6))[group]
    return X + 0.4 * rng.normal(size=X.shape), group, t


def within(Z, t, group):
    """The smallest correlation of a code with a factor inside a group, without its sign."""
    return min(abs(np.corrcoef(Z[group == c], t[group == c])[0, 1]) for c in np.unique(group))


# ---------------------------------------------------------------- the distribution


@pytest.mark.parametrize("codes", [MeanField(), FullCovariance()])
def test_density_and_kl_are_those_of_both_parts(codes):
    torch.manual_seed(0)
    head = Product(CategoricalPosterior(C), codes).build(3).double()
    raw, u = torch.randn(5, head.n_raw).double(), torch.randn(7, 5, head.n_noise).double()
    q, z = head(raw), head.push(head(raw), u)
    assert z.shape == (7, 5, C + 2)
    of_class, of_codes = q.parts
    expected = joint_log_prob(of_class, z[..., :C]) + joint_log_prob(of_codes, z[..., C:])
    torch.testing.assert_close(q.log_prob(z), expected)
    p = ProductPrior(CategoricalPrior(C), StandardNormal()).build(C + 2).double()()
    parts = [kl(own, other) for own, other in zip(q.parts, p.parts, strict=True)]
    total = sum(part.reshape(5, -1).sum(1) for part in parts)
    divergence = kl(q, p)
    torch.testing.assert_close(divergence.reshape(5, -1).sum(1), total)
    torch.testing.assert_close(q.mean, torch.cat([of_class.mean, of_codes.mean], -1))
    entropy = torch.distributions.Categorical(of_class.mean).entropy() + of_codes.entropy().reshape(5, -1).sum(1)
    torch.testing.assert_close(q.entropy(), entropy)
    u = torch.randn(40_000, 1, head.n_noise).double()
    error = (q.log_prob(head.push(q, u)) - p.log_prob(head.push(q, u))).mean(0) - total
    assert error.abs().max() < 0.1  # five standard errors


def test_bounds_are_sums_over_classes():
    """ln p(x) of one class and one normal code is a mixture of factor analysers, by scipy."""
    X, _, _ = groups(300, 0, bend=0)
    vae = VAETransformer(
        2, posterior=product(4), hidden_layer_sizes=(), max_iter=0, likelihood=Gaussian(noise="feature")
    )
    vae.fit(X)
    p = vae.decode(np.eye(5)[:4])  # one of each class at z = 0
    means, psi = p.mean.numpy(), p.variance[0].numpy()
    W = vae.decode([[1.0, 0, 0, 0, 1.0]]).mean.numpy()[0] - means[0]
    pi = vae.prior_.mean.numpy()[:4]
    members = [stats.multivariate_normal(m, np.outer(W, W) + np.diag(psi)).logpdf(X) for m in means]
    exact = np.log(np.exp(members).T @ pi)
    assert (vae.score_samples(X) < exact + 1e-3).all()
    assert exact.mean() - 0.3 < vae.score(X)
    bound = vae.score_samples(X[:50], n_importance_samples=500)
    np.testing.assert_allclose(bound, exact[:50], atol=0.2)


def test_the_score_function_agrees_with_enumeration():
    """d/d raw of E_q f(y) over all classes, z at its mean and an f that reads the class alone."""
    torch.manual_seed(0)
    head, f = product(temperature=None).build(2).double(), torch.tensor([0.3, -1.0, 2.0]).double()
    raw = torch.randn(1, head.n_raw).double().requires_grad_()
    (exact,) = torch.autograd.grad(head(raw).mean[0, :C] @ f, raw)
    u = torch.randn(200_000, 1, head.n_noise).double()
    q = head(raw)
    z = head.push(q, u).detach()
    (estimate,) = torch.autograd.grad(((z[..., :C] @ f) * q.log_prob(z)).mean(), raw)
    torch.testing.assert_close(estimate, exact, atol=0.03, rtol=0)  # five standard errors


# ---------------------------------------------------------------- the model


@pytest.mark.parametrize("seed", range(3))
def test_the_start_finds_groups_and_the_factor_inside(seed):
    X, group, t = groups(600, seed)
    vae = VAETransformer(2, posterior=product(4), max_iter=0, random_state=0).fit(X)
    Z = vae.transform(X)
    assert adjusted_rand_score(group, vae.predict(X)) > 0.95
    assert within(Z[:, 4], t, group) > 0.9
    np.testing.assert_array_equal(vae.predict_proba(X), Z[:, :4])
    np.testing.assert_allclose(np.sort(vae.prior_.mean[:4]), np.sort(np.bincount(group) / 600), atol=0.02)


def test_training_bends_the_factor_and_keeps_the_groups():
    X, group, t = groups(600, 1)
    options = {"posterior": product(4), "hidden_layer_sizes": (32,), "random_state": 0}
    start = VAETransformer(2, max_iter=0, **options).fit(X)
    vae = VAETransformer(2, max_iter=25, **options).fit(X)
    assert vae.score(X) > start.score(X) + 0.5
    assert adjusted_rand_score(group, vae.predict(X)) > 0.9
    assert within(vae.transform(X)[:, 4], t, group) > 0.95
    assert list(vae.get_feature_names_out()) == [*(f"vaetransformer0_{c}" for c in range(4)), "vaetransformer1"]
    assert vae.kl_per_component_.shape == (2,)
    drawn = vae.sample(4000, random_state=0)
    np.testing.assert_allclose(drawn.std(0), X.std(0), rtol=0.15)
    np.testing.assert_allclose(vae.inverse_transform(vae.transform(X)), vae.reconstruct(X), rtol=1e-4, atol=1e-4)
    assert np.square(X - vae.reconstruct(X)).mean() < 2 * 0.4**2


def test_a_class_stands_first_however_little_it_says():
    X, _, _ = groups(300, 0)
    vae = VAETransformer(3, posterior=product(2), max_iter=0, random_state=0).fit(X)
    assert vae.order_[0] == 0
    assert vae.kl_per_component_[1] > vae.kl_per_component_[0]  # ln 2 at most
    assert vae.kl_per_component_[1] > vae.kl_per_component_[2]
    q = vae.encode(X[:5])
    np.testing.assert_allclose(q.mean, vae.transform(X[:5]), rtol=1e-6)
    z = q.sample((3,))
    assert q.log_prob(z).shape == (3, 5)
    of_class = stats.entropy(q.mean[:, :2].numpy(), axis=1)
    of_codes = 0.5 * np.log(2 * np.pi * np.e * q.variance[:, 2:].numpy()).sum(1)
    np.testing.assert_allclose(q.entropy(), of_class + of_codes, rtol=1e-5)


def test_raw_tables_and_other_parts():
    X, group, _ = groups(300, 0)
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(kind=np.array(list("wxyz"))[group], day=np.arange(300) % 7)
    frame.loc[::5, "a"] = np.nan
    for options in (
        {"posterior": Product(CategoricalPosterior(4), FullCovariance())},
        {"posterior": product(4), "conditions": ["day"]},
        {"posterior": product(4), "prior": ProductPrior(CategoricalPrior(4), NormalMixture(2)),
         "objective": IWAE(n_samples=2, gradient="score_function")},
        {"posterior": product(4, temperature=None), "objective": ELBO(gradient="score_function", n_samples=2)},
    ):  # fmt: skip
        vae = VAETransformer(3, hidden_layer_sizes=(8,), max_iter=1, random_state=0, **options).fit(frame)
        assert np.isfinite(vae.score(frame))
        assert vae.reconstruct(frame).notna().all(axis=None)


def test_what_cannot_be():
    X, _, _ = groups(120, 0)
    with pytest.raises(ValueError, match="n_components >= 2"):
        VAETransformer(1, posterior=product()).fit(X)
    with pytest.raises(ValueError, match="one is discrete"):
        VAETransformer(2, posterior=product(), prior="normal").fit(X)
    with pytest.raises(ValueError, match="one is discrete"):
        VAETransformer(2, posterior=product(), prior="vamp", objective=IWAE(2, gradient="score_function")).fit(X)
    with pytest.raises(ValueError, match="are not 10 classes and others"):
        VAETransformer(2, posterior=product(), prior=ProductPrior()).fit(X)
    with pytest.raises(ValueError, match="the posterior has 3 classes, the prior 2"):
        VAETransformer(2, posterior=product(), prior=ProductPrior(CategoricalPrior(2))).fit(X)
    for codes, home in ((UniformSphere(), "sphere"), (DirichletPrior(), "simplex")):
        with pytest.raises(ValueError, match=f"one lives on a {home}, the other not"):
            VAETransformer(3, posterior=product(), prior=ProductPrior(CategoricalPrior(3), codes)).fit(X)
    with pytest.raises(ValueError, match="codes leave the support of the prior"):
        VAETransformer(2, posterior=product(), prior=ProductPrior(CategoricalPrior(3), UniformPrior())).fit(X)
    heavy = Product(CategoricalPosterior(3, temperature=None), MeanField(Cauchy()))
    exact, prior = ELBO(n_samples=2, gradient="score_function"), ProductPrior(CategoricalPrior(3), StandardNormal())
    with pytest.raises(ValueError, match="codes without a variance"):
        VAETransformer(2, posterior=heavy, prior=prior, objective=exact).fit(X)
    with pytest.raises(ValueError, match="a relaxed code does not have"):
        VAETransformer(2, posterior=product(), objective="iwae").fit(X)
    with pytest.raises(ValueError, match="'codes' parameter of ProductPrior"):
        VAETransformer(2, posterior=product(), prior=ProductPrior(CategoricalPrior(3), VampPrior())).fit(X)
    with pytest.raises(ValueError, match="'codes' parameter of Product"):
        VAETransformer(2, posterior=Product(CategoricalPosterior(3), CategoricalPosterior(3))).fit(X)
