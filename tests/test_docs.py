"""The documents against the code: every link to a line, every test that is named, every spelling that is shown.

    python tests/test_docs.py

rewrites the line numbers of links that have gone stale.
"""

import ast
import math
import re
from pathlib import Path

import pytest

import skvae
from skvae._fitting.plan import Plan

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
LINK = re.compile(r"\[`(?P<name>[\w.]+)`\]\((?P<path>[^)#\s]+\.py)#L(?P<line>\d+)\)")
TEST = re.compile(r"`(test_\w+)\.(test_\w+)`")
SPELLING = re.compile(r"`((?:VAETransformer[.(]|metrics\.(?!py`))[^`]*)`")


def definitions(path):
    """Line of each def and class of a file, by dotted name."""
    lines = {}

    def visit(node, prefix):
        for child in getattr(node, "body", []):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                lines.setdefault(prefix + child.name, child.lineno)
                visit(child, f"{prefix}{child.name}.")

    visit(ast.parse(path.read_text()), "")
    return lines


def line_of(link):
    """Where the thing that a link names is defined, or None."""
    path = (DOCS / link["path"]).resolve()
    return definitions(path).get(link["name"]) if path.is_file() else None


def found(pattern):
    return [
        pytest.param(match, id=f"{page.stem}-{match[0]}")
        for page in PAGES
        for match in pattern.finditer(page.read_text())
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_the_line_they_name(page):
    stale = []
    for link in LINK.finditer(page.read_text()):
        line = line_of(link)
        if line is None:
            stale.append(f"{link[0]}: {link['path']} defines no {link['name']}")
        elif line != int(link["line"]):
            stale.append(f"{link[0]}: now line {line}")
    assert not stale, "\n".join(["python tests/test_docs.py rewrites line numbers.", *stale])
    links_to_code = re.findall(r"\]\([^)]*\.py#", page.read_text())
    assert len(links_to_code) == len(LINK.findall(page.read_text()))  # none escapes the pattern


@pytest.mark.parametrize("match", found(TEST))
def test_named_tests_exist(match):
    module, test = match.groups()
    (file,) = Path(__file__).parent.rglob(f"{module}.py")
    assert test in definitions(file)


@pytest.mark.parametrize("match", found(SPELLING))
def test_spellings_run(match):
    """Constructed, every short name known, and parts that go together."""
    result = eval(match[1], vars(skvae))
    if isinstance(result, skvae.VAETransformer):
        families = [skvae.Gaussian()] * math.prod(getattr(result.encoder, "image_shape", (1,)))
        plan = Plan.of(result.get_params(deep=False), "VAETransformer")
        plan.check_parts(families, 1000)


def rewrite(page):
    text = page.read_text()
    page.write_text(
        LINK.sub(lambda link: link[0].replace(f"#L{link['line']})", f"#L{line_of(link) or link['line']})"), text)
    )


if __name__ == "__main__":
    for page in PAGES:
        rewrite(page)
