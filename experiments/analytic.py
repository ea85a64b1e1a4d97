"""The solution in closed form, and how near trained networks come to it (Doshi et al., eq. 2, due to Gromov).

What the paper found: with U_mk = c cos(2 pi s m / p + a), V_nk = c cos(2 pi s n / p + b) and W_kq = c cos(2 pi s q / p
+ a + b), one frequency s and two random phases for each neuron, the network adds modulo p. Its output tends to a
modular Kronecker delta with corrections of order 1/sqrt(N), so that a wide one is always right, whatever the scale c.
Networks that generalise find such periodic weights themselves.

The closed form is evaluated on all pairs for several p and N; the seeds draw its phases. Its error is the root mean
square of the difference from the delta (1 at the label, -1/(p - 1) elsewhere), at the scale at which the label's logit
is 1 on average. The terms that fall away (`analysis.analytic`) have by their squares 4/N together: an error of
2/sqrt(N) for every p. Then networks (p 97, N 500, alpha 0.5, full batch) are trained, and of each of their periodic
neurons the frequencies and phases of its three vectors are compared with eq. 2. The quick size has two seeds, no
p 151, and no width above 1000.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from analysis import figures
from analysis.analytic import analytic_weights
from analysis.fourier import dominant_frequency, fourier_transform
from analysis.ipr import neuron_ipr
from backend import open_device
from experiments.common import Check, Options, Outcome, described, run_experiment, show, spread, spreads, train_settings
from layers import Cache, MeanSquaredError, TwoLayerNetwork
from training import Run, TrainingConfig

MODULI, WIDTHS = (23, 47, 97, 151), (24, 48, 100, 200, 500, 1000, 2000, 4000)
QUICK_MODULI, QUICK_WIDTHS = (23, 47, 97), (24, 48, 100, 200, 500, 1000)

SCALED = (97, 48)
"""p and N of the closed form whose scale is changed: narrow enough to be wrong on many pairs."""

SCALES = (1e-3, 1e3)
"""c, which by default is (2/N)^(1/3)."""

PERIODIC = 0.5
"""Neurons of an IPR above this, without the constant term, count as periodic: one frequency outweighs all others."""

MOST = 0.9
"""What counts as nearly all of the periodic neurons."""

UNIFORM = np.pi / np.sqrt(3)
"""The root mean square of an angle that is uniform in [-pi, pi]."""

SETTINGS = {
    "no corruption": TrainingConfig(xi=0.0, weight_decay=15.0, steps=500),
    "full inversion": TrainingConfig(xi=0.35, weight_decay=15.0, steps=500),
    "coexistence": TrainingConfig(xi=0.35, weight_decay=0.0, steps=1000),
}
MEASURED = ("train_accuracy", "test_accuracy", "mean_ipr", "mean_ipr_without_constant")


def observe_waves(run: Run) -> dict[str, Any]:
    """The summary of a run, and of each neuron its IPR and of its three vectors the frequency and the phase.

    A vector cos(2 pi s i / p + a) has the frequency s and the phase a.
    """
    neurons = run.network().neurons()
    frequencies = [dominant_frequency(x) for x in neurons]
    terms = [np.take_along_axis(fourier_transform(x), s[:, None], axis=-1)[:, 0]
             for x, s in zip(neurons, frequencies, strict=True)]
    return {"summary": run.summary(),
            "neuron_ipr": neuron_ipr(*neurons, constant=False).tolist(),
            "frequency": {name: s.tolist() for name, s in zip("UVW", frequencies, strict=True)},
            "phase": {name: np.angle(X).tolist() for name, X in zip("UVW", terms, strict=True)}}


def experiment(options: Options) -> Outcome:
    """Evaluate the closed form at every width, train, and hold both against eq. 2."""
    moduli, widths = (QUICK_MODULI, QUICK_WIDTHS) if options.quick else (MODULI, WIDTHS)
    closed = {(p, width): [evaluate(p, width, seed) for seed in options.seeds] for p in moduli for width in widths}
    exponents = {p: spread([_exponent(p, widths, [closed[p, width][run]["error"] for width in widths])
                            for run in range(len(options.seeds))]) for p in moduli}
    scaled = {scale: spread([evaluate(*SCALED, seed, scale)["accuracy"] for seed in options.seeds])
              for scale in (None, *SCALES)}
    waves = {name: [Waves(run) for run in runs]
             for name, runs in train_settings(SETTINGS, observe_waves, options).items()}

    measured = {f"p {p}, N {width}": spreads(results, ("accuracy", "loss", "error"))
                for (p, width), results in closed.items()}
    measured |= {f"p {p}": {"exponent": exponent} for p, exponent in exponents.items()}
    p, width = SCALED
    measured |= {f"p {p}, N {width}, scale {scale:g}": {"accuracy": scaled[scale]} for scale in SCALES}
    measured |= {name: _measured(group) for name, group in waves.items()}
    checks = [*_closed_checks(moduli, widths, measured), _scale_check(scaled),
              *(check for name in SETTINGS for check in _wave_checks(name, measured[name]))]
    config = SETTINGS["full inversion"].resolved()
    title = (f"left and middle: the closed form; right: trained networks, p = {config.p}, N = {config.width}, "
             f"α = {config.alpha:g}; {options.told_seeds}")
    figure = _draw(closed, moduli, widths, waves, title, options.out / "analytic.png")
    return Outcome(described(SETTINGS) | {"closed form": {"p": list(moduli), "width": list(widths)}}, measured, checks,
                   [figure])


def evaluate(p: int, width: int, seed: int, scale: float | None = None) -> dict[str, float]:
    """Accuracy, loss and error of the closed form over all pairs, in float64.

    Parameters
    ----------
    p, width : int
    seed : int
        Of the random phases.
    scale : float, optional
        c; by default the one at which the label's logit is 1 on average.

    Returns
    -------
    dict
        "accuracy", "loss" (mean squared error against one-hot labels) and "error": the root mean square of the
        difference from the delta.
    """
    network = TwoLayerNetwork(p, width).build(open_device("numpy", "float64"))
    network.load_state(analytic_weights(p, width, seed, scale))
    loss, cache, residues = MeanSquaredError(), Cache(), np.arange(p)
    hits = losses = squares = 0.0
    with threadpool_limits(limits=1, user_api="blas"):  # for products as small as these, more threads only wait
        for m in range(p):  # the hidden units of all pairs at once would take p^2 N numbers
            labels = (m + residues) % p
            logits = network.forward(np.stack([np.full(p, m), residues], axis=-1), cache)
            hits += (logits.argmax(axis=-1) == labels).sum()
            losses += loss.forward(logits, labels, cache["loss"], examples=p * p)
            squares += ((logits - np.where(residues == labels[:, None], 1, -1 / (p - 1))) ** 2).sum()
    return {"accuracy": float(hits / p**2), "loss": float(losses), "error": float(np.sqrt(squares / p**3))}


def _exponent(p, widths, errors):
    """The slope of log error against log N, by least squares, over the widths at which every frequency occurs."""
    points = [(np.log(width), np.log(error)) for width, error in zip(widths, errors, strict=True)
              if width >= (p - 1) // 2]
    return float(np.polyfit(*np.transpose(points), 1)[0])


class Waves:
    """What eq. 2 says of the neurons of a trained network, held against them.

    Attributes
    ----------
    summary : dict
    ipr : array (N,)
    periodic : array (N,) of bool
    agree : array (N,) of bool
        Whether U, V and W have the same frequency.
    residual : array
        The phase of W less those of U and V, in [-pi, pi], of the periodic neurons that agree; 0 in eq. 2.
    frequencies : int
        How many different ones they have.
    """

    def __init__(self, observed: dict[str, Any]):
        self.summary = observed["summary"]
        self.ipr = np.array(observed["neuron_ipr"])
        self.periodic = self.ipr > PERIODIC
        U, V, W = (np.array(observed["frequency"][name]) for name in "UVW")
        self.agree = (U == V) & (V == W)
        chosen = self.periodic & self.agree
        a, b, c = (np.array(observed["phase"][name])[chosen] for name in "UVW")
        self.residual = wrapped(c - a - b)
        self.frequencies = len(np.unique(U[chosen]))


def wrapped(angle: np.ndarray) -> np.ndarray:
    """An angle modulo 2 pi, in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _measured(waves):
    values = spreads([one.summary for one in waves], MEASURED)
    values["phase"] = [one.summary["phase"] for one in waves]
    values["periodic_neurons"] = spread([float(one.periodic.mean()) for one in waves])
    values["same_frequency"] = spread([_mean(one.agree[one.periodic]) for one in waves])
    values["within_quarter_turn"] = spread([_mean(abs(one.residual) < np.pi / 2) for one in waves])
    squares = spread([_mean(one.residual**2) for one in waves])
    values["residual"] = squares and spread(np.sqrt(squares["values"]).tolist())
    values["frequencies"] = spread([one.frequencies for one in waves])
    return values


def _mean(values):
    return float(np.mean(values)) if len(values) else None


def _closed_checks(moduli, widths, measured):
    """The delta, and how fast it is reached."""
    for p in moduli:
        accuracy = measured[f"p {p}, N {widths[-1]}"]["accuracy"]
        yield Check(f"p {p}, N {widths[-1]}: accuracy of the closed form", "1 for N wide enough", show(accuracy),
                    accuracy["min"] == 1)
    for p in moduli:
        exponent, error = measured[f"p {p}"]["exponent"], measured[f"p {p}, N {widths[-1]}"]["error"]
        yield Check(f"p {p}: error ~ N^exponent, to one decimal", "-0.5",
                    f"{show(exponent)}; error sqrt(N) at N {widths[-1]}: {error['mean'] * np.sqrt(widths[-1]):.2f}",
                    all(round(value, 1) == -0.5 for value in exponent["values"]))


def _scale_check(scaled):
    (p, width), scales = SCALED, ", ".join(f"{scale:g}" for scale in SCALES)
    return Check(f"p {p}, N {width}: accuracy at the default scale c and at c = {scales}",
                 "the scale does not change it", ", ".join(show(values) for values in scaled.values()),
                 all(values["values"] == scaled[None]["values"] for values in scaled.values()))


def _wave_checks(name, measured):
    """A share holds if it does at every seed."""
    same, near, residual = (measured[quantity] for quantity in ("same_frequency", "within_quarter_turn", "residual"))
    yield Check(f"{name}: periodic neurons whose U, V and W have one frequency, at least {MOST}", "all (eq. 2)",
                f"{show(same)}, of {show(measured['periodic_neurons'], 2)} of the neurons",
                same is not None and same["min"] >= MOST)
    yield Check(f"{name}: of these, |phase of W - U - V| below a quarter turn, at least {MOST}",
                "all: it is 0 (eq. 2)", f"{show(near)}; rms {show(residual, 2)} rad, of uniform phases {UNIFORM:.2f}",
                near is not None and near["min"] >= MOST)


def _draw(closed, moduli, widths, waves, title, path):
    """Accuracy and error of the closed form against N, and the residual phase of trained neurons."""
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = figures.new_figure(1, 3, (13.2, 4.4), title)
    accuracy, error, residual = axes[0]
    for p, colour in zip(moduli, (figures.BLUE, figures.ORANGE, figures.GREEN, figures.PURPLE), strict=False):
        for panel, quantity in ((accuracy, "accuracy"), (error, "error")):
            values = np.transpose([[result[quantity] for result in closed[p, width]] for width in widths])
            figures.draw_curve(panel, widths, values, color=colour, marker=".", label=f"p = {p}")
    error.plot(widths, 2 / np.sqrt(widths), color=figures.BLACK, linestyle="--", linewidth=1, label="2 / sqrt(N)")
    accuracy.set(xscale="log", ylabel="accuracy on all pairs", ylim=(-0.03, 1.05))
    error.set(xscale="log", yscale="log", ylabel="rms difference from a Kronecker delta")
    error.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    error.yaxis.set_major_formatter("{x:g}")
    error.yaxis.set_minor_formatter(NullFormatter())
    for panel in (accuracy, error):
        panel.set_xlabel("number of neurons N")
        panel.xaxis.set_major_formatter("{x:g}")
    bins = np.linspace(-0.5, 0.5, 82)  # an odd number of them: one has 0 in its middle
    for (name, group), (colour, dashes) in zip(waves.items(), ((figures.BLACK, "-"), (figures.SKY, "-"),
                                                               (figures.VERMILLION, "--")), strict=True):
        turns = np.concatenate([one.residual for one in group]) / (2 * np.pi)
        residual.hist(turns, bins, weights=np.full(len(turns), 1 / max(1, len(turns))), histtype="step", linewidth=1.4,
                      color=colour, linestyle=dashes, label=name)
    residual.axhline(1 / (len(bins) - 1), color=figures.GREY, linewidth=1, linestyle=":", label="uniform phases")
    residual.set(xlabel="phase of W less those of U and V, in turns", ylabel="share of periodic neurons per bin",
                 xlim=(-0.5, 0.5))
    figures.draw_legend(figure, error, residual)
    return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_experiment("analytic", __doc__, experiment, seeds=5, quick_seeds=2))
