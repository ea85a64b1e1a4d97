"""The page of the gradient check: all its points, where they belong, in a file that a browser shows."""

import re
from dataclasses import replace

import numpy as np
import pytest

from layers.cases import CASES, STACKS, check
from layers.gradcheck import main
from layers.mistakes import MISTAKES
from pages.gradcheck import write_gradcheck
from tests.browsing import opened

pytest.importorskip("bokeh")

NAMES = ("Linear/bias", "ReLU", "BatchNorm/training", "LSTM")


def drawn(window, name):
    """The columns of a source, by the name of the layer and the tensor."""
    return window.evaluate("""(name) => Object.fromEntries(Object.entries(Bokeh.documents
        .map((one) => one.get_model_by_name(name)).find((one) => one !== null).data)
        .map(([column, values]) => [column, Array.from(values)]))""", name)


def write(tmp_path, *arguments):
    path = tmp_path / "check.html"
    return main([*arguments, "--html", str(path)]), path


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_every_derivative_is_a_point(name, tmp_path, browser):
    status, path = write(tmp_path, "--layer", name)
    assert status == 0
    rows = [row for stack in STACKS for row in check(CASES[name], 0, stack)]
    with opened(browser, path) as window:
        for tensor in dict.fromkeys(row.tensor for row in rows):
            same = [row for row in rows if row.tensor == tensor]
            points = drawn(window, f"{name} {tensor}")
            for column in ("numeric", "analytic"):
                exact = np.concatenate([getattr(row, column).ravel() for row in same])
                np.testing.assert_allclose(points[column], exact, rtol=1e-6, atol=1e-12)
            kinks = np.concatenate([row.kinks.ravel() for row in same])
            np.testing.assert_array_equal(np.array(points["filled"]) == 0, kinks)
            assert points["entry"][0] == f"{tensor}[{', '.join('0' * same[0].numeric.ndim)}]"
            assert re.search(rf"</i>{tensor} {max(row.error for row in same):.0e}<", path.read_text())
        errors = drawn(window, "errors")
        np.testing.assert_allclose(errors["error"], np.clip([row.error for row in rows], 1e-17, 10))


@pytest.mark.browser
@pytest.mark.parametrize("mistake", ["square-factor-forgotten", "batch-norm-constant-mean",
                                     "linear-input-not-transposed"])
def test_a_mistake_leaves_the_line(mistake, tmp_path, browser):
    status, path = write(tmp_path, "--plant", mistake)
    assert status == 1
    name = MISTAKES[mistake].case
    with opened(browser, path) as window:
        assert window.locator("h3.wrong").text_content() == name
        wrong = {item.split()[0] for item in window.locator("li.wrong").all_text_contents()}
        right = {item.split()[0] for item in window.locator("li:not(.wrong)").all_text_contents()}
        assert wrong
        for tensor in wrong | right:
            points = drawn(window, f"{name} {tensor}")
            off = np.abs(np.subtract(points["numeric"], points["analytic"])).max()
            assert (off > 1e-3) == (tensor in wrong)


@pytest.mark.browser
def test_points_at_kinks_are_hollow(tmp_path, browser):
    (row,) = check(CASES["ReLU"])
    kinks = np.zeros(row.kinks.shape, dtype=bool)
    kinks[1, 2] = True
    path = write_gradcheck([replace(row, kinks=kinks)], tmp_path / "check.html", "")
    with opened(browser, path) as window:
        np.testing.assert_array_equal(np.array(drawn(window, "ReLU x")["filled"]) == 0, kinks.ravel())


def test_what_is_wrong_comes_first(tmp_path):
    mistake = MISTAKES["square-factor-forgotten"]
    rows = [*check(CASES["ReLU"]), *check(CASES["Scale"]), *check(CASES["Square"], kind=mistake.kind)]
    page = write_gradcheck(rows, tmp_path / "check.html", "").read_text()
    assert re.findall(r"<h3[^>]*>(.*?)</h3>", page) == ["Square", "ReLU", "Scale"]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (1200, "dark")])
def test_it_is_shown_on_any_screen(width, scheme, tmp_path, browser):
    _, path = write(tmp_path, "--layer", "Dropout")
    with opened(browser, path, width=width, scheme=scheme) as window:
        assert window.evaluate("() => document.documentElement.scrollWidth") <= width
        assert window.locator("section section").count() == 2
        for chart in window.locator("[role=img]").all():
            assert chart.bounding_box()["height"] > 50


@pytest.mark.parametrize("mistake", ["pair-embedding-overwrites", "relu-in-place"])
def test_a_broken_rule_is_told(mistake, tmp_path, capsys):
    status, path = write(tmp_path, "--plant", mistake)
    faults = {row.fault for row in check(CASES[MISTAKES[mistake].case], 0, None, None, MISTAKES[mistake].kind)} - {""}
    assert status == 1
    assert faults
    for fault in faults:
        assert fault in path.read_text()
    assert capsys.readouterr().out.endswith(f"\n{path}\n")


def test_a_place_that_cannot_be_written_to_is_told(tmp_path, capsys):
    assert main(["--layer", "Scale", "--html", str(tmp_path / "nowhere/check.html")]) == 2
    assert capsys.readouterr().err.startswith(f"gradcheck: {tmp_path}/nowhere/check.html: ")


def test_without_bokeh_nothing_is_checked(tmp_path, no_bokeh, capsys):
    status, path = write(tmp_path, "--layer", "Scale")
    output = capsys.readouterr()
    assert (status, output.out, path.exists()) == (2, "", False)
    assert "needs Bokeh" in output.err
