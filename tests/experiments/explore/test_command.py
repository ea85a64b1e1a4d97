"""The two commands that write the page."""

import pytest

import grok
from experiments.explore.__main__ import main
from tests.pages.reading import values_of

pytest.importorskip("bokeh")

TINY = ["--p", "7", "--width", "8", "--steps", "10", "--no-plot"]


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run():
    assert grok.main([*TINY, "--quiet", "--out", "run"]) == 0


def ending(command, arguments):
    try:
        return command(arguments)
    except SystemExit as ended:
        return ended.code


def test_the_page_lies_in_the_runs_folder(run, tmp_path, capsys):
    assert main(["run"]) == 0
    assert capsys.readouterr() == ("run/explorer.html\n", "")
    assert values_of((tmp_path / "run/explorer.html").read_text())["summary"]["steps"] == 10


def test_or_where_one_wants_it(run, tmp_path, capsys):
    assert main(["run", "--out", "a/b.html", "--quiet"]) == 0
    assert (tmp_path / "a/b.html").exists()
    assert capsys.readouterr() == ("", "")


def test_grok_writes_it_after_training(tmp_path, capsys):
    assert grok.main([*TINY, "--explore", "--snapshots", "3", "--out", "run"]) == 0
    assert capsys.readouterr().out.endswith("\npage      run/explorer.html\n")
    assert len(values_of((tmp_path / "run/explorer.html").read_text())["moments"]) == 3


def test_both_write_the_same(tmp_path):
    grok.main([*TINY, "--explore", "--quiet", "--out", "run"])
    pages = [(tmp_path / "run/explorer.html").read_text()]
    main(["run", "--quiet"])
    pages.append((tmp_path / "run/explorer.html").read_text())
    first, second = map(values_of, pages)
    for values in (first, second):
        values["summary"].pop("seconds")  # of the command, which goes on after the page
    assert first == second


@pytest.mark.parametrize(("arguments", "message"), [
    (["nowhere"], "nowhere"),
    (["run/config.json"], "run/config.json"),
])
def test_what_is_no_run_is_told(run, arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"python -m experiments.explore: error: {message}")
    assert error.count("\n") == 1


def test_a_place_that_cannot_be_written_to_is_told(run, capsys):
    assert main(["run", "--out", "run/config.json/page.html"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_without_bokeh_the_command_says_so(run, no_bokeh, capsys):
    assert main(["run"]) == 2
    assert "needs Bokeh" in capsys.readouterr().err


def test_without_bokeh_nothing_is_trained(no_bokeh, tmp_path, capsys):
    assert ending(grok.main, [*TINY, "--explore", "--out", "run"]) == 2
    assert "needs Bokeh" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["--figures", "--compare"])
def test_it_has_no_meaning_where_nothing_is_trained(run, mode, capsys):
    assert ending(grok.main, [mode, "run", "--explore"]) == 2
    assert f"--explore has no meaning with {mode}" in capsys.readouterr().err
