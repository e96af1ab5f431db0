"""Where the page of each public class is; the HTML repr of scikit-learn links to it."""

from sklearn.base import BaseEstimator

__all__ = ["Documented"]


class Documented(BaseEstimator):
    """A scikit-learn object whose class has a page in the API reference of this package."""

    _doc_link_module = "skvae"  # a user's subclass is in another module, and has no link
    _doc_link_template = "https://skvae.readthedocs.io/en/stable/api/generated/skvae.{estimator_name}.html"
