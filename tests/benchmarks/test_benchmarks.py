"""The command of the benchmarks."""

import json
import sys
from functools import partial

import pytest

from benchmarks import __main__ as command
from benchmarks import sections
from benchmarks.contenders import Task
from benchmarks.diagram import ALPHAS, DECAYS, XIS, diagram
from benchmarks.measure import DifferentLoss
from benchmarks.parts import parts
from benchmarks.report import report, times
from training import TrainingConfig

ENTRY = {"median": 2.0, "lowest": 1.5, "highest": 3.0}
RESULTS = {
    "versions": {"python": "3.11", "numpy": "2.4", "torch": None}, "processor": "a processor", "cores": 2,
    "sections": {
        "step": {"milliseconds": {"this program": ENTRY, "another": {"median": 8.0, "lowest": 7.5, "highest": 9.0}},
                 "losses": {}},
        "variants": {"dropout": {"milliseconds": {"square": ENTRY}}},
        "scaling": {"width": {"125": ENTRY, "250": {**ENTRY, "median": 8.0}}, "width exponents": {"125 to 250": 2.0}},
        "parts": {"transformer": {"layers": {"tokens": 1.0, "loss": 2.5}}},
        "diagram": {"runs": 1292, "steps": 2000, "seconds": 7200.0, "measured": {"0.1": 1.25, "0.9": 9.0}},
        "gpu": {"device": "a GPU", "step": {"milliseconds": {"this program": ENTRY}, "losses": {}},
                "runs": {"64": ENTRY}, "runs with tf32": {"64": ENTRY},
                "diagram": {"runs": 1292, "steps": 2000, "seconds": 360.0, "measured": "all"}},
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
    for line in ("a processor, 2 cores; python 3.11, numpy 2.4", "left out, since not installed: torch, jax",
                 "## step", "| this program | 2 | 1.5 to 3 | 1.00 |", "| 125 to 250 |", "| 2.00 |",
                 "| 500 steps | 123 |", "| importing NumPy | 2 | 1.5 to 3 |", "| together | 3.50 |",
                 "| 64 | 2 | 1.5 to 3 | 1.00 |",
                 "1292 runs of 2000 steps: 2.00 hours (extrapolated from 1.25 ms a step at alpha 0.1, 9 ms a step at "
                 "alpha 0.9)", "1292 runs of 2000 steps: 0.10 hours (all trained)"):
        assert line in text.splitlines()


def test_exponents_are_those_of_a_power():
    assert sections.exponents({str(n): {"median": 3.0 * n ** 1.5} for n in (10, 20, 80)}) == pytest.approx(
        {"10 to 20": 1.5, "20 to 80": 1.5})


def test_the_parts_of_a_step_are_its_layers(monkeypatch):
    monkeypatch.setattr("benchmarks.parts.TrainingConfig", partial(TrainingConfig, p=5, width=8))
    result = parts(steps=2)
    assert list(result["two-layer network"]["layers"]) == [
        "embedding", "activation", "output", "loss", "output, back", "activation, back", "embedding, back",
        "adding up, AdamW"]
    for network in result.values():
        assert list(network["in one piece"]) == ["all of it"]
        assert all(value > 0 for form in network.values() for value in form.values())


def test_peak_memory_is_that_of_the_command_alone():
    small, large = (sections.peak_memory([sys.executable, "-c", f"x = bytearray({size} * 2 ** 20)"])
                    for size in (1, 200))
    assert small < 60
    assert 190 < large - small < 215


def test_the_readmes_table_is_that_of_the_stored_results():
    results = json.loads((sections.ROOT / "docs/benchmarks/cpu.json").read_text())
    assert times(results["sections"]["step"]["milliseconds"]) in (sections.ROOT / "README.md").read_text()


def test_the_phase_diagrams_are_the_papers():
    assert (len(ALPHAS), len(XIS), len(DECAYS)) == (17, 19, 4)
    assert (ALPHAS[0], ALPHAS[-1], XIS[0], XIS[-1], XIS[1]) == (0.1, 0.9, 0.0, 0.9, 0.05)


def test_a_cpu_extrapolates_the_phase_diagrams():
    section = diagram("numpy", steps=1)
    few, half, many = (section["measured"][alpha] for alpha in ("0.1", "0.5", "0.9"))
    # Between the three that are measured, straight lines: seventeen alphas, with eight steps from one to the next.
    assert min(few, half, many) > 0
    assert section["seconds"] * 1000 / 2000 / section["runs"] == pytest.approx((4.5 * few + 8 * half + 4.5 * many) / 17)


def test_the_gpu_section_trains_there(strict_cupy, monkeypatch):
    monkeypatch.setattr(sections, "peers", lambda task, kinds: [])
    monkeypatch.setattr(sections, "Task", SmallTask)
    monkeypatch.setattr(sections, "grown", lambda values, make, rounds, steps: {
        str(value): (make(value)[0].backend, make(value)[0].tf32) for value in values})
    monkeypatch.setattr("benchmarks.diagram.STEPS", 1)
    monkeypatch.setattr("benchmarks.diagram.ALPHAS", (0.5,))
    monkeypatch.setattr("benchmarks.diagram.XIS", (0.0, 0.3))
    monkeypatch.setattr("benchmarks.diagram.TrainingConfig", partial(TrainingConfig, p=5, width=8))
    result = sections.gpu(rounds=1, steps=1)
    assert list(result["step"]["losses"]) == ["this program"]
    for name, tf32 in (("runs", False), ("runs with tf32", True)):
        assert set(result[name].values()) == {("cupy", tf32)}
    assert (result["diagram"]["runs"], result["diagram"]["measured"]) == (8, "all")


def test_without_a_gpu_its_section_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sections, "Task", SmallTask)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert command.main(["--only", "gpu", "--out", str(tmp_path / "b.json")]) == 2
    assert "backend cupy needs CuPy" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class SmallTask(Task):
    """A task of small networks."""

    @classmethod
    def of(cls, **settings):
        return super().of(p=5, width=8, **settings)
