"""The gallery's scripts, cheaply: the build of the documentation runs them, with warnings as errors."""

import ast
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SCRIPTS = sorted(EXAMPLES.glob("plot_*.py"))
PATH = re.compile(r"^(?:~|\.{0,2})/|^[A-Za-z]:\\|\.(?:csv|npz|npy|png|parquet|gz)$")


def test_there_is_a_gallery():
    assert len(SCRIPTS) >= 10
    assert (EXAMPLES / "GALLERY_HEADER.rst").is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_has_a_title_and_ends_in_a_picture(script):
    tree = ast.parse(script.read_text())
    compile(tree, str(script), "exec")
    title, underline, *_ = ast.get_docstring(tree).splitlines()
    assert len(underline) == len(title) and set(underline) == {"="}
    assert ast.unparse(tree.body[-1]) == "plt.show()"
    last_cell = script.read_text().split("\n# %%\n")[-1]
    assert re.search(r"plt\.subplots\(|Display\.from_estimator\(", last_cell)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_reads_and_writes_no_file(script):
    tree = ast.parse(script.read_text())
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert not [text for text in strings if PATH.search(text)]
    assert not re.search(r"\bopen\(|savefig|fetch_|pathlib", script.read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_has_a_seed_wherever_it_draws(script):
    """`random_state`, or a seeded generator, in every call that could draw; `n_draws` of `impute`, `sample`."""
    for call in ast.walk(ast.parse(script.read_text())):
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] in ("sample", "default_rng"):
            assert call.args or any(keyword.arg == "random_state" for keyword in call.keywords), ast.unparse(call)
