import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scikit-learn's Array API checks read it at import

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from skvae.conftest import no_figure_stays_open  # noqa: F401 - a fixture of all tests

LOADERS = {"wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}


def pytest_collection_modifyitems(items):
    """CUDA tests exist everywhere and run where there is a device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def standardized(name):
    """Columns with mean 0 and variance 1, the constant ones dropped."""
    X = LOADERS[name]().data
    X = X[:, X.std(0) > 0]
    return StandardScaler().fit_transform(X)


@pytest.fixture(scope="session")
def wine():
    return standardized("wine")


@pytest.fixture(scope="session")
def cancer():
    return load_breast_cancer().data


@pytest.fixture
def bits():
    """300 rows of 8 correlated zeros and ones."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(300, 2)) @ rng.normal(size=(2, 8)) + rng.normal(size=(300, 8)) > 0).astype(float)
