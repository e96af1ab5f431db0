"""The example of the README, as somebody pastes it into an empty file."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_is_shown(tmp_path):
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", README.read_text(), re.S).groups()
    script = tmp_path / "empty.py"
    script.write_text(code)
    command = [sys.executable, "-W", "error", script]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == shown
    assert (tmp_path / "flats.skvae").exists()


def test_both_commands_stand_in_the_first_forty_lines():
    first = README.read_text().splitlines()[:40]
    ci = (README.parent / ".ci" / "run").read_text()
    for command in ("python docs/examples/quickstart.py", "python -m pytest -n auto"):
        [line] = [line.strip() for line in first if line.endswith(command)]
        assert all(part in ci for part in line.split(" && "))
