"""What the explorer says of a run is what the run, its summary and the pruning experiment say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.figures import LOGARITHMS
from analysis.ipr import neuron_ipr
from analysis.pruning import pruning_curves, pruning_orders
from experiments.explore import measuring
from experiments.explore.measuring import MEMORISED, NO_QUESTION, RIGHT, WRONG, explored, moments
from experiments.pruning import observe_pruning
from tests.experiments.explore.runs import SETTINGS, explored_of, run_of
from training.figures import pruning_sets
from training.setup import rule_neurons

PRUNED = ("coexistence", "without snapshots", "no test set", "neither set", "one neuron")
MODULAR = (*PRUNED, "transformer")


@pytest.fixture(params=SETTINGS)
def name(request):
    return request.param


@pytest.fixture
def found(name):
    return explored_of(name)


def network_at(run, step):
    return run.network(step) if step in run.snapshots else run.network() if step else run.initial_network()


class TestAnyRun:
    def test_history_and_summary_are_the_runs_own(self, name, found):
        run = run_of(name)
        assert found.values["summary"] == run.summary()
        assert [dict(zip(found.values["history"], row, strict=True))
                for row in zip(*found.values["history"].values(), strict=True)] == run.history.rows

    def test_weights_are_those_of_all_known_steps(self, name, found):
        run = run_of(name)
        assert found.values["moments"] == sorted({0, *run.snapshots, run.step})

    def test_sets_are_those_that_there_are(self, name, found):
        there = [set_ for set_ in ("train", "test", "corrupted", "uncorrupted")
                 if not np.isnan(run_of(name).history[f"{set_}_accuracy"]).any()]
        if "corrupted" not in there:
            there.remove("uncorrupted")
        assert list(found.values["sets"]) == there

    def test_arrays_go_with_the_moments(self, found):
        of_all = {"neurons", "true", "given", "tested"}
        lengths = {len(array) for name, array in found.arrays.items() if name not in of_all}
        assert lengths <= {len(found.values["moments"])}


class TestNeurons:
    @pytest.fixture(autouse=True)
    def _with_neurons(self, found):
        if not found.values["vectors"]:
            pytest.skip("there are none")

    def test_ipr_is_that_of_the_weights(self, name, found):
        run = run_of(name)
        for step, ipr in zip(found.values["moments"], found.arrays["ipr"], strict=True):
            np.testing.assert_allclose(ipr, neuron_ipr(*rule_neurons(network_at(run, step), run.config)), rtol=1e-6)
        assert found.arrays["ipr"][-1].mean() == pytest.approx(run.summary()["mean_ipr"], rel=1e-5)

    def test_drawn_weights_are_the_weights_to_half_a_level(self, name, found):
        for number, step in enumerate(found.values["moments"]):
            exact = np.stack(rule_neurons(network_at(run_of(name), step), run_of(name).config), axis=1)
            scale = found.arrays["scale"][number][..., None]
            np.testing.assert_allclose(scale[..., 0], abs(exact).max(axis=-1), rtol=1e-6)
            drawn = found.arrays["weights"][number] * scale / measuring.LEVELS
            assert (abs(drawn - exact) <= 0.501 * scale / measuring.LEVELS).all()

    def test_of_division_are_along_the_logarithms(self, name, found):
        of_10 = found.arrays["weights"].shape[-1] == run_of(name).config.p - 1 == found.values["places"]
        assert of_10 == (run_of(name).config.operation == "divide") == ("logarithms" in found.values["waves"])
        assert of_10 == (found.values["along"] == LOGARITHMS)

    def test_the_frequency_is_the_strongest(self, found):
        shares, frequency = found.arrays["shares"], found.arrays["frequency"]
        strongest = np.take_along_axis(shares, frequency[..., None], axis=-1)[..., 0]
        np.testing.assert_array_equal(strongest, shares[..., 1:].max(axis=-1))


class TestPruning:
    @pytest.fixture(params=PRUNED)
    def name(self, request):
        return request.param

    def test_accuracies_are_those_of_the_analysis(self, name, found):
        run = run_of(name)
        for number, step in enumerate(found.values["moments"]):
            network = network_at(run, step)
            orders = pruning_orders(neuron_ipr(*rule_neurons(network, run.config)), run.config.seed)
            curves = pruning_curves(network, pruning_sets(run), orders, found.values["counts"])
            for order, accuracies in zip(found.values["orders"], found.arrays["pruned_accuracy"][number], strict=True):
                for column, set_ in enumerate(found.values["pruned_sets"]):
                    np.testing.assert_array_equal(accuracies[:, column], curves[order].accuracy[set_])

    def test_the_order_is_that_of_ipr(self, found):
        for ipr, orders in zip(found.arrays["ipr"], found.arrays["order"], strict=True):
            for order in orders:
                np.testing.assert_array_equal(np.sort(order), np.arange(len(ipr)))
            assert (np.diff(ipr[orders[0]]) >= 0).all()
            assert (np.diff(ipr[orders[1]]) <= 0).all()

    def test_unpruned_it_is_the_summary(self, name, found):
        for column, set_ in enumerate(found.values["pruned_sets"]):
            accuracy = run_of(name).summary()[f"{set_}_accuracy"]
            assert found.arrays["pruned_accuracy"][-1, :, 0, column] == pytest.approx(accuracy, abs=1e-12)

    def test_numbers_are_those_of_the_experiment(self):
        run, found = run_of("coexistence"), explored_of("coexistence")
        observed = observe_pruning(run)
        at = [observed["fractions"].index(count / run.config.width) for count in found.values["counts"]
              if count / run.config.width in observed["fractions"]]
        shared = [point for point, count in enumerate(found.values["counts"])
                  if count / run.config.width in observed["fractions"]]
        assert len(at) > 10
        for number, order in enumerate(found.values["orders"]):
            for column, set_ in enumerate(found.values["pruned_sets"]):
                np.testing.assert_array_equal(found.arrays["pruned_accuracy"][-1, number, shared, column],
                                              np.array(observed["accuracy"][order][set_])[at])


class TestAnswers:
    @pytest.fixture(params=MODULAR)
    def name(self, request):
        return request.param

    def test_they_give_the_accuracies_of_every_moment(self, name, found):
        """The four accuracies can be counted off the table."""
        run, answers = run_of(name), found.arrays["answers"]
        rows = {row["step"]: row for row in run.history.rows}
        true, given_, tested = (found.arrays[array] for array in ("true", "given", "tested"))
        tested = tested == 1
        assert tested.sum() == len(run.problem().test)
        trained = given_ >= 0
        wrong = trained & (given_ != true)
        for step, table in zip(found.values["moments"], answers[:, 0, 0], strict=True):
            says_given = np.where(wrong, table == MEMORISED, table == RIGHT)
            expected = {"train": says_given[trained], "test": (table == RIGHT)[tested]}
            for set_, right in expected.items():
                accuracy = rows[step][f"{set_}_accuracy"]
                assert (accuracy is None) == (right.size == 0)
                if right.size:
                    assert right.mean() == pytest.approx(accuracy, abs=1e-9)

    def test_they_follow_pruning(self, found):
        answers, accuracy = found.arrays["answers"], found.arrays.get("pruned_accuracy")
        if accuracy is None:
            assert answers.shape[1:3] == (1, 1)
            return
        assert answers.shape[:3] == accuracy.shape[:3]
        tested = found.arrays["tested"] == 1
        if tested.any():
            column = found.values["pruned_sets"].index("test")
            np.testing.assert_allclose((answers[..., tested] == RIGHT).mean(axis=-1), accuracy[..., column], atol=1e-12)

    def test_a_place_has_no_answer_where_there_is_no_question(self, found):
        nowhere = (found.arrays["answers"] == NO_QUESTION).all(axis=(0, 1, 2))
        np.testing.assert_array_equal(nowhere, found.arrays["true"] < 0)

    def test_only_wrong_labels_are_memorised(self, found):
        wrong = (found.arrays["given"] >= 0) & (found.arrays["given"] != found.arrays["true"])
        assert not (found.arrays["answers"] == MEMORISED)[..., ~wrong].any()
        assert (found.arrays["answers"] == WRONG).any()

    def test_of_a_large_modulus_only_whole_networks_answer(self, monkeypatch):
        whole = explored_of("without snapshots")
        monkeypatch.setattr(measuring, "PRUNED_P", 12)
        found = explored(run_of("without snapshots"))
        np.testing.assert_array_equal(found.arrays["answers"], whole.arrays["answers"][:, :1, :1])
        np.testing.assert_array_equal(found.arrays["pruned_accuracy"], whole.arrays["pruned_accuracy"])


@given(room=st.integers(0, 12))
def test_moments_that_there_is_no_room_for_are_left_out(room):
    run = run_of("coexistence")
    known = sorted({0, *run.snapshots, run.step})
    steps = moments(run, measuring.BYTES // room if room else 10 * measuring.BYTES)
    assert len(steps) == min(len(known), max(2, room))
    assert set(steps) <= set(known)
    assert (steps[0], steps[-1]) == (known[0], known[-1])


def test_of_many_neurons_some_are_shown(monkeypatch):
    monkeypatch.setattr(measuring, "NEURONS", 5)
    found = explored(run_of("without snapshots"))
    ipr = found.arrays["ipr"][-1]
    assert len(ipr) == 40
    shown = found.arrays["neurons"]
    assert found.arrays["weights"].shape[1] == len(set(shown.tolist())) == 5
    assert {ipr.min(), ipr.max()} <= set(ipr[shown].tolist())
