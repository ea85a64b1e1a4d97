"""What the command refuses, and how."""

import itertools
from pathlib import Path

import pytest

from tests.command.calling import TINY, refused

BAD = [
    ("--p 1", "--p", "1"), ("--p 0", "--p", "0"), ("--p -97", "--p", "-97"), ("--p 9.5", "--p", "9.5"),
    ("--p many", "--p", "many"), ("--p 91 --operation divide", "--p", "91"),
    ("--operation power", "--operation", "power"),
    ("--alpha 0", "--alpha", "0"), ("--alpha 1.5", "--alpha", "1.5"), ("--alpha nan", "--alpha", "nan"),
    ("--alpha -0.5", "--alpha", "-0.5"), ("--alpha 0.00001", "--alpha", "1e-05"),
    ("--xi 1.4", "--xi", "1.4"), ("--xi -0.2", "--xi", "-0.2"), ("--xi nan", "--xi", "nan"),
    ("--model cnn", "--model", "cnn"), ("--width 0", "--width", "0"), ("--activation tanh", "--activation", "tanh"),
    ("--depth 1 --model relu-mlp", "--depth", "1"), ("--model transformer --heads 3", "--heads", "3"),
    ("--model transformer --batch-norm", "--batch-norm", "True"),
    ("--model transformer --activation gelu", "--activation", "gelu"), ("--layer-norm", "--layer-norm", "True"),
    ("--dropout 1", "--dropout", "1.0"), ("--dropout -0.1", "--dropout", "-0.1"), ("--dropout nan", "--dropout", "nan"),
    ("--loss hinge", "--loss", "hinge"), ("--optimizer lion", "--optimizer", "lion"),
    ("--lr 0", "--lr", "0"), ("--lr -1", "--lr", "-1"), ("--lr nan", "--lr", "nan"), ("--lr inf", "--lr", "inf"),
    ("--lr -inf", "--lr", "-inf"), ("--lr -1e-3", "--lr", "-0.001"), ("--weight-decay -inf", "--weight-decay", "-inf"),
    ("--xi -nan", "--xi", "nan"), ("--steps -1e3", "--steps", "-1e3"),
    ("--weight-decay -5", "--weight-decay", "-5"), ("--weight-decay nan", "--weight-decay", "nan"),
    ("--weight-decay inf", "--weight-decay", "inf"),
    ("--batch-size 0", "--batch-size", "0"), ("--batch-size 4705", "--batch-size", "4705"),
    ("--steps 0", "--steps", "0"), ("--steps -5", "--steps", "-5"), ("--steps 1e3", "--steps", "1e3"),
    ("--checkpoint-every 0", "--checkpoint-every", "0"), ("--checkpoint-every 1.5", "--checkpoint-every", "1.5"),
    ("--snapshots 1", "--snapshots", "1"), ("--snapshots -1", "--snapshots", "-1"),
    ("--test-set half", "--test-set", "half"),
    ("--eval-every 0", "--eval-every", "0"), ("--seed -1", "--seed", "-1"), ("--seed 0.5", "--seed", "0.5"),
    ("--backend jax", "--backend", "jax"), ("--dtype float16", "--dtype", "float16"), ("--threads 0", "--threads", "0"),
]


class TestBadInput:
    @pytest.mark.parametrize(("arguments", "option", "value"), BAD, ids=[case[0] for case in BAD])
    def test_is_refused_by_the_options_name_and_value(self, arguments, option, value, capsys):
        message = refused(arguments.split(), capsys).splitlines()[-1]
        assert message.startswith("grok.py: error: ")
        assert option in message.replace(":", "").split()
        assert value in message

    @pytest.mark.parametrize("arguments", ["--momentum 0.9", "--weight 5", "extra", "--p"])
    def test_includes_options_that_are_none(self, arguments, capsys):
        assert arguments.split()[0] in refused(arguments.split(), capsys)

    def test_includes_a_folder_that_exists(self, capsys):
        Path("mine").mkdir()
        Path("mine/notes.txt").write_text("keep")
        assert refused([*TINY, "--out", "mine"], capsys) == (
            "grok.py: error: --out must be a new folder in a place that can be written to, got mine (File exists)\n")
        assert Path("mine/notes.txt").read_text() == "keep"

    def test_includes_a_folder_that_cannot_be(self, capsys):
        Path("file").write_text("no folder")
        assert refused([*TINY, "--out", "file/run"], capsys).endswith("written to, got file/run (Not a directory)\n")

    def test_includes_a_file_in_the_place_of_the_folder(self, capsys):
        Path("file").write_text("no folder")
        assert refused([*TINY, "--out", "file"], capsys).endswith("written to, got file (File exists)\n")

    @pytest.mark.parametrize("arguments", [
        "--resume none", "--continue-from none", "--figures none", "--compare none", "--config none/config.json"])
    def test_includes_a_run_that_does_not_exist(self, arguments, capsys):
        message = refused(arguments.split(), capsys)
        assert message == "grok.py: error: none/config.json: cannot be read (No such file or directory)\n"


MODES = ["--resume run", "--continue-from run", "--config run/config.json", "--figures run", "--compare run"]


class TestTheModes:
    @pytest.mark.parametrize(("one", "other"), list(itertools.combinations(MODES, 2)))
    def test_exclude_each_other(self, run, one, other, capsys):
        message = refused([*one.split(), *other.split()], capsys)
        assert f"argument {other.split()[0]}: not allowed with argument {one.split()[0]}" in message

    @pytest.mark.parametrize("mode", ["--figures run", "--compare run"])
    @pytest.mark.parametrize("option", ["--steps 5", "--xi 0.35", "--threads 1", "--no-reset-optimizer",
                                        "--test-set original"])
    def test_that_train_nothing_take_no_settings(self, run, mode, option, capsys):
        message = refused([*mode.split(), *option.split()], capsys)
        name = option.split()[0].replace("--no-", "--")
        assert message == f"grok.py: error: {name} has no meaning with {mode.split()[0]}\n"

    @pytest.mark.parametrize("option", ["--out new", "--no-plot"])
    def test_that_draw_in_the_folder_of_a_run_take_no_other(self, run, option, capsys):
        assert refused(["--figures", "run", *option.split()], capsys) == (
            f"grok.py: error: {option.split()[0]} has no meaning with --figures\n")

    @pytest.mark.parametrize("option", ["--test-set original", "--reset-optimizer", "--no-reset-optimizer"])
    @pytest.mark.parametrize("mode", ["", "--config run/config.json"])
    def test_that_start_from_no_weights_take_no_options_on_them(self, run, mode, option, capsys):
        message = refused([*mode.split(), *option.split()], capsys)
        assert "has no meaning without --continue-from" in message
