"""What experiments share that no single one shows: whole runs to continue from, settings refused, what is said."""

import dataclasses
import io
import sys

import numpy as np
import pytest

from experiments.common import (
    CellsFailed,
    Check,
    Options,
    Outcome,
    plural,
    run_experiment,
    spread,
    spread_of_known,
    train_settings,
    train_whole,
)
from experiments.sweep import train_and_keep
from tests.experiments.measures import accuracy, tiny
from training import load_run, train_many


def options(tmp_path):
    return Options(quick=True, seeds=(0,), backend="numpy", out=tmp_path / "out", cells=tmp_path / "cells")


def test_whole_runs_are_kept_and_trained_once(tmp_path, monkeypatch):
    configs = [tiny(seed=seed) for seed in (0, 1)]
    folders = train_whole(configs, options(tmp_path))
    for config, folder in zip(configs, folders, strict=True):
        expected = train_many([config])[0].arrays
        found = load_run(folder).arrays
        assert expected.keys() == found.keys()
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name])
    monkeypatch.setattr("experiments.sweep.train", None)
    assert train_whole(configs, options(tmp_path)) == folders


def test_two_workers_train_the_same(tmp_path):
    configs = [tiny(seed=seed) for seed in (0, 1)]
    alone = train_whole(configs, options(tmp_path))
    workers = dataclasses.replace(options(tmp_path), cells=tmp_path / "others", workers=2)
    for one, other in zip(alone, train_whole(configs, workers), strict=True):
        assert one.name == other.name
        for name, array in load_run(one).arrays.items():
            np.testing.assert_array_equal(array, load_run(other).arrays[name])


def test_who_comes_second_leaves_the_first_one_as_it_is(tmp_path):
    folder = train_whole([tiny()], options(tmp_path))[0]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    train_and_keep(tiny(), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_diverging_one_is_told(tmp_path):
    with pytest.raises(CellsFailed, match="diverged"), pytest.warns(UserWarning, match="flips the sign"):
        train_whole([tiny(learning_rate=1e5, weight_decay=3e30, steps=400)], options(tmp_path))
    assert not any(tmp_path.rglob("*.npz"))


def test_the_training_of_a_whole_run_is_shown_on_a_terminal(tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    train_whole([tiny(steps=1000)], options(tmp_path))
    assert "first networks:   0%" in terminal.getvalue()
    assert "/1000 [" in terminal.getvalue()


def test_a_spread_has_the_standard_deviation_of_the_sample():
    # The deviations from 7/3 are -4/3, -1/3 and 5/3, their squares add up to 14/3.
    assert spread([1, 2, 4]) == {"mean": pytest.approx(7 / 3), "std": pytest.approx((14 / 3 / 2) ** 0.5), "min": 1,
                                 "max": 4, "values": [1, 2, 4]}
    assert spread([3]) == {"mean": 3, "std": None, "min": 3, "max": 3, "values": [3]}
    assert spread([1, None]) is None


def test_a_spread_of_what_is_known_leaves_out_what_is_not():
    assert spread_of_known([None, 3, None, 5]) == spread([3, 5])
    assert spread_of_known([None, None]) is spread_of_known(()) is None


def test_one_is_singular(tmp_path):
    assert [plural(count, "network") for count in (0, 1, 2)] == ["0 networks", "1 network", "2 networks"]
    assert dataclasses.replace(options(tmp_path), seeds=(0, 1, 2)).told_seeds == "3 seeds"


def code_of(tmp_path, experiment):
    return run_experiment("phases", "", experiment, 1, 1, ["--out", str(tmp_path / "out"), "--cells",
                                                           str(tmp_path / "cells")])


def test_a_setting_that_is_not_allowed_is_told_in_one_line_and_nothing_is_trained(tmp_path, capsys):
    settings = {"a": tiny(), "b": tiny(xi=2.0)}
    assert code_of(tmp_path, lambda options: train_settings(settings, accuracy, options)) == 2
    assert capsys.readouterr() == ("", "python -m experiments.phases: error: xi must lie in [0, 1], got 2.0\n")
    assert not any((tmp_path / "cells").iterdir())


def test_checks_are_printed_whatever_the_encoding_lacks(tmp_path, monkeypatch):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="latin-1"))
    check = Check("α is ±1", "1 − ξ", "1", True)
    assert code_of(tmp_path, lambda options: Outcome({}, {}, [check], [])) == 0
    sys.stdout.flush()
    assert "? is ±1  1 ? ?  1         holds".encode("latin-1") in printed.getvalue()
