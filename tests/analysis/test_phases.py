import numpy as np
import pytest

from analysis.phases import PHASES, phase


@pytest.mark.parametrize(("train", "test", "xi", "best", "expected"), [
    # The reference runs of the paper.
    (0.978, 0.983, 0.35, 0.983, "coexistence"),
    (0.786, 1.000, 0.35, 1.000, "partial inversion"),
    (0.654, 1.000, 0.35, 1.000, "full inversion"),
    (0.009, 0.011, 0.35, 0.990, "forgetting"),
    (1.000, 0.050, 0.35, 0.050, "memorization"),
    (0.300, 0.120, 0.35, 0.200, "confusion"),
    # A network that memorised after it had generalised still memorises.
    (1.000, 0.500, 0.35, 0.990, "memorization"),
    # The thresholds belong to what lies above them.
    (0.9, 0.9, 0.35, 0.9, "coexistence"),
    (0.8999, 0.9, 0.35, 0.9, "partial inversion"),
    (0.7, 0.9, 0.35, 0.9, "partial inversion"),
    (0.6999, 0.9, 0.35, 0.9, "full inversion"),
    (0.9, 0.8999, 0.35, 0.8999, "memorization"),
    (0.8999, 0.8999, 0.35, 0.9, "forgetting"),
    (0.8999, 0.8999, 0.35, 0.8999, "confusion"),
    # Without room for partial inversion.
    (0.8999, 1.0, 0.15, 1.0, "full inversion"),
    (0.8999, 1.0, 0.0, 1.0, "full inversion"),
])
def test_the_table_of_the_paper(train, test, xi, best, expected):
    assert phase(train, test, xi, best) == expected
    assert expected in PHASES


@pytest.mark.parametrize("xi", np.arange(4, 19) / 20)
def test_accuracies_at_a_threshold_are_on_its_upper_side_however_they_are_rounded(xi):
    for accuracy in (1.05 - xi, float(np.float32(1.05 - xi)), round(1.05 - xi, 2), np.float32(1.05 - xi)):
        assert phase(accuracy, float(np.float32(0.9)), xi, 1.0) == "partial inversion"
    assert phase(1.05 - xi - 1e-4, 0.9, xi, 1.0) == "full inversion"


@pytest.mark.parametrize("test_accuracy", [None, float("nan"), np.float32("nan")])
def test_without_a_test_set_there_is_no_phase(test_accuracy):
    assert phase(1.0, test_accuracy, 0.35, float("nan")) is None
