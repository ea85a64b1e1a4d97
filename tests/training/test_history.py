
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import COLUMNS, History

extremes = st.sampled_from([5e-324, 1.7976931348623157e308, 1 / 3, -0.0])
values = st.none() | st.floats(allow_nan=False, allow_infinity=False) | extremes
histories = st.lists(st.tuples(st.integers(0, 2 ** 62), *[values] * (len(COLUMNS) - 1)), max_size=5)
accuracies = st.none() | st.sampled_from([0.0, 0.3, 0.4999, 0.5, 0.5001, 0.9, 0.9499, 0.95, 1.0])


def history(steps=None, **columns):
    """A history with these columns, 0.5 in the others, and a row every ten steps unless told."""
    length = max(len(column) for column in columns.values())
    made = History()
    for row, step in enumerate(steps or range(0, 10 * length, 10)):
        made.append({"step": step, **{name: columns[name][row] if name in columns else 0.5 for name in COLUMNS[1:]}})
    return made


def written():
    return history(test_accuracy=[0.1, 0.96, None], train_loss=[0.25, 1e-300, 0.5]).to_csv()


class TestCSV:
    @given(histories)
    def test_round_trip_keeps_every_number_exactly(self, rows):
        before = History()
        for row in rows:
            before.append(dict(zip(COLUMNS, row, strict=True)))
        after = History.from_csv(before.to_csv())
        assert [list(map(repr, row.values())) for row in after.rows] == [
            list(map(repr, row.values())) for row in before.rows]

    def test_has_a_line_of_names_and_one_for_each_row(self):
        lines = written().splitlines()
        assert lines[0] == ("step,train_loss,test_loss,train_accuracy,test_accuracy,corrupted_accuracy,"
                            "uncorrupted_accuracy,mean_ipr,weight_norm")
        assert lines[2] == "10,1e-300,0.5,0.5,0.96,0.5,0.5,0.5,0.5"

    def test_leaves_undefined_values_empty(self):
        assert written().splitlines()[3] == "20,0.5,0.5,0.5,,0.5,0.5,0.5,0.5"

    @pytest.mark.parametrize("damage", [
        lambda text: "",
        lambda text: text.replace("train_loss", "loss"),
        lambda text: text.replace("step,", ""),
        lambda text: text.replace("weight_norm", "weight_norm,more"),
        lambda text: text.replace("1e-300", "small"),
        lambda text: text.replace("0,0.25", "0.5,0.25"),
        lambda text: text[:text.rindex(",0.5")],
        lambda text: text.replace("10,", "10,0.5,"),
    ], ids=["empty", "another name", "a name missing", "a name too many", "a word", "half a step", "cut short",
            "a value too many"])
    def test_that_is_damaged_is_refused(self, damage):
        damaged = damage(written())
        assert damaged != written()
        with pytest.raises(ValueError, match=r"history|invalid|convert"):
            History.from_csv(damaged)


class TestColumns:
    def test_are_arrays_with_nan_where_nothing_is_defined(self):
        column = history(test_accuracy=[0.1, None, 0.3])["test_accuracy"]
        assert column.dtype == np.float64
        np.testing.assert_array_equal(column, [0.1, np.nan, 0.3])

    def test_of_a_row_must_all_be_there(self):
        with pytest.raises(KeyError):
            History().append({"step": 0})

    def test_of_the_last_row_are_the_newest(self):
        assert history(mean_ipr=[0.1, 0.2]).last["mean_ipr"] == 0.2


class TestGrokStep:
    @pytest.mark.parametrize(("accuracies", "step"), [
        ([0.1, 0.94, 0.95, 1.0], 20),
        ([0.99, 0.1], 0),
        ([0.1, 0.96, 0.2, 0.99], 10),
        ([0.1, 0.9499], None),
        ([None, None], None),
    ])
    def test_is_the_first_with_a_test_accuracy_of_95_percent(self, accuracies, step):
        assert history(test_accuracy=accuracies).grok_step == step

    @given(st.lists(accuracies, min_size=1, max_size=8))
    def test_agrees_with_a_search_row_by_row(self, column):
        expected = next((10 * row for row, value in enumerate(column) if value is not None and value >= 0.95), None)
        assert history(test_accuracy=column).grok_step == expected


class TestUnlearnStep:
    @pytest.mark.parametrize(("accuracies", "step"), [
        ([0.0, 0.9, 0.6, 0.4, 0.1], 30),
        ([0.0, 0.2, 0.4, 0.3], None),      # never above one half: there was nothing to unlearn
        ([0.0, 0.9, 0.8], None),
        ([0.0, 0.5, 0.0], None),
        ([0.9, 0.5, 0.49], 20),
        ([0.9, 0.1, 0.9, 0.1], 30),
        ([0.02, 0.52, 0.31, 0.99], None),  # it wavered while it memorised
        ([None, None, None], None),        # without corruption
    ])
    def test_is_the_first_from_which_it_stays_below_one_half_after_one_above(self, accuracies, step):
        assert history(corrupted_accuracy=accuracies).unlearn_step == step

    @given(st.lists(accuracies, min_size=1, max_size=8))
    def test_agrees_with_a_search_row_by_row(self, column):
        steps = [10 * row for row in range(len(column))
                 if any(value is not None and value > 0.5 for value in column[:row])
                 and all(value is not None and value < 0.5 for value in column[row:])]
        assert history(corrupted_accuracy=column).unlearn_step == min(steps, default=None)


@pytest.mark.parametrize(("accuracies", "best"), [([0.1, 0.97, 0.4], 0.97), ([None, 0.2], 0.2), ([None], None)])
def test_the_best_test_accuracy_is_that_of_the_whole_run(accuracies, best):
    assert history(test_accuracy=accuracies).best_test_accuracy == best
