"""What is drawn and told of a run on images."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import grok
from analysis import figures
from backend import open_device
from tests.training.test_images import small
from training import Trainer, train
from training.figures import describe, draw_comparison, draw_figures
from training.memory import bytes_per_run
from training.tables import comparison_table, run_table


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(figures, "DPI", 40)


@pytest.mark.parametrize("setting", [{}, {"xi": 0.0}, {"steps": 1, "batch_norm": True}], ids=str)
def test_a_run_is_drawn_by_its_curves_alone(setting, tmp_path):
    drawn = draw_figures(train(small(**setting)), tmp_path / "figures")
    assert [path.name for path in drawn] == ["training_curves.png"]
    assert drawn[0].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("ipr", "labels"), [
    ([0.1, 0.2, 0.3], ["accuracy", "loss", "mean IPR of neurons", "weight norm"]),
    ([np.nan] * 3, ["accuracy", "loss", "weight norm"])], ids=["with an IPR", "without"])
def test_curves_have_a_panel_for_what_is_defined(ipr, labels, tmp_path, monkeypatch):
    shown = {}
    monkeypatch.setattr(figures, "save", lambda figure, path: shown.update(axes=figure.axes))
    history = {"step": [0, 1, 2], "train_accuracy": [0.1, 0.5, 1], "train_loss": [1, 0.5, 0.1],
               "weight_norm": [1, 2, 3], "mean_ipr": ipr}
    figures.training_curves(history, tmp_path / "curves.png", "title", grok_step=1)
    assert [axes.get_ylabel() for axes in shown["axes"]] == labels
    assert [axes.get_xlabel() for axes in shown["axes"]][-2:] == ["step", "step"]


def test_the_title_tells_of_images():
    assert describe(train(small(steps=1))) == (
        "relu-mlp, 120 images of mnist, N = 16, ξ = 0.3, weight decay 1, rate 0.01, float64, seed 0")


def test_a_table_has_a_dash_for_what_images_do_not_have(tmp_path):
    run = train(small(steps=1))
    assert "phase     -" in run_table(run, Path("one")).splitlines()
    table = comparison_table({"a": run, "b": train(small(steps=1, p=97, seed=1))})
    assert [line.split() for line in table.splitlines() if line.startswith("mean IPR")] == [["mean", "IPR", "-", "-"]]
    assert draw_comparison({"a": run}, tmp_path / "figure.png").exists()


def test_the_command_draws_and_tells(tmp_path, capsys):
    options = ["--task", "mnist", "--examples", "50", "--width", "8", "--steps", "5", "--out", str(tmp_path / "run")]
    assert grok.main(options) == 0
    assert capsys.readouterr().out.startswith("relu-mlp, 50 images of mnist, N = 8, ")
    assert [path.name for path in (tmp_path / "run" / "figures").iterdir()] == ["training_curves.png"]


@pytest.mark.parametrize("setting", [{}, {"batch_size": 100}], ids=["full batch", "minibatch"])
def test_the_estimate_of_memory_is_not_less_than_what_a_run_takes_and_not_far_more(setting):
    def taken(runs):
        configs = [small(width=96, train_size=400, seed=seed, **setting) for seed in range(runs)]
        tracemalloc.start()
        with Trainer(configs) as trainer:
            trainer.step()
            trainer.evaluate()
            size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size, configs[0]
    (few, config), (many, _) = taken(2), taken(6)
    assert 0.4 < (many - few) / 4 / bytes_per_run(config, open_device("numpy", "float64")) < 1
