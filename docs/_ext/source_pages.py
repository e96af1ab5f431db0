"""Sphinx extension: each source file as a page with numbered lines, where [source] links and links of documents lead.

On a code host a document's ``../skvae/model.py#L107`` is a line of a file; here it becomes a line of such a page, so
the site needs no host. The same pages serve the API reference (`resolve`, for sphinx.ext.linkcode).
"""

import inspect
import re
from importlib import import_module
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

__all__ = ["resolve", "setup"]

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(\.\./((?:skvae|tests)/[\w/]+)\.py#L(\d+)\)")


def resolve(domain, info):
    """Where a documented class or function is defined, seen from its page in the API reference."""
    thing = import_module(info["module"])
    for name in info["fullname"].split("."):
        thing = getattr(thing, name)
    thing = inspect.unwrap(thing.fget if isinstance(thing, property) else thing)
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return None  # data
    path = Path(inspect.getsourcefile(thing)).relative_to(ROOT).with_suffix("")
    return f"../../_code/{path.as_posix()}.html#line-{inspect.getsourcelines(thing)[1]}"


def rewrite_links(app, docname, source):
    """Lead links to lines through the URL scheme "source"."""
    source[0] = LINK.sub(r"](source:\1#line-\2)", source[0])


def pages(app):
    """Name, context and template of the page of each file."""
    formatter = HtmlFormatter(linenos="inline", lineanchors="line", anchorlinenos=True)
    for path in sorted([*ROOT.glob("skvae/**/*.py"), *ROOT.glob("tests/**/*.py")]):
        name = path.relative_to(ROOT).as_posix()
        body = f"<h1>{name}</h1>\n" + highlight(path.read_text(), PythonLexer(), formatter)
        yield f"_code/{name.removesuffix('.py')}", {"title": name, "body": body}, "page.html"


def setup(app):
    """Register with Sphinx."""
    app.connect("source-read", rewrite_links)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
