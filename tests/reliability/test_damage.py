"""Files that are cut, changed, exchanged or poisoned."""

import itertools
import json
import pickle
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.reliability.runs import contents, run
from training import CheckpointError, read_checkpoint, write_checkpoint


class TestADamagedCheckpoint:
    @pytest.fixture
    def intact(self, interrupted):
        return (interrupted / "checkpoint.npz").read_bytes()

    def cases(self, content):
        """Positions in every part of the archive: headers, array data, meta, the central directory, the comment."""
        archive = zipfile.ZipFile(BytesIO(content))
        starts = [info.header_offset for info in archive.infolist()]
        parts = [*starts, archive.start_dir, content.rindex(b"PK\x05\x06"), len(content) - 64, len(content)]
        for start, end in itertools.pairwise(parts):
            yield from range(start, end, max(1, (end - start) // 40))
            yield end - 1

    def refused(self, path, content):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as refusal:
            read_checkpoint(path)
        assert str(refusal.value).startswith(f"{path}: ")
        assert path.read_bytes() == content

    def test_by_a_flipped_bit_or_byte_anywhere_is_refused(self, intact, tmp_path):
        positions = sorted(set(self.cases(intact)))
        assert len(positions) > 300
        for position in positions:
            for change in (0x01, 0xFF):
                content = bytearray(intact)
                content[position] ^= change
                self.refused(tmp_path / "checkpoint.npz", bytes(content))

    def test_by_a_cut_anywhere_is_refused(self, intact, tmp_path):
        lengths = sorted({*range(0, len(intact), len(intact) // 200), *range(100), *range(len(intact) - 100,
                                                                                         len(intact))})
        assert len(lengths) > 200
        for length in lengths:
            self.refused(tmp_path / "checkpoint.npz", intact[:length])
            self.refused(tmp_path / "checkpoint.npz", intact[len(intact) - length:] if length else b"")

    @pytest.mark.parametrize("more", [b"\0", b"0", b"PK", b"\n" * 64, bytes(1000)])
    def test_by_something_added_is_refused(self, intact, tmp_path, more):
        for content in (intact + more, more + intact):
            self.refused(tmp_path / "checkpoint.npz", content)


def cut_in_a_line(content):
    return content[:content.rindex(b",") - 3]


def other(name, value):
    """A change of a setting in config.json."""
    return lambda content: json.dumps({**json.loads(content), name: value}).encode()


DAMAGE = [
    ("checkpoint.npz", None, "cannot be read"), ("checkpoint.npz", lambda content: b"", "not a checkpoint"),
    ("checkpoint.npz", lambda content: content[:-7], "damaged"),
    ("checkpoint.npz", lambda content: content[:500] + b"?" + content[501:], "damaged"),
    ("checkpoint.npz", lambda content: b"from elsewhere\n" * 50, "not a checkpoint"),
    ("config.json", None, "cannot be read"), ("config.json", lambda content: content[:-9], "is not JSON"),
    ("config.json", lambda content: b"\xff\x00\x01", "is not JSON"),
    ("config.json", lambda content: b"[1]", "settings"),
    ("config.json", lambda content: b"[" * 100_000, "is not JSON"),
    ("config.json", other("xi", 0.2), "says xi 0.2"), ("config.json", other("seed", 1), "says seed 1"),
    ("history.csv", None, "cannot be read"), ("history.csv", cut_in_a_line, "damaged"),
    ("history.csv", lambda content: bytes(range(256)) * 9, "damaged"), ("history.csv", lambda content: b"", "damaged"),
    ("history.csv", lambda content: b"\n".join(content.split(b"\n")[:-2]) + b"\n", "damaged"),
]


class TestResumingADamagedRun:
    def refused(self, folder, name, reason, capsys, mode="--resume"):
        before = contents(folder)
        assert run(mode, folder) == 2
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1, errors
        assert errors.startswith("grok.py: error: ")
        assert str(folder / name) in errors
        assert reason in errors
        assert contents(folder) == before

    @pytest.mark.parametrize(("name", "damage", "reason"), DAMAGE)
    def test_is_refused_by_the_files_name_and_the_reason(self, folder, name, damage, reason, capsys):
        path = folder / name
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage(path.read_bytes()))
        self.refused(folder, name, reason, capsys)

    @pytest.mark.parametrize(("name", "value"), [("p", "many"), ("momentum", 0.9), ("alpha", True), ("alpha", 7)])
    def test_with_a_setting_that_is_none_names_the_file(self, folder, name, value, capsys):
        path = folder / "config.json"
        path.write_bytes(other(name, value)(path.read_bytes()))
        self.refused(folder, "config.json", name, capsys)

    def test_with_a_snapshot_in_the_checkpoints_place_is_refused(self, folder, capsys):
        arrays, _ = read_checkpoint(folder / "checkpoint.npz")
        write_checkpoint(folder / "checkpoint.npz", arrays, {"step": 20})
        self.refused(folder, "checkpoint.npz", "", capsys)

    def test_with_arrays_of_another_network_is_refused(self, folder, capsys):
        _, meta = read_checkpoint(folder / "checkpoint.npz")
        write_checkpoint(folder / "checkpoint.npz", {"A": np.zeros(3)}, meta)
        self.refused(folder, "checkpoint.npz", "", capsys)

    def test_with_a_history_that_lost_a_few_digits_is_refused(self, folder, capsys):
        path = folder / "history.csv"
        path.write_bytes(path.read_bytes()[:-4])
        self.refused(folder, "history.csv", "", capsys)

    def test_with_a_history_of_one_endless_field_is_refused(self, folder, capsys):
        path = folder / "history.csv"
        path.write_bytes(path.read_bytes() + b"1" * 200_000)
        self.refused(folder, "history.csv", "damaged", capsys)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"{}"])
    def test_shows_a_damaged_summary_by_name(self, folder, capsys, content):
        assert run("--resume", folder) == 0
        (folder / "summary.json").write_bytes(content)
        self.refused(folder, "summary.json", "", capsys, mode="--figures")


class Trap:
    """What a pickle would do on loading: create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestAPickle:
    def refused(self, folder, trap, capsys):
        with pytest.raises(CheckpointError, match="not a checkpoint"):
            read_checkpoint(folder / "checkpoint.npz")
        assert run("--resume", folder) == 2
        assert "not a checkpoint" in capsys.readouterr().err
        assert not trap.exists()

    def test_in_place_of_a_checkpoint_is_never_loaded(self, folder, tmp_path, capsys):
        trap = tmp_path / "executed"
        (folder / "checkpoint.npz").write_bytes(pickle.dumps(Trap(trap)))
        self.refused(folder, trap, capsys)

    def test_inside_an_archive_with_the_right_digest_is_never_loaded(self, folder, tmp_path, capsys, monkeypatch):
        trap = tmp_path / "executed"
        arrays, meta = read_checkpoint(folder / "checkpoint.npz")
        objects = np.array([Trap(trap)], dtype=object)
        # The writer refuses objects, so a stand-in that passes its test carries them.
        savez = np.savez
        monkeypatch.setattr(np, "savez", lambda file, **given: savez(file, **{**given, "U": objects}))
        write_checkpoint(folder / "checkpoint.npz", arrays, meta)
        monkeypatch.undo()
        self.refused(folder, trap, capsys)

    def test_as_these_tests_make_it_would_have_done_harm(self, tmp_path):
        pickle.loads(pickle.dumps(Trap(tmp_path / "executed")))
        assert (tmp_path / "executed").exists()
