"""The site's sources against the package: no public name without a page, no link of an HTML repr that leads nowhere."""

import ast
import importlib
import inspect
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import skvae
from skvae._utils.documented import DOCS_URL, Documented, page_template

DOCS = Path(__file__).parents[1] / "docs"
PAGES = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.rst"))
TABLE = re.compile(r"^\.\. autosummary::\n   :toctree: generated\n(?:   :.*\n)*\n((?:   .+\n)+)", re.MULTILINE)
SITE = "https://site.example/stable"
MODULES = ["skvae", "skvae.metrics", "skvae.display", "skvae.onnx"]

#: Names in tables, each of which has a page; modules and data are described on the page itself.
LISTED = Counter(" ".join(TABLE.findall(PAGES)).split())
DESCRIBED = re.findall(r"^\.\. (?:automodule|py:data):: (?:skvae\.)?([\w.]+)$", PAGES, re.MULTILINE)

COMPONENTS = [
    name
    for name, member in vars(skvae).items()
    if name in skvae.__all__ and inspect.isclass(member) and issubclass(member, BaseEstimator)
]


def offered(module):
    """`__all__` of a module, read, since it may need optional packages; nothing where there is no such module."""
    if find_spec(module) is None:
        return []
    tree = ast.parse(Path(find_spec(module).origin).read_text())
    return next(ast.literal_eval(node.value) for node in tree.body if ast.unparse(node).startswith("__all__"))


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_an_api_page(module):
    prefix = module.removeprefix("skvae").lstrip(".") + "."
    names = {(prefix + name).lstrip(".") for name in offered(module)}
    assert names <= {*LISTED, *DESCRIBED}


def test_no_name_is_on_two_api_pages():
    assert [name for name, count in LISTED.items() if count > 1] == []


def test_what_the_guide_explains_is_listed_and_linked(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    links = importlib.import_module("reference_links")
    assert {name for names in links.GUIDE.values() for name in names.split()} <= {*LISTED}
    assert all((DOCS / f"{page}.md").is_file() for page in links.GUIDE)
    assert links.guide_pages("VAEImputer") == ["guide/missing", "guide/coming_from"]
    assert links.target_of("VAEImputer(random_state=0)") == "skvae.VAEImputer"
    assert links.target_of("AnomalyDisplay") == "skvae.display.AnomalyDisplay"
    assert links.target_of("impute") == "skvae.VAETransformer.impute"
    assert links.target_of("predict") is None  # of several estimators


@pytest.fixture
def published(monkeypatch):
    """As if the documentation had an address."""
    monkeypatch.setattr(Documented, "_doc_link_template", page_template(SITE))


@pytest.mark.parametrize("name", [name for name in COMPONENTS if not inspect.isabstract(getattr(skvae, name))])
def test_the_html_repr_links_to_a_page_of_the_site(name, published):
    component = getattr(skvae, name)
    address = component.__new__(component)._get_doc_link()
    assert address in {f"{SITE}/api/generated/skvae.{listed}.html" for listed in LISTED}
    assert name in address


def test_the_link_is_in_the_html_repr(published):
    assert f'href="{SITE}/api/generated/skvae.VAETransformer.html' in skvae.VAETransformer()._repr_html_()


@pytest.mark.skipif(DOCS_URL is not None, reason="the documentation is published")
def test_the_html_repr_has_no_link_while_the_documentation_is_not_published():
    fitted = skvae.VAETransformer(n_components=1, prior=skvae.NormalMixture(2), max_iter=0).fit([[0.0], [1.0], [3.0]])
    assert fitted._get_doc_link() == ""
    assert "href=" not in fitted._repr_html_()


def test_a_users_own_component_has_no_link(published):
    class Own(skvae.Gaussian):
        pass

    assert Own()._get_doc_link() == ""
