"""The gallery's scripts, cheaply: the build of the documentation runs them, with warnings as errors."""

import ast
import importlib.util
import re
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SCRIPTS = sorted(EXAMPLES.glob("plot_*.py"))
PATH = re.compile(r"^(?:~|\.{0,2})/|^[A-Za-z]:\\|\.(?:csv|npz|npy|png|parquet|gz)$")


def test_each_example_is_in_one_group_of_the_gallery_and_has_a_page():
    index = (EXAMPLES / "index.rst").read_text()
    names = [script.stem for script in SCRIPTS]
    assert len(names) >= 10
    assert sorted(re.findall(r"^   examples/(plot_\w+)\.py$", index, re.MULTILINE)) == names
    assert sorted(re.findall(r"^   (plot_\w+)$", index, re.MULTILINE)) == names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_has_a_title_and_ends_in_a_picture(script):
    tree = ast.parse(script.read_text())
    compile(tree, str(script), "exec")
    title, underline, *_ = ast.get_docstring(tree).splitlines()
    assert len(underline) == len(title)
    assert set(underline) == {"="}
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
    """In the call, or in a dictionary of parameters that it spreads."""
    tree = ast.parse(script.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        name = ast.unparse(call.func).split(".")[-1]
        keywords = {keyword.arg for keyword in call.keywords}
        if name in ("VAETransformer", "sample") and "random_state" not in keywords:
            assert None in keywords, ast.unparse(call)
            assert "'random_state': 0" in ast.unparse(tree), ast.unparse(call)
        if name == "default_rng":
            assert call.args, ast.unparse(call)


@pytest.mark.parametrize("page", sorted((EXAMPLES.parent / "guide").glob("*.md")), ids=lambda path: path.stem)
def test_a_page_of_the_guide_has_a_picture(page):
    text = page.read_text()
    examples = re.findall(r"^```\{gallery\} (\w+)$", text, re.MULTILINE)
    assert examples or "](../images/" in text
    assert set(examples) <= {script.stem for script in SCRIPTS}


def check_named(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES.parent / f"{name}.py")
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    return check


def test_the_check_of_the_site_finds_what_it_is_for(tmp_path):
    check = check_named("check_site")
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "page.html").write_text(
        '<link rel="canonical" href="https://a.example/"><a href="https://a.example/">a</a><a href="gone.html">b</a>'
        '<script src="//cdn.example/x.js"></script><link rel="stylesheet" href="https://cdn.example/x.css">'
    )
    pages = check.pages_of(tmp_path)
    loaded = list(check.loaded_from_elsewhere(tmp_path, pages))
    assert [message.split("loads ")[1] for message in loaded] == ["//cdn.example/x.js", "https://cdn.example/x.css"]
    assert list(check.guide_pages_without_picture(tmp_path, pages)) == ["guide/page.html: has no picture"]
    assert [message.split(": ")[1] for message in check.dead_links(tmp_path, pages)] == ["no file for gone.html"]


@pytest.mark.skipif(not shutil.which("chromedriver"), reason="no Chromium")
def test_the_check_of_pages_finds_what_it_is_for(tmp_path, capsys):
    pytest.importorskip("selenium")
    check = check_named("check_pages")
    formula = '<span class="math"><mjx-container>x</mjx-container></span>'
    (tmp_path / "right.html").write_text(f"<p>Words, <code>\\frac{{code}}</code> and a formula: {formula}</p>")
    assert check.main(tmp_path) is False
    pages = {
        "raw": "<p>\\frac{1}{2}</p>",
        "unset": '<span class="math">x</span>',
        "wrong": '<mjx-container><g fill="red">x</g></mjx-container>',
        "console": "<script>gone()</script>",
        "wide": '<div style="width: 500px">x</div>',
    }
    for name, body in pages.items():
        (tmp_path / f"{name}.html").write_text(body)
    capsys.readouterr()
    assert check.main(tmp_path) is True
    faults = capsys.readouterr().out.splitlines()[:-1]
    assert [fault.split(".html: ")[0] for fault in faults] == sorted(pages)
    assert [fault.split(".html: ")[1][:9] for fault in faults] == [
        "console: ",
        "raw TeX: ",
        "1 of 1 fo",
        "does not ",
        "wrong for",
    ]
