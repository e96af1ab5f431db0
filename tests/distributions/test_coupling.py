"""zuko is imported late, and its absence is explained."""

import subprocess
import sys

import pytest
from sklearn.datasets import load_iris

from skvae import VAETransformer
from skvae.distributions import coupling as flows

IRIS = load_iris(as_frame=True).data


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
    known = flows.importlib.import_module

    def absent(name, *package):
        if name.split(".")[0] == "zuko":
            raise ImportError(name)
        return known(name, *package)

    monkeypatch.setattr(flows.importlib, "import_module", absent)
    with pytest.raises(ImportError, match="pip install zuko"):
        VAETransformer(2, posterior="flow", max_iter=1).fit(IRIS)
