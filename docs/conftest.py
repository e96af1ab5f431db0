"""Pages that keep a model write files."""

from importlib.util import find_spec

import pytest

collect_ignore = [] if find_spec("onnxruntime") else ["deployment.md"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
