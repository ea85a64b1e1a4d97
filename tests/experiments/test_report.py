"""The report says what the results say."""

import json

import pytest

from experiments import report

CHECKS = [{"claim": "A", "paper": "0.9", "measured": "0.91", "holds": True},
          {"claim": "B | C", "paper": "1", "measured": "0.2 (0.1 to 0.3)", "holds": False}]


@pytest.fixture
def result(tmp_path):
    """The folder of a result, as an experiment leaves it."""
    folder = tmp_path / "runs" / "phases"
    folder.mkdir(parents=True)
    (folder / "phases.png").write_bytes(b"a figure")
    values = {"experiment": "phases", "command": "python -m experiments.phases --seeds 2", "commit": "1234567",
              "quick": False, "seeds": [0, 1], "device": "a CPU", "seconds": 3.0, "checks": CHECKS,
              "figures": ["phases.png"], "settings": {}, "measured": {}}
    (folder / "result.json").write_text(json.dumps(values))
    return folder


def test_has_every_check_with_its_verdict_and_where_it_comes_from(result, tmp_path, capsys):
    assert report.main([str(result), "--docs", str(tmp_path / "docs")]) == 0
    text = (tmp_path / "docs" / "reproduction.md").read_text()
    assert "1 of 2 claims hold" in text
    assert "| A | 0.9 | 0.91 | holds |" in text
    assert r"| B \| C | 1 | 0.2 (0.1 to 0.3) | **does not hold** |" in text
    assert r"| phases | B \| C | 1 | 0.2 (0.1 to 0.3) |" in text  # among what does not hold
    assert "`python -m experiments.phases --seeds 2`, full size, seeds 0 to 1, commit 1234567, a CPU" in text
    assert (tmp_path / "docs" / "reproduction" / "phases" / "phases.png").read_bytes() == b"a figure"
    assert "new: phases" in capsys.readouterr().out


def test_keeps_what_has_no_new_result(result, tmp_path):
    docs = ["--docs", str(tmp_path / "docs")]
    assert report.main([str(result), *docs]) == 0
    before = (tmp_path / "docs" / "reproduction.md").read_text()
    other = json.loads((result / "result.json").read_text()) | {"experiment": "pruning", "figures": []}
    (result / "result.json").write_text(json.dumps(other))
    assert report.main([str(result), *docs]) == 0
    after = (tmp_path / "docs" / "reproduction.md").read_text()
    assert "## phases" in before
    assert "## pruning" not in before
    assert after.index("## phases") < after.index("## pruning")


@pytest.mark.parametrize(("content", "message"), [
    ("{", "cannot be read"), ("[]", "no result of an experiment"),
    ('{"experiment": "phases"}', "lacks command, commit")])
def test_a_damaged_result_is_named(result, tmp_path, capsys, content, message):
    (result / "result.json").write_text(content)
    assert report.main([str(result), "--docs", str(tmp_path / "docs")]) == 1
    told = capsys.readouterr().err
    assert str(result / "result.json") in told
    assert message in told
    assert not (tmp_path / "docs" / "reproduction.md").exists()


def test_nothing_is_copied_unless_all_figures_are_there(result, tmp_path, capsys):
    other = result.with_name("pruning")
    other.mkdir()
    values = json.loads((result / "result.json").read_text()) | {"experiment": "pruning",
                                                                 "figures": ["pruning.png", "more.png"]}
    (other / "result.json").write_text(json.dumps(values))
    (other / "more.png").write_bytes(b"a figure")
    assert report.main([str(result), str(other), "--docs", str(tmp_path / "docs")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(f"error: {other}: lacks pruning.png, which its result.json names")
    assert not (tmp_path / "docs").exists()


def test_a_program_that_was_installed_has_no_docs_to_write_to(result, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "DOCS", tmp_path / "site-packages" / "docs")
    assert report.main([str(result)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "say with --docs where the report goes" in line
    assert not (tmp_path / "site-packages").exists()
    assert report.main([str(result), "--docs", str(tmp_path / "docs")]) == 0


def test_the_one_in_the_docs_is_that_of_the_results_beside_it():
    results = [report.read_result(path) for path in sorted((report.DOCS / "reproduction").glob("*/result.json"))]
    assert (report.DOCS / "reproduction.md").read_text() == report.report(results, "reproduction")
    for result in results:
        place = report.DOCS / "reproduction" / result["experiment"]
        assert all((place / figure).exists() for figure in result["figures"])
