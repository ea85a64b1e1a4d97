from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.settings import small
from training import train
from training.tables import comparison_table, different_settings, run_table


@pytest.fixture(scope="module")
def run():
    return train(small(alpha=0.5))


def with_rows(run, **columns):
    """The run with other measurements, in the last rows of its history."""
    rows = [dict(row) for row in run.history.rows]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    history = type(run.history)()
    for row in rows:
        history.append(row)
    return replace(run, history=history)


@pytest.fixture(scope="module")
def table(run):
    """Two runs side by side, and the runs."""
    other = train(small(alpha=0.5, xi=0.0, weight_decay=1.0, steps=10))
    return comparison_table({"a": run, "runs/other": other}), run, other


class TestTheTableOfARun:
    def test_begins_with_its_setting(self, run):
        lines = run_table(run, Path("runs/one")).splitlines()
        assert lines[0].startswith("mlp, (m + n) mod 11, N = 16, α = 0.5, ξ = 0.3, weight decay 15, float64, seed 0")
        assert lines[1] == ""

    def test_has_the_outcome_line_by_line(self, run):
        told = with_rows(run, train_accuracy=[0.1, 1.0, 0.7], test_accuracy=[0.1, 0.5, 0.98765],
                         corrupted_accuracy=[0.1, 0.9, 0.0], uncorrupted_accuracy=[0.1, 1.0, 1.0])
        told = replace(told, seconds=12.34, ms_per_step=5.678)
        assert run_table(told, Path("runs/one")).splitlines()[2:] == [
            "accuracy  train        0.7000",
            "          test         0.9877",
            "          corrupted    0.0000",
            "          uncorrupted  1.0000",
            "phase     full inversion",
            "groks     step 20",
            "unlearns  step 20",
            "time      12.3 s, 5.7 ms a step",
            "run       runs/one/"]

    def test_has_a_dash_for_what_is_not_defined_or_never_happened(self):
        lines = run_table(train(small(alpha=1.0, xi=0.0, steps=1)), Path("one")).splitlines()
        assert "          test         -" in lines
        assert "          corrupted    -" in lines
        for name in ("phase", "groks", "unlearns"):
            assert f"{name:10}-" in lines


class TestTheComparison:
    def rows(self, table):
        """The cells of each line: columns begin below their titles."""
        lines = table.splitlines()
        first, second = lines[0].index("a"), lines[0].index("runs/other")
        return {line[:first].strip(): (line[first:second].strip(), line[second:].strip()) for line in lines}

    def test_has_a_column_for_each_run_under_its_name(self, table):
        assert self.rows(table[0])[""] == ("a", "runs/other")

    def test_has_the_settings_that_differ_and_no_others(self, table):
        rows = self.rows(table[0])
        assert rows["xi"] == ("0.3", "0.0")
        assert rows["weight_decay"] == ("15.0", "1.0")
        assert not {"p", "alpha", "seed", "threads"} & rows.keys()
        assert different_settings({"a": table[1], "b": table[2]}) == ["xi", "weight_decay", "steps"]

    def test_has_how_each_run_ended(self, table):
        rows = self.rows(table[0])
        summaries = [run.summary() for run in table[1:]]
        for name in ("train", "test", "uncorrupted"):
            assert rows[f"{name} accuracy"] == tuple(f"{one[f'{name}_accuracy']:.4f}" for one in summaries)
        for name in ("train", "test"):
            assert rows[f"{name} loss"] == tuple(f"{one[f'{name}_loss']:.3e}" for one in summaries)
        assert rows["corrupted accuracy"] == (f"{summaries[0]['corrupted_accuracy']:.4f}", "-")
        assert rows["phase"] == tuple(one["phase"] for one in summaries)
        assert rows["mean IPR"] == tuple(f"{one['mean_ipr']:.3f}" for one in summaries)
        assert rows["weight norm"] == tuple(f"{one['weight_norm']:.2f}" for one in summaries)

    def test_says_when_each_run_groks_and_unlearns(self, run):
        groks = with_rows(run, test_accuracy=[0.1, 0.96, 1.0], corrupted_accuracy=[0.1, 0.9, 0.1])
        rows = self.rows(comparison_table({"a": groks, "runs/other": with_rows(run, test_accuracy=[0.0] * 3,
                                                                               corrupted_accuracy=[0.1] * 3)}))
        assert rows["groks"] == ("step 10", "-")
        assert rows["unlearns"] == ("step 20", "-")

    def test_has_no_spaces_at_the_ends_of_lines(self, table):
        assert all(line == line.rstrip() for line in table[0].splitlines())

    def test_of_one_run_has_all_that_it_ended_with(self, run):
        lines = comparison_table({"a": run}).splitlines()
        assert lines[0].strip() == "a"
        assert any(line.startswith("train accuracy  ") for line in lines)
