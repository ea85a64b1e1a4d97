"""The two-layer network with one thing changed at a time (Doshi et al., appendices).

What the paper found, each change seen along weight decay:

    x^2 -> ReLU           needs more weight decay, and has no forgetting phase
    MSE -> cross-entropy  inverts only in a narrow band of weight decay
    m + n -> m n, m - n   behave almost identically
    N 500 -> 5000         no partial inversion, smaller coexistence

Multiplication is addition of discrete logarithms (`analysis.multiplicative`): the neurons of a network that multiplies
should be periodic along the logarithms, and look like noise along the residues. So the IPR of every network is measured
in both orders; without the constant term, which is all that collapsed networks have. A pair with a zero has no
logarithm, and the label 0: the test accuracy on these pairs is measured by itself.

Trained are networks with the settings of the reference code (p 97, N 500, alpha 0.5, xi 0.35, full batch) for 1000
steps, those with N 5000 for 500. The paper has the default network forget at decay 20, in more than 1000 steps; at 25
it takes less. The quick size has one seed, fewer decays and half the steps (N 5000: 200), too few for ReLU to invert
fully.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis import figures
from analysis.ipr import mean_ipr
from analysis.multiplicative import by_logarithm
from analysis.phases import COEXISTENCE, FORGETTING, FULL_INVERSION, LEARNT, PARTIAL_INVERSION
from experiments.common import Check, Options, Outcome, described, run_experiment, spreads, train_settings
from layers import Cache
from training import Run, TrainingConfig


@dataclass(frozen=True)
class Variant:
    """A change of the network or of its task, and the weight decays it is seen at."""

    title: str
    change: dict[str, Any]
    decays: Sequence[float]
    quick_decays: Sequence[float]
    steps: int = 1000
    quick_steps: int = 500


REFERENCE_PHASES = {0.0: COEXISTENCE, 5.0: PARTIAL_INVERSION, 15.0: FULL_INVERSION}
"""How the reference code's network for addition ends at the decays of fig. 1."""

XI = 0.35
AXIS, PAPER_AXIS = (0.0, 2.0, 5.0, 10.0, 15.0, 25.0), tuple(REFERENCE_PHASES)
VARIANTS = {
    "default": Variant("m + n, x², MSE, N = 500", {}, AXIS, (0.0, 5.0, 15.0, 25.0)),
    "multiplication": Variant("m n", {"operation": "multiply"}, PAPER_AXIS, PAPER_AXIS),
    "subtraction": Variant("m − n", {"operation": "subtract"}, PAPER_AXIS, PAPER_AXIS),
    "ReLU": Variant("ReLU", {"activation": "relu"}, (*AXIS, 50.0), (0.0, 15.0, 25.0)),
    "cross-entropy": Variant("cross-entropy", {"loss": "cross-entropy"}, AXIS, PAPER_AXIS),
    "width 5000": Variant("N = 5000", {"width": 5000}, AXIS[:-1], (5.0,), 500, 200),
}
MEASURED = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "test_accuracy_with_zero", "mean_ipr",
            "mean_ipr_without_constant", "mean_ipr_along_logarithms", "weight_norm")
ORDERS = {
    "mean_ipr_without_constant": {"color": figures.BLACK, "marker": "o", "label": "IPR along the residues"},
    "mean_ipr_along_logarithms": {"color": figures.ORANGE, "marker": "s", "linestyle": "--",
                                  "label": "IPR along their logarithms"},
}
"""The two orders of the residues that the IPR is taken in, and how they are drawn."""

SHORT = {"coexistence": "coex-\nists", "partial inversion": "inverts\npartly", "full inversion": "inverts\nfully",
         "memorization": "memo-\nrizes", "forgetting": "for-\ngets", "confusion": "con-\nfused"}
"""The phases as they stand below the decays in the figure."""


def experiment(options: Options) -> Outcome:
    """Train every variant along its decays, and hold each against what the paper says of it."""
    decays = {name: variant.quick_decays if options.quick else variant.decays for name, variant in VARIANTS.items()}
    settings = {_name(name, decay): TrainingConfig(
        **variant.change, xi=XI, weight_decay=decay, eval_every=50,
        steps=variant.quick_steps if options.quick else variant.steps)
        for name, variant in VARIANTS.items() for decay in decays[name]}
    runs = train_settings(settings, final_state, options)
    measured = {name: {**spreads(group, MEASURED), "phase": [run["phase"] for run in group]}
                for name, group in runs.items()}
    along = {name: {decay: measured[_name(name, decay)] for decay in axis} for name, axis in decays.items()}
    checks = [*(_same_phases_check(name, along[name]) for name in ("default", "multiplication", "subtraction")),
              _logarithms_check(along["multiplication"]), *_relu_checks(along["default"], along["ReLU"]),
              _band_check(along["default"], along["cross-entropy"]),
              *_width_checks(along["default"], along["width 5000"])]
    title = f"p = 97, α = 0.5, ξ = {XI:g}, full batch; N = 500 but for the last panel, {options.told_seeds}"
    return Outcome(described(settings), measured, checks, [_draw(along, title, options.out / "variants.png")])


def final_state(run: Run) -> dict[str, Any]:
    """The summary of a run, but for its IPR, which is there in both orders, and the test accuracy on pairs with a zero.

    (The summary's own IPR is along the logarithms where the operation has them.)
    """
    network, test = run.network(), run.problem().test
    zero = (test.inputs == 0).any(axis=1)
    right = network.forward(test.inputs[zero], Cache()).argmax(axis=-1) == test.labels[zero]
    neurons = network.neurons()
    reordered = [by_logarithm(x) for x in neurons]
    return {**run.summary(), "test_accuracy_with_zero": float(right.mean()), "mean_ipr": float(mean_ipr(*neurons)),
            "mean_ipr_without_constant": float(mean_ipr(*neurons, constant=False)),
            "mean_ipr_along_logarithms": float(mean_ipr(*reordered, constant=False))}


def _name(variant, decay):
    return f"{variant}, decay {decay:g}"


def decays_with(along: dict[float, dict[str, Any]], *phases: str) -> list[float]:
    """The decays at which every seed ends in one of some phases.

    Parameters
    ----------
    along : dict of float to dict
        What was measured at each decay; "phase" is that of each seed.
    *phases : str
    """
    return [decay for decay, measured in along.items() if set(measured["phase"]) <= set(phases)]


def _told(decays):
    return ", ".join(f"{decay:g}" for decay in decays) or "none"


def _same_phases_check(name, along):
    """The phase of every seed at the decays of the reference code."""
    ends = [set(along[decay]["phase"]) for decay in REFERENCE_PHASES]
    return Check(f"{name}: phases at decay {_told(REFERENCE_PHASES)}", ", ".join(REFERENCE_PHASES.values()),
                 ", ".join("/".join(sorted(end)) for end in ends),
                 all(end == {phase} for end, phase in zip(ends, REFERENCE_PHASES.values(), strict=True)))


def _logarithms_check(along):
    """Of a network that multiplies: its IPR along the logarithms against that along the residues."""
    orders = [[measured[order] for order in ORDERS] for measured in along.values()]
    return Check(f"multiplication: the IPR is higher along logarithms than along residues, at decay {_told(along)}",
                 "not said; what is periodic in m + n is so in log m + log n",
                 ", ".join(f"{logarithms['mean']:.2f} and {residues['mean']:.2f}" for residues, logarithms in orders),
                 all(logarithms["min"] > residues["max"] for residues, logarithms in orders))


def _relu_checks(square, relu):
    generalising = [[decay for decay, measured in along.items() if measured["test_accuracy"]["min"] >= LEARNT]
                    for along in (square, relu)]
    inverting = [decays_with(along, FULL_INVERSION) for along in (square, relu)]
    for what, (with_square, with_relu) in (("generalise", generalising), ("invert fully", inverting)):
        yield Check(f"ReLU needs more decay than x^2 to {what}", "needs more weight decay",
                    f"x^2 at {_told(with_square)}; ReLU at {_told(with_relu)}, of {_told(relu)}",
                    bool(with_square) and bool(with_relu) and min(with_relu) > min(with_square))
    forgetting = [[decay for decay, measured in along.items() if FORGETTING in measured["phase"]]
                  for along in (square, relu)]
    yield Check("ReLU forgets at no decay, x^2 does", "no forgetting phase",
                f"x^2 at {_told(forgetting[0])}; ReLU at {_told(forgetting[1])}, of {_told(relu)}",
                bool(forgetting[0]) and not forgetting[1])


def _band_check(mse, cross_entropy):
    """Where the networks invert, among the decays that both losses are seen at."""
    common = [decay for decay in mse if decay in cross_entropy]
    with_mse, with_cross_entropy = ([decay for decay in decays_with(along, PARTIAL_INVERSION, FULL_INVERSION)
                                     if decay in common] for along in (mse, cross_entropy))
    return Check(f"cross-entropy inverts, and at fewer of the decays {_told(common)} than MSE",
                 "inversion only in a narrow band of weight decay",
                 f"MSE at {_told(with_mse)}; cross-entropy at {_told(with_cross_entropy)}",
                 0 < len(with_cross_entropy) < len(with_mse))


def _width_checks(narrow, wide):
    """Partial inversion and coexistence, among the decays that both widths are seen at."""
    common = {decay: measured for decay, measured in narrow.items() if decay in wide}
    partial = [[decay for decay, measured in along.items() if PARTIAL_INVERSION in measured["phase"]]
               for along in (common, wide)]
    yield Check(f"N 5000 inverts partially at none of the decays {_told(wide)}, N 500 does", "no partial inversion",
                f"N 500 at {_told(partial[0])}; N 5000 at {_told(partial[1])}", bool(partial[0]) and not partial[1])
    coexisting = [decays_with(along, COEXISTENCE) for along in (common, wide)]
    yield Check(f"N 5000 coexists at fewer of the decays {_told(wide)} than N 500", "smaller coexistence",
                f"N 500 at {_told(coexisting[0])}; N 5000 at {_told(coexisting[1])}",
                len(coexisting[1]) < len(coexisting[0]))


def _draw(along, title, path):
    """A column for each variant: the final accuracies above, with the phases below them, and the IPR."""
    figure, axes = figures.new_figure(2, len(along), (3.2 * len(along), 6.6), title, sharey="row")
    for (name, at), (accuracies, ipr) in zip(along.items(), axes.T, strict=True):
        places = range(len(at))  # the decays at equal distances, with room for their phases
        for column in ("train", "test", "corrupted"):
            values = [measured[f"{column}_accuracy"]["values"] for measured in at.values()]
            figures.draw_curve(accuracies, places, np.transpose(values), label=figures.LABELS[column], marker="o",
                               markersize=4, **figures.SETS[column])
        accuracies.axhline(1 - XI, color=figures.GREY, linewidth=1, linestyle=(0, (6, 3)), zorder=1, label="1 − ξ")
        for order, style in ORDERS.items():
            values = [measured[order]["values"] for measured in at.values()]
            figures.draw_curve(ipr, places, np.transpose(values), markersize=4, **style)
        accuracies.set_title(VARIANTS[name].title, fontsize=10)
        labels = [f"{decay:g}\n" + "\nor\n".join(sorted({SHORT[phase] for phase in measured["phase"]}))
                  for decay, measured in at.items()]
        accuracies.set_xticks(places, labels, fontsize=7.5)
        accuracies.set(ylim=(-0.03, 1.05), xlim=(-0.5, len(at) - 0.5))
        ipr.set_xticks(places, [f"{decay:g}" for decay in at])
        ipr.set(xlabel="weight decay", ylim=(-0.03, 1.05), xlim=(-0.5, len(at) - 0.5))
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("mean IPR, constant term left out")
    figures.draw_legend(figure, axes[0, 0], axes[1, 0])
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("variants", __doc__, experiment, seeds=3, quick_seeds=1))
