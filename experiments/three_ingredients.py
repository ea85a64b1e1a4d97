"""The three ingredients of grokking, in a model of two circuits (Varma et al., section 3).

What the paper found: two lookup tables scaled by learnt scalars, C_gen right everywhere and C_mem right on the training
examples alone, grok if C_gen exists, is more efficient than C_mem, and is slower; without any one of these they do not.
From efficiency follow ungrokking (trained on with few examples, a network that has grokked forgets the rule, sharply
below a size D_crit and whatever the weight decay) and semi-grokking (near D_crit, test accuracy goes to a middling
value), which the paper then found in transformers.

The model, its solution and what in it is the paper's are in `analysis.two_circuits`. Its times and sizes are held
against gradient descent. (They are for s_gen > s_mem u; what is measured, a probability above one half, comes a little
later.) No network is trained: --backend, --workers, --scheduler and --cells do nothing here. The seeds draw the tables
and jitter the initial sub-weights.

 - C_gen is slower: its sub-weights start at 0.001, those of C_mem at 0.1 ("not slower": both at 0.1).
 - C_gen is more efficient: c_gen = 1 and c_mem = D / D_crit, trained at D = 2 D_crit ("not more efficient": c_mem = 1).
 - An accuracy rises when it passes one half. There is grokking if that of the test set does so `LATE` times as late as
   that of the training set, or later.

Sizes are compared at a time t = learning rate x steps of so many units of 1 / lambda: at equal decay x steps. The paper
compares decays at equal steps, which is shown beside it. The quick size has two seeds and fewer sizes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import streams
from analysis import figures, two_circuits
from analysis.phases import LEARNT
from experiments.common import Check, Options, Outcome, run_experiment, show, spread
from experiments.readings import first_where

CLASSES, EXAMPLES, CRITICAL_SIZE, LEARNING_RATE, START_MEM, JITTER = 10, 2000, 250, 0.2, 0.1, 0.1
START_GEN, SIZE, DECAY, DECAYS = 1e-3, 2 * CRITICAL_SIZE, 0.005, (0.0025, 0.005, 0.01)

CASES = {
    "all three ingredients": {"start_gen": START_GEN, "cost_mem": SIZE / CRITICAL_SIZE},
    "no generalising circuit": {"start_gen": 0.0, "cost_mem": SIZE / CRITICAL_SIZE},
    "not more efficient": {"start_gen": START_GEN, "cost_mem": 1.0},
    "not slower": {"start_gen": START_MEM, "cost_mem": SIZE / CRITICAL_SIZE},
}
LIKE_START = START_MEM * 0.6**0.5
"""Where C_gen starts with costs that tie, to give a middling test accuracy: s_gen = 0.6 s_mem."""

CASE_STEPS, DELAY_STEPS, GROK_STEPS = 20_000, 60_000, 8000
UNGROK_TIME, SCRATCH_TIMES = 40, (5, 20, 80)
"""In units of 1 / lambda. Semi-grokking is looked for at the second of three times."""

SIZES = {"delay": (300, 350, 500, 1000), "ungrokking": tuple(np.geomspace(62.5, 500, 97).round().astype(int).tolist()),
         "from scratch": tuple(range(200, 501, 2))}
QUICK_SIZES = SIZES | {"delay": (500, 1000), "ungrokking": SIZES["ungrokking"][::4]}

LATE, TOGETHER = 10, 3
"""The test accuracy rises late from this many times the steps of the train accuracy on; together, up to this many."""

NEAR_CHANCE = 1 / CLASSES
"""At most this: what guessing would give. (C_mem, sure of wrong answers, gives less.)"""

DELAY_WITHIN, SHARP, SAME_SIZE, STAYS = 0.1, 1.25, 0.05, 0.05
"""By what share a delay may differ from the predicted one; within what factor of D' the ungrokked test accuracy goes
from 0.1 to 0.9; by what share of D' transitions may differ and be the same; how far an accuracy that stays may move.
"""


class Draws:
    """What the seeds decide.

    Attributes
    ----------
    u : array (S, EXAMPLES)
        The confidence of C_mem in a wrong answer on each example, should it be none of the training examples.
    jitter : array (2, 2, S)
        Of a and b, of C_gen and C_mem: factors about 1.
    """

    def __init__(self, seeds: Sequence[int]):
        generators = [streams.generator(seed, streams.ANALYSIS, streams.number_of("two circuits")) for seed in seeds]
        self.u = np.array([rng.uniform(size=EXAMPLES) for rng in generators])
        self.jitter = np.exp(JITTER * np.stack([rng.standard_normal((2, 2)) for rng in generators], axis=-1))

    def start(self, start_gen: Sequence[float] = (START_GEN,)) -> np.ndarray:
        """Initial a and b of settings whose C_gen starts at start_gen (R,) -> array (2, 2, R, S)."""
        return self.jitter[:, :, None] * np.stack([start_gen, np.full(len(start_gen), START_MEM)])[..., None]

    def test_accuracy(self, s: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
        """Of scalars s (T, 2, R, S), each setting trained on the first D examples, sizes (R,) -> array (T, R, S)."""
        return np.stack([np.stack([two_circuits.test_accuracy(s[:, :, setting, seed].T, u[size:], CLASSES)
                                   for setting, size in enumerate(sizes)], axis=-1)
                         for seed, u in enumerate(self.u)], axis=-1)


def experiment(options: Options) -> Outcome:
    """Run the four cases, the delays, ungrokking and semi-grokking, and hold them against paper and solution."""
    draws, sizes = Draws(options.seeds), QUICK_SIZES if options.quick else SIZES
    cases, delays = run_cases(draws), run_delays(draws, sizes["delay"])
    ungrokked, scratch = run_ungrokking(draws, sizes["ungrokking"]), run_from_scratch(draws, sizes["from scratch"])
    measured = cases["measured"] | delays["measured"] | ungrokked["measured"] | scratch["measured"]
    checks = [*_case_checks(measured), _delay_check(delays["measured"]), *_ungrokking_checks(measured),
              _hysteresis_check(measured), *_semi_grokking_checks(measured)]
    settings = {"model": {"classes": CLASSES, "examples": EXAMPLES, "critical_size": CRITICAL_SIZE,
                          "learning_rate": LEARNING_RATE, "start_mem": START_MEM, "jitter": JITTER},
                **{name: {**case, "decay": DECAY, "steps": CASE_STEPS} for name, case in CASES.items()},
                "delay": {"decay": DECAYS, "sizes": sizes["delay"], "steps": DELAY_STEPS},
                "ungrokking": {"decay": DECAYS, "sizes": sizes["ungrokking"], "grok_steps": GROK_STEPS,
                               "decay_x_time": UNGROK_TIME},
                "from scratch": {"decay": DECAY, "sizes": sizes["from scratch"], "decay_x_time": SCRATCH_TIMES}}
    title = (f"q = {CLASSES}, c_gen = 1, c_mem = D / {CRITICAL_SIZE}, learning rate {LEARNING_RATE:g}; upper rows "
             f"D = {SIZE}, λ = {DECAY:g}; {options.told_seeds}")
    figure = _draw(cases, delays, ungrokked, scratch, title, options.out / "three_ingredients.png")
    return Outcome(settings, measured, checks, [figure])


def descend(start, decay, cost_mem, records):
    """Gradient descent from a and b (2, 2, R or 1, S), decay and cost_mem (R,) -> a and b (2, T, 2, R, S)."""
    charges = np.stack([decay, np.multiply(decay, cost_mem)])[..., None]
    return np.stack(two_circuits.descend(*start, charges, CLASSES, LEARNING_RATE, records))


def run_cases(draws: Draws) -> dict[str, Any]:
    """With all ingredients and without each: records (T,), scalars s (T, 2, R, S), accuracies (T, R, S), measured."""
    records = np.unique(np.geomspace(1, CASE_STEPS, 400).round().astype(int))
    start_gen, cost_mem = zip(*(case.values() for case in CASES.values()), strict=True)
    s = descend(draws.start(start_gen), np.full(len(CASES), DECAY), cost_mem, records).prod(axis=0)
    accuracies = {"train": two_circuits.train_accuracy(s.swapaxes(0, 1), CLASSES),
                  "test": draws.test_accuracy(s, [SIZE] * len(CASES))}
    measured = {}
    for setting, name in enumerate(CASES):
        train, test = (accuracy[:, setting].T for accuracy in accuracies.values())
        learnt, grokked = ([first_step(curve, records) for curve in curves] for curves in (train, test))
        measured[name] = {"train_step": _spread(learnt), "test_step": _spread(grokked),
                          "delay": _ratio(grokked, learnt), "highest_test_accuracy": _spread(test.max(axis=1)),
                          "final_train_accuracy": _spread(train[:, -1]), "final_test_accuracy": _spread(test[:, -1])}
    return {"records": records, "s": s, **accuracies, "measured": measured}


def run_delays(draws: Draws, sizes: Sequence[int]) -> dict[str, Any]:
    """The step at which the test accuracy rises, and the predicted one, at every decay and size: measured, by name."""
    records = np.unique(np.geomspace(1, DELAY_STEPS, 1500).round().astype(int))
    decay, size = (values.ravel() for values in np.meshgrid(DECAYS, sizes, indexing="ij"))
    start, cost_mem = draws.start(), size / CRITICAL_SIZE
    accuracy = draws.test_accuracy(descend(start, decay, cost_mem, records).prod(axis=0), size)
    charges = np.stack([decay, decay * cost_mem])[..., None]
    predicted = two_circuits.crossing_time(two_circuits.start_ratio(*start), charges) / LEARNING_RATE
    measured = {}
    for setting, steps in enumerate(predicted):
        grokked = [first_step(curve, records) for curve in accuracy[:, setting].T]
        measured[f"delay, decay {decay[setting]:g}, D {size[setting]}"] = {
            "test_step": _spread(grokked), "predicted_step": _spread(steps), "ratio": _ratio(grokked, steps)}
    return {"measured": measured}


def run_ungrokking(draws: Draws, sizes: Sequence[int]) -> dict[str, Any]:
    """Grok and train on with D': test accuracies (decays, N, S), at equal decay x steps and equal steps; measured."""
    grokked = descend(draws.start(), np.array([DECAY]), SIZE / CRITICAL_SIZE, [GROK_STEPS])
    decay, size = (values.ravel() for values in np.meshgrid(DECAYS, sizes, indexing="ij"))
    ends = [steps_of(UNGROK_TIME, one) for one in DECAYS]
    records = np.unique([*np.geomspace(1, max(ends), 40).round().astype(int), *ends])
    s = descend(grokked[:, 0], decay, size / CRITICAL_SIZE, records).prod(axis=0)
    # After the steps of which decay, with which decay.
    after = draws.test_accuracy(s[np.searchsorted(records, ends)], size).reshape(len(ends), len(ends), len(sizes), -1)
    curves = {"decay x steps": after[range(len(ends)), range(len(ends))], "steps": after[np.argmin(ends)]}
    small, large = np.array(sizes) <= CRITICAL_SIZE / 2, np.array(sizes) >= CRITICAL_SIZE
    measured = {"ungrokking": {
        "test_accuracy_before": _spread(draws.test_accuracy(grokked.prod(axis=0), [SIZE])[0, 0]),
        "lowest_train_accuracy": _spread(two_circuits.train_accuracy(s.swapaxes(0, 1), CLASSES).min(axis=(0, 1))),
        "highest_test_accuracy_far_below": _spread(curves["decay x steps"][:, small].max(axis=(0, 1))),
        "lowest_test_accuracy_above": _spread(curves["decay x steps"][:, large].min(axis=(0, 1))),
        "predicted_transition": _spread(predicted_size(grokked[:, 0], UNGROK_TIME))}}
    for equal, accuracy in curves.items():
        for one, runs in zip(DECAYS, accuracy, strict=True):
            low, half, high = ([crossing(sizes, curve, level) for curve in runs.T] for level in (0.1, 0.5, 0.9))
            measured[f"ungrokking, equal {equal}, decay {one:g}"] = {"transition": _spread(half),
                                                                     "width": _ratio(high, low)}
    return {"sizes": sizes, "curves": curves, "measured": measured}


def run_from_scratch(draws: Draws, sizes: Sequence[int]) -> dict[str, Any]:
    """Test accuracy (T, N, S) at three times, from scratch with D examples; measured, and of tied circuits as well."""
    records, start = [steps_of(time, DECAY) for time in SCRATCH_TIMES], draws.start()
    cost_mem = np.array(sizes) / CRITICAL_SIZE
    accuracy = draws.test_accuracy(descend(start, np.full(len(sizes), DECAY), cost_mem, records).prod(axis=0), sizes)
    nearest = abs(accuracy[1] - 0.5).argmin(axis=0)  # each seed has a size of its own with a middling accuracy
    middling = np.take_along_axis(accuracy, nearest[None, None], axis=1)[:, 0]
    tied = descend(draws.start([LIKE_START]), np.array([DECAY]), 1.0, records).prod(axis=0)
    measured = {"from scratch": {"transition": _spread([crossing(sizes, curve) for curve in accuracy[1].T]),
                                 "predicted_transition": _spread(predicted_size(start, SCRATCH_TIMES[1])),
                                 "middling_size": _spread(np.array(sizes)[nearest])}}
    for name, values in (("from scratch, most middling", middling),
                         ("tied costs, like starts", draws.test_accuracy(tied, [CRITICAL_SIZE])[:, 0])):
        measured[name] = {f"test_accuracy_at_{t}": _spread(at) for t, at in zip(SCRATCH_TIMES, values, strict=True)}
    return {"sizes": sizes, "accuracy": accuracy, "measured": measured}


def steps_of(time: float, decay: float) -> int:
    """The steps that a time in units of 1 / lambda takes."""
    return round(time / (decay * LEARNING_RATE))


def predicted_size(start: np.ndarray, time: float) -> np.ndarray:
    """Where the transition lies a time, in units of 1 / lambda, after a and b (2, 2, 1, S) -> array (S,)."""
    return two_circuits.crossing_size(two_circuits.start_ratio(*start)[0], 1.0, time, CRITICAL_SIZE)


def first_step(accuracy: np.ndarray, steps: np.ndarray) -> int | None:
    """The first step at which an accuracy (T,) has passed one half; None if it never does."""
    return first_where(steps, accuracy > 0.5)


def crossing(sizes: Sequence[float], accuracy: np.ndarray, level: float = 0.5) -> float | None:
    """The size at which an accuracy (N,) rises to a level, between two sizes by their logarithms; None if outside."""
    reached = np.maximum.accumulate(accuracy)
    return float(np.exp(np.interp(level, reached, np.log(sizes)))) if reached[0] < level <= reached[-1] else None


def _spread(values):
    """The spread of an array."""
    return spread(np.asarray(values).tolist())


def _ratio(above, below):
    return None if None in (*above, *below) else _spread(np.divide(above, below))


def _joined(spreads):
    """All values of several spreads as one; None if one of them is undefined."""
    return None if None in spreads else spread([value for one in spreads for value in one["values"]])


def _case_checks(measured):
    """Grokking with all three ingredients, none without one of them."""
    groks, no_rule, inefficient, fast = (measured[name] for name in CASES)
    yield Check(f"all three ingredients: the test accuracy rises at least {LATE} times as late as the train accuracy, "
                f"both end at {LEARNT} or more", "grokking", _told(groks),
                groks["delay"] is not None and groks["delay"]["min"] >= LATE and _both_learnt(groks))
    for name, case in (("no generalising circuit", no_rule), ("not more efficient", inefficient)):
        yield Check(f"{name}: the train accuracy ends at {LEARNT} or more, the test accuracy is never above "
                    f"{NEAR_CHANCE:g}", "no grokking", _told(case),
                    case["final_train_accuracy"]["min"] >= LEARNT
                    and case["highest_test_accuracy"]["max"] <= NEAR_CHANCE)
    yield Check(f"not slower: the test accuracy rises at most {TOGETHER} times as late, both end at {LEARNT} or more",
                "no grokking", _told(fast),
                fast["delay"] is not None and fast["delay"]["max"] <= TOGETHER and _both_learnt(fast))


def _both_learnt(case):
    return min(case[f"final_{column}_accuracy"]["min"] for column in ("train", "test")) >= LEARNT


def _told(case):
    end = f"final train accuracy {show(case['final_train_accuracy'])}, test {show(case['final_test_accuracy'])}"
    if case["delay"] is None:
        return f"{end}; highest test accuracy {show(case['highest_test_accuracy'])}"
    steps = " and ".join(show(case[f"{column}_step"], 0) for column in ("train", "test"))
    return f"steps {steps}: {show(case['delay'], 1)} times; {end}"


def _delay_check(measured):
    ratios = _joined([one["ratio"] for one in measured.values()])
    return Check(f"the test accuracy rises at t = log(0.5 / r(0)) / (2 lambda (c_mem - c_gen)), within "
                 f"{DELAY_WITHIN:.0%}, at {len(DECAYS)} decays and {len(measured) // len(DECAYS)} sizes", "(not given)",
                 f"measured / predicted {show(ratios)}",
                 ratios is not None and max(abs(ratio - 1) for ratio in ratios["values"]) <= DELAY_WITHIN)


def _of_decays(measured, equal, quantity="transition"):
    return [measured[f"ungrokking, equal {equal}, decay {decay:g}"][quantity] for decay in DECAYS]


def _ungrokking_checks(measured):
    before, train, below, above = (measured["ungrokking"][name] for name in (
        "test_accuracy_before", "lowest_train_accuracy", "highest_test_accuracy_far_below",
        "lowest_test_accuracy_above"))
    yield Check(f"ungrokking: trained on with D' <= D_crit / 2, the test accuracy is at most {NEAR_CHANCE:g}",
                "near chance for D' << D_crit", f"from {show(before)} to at most {show(below)}",
                before["min"] >= LEARNT and below["max"] <= NEAR_CHANCE)
    yield Check(f"ungrokking: for D' >= D_crit it is {LEARNT} or more", "a transition at D_crit",
                f"at least {show(above)}", above["min"] >= LEARNT)
    yield Check("ungrokking: the train accuracy is 1 throughout, at every D'", "it stays at 100%",
                f"at least {show(train)}", train["min"] == 1)
    width = _joined(_of_decays(measured, "decay x steps", "width"))
    yield Check(f"ungrokking: the test accuracy goes from 0.1 to 0.9 within a factor of {SHARP:g} in D'",
                "a sharp transition", show(width), width is not None and width["max"] <= SHARP)
    for equal in ("decay x steps", "steps"):
        transitions = _of_decays(measured, equal)
        sizes = _joined(transitions)
        yield Check(f"ungrokking: at equal {equal}, the transition lies at the same D' for every decay, within "
                    f"{SAME_SIZE:.0%}", "the curves of all decays overlay (100k steps)",
                    ", ".join(f"{show(D, 0)} (decay {decay:g})" for decay, D in zip(DECAYS, transitions, strict=True)),
                    sizes is not None and sizes["max"] <= (1 + SAME_SIZE) * sizes["min"])


def _hysteresis_check(measured):
    ungrokked, scratch = _joined(_of_decays(measured, "decay x steps")), measured["from scratch"]["transition"]
    predicted = [show(measured[name]["predicted_transition"], 0) for name in ("ungrokking", "from scratch")]
    return Check("the transition of ungrokking lies below D_crit, that from scratch above",
                 "ungrokking 800-1000, semi-grokking about 2000 of 12769",
                 f"D' {show(ungrokked, 0)}, predicted {predicted[0]}; D {show(scratch, 0)}, predicted {predicted[1]}; "
                 f"D_crit {CRITICAL_SIZE}",
                 None not in (ungrokked, scratch) and ungrokked["max"] < CRITICAL_SIZE < scratch["min"])


def _semi_grokking_checks(measured):
    """Middling test accuracies at the second of three times, and whether they are the same at the third."""
    (at, later), (tied_at, tied_later) = ([measured[name][f"test_accuracy_at_{time}"] for time in SCRATCH_TIMES[1:]]
                                          for name in ("from scratch, most middling", "tied costs, like starts"))
    size, paper = measured["from scratch"]["middling_size"], "a delayed transition to a middling test accuracy"
    stays = f"{SCRATCH_TIMES[2] // SCRATCH_TIMES[1]} times the steps move it by at most {STAYS:g}"
    yield Check(f"semi-grokking: from scratch, at some D > D_crit the test accuracy is middling, above {NEAR_CHANCE:g} "
                f"and below {LEARNT}", paper, f"{show(at)} at D {show(size, 0)}",
                _middling(at) and size["min"] > CRITICAL_SIZE)
    yield Check(f"semi-grokking: there it stays, {stays}", paper, f"{show(at)}, then {show(later)}", _stays(at, later))
    yield Check(f"tied costs, like starts: a middling test accuracy stays, {stays}", "(not given)",
                f"{show(tied_at)}, then {show(tied_later)}", _middling(tied_at) and _stays(tied_at, tied_later))


def _middling(accuracy):
    return accuracy["min"] > NEAR_CHANCE and accuracy["max"] < LEARNT


def _stays(accuracy, later):
    return max(abs(x - y) for x, y in zip(accuracy["values"], later["values"], strict=True)) <= STAYS


def _draw(cases, delays, ungrokked, scratch, title, path):
    """The four cases: accuracies, and scalars below them; then ungrokking, the delay and semi-grokking."""
    figure, axes = figures.new_figure(3, 4, (14, 9.6), title)
    for setting, (name, accuracies, scalars) in enumerate(zip(CASES, *axes[:2], strict=True)):
        for column in ("train", "test"):
            figures.draw_curve(accuracies, cases["records"], cases[column][:, setting].T, label=figures.LABELS[column],
                               **figures.SETS[column])
        for label, colour, s in zip(("s_gen", "s_mem"), (figures.GREEN, figures.PURPLE), cases["s"].swapaxes(0, 1),
                                    strict=True):
            figures.draw_curve(scalars, cases["records"], s[:, setting].T, color=colour, label=label)
        accuracies.set_title(name, fontsize=10)
        accuracies.set(xlabel="step", xscale="log", ylabel="accuracy", ylim=(-0.03, 1.05))
        scalars.set(xlabel="step", xscale="log", ylabel="scale of the logits", ylim=(-0.3, 8.3))
    styles = list(zip(DECAYS, (figures.ORANGE, figures.BLUE, figures.BLACK), ("-", "--", ":"), "os^", strict=True))
    *panels, delay, late = axes[2]
    for panel, (equal, accuracy) in zip(panels, ungrokked["curves"].items(), strict=True):
        for (decay, colour, line, _), runs in zip(styles, accuracy, strict=True):
            figures.draw_curve(panel, ungrokked["sizes"], runs.T, color=colour, linestyle=line, label=f"λ = {decay:g}")
        panel.set_title(f"ungrokking, equal {equal.replace('decay', 'λ')}", fontsize=10)
        panel.set(xlabel="training-set size D' after grokking", xscale="log")
        panel.set_xticks([100, 200, 300, 400, 500], ["100", "200", "300", "", "500"])
        panel.minorticks_off()
    for decay, colour, _, marker in styles:
        points = [one for name, one in delays["measured"].items() if f"decay {decay:g}," in name]
        delay.plot(*([one[quantity]["mean"] for one in points if one["ratio"]] for quantity in
                     ("predicted_step", "test_step")), marker, color=colour, markersize=6)
    delay.axline((1000, 1000), slope=1, color=figures.GREY, linewidth=1, linestyle="--", label="as predicted")
    delay.set_title("delay of grokking", fontsize=10)
    delay.set(xlabel="predicted step", ylabel="step at which test accuracy rises", xscale="log", yscale="log")
    for time, accuracy, colour, line in zip(SCRATCH_TIMES, scratch["accuracy"],
                                            (figures.SKY, figures.VERMILLION, figures.PURPLE), ("-", "--", ":"),
                                            strict=True):
        figures.draw_curve(late, scratch["sizes"], accuracy.T, color=colour, linestyle=line, label=f"λt = {time}")
    late.set_title("from scratch, t = learning rate x steps", fontsize=10)
    late.set_xlabel("training-set size D")
    for panel in (*panels, late):
        panel.set(ylabel="test accuracy", ylim=(-0.03, 1.05))
        panel.axvline(CRITICAL_SIZE, color=figures.GREY, linewidth=1, label="D_crit")
    figures.draw_legend(figure, axes[0, 0], axes[1, 0], *panels, delay, late)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("three_ingredients", __doc__, experiment, seeds=5, quick_seeds=2))
