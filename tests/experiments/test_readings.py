"""Where a curve is first at a level, and what of it comes after memorising."""

import numpy as np
import pytest

from experiments.readings import first_where, since_memorised


@pytest.mark.parametrize(("condition", "value"), [([False, True, True], 20), ([True, False, False], 10),
                                                  ([False] * 3, None), (np.array([0.1, 0.2, 0.9]) > 0.5, 30)])
def test_it_is_the_first_value_at_which_the_condition_holds(condition, value):
    for values in ([10, 20, 30], np.array([10, 20, 30]), range(10, 40, 10)):
        found = first_where(values, condition)
        assert found == value
        assert type(found) is type(value)  # a plain number, which JSON can hold


def test_of_other_values_it_is_the_value_itself():
    moments = [{"step": 0}, {"step": 10}]
    assert first_where(moments, (one["step"] > 5 for one in moments)) is moments[1]


def test_what_was_before_the_training_set_is_learnt_is_left_out_and_what_is_undefined():
    curves = {"train_accuracy": [0.1, 0.9, 0.8, 1.0], "step": [0, 10, 20, 30], "mean_ipr": [None] * 4}
    found = since_memorised(curves)
    assert list(found) == ["train_accuracy", "step"]
    assert found["step"].tolist() == [10, 20, 30]
    assert since_memorised({**curves, "train_accuracy": [0.1] * 4})["step"].tolist() == [30]
