"""Texts as the command's task."""

from pathlib import Path

import pytest

from tests.command.calling import assert_same_runs, quietly, refused
from training import load_run

TEXTS = ["--task", "reviews", "--examples", "60", "--width", "6", "--steps", "12", "--eval-every", "6"]

REFUSED = [
    ("--task reviews --p 11", "--p has no meaning with --task reviews"),
    ("--task reviews --noise 0.1", "--noise has no meaning with --task reviews"),
    ("--task reviews --words 10", "--words has no meaning with --task reviews"),
    ("--task reviews --model mlp", "--model must be lstm with task reviews, got mlp"),
    ("--task reviews --depth 2", "--depth must be at least 3, got 2"),
    ("--task reviews --activation relu", "--activation must be left out with an LSTM, whose functions are its own, got "
                                         "relu"),
    ("--task reviews --batch-norm", "--batch-norm must be off with an LSTM, got True"),
    ("--model lstm", "--model must be mlp or relu-mlp or transformer with task modular, got lstm"),
    ("--task imdb", "--data-folder must be given with task imdb: the folder aclImdb of the data set, got None"),
    ("--clip 0", "--clip must be positive, got 0.0"),
    ("--l2 inf", "--l2 must be finite, got inf"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_makes_no_sense_is_refused_in_one_line(arguments, message, capsys):
    assert refused(arguments.split(), capsys) == f"grok.py: error: {message}\n"


def test_a_folder_without_the_data_is_refused_and_leaves_nothing(capsys):
    message = refused(["--task", "imdb", "--data-folder", "nowhere"], capsys)
    assert message.startswith("grok.py: error: --data-folder must be the folder aclImdb of the data set: nowhere")
    assert message.count("\n") == 1
    assert not Path("runs").exists()


def test_a_run_goes_on_as_if_it_had_never_stopped():
    assert quietly(*TEXTS, "--out", "texts") == 0
    assert quietly("--resume", "texts", "--steps", "20") == 0
    assert quietly(*TEXTS, "--steps", "20", "--out", "whole") == 0
    assert_same_runs("texts", "whole")
    assert load_run(Path("texts")).config.model == "lstm"
