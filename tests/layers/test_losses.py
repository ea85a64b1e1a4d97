"""What the losses compute."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from layers import (
    Cache,
    CrossEntropy,
    MeanSquaredError,
)
from tests.strategies import cases, every_loss


class TestLosses:
    @staticmethod
    def one_hot(labels, shape):
        return np.broadcast_to(np.eye(shape[-1])[labels], shape)

    @given(case=cases())
    def test_mean_squared_error_is_that_to_the_one_hot_targets(self, case):
        z, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
        residual, cache = z - self.one_hot(labels, z.shape), Cache()
        np.testing.assert_allclose(MeanSquaredError().forward(z, labels, cache), (residual ** 2).mean(axis=(-2, -1)))
        np.testing.assert_allclose(MeanSquaredError().backward(cache), 2 * residual / (case.examples * case.p))

    @given(case=cases())
    def test_cross_entropy_is_minus_the_mean_log_probability(self, case):
        z, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
        P, target, cache = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True), self.one_hot(labels, z.shape), Cache()
        np.testing.assert_allclose(CrossEntropy().forward(z, labels, cache),
                                   -(np.log(P) * target).sum(axis=-1).mean(axis=-1), rtol=1e-10)
        np.testing.assert_allclose(CrossEntropy().backward(cache), (P - target) / case.examples, rtol=1e-10, atol=1e-12)

    @given(case=cases(), shift=st.floats(-100, 100))
    def test_cross_entropy_does_not_see_a_shift_of_all_logits(self, case, shift):
        z, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
        np.testing.assert_allclose(CrossEntropy().forward(z + shift, labels, Cache()),
                                   CrossEntropy().forward(z, labels, Cache()), rtol=1e-9, atol=1e-11)

    @given(case=cases(), dtype=st.sampled_from(["float32", "float64"]))
    def test_cross_entropy_stands_huge_logits(self, case, dtype):
        z, labels, cache = np.zeros((*case.stack, case.examples, case.p), dtype), case.labels(), Cache()
        z[..., 0] = 1e4
        loss = CrossEntropy().forward(z, labels, cache)
        wrong = np.broadcast_to(labels != 0, z.shape[:-1])
        np.testing.assert_allclose(loss, 1e4 * wrong.mean(axis=-1), rtol=1e-6)
        expected = (self.one_hot(np.zeros_like(labels), z.shape) - self.one_hot(labels, z.shape)) / case.examples
        np.testing.assert_allclose(CrossEntropy().backward(cache), expected, rtol=1e-6)

    @every_loss
    @given(case=cases())
    def test_a_loss_leaves_the_logits_alone(self, loss, case):
        z, cache = case.normal((*case.stack, case.examples, case.p)), Cache()
        before = z.copy()
        loss.forward(z, case.labels(), cache)
        loss.backward(cache)
        np.testing.assert_array_equal(z, before)

    @every_loss
    @given(case=cases(min_examples=2))
    def test_the_losses_of_two_chunks_add_up_to_that_of_the_batch(self, loss, case):
        z, labels = case.normal((*case.stack, case.examples, case.p)), case.labels()
        chunks = [loss.forward(z[..., rows, :], labels[..., rows], Cache(), examples=case.examples)
                  for rows in (slice(1), slice(1, None))]
        np.testing.assert_allclose(sum(chunks), loss.forward(z, labels, Cache()), rtol=1e-12)

    @every_loss
    @given(case=cases(), in_place=st.booleans())
    def test_the_gradient_alone_is_that_of_both_passes(self, loss, case, in_place):
        z, labels, cache = case.normal((*case.stack, case.examples, case.p)), case.labels(), Cache()
        loss.forward(z, labels, cache, examples=7)
        expected = loss.backward(cache)
        gradient = loss.gradient(z, labels, Cache(), examples=7, out=z if in_place else None)
        np.testing.assert_array_equal(gradient, expected)
        assert (gradient is z) == in_place

    @every_loss
    @given(case=cases(), examples=st.sampled_from([None, 7]))
    def test_backward_is_the_slope_of_forward(self, loss, case, examples):
        z, labels, cache = case.normal((*case.stack, case.examples, case.p)), case.labels(), Cache()
        v, h = case.normal(z.shape, 1), 1e-5
        loss.forward(z, labels, cache, examples)
        up, down = (loss.forward(z + sign * h * v, labels, Cache(), examples) for sign in (1, -1))
        slope = (up - down) / (2 * h)
        np.testing.assert_allclose((loss.backward(cache) * v).sum(axis=(-2, -1)), slope, rtol=1e-6, atol=1e-8)
