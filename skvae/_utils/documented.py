"""Where the page of each public class is; the HTML repr of scikit-learn links to it."""

from sklearn.base import BaseEstimator

__all__ = ["DOCS_URL", "Documented"]

#: Where the documentation is published, or None while it is nowhere. Every address of this project goes by it: here the
#: links of the HTML repr; ``tests/test_outside.py`` compares it with pyproject.toml and CITATION.cff.
DOCS_URL: str | None = None


def page_template(site: str | None) -> str:
    """What scikit-learn fills in to get the address of a class's page; empty, which is no link, where no site is."""
    return f"{site.rstrip('/')}/api/generated/skvae.{{estimator_name}}.html" if site else ""


class Documented(BaseEstimator):
    """A scikit-learn object whose class has a page in the API reference of this package."""

    _doc_link_module = "skvae"  # a user's subclass is in another module, and has no link
    _doc_link_template = page_template(DOCS_URL)
