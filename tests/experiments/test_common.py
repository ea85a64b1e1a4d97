"""What experiments share that no single one shows: whole runs for others to continue from."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.cells import run_folder
from experiments.common import CellsFailed, Options, train_whole
from tests.experiments.measures import tiny
from training import Interrupted, load_run, train, train_many


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
    monkeypatch.setattr("experiments.common.train", None)
    assert train_whole(configs, options(tmp_path)) == folders


def test_an_interrupted_one_goes_on(tmp_path):
    config = dataclasses.replace(tiny(), checkpoint_every=5).resolved()
    folder = run_folder(tmp_path / "cells", config)
    folder.mkdir(parents=True)
    calls = iter(range(100))
    with pytest.raises(Interrupted):
        train(config, folder, stop=lambda: next(calls) == 7)
    assert not (folder / "summary.json").exists()
    assert train_whole([config], options(tmp_path)) == [folder.resolve()]
    expected = train_many([config])[0].arrays
    for name, array in load_run(folder).arrays.items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_damaged_or_diverging_one_is_told(tmp_path):
    with pytest.raises(CellsFailed, match="diverged"), pytest.warns(UserWarning, match="flips the sign"):
        train_whole([tiny(learning_rate=1e5, weight_decay=3e30, steps=400)], options(tmp_path))
    config = tiny()
    folder = train_whole([config], options(tmp_path))[0]
    (folder / "summary.json").unlink()
    (folder / "checkpoint.npz").write_bytes(b"nothing")
    with pytest.raises(CellsFailed, match=r"checkpoint\.npz"):
        train_whole([config], options(tmp_path))
    assert json.loads((folder / "config.json").read_text())["width"] == config.width
