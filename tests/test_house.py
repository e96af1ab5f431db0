"""The house: rooms and floors, sizes, what is public and that it is documented and typed, nothing heavy hidden.

That imports point down from folder to folder is a contract of import-linter, which `.ci/run` checks.
"""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
from sklearn.base import BaseEstimator

import skvae

ROOT = Path(skvae.__file__).parent
PATHS = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}
FOLDERS = sorted(path.parent for path in ROOT.rglob("__init__.py") if path.parent != ROOT)


def is_for_types(node):
    """Whether this is ``if TYPE_CHECKING:``, which nothing runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported(name):
    """Modules of this package that a module imports, by name; a folder is its `__init__`."""
    here = name.split(".")[:-1]
    for_types = {id(n) for node in ast.walk(MODULES[name]) if is_for_types(node) for n in ast.walk(node)}
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in for_types:
            base = [*here[: len(here) - node.level + 1], *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                for target in (".".join([*base, alias.name]), ".".join(base), ".".join([*base, "__init__"])):
                    if target in MODULES:
                        yield target
                        break


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_imports_have_no_circle_inside_a_folder(folder):
    inside = {name for name, path in PATHS.items() if path.parent == folder}
    edges = {name: set(imported(name)) & inside for name in inside}
    done = set()
    while ready := {name for name in edges.keys() - done if edges[name] <= done}:
        done |= ready
    assert done == inside


def test_rooms():
    """skorch stays in the loop, data frames in frames, private scikit-learn in compat."""

    def users(package):
        return {
            name
            for name, tree in MODULES.items()
            for node in ast.walk(tree)
            if (isinstance(node, ast.ImportFrom) and node.level == 0 and node.module.startswith(package))
            or (isinstance(node, ast.Import) and any(alias.name.startswith(package) for alias in node.names))
        }

    assert {name for name in users("skorch") if not name.startswith("_training.")} == set()
    assert users("narwhals") == {"_tables.frames", "_tables.parts"}
    assert users("sklearn.utils._") == {"_utils.compat"}


def test_only_one_file_knows_what_the_estimator_hides():
    """Methods, metrics, displays and export take `Fitted` or its parts, no private attribute of an estimator.

    `_init_callback_context` is scikit-learn's protocol for callbacks.
    """
    read = {
        (name, node.attr)
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in {"vae", "estimator", "fitted", "twin"} and node.attr.startswith("_")
        if not node.attr.startswith("__")
    }
    assert read == {("_training.tasks", "_init_callback_context")}
    assert [name for name in MODULES if '"_learned"' in PATHS[name].read_text()] == ["_inference.fitted"]


# ---------------------------------------------------------------- sizes


def test_a_stranger_finds_the_room_from_ls():
    entries = [path for path in ROOT.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 26
    assert all((folder / "README.md").is_file() for folder in FOLDERS)


def n_lines_of_words(tree, text):
    """Lines of docstrings and comments."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    comments = sum(line.strip().startswith("#") for line in text.splitlines())
    return comments + sum(node.end_lineno - node.lineno + 1 for node in docstrings)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_are_short(name):
    text = PATHS[name].read_text()
    n_lines = len(text.splitlines())
    most = 700 if name == "estimator" else 500
    assert n_lines <= most or (name != "estimator" and n_lines_of_words(MODULES[name], text) > n_lines / 2)


def bodies():
    """Length of every function's body without its docstring."""
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                yield f"{name}.{node.name}", node.end_lineno - body[0].lineno + 1 if body else 0


def test_functions_are_short():
    lengths = dict(bodies())
    lengths.pop("estimator.__init__")  # a line for each parameter, as scikit-learn wants it
    assert {name: n for name, n in lengths.items() if n > 40} == {}
    assert median(n for _, n in bodies()) <= 3


# ---------------------------------------------------------------- what is public


def test_dir_shows_the_public_names():
    assert dir(skvae) == sorted(skvae.__all__)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_say_what_they_offer(name):
    module = importlib.import_module(f"skvae.{name}".removesuffix(".__init__"))
    assert module.__doc__
    is_machinery = name.startswith("_") and name.endswith("__init__")
    assert all(hasattr(module, public) for public in ([] if is_machinery else module.__all__))


@pytest.mark.parametrize(
    "name",
    ["families", "posteriors", "priors", "networks", "objectives", "distributions", "display", "onnx", "metrics"],
)
def test_public_import_paths_hand_on_their_names(name):
    module = importlib.import_module(f"skvae.{name}")
    assert module.__all__
    assert all(getattr(module, public) is not None for public in module.__all__)


def signatures():
    """Public functions and methods, and constructors, of everything public."""
    for name in skvae.__all__:
        value = getattr(skvae, name)
        members = vars(value).items() if inspect.isclass(value) else []
        if inspect.ismodule(value):
            members = [(n, getattr(value, n)) for n in value.__all__]
        for member_name, member in members:
            function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "__func__", None) or member)
            function = getattr(function, "fn", function)
            if inspect.isfunction(function) and (not member_name.startswith("_") or member_name == "__init__"):
                yield pytest.param(function, id=f"{name}.{member_name}")


@pytest.mark.parametrize("function", list(signatures()))
def test_public_signatures_are_annotated(function):
    signature = inspect.signature(function)
    bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")]
    assert bare == []
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", sorted(skvae.__all__))
def test_public_classes_have_examples(name):
    doc = getattr(skvae, name).__doc__
    bases = {"Annealing", "Family", "Head", "Objective", "Posterior", "Prior", "Schedule"}
    assert name in bases | {"display", "metrics"} or ">>>" in doc


def test_components_are_scikit_learn_objects():
    components = {getattr(skvae, name) for name in skvae.__all__ if inspect.isclass(getattr(skvae, name))}
    others = {c.__name__ for c in components if not issubclass(c, BaseEstimator)}
    assert others == {"Head", "PooledEstimates", "TableStatistics"}


def test_importing_skvae_imports_no_optional_package():
    """Beyond what torch, scikit-learn and skorch bring themselves; and skorch itself comes with the first fit."""
    optional = ("accelerate", "dask", "distributed", "matplotlib", "optuna", "pandas", "polars", "pyspark", "rich")
    code = (
        "import sys, sklearn, torch{}; before = set(sys.modules); import skvae; "
        "print(sorted((set(sys.modules) - before) & set(sys.argv[1:])))"
    )
    for before, names in ((", skorch, skorch.callbacks", optional), ("", ("skorch", "zuko", "onnx", "matplotlib"))):
        done = subprocess.run(
            [sys.executable, "-c", code.format(before), *names], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"
