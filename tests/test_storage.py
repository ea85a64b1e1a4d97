import json
import os

import pytest

from storage import write_atomically, write_json


@pytest.fixture
def path(tmp_path):
    """A file that is there already."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


@pytest.mark.parametrize("content", [b"new \x00\xff", "new, and not ASCII: \u03be"])
def test_the_new_content_takes_the_place_of_the_old(path, content):
    write_atomically(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())


def test_nothing_else_is_left_in_the_folder(path):
    write_atomically(path, b"new")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_whole(path, call, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left") as failure:
        write_atomically(path, b"new")
    assert (failure.value.errno, failure.value.filename) == (28, str(path))
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_after_a_failed_one_succeeds(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *arguments: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(OSError, match="Input/output error"):
            write_atomically(path, b"a long one that does not get there")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_the_file_is_on_the_disk_before_it_takes_its_place(path, monkeypatch):
    fsync, replace, calls = os.fsync, os.replace, []

    def watched_fsync(descriptor):
        calls.append(("flushed", os.fstat(descriptor).st_size, path.read_bytes()))
        fsync(descriptor)

    def watched_replace(source, target):
        calls.append(("renamed", os.path.getsize(source), path.read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomically(path, b"new one")
    assert calls == [("flushed", 7, b"old"), ("renamed", 7, b"old")]


def test_json_has_null_for_what_is_not_defined(path):
    write_json(path, {"test_accuracy": None, "steps": 5})
    assert json.loads(path.read_text()) == {"test_accuracy": None, "steps": 5}
    assert "null" in path.read_text()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_word_for_is_refused_and_the_old_file_stays(path, value):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"test_accuracy": value})
    assert path.read_bytes() == b"old"
