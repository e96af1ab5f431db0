"""The house: imports point one way, everything public is documented, nothing heavy is hidden."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import skvae

ROOT = Path(skvae.__file__).parent
MODULES = {path.stem: ast.parse(path.read_text()) for path in ROOT.glob("*.py") if path.stem != "__init__"}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else [alias.name for alias in node.names]


def test_imports_have_no_circle():
    edges = {name: set(imports(tree)) & set(MODULES) for name, tree in MODULES.items()}
    done = set()
    while ready := {name for name in edges.keys() - done if edges[name] <= done}:
        done |= ready
    assert done == set(MODULES)


def test_rooms():
    """skorch stays in loop, data frames in frames, private scikit-learn in _compat."""

    def users(package):
        return {
            name
            for name, tree in MODULES.items()
            for node in ast.walk(tree)
            if (isinstance(node, ast.ImportFrom) and node.level == 0 and node.module.startswith(package))
            or (isinstance(node, ast.Import) and any(alias.name.startswith(package) for alias in node.names))
        }

    assert users("skorch") == {"loop"}
    assert users("narwhals") == {"frames"}
    assert users("sklearn.utils._") == {"_compat"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_say_what_they_offer(name):
    module = importlib.import_module(f"skvae.{name}")
    assert module.__doc__
    assert all(hasattr(module, public) for public in module.__all__)


@pytest.mark.parametrize("name", sorted(skvae.__all__))
def test_public_classes_have_examples(name):
    doc = getattr(skvae, name).__doc__
    bases = {"Annealing", "Family", "Head", "Objective", "Posterior", "Prior", "Schedule"}
    assert name in bases | {"display", "metrics"} or ">>>" in doc


def test_importing_skvae_imports_no_optional_package():
    """Beyond what torch, scikit-learn and skorch bring themselves."""
    code = (
        "import sys, sklearn, torch, skorch, skorch.callbacks; before = set(sys.modules); import skvae; "
        "optional = 'matplotlib pandas polars rich dask distributed optuna accelerate pyspark'.split(); "
        "print(sorted({*optional} & (set(sys.modules) - before)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
