"""The site: `python -m sphinx -W docs docs/_build/html`. See developers.md."""

import importlib
import inspect
import sys
from pathlib import Path

from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - sphinx-gallery looks up what examples import

import skvae
from skvae._utils.documented import DOCS_URL, Documented

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
import reference_links  # stands in _ext, as the next one
import source_pages

MATHJAX = Path(importlib.import_module("sphinx-mathjax-offline").__file__).parent / "static" / "mathjax"

project = "skvae"
author = "The skvae founders"
copyright = author
release = version = skvae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "sphinx.ext.mathjax",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "source_pages",
    "gallery_pictures",
    "reference_links",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]
default_role = "autolink"
suppress_warnings = ["config.cache"]  # sphinx-gallery's settings hold functions

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_fence_as_directive = ["math"]
myst_url_schemes = {"http": None, "https": None, "source": {"url": "_code/{{path}}.html#{{fragment}}"}}
linkcode_resolve = source_pages.resolve

html_theme = "pydata_sphinx_theme"
html_title = "skvae"
html_baseurl = DOCS_URL or ""
# A copy of MathJax, of one file without fonts, so that formulas need no network.
mathjax_path = "tex-svg-full.js"
html_static_path = ["_static", str(MATHJAX / mathjax_path)]
html_css_files = ["style.css"]
html_context = {"default_mode": "auto"}  # the theme complains in the console of a first visit where it is not said
html_show_sourcelink = False
html_sidebars = {"start": [], "benchmarks": [], "glossary": []}  # sections of one page
toc_object_entries_show_parents = "hide"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

numpydoc_show_class_members = False
numpydoc_validation_checks = {"all"}
autodoc_typehints = "none"


def own_members(module, name):
    """The methods and properties that a class's page shows, as pairs of name and kind: those that skvae writes itself.

    Not properties of one line, which the class's Attributes describe. A component has none: parameters are all that it
    offers, its methods are the contract on the page of its base.
    """
    cls = getattr(importlib.import_module(module), name)
    if issubclass(cls, Documented) and not (inspect.isabstract(cls) or hasattr(cls, "fit")):
        return []
    ours = [base for base in reversed(cls.__mro__) if base.__module__.startswith("skvae.")]
    members = {name: member for base in ours for name, member in vars(base).items() if is_documented(name)}
    properties = [(name, "property") for name, member in members.items() if is_described_here(member)]
    return sorted(properties + [(name, "method") for name, member in members.items() if inspect.isroutine(member)])


def is_documented(name):
    """Public, and not one of the set_..._request that scikit-learn makes."""
    return name == "__call__" or not (name.startswith("_") or name.endswith("_request"))


def is_described_here(member):
    """A property with a text of its own."""
    return isinstance(member, property) and "\n" in member.__doc__


autosummary_context = {"own_members": own_members, "guide_pages": reference_links.guide_pages}

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "copyfile_regex": r"index\.rst",  # the gallery's groups are ours
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",
    "backreferences_dir": "api/backreferences",
    "doc_module": ("skvae",),
    "abort_on_example_error": True,
    "parallel": True,  # as many as sphinx -j
    "download_all_examples": False,
    "show_signature": False,
    "thumbnail_size": (480, 340),  # twice that of _static/style.css
    "write_computation_times": False,  # a page of its own, which loads scripts from other hosts
    "remove_config_comments": True,
}


def setup(app):
    """Register with Sphinx."""
    app.connect("source-read", strip_blank_ends)


def strip_blank_ends(app, docname, source):
    """Drop the blank line that doctest wants between an example's output and the fence."""
    source[0] = source[0].replace("\n\n```\n", "\n```\n")
