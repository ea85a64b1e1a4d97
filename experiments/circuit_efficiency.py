"""Why a network groks: for the same norm, the rule gives larger logits than knowing by heart (Varma et al., 1).

What the paper found: of networks that know by heart alone, C_mem, the efficiency falls with the size D of the training
set, since every further example must be stored. Of networks that know the rule alone, C_gen, it does not depend on D.
The two curves cross at the critical size D_crit: a larger training set is cheaper to generalise from, a smaller one to
memorise.

A network knows by heart alone if all of its training labels are random (xi = 1): there is no rule. It knows the rule
alone if at least 95% of the norm of its logits lies within the trigonometric subspace, of examples that it was not
trained on (`analysis.trigonometric`). Trained on right labels of much of the data, networks come to that.

Efficiency is logit size z against the norm P of all parameters (`analysis.efficiency`). The two-layer quadratic network
is homogeneous of degree 3: compared is eta = z / P^3, which would not depend on decay if decay did no more than scale
the weights. The size at which the efficiency of C_mem has come down to the mean one of C_gen is held against the sizes
at which networks really turn, for as many e-folds: the midpoint of ungrokking (`experiments.ungrokking`), and that of
training from scratch on right labels. Any finite time holds those two apart, since a network keeps for a while what it
has; so they are told half way as well. (`experiments.semi_grokking` follows training from scratch for longer, at one
decay.)

How strong both circuits are over the training of a network that groks is told by its restricted and excluded logits
(`analysis.circuits`).

Trained is the two-layer quadratic network (p 53, N 256) with cross-entropy and AdamW at a learning rate of 1e-3, until
learning rate x weight decay x steps = 15; the paper has a transformer at p 113. The decays go less far than those of
ungrokking: in single trials at a decay of 5 the training loss stayed at 2, and no network came to know the rule alone.
The quick size has one seed, one decay, and half as many sizes of right labels.
"""

from __future__ import annotations

import dataclasses
import sys
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np

from analysis import figures
from analysis.circuits import circuit_strengths
from analysis.efficiency import crossing, efficiency, logit_size
from experiments import ungrokking
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, train_settings
from experiments.ungrokking import COMMON, E_FOLDS, EVALUATIONS, P, fraction, geometric, transition
from layers import Cache
from training import Run, TrainingConfig

DECAYS, QUICK_DECAYS = (0.5, 1.0, 2.0), (2.0,)
SIZES = {"C_mem": geometric(112, 7)[::2], "right labels": geometric(317, 7)}
QUICK_SIZES = {"C_mem": SIZES["C_mem"], "right labels": SIZES["right labels"][::2]}

PURE, IMPURE = 0.95, 0.1
"""The least share of the norm within the trigonometric subspace of C_gen, and the largest of C_mem."""

FLAT, NEAR, SETTLED, GROKKED = 1.1, 1.5, 0.05, 0.95
"""The factor by which an efficiency may vary and be the same, the one by which critical sizes may differ, the share by
which an efficiency may still move in the second half of the training, and the test accuracy of what has grokked."""

STYLES = {"C_mem": (figures.VERMILLION, "s", "--"), "C_gen": (figures.BLUE, "o", "-")}


def observe_circuits(run: Run) -> dict[str, Any]:
    """What a run's circuits are like over its training.

    Returns
    -------
    dict
        "summary", and of the history "step" and "test_accuracy". "strengths": at the first step, half way, at the end,
        and at some between at equal distances of log(step), the "step", the "size" of the logits on the training set,
        the "norm" of the parameters, their "efficiency" (of degree 3), and what `CircuitStrengths` has.
    """
    train, strengths = run.problem().train, []
    norms = {row["step"]: row["weight_norm"] for row in run.history.rows}
    steps = np.array(sorted(run.snapshots))
    near = steps[abs(np.log(steps[1:]) - np.log(np.geomspace(steps[1], steps[-1], 12))[:, None]).argmin(axis=1) + 1]
    for step in sorted({0, run.step // 2, run.step, *near.tolist()}):
        network = run.network(step)
        size = float(logit_size(network.forward(train.inputs, Cache()), train.labels))
        strengths.append({"step": step, "size": size, "norm": norms[step],
                          "efficiency": efficiency(size, norms[step], 3),
                          **vars(circuit_strengths(network, train, run.config.p, run.config.operation))})
    return {"summary": run.summary(), "strengths": strengths,
            "history": run.history.columns("step", "test_accuracy")}


def experiment(options: Options) -> Outcome:
    """Train networks that know by heart and networks that know the rule, and hold their efficiencies against it."""
    decays, sizes = (QUICK_DECAYS, QUICK_SIZES) if options.quick else (DECAYS, SIZES)
    settings = {_name(kind, decay, size): setting(kind, decay, size)
                for decay in decays for kind in sizes for size in sizes[kind]}
    trained = train_settings(settings, observe_circuits, options)
    runs = {decay: {kind: {size: trained[_name(kind, decay, size)] for size in sizes[kind]} for kind in sizes}
            for decay in decays}
    network = (ungrokking.QUICK if options.quick else ungrokking.NETWORKS)["quadratic"]
    networks = {"quadratic": dataclasses.replace(network, decays=decays)}
    ungrokked = dict(zip(decays, ungrokking.ungrok(networks, options).values(), strict=True))

    measured = {name: _measured(group) for name, group in trained.items()}
    efficiencies = {decay: Efficiencies(kinds) for decay, kinds in runs.items()}
    checks = []
    for decay, kinds in runs.items():
        found = {"crossing": efficiencies[decay].crossing()} | {
            f"{name}{', half way' if half_way else ''}": transition(by_size, half_way)
            for name, by_size in (("ungrokking", ungrokked[decay]), ("from scratch", kinds["right labels"]))
            for half_way in (False, True)}
        measured[f"decay {decay:g}"] = found | {"exponent of C_mem": exponent(efficiencies[decay].memorising),
                                                "exponent of C_gen": exponent(efficiencies[decay].generalising),
                                                "efficiency of C_gen": spread(efficiencies[decay].level)}
        checks += [*_pure_checks(decay, kinds, efficiencies[decay]), *_curve_checks(decay, efficiencies[decay]),
                   *_size_checks(decay, found), _strength_check(decay, kinds["right labels"])]
    if len(decays) > 1:
        checks.append(_same_at_decays_check(efficiencies))
    settings = described(settings) | {f"ungrokking: {name}": one
                                      for name, one in ungrokking.settings_of(networks).items()}
    return Outcome(settings, measured, checks, [_draw(runs, efficiencies, ungrokked, measured, options)])


def _name(kind, decay, size):
    return f"{kind}, decay {decay:g}, D {size}"


def setting(kind: str, decay: float, size: int) -> TrainingConfig:
    """A network that learns `size` pairs, of random labels ("C_mem") or of right ones ("right labels")."""
    steps = round(E_FOLDS / (COMMON.learning_rate * decay))
    return dataclasses.replace(COMMON, width=256, alpha=fraction(size), xi=1.0 if kind == "C_mem" else 0.0,
                               weight_decay=decay, steps=steps, eval_every=steps // EVALUATIONS,
                               snapshots=EVALUATIONS + 1)


class Efficiencies:
    """The efficiency of both circuits at one decay.

    Parameters
    ----------
    runs : dict of str to dict of int to list
        For each kind and size what `observe_circuits` keeps at each seed.

    Attributes
    ----------
    memorising, generalising : dict of int to list of float
        eta at each size, over seeds. Of C_gen at those sizes at which the network knows the rule alone at every seed.
    level : list of float
        The mean eta of C_gen over sizes, of each seed; None in place of it where there is no such size.
    """

    def __init__(self, runs):
        self.memorising, labelled = ({size: [run["strengths"][-1]["efficiency"] for run in group]
                                      for size, group in runs[kind].items()} for kind in ("C_mem", "right labels"))
        self.generalising = {size: etas for size, etas in labelled.items()
                             if all(run["strengths"][-1]["share"] >= PURE for run in runs["right labels"][size])}
        seeds = zip(*self.generalising.values(), strict=True)
        self.level = [fmean(etas) for etas in seeds] or [None]

    def crossing(self) -> dict[str, Any] | None:
        """The spread of the size at which the curves cross; None unless they do at every seed."""
        if None in self.level:
            return None
        return spread([crossing(list(self.memorising), etas, level)
                       for etas, level in zip(zip(*self.memorising.values(), strict=True), self.level, strict=True)])


def exponent(efficiencies: dict[int, list[float]]) -> dict[str, Any] | None:
    """The spread over seeds of b in eta = a D^b; None of less than two sizes."""
    if len(efficiencies) < 2:
        return None
    return spread([float(np.polyfit(np.log(list(efficiencies)), np.log(etas), 1)[0])
                   for etas in zip(*efficiencies.values(), strict=True)])


def _measured(runs):
    ends = [run["strengths"][-1] for run in runs]
    names = ("size", "norm", "efficiency", "share", "generalising", "memorising", "restricted_loss", "excluded_loss")
    return ({name: spread([end[name] for end in ends]) for name in names}
            | {name: spread([run["summary"][name] for run in runs]) for name in ("train_accuracy", "test_accuracy")}
            | {"moved": spread([moved(run["strengths"]) for run in runs])})


def moved(strengths: list[dict[str, Any]]) -> float:
    """By what share the efficiency has changed since half of the steps."""
    last = strengths[-1]
    middle = next(one for one in strengths if one["step"] == last["step"] // 2)
    return abs(last["efficiency"] / middle["efficiency"] - 1)


def _pure_checks(decay, runs, efficiencies):
    """That the networks are what they are taken for."""
    known = [run for group in runs["C_mem"].values() for run in group]
    train, share = (spread([of(run) for run in known]) for of in (
        lambda run: run["summary"]["train_accuracy"], lambda run: run["strengths"][-1]["share"]))
    yield Check(f"decay {decay:g}: C_mem has train accuracy 1 and a trigonometric share below {IMPURE}",
                "trained on random labels", f"train accuracy {show(train)}, share {show(share)}",
                train["min"] == 1 and share["max"] < IMPURE)
    shares = {size: spread([run["strengths"][-1]["share"] for run in group])
              for size, group in runs["right labels"].items()}
    yield Check(f"decay {decay:g}: networks on right labels of most data come to know the rule alone (share at least "
                f"{PURE})", "they do", ", ".join(f"{show(one, 2)} (D {size})" for size, one in shares.items()),
                bool(efficiencies.generalising))
    both = known + [run for size in efficiencies.generalising for run in runs["right labels"][size]]
    shares = [moved(run["strengths"]) for run in both]
    yield Check(f"decay {decay:g}: in the second half of the training no efficiency moves by more than {SETTLED:.0%}",
                "read at convergence", f"{show(spread(shares))}", max(shares) <= SETTLED)


def _curve_checks(decay, efficiencies):
    falling = [fmean(etas) for etas in efficiencies.memorising.values()]
    yield Check(f"decay {decay:g}: the efficiency of C_mem falls with D, from each size to the next", "it falls",
                f"{falling[0]:.2e} to {falling[-1]:.2e}, as D^{show(exponent(efficiencies.memorising), 2)}",
                all(after < before for before, after in pairwise(falling)))
    flat, sizes = [fmean(etas) for etas in efficiencies.generalising.values()], list(efficiencies.generalising)
    wide = bool(sizes) and sizes[-1] >= 2 * sizes[0]
    found = ", ".join(f"{eta:.2e} (D {size})" for size, eta in zip(sizes, flat, strict=True))
    yield Check(f"decay {decay:g}: over a factor of 2 in D, that of C_gen varies by a factor of at most {FLAT}",
                "it is flat", (found or "there is no C_gen") + (f", as D^{show(exponent(efficiencies.generalising), 2)}"
                                                               if len(sizes) > 1 else ""),
                wide and max(flat) <= FLAT * min(flat))


def _same_at_decays_check(efficiencies):
    """Whether decay does no more to C_mem than to scale its weights."""
    ratios = {}
    for size in next(iter(efficiencies.values())).memorising:
        etas = [fmean(one.memorising[size]) for one in efficiencies.values()]
        ratios[size] = max(etas) / min(etas)
    return Check(f"the efficiency of C_mem is the same at all decays within a factor {FLAT}, at every D",
                 "(presupposed)", ", ".join(f"{ratio:.2f} (D {size})" for size, ratio in ratios.items()),
                 max(ratios.values()) <= FLAT)


def _size_checks(decay, found):
    """The three critical sizes against each other, and whether time alone holds the last two apart."""
    sizes = {name: one if name == "crossing" else one["midpoint"] for name, one in found.items()}
    told = {name: show(size, 0) for name, size in sizes.items()}
    for name, paper in (("ungrokking", "below D_crit a network ungroks"), ("from scratch", "above D_crit it groks")):
        pair = sizes["crossing"], sizes[name]
        yield Check(f"decay {decay:g}: the curves cross within a factor {NEAR} of the midpoint, {name}", paper,
                    f"{told['crossing']} and {told[name]}",
                    None not in pair and max(one["mean"] for one in pair) <= NEAR * min(one["mean"] for one in pair))
    pair = sizes["ungrokking"], sizes["from scratch"]
    yield Check(f"decay {decay:g}: a network ungroks at a smaller size than it groks at from scratch",
                "800 to 1000 against about 2000 of 12769", f"{told['ungrokking']} and {told['from scratch']}",
                None not in pair and pair[0]["max"] < pair[1]["min"])
    before = sizes["ungrokking, half way"], sizes["from scratch, half way"]
    gaps = [None if None in two else two[1]["mean"] / two[0]["mean"] for two in (before, pair)]
    yield Check(f"decay {decay:g}: from half of the steps on those two come no nearer to each other",
                "the critical sizes differ", "a factor of {}, half way {}".format(
                    *("-" if gap is None else f"{gap:.2f}" for gap in reversed(gaps))),
                None not in gaps and gaps[1] >= gaps[0])


def first_to_grok(by_size: dict[int, list[dict[str, Any]]]) -> int | None:
    """The smallest size at which the networks of all seeds end with a test accuracy of at least 0.95."""
    return next((size for size, group in by_size.items()
                 if all(run["summary"]["test_accuracy"] >= GROKKED for run in group)), None)


def _strength_check(decay, by_size):
    """Where networks have to grok, just above the critical size: which circuit is learnt first, and which is left."""
    size = first_to_grok(by_size)
    claim = f"decay {decay:g}: C_mem is learnt first, and given up for C_gen"
    if size is None:
        return Check(claim, "fast and slow circuits", "no size at which all seeds grok", False)
    peaks = [max(run["strengths"], key=lambda one: one["memorising"]) for run in by_size[size]]
    ends = [run["strengths"][-1] for run in by_size[size]]
    strengths = [spread([one[name] for one in at]) for at in (peaks, ends) for name in ("memorising", "generalising")]
    return Check(f"{claim} (D {size}: memorising and generalising strength where the first is largest, and at the end)",
                 "fast and slow circuits", "{} and {}, then {} and {}".format(*(show(one, 1) for one in strengths)),
                 all(peak["generalising"] < peak["memorising"] and end["memorising"] < peak["memorising"] / 2
                     and end["generalising"] > end["memorising"] for peak, end in zip(peaks, ends, strict=True)))


def _draw(runs, efficiencies, ungrokked, measured, options):
    """Size against norm, and where networks turn, at all decays; at each, efficiencies and circuits over training."""
    title = (f"two-layer quadratic network, p = {P}, N = 256, cross-entropy, decay × rate × steps = {E_FOLDS}, "
             f"{options.told_seeds}")
    figure, axes = figures.new_figure(2, 1 + len(runs), (4.6 * (1 + len(runs)), 8.4), title)
    (plane, *curves), (turning, *strengths) = axes
    _draw_plane(plane, runs, efficiencies)
    for (decay, kinds), line in zip(runs.items(), ("-", "--", ":"), strict=False):
        for name, by_size, color in (("from scratch", kinds["right labels"], figures.BLACK),
                                     ("ungrokking", ungrokked[decay], figures.ORANGE)):
            accuracies = np.array([[run["summary"]["test_accuracy"] for run in group] for group in by_size.values()])
            figures.draw_curve(turning, list(by_size), accuracies.T, color=color, linestyle=line,
                               label=f"{name}, decay {decay:g}")
    turning.set(xlabel="size D of the training set", ylabel="final test accuracy", ylim=(-0.03, 1.05))
    for (decay, kinds), panel, over_steps in zip(runs.items(), curves, strengths, strict=True):
        _draw_efficiencies(panel, efficiencies[decay], measured[f"decay {decay:g}"])
        panel.set_title(f"weight decay {decay:g}", fontsize=10)
        _draw_strengths(over_steps, kinds["right labels"])
    for panel in (turning, *curves):
        panel.set_xscale("log", base=2, subs=())
        panel.xaxis.set_major_formatter("{x:g}")
    for panel in (plane, turning):
        panel.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    for panel in curves:
        panel.legend(fontsize=8, frameon=False, loc="upper right")
    return figures.save(figure, options.out / "circuit_efficiency.png")


def _draw_plane(plane, runs, efficiencies):
    """Logit size against norm: a marker for each decay; a line joins the networks of one D, a grey one is z ~ P^3."""
    for place, (decay, kinds) in enumerate(runs.items()):
        for name, by_size in (("C_mem", kinds["C_mem"]),
                              ("C_gen", {size: kinds["right labels"][size]
                                         for size in efficiencies[decay].generalising})):
            ends = [run["strengths"][-1] for group in by_size.values() for run in group]
            if ends:
                plane.plot([end["norm"] for end in ends], [end["size"] for end in ends], "os^"[place % 3],
                           color=STYLES[name][0], markersize=5, markerfacecolor="none",
                           label=f"{name}, decay {decay:g}")
    for size in next(iter(runs.values()))["C_mem"]:
        means = [[fmean(run["strengths"][-1][of] for run in kinds["C_mem"][size]) for of in ("norm", "size")]
                 for kinds in runs.values()]
        plane.plot(*zip(*means, strict=True), color=STYLES["C_mem"][0], linewidth=0.8)
        plane.annotate(f"D {size}", max(means), xytext=(4, 4), textcoords="offset points", fontsize=8)
    (low, high), (bottom, top) = plane.get_xlim(), plane.get_ylim()
    middle = (low * high) ** 0.5, (bottom * top) ** 0.5
    norms = np.geomspace(low, high, 50)
    cubes = middle[1] * (norms / middle[0]) ** 3
    on = (cubes > bottom) & (cubes < top)
    plane.plot(norms[on], cubes[on], color=figures.GREY, linewidth=1, linestyle="--", label="z ~ P³")
    plane.set(xlabel="norm P of the parameters", ylabel="logit size z")


def _draw_efficiencies(panel, efficiencies, found):
    for name, etas in (("C_mem", efficiencies.memorising), ("C_gen", efficiencies.generalising)):
        color, marker, line = STYLES[name]
        if etas:
            figures.draw_curve(panel, list(etas), np.array(list(etas.values())).T, color=color, marker=marker,
                               markersize=4, linestyle=line, label=name)
    for name, style in (("crossing", ":"), ("ungrokking", "-."), ("from scratch", "--")):
        size = found[name] if name == "crossing" else found[name]["midpoint"]
        if size is not None:
            panel.axvline(size["mean"], color=figures.GREY, linewidth=1.2, linestyle=style,
                          label=f"{name}: {size['mean']:.0f}")
    panel.set(xlabel="size D of the training set", ylabel="efficiency z / P³", yscale="log")


def _draw_strengths(panel, by_size):
    size = first_to_grok(by_size)
    if size is None:
        panel.set_title("no size at which all seeds grok", fontsize=10)
        return
    for place, run in enumerate(by_size[size]):
        for name, label in (("memorising", "C_mem"), ("generalising", "C_gen")):
            color, marker, line = STYLES[label]
            panel.plot([one["step"] for one in run["strengths"][1:]], [one[name] for one in run["strengths"][1:]],
                       color=color, marker=marker, markersize=3, linestyle=line, linewidth=1.2,
                       label=None if place else f"{name} strength")
    panel.set_title(f"from scratch, D = {size}", fontsize=10)
    panel.set(xlabel="step", ylabel="logit size of the circuit")
    panel.set_xscale("log", subs=(2, 5))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("{x:g}")
    panel.tick_params(which="minor", labelsize=8)
    panel.legend(fontsize=8, frameon=False)


if __name__ == "__main__":
    sys.exit(run_experiment("circuit_efficiency", __doc__, experiment, seeds=3, quick_seeds=1))
