"""Every public docstring passes every check of numpydoc and has an example, which `--doctest-modules` runs."""

import ast
import builtins
import doctest
import functools
import importlib
import importlib.util
import inspect
import pydoc

import pytest
from numpydoc.docscrape import NumpyDocString, get_doc_object
from numpydoc.validate import Validator, validate

#: Public modules, and the packages without which they cannot be imported.
MODULES = {"skvae": (), "skvae.metrics": (), "skvae.display": ("matplotlib",), "skvae.onnx": ("onnx",)}

#: Classes to subclass: their methods and properties are a contract, `__call__` included.
OTHERS = ("LabeledKFold", "PooledEstimates", "TableStatistics")
ESTIMATORS = ("VAETransformer", "VAEClassifier", "VAEEmbedding", "VAEImputer", "VAEOutlierDetector", "VAEOversampler")
BASES = ("Annealing", "Family", "Head", "Network", "Objective", "Posterior", "Prior", "Schedule")


def is_here(module):
    return importlib.util.find_spec(module) is not None


def is_public(name, member):
    """Whether a class attribute is a method or property to document; scikit-learn makes the set_..._request itself."""
    is_made = name.startswith("set_") and name.endswith("_request")
    is_routine = inspect.isroutine(member) or isinstance(member, property)
    return is_routine and not is_made and (name == "__call__" or not name.startswith("_"))


def methods(cls):
    """Those that a class or a base of it inside skvae defines, but for short properties among its Attributes."""
    described = {name for entry in NumpyDocString(inspect.getdoc(cls))["Attributes"] for name in entry.name.split(", ")}
    for base in cls.__mro__:
        if base.__module__.startswith("skvae."):
            for name, member in vars(base).items():
                is_described = name in described and isinstance(member, property) and "\n" not in member.__doc__
                if is_public(name, member) and not is_described:
                    yield name


def public_names():
    for module in filter(is_here, MODULES):
        if not all(map(is_here, MODULES[module])):
            continue
        for name in importlib.import_module(module).__all__:
            member = getattr(importlib.import_module(module), name)
            if callable(member):
                yield f"{module}.{name}"
            if name in (*ESTIMATORS, "LabeledKFold", "PooledEstimates", "TableStatistics", *BASES) or name.endswith(
                "Display"
            ):
                yield from (f"{module}.{name}.{method}" for method in dict.fromkeys(methods(member)))


def unbound(example):
    """Names that an example uses but does not import: a doctest finds them in the module, a reader does not."""
    source = "".join(part.source for part in doctest.DocTestParser().get_examples(example))
    bound, used = set(dir(builtins)), set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias():
                bound.add((node.asname or node.name).partition(".")[0])
    return used - bound


@pytest.mark.parametrize("name", list(public_names()))
def test_docstring(name):
    result = validate(name)
    assert result["errors"] == []
    example = result["docstring"].partition("Examples\n--------\n")[2]
    assert ">>>" in example
    assert unbound(example) == set()


@functools.cache
def doctests(module):
    return {test.name for test in doctest.DocTestFinder().find(importlib.import_module(module))}


@pytest.mark.parametrize("name", list(public_names()))
def test_example_is_found(name):
    """A decorator could hide it from doctest."""
    thing = pydoc.locate(name)
    function = thing.fget if isinstance(thing, property) else thing
    assert f"{function.__module__}.{function.__qualname__}" in doctests(function.__module__)


@pytest.mark.parametrize("name", list(public_names()))
def test_what_to_see_also_exists(name):
    """Under its full name, or in the same class or module: there Sphinx looks it up."""
    module = max((module for module in MODULES if name.startswith(f"{module}.")), key=len)
    places = ["", f"{name.rpartition('.')[0]}.", f"{module}."]
    references = Validator(get_doc_object(pydoc.locate(name))).see_also
    assert [ref for ref in references if not any(pydoc.locate(place + ref) for place in places)] == []


def test_every_kind_of_name_is_found():
    names = set(public_names())
    assert names > {"skvae.VAETransformer", "skvae.metrics.active_units"}  # a class, a function
    assert names > {"skvae.VAETransformer.fit", "skvae.VAETransformer.encode"}  # its own method, one that can be hidden
    assert names > {"skvae.Family.push", "skvae.Objective.n_draws", "skvae.Annealing.__call__"}
