"""The phase diagrams, at a very small size."""

import csv
import dataclasses
import itertools
import json

import numpy as np
import pytest

from analysis import figures
from analysis.phases import (
    COEXISTENCE,
    CONFUSION,
    FORGETTING,
    FULL_INVERSION,
    MEMORIZATION,
    PARTIAL_INVERSION,
    PHASES,
)
from experiments import phase_diagram
from experiments import sweep as engine
from experiments.common import run_experiment
from experiments.phase_diagram import (
    ALPHAS,
    FULL,
    QUICK,
    XIS,
    Panel,
    axis,
    batch_norm_checks,
    config,
    decay_checks,
    dropout_checks,
    measured,
    memorization_check,
)
from training import train

SMALL = {"p": 11, "width": 16, "steps": 20, "batch_norm_steps": 20, "alphas": (0.6, 0.8), "xis": (0.0, 0.2, 0.4),
         "values": {**FULL.values, "batchnorm": (8, 64)}}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command at both sizes, with networks that take no time; it returns its exit code and the result."""
    monkeypatch.setattr(phase_diagram, "FULL", dataclasses.replace(FULL, **SMALL))
    monkeypatch.setattr(phase_diagram, "QUICK", dataclasses.replace(QUICK, **SMALL))
    monkeypatch.setattr(figures, "DPI", 40)

    def run(*arguments, seeds=1):
        out = tmp_path / "out"
        code = run_experiment("phase_diagram", phase_diagram.__doc__, phase_diagram.experiment, seeds, 1,
                              [*arguments, "--out", str(out), "--cells", str(tmp_path / "cells")],
                              phase_diagram.add_own_options)
        with open(out / "phase_diagram.csv", newline="") as file:
            return code, json.loads((out / "result.json").read_text()), list(csv.DictReader(file))
    return run


@pytest.fixture
def trained(monkeypatch):
    """The settings of all networks that are trained."""
    configs, train_many = [], engine.train_many
    monkeypatch.setattr(engine, "train_many", lambda some, *others: configs.extend(some) or train_many(some, *others))
    return configs


class TestTheCommand:
    def test_leaves_every_diagram_with_its_checks_and_figures(self, run, tmp_path, trained):
        code, result, rows = run("--quick")
        assert code == 0
        names = ["weight decay 0", "weight decay 5", "weight decay 15", "weight decay 20", "dropout 0", "dropout 0.3",
                 "dropout 0.6", "dropout 0.9", "BatchNorm, batch size 8", "BatchNorm, batch size 64"]
        assert list(result["settings"]) == list(result["measured"]) == names
        assert result["settings"]["dropout 0.3"]["dropout"] == 0.3
        assert result["settings"]["dropout 0.3"]["xi"] == [0.0, 0.2, 0.4]
        assert result["figures"] == ["decay.png", "dropout.png", "batchnorm.png"]
        assert all((tmp_path / "out" / name).stat().st_size > 10_000 for name in result["figures"])
        assert len(result["checks"]) == 9
        assert len(rows) == 10 * 6
        assert len(trained) == 9 * 6  # that without weight decay is that without dropout
        for values in result["measured"].values():
            assert sum(values[phase]["mean"] for phase in PHASES) == pytest.approx(1)

    def test_writes_what_each_network_gives_alone(self, run):
        _, _, rows = run("--panels", "dropout", "batchnorm", "--seeds", "2")
        assert len(rows) == 6 * 6 * 2
        for row in rows[::7]:
            one = config(dataclasses.replace(FULL, **SMALL), row["family"], float(row["value"]) if
                         row["family"] == "dropout" else int(row["value"]), int(row["seed"]), float(row["xi"]),
                         float(row["alpha"]))
            summary = train(one).summary()
            assert {name: row[name] for name in ("phase", "train_accuracy", "test_accuracy", "mean_ipr")} == {
                name: str(summary[name]) for name in ("phase", "train_accuracy", "test_accuracy", "mean_ipr")}

    def test_draws_the_chosen_diagrams_and_trains_only_what_a_finer_grid_adds(self, run, trained):
        _, result, rows = run("--panels", "decay", "--grid", "2x2")
        assert result["figures"] == ["decay.png"]
        assert {row["alpha"] for row in rows} == {"0.1", "0.9"}
        assert {row["xi"] for row in rows} == {"0.0", "0.9"}
        assert len(trained) == 4 * 4
        trained.clear()
        _, result, rows = run("--panels", "decay", "--grid", "3x3")
        assert len(rows) == 4 * 9
        assert len(trained) == 4 * (9 - 4)

    @pytest.mark.parametrize("arguments", [["--grid", "3"], ["--grid", "1x3"], ["--grid", "3x3x3"], ["--grid", "axb"],
                                           ["--grid", "-2x3"], ["--panels", "sgd"], ["--panels"]])
    def test_refuses_what_is_no_diagram(self, run, arguments, capsys):
        with pytest.raises(SystemExit) as exit_:
            run(*arguments)
        assert exit_.value.code == 2
        assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


class TestTheSize:
    def test_in_full_is_the_papers(self):
        assert FULL.alphas == tuple(round(0.1 + 0.05 * number, 2) for number in range(17))
        assert FULL.xis == tuple(round(0.05 * number, 2) for number in range(19))
        for size in (8, 32, 64, 256):
            setting = config(FULL, "batchnorm", size, 0, 0.2, 0.5).resolved()
            assert setting.steps == 2000 * 256 // size
            assert setting.learning_rate == pytest.approx(0.01 * (size / 256) ** 0.5)
            assert setting.weight_decay == 0
        for family, value in itertools.product(("decay", "dropout"), (0.0, 0.6)):
            setting = config(FULL, family, value, 3, 0.2, 0.5).resolved()
            assert (setting.p, setting.width, setting.steps, setting.batch_size) == (97, 500, 2000, None)
            assert (setting.seed, setting.xi, setting.alpha, setting.learning_rate) == (3, 0.2, 0.5, 0.01)
            assert (setting.weight_decay, setting.dropout) == ((value, 0.0) if family == "decay" else (0.0, value))

    def test_of_a_coarser_grid_is_a_part_of_it(self):
        assert set(axis(ALPHAS, 9)) < set(FULL.alphas)
        assert set(axis(XIS, 10)) < set(FULL.xis)

    @pytest.mark.parametrize("size", [FULL, QUICK])
    def test_has_settings_that_are_allowed(self, size):
        for family, values in size.values.items():
            for point in itertools.product(values, size.xis, size.alphas):
                setting = config(size, family, point[0], 0, *point[1:]).resolved()
                assert setting.steps % setting.eval_every == 0
                assert setting.eval_every == setting.steps // 50


def panel(phases, ipr=0.5):
    """A diagram of which the phases are given, of each seed a row of letters for each xi, beginning with xi 0."""
    letters = {"C": COEXISTENCE, "P": PARTIAL_INVERSION, "F": FULL_INVERSION, "m": MEMORIZATION, "x": FORGETTING,
               ".": CONFUSION}
    phase = np.array([[[letters[letter] for letter in row] for row in seed.split()] for seed in phases])
    test = np.isin(phase, [COEXISTENCE, PARTIAL_INVERSION, FULL_INVERSION]).astype(float)
    xis, alphas = np.linspace(0, 0.9, phase.shape[1]), np.linspace(0.1, 0.9, phase.shape[2])
    return Panel(alphas, xis, phase, np.ones(phase.shape), test, np.full(phase.shape, ipr))


class TestAPanel:
    def test_puts_runs_into_their_places(self):
        alphas, xis, seeds = (0.1, 0.5, 0.9), (0.0, 0.3), range(2)
        summaries = [{"phase": PHASES[seed], "train_accuracy": xi, "test_accuracy": alpha, "mean_ipr": seed}
                     for seed in seeds for xi in xis for alpha in alphas]
        diagram = Panel.of(alphas, xis, summaries)
        for seed, row, column in np.ndindex(2, 2, 3):
            assert diagram.phase[seed, row, column] == PHASES[seed]
            assert diagram.train_accuracy[seed, row, column] == xis[row]
            assert diagram.test_accuracy[seed, row, column] == alphas[column]
            assert diagram.mean_ipr[seed, row, column] == seed

    def test_tells_the_part_of_each_phase(self):
        diagram = panel(["CCF mmm", "CCC FxP"])
        assert diagram.share(FULL_INVERSION).tolist() == [1 / 6, 1 / 6]
        assert diagram.share(COEXISTENCE, MEMORIZATION).tolist() == [5 / 6, 1 / 2]
        values = measured(diagram)
        assert values[FORGETTING]["values"] == [0, 1 / 6]
        assert values["test_accuracy"]["values"] == [0.5, 5 / 6]


NONE, WEAK, STRONG, TOO_STRONG = "mCC mmC", "CCC mPF", "CCC FFF", "mxx ..x"


class TestChecks:
    def decay(self, none=NONE, weak=WEAK, strong=STRONG, too_strong=TOO_STRONG, ipr=0.6):
        panels = {0.0: panel([none, none], 0.5), 5.0: panel([weak, weak]), 15.0: panel([strong, STRONG], ipr),
                  20.0: panel([too_strong, TOO_STRONG])}
        return [check.holds for check in decay_checks(panels)]

    def test_of_weight_decay_hold_for_diagrams_like_the_papers(self):
        assert self.decay() == [True] * 5

    @pytest.mark.parametrize(("change", "failing"), [
        ({"none": "CCC mmm"}, [0, 1, 4]), ({"none": "CCm CCm"}, [1]), ({"none": "mmm mmm"}, [0, 1, 4]),
        ({"none": "CCC CCC"}, [1]), ({"weak": STRONG}, [2]), ({"strong": WEAK}, [2]), ({"none": "mCC mmF"}, [0, 2]),
        ({"too_strong": "CCC CCC"}, [3]), ({"ipr": 0.5}, [4]), ({"strong": "CCC FFm"}, [4])])
    def test_of_weight_decay_fail_if_one_seed_does(self, change, failing):
        assert [number for number, holds in enumerate(self.decay(**change)) if not holds] == failing

    def test_of_memorization_tell_its_place(self):
        check = memorization_check(panel(["mCC mmC"]))
        assert check.holds
        assert check.measured == "mean alpha 0.233 < 0.767, mean xi 0.6 > 0.3"

    @pytest.mark.parametrize(("phases", "holding"), [
        (["CCC mmC", "CCF PFF", "CCC FFF", "... .CF"], [True, True]),
        (["CCC PFC", "CCC PFF", "CCC FmF", "... .CF"], [False, True]),
        (["CCC mmC", "CCF PFF", "CCC CCC", "CCC CFF"], [False, False])])
    def test_of_dropout(self, phases, holding):
        panels = {value: panel([text]) for value, text in zip((0.0, 0.3, 0.6, 0.9), phases, strict=True)}
        assert [check.holds for check in dropout_checks(panels)] == holding

    @pytest.mark.parametrize(("phases", "holding"), [
        (["CCC mPF", "CCC mFF", "CCC mmP"], [True, True]), (["CCC mPF", "CCC mPP", "CCC mmP"], [True, False]),
        (["CCC mCC", "CCC mFF", "CCC mmP"], [False, True])])
    def test_of_batch_norm(self, phases, holding):
        panels = {size: panel([text]) for size, text in zip((32, 64, 256), phases, strict=True)}
        assert [check.holds for check in batch_norm_checks(panels)] == holding
