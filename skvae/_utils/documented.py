"""What the HTML repr of scikit-learn shows of a public class: the link to its page, and its parameters in groups."""

import inspect
import re
from collections.abc import Iterable, Mapping
from copy import copy
from functools import partial
from typing import Any, ClassVar

from sklearn.base import BaseEstimator

__all__ = ["DOCS_URL", "Documented"]

#: Where the documentation is published, or None while it is nowhere. Every address of this project goes by it: here the
#: links of the HTML repr; ``tests/test_outside.py`` compares it with pyproject.toml and CITATION.cff.
DOCS_URL: str | None = None

_ONE_BODY = re.compile("(.*<tbody>)(.*)(</tbody>.*)", re.DOTALL)
_HEADING = '<tr><th colspan="3" scope="rowgroup" style="color: black; text-align: left">{}</th></tr>'


def page_template(site: str | None) -> str:
    """What scikit-learn fills in to get the address of a class's page; empty, which is no link, where no site is."""
    return f"{site.rstrip('/')}/api/generated/skvae.{{estimator_name}}.html" if site else ""


class Documented(BaseEstimator):
    """A scikit-learn object whose class has a page in the API reference of this package."""

    _doc_link_module = "skvae"  # a user's subclass is in another module, and has no link
    _doc_link_template = page_template(DOCS_URL)

    #: First parameter of each group -> heading of the group in the HTML repr; without any, the parameters are one list.
    _parameter_groups: ClassVar[Mapping[str, str]] = {}

    def _get_params_html(self, *args: Any, **kwargs: Any) -> Any:
        """Parameters for the HTML repr of scikit-learn (1.7 and newer), in groups where the class has some."""
        params = super()._get_params_html(*args, **kwargs)
        if self._parameter_groups:
            params._html_repr = partial(_table_in_groups, params, _headings(type(self)))
        return params


def _headings(cls: type[Documented]) -> dict[str, str]:
    """Heading of the group of each parameter, in the order of the signature; "" before the first group."""
    headings, heading = {}, ""
    for name in inspect.signature(cls).parameters:
        heading = headings[name] = cls._parameter_groups.get(name, heading)
    return headings


def _table_in_groups(params: Any, headings: Mapping[str, str]) -> str:
    """HTML of a table of parameters in which each group is a <tbody> under its heading.

    The rows are scikit-learn's. A table that is not made of one <tbody> stays as scikit-learn writes it.
    """
    table = _ONE_BODY.fullmatch(_flat_table(params, params))
    if table is None:
        return _flat_table(params, params)
    groups: dict[str, list[str]] = {heading: [] for heading in ("", *headings.values())}
    for name in params:
        groups[headings.get(name.partition("__")[0], "")].append(name)  # a nested parameter goes with its component
    bodies = [
        (_HEADING.format(heading) if heading else "") + _ONE_BODY.sub(r"\2", _flat_table(params, names))
        for heading, names in groups.items()
        if names
    ]
    return table[1] + "</tbody><tbody>".join(bodies) + table[3]


def _flat_table(params: Any, names: Iterable[str]) -> str:
    """HTML of some of the parameters, as scikit-learn writes it."""
    some = copy(params)
    some.data = {name: params[name] for name in names}
    return type(some)._html_repr(some)
