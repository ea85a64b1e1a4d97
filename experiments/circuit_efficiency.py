"""Why a network groks: for the same norm, the rule gives larger logits than knowing by heart (Varma et al., 1).

What the paper found: of networks that know by heart alone, C_mem, the efficiency falls with the size D of the training
set, since every further example must be stored. Of networks that know the rule alone, C_gen, it does not depend on D.
The two curves cross at the critical size D_crit: a larger training set is cheaper to generalise from, a smaller one to
memorise.

A network knows by heart alone if all of its training labels are random (xi = 1): there is no rule. It knows the rule
alone if at least 95% of the norm of its logits lies within the trigonometric subspace (`analysis.trigonometric`), which
networks come to that are trained on right labels of much of the data.

Efficiency is logit size z against the norm P of all parameters (`analysis.efficiency`). The two-layer quadratic network
is homogeneous of degree 3: compared is eta = z / P^3, which would not depend on decay if decay did no more than scale
the weights. Where the curves cross, a straight line through log(eta) of C_mem over log(D) against the mean eta of
C_gen, is held against the sizes at which networks really turn: the midpoint of ungrokking (`experiments.ungrokking`),
at the same decay; and that of training from scratch on right labels, by the same networks of which those that come to
know the rule alone are the C_gen.

How strong both circuits are over the training of a network that groks is told by its restricted and excluded logits
(`analysis.circuits`).

Trained is the two-layer quadratic network (p 53, N 256) with cross-entropy and AdamW at a learning rate of 1e-3, until
learning rate x weight decay x steps = 15; the paper has a transformer at p 113. The quick size has one seed, one decay,
and half as many sizes of right labels.
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
from analysis.transition import need_scipy
from experiments import ungrokking
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, train_settings
from experiments.ungrokking import COMMON, P, fraction, geometric, transition
from layers import Cache
from training import Run, TrainingConfig

DEGREE = 3
"""Of homogeneity: the logits of the two-layer quadratic network grow with the cube of its weights."""

E_FOLDS = 15
DECAYS, QUICK_DECAYS = (0.5, 1.5, 5.0), (1.5,)
SIZES = {"C_mem": geometric(112, 7)[::2], "right labels": geometric(317, 7)}
QUICK_SIZES = {"C_mem": SIZES["C_mem"], "right labels": SIZES["right labels"][::2]}

PURE, IMPURE = 0.95, 0.1
"""The least share of the norm within the trigonometric subspace of C_gen, and the largest of C_mem."""

FLAT, NEAR, SETTLED, GROKKED = 1.1, 1.5, 0.05, 0.95
"""The factor by which the efficiency of C_gen may vary with D, the one by which critical sizes may differ, the share by
which an efficiency may still move in the second half of the training, and the test accuracy of what has grokked."""

SNAPSHOTS = 12
STYLES = {"C_mem": (figures.VERMILLION, "s", "--"), "C_gen": (figures.BLUE, "o", "-")}


def observe_circuits(run: Run) -> dict[str, Any]:
    """What a run's circuits are like at its snapshots.

    Returns
    -------
    dict
        "summary". "strengths": for each snapshot its "step", the "size" of the logits on the training set, the "norm"
        of the parameters, their "efficiency" (of degree 3), "test_accuracy", and what `CircuitStrengths` has.
    """
    train, strengths = run.problem().train, []
    rows = {row["step"]: row for row in run.history.rows}
    for step in sorted(run.snapshots):
        network = run.network(step)
        size = float(logit_size(network.forward(train.inputs, Cache()), train.labels))
        norm = rows[step]["weight_norm"]
        strengths.append({"step": step, "size": size, "norm": norm, "efficiency": efficiency(size, norm, 3),
                          "test_accuracy": rows[step]["test_accuracy"],
                          **vars(circuit_strengths(network, train, run.config.p, run.config.operation))})
    return {"summary": run.summary(), "strengths": strengths}


def experiment(options: Options) -> Outcome:
    """Train networks that know by heart and networks that know the rule, and hold their efficiencies against it."""
    need_scipy()
    decays, sizes = (QUICK_DECAYS, QUICK_SIZES) if options.quick else (DECAYS, SIZES)
    settings = {_name(kind, decay, size): setting(kind, decay, size)
                for decay in decays for kind in sizes for size in sizes[kind]}
    trained = train_settings(settings, observe_circuits, options)
    runs = {decay: {kind: {size: trained[_name(kind, decay, size)] for size in sizes[kind]} for kind in sizes}
            for decay in decays}
    network = (ungrokking.QUICK if options.quick else ungrokking.NETWORKS)["quadratic"]
    ungrokked = ungrokking.ungrok({"quadratic": dataclasses.replace(network, decays=decays)}, options)

    measured = {name: _measured(group) for name, group in trained.items()}
    checks = []
    for decay, by_size in zip(decays, ungrokked.values(), strict=True):
        efficiencies = Efficiencies(runs[decay])
        sizes_found = {"crossing": efficiencies.crossing(), "ungrokking": transition(by_size),
                       "from scratch": transition(runs[decay]["right labels"])}
        measured[f"decay {decay:g}"] = {"exponent of C_mem": efficiencies.exponent(),
                                        "efficiency of C_gen": spread(efficiencies.level)} | sizes_found
        checks += [*_pure_checks(decay, runs[decay], efficiencies), *_curve_checks(decay, efficiencies),
                   *_size_checks(decay, sizes_found), _strength_check(decay, runs[decay]["right labels"])]
    return Outcome(described(settings), measured, checks, [_draw(runs, measured, options)])


def _name(kind, decay, size):
    return f"{kind}, decay {decay:g}, D {size}"


def setting(kind: str, decay: float, size: int) -> TrainingConfig:
    """A network that learns `size` pairs, of random labels ("C_mem") or of right ones ("right labels")."""
    steps = round(E_FOLDS / (COMMON.learning_rate * decay))
    return dataclasses.replace(COMMON, width=256, alpha=fraction(size), xi=1.0 if kind == "C_mem" else 0.0,
                               weight_decay=decay, steps=steps, eval_every=steps // 100, snapshots=SNAPSHOTS)


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

    def exponent(self):
        """The spread of b in eta = a D^b of C_mem."""
        return spread([float(np.polyfit(np.log(list(self.memorising)), np.log(etas), 1)[0])
                       for etas in zip(*self.memorising.values(), strict=True)])

    def crossing(self):
        """The spread of the size at which the curves cross; None where there is none."""
        if None in self.level:
            return None
        return spread([crossing(list(self.memorising), etas, level)
                       for etas, level in zip(zip(*self.memorising.values(), strict=True), self.level, strict=True)])


def _measured(runs):
    ends = [run["strengths"][-1] for run in runs]
    names = ("size", "norm", "efficiency", "share", "generalising", "memorising", "restricted_loss", "excluded_loss")
    return ({name: spread([end[name] for end in ends]) for name in names}
            | {name: spread([run["summary"][name] for run in runs]) for name in ("train_accuracy", "test_accuracy")}
            | {"moved": spread([moved(run["strengths"]) for run in runs])})


def moved(strengths: list[dict[str, Any]]) -> float:
    """By what share the efficiency has changed since the last snapshot in the first half of the training."""
    last = strengths[-1]
    middle = max((one for one in strengths if one["step"] <= last["step"] / 2), key=lambda one: one["step"])
    return abs(last["efficiency"] / middle["efficiency"] - 1)


def _pure_checks(decay, runs, efficiencies):
    """That the networks are what they are taken for."""
    known = [run for group in runs["C_mem"].values() for run in group]
    train, share = (spread([of(run) for run in known]) for of in (
        lambda run: run["summary"]["train_accuracy"], lambda run: run["strengths"][-1]["share"]))
    yield Check(f"decay {decay:g}: C_mem has train accuracy 1 and a trigonometric share below {IMPURE}",
                "trained on random labels", f"train accuracy {show(train)}, share {show(share)}",
                train["min"] == 1 and share["max"] < IMPURE)
    yield Check(f"decay {decay:g}: networks on right labels come to know the rule alone (share at least {PURE})",
                "those on much of the data do",
                "at D " + (", ".join(map(str, efficiencies.generalising)) or "none"), bool(efficiencies.generalising))
    both = known + [run for size in efficiencies.generalising for run in runs["right labels"][size]]
    shares = [moved(run["strengths"]) for run in both]
    yield Check(f"decay {decay:g}: in the second half of the training no efficiency moves by more than {SETTLED:.0%}",
                "read at convergence", f"{show(spread(shares))}", max(shares) <= SETTLED)


def _curve_checks(decay, efficiencies):
    falling = [fmean(etas) for etas in efficiencies.memorising.values()]
    yield Check(f"decay {decay:g}: the efficiency of C_mem falls with D, from each size to the next", "it falls",
                f"{falling[0]:.2e} to {falling[-1]:.2e}, as D^{show(efficiencies.exponent(), 2)}",
                all(after < before for before, after in pairwise(falling)))
    flat = [fmean(etas) for etas in efficiencies.generalising.values()]
    yield Check(f"decay {decay:g}: the efficiency of C_gen varies with D by a factor of at most {FLAT}", "it is flat",
                f"{min(flat):.2e} to {max(flat):.2e} over {len(flat)} sizes" if flat else "there is no C_gen",
                len(flat) > 1 and max(flat) <= FLAT * min(flat))


def _size_checks(decay, found):
    """The three critical sizes against each other."""
    sizes = {name: one["midpoint"] if name != "crossing" else one for name, one in found.items()}
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


def _draw(runs, measured, options):
    """A row for each decay: size against norm, efficiency against D, and both circuits over the training."""
    count = len(options.seeds)
    title = (f"two-layer quadratic network, p = {P}, N = 256, cross-entropy, decay × rate × steps = {E_FOLDS}, "
             f"{count} seed{'s' if count > 1 else ''}")
    figure, axes = figures.new_figure(len(runs), 3, (13.5, 4.1 * len(runs)), title)
    for (decay, kinds), (plane, curves, strengths) in zip(runs.items(), axes, strict=True):
        pure = Efficiencies(kinds)
        groups = {"C_mem": kinds["C_mem"], "C_gen": {size: kinds["right labels"][size] for size in pure.generalising}}
        for (name, by_size), efficiencies in zip(groups.items(), (pure.memorising, pure.generalising), strict=True):
            color, marker, line = STYLES[name]
            ends = [run["strengths"][-1] for group in by_size.values() for run in group]
            plane.plot([end["norm"] for end in ends], [end["size"] for end in ends], marker, color=color, markersize=4,
                       label=name)
            if efficiencies:
                figures.draw_curve(curves, list(efficiencies), np.array(list(efficiencies.values())).T, color=color,
                                   marker=marker, markersize=4, linestyle=line, label=name)
        for size, group in groups["C_mem"].items():
            end = group[0]["strengths"][-1]
            plane.annotate(f"{size}", (end["norm"], end["size"]), xytext=(0, 6), textcoords="offset points", fontsize=7,
                           ha="center")
        for (name, style) in (("crossing", ":"), ("ungrokking", "-."), ("from scratch", "--")):
            found = measured[f"decay {decay:g}"][name]
            if (size := found and (found if name == "crossing" else found["midpoint"])) is not None:
                curves.axvline(size["mean"], color=figures.GREY, linewidth=1.2, linestyle=style,
                               label=f"{name}: {size['mean']:.0f}")
        size = first_to_grok(kinds["right labels"])
        if size is not None:
            for place, run in enumerate(kinds["right labels"][size]):
                for name, label in (("memorising", "C_mem"), ("generalising", "C_gen")):
                    color, marker, line = STYLES[label]
                    strengths.plot([one["step"] for one in run["strengths"]], [one[name] for one in run["strengths"]],
                                   color=color, marker=marker, markersize=3, linestyle=line, linewidth=1.2,
                                   label=None if place else f"{name} strength")
            strengths.set_title(f"from scratch, D = {size}", fontsize=10)
            strengths.set_xscale("symlog", linthresh=10, subs=range(2, 10))
            strengths.set_xlim(0)
            strengths.legend(fontsize=8, frameon=False)
        plane.set_title(f"weight decay {decay:g}; C_mem with its D", fontsize=10)
        plane.set(xlabel="norm P of the parameters", ylabel="logit size z")
        curves.set(xlabel="size D of the training set", ylabel="efficiency z / P³", yscale="log")
        curves.set_xscale("log", base=2, subs=())
        curves.xaxis.set_major_formatter("{x:g}")
        strengths.set(xlabel="step", ylabel="logit size of the circuit")
        plane.legend(fontsize=8, frameon=False)
        curves.legend(fontsize=8, frameon=False)
    return figures.save(figure, options.out / "circuit_efficiency.png")


if __name__ == "__main__":
    sys.exit(run_experiment("circuit_efficiency", __doc__, experiment, seeds=3, quick_seeds=1))
