"""A network that has grokked and is trained on with less data goes back to knowing by heart (Varma et al., 2 and 3).

What the paper found: a network that generalises perfectly returns to near-chance test accuracy if it is trained on with
a training set well below a critical size D_crit, while its train accuracy stays at 100%. The transition along the size
D' is sharp. The test accuracy that is reached does not depend on the strength of weight decay: decay decides how fast
the more efficient circuit wins, not which one it is.

A network first learns 90% of all pairs. It is then trained on with the first D' pairs of that training set, with an
optimiser that has seen nothing, and tested on the 10% that it never saw. Where it ends is compared at equal decay x
steps, the number of times that decay alone would have shrunk the weights e-fold:

    learning rate x weight decay x steps = 15

Whether that is long enough is told by the test accuracy half way. The midpoint of the transition is fitted for each
seed alone (`analysis.transition`), with its 95% interval over seeds. A network that treats (m, n) and (n, m) alike is
right about more of the test set the more mirror images are in D'; the test accuracy without those is told as well
(`analysis.mirrors`).

Trained are the two-layer quadratic network (N 256), a ReLU network of the same shape and a transformer (d 64), all at
p 53, with cross-entropy and AdamW at a learning rate of 1e-3; the paper has a transformer (d 128) at p 113 and D' from
390 to 1494 of 12769 pairs. The quadratic network is trained on at four weight decays over a factor of ten. The quick
size has the quadratic network alone, with one seed, five sizes and two decays.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis import figures
from analysis.transition import fit_transition, interval
from experiments.common import (
    Check,
    Options,
    Outcome,
    described,
    run_experiment,
    show,
    spread,
    train_all,
    train_whole,
)
from experiments.measures import observe_mirrors
from training import TrainingConfig

P = 53
E_FOLDS = 15
"""Learning rate x weight decay x steps of the second training."""

COMMON = TrainingConfig(p=P, alpha=0.9, xi=0.0, loss="cross-entropy", learning_rate=1e-3, weight_decay=0.5, steps=5000,
                        eval_every=100)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network, how it is trained first, and the sizes D' and weight decays at which it is trained on."""

    config: TrainingConfig
    sizes: Sequence[int]
    decays: Sequence[float]


def geometric(first: int, count: int) -> tuple[int, ...]:
    """Sizes of which every second one is twice as large."""
    return tuple(round(first * 2 ** (k / 2)) for k in range(count))


def fraction(size: int) -> float:
    """The alpha of as many pairs; the half keeps int(alpha p^2) from being one less by rounding."""
    return (size + 0.5) / P ** 2


NETWORKS = {
    "quadratic": Network(dataclasses.replace(COMMON, width=256), geometric(56, 8), (0.5, 1.0, 2.0, 5.0)),
    "ReLU": Network(dataclasses.replace(COMMON, width=256, activation="relu"), geometric(158, 7), (2.0,)),
    "transformer": Network(dataclasses.replace(COMMON, model="transformer", width=64, steps=3000), geometric(158, 7),
                           (2.0,)),
}
QUICK = {"quadratic": Network(NETWORKS["quadratic"].config, geometric(112, 5), (2.0, 5.0))}
EVALUATIONS = 50

LEARNT, CHANCE_LIKE, SHARP, OVERLAY, SETTLED, MIRRORS = 0.95, 0.1, 4.0, 0.1, 0.05, 0.1
"""What the checks call learnt, near chance, a sharp transition (the factor in D' from 10% to 90%), curves that overlay,
an accuracy that has settled (between half of the steps and all), and one that owes little to mirror images."""


def experiment(options: Options) -> Outcome:
    """Train each network to generalise, then on with less data, and hold where it ends against the paper."""
    networks = QUICK if options.quick else NETWORKS
    ends = ungrok(networks, options)
    measured, checks = {}, []
    for group, by_size in ends.items():
        accuracies = {size: _accuracies(some) for size, some in by_size.items()}
        measured |= {f"{group}, D' = {size}": values for size, values in accuracies.items()}
        measured[group] = transition(by_size)
        measured[f"{group}, half way"] = transition(by_size, half_way=True)
        checks += _transition_checks(group, accuracies, measured[group])
    for name, network in networks.items():
        if len(network.decays) > 1:
            checks += _decay_checks(name, network, measured)
    return Outcome(settings_of(networks), measured, checks, [_draw(ends, measured, networks, options)])


def settings_of(networks: Mapping[str, Network]) -> dict[str, dict[str, Any]]:
    """What is trained, as `result.json` holds it; alpha of the second trainings is a list, a value for each size."""
    settings = described({f"{name}, first": network.config for name, network in networks.items()})
    for name, network in networks.items():
        for decay in network.decays:
            one = described({_name(name, decay): continued(network.config, decay, network.sizes[0])})
            one[_name(name, decay)]["alpha"] = [fraction(size) for size in network.sizes]
            settings |= one
    return settings


def ungrok(networks: Mapping[str, Network], options: Options) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """Train networks to generalise, and on from there.

    Returns
    -------
    dict of str to dict of int to list
        For each network and decay ("quadratic, decay 0.5") and each size D' what `observe_mirrors` keeps at each seed.
    """
    first = {name: train_whole([dataclasses.replace(network.config, seed=seed) for seed in options.seeds], options)
             for name, network in networks.items()}
    groups = [(name, network, decay) for name, network in networks.items() for decay in network.decays]
    runs = iter(train_all([dataclasses.replace(continued(network.config, decay, size), seed=seed,
                                               continue_from=str(folder))
                           for name, network, decay in groups for size in network.sizes
                           for seed, folder in zip(options.seeds, first[name], strict=True)], observe_mirrors, options))
    return {_name(name, decay): {size: [next(runs) for _ in options.seeds] for size in network.sizes}
            for name, network, decay in groups}


def continued(config: TrainingConfig, decay: float, size: int) -> TrainingConfig:
    """The second training of a network, on `size` of its pairs."""
    steps = round(E_FOLDS / (config.learning_rate * decay))
    return dataclasses.replace(config, weight_decay=decay, alpha=fraction(size), test_alpha=config.alpha, steps=steps,
                               eval_every=steps // EVALUATIONS)


def _name(network, decay):
    return f"{network}, decay {decay:g}"


def _accuracies(runs):
    """At the end and half way of the second training, and before it; the train accuracy throughout."""
    tests = [run["history"]["test_accuracy"] for run in runs]
    return {"grokked_test_accuracy": spread([test[0] for test in tests]),
            "half_way_test_accuracy": spread([test[EVALUATIONS // 2] for test in tests]),
            "test_accuracy": spread([test[-1] for test in tests]),
            "unmirrored_test_accuracy": spread([run["unmirrored_accuracy"] for run in runs]),
            "lowest_train_accuracy": spread([min(run["history"]["train_accuracy"]) for run in runs]),
            "weight_norm": spread([run["summary"]["weight_norm"] for run in runs])}


def transition(by_size: Mapping[int, Sequence[Mapping[str, Any]]], half_way: bool = False) -> dict[str, Any]:
    """The midpoint and the factor from 10% to 90% over seeds, at the end or half way.

    Parameters
    ----------
    by_size : mapping of int to sequence of mapping
        For each size what is kept of the run of each seed; its history has `EVALUATIONS` steps of equal length.
    half_way : bool

    Returns
    -------
    dict
        "fitted" of "seeds" turn within the sizes. Unless all do, "midpoint", "midpoint_interval" and "factor" are None.
    """
    curves = zip(*([run["history"]["test_accuracy"][EVALUATIONS // 2 if half_way else -1] for run in group]
                   for group in by_size.values()), strict=True)
    fits = [fit_transition(list(by_size), accuracies, chance=1 / P) for accuracies in curves]
    found = {"fitted": sum(fit is not None for fit in fits), "seeds": len(fits)}
    if None in fits:
        return found | {"midpoint": None, "midpoint_interval": None, "factor": None}
    return found | {"midpoint": spread([fit.midpoint for fit in fits]), "midpoint_interval": interval(fits),
                    "factor": spread([fit.factor for fit in fits])}


def _transition_checks(group, at, transition):
    """What is claimed of one network at one decay; `at` has the accuracies at each size."""
    smallest, largest = min(at), max(at)
    first = at[smallest]["grokked_test_accuracy"]
    low, high = (at[size]["test_accuracy"] for size in (smallest, largest))
    yield Check(f"{group}: it groks first, to a test accuracy of at least {LEARNT}", "100%", show(first),
                first["min"] >= LEARNT)
    yield Check(f"{group}: at D' = {smallest} test accuracy falls below {CHANCE_LIKE}", "near chance", show(low),
                low["max"] < CHANCE_LIKE)
    yield Check(f"{group}: at D' = {largest} it stays at {LEARNT} or more", "100%", show(high), high["min"] >= LEARNT)
    lowest = min(one["lowest_train_accuracy"]["min"] for one in at.values())
    yield Check(f"{group}: train accuracy is 1 throughout, at every D'", "100%", f"at least {lowest:.4f}", lowest == 1)
    factor = transition["factor"]
    yield Check(f"{group}: from 10% to 90% of the way takes a factor of at most {SHARP:g} in D'", "a sharp transition",
                _midpoint(transition) + (f"; factor {show(factor, 2)}" if factor else ""),
                factor is not None and factor["max"] <= SHARP)
    mirrors = {size: abs(one["test_accuracy"]["mean"] - one["unmirrored_test_accuracy"]["mean"])
               for size, one in at.items()}
    most = max(mirrors, key=mirrors.get)
    yield Check(f"{group}: without trained mirror images the mean test accuracy is the same within {MIRRORS}, at every "
                "D'", "-", f"at most {mirrors[most]:.3f} apart (D' = {most})", mirrors[most] <= MIRRORS)
    moved = {size: abs(one["test_accuracy"]["mean"] - one["half_way_test_accuracy"]["mean"])
             for size, one in at.items()}
    most = max(moved, key=moved.get)
    yield Check(f"{group}: half way the mean test accuracy is within {SETTLED} of the end, at every D'", "-",
                f"at most {moved[most]:.3f} apart (D' = {most})", moved[most] <= SETTLED)


def _midpoint(transition):
    if transition["midpoint"] is None:
        return f"{transition['fitted']} of {transition['seeds']} seeds turn within these D'"
    low, high = transition["midpoint_interval"] or (None, None)
    return f"midpoint {transition['midpoint']['mean']:.0f}" + (f" [{low:.0f}, {high:.0f}]" if low else "")


def _decay_checks(name, network, measured):
    """Whether decay matters for where a network ends, and whether it mattered half way."""
    groups = {decay: _name(name, decay) for decay in network.decays}
    apart, before = (np.ptp([[measured[f"{group}, D' = {size}"][f"{when}test_accuracy"]["mean"]
                              for size in network.sizes] for group in groups.values()], axis=0)
                     for when in ("", "half_way_"))
    yield Check(f"{name}: mean test accuracies at all decays are within {OVERLAY} of each other, at every D'",
                "the curves overlay", f"at most {apart.max():.3f} apart (D' = {network.sizes[int(apart.argmax())]}); "
                f"half way {before.max():.3f}", bool(apart.max() <= OVERLAY))
    midpoints = [measured[group]["midpoint"] for group in groups.values()]
    means = [midpoint["mean"] for midpoint in midpoints if midpoint is not None]
    yield Check(f"{name}: the midpoints at all decays are within 10% of each other", "they do not depend on decay",
                ", ".join(f"{_midpoint(measured[group])} (decay {decay:g})" for decay, group in groups.items()),
                len(means) == len(midpoints) and max(means) <= 1.1 * min(means))


def _draw(ends, measured, networks, options):
    """Test accuracy over the steps; where each network ends; where it ends at each decay."""
    title = ("trained to generalise on 90% of the pairs, then on with D′ of them "
             f"(p = {P}, cross-entropy, decay × rate × steps = {E_FOLDS}, {options.told_seeds})")
    figure, axes = figures.new_figure(1, 3, (13.5, 4.6), title)
    over_steps, by_network, by_decay = axes[0]
    network, decays = next((name, network.decays) for name, network in networks.items())
    decay = decays[len(decays) // 2]
    by_size = ends[_name(network, decay)]
    for color, (size, group) in zip(figures.sequence(len(by_size)), by_size.items(), strict=True):
        figures.draw_curve(over_steps, group[0]["history"]["step"], [run["history"]["test_accuracy"] for run in group],
                           color=color, label=f"{size}")
    over_steps.set_title(f"{network} network, weight decay {decay:g}", fontsize=10)
    over_steps.set(xlabel="step", ylabel="test accuracy", ylim=(-0.03, 1.05))
    over_steps.legend(title="D′", fontsize=8, title_fontsize=9, frameon=False, loc="center left",
                      bbox_to_anchor=(1, 0.5), handlelength=1)
    styles = list(zip((figures.BLUE, figures.VERMILLION, figures.GREEN, figures.PURPLE), "os^D", ("-", "--", ":", "-."),
                      strict=True))
    for panel, heading, groups in (
            (by_network, f"weight decay {decay:g}",
             {_name(name, decay): name for name, one in networks.items() if decay in one.decays}),
            (by_decay, f"{network} network", {_name(network, one): f"weight decay {one:g}" for one in decays})):
        for (name, label), (color, marker, line) in zip(groups.items(), styles, strict=False):
            sizes = list(ends[name])
            accuracies = np.array([[run["summary"]["test_accuracy"] for run in group] for group in ends[name].values()])
            midpoint = measured[name]["midpoint"]
            figures.draw_curve(panel, sizes, accuracies.T, color=color, marker=marker, markersize=4, linestyle=line,
                               label=label + (f": midpoint {midpoint['mean']:.0f}" if midpoint else ""))
        panel.set_title(heading, fontsize=10)
        panel.axhline(1 / P, color=figures.GREY, linewidth=1, label="chance")
        panel.set_xscale("log", base=2, subs=())
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set(xlabel="size D′ of the second training set", ylim=(-0.03, 1.05))
        panel.legend(fontsize=8, frameon=False, loc="upper left")
    by_network.set_ylabel("final test accuracy")
    return figures.save(figure, options.out / "ungrokking.png")


if __name__ == "__main__":
    sys.exit(run_experiment("ungrokking", __doc__, experiment, seeds=5, quick_seeds=1))
