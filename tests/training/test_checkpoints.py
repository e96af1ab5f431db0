"""The component `Checkpoint`, and the folder that it names."""

import errno
import os

import pytest
from skorch.callbacks import Callback
from test_resumable import FAST, Die, Seen, X, die, torch_adam

from skvae import Checkpoint, VAETransformer
from skvae._fitting import fit
from skvae._training import resumable


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folder": 3}, "'folder' parameter of Checkpoint must be an instance of 'str' or .* Got 3"),
        ({"every_n_epochs": 0}, "'every_n_epochs' parameter of Checkpoint must be an int in the range"),
        (
            {"every_minutes": -1.0},
            r"'every_minutes' parameter of Checkpoint must be a float in the range \(0.0, inf\) or None",
        ),
        ({"folder": ""}, r"'checkpoint' of VAETransformer, is '', which names no folder. Give a name, '\.' for"),
        ({"resume": "always"}, "'resume' parameter of Checkpoint must be a str among"),
        ({"every_minutes": None}, "writes nothing without"),
    ],
)
def test_bad_parameters(settings, message, tmp_path):
    vae = VAETransformer(**FAST, checkpoint=Checkpoint(**{"folder": tmp_path, **settings}))
    with pytest.raises(ValueError, match=message):
        vae.fit(X)


def test_an_empty_path_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="'checkpoint' of VAETransformer, is '', which names no folder"):
        VAETransformer(**FAST, checkpoint="").fit(X)
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_seed_cannot_be_the_same_fit(tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint=.*random_state=0"):
        VAETransformer(2, checkpoint=tmp_path).fit(X)


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    """Said before the table is looked at."""
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(fit, "prepare", die)
    with pytest.raises(
        NotADirectoryError, match=r"file/runs' of Checkpoint cannot hold the checkpoints of this fit: Not"
    ):
        VAETransformer(**FAST, checkpoint=tmp_path / "file" / "runs").fit(X)


def test_a_disk_without_space(tmp_path, monkeypatch):
    """Said before the first epoch, with the space that the fit needs: some twelve times the weights."""
    allocated = []

    def allocate(file, offset, n_bytes):
        allocated.append(n_bytes)
        if n_bytes > 10_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", allocate, raising=False)
    vae = VAETransformer(**FAST, checkpoint=tmp_path, callbacks=[Die(1, seen := Seen())])
    with pytest.raises(OSError, match=r"need [\d,]+ bytes: No space left on device") as caught:
        vae.fit(X)
    assert caught.value.errno == errno.ENOSPC
    assert f"{allocated[-1]:,}" in str(caught.value)
    assert seen == []
    assert not hasattr(vae, "module_")


@pytest.mark.parametrize("optimizer", ["adamw", torch_adam])
def test_the_space_that_is_asked_for_is_enough(tmp_path, monkeypatch, optimizer):
    allocated, sizes = [], []

    def allocate(file, offset, n_bytes):
        allocated.append(n_bytes)

    monkeypatch.setattr(os, "posix_fallocate", allocate, raising=False)
    monkeypatch.setattr(resumable, "_SLACK", 0)

    class Weigh(Callback):
        def on_epoch_begin(self, net, **kwargs):
            sizes.extend(path.stat().st_size for path in tmp_path.iterdir())

    settings = {**FAST, "hidden_layer_sizes": (300, 300), "max_iter": 4, "optimizer": optimizer}
    VAETransformer(**settings, checkpoint=Checkpoint(tmp_path, every_n_epochs=1), callbacks=[Weigh()]).fit(X)
    assert 0.5 < 2 * max(sizes) / allocated[-1] < 1.1
