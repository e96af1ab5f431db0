"""What stands around the package: versions, bounds, pins, addresses and the files of the community agree."""

import re
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import skvae
from skvae._utils.documented import DOCS_URL

tomllib = pytest.importorskip("tomllib")  # Python 3.11

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = (ROOT / "CITATION.cff").read_text()
TEXTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "skvae").rglob("*.py"),
    *(ROOT / ".github").rglob("*.*"),
]

#: Extras that the tests do not install.
OTHERS = {"bench", "bench-peers", "dev", "docs"}


def pins(path):
    """Name -> the versions that a file of constraints allows, by Python."""
    lines = [line.split("#")[0].strip() for line in (ROOT / path).read_text().splitlines()]
    found = {}
    for requirement in map(Requirement, filter(None, lines)):
        found.setdefault(requirement.name, []).append(str(requirement.specifier))
    return found


def bounds():
    """Name -> lower bounds, of what skvae and its tests need."""
    extras = PROJECT["optional-dependencies"]
    needed = [PROJECT["dependencies"], *(lines for name, lines in extras.items() if name not in OTHERS)]
    found = {}
    for requirement in map(Requirement, chain.from_iterable(needed)):
        if requirement.name != "skvae":
            assert [part.operator for part in requirement.specifier] == [">="], requirement
            found.setdefault(requirement.name, set()).add(str(requirement.specifier).removeprefix(">="))
    return found


def test_pins_of_the_oldest_dependencies_are_the_bounds():
    oldest = {name: set(map(bound, versions)) for name, versions in pins(".ci/lower_bounds.txt").items()}
    ours = {name: versions for name, versions in bounds().items() if name != "torch"}
    assert {name: oldest.get(name) for name in ours} == ours
    script = (ROOT / ".ci" / "lower_bounds").read_text()
    assert all(f"{version}" in script for version in bounds()["torch"])


def bound(specifier):
    return specifier.removeprefix("==")


def test_all_that_the_tests_need_is_pinned():
    assert set(bounds()) <= set(pins("constraints.txt"))


def test_the_version_is_one():
    assert PROJECT["version"] == skvae.__version__
    assert f"\nversion: {skvae.__version__}\n" in CITATION


def test_addresses_go_by_one_constant():
    """None while it is unset; then those of project.urls and CITATION.cff lead there."""
    cited = re.findall(r"^url: (.*)$", CITATION, re.MULTILINE)
    if DOCS_URL is None:
        assert "urls" not in PROJECT
        assert cited == []
    else:
        assert PROJECT["urls"]["Documentation"] == DOCS_URL
        assert cited == [DOCS_URL]


def test_no_page_installs_skvae_by_its_name():
    """It is on no package index."""
    lines = [(path.name, line) for path in TEXTS for line in path.read_text().splitlines()]
    assert [pair for pair in lines if re.search(r"pip install\s+[\"']?skvae", pair[1])] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_between_the_files_at_the_top_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (ROOT / target).exists()] == []
