"""Grokking in a linear student of a linear teacher, simulated beside its solution (Levi, Beck and Bar-Sinai).

What the paper found: a student that descends the squared error on Gaussian inputs groks, with the ratio
lambda = d_in / N of inputs to examples near one: its errors on fresh inputs come below eps long after those on the
training set. Losses and accuracies follow from the Marchenko-Pastur law, and the steps between the two accuracies
reaching 95% are about log(1 / (1 - sqrt(lambda))) / (2 eta (1 - sqrt(lambda))^2), which diverges at lambda = 1.
For lambda > 1 the loss on fresh inputs keeps 1 - 1/lambda.

The model, its solution and what in it is the paper's are in `analysis.linear_estimator`. What is simulated is gradient
descent, at the paper's eta 0.01, d_in 1000, d_out 1, eps 0.001 and lambda 0.1, 0.9 and 1.5, N = d_in / lambda. The
steps are linear, so that the student after any number of them follows at once from the eigenvectors of the covariance
of the training set. That is no approximation, and is held against `WALK` steps taken one by one, forward and backward.
Accuracies are counted on the training set and on fresh inputs; a time is found by halving the interval it lies in.

Beside it stands the solution, as in the paper in continuous time and for infinite size. (At eta 0.01, steps reach 95%
sooner by 0.6% at lambda = 0.1, and by less at larger ones.) Late times hang on the few smallest eigenvalues and on how
much of teacher and student lies along their eigenvectors. Hence they differ from seed to seed, the more so the closer
lambda is to one, and the less so the larger d_in is.

The grokking time is swept over lambda on both sides of one, at two sizes. Weight decay and the number of outputs are
varied at lambda = 0.9; for several outputs the accuracy is not the paper's formula but its generalisation.

No network is trained by the sweep: --backend, --workers, --scheduler and --cells do nothing here. The seeds draw
teacher, student and inputs. The quick size has d_in 600, fewer values of lambda and three seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis import figures, linear_estimator
from analysis.linear_estimator import LATEST, LEVEL
from analysis.marchenko_pastur import quadrature
from experiments.bars import bar
from experiments.common import Check, Options, Outcome, run_experiment, show, spread
from experiments.linear_simulation import (
    DECAYED,
    HALVED,
    LATE,
    LEARNING_RATE,
    LITTLE,
    MAIN,
    MORE_OUTPUTS,
    NEVER,
    SETTINGS,
    SPOILT,
    TOLERANCE,
    WALK,
    Setting,
    simulate,
)

RECORDS = np.unique(np.geomspace(1, 100_000, 120).round().astype(int))
"""The steps after which losses and accuracies are measured."""

SIZES = {"d_in": 1000, "smaller d_in": 250, "fresh inputs": 10_000,
         "sweep": (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 1.0, 1.05, 1.2, 1.5)}
QUICK_SIZES = {"d_in": 600, "smaller d_in": 150, "fresh inputs": 4000, "sweep": (0.1, 0.5, 0.8, 0.9, 1.0, 1.2, 1.5)}
LINE = (0.02, 0.05, *np.linspace(0.1, 0.9, 17).tolist(), 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)
"""Values of lambda at which the line of the solution is drawn."""

VANISHING = (1e-3, 1e-30, 1e-280)
"""Values of eps, at which the paper's formula is held against the solution."""

ACCURACY_WITHIN, WITHIN, ROUNDING = 0.05, 0.1, 1e-9
"""By how much an accuracy may differ from the solution's; by what share a loss or a time; by what share students after
`WALK` steps may differ from those of the eigenvectors."""

TOGETHER, APART = 2, 5
"""The test accuracy is learnt late from this many times the steps of the train accuracy on; together, up to fewer."""


def experiment(options: Options) -> Outcome:
    """Simulate the settings and the sweep, and hold them against the solution and the formula."""
    sizes = QUICK_SIZES if options.quick else SIZES
    simulated, times, walked = simulate(sizes, options.seeds, RECORDS)
    with bar(SETTINGS, "solutions") as shown:
        solved = {setting: solve(setting, sizes["d_in"]) for setting in shown}
    with bar(times.items(), "solutions of the sweep") as shown:
        swept = {d_in: {ratio: _compare(of_ratio, Setting(ratio), d_in) for ratio, of_ratio in of_size.items()}
                 for d_in, of_size in shown}
    with bar(LINE, "line of the solution") as shown:
        line = {ratio: _grokking_time(linear_estimator.learning_times(quadrature(ratio), LEARNING_RATE, TOLERANCE))
                for ratio in shown}
    formula = formula_errors(swept[sizes["d_in"]])
    measured = {setting.name: _summary(simulated[setting], solved[setting]) | _compare(
        simulated[setting]["times"], setting, sizes["d_in"]) for setting in SETTINGS}
    measured |= {f"sweep, d_in {d_in}, lambda {ratio:g}": one for d_in, of_size in swept.items()
                 for ratio, one in of_size.items()}
    measured |= {"formula": formula, "walked": {"apart": spread(walked)}}
    checks = [*_curve_checks(measured), *_grokking_checks(measured), *_time_checks(swept[sizes["d_in"]], formula),
              *_variant_checks(measured), _walk_check(measured["walked"])]
    settings = {"model": {"learning_rate": LEARNING_RATE, "tolerance": TOLERANCE, **sizes},
                **{one.name: {"ratio": one.ratio, "outputs": one.outputs, "decay": one.decay} for one in SETTINGS}}
    title = f"d_in = {sizes['d_in']}, η = {LEARNING_RATE:g}, ε = {TOLERANCE:g}, {options.told_seeds}"
    drawn = [_draw_curves(simulated, solved, f"{title}, d_out = 1", options.out / "linear_estimator.png"),
             _draw_times(simulated, solved, swept, line, title, options.out / "linear_estimator_times.png")]
    return Outcome(settings, measured, checks, drawn)


def solve(setting: Setting, d_in: int) -> dict[str, np.ndarray]:
    """Losses and accuracies of the solution, of training set and fresh inputs -> arrays (2, T)."""
    L = linear_estimator.losses(RECORDS, _law(setting, d_in), LEARNING_RATE, setting.decay)
    return {column: np.stack([one, linear_estimator.accuracy(one, TOLERANCE, setting.outputs)])
            for column, one in zip(("train", "test"), L, strict=True)}


def formula_errors(swept: Mapping[float, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The relative errors of the paper's formula: over lambda < 1, and for eps that vanishes at lambda = 0.9."""
    errors = [linear_estimator.predicted_grokking_time(ratio, LEARNING_RATE) / one["solved_time"]["mean"] - 1
              for ratio, one in swept.items() if ratio < 1]
    predicted, law = linear_estimator.predicted_grokking_time(LATE.ratio, LEARNING_RATE), quadrature(LATE.ratio)
    solved = {eps: _grokking_time(linear_estimator.learning_times(law, LEARNING_RATE, eps)) for eps in VANISHING}
    return {"relative_error": spread(errors),
            **{f"relative_error, eps {eps:g}": spread([predicted / time - 1]) for eps, time in solved.items()}}


def _law(setting, d_in):
    """Of d_in / N, which is lambda but for rounding N."""
    return quadrature(d_in / round(d_in / setting.ratio))


def _grokking_time(times):
    train, test = times
    return None if None in (train, test) else test - train


def _compare(times, setting, d_in):
    """Times simulated, one dict for each seed, beside those of the solution."""
    law = _law(setting, d_in)
    train, test = linear_estimator.learning_times(law, LEARNING_RATE, TOLERANCE, setting.outputs, setting.decay)
    solved = _grokking_time((train, test))
    simulated = [_grokking_time((one["train"], one["test"])) for one in times]
    return {**{f"{column}_step": spread([one[column] for one in times]) for column in ("train", "test")},
            "solved_train_step": spread([train]), "solved_test_step": spread([test]),
            "groks": spread([float(one is not None) for one in simulated]),
            "grokking_time": spread(simulated), "solved_time": spread([solved]),
            "relative_error": None if None in (solved, *simulated) else spread([one / solved - 1 for one in simulated])}


def _summary(simulated, solved):
    """By how much the mean over seeds differs from the solution: accuracies, and losses until they are learnt."""
    losses, accuracies = [], []
    for column, (L, accuracy) in solved.items():
        mean_L, mean_accuracy = simulated[column].mean(axis=1)
        early = accuracy < LEVEL
        losses.append(float(abs(mean_L[early] / L[early] - 1).max()))
        accuracies.append(float(abs(mean_accuracy - accuracy).max()))
    return {"accuracy_apart": spread(accuracies), "loss_apart": spread(losses),
            "final_test_loss": spread(simulated["test"][0, :, -1].tolist()),
            "solved_final_test_loss": spread([float(solved["test"][0, -1])])}


def _apart(one, quantity):
    train, test = one[quantity]["values"]
    return f"train {train:.3f}, test {test:.3f}"


def _curve_checks(measured):
    for setting in MAIN:
        one = measured[setting.name]
        yield Check(f"lambda = {setting.ratio:g}: the accuracies are those of the solution, at every time within "
                    f"{ACCURACY_WITHIN:g} (mean over seeds)", "simulation and solution agree",
                    f"largest difference: {_apart(one, 'accuracy_apart')}",
                    one["accuracy_apart"]["max"] <= ACCURACY_WITHIN)
        yield Check(f"lambda = {setting.ratio:g}: so are the losses, within {WITHIN:.0%} until {LEVEL:.0%} is right",
                    "simulation and solution agree", f"largest share: {_apart(one, 'loss_apart')}",
                    one["loss_apart"]["max"] <= WITHIN)


def _ratio_of_steps(one):
    if None in (one["train_step"], one["test_step"]):
        return None
    return spread(np.divide(one["test_step"]["values"], one["train_step"]["values"]).tolist())


def _told(one):
    ratio = _ratio_of_steps(one)
    return (f"steps {show(one['train_step'], 0)} and {show(one['test_step'], 0)}"
            + (f": {show(ratio, 2)} times" if ratio else ""))


def _by_formula(setting):
    steps = linear_estimator.predicted_grokking_time(setting.ratio, LEARNING_RATE)
    return f"{steps:.0f} steps later, by its formula"


def _grokking_checks(measured):
    little, late, never = (measured[setting.name] for setting in MAIN)
    ratios = _ratio_of_steps(little), _ratio_of_steps(late)
    yield Check(f"lambda = {LITTLE.ratio:g}: the test accuracy reaches {LEVEL:.0%} at most {TOGETHER} times as late as "
                "the train accuracy", _by_formula(LITTLE), _told(little),
                ratios[0] is not None and ratios[0]["max"] <= TOGETHER)
    yield Check(f"lambda = {LATE.ratio:g}: at least {APART} times as late", _by_formula(LATE), _told(late),
                ratios[1] is not None and ratios[1]["min"] >= APART)
    kept = 1 - 1 / NEVER.ratio
    yield Check(f"lambda = {NEVER.ratio:g}: the training set is learnt, the test accuracy never reaches {LEVEL:.0%}, "
                f"the test loss keeps 1 - 1/lambda = {kept:.3f}, within {WITHIN:.0%} (mean over seeds)",
                "L_gen keeps 1 - 1/lambda",
                f"{_told(never)}; test loss {show(never['final_test_loss'])}",
                never["train_step"] is not None and never["test_step"] is None
                and abs(never["final_test_loss"]["mean"] / kept - 1) <= WITHIN)


def _time_checks(swept, formula):
    """The grokking time against lambda: simulated, of the solution, and by the formula."""
    below = {ratio: one for ratio, one in swept.items() if ratio < 1}
    errors = {ratio: one["relative_error"] for ratio, one in below.items()}
    yield Check(f"the grokking time is that of the solution, within {WITHIN:.0%} (mean over seeds), at {len(below)} "
                "values of lambda < 1", "simulation and solution agree",
                ", ".join(f"{error['mean']:+.1%} ({ratio:g})" if error else f"- ({ratio:g})"
                          for ratio, error in errors.items()),
                None not in errors.values() and all(abs(error["mean"]) <= WITHIN for error in errors.values()))
    yield Check(f"the paper's formula gives the grokking time of the solution, within {WITHIN:.0%}, at the same lambda",
                "log(1 / (1 - sqrt(lambda))) / (2 eta (1 - sqrt(lambda))^2)",
                ", ".join(f"{error:+.0%} ({ratio:g})"
                          for ratio, error in zip(below, formula["relative_error"]["values"], strict=True)),
                max(map(abs, formula["relative_error"]["values"])) <= WITHIN)
    vanishing = [formula[f"relative_error, eps {eps:g}"]["mean"] for eps in VANISHING]
    yield Check(f"it becomes right, within 1%, as eps vanishes (lambda = {LATE.ratio:g})", "(not given)",
                ", ".join(f"{error:+.1%} (eps {eps:g})" for eps, error in zip(VANISHING, vanishing, strict=True)),
                abs(vanishing[-1]) <= 0.01)
    rising = [one["grokking_time"] and one["grokking_time"]["mean"] for one in below.values()]
    yield Check("the closer to lambda = 1 from below, the longer is the grokking time", "it rises",
                ", ".join(f"{show(one['grokking_time'], 0)} ({ratio:g})" for ratio, one in below.items()),
                None not in rising and rising == sorted(rising))
    at_one = swept[1.0]
    groks = at_one["groks"]["values"]
    yield Check("it diverges at lambda = 1", "it diverges",
                f"of the solution {show(at_one['solved_time'], 0)}, simulated {show(at_one['grokking_time'], 0)}; "
                f"{sum(groks):.0f} of {len(groks)} seeds grok in {LATEST / LEARNING_RATE:.0e} steps",
                at_one["solved_time"] is None)
    above = [one for ratio, one in swept.items() if ratio > 1]
    grokked = sum(sum(one["groks"]["values"]) for one in above)
    yield Check(f"for lambda > 1 the test accuracy never reaches {LEVEL:.0%}, at {len(above)} values",
                "L_gen keeps 1 - 1/lambda", f"in {grokked:.0f} of {sum(len(one['groks']['values']) for one in above)} "
                f"runs, in {LATEST / LEARNING_RATE:.0e} steps",
                grokked == 0 and all(one["solved_time"] is None for one in above))


def _variant_checks(measured):
    """Weight decay and several outputs."""
    late = measured[LATE.name]
    for what, settings, paper in (("weight decay", (DECAYED, SPOILT, HALVED), "simulation and solution agree"),
                                  ("several outputs", MORE_OUTPUTS, "(the solution is not the paper's)")):
        parts = [measured[setting.name] for setting in settings]
        accuracy, loss = (max(one[quantity]["max"] for one in parts) for quantity in ("accuracy_apart", "loss_apart"))
        yield Check(f"with {what}: accuracies are those of the solution within {ACCURACY_WITHIN:g}, losses within "
                    f"{WITHIN:.0%} ({len(parts)} settings)", paper,
                    f"largest difference {accuracy:.3f}, largest share {loss:.3f}",
                    accuracy <= ACCURACY_WITHIN and loss <= WITHIN)
    decayed, spoilt, halved = (measured[setting.name] for setting in (DECAYED, SPOILT, HALVED))
    yield Check(f"lambda = {LATE.ratio:g}: a little decay ({DECAYED.decay:g}) delays grokking, in every seed",
                "(not given)", f"grokking time {show(late['grokking_time'], 0)} without, "
                f"{show(decayed['grokking_time'], 0)} with it",
                _all_above(decayed["grokking_time"], late["grokking_time"]))
    yield Check(f"more decay ({SPOILT.decay:g}) prevents it", "(not given)", _told(spoilt),
                spoilt["train_step"] is not None and spoilt["test_step"] is None)
    half = (1 - 1 / NEVER.ratio) / 2
    yield Check(f"lambda = {HALVED.ratio:g}: with decay ({HALVED.decay:g}) half of 1 - 1/lambda is kept, within "
                f"{WITHIN:.0%} (mean over seeds)", "(follows from its L_gen)",
                f"{show(halved['final_test_loss'])}, half is {half:.3f}",
                abs(halved["final_test_loss"]["mean"] / half - 1) <= WITHIN)
    outputs = [measured[setting.name]["test_step"] for setting in (LATE, *MORE_OUTPUTS)]
    yield Check(f"lambda = {LATE.ratio:g}: the more outputs, the sooner the test accuracy reaches {LEVEL:.0%} "
                "(mean over seeds)", "(not given)",
                ", ".join(f"{show(steps, 0)} (d_out {setting.outputs})"
                          for setting, steps in zip((LATE, *MORE_OUTPUTS), outputs, strict=True)),
                None not in outputs and outputs[0]["mean"] > outputs[1]["mean"] > outputs[2]["mean"])


def _all_above(more, less):
    return None not in (more, less) and all(x > y for x, y in zip(more["values"], less["values"], strict=True))


def _walk_check(walked):
    return Check(f"{WALK} steps taken one by one lead to the student of the eigenvectors, within {ROUNDING:g}, at "
                 f"{len(MAIN)} lambda with and without decay", "(not given)", f"at most {walked['apart']['max']:.1e}",
                 walked["apart"]["max"] <= ROUNDING)


def _draw_curves(simulated, solved, title, path):
    """Accuracies, and losses below them, for the three lambda."""
    figure, axes = figures.new_figure(2, 3, (12, 6.6), title, sharex=True)
    for setting, accuracies, losses in zip(MAIN, *axes, strict=True):
        for column, style in figures.SETS.items():
            if column not in solved[setting]:
                continue
            for panel, curves, line in zip((losses, accuracies), simulated[setting][column], solved[setting][column],
                                           strict=True):
                figures.draw_curve(panel, RECORDS, curves, label=figures.LABELS[column], **style)
                panel.plot(RECORDS, line, color=figures.BLACK, linestyle="--", linewidth=1, label="solution")
        accuracies.set_title(f"λ = {setting.ratio:g}", fontsize=10)
        accuracies.set(ylim=(-0.03, 1.05), xscale="log")
        losses.set(xlabel="step", yscale="log", ylim=(1e-7, 3))
    axes[0, 0].set_ylabel(f"accuracy (squared error < {TOLERANCE:g})")
    axes[1, 0].set_ylabel("mean squared error")
    figures.draw_legend(figure, axes[0, 0])
    return figures.save(figure, path)


def _draw_times(simulated, solved, swept, line, title, path):
    """The grokking time and its relative error against lambda; weight decay and outputs."""
    figure, axes = figures.new_figure(2, 2, (11.5, 8.2), title)
    (times, errors), (decays, outputs) = axes
    ratios = [ratio for ratio in LINE if ratio < 1]
    formula = np.array([linear_estimator.predicted_grokking_time(ratio, LEARNING_RATE) for ratio in ratios])
    times.plot(LINE, list(line.values()), color=figures.BLACK, linestyle="--", linewidth=1.2, label="solution")
    times.plot(ratios, formula, color=figures.ORANGE, linewidth=1.6, label="paper's formula")
    errors.plot(ratios, formula / [line[ratio] for ratio in ratios], color=figures.ORANGE, linewidth=1.6)
    errors.axhline(1, color=figures.BLACK, linestyle="--", linewidth=1.2)
    for (d_in, of_size), colour, marker in zip(swept.items(), (figures.SKY, figures.BLUE), "so", strict=True):
        shown = {ratio: one for ratio, one in of_size.items() if one["grokking_time"]}
        style = {"color": colour, "marker": marker, "markersize": 5, "linestyle": "none", "capsize": 3}
        _with_ranges(times, shown, [one["grokking_time"] for one in shown.values()],
                     label=f"simulated, d_in = {d_in}", **style)
        close = {ratio: one for ratio, one in shown.items() if ratio < 1}
        _with_ranges(errors, close, [one["relative_error"] for one in close.values()], shift=1, **style)
    for panel in (times, errors):
        panel.axvline(1, color=figures.GREY, linewidth=1)
        panel.set(xlabel="λ = inputs / examples", yscale="log", xlim=(0, 1.12))
    times.axvspan(1, 1.12, color="0.92", linewidth=0)
    times.annotate("never", (1.06, 0.5), xycoords=("data", "axes fraction"), ha="center", fontsize=9)
    times.set(ylabel="grokking time, in steps", ylim=(1, 1e11))
    errors.set(ylabel="grokking time / that of the solution")
    colours = (figures.GREEN, figures.PURPLE, figures.BLUE)
    for panel, settings, label in ((decays, (LATE, DECAYED, SPOILT), lambda one: f"γ = {one.decay:g}"),
                                   (outputs, (LATE, *MORE_OUTPUTS), lambda one: f"d_out = {one.outputs}")):
        for setting, colour in zip(settings, colours, strict=True):
            for column, dashes in (("train", ":"), ("test", "-")):
                figures.draw_curve(panel, RECORDS, simulated[setting][column][1], color=colour, linestyle=dashes,
                                   label=f"{label(setting)}, {column}")
                panel.plot(RECORDS, solved[setting][column][1], color=figures.BLACK, linestyle="--", linewidth=0.9)
        panel.set(xlabel="step", ylabel="accuracy", xscale="log", ylim=(-0.03, 1.05))
        panel.legend(fontsize=8, frameon=False, loc="upper left")
    decays.set_title(f"weight decay, λ = {LATE.ratio:g}", fontsize=10)
    outputs.set_title(f"outputs, λ = {LATE.ratio:g}", fontsize=10)
    figures.draw_legend(figure, times)
    return figures.save(figure, path)


def _with_ranges(panel, ratios, spreads, shift=0.0, **style):
    """Means with bars from the smallest to the largest value."""
    mean, low, high = (np.array([one[name] for one in spreads]) + shift for name in ("mean", "min", "max"))
    panel.errorbar(list(ratios), mean, [mean - low, high - mean], elinewidth=1, **style)


if __name__ == "__main__":
    sys.exit(run_experiment("linear_estimator", __doc__, experiment, seeds=10, quick_seeds=3))
