import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis import figures
from analysis.pruning import PruningCurve

COLUMNS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "corrupted_accuracy", "uncorrupted_accuracy",
           "mean_ipr", "weight_norm")


def history(steps=(0, 10, 20, 50, 100, 200), **columns):
    rng = np.random.default_rng(0)
    return {"step": np.array(steps), **{name: rng.uniform(0.1, 1, len(steps)) for name in COLUMNS}, **columns}


def curves(shape=(11,), orders=("low", "high", "random")):
    rng, counts = np.random.default_rng(0), np.arange(11)
    sets = ("train", "test", "corrupted", "uncorrupted")
    return {order: PruningCurve(counts, counts / 10, {name: rng.uniform(0, 1, shape) for name in sets},
                                {name: rng.uniform(0.001, 1, shape) for name in sets}) for order in orders}


def neurons(count=20, p=13, arrays=3):
    return tuple(np.random.default_rng(number).normal(size=(count, p)) for number in range(arrays))


def check(path, drawn):
    """The file is a PNG image, and nothing else was left in its folder."""
    assert drawn == path
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "DPI", 40)  # drawn faster
    return tmp_path / "figure.png"


NOT_DEFINED = np.full(6, np.nan)
GAPS = np.array([np.nan, 0.5, np.nan, 0.4, 0.3, np.nan])


@pytest.mark.parametrize("columns", [
    {},
    {"corrupted_accuracy": NOT_DEFINED},
    {"test_loss": NOT_DEFINED, "test_accuracy": NOT_DEFINED},
    dict.fromkeys(COLUMNS, NOT_DEFINED),
    {"test_loss": GAPS, "mean_ipr": GAPS},
    {"train_loss": np.array([1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 0.0])},
    {"weight_norm": np.array([1, 2, 1e300, np.inf, np.nan, np.nan]), "train_loss": np.full(6, np.inf)},
    {"weight_norm": np.zeros(6)},
])
def test_training_curves_of_columns_that_are_not_all_numbers(path, columns):
    check(path, figures.training_curves(history(**columns), path, "columns", grok_step=50, unlearn_step=100, xi=0.35))


@pytest.mark.parametrize("marks", [{}, {"grok_step": 50}, {"unlearn_step": 100}, {"xi": 0.0}, {"xi": 0.35}])
def test_training_curves_with_some_marks(path, marks):
    check(path, figures.training_curves(history(), path, "ξ = 0.35, weight decay 15", **marks))


@pytest.mark.parametrize("steps", [(), (0,), (7,), (0, 1), (5, 6, 7)])
def test_training_curves_of_short_histories(path, steps):
    check(path, figures.training_curves(history(steps), path, "short"))


def test_columns_may_be_missing_or_lists(path):
    check(path, figures.training_curves({"step": [0, 1], "train_loss": [1.0, 0.5]}, path, "little"))


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def drawn(monkeypatch, function, *args, **options):
    """The Figure that a function saves."""
    saved = []
    monkeypatch.setattr(figures, "save", lambda figure, path: saved.append(figure))
    function(*args, "nowhere.png", "title", **options)
    return saved[0]


def test_training_curves_show_what_is_there_and_mark_the_stages(monkeypatch):
    figure = drawn(monkeypatch, figures.training_curves, history(corrupted_accuracy=NOT_DEFINED), grok_step=20,
                   unlearn_step=100, xi=0.35)
    assert legend(figure) == ["train", "test", "1 - ξ = 0.65"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["groks", "unlearns"]
    for axes in figure.axes:
        assert axes.get_ylabel()
        assert {20, 100} <= {line.get_xdata()[0] for line in axes.lines}
    assert figure.get_suptitle() == "title"


@pytest.mark.parametrize(("grok_step", "unlearn_step"), [(20, 100), (70, 70), (75, 70), (70, 75)])
def test_the_names_of_the_stages_do_not_touch(grok_step, unlearn_step, monkeypatch):
    figure = drawn(monkeypatch, figures.training_curves, history(), grok_step=grok_step, unlearn_step=unlearn_step)
    figure.canvas.draw()
    one, other = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.x0)
    assert one.x1 + 2 < other.x0


def test_losses_are_on_a_logarithmic_scale_if_they_span_a_decade(monkeypatch):
    for last, scale in ((0.5, "linear"), (0.01, "log")):
        figure = drawn(monkeypatch, figures.training_curves, history(train_loss=np.linspace(1, last, 6)))
        assert figure.axes[1].get_yscale() == scale


def test_ipr_histogram_counts_every_neuron(path, monkeypatch):
    start, end = np.random.default_rng(0).uniform(0.02, 0.06, 500), np.append(np.linspace(0, 1, 499), 1 + 1e-15)
    check(path, figures.ipr_histogram(start, end, path, "ξ = 0.35"))
    figure = drawn(monkeypatch, figures.ipr_histogram, start, end)
    assert sum(bar.get_height() for bar in figure.axes[0].patches[1:]) == 500
    assert legend(figure) == ["start", "end"]


@pytest.mark.parametrize("orders", [("low",), ("low", "high", "random")])
def test_pruning_curves(path, orders):
    check(path, figures.pruning_curves(curves(orders=orders), path, "ξ = 0.35"))


def test_pruning_curves_of_several_networks_have_bands(path, monkeypatch):
    check(path, figures.pruning_curves(curves((5, 11)), path, "5 seeds"))
    figure = drawn(monkeypatch, figures.pruning_curves, curves((5, 11)))
    assert len(figure.axes) == 6
    assert all(len(axes.collections) == len(axes.lines) == 4 for axes in figure.axes)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["lowest IPR first", "highest IPR first", "random order"]


def test_pruning_curves_of_sets_without_examples(path):
    empty = curves()
    for curve in empty.values():
        curve.accuracy["corrupted"][:] = curve.loss["corrupted"][:] = np.nan
    check(path, figures.pruning_curves(empty, path, "ξ = 0"))


@pytest.mark.parametrize(("count", "arrays"), [(20, 1), (20, 2), (20, 3), (2, 3), (1, 1)])
def test_neuron_panels(path, count, arrays):
    check(path, figures.neuron_panels(neurons(count, arrays=arrays), neurons(count, arrays=arrays), path, "neurons"))


def test_neuron_panels_of_vanished_weights(path):
    check(path, figures.neuron_panels(neurons(), tuple(np.zeros((20, 13)) for _ in range(3)), path, "forgetting"))


def test_a_figure_that_cannot_be_written_leaves_the_old_one(path):
    class Broken:
        def savefig(self, file, **_):
            file.write(b"half")
            raise OSError("no space left")

    path.write_bytes(b"old")
    with pytest.raises(OSError, match="no space"):
        figures.save(Broken(), path)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_whoever_reads_the_old_figure_goes_on_reading_it(path):
    path.write_bytes(b"old")
    with open(path, "rb") as old:
        figures.ipr_histogram(np.full(5, 0.04), np.full(5, 0.9), path, "new")
        assert old.read() == b"old"
    assert path.read_bytes() != b"old"


def test_matplotlib_is_imported_for_figures_only():
    program = ("import sys, analysis.analytic, analysis.figures, analysis.ipr, analysis.phases, analysis.pruning; "
               "assert 'matplotlib' not in sys.modules; analysis.figures.new_figure(); "
               "assert 'matplotlib.pyplot' not in sys.modules")
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(figures.__file__).parents[1])
