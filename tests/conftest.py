import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scikit-learn's Array API checks read it at import
if "PYTEST_XDIST_WORKER" in os.environ:  # there is one worker for each core; more threads would fight
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import defaultdict
from zlib import crc32

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from standardize import standardized

from skvae.conftest import no_figure_stays_open  # noqa: F401 - a fixture of all tests


@pytest.hookimpl(tryfirst=True)  # before marks choose
def pytest_collection_modifyitems(items):
    """Skip CUDA tests where there is no device, and leave most variants of `one_in` tests to the night."""
    variants = defaultdict(list)
    for item in items:
        if "cuda" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if share := item.get_closest_marker("one_in"):
            variants[item.nodeid.split("[")[0], share.args[0]].append(item)
    for (test, n), of_test in variants.items():
        first = crc32(test.encode()) % min(n, len(of_test))  # not the same variants in every test
        for i, item in enumerate(of_test):
            if i % n != first:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def global_generator():
    """What has no random_state, as in a few of scikit-learn's checks, draws from numpy's global generator."""
    np.random.seed(0)  # noqa: NPY002


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
