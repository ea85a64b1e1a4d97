import pytest

from analysis import figures
from data import OPERATIONS
from layers import TwoLayerNetwork
from tests.training.settings import SETTINGS, small
from training import TrainingConfig, train
from training.figures import describe, draw_figures, pruning_sets

ALWAYS = {"training_curves.png", "ipr_histogram.png", "neurons.png"}


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(figures, "DPI", 40)  # drawn faster


@pytest.mark.parametrize("setting", [
    SETTINGS["full batch"], SETTINGS["BatchNorm"], SETTINGS["relu-mlp"], SETTINGS["transformer"],
    {"alpha": 1.0}, {"xi": 0.0}, {"xi": 1.0}, {"steps": 1, "p": 2, "alpha": 0.5, "width": 1},
], ids=str)
def test_a_run_of_any_kind_is_drawn_without_a_warning(setting, tmp_path):
    # Warnings are errors in these tests.
    run = train(small(**setting))
    drawn = draw_figures(run, tmp_path / "figures")
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in drawn)
    names = {path.name for path in drawn}
    assert names == ALWAYS | ({"pruning_curves.png"} if isinstance(run.network(), TwoLayerNetwork) else set())
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names


def test_drawing_again_takes_the_place_of_the_old_figures(tmp_path):
    run = train(small(steps=1))
    (tmp_path / "neurons.png").write_bytes(b"old")
    draw_figures(run, tmp_path)
    assert (tmp_path / "neurons.png").read_bytes().startswith(b"\x89PNG")


def test_drawing_leaves_the_run_as_it_is(tmp_path):
    run = train(small(steps=1))
    before = {name: array.tobytes() for name, array in run.arrays.items()}
    draw_figures(run, tmp_path)
    assert {name: array.tobytes() for name, array in run.arrays.items()} == before


class TestPruningSets:
    def test_are_the_test_set_and_the_training_set_whole_and_in_its_parts(self):
        run = train(small(steps=1))
        problem = run.problem()
        sizes = {name: len(labels) for name, (_, labels) in pruning_sets(run).items()}
        corrupted = int(problem.train.corrupted.sum())
        assert sizes == {"train": 72, "test": 49, "corrupted": corrupted, "uncorrupted": 72 - corrupted}

    def test_of_corrupted_examples_have_the_labels_that_were_given(self):
        run = train(small(steps=1))
        train_set = run.problem().train
        inputs, labels = pruning_sets(run)["corrupted"]
        assert inputs.tolist() == train_set.inputs[train_set.corrupted].tolist()
        assert labels.tolist() == train_set.labels[train_set.corrupted].tolist()
        assert labels.tolist() != train_set.true_labels[train_set.corrupted].tolist()

    @pytest.mark.parametrize(("setting", "missing"), [
        ({"alpha": 1.0}, ["test"]),
        ({"xi": 0.0}, ["corrupted", "uncorrupted"]),  # uncorrupted would be the training set once more
        ({"xi": 1.0}, ["uncorrupted"])], ids=str)
    def test_leave_out_empty_ones_and_repetitions(self, setting, missing):
        sets = {"train", "test", "corrupted", "uncorrupted"}
        assert set(pruning_sets(train(small(**setting, steps=1)))) == sets - set(missing)


@pytest.mark.parametrize(("operation", "labels"), [("add", figures.RESIDUES), ("divide", figures.LOGARITHMS)])
def test_neurons_are_drawn_in_the_order_in_which_the_rule_is_periodic(operation, labels, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr("analysis.figures.save", lambda figure, path: drawn.update({path.stem: figure}) or path)
    draw_figures(train(small(steps=1, operation=operation)), tmp_path)
    assert [axes.get_xlabel() for axes in drawn["neurons"].axes[-4:]] == [labels[0], *labels, "frequency"]


class TestTheTitle:
    def test_has_the_setting(self):
        title = describe(train(small(steps=1, batch_size=20, dropout=0.25, seed=7)))
        assert title == ("mlp, (m + n) mod 11, N = 16, α = 0.6, ξ = 0.3, weight decay 0, dropout 0.25, batch 20, "
                         "float64, seed 7")

    @pytest.mark.parametrize(("settings", "told"), [
        ({}, "weight decay 15, seed 0"),
        ({"activation": "gelu", "loss": "cross-entropy", "learning_rate": 0.3, "clip": 2.0, "optimizer": "sgd"},
         "weight decay 15, gelu, cross-entropy, rate 0.3, clipped at 2, sgd, seed 0"),
        ({"model": "relu-mlp", "depth": 4, "schedule": "warmup-cosine", "dtype": "float64"},
         "weight decay 20, depth 4, warmup-cosine, float64, seed 0"),
        ({"model": "transformer", "width": 6, "heads": 2, "layer_norm": True, "l2": 0.1},
         "weight decay 0.5, 2 heads, LayerNorm, L2 0.1, seed 0"),
        ({"batch_norm": True}, "weight decay 0, BatchNorm, batch 60, seed 0")], ids=str)
    def test_has_what_is_not_as_usual(self, settings, told):
        run = train(TrainingConfig(p=11, steps=1, **settings))
        assert describe(run).endswith(told)

    def test_has_a_sign_for_every_operation(self):
        titles = [describe(train(small(steps=1, operation=operation))) for operation in OPERATIONS]
        assert [title.split(" mod ")[0] for title in titles] == [f"mlp, (m {sign} n)" for sign in "+−×÷"]
