"""Measured errors of difference quotients lie where theory puts them, on both sides of the best step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.cases import CASES
from layers.finite_differences import STEP
from layers.mistakes import LayerNormConstantVariance
from layers.step_size import CENTRAL, EPS, EXTRAPOLATED, LAYERS, ONE_SIDED, SINGLE, main, measure

POWERS = {ONE_SIDED: 1, CENTRAL: 2, EXTRAPOLATED: 4, SINGLE: 2}  # of h in the truncation error
HALF_DECADES = np.logspace(-14, 0, 29)
CURVED = [name for name in LAYERS if name not in ("Square", "Linear/bias")]

seeds = st.integers(0, 2 ** 32 - 1)


def slope(steps, errors):
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


@given(layer=st.sampled_from(CURVED), seed=seeds)
def test_above_the_best_step_errors_rise_with_the_power_of_taylors_theorem(layer, seed):
    result = measure(CASES[layer], seed, np.logspace(-8, -0.5, 31))
    for name in (ONE_SIDED, CENTRAL, EXTRAPOLATED):
        truncation, power = result.truncation[name], POWERS[name]
        # Above, the next terms of the series join in.
        clear = (truncation > 100 * result.rounding[name]) & (truncation < 0.02 ** power)
        assert clear.sum() >= 3
        assert slope(result.steps[clear], result.errors[name][clear]) == pytest.approx(power, abs=0.1)


@given(layer=st.sampled_from(LAYERS), seed=seeds)
def test_below_the_best_step_errors_fall_like_one_over_h(layer, seed):
    result = measure(CASES[layer], seed)  # in float32 there is but a decade or two of such steps, for many points
    for name, rounding in result.rounding.items():
        clear = (rounding > 100 * result.truncation[name]) & (rounding < 0.03) & (result.steps < 0.1)
        assert clear.sum() >= 4
        assert slope(result.steps[clear], result.errors[name][clear]) == pytest.approx(-1, abs=0.3)
        assert np.all(result.errors[name][clear] < 100 * rounding[clear])


@given(layer=st.sampled_from(["GELU", "Square"]), seed=seeds)
def test_the_truncation_error_is_the_predicted_one_and_not_only_of_its_power(layer, seed):
    result = measure(CASES[layer], seed, HALF_DECADES)
    for name in (ONE_SIDED, CENTRAL, EXTRAPOLATED):
        truncation = result.truncation[name]
        clear = (truncation > 1000 * result.rounding[name]) & (result.steps < 0.05)
        np.testing.assert_allclose(result.errors[name][clear], truncation[clear], rtol=0.05)


@given(layer=st.sampled_from(CURVED), seed=seeds)
def test_the_best_step_is_within_a_decade_of_the_predicted_one(layer, seed):
    result = measure(CASES[layer], seed, HALF_DECADES)
    for name in result.errors:
        assert abs(np.log10(result.best(name)[0] / result.predicted_best(name))) <= 1 + 1e-9


@pytest.mark.parametrize("layer", CURVED)
def test_the_best_steps_are_powers_of_eps_and_the_checks_is_among_them(layer):
    result = measure(CASES[layer])
    for name, power in POWERS.items():
        eps = EPS["float32" if name == SINGLE else "float64"]
        assert abs(np.log10(result.best(name)[0] / eps ** (1 / (power + 1)))) < 1
    assert abs(np.log10(result.best(CENTRAL)[0] / STEP)) < 1
    errors = [result.best(name)[1] for name in (EXTRAPOLATED, CENTRAL, ONE_SIDED, SINGLE)]
    assert errors == sorted(errors)


@pytest.mark.parametrize(("layer", "exact"), [
    ("Square", {CENTRAL, EXTRAPOLATED, SINGLE}), ("Linear/bias", set(POWERS))])
def test_a_polynomial_of_low_degree_has_no_truncation_error(layer, exact):
    result = measure(CASES[layer], steps=[1e-3, 0.1])
    assert {name for name, truncation in result.truncation.items() if not truncation.any()} == exact
    for name in exact:
        assert np.all(result.errors[name] < 100 * result.rounding[name])


def test_a_wrong_backward_pass_is_wrong_at_every_step():
    result = measure(replace(CASES["LayerNorm"], kind=LayerNormConstantVariance), steps=np.logspace(-10, -2, 9))
    for name in (ONE_SIDED, CENTRAL, EXTRAPOLATED):
        assert result.errors[name].min() > 0.01


def test_the_same_seed_gives_the_same_errors_and_another_seed_others():
    first, again, other = (measure(CASES["GELU"], seed, [STEP]).errors[CENTRAL] for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("layer", LAYERS)
def test_the_command_writes_a_png_and_prints_a_table(layer, tmp_path, capsys):
    path = tmp_path / "new" / "figure.png"
    assert main(["--layer", layer, "--out", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Relative error of dL/dx, {layer}"
    assert [line.split("  ")[0] for line in lines[3:7]] == list(POWERS)
    assert lines[-1] == str(path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_without_out_the_figure_goes_where_runs_go(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert Path("runs/step_sizes.png").exists()
    assert capsys.readouterr().out.splitlines()[-1] == "runs/step_sizes.png"


@pytest.mark.parametrize(("arguments", "message"), [
    (["--out", "figure.pdf"], "got 'figure.pdf'"), (["--out", ""], "ends in .png"), (["--layer", "ReLU"], "LayerNorm"),
    (["--seed", "-1"], "got '-1'"), (["--seed", "one"], "got 'one'"), (["figure.png"], "figure.png")])
def test_options_that_make_no_sense_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_a_figure_that_cannot_be_written_is_one_line_on_stderr(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--layer", "GELU", "--out", str(tmp_path / "file" / "figure.png")]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith(f"step_size: {tmp_path / 'file'}")
    assert len(captured.err.splitlines()) == 1
