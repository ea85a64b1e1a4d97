"""The explorer in a real browser: what a person sees of a run, and what happens when they touch it."""

import numpy as np
import pytest

from experiments.explore.measuring import BYTES
from experiments.explore.page import write_explorer
from tests.browsing import frames, opened
from tests.experiments.explore.runs import SETTINGS, explored_of, run_of

pytest.importorskip("bokeh")
pytestmark = pytest.mark.browser

SCHEMES = ("light", "dark")


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {name: write_explorer(run_of(name), folder / f"{number}.html") for number, name in enumerate(SETTINGS)}


@pytest.fixture
def window(browser, pages):
    with opened(browser, pages["coexistence"]) as window:
        yield window


def slide(window, slider, value):
    window.locator(f"#{slider}").fill(str(value))
    frames(window)


def shown_now(window):
    return dict(window.evaluate(
        "() => [...document.querySelectorAll('#now div')].map((one) => [one.dataset.name, one.lastChild.textContent])"))


def shown_pruned(window):
    """By set: the accuracy of the whole network, and of the pruned one."""
    return {name: tuple(map(float, numbers)) for name, *numbers in window.evaluate(
        "() => [...document.querySelectorAll('#pruned tbody tr')].map("
        "(row) => [row.dataset.name, row.cells[1].textContent, row.cells[2].textContent])")}


def counted(window):
    """How many answers are of which kind."""
    return {kind: int(number) for kind, number in window.evaluate(
        "() => [...document.querySelectorAll('#answer-counts li')].map("
        "(one) => [one.dataset.kind, one.dataset.count])")}


def source(window, name):
    """The columns of a figure's source."""
    return window.evaluate("""(name) => Object.fromEntries(Object.entries(window.explorer.models[name].data).map(
        ([column, values]) => [column, Array.from(values)]))""", name)


def location(window, name):
    return window.evaluate("(name) => window.explorer.models[name].location", name)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_page_of_any_run_loads(name, scheme, browser, pages):
    with opened(browser, pages[name], scheme=scheme) as window:
        values, arrays = explored_of(name).values, explored_of(name).arrays
        assert window.locator("#setting").text_content() == values["setting"]
        for element, there in (("prune-control", values["orders"]), ("pruning", values["orders"]),
                               ("answers", values["modular"]), ("ipr", values["vectors"]),
                               ("neurons", values["vectors"])):
            assert window.locator(f"#{element}").is_visible() == bool(there)
        assert window.locator("[role=option]").count() == len(arrays.get("neurons", []))
        for chart in window.locator("[role=img]").filter(visible=True).all():
            assert chart.bounding_box()["height"] > 100


def test_at_the_end_it_says_what_the_summary_says(window):
    summary = run_of("coexistence").summary()
    shown = shown_now(window)
    for name in ("train_accuracy", "test_accuracy", "corrupted_accuracy", "uncorrupted_accuracy", "mean_ipr"):
        assert shown[name] == f"{summary[name]:.4f}"
    assert shown["weight_norm"] == f"{summary['weight_norm']:.2f}"
    assert summary["phase"] in window.locator("#outcome").text_content()
    assert f"groks at step {summary['grok_step']}." in window.locator("#stages").text_content()
    assert location(window, "groks") == pytest.approx(np.log10(1 + summary["grok_step"]))
    assert window.evaluate("() => window.explorer.models['groks-label'].text") == "groks"
    assert (location(window, "unlearns"), summary["unlearn_step"]) == (None, None)
    assert location(window, "rule") == pytest.approx(0.8)  # 1 - xi
    assert f"Mean {summary['mean_ipr']:.4f}" in window.locator("#ipr-mean").text_content()


class TestTheStep:
    def test_moves_everything(self, window):
        found = explored_of("coexistence")
        rows = run_of("coexistence").history.rows
        for moment, step in enumerate(found.values["moments"]):
            number = [row["step"] for row in rows].index(step)
            slide(window, "step", number)
            assert window.locator("#step-shown").text_content() == f"{step} of 700"
            for name, text in shown_now(window).items():
                assert text == f"{rows[number][name]:.{2 if name == 'weight_norm' else 4}f}"
            assert location(window, "cursor") == pytest.approx(np.log10(1 + step))
            answers = found.arrays["answers"][moment, 0, 0]
            assert counted(window) == {kind: int((answers == code).sum())
                                       for code, kind in enumerate(("right", "wrong", "memorised"))}
            image = window.evaluate("() => Array.from(window.explorer.models['answers-source'].data.image[0])")
            np.testing.assert_array_equal(np.reshape(image, (47, 47)), answers.T)
            ipr = found.arrays["ipr"][moment].astype(float)
            bins = np.histogram(np.minimum(ipr, 1 - 1e-9), np.linspace(0, 1, 51))[0]
            np.testing.assert_allclose(source(window, "bins")["all"], np.where(bins, bins, 0.7))
            best = int(np.lexsort((np.arange(len(ipr)), -ipr))[0])
            assert window.locator("[role=option]").first.get_attribute("data-neuron") == str(best)
            pruned = found.arrays["pruned_accuracy"][moment, 0]
            for column, name in enumerate(found.values["pruned_sets"]):
                np.testing.assert_allclose(source(window, "pruned")[name], pruned[:, column])

    def test_between_moments_shows_the_nearest_weights(self, window):
        found = explored_of("coexistence")
        steps = [row["step"] for row in run_of("coexistence").history.rows]
        for number in range(0, len(steps), 7):
            slide(window, "step", number)
            nearest = min(found.values["moments"], key=lambda moment: abs(moment - steps[number]))
            expected = f"are those of step {steps[number]}; neurons, answers and pruning those of step {nearest}"
            assert expected in window.locator("#weights-of").text_content()

    def test_plays_to_the_end_and_can_be_stopped(self, window):
        slide(window, "step", 0)
        window.locator("#play").click()
        assert window.locator("#play").text_content() == "Pause"
        window.wait_for_function("() => window.explorer.state.row > 3")
        window.locator("#play").click()
        frames(window)
        row = window.evaluate("() => window.explorer.state.row")
        assert window.locator("#step").input_value() == str(row)
        window.wait_for_timeout(300)
        assert window.evaluate("() => window.explorer.state.row") == row
        slide(window, "step", int(window.locator("#step").get_attribute("max")) - 2)
        window.locator("#play").click()
        window.wait_for_function("() => document.getElementById('play').textContent === 'Play'")
        assert window.locator("#step-shown").text_content() == "700 of 700"


class TestPruning:
    @pytest.mark.parametrize("order", ["low", "high", "random"])
    def test_shows_the_accuracies_of_what_is_left(self, order, window):
        found = explored_of("coexistence")
        window.locator("#order").select_option(order)
        for point, count in enumerate(found.values["counts"]):
            slide(window, "prune", point)
            number = list(found.values["orders"]).index(order)
            expected = found.arrays["pruned_accuracy"][-1, number]
            for column, name in enumerate(found.values["pruned_sets"]):
                assert shown_pruned(window)[name] == pytest.approx(
                    (expected[0, column], expected[point, column]), abs=0.5001e-4)
            assert f"{count} of 256" in window.locator("#prune-shown").text_content()
            assert location(window, "pruned-cursor") == pytest.approx(count / 256)
            answers = found.arrays["answers"][-1, number, point]
            assert counted(window)["right"] == (answers == 0).sum()
            gone = set(map(int, window.evaluate(
                "() => [...document.querySelectorAll('#grid .gone')].map((one) => one.dataset.neuron)")))
            assert gone == set(found.arrays["order"][-1, number, :count].tolist())

    def test_the_low_half_holds_the_wrong_labels_and_the_high_half_the_rule(self, window):
        slide(window, "prune", 10)
        low = shown_pruned(window)
        assert low["test"][1] >= low["test"][0] > 0.9
        assert low["corrupted"][0] > 0.9
        assert low["corrupted"][1] < 0.3
        window.locator("#order").select_option("high")
        frames(window)
        high = shown_pruned(window)
        assert high["test"][1] < 0.2
        assert high["corrupted"][1] > 0.6


class TestNeurons:
    def test_a_click_shows_one(self, window):
        found = explored_of("coexistence")
        for neuron in (7, 200):
            window.locator(f"#neuron-{neuron}").click()
            frames(window)
            assert window.locator("#one-title").text_content() == f"Neuron {neuron}"
            ipr, s = found.arrays["ipr"][-1, neuron], found.arrays["frequency"][-1, neuron]
            assert f"IPR {ipr:.4f}, strongest frequency s = {s}," in window.locator("#one-note").text_content()
            exact = [vectors[neuron] for vectors in run_of("coexistence").network().neurons()]
            plain, wound = source(window, "neuron"), source(window, "neuron-unwound")
            order = np.lexsort((np.arange(47), s * np.arange(47) % 47))
            np.testing.assert_array_equal(wound["angle"], np.sort(s * np.arange(47) % 47))
            for name, vector in zip("UVW", exact, strict=True):
                np.testing.assert_allclose(plain[name], vector, atol=abs(vector).max() / 60)
                np.testing.assert_allclose(wound[name], vector[order], atol=abs(vector).max() / 60)

    def test_it_stays_while_the_steps_go_by(self, window):
        window.locator("#neuron-7").click()
        slide(window, "step", 0)
        assert window.locator("#one-title").text_content() == "Neuron 7"
        ipr = explored_of("coexistence").arrays["ipr"][0, 7]
        assert f"Step 0: IPR {ipr:.4f}" in window.locator("#one-note").text_content()

    def test_those_in_sight_are_drawn(self, window):
        window.locator("#grid").scroll_into_view_if_needed()
        frames(window, 5)
        for canvas in window.locator("#grid canvas").all()[:5]:
            ink = canvas.evaluate("(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
                                  ".data.filter((value, index) => index % 4 === 3 && value > 0).length")
            assert ink > 50

    def test_a_pair_can_be_in_neither_set(self, browser, pages):
        found = explored_of("neither set").arrays
        m, n = np.argwhere((found["given"] < 0) & (found["tested"] == 0))[0].tolist()
        with opened(browser, pages["neither set"]) as window:
            text = window.evaluate("([m, n]) => window.explorer.question(m, n)", [m, n])
            assert text.startswith(f"{m} + {n} = {(m + n) % 13}, in neither set: ")

    def test_a_place_in_the_table_says_its_question(self, window):
        found = explored_of("coexistence")
        given, true = found.arrays["given"], found.arrays["true"]
        for which, words in ((given < 0, "in the test set: "), (given == true, "in the training set: "),
                             ((given >= 0) & (given != true), "in the training set, with the label {}: "),
                             (given == 0, "in the training set")):
            m, n = np.argwhere(which)[3].tolist()
            text = window.evaluate("([m, n]) => window.explorer.question(m, n)", [m, n])
            assert text.startswith(f"{m} + {n} = {(m + n) % 47}, {words.format(given[m, n])}")
        assert window.evaluate("() => window.explorer.question(-1, 3)") == ""


class TestTheKeyboard:
    def test_reaches_every_control_in_the_order_of_the_page(self, window):
        reached = []
        for _ in range(5):
            window.keyboard.press("Tab")
            reached.append(window.evaluate("() => document.activeElement.id"))
        best = window.locator("[role=option]").first.get_attribute("id")
        assert reached == ["play", "step", "order", "prune", best]

    def test_moves_the_sliders(self, window):
        window.locator("#step").focus()
        window.keyboard.press("Home")
        window.keyboard.press("ArrowRight")
        frames(window)
        assert window.locator("#step-shown").text_content() == "5 of 700"
        window.locator("#prune").focus()
        window.keyboard.press("End")
        frames(window)
        assert "256 of 256" in window.locator("#prune-shown").text_content()

    def test_goes_from_neuron_to_neuron(self, window):
        options = [option.get_attribute("data-neuron") for option in window.locator("[role=option]").all()]
        columns = window.evaluate(
            "() => getComputedStyle(document.getElementById('grid')).gridTemplateColumns.split(' ').length")
        window.locator("[role=option]").first.focus()
        for key, place in (("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowLeft", columns), ("ArrowUp", 0),
                           ("ArrowUp", 0), ("End", len(options) - 1), ("ArrowRight", len(options) - 1), ("Home", 0)):
            window.keyboard.press(key)
            frames(window)
            chosen = window.locator("[aria-selected=true]")
            assert chosen.count() == 1
            assert chosen.get_attribute("data-neuron") == options[place]
            assert window.evaluate("() => document.activeElement.dataset.neuron") == options[place]
            assert window.locator("#one-title").text_content() == f"Neuron {options[place]}"


class TestScreens:
    @pytest.mark.parametrize("name", SETTINGS)
    @pytest.mark.parametrize("width", [320, 390, 800, 1600])
    def test_nothing_is_wider_than_the_screen(self, width, name, browser, pages):
        with opened(browser, pages[name], width=width) as window:
            assert window.evaluate("() => document.documentElement.scrollWidth") <= width

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_words_can_be_read(self, scheme, browser, pages):
        with opened(browser, pages["coexistence"], scheme=scheme) as window:
            paper, ink, soft, right, wrong, memorised, accent = (luminance(window, name) for name in (
                "paper", "ink", "soft", "right", "wrong", "memorised", "accent"))
            assert (paper < 0.1) == (scheme == "dark")
            assert min(contrast(ink, paper), contrast(soft, paper)) >= 4.5
            assert contrast(accent, paper) >= 3
            # Told apart without colour: each kind of answer is lighter or darker than the others.
            assert min(contrast(right, memorised), contrast(wrong, memorised)) >= 2
            label = window.evaluate("() => window.explorer.models.accuracy.below[0].axis_label_text_color")
            assert label == window.evaluate("() => page.colour('ink')")

    def test_follows_a_screen_that_turns_dark(self, window):
        light = window.evaluate("() => window.explorer.models['answers-palette'].palette.join()")
        window.emulate_media(color_scheme="dark")
        frames(window)
        assert window.evaluate("() => window.explorer.models['answers-palette'].palette.join()") != light
        assert window.evaluate("() => window.explorer.models.accuracy.below[0].axis_line_color") == window.evaluate(
            "() => page.colour('ink')")


def luminance(window, name):
    """The relative luminance of a colour of the style sheet, as the Web Content Accessibility Guidelines define it."""
    red, green, blue = (int(window.evaluate("(name) => page.colour(name)", name).lstrip("#")[at:at + 2], 16) / 255
                        for at in (0, 2, 4))
    return sum(weight * (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
               for weight, value in zip((0.2126, 0.7152, 0.0722), (red, green, blue), strict=True))


def contrast(one, other):
    """Their contrast ratio."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_a_page_is_a_few_megabytes(pages):
    assert all(path.stat().st_size < BYTES + 1_500_000 for path in pages.values())
