"""Images as the command's task."""

import json
from pathlib import Path

import pytest

import grok
from tests.command.calling import TINY, assert_same_runs, quietly, refused
from training import load_run

IMAGES = ["--task", "mnist", "--examples", "100", "--width", "12", "--steps", "20"]

REFUSED = [
    ("--task mnist --p 97", "--p has no meaning with --task mnist"),
    ("--task mnist --p 11", "--p has no meaning with --task mnist"),
    ("--task mnist --operation add", "--operation has no meaning with --task mnist"),
    ("--task mnist --alpha 0.5", "--alpha has no meaning with --task mnist"),
    ("--task mnist --model mlp", "--model must be relu-mlp with task mnist, got mlp"),
    ("--task mnist --model transformer", "--model must be relu-mlp with task mnist, got transformer"),
    ("--task mnist --layer-norm", "--layer-norm must be off in an MLP (it has batch_norm), got True"),
    ("--task mnist --examples 0", "--examples must be at least 1 and at most 7000, the images that there are, got 0"),
    ("--task mnist --examples 7001",
     "--examples must be at least 1 and at most 7000, the images that there are, got 7001"),
    ("--task mnist --batch-size 1001", "--batch-size must be at most the size of the training set, 1000, got 1001"),
    ("--task mnist --initial-scale 0", "--initial-scale must be positive, got 0.0"),
    ("--task mnist --noise -1", "--noise must be at least 0, got -1.0"),
    ("--noise 0.1", "--noise has no meaning with --task modular"),
    ("--examples 1000", "--examples has no meaning with --task modular"),
    ("--initial-scale 1", "--initial-scale has no meaning with --task modular"),
]


@pytest.fixture
def images():
    """The folder of a finished run on images."""
    assert quietly(*IMAGES, "--out", "images") == 0
    return Path("images")


class TestARun:
    def test_has_the_settings_of_its_task(self, images):
        config = load_run(images).config
        assert (config.task, config.train_size, config.model, config.width) == ("mnist", 100, "relu-mlp", 12)
        summary = json.loads((images / "summary.json").read_text())
        assert summary["mean_ipr"] is None
        assert summary["parameters"] == 784 * 12 + 12 + 12 * 12 + 12 + 12 * 10 + 10

    def test_goes_on_as_if_it_had_never_stopped(self, images):
        assert quietly("--resume", "images", "--steps", "33") == 0
        quietly(*IMAGES, "--steps", "33", "--out", "whole")
        assert_same_runs("images", "whole")

    def test_can_be_repeated_from_its_settings(self, images):
        assert quietly("--config", "images/config.json", "--out", "again") == 0
        assert_same_runs("images", "again")

    def test_hands_its_weights_to_another_on_fewer_images(self, images):
        assert quietly("--continue-from", "images", "--examples", "30", "--xi", "0", "--out", "next") == 0
        run = load_run(Path("next"))
        assert (run.config.task, run.config.train_size, run.config.xi) == ("mnist", 30, 0)
        before = load_run(images).arrays
        assert all((run.snapshots[0][name] == before[name]).all() for name in run.snapshots[0])

    def test_gets_a_folder_named_after_its_images(self):
        quietly(*IMAGES, "--steps", "1")
        name = next(Path("runs").iterdir()).name
        assert name.endswith("-relu-mlp-mnist100-xi0.35-wd40-seed0")


class TestWhatMakesNoSenseTogether:
    @pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[case[0] for case in REFUSED])
    def test_is_refused_in_one_line(self, arguments, message, capsys):
        assert refused(arguments.split(), capsys) == f"grok.py: error: {message}\n"

    def test_includes_weights_of_another_task(self, run, capsys):
        message = refused(["--continue-from", "run", "--task", "mnist"], capsys)
        assert message == "grok.py: error: --task must be that of the other run, modular, got mnist\n"

    @pytest.mark.parametrize("test_set", ["original", "complement"])
    def test_includes_a_choice_of_the_test_set(self, images, test_set, capsys):
        message = refused(["--continue-from", "images", "--test-set", test_set], capsys)
        assert message == "grok.py: error: --test-set has no meaning with --task mnist, which has one test set\n"

    def test_includes_settings_of_residues_for_a_file_of_images(self, images, capsys):
        message = refused(["--config", "images/config.json", "--p", "11"], capsys)
        assert message == "grok.py: error: --p has no meaning with --task mnist\n"


def test_the_help_says_which_options_go_with_images(capsys):
    with pytest.raises(SystemExit):
        grok.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--task {modular,mnist,digits,reviews,imdb}" in text
    assert "python grok.py --task mnist" in text
    assert "--examples EXAMPLES of images:" in text
    assert "--initial-scale INITIAL_SCALE of images and texts:" in text


def test_a_run_on_residues_is_what_it_was(run):
    assert load_run(run).config.task == "modular"
    assert quietly(*TINY, "--task", "modular", "--out", "said") == 0
    assert_same_runs("run", "said")
