"""The command of the benchmarks."""

import json
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import sections
from benchmarks.measure import DifferentLoss
from benchmarks.report import report, times

ENTRY = {"median": 2.0, "lowest": 1.5, "highest": 3.0}
RESULTS = {
    "versions": {"python": "3.11", "numpy": "2.4", "torch": None}, "processor": "a processor", "cores": 2,
    "sections": {
        "step": {"milliseconds": {"this program": ENTRY, "another": {"median": 8.0, "lowest": 7.5, "highest": 9.0}},
                 "losses": {}},
        "variants": {"dropout": {"milliseconds": {"square": ENTRY}}},
        "scaling": {"width": {"125": ENTRY, "250": {**ENTRY, "median": 8.0}}, "width exponents": {"125 to 250": 2.0}},
        "start": {"seconds": {"importing NumPy": ENTRY}, "peak megabytes": {"500 steps": 123.4}}}}


@pytest.fixture
def measured(monkeypatch):
    """Sections that take no time."""
    monkeypatch.setattr(command, "SECTIONS", {
        name: lambda rounds, steps, name=name: RESULTS["sections"][name] for name in RESULTS["sections"]})


@pytest.mark.usefixtures("measured")
class TestTheCommand:
    def test_writes_what_it_measured_and_prints_tables(self, tmp_path, capsys):
        assert command.main(["--only", "step", "start", "--out", str(tmp_path / "new/b.json")]) == 0
        results = json.loads((tmp_path / "new/b.json").read_text())
        assert results["sections"] == {name: RESULTS["sections"][name] for name in ("step", "start")}
        assert results["versions"]["numpy"]
        assert results["cores"] >= 1
        assert "| another | 8 | 7.5 to 9 | 0.25 |" in capsys.readouterr().out

    def test_shows_results_again_and_draws_them(self, tmp_path, capsys):
        (tmp_path / "b.json").write_text(json.dumps(RESULTS))
        assert command.main(["--show", str(tmp_path / "b.json"), "--chart", str(tmp_path / "b.png")]) == 0
        assert capsys.readouterr().out == report(RESULTS) + "\n"
        assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")

    def test_refuses_a_comparison_of_different_things(self, tmp_path, capsys, monkeypatch):
        def differ(rounds, steps):
            raise DifferentLoss("after 50 steps the loss of other is 2, that of one 1")
        monkeypatch.setattr(command, "SECTIONS", {"step": differ})
        assert command.main(["--only", "step", "--out", str(tmp_path / "b.json")]) == 1
        assert "no comparison of step: after 50 steps" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--steps", "0"]])
    def test_refuses_to_measure_nothing(self, arguments, capsys):
        with pytest.raises(SystemExit) as ended:
            command.main(arguments)
        assert ended.value.code == 2
        assert "must be at least 1" in capsys.readouterr().err


def test_the_report_has_every_section():
    text = report(RESULTS)
    assert text.startswith("a processor, 2 cores; python 3.11, numpy 2.4\n")
    for line in ("## step", "| this program | 2 | 1.5 to 3 | 1.00 |", "| 125 to 250 |", "| 2.00 |",
                 "| 500 steps | 123 |", "| importing NumPy | 2 | 1.5 to 3 |"):
        assert line in text.splitlines()


def test_exponents_are_those_of_a_power():
    assert sections.exponents({str(n): {"median": 3.0 * n ** 1.5} for n in (10, 20, 80)}) == pytest.approx(
        {"10 to 20": 1.5, "20 to 80": 1.5})


def test_peak_memory_is_that_of_the_command_alone():
    small, large = (sections.peak_memory([sys.executable, "-c", f"x = bytearray({size} * 2 ** 20)"])
                    for size in (1, 200))
    assert small < 60
    assert 190 < large - small < 215


def test_the_readmes_table_is_that_of_the_stored_results():
    results = json.loads((sections.ROOT / "docs/benchmarks/cpu.json").read_text())
    assert times(results["sections"]["step"]["milliseconds"]) in (sections.ROOT / "README.md").read_text()
