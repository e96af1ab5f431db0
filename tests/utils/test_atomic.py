"""Files that are replaced: on the disk before their name, through links, under names and locks of their own."""

import multiprocessing
import os
import stat

import pytest

from skvae._utils.atomic import remove_orphans, replacing


def write(path, content):
    with replacing(path) as file:
        file.write(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_content_is_on_the_disk_before_its_name_is_and_the_name_before_the_end(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(opened):
        is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        calls.append("names" if is_folder else f"{os.fstat(opened).st_size} bytes")
        fsync(opened)

    def seen_replace(*paths):
        calls.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    write(tmp_path / "file", b"12345")
    assert calls == ["5 bytes", "replace", "names"]


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "file")
    (tmp_path / "to the link").symlink_to("link")
    (tmp_path / "to nothing").symlink_to("none")
    for path in ("to the link", "to nothing"):
        write(tmp_path / path, b"new")
        assert (tmp_path / path).is_symlink()
        assert (tmp_path / path).read_bytes() == b"new"
    assert names(tmp_path) == ["disk", "link", "none", "to nothing", "to the link"]
    assert (tmp_path / "disk" / "file").read_bytes() == b"new"


def test_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        write("", b"")
    assert names(tmp_path.parent).count(tmp_path.name) == 1
    assert names(tmp_path) == []


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write(tmp_path / "file", b"old")
    with pytest.raises(TypeError, match="bytes-like"), replacing(tmp_path / "file") as file:
        file.writelines([b"half", None])
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def write_and_wait(path, is_writing, goes_on):
    with replacing(path) as file:
        file.write(b"of another process")
        is_writing.set()
        goes_on.wait(60)


@pytest.mark.skipif(os.name != "posix", reason="locks of flock")
def test_only_what_nobody_is_writing_is_an_orphan(tmp_path):
    """Two processes with one fit in one folder: the second one begins while the first one writes."""
    path = tmp_path / "run[1].pt"
    context = multiprocessing.get_context("spawn")
    is_writing, goes_on = context.Event(), context.Event()
    process = context.Process(target=write_and_wait, args=(path, is_writing, goes_on))
    process.start()
    assert is_writing.wait(60)
    (tmp_path / f".{path.name}.0123").write_bytes(b"of a process that was killed")
    (tmp_path / ".run1.pt.0123").write_bytes(b"of another run")
    assert len(names(tmp_path)) == 3
    remove_orphans(path)
    assert len(names(tmp_path)) == 2
    write(path, b"of this one")
    goes_on.set()
    process.join(60)
    assert process.exitcode == 0
    assert path.read_bytes() == b"of another process"
    remove_orphans(path)
    assert names(tmp_path) == [".run1.pt.0123", path.name]
