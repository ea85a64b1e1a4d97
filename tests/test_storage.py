import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage import InUseError, held, write_atomically, write_json


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


class TestHeld:
    HOLD = "import sys; from storage import held\nwith held(sys.argv[1]): print('held', flush=True); sys.stdin.read()"

    def test_keeps_other_processes_out_until_the_holder_ends_even_by_a_kill(self, tmp_path):
        holder = subprocess.Popen([sys.executable, "-c", self.HOLD, str(tmp_path)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(InUseError, match="another process is at work in this folder"), held(tmp_path):
                pass
        finally:
            holder.kill()
            holder.communicate()
        with held(tmp_path):
            pass

    def test_lets_go(self, tmp_path):
        for _ in range(2):
            with held(tmp_path):
                pass

    def test_leaves_nothing_behind(self, tmp_path):
        with held(tmp_path):
            assert not list(tmp_path.iterdir())

    def test_leaves_it_to_others_to_find_that_there_is_no_folder(self, tmp_path):
        with held(tmp_path / "nowhere"):
            pass
