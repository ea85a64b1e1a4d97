import configparser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import data
from data import mnist_problem
from data.images import DIGITS, FILE, INK, PIXELS, TEST_IMAGES, TRAIN_IMAGES, mnist_arrays

# How the database begins; its labels are printed in many places.
FIRST_TRAIN_LABELS = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
FIRST_TEST_LABELS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]

sizes = st.sampled_from([1, 2, 10, 50, 1000])


class TestTheFile:
    def test_holds_images_and_labels(self):
        described = {name: (array.shape, array.dtype) for name, array in mnist_arrays().items()}
        assert described == {
            "train_images": ((TRAIN_IMAGES, 28, 28), np.uint8), "train_labels": ((TRAIN_IMAGES,), np.uint8),
            "test_images": ((TEST_IMAGES, 28, 28), np.uint8), "test_labels": ((TEST_IMAGES,), np.uint8)}

    def test_is_the_database_in_its_order(self):
        assert mnist_arrays()["train_labels"][:10].tolist() == FIRST_TRAIN_LABELS
        assert mnist_arrays()["test_labels"][:10].tolist() == FIRST_TEST_LABELS

    def test_has_no_image_in_both_sets(self):
        train, test = ({image.tobytes() for image in mnist_arrays()[f"{name}_images"]} for name in ("train", "test"))
        assert not train & test

    def test_is_installed_with_its_attribution(self):
        setup = configparser.ConfigParser()
        setup.read(Path(data.__file__).parents[1] / "setup.cfg")
        shipped = setup["options.package_data"]["data"].split()
        assert {path.name for path in FILE.parent.iterdir() if path.suffix in (".npz", ".md")} <= set(shipped)
        text = FILE.with_name("README.md").read_text()
        assert all(word in text for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0", FILE.name))


class TestTheProblem:
    def test_has_rows_of_pixels_between_0_and_1(self):
        problem = mnist_problem(20)
        assert problem.train.inputs.shape == (20, PIXELS)
        assert problem.test.inputs.shape == (TEST_IMAGES, PIXELS)
        assert problem.train.inputs.dtype == problem.test.inputs.dtype == np.float64
        assert problem.train.labels.dtype == problem.test.labels.dtype == np.int64
        np.testing.assert_array_equal(problem.train.inputs * INK, mnist_arrays()["train_images"][:20].reshape(20, -1))
        assert (problem.test.inputs.min(), problem.test.inputs.max()) == (0, 1)

    def test_trains_on_the_first_images(self):
        few, many = mnist_problem(10).train, mnist_problem(1000).train
        assert few.true_labels.tolist() == FIRST_TRAIN_LABELS
        np.testing.assert_array_equal(few.inputs, many.inputs[:10])
        # As other works count it, 175 pixels are lit in none of the first thousand images.
        assert (many.inputs.max(axis=0) == 0).sum() == 175

    def test_has_one_array_of_images_for_all_runs_which_nobody_can_change(self):
        one, other = mnist_problem(30, 0.1, seed=1), mnist_problem(30, 0.5, seed=2)
        for name in ("train", "test"):
            images = getattr(one, name).inputs
            assert images is getattr(other, name).inputs
            with pytest.raises(ValueError, match="read-only"):
                images[0, 0] = 1

    @given(examples=sizes, xi=st.floats(0, 1), seed=st.integers(0, 2 ** 32))
    def test_has_the_asked_for_share_of_labels_redrawn_and_no_other_wrong(self, examples, xi, seed):
        problem = mnist_problem(examples, xi, seed)
        train, test = problem.train, problem.test
        assert train.corrupted.sum() == int(xi * examples)
        assert (train.labels == train.true_labels)[~train.corrupted].all()
        assert set(train.labels.tolist()) <= set(range(DIGITS))
        assert not test.corrupted.any()
        assert test.labels.tolist() == test.true_labels.tolist()

    @given(seed=st.integers(0, 2 ** 32))
    def test_redraws_one_label_in_ten_as_it_was(self, seed):
        train = mnist_problem(7000, 1.0, seed).train
        right = np.mean(train.labels == train.true_labels)
        assert right == pytest.approx(0.1, abs=6 * np.sqrt(0.09 / 7000))  # six standard deviations

    @given(examples=sizes, seed=st.integers(0, 2 ** 32))
    def test_corrupts_the_same_images_and_more_with_a_larger_share(self, examples, seed):
        few, many = mnist_problem(examples, 0.2, seed).train, mnist_problem(examples, 0.6, seed).train
        assert (many.corrupted | ~few.corrupted).all()
        assert few.labels[few.corrupted].tolist() == many.labels[few.corrupted].tolist()

    def test_depends_on_the_seed(self):
        one, other = (mnist_problem(1000, 0.5, seed).train for seed in (0, 1))
        assert (one.corrupted != other.corrupted).any()
