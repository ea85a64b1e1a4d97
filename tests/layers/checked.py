"""Checks of layers of one's own: what goes in, and the rows that come out by their names."""

import numpy as np

from layers import Mode

TRAINING = Mode(training=True)


def draw(*shape, seed=0):
    """Numbers of a normal distribution."""
    return np.random.default_rng(seed).normal(size=shape)


def by_tensor(rows):
    """Rows of a check by what they are of."""
    return {row.tensor: row for row in rows}


def failed(rows):
    """What did not pass."""
    return {row.tensor for row in rows if not row.passed}
