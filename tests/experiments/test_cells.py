import dataclasses
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import storage
from experiments import cells
from experiments.cells import (
    ROOT,
    SOURCES,
    cell_path,
    made_by,
    plain,
    program_version,
    read_cell,
    still_made_by,
    write_cell,
)
from tests.experiments.measures import accuracy, tiny, weights
from training import train

CONFIG = tiny().resolved()
MEASURED = {"accuracy": 0.1 + 0.2, "curve": [1, None, 1e-300], "phase": "ξ"}

def another(value):
    """Another value of a setting's kind; it need not be allowed."""
    if value is None or isinstance(value, bool):
        return not value
    return value + "x" if isinstance(value, str) else value + 1


def path_of(config=CONFIG, measure=accuracy):
    return cell_path(Path("cells"), config, measure)


class TestTheNameOfACell:
    @pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(CONFIG)
                                       if field.name not in ("threads", "checkpoint_every", "continue_from")])
    def test_is_another_one_for_another_value_of_any_setting(self, field):
        assert path_of(dataclasses.replace(CONFIG, **{field: another(getattr(CONFIG, field))})) != path_of()

    @pytest.mark.parametrize("change", [{"threads": 7}, {"checkpoint_every": 3}])
    def test_is_the_same_for_settings_on_which_nothing_depends(self, change):
        assert path_of(dataclasses.replace(CONFIG, **change)) == path_of()

    def test_is_another_one_for_another_measure(self):
        assert path_of(measure=weights) != path_of()

    def test_is_another_one_for_another_version_of_the_program(self, monkeypatch):
        before = path_of()
        monkeypatch.setattr(cells, "program_version", lambda: "another")
        assert path_of() != before

    def test_follows_the_weights_of_the_run_that_is_continued_and_not_its_place(self, tmp_path):
        for name in "ab":
            (tmp_path / name).mkdir()
        train(tiny(), tmp_path / "a")
        shutil.copy(tmp_path / "a" / "checkpoint.npz", tmp_path / "b")
        here, there = (dataclasses.replace(CONFIG, continue_from=str(tmp_path / name)) for name in "ab")
        assert path_of(here) == path_of(there) != path_of()
        with open(tmp_path / "b" / "checkpoint.npz", "ab") as file:
            file.write(b"\0")
        assert path_of(here) != path_of(there)
        with pytest.raises(OSError, match=r"nowhere.checkpoint\.npz"):
            path_of(dataclasses.replace(CONFIG, continue_from="nowhere"))


class TestTheVersionOfTheProgram:
    @pytest.fixture
    def version(self, tmp_path, monkeypatch):
        """What it is of a small program."""
        for name in SOURCES:
            path = tmp_path / name
            if path.suffix:
                path.write_text(name)
            else:
                path.mkdir()
                (path / "module.py").write_text(name)
        (tmp_path / "grok.py").write_text("the command")
        monkeypatch.setattr(cells, "ROOT", tmp_path)

        def version():
            program_version.cache_clear()
            return program_version()
        yield version
        program_version.cache_clear()

    def test_changes_with_each_source(self, version, tmp_path):
        versions = {version()}
        for name in SOURCES:
            path = tmp_path / name
            path = path if path.is_file() else path / "module.py"
            path.write_text("changed")
            versions.add(version())
        assert len(versions) == 1 + len(SOURCES)

    def test_changes_with_the_images(self, version, tmp_path):
        (tmp_path / "data" / "mnist.npz").write_bytes(b"\0\1")
        one = version()
        (tmp_path / "data" / "mnist.npz").write_bytes(b"\0\2")
        assert one != version()

    def test_changes_with_a_file_that_comes_or_is_called_otherwise(self, version, tmp_path):
        one = version()
        (tmp_path / "layers" / "new.py").write_text("")
        two = version()
        (tmp_path / "layers" / "new.py").rename(tmp_path / "layers" / "other.py")
        assert len({one, two, version()}) == 3

    def test_does_not_change_with_anything_else(self, version, tmp_path):
        before = version()
        (tmp_path / "grok.py").write_text("another command")
        (tmp_path / "layers" / "notes.md").write_text("to read")
        assert version() == before

    def test_covers_all_of_the_program_that_training_and_measuring_import(self):
        packages = sorted(name for name in SOURCES if not name.endswith(".py"))
        told = subprocess.run(
            [sys.executable, "-c", f"import sys, pkgutil, importlib\n"
             f"for name in {packages}:\n"
             "    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, name + '.'):\n"
             "        importlib.import_module(module.name)\n"
             "print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)), sep='\\n')"],
            cwd=ROOT, capture_output=True, text=True, check=True)
        # An environment inside the project, with all libraries, is none of it.
        ours = [Path(file).relative_to(ROOT) for file in told.stdout.splitlines()
                if Path(file).is_relative_to(ROOT) and not Path(file).is_relative_to(sys.prefix)]
        assert Path("layers/linear.py") in ours
        assert [path.as_posix() for path in ours if path.parts[0] not in SOURCES] == []

    def test_and_the_measures_text_are_compared_in_a_worker(self, monkeypatch):
        version = made_by(accuracy)
        assert still_made_by(accuracy, version)
        assert not still_made_by(weights, version)
        with monkeypatch.context() as patch:
            patch.setattr(cells, "program_version", lambda: "another")
            assert not still_made_by(accuracy, version)
        # A function of the main module has been sent as it is.
        monkeypatch.setattr(weights, "__module__", "__main__")
        assert still_made_by(weights, version)


class TestACell:
    @pytest.fixture
    def path(self, tmp_path):
        path = cell_path(tmp_path, CONFIG, accuracy)
        write_cell(path, CONFIG, MEASURED)
        return path

    def test_is_read_as_it_was_written(self, path):
        assert read_cell(path) == MEASURED
        assert [file for file in path.parent.iterdir() if file != path] == []

    def test_says_what_it_was_made_with(self, path):
        assert json.loads(path.read_text())["config"] == CONFIG.to_dict()

    def test_is_none_before_it_is_written(self, path):
        assert read_cell(path.with_name("other.json")) is None

    @pytest.mark.parametrize("damage", [
        lambda text: "", lambda text: text[:len(text) // 2], lambda text: text[:-3], lambda text: "[]",
        lambda text: "null", lambda text: "{}", lambda text: "[" * 100_000, lambda text: text.replace("0.3", "0.4"),
        lambda text: text.replace('"p": 11', '"p": 12'), lambda text: text.replace('"digest": "', '"digest": "0'),
    ], ids=["empty", "half", "end", "list", "null", "nothing", "deep", "number", "setting", "digest"])
    def test_that_is_damaged_counts_as_none(self, path, damage):
        text = path.read_text()
        assert damage(text) != text
        path.write_text(damage(text))
        assert read_cell(path) is None

    def test_that_is_no_text_counts_as_none(self, path):
        path.write_bytes(b"\xff\x00" + path.read_bytes())
        assert read_cell(path) is None

    def test_under_the_name_of_another_one_counts_as_none(self, path):
        assert read_cell(shutil.copy(path, path.with_name("0" * 32 + ".json"))) is None

    def test_stays_whole_if_writing_it_again_is_cut_short(self, path, monkeypatch):
        def killed(_):
            raise KeyboardInterrupt

        monkeypatch.setattr(storage.os, "fsync", killed)
        for place in (path, path.with_name("new.json")):
            with pytest.raises(KeyboardInterrupt):
                write_cell(place, CONFIG, {"accuracy": 1})
        assert read_cell(path) == MEASURED
        assert not path.with_name("new.json").exists()

    def test_can_be_written_by_two_sweeps_at_once(self, path, monkeypatch):
        sync = storage.os.fsync

        def meanwhile(file):
            monkeypatch.setattr(storage.os, "fsync", sync)
            write_cell(path, CONFIG, MEASURED)
            sync(file)

        path.unlink()
        monkeypatch.setattr(storage.os, "fsync", meanwhile)
        write_cell(path, CONFIG, MEASURED)
        assert read_cell(path) == MEASURED
        assert [file for file in path.parent.iterdir() if file != path] == []


class TestPlainValues:
    def test_are_what_reading_a_stored_cell_gives(self, tmp_path):
        measured = {1: (1, 2), "x": {"y": np.float64(0.1)}, "none": None}
        write_cell(tmp_path / "cell.json", CONFIG, plain(measured))
        assert plain(measured) == read_cell(tmp_path / "cell.json") == {"1": [1, 2], "x": {"y": 0.1}, "none": None}

    @pytest.mark.parametrize("value", [np.float32(1), np.zeros(2), {1, 2}, math.nan, math.inf, {(1, 2): 3}])
    def test_are_not_all_values(self, value):
        with pytest.raises((TypeError, ValueError)):
            plain({"value": value})

    @pytest.mark.parametrize("measured", [[1], "words", None, 0.5])
    def test_are_a_dict(self, measured):
        with pytest.raises(TypeError, match="a measure must return a dict, got"):
            plain(measured)


def test_a_whole_run_has_a_folder_of_its_own_settings(monkeypatch):
    folder = cells.run_folder(Path("cells"), CONFIG)
    assert folder == cells.run_folder(Path("cells"), dataclasses.replace(CONFIG, threads=7, checkpoint_every=3))
    for change in ({"seed": 1}, {"steps": 21}, {"weight_decay": 1.0}):
        assert folder != cells.run_folder(Path("cells"), dataclasses.replace(CONFIG, **change))
    monkeypatch.setattr(cells, "program_version", lambda: "another")
    assert folder != cells.run_folder(Path("cells"), CONFIG)
