"""What experiments share that no single one shows: whole runs for others to continue from."""

import dataclasses

import numpy as np
import pytest

from experiments.common import CellsFailed, Options, train_whole
from experiments.sweep import train_and_keep
from tests.experiments.measures import tiny
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
