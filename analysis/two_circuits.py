"""Two circuits that share a loss: a model of grokking small enough to solve.

C_gen and C_mem are lookup tables, with outputs scaled by learnt scalars s_gen and s_mem. Among q classes the logits of
example x, whose right class is y(x), are

    z(x) = s_gen G(x) + s_mem M(x)      G(x) = e_y(x)          on every example
                                        M(x) = e_y(x)          on the training examples
                                        M(x) = u(x) e_w(x)     elsewhere: a wrong class w(x), 0 < u(x) < 1

and each scalar is a product of two sub-weights, s_i = a_i b_i. The cost is the cross-entropy on the training set, and a
weight decay that charges each circuit at its own rate: with S = s_gen + s_mem and decay_i = lambda c_i,

    cost = L(S) + 1/2 sum_i decay_i (a_i^2 + b_i^2)      L(S) = log(1 + (q - 1) exp(-S))

    g = -dL/dS = (q - 1) / (q - 1 + exp(S))              what the right class lacks in probability
    da_i = decay_i a_i - g b_i        db_i = decay_i b_i - g a_i

The cheaper a circuit, the more efficient it is: at balance, a_i = b_i, the logit s_i costs decay_i s_i.

Growth. Under gradient flow (time t = learning rate x steps) the mean h_i = (a_i + b_i)/2 and the half difference
d_i = (a_i - b_i)/2 obey

    dh_i/dt = (g - decay_i) h_i      dd_i/dt = -(g + decay_i) d_i      s_i = h_i^2 - d_i^2

so that the difference dies away, s_i = h_i^2, and sub-weights grow at the rate g - decay_i, scalars at twice that. The
growth is exponential: what starts small is late, though its rate is the same.

Equilibria. A circuit rests where g = decay_i, that is at the logit

    S = log((q - 1)(1/decay_i - 1)) > 0      if decay_i < 1 - 1/q, otherwise it decays to nothing

Two circuits of unequal cost cannot rest together. With C_mem at rest, C_gen's sub-weights grow at the rate
decay_mem - decay_gen: a_gen as exp(lambda (c_mem - c_gen) t), s_gen as its square. The cost at balance is linear in the
scalars, hence the cheaper circuit takes all; only where the costs tie is every division of S at rest.

The ratio of the circuits. Both feel the same g, which cancels: whatever the loss does,

    r(t) = (h_gen / h_mem)^2 = r(0) exp(2 lambda (c_mem - c_gen) t)

A test example is right where s_gen > s_mem u, for large S. With u uniform in (0, 1) the test accuracy is min(r, 1). It
reaches A at

    t = log(A / r(0)) / (2 lambda (c_mem - c_gen))

which is the delay of grokking: there is one if C_gen exists, is cheaper, and starts small. (Seen from the equilibrium
of C_mem it is the time in which s_gen grows to the size of s_mem; but C_gen has grown before as well, with C_mem.)

Training-set size. A table of D entries costs in proportion to D, a rule does not: c_mem = c_gen D / D_crit. From r(0),
the accuracy is A after a time t at the size

    D = D_crit (1 + log(A / r(0)) / (2 lambda c_gen t))

From scratch, r(0) << A, this lies above D_crit; after grokking, r(0) >> A, below it. Both tend to D_crit as 1/t, and so
does the width of the transition to zero. Weight decay enters as lambda t alone: it is a clock.

What counts as right here is a class with more than half of the probability: S > log(q - 1) in training, and
exp(s_gen) > exp(s_mem u) + q - 2 elsewhere, which tends to s_gen > s_mem u. (The largest logit would be right in
training as soon as S > 0, however small.)

From the paper are the two tables, the products and the two charges; the graded confidence u, the small start of C_gen,
the cost proportional to D, the half of the probability and all formulas for times and sizes are this module's own.

References
----------
Varma et al. (arXiv 2309.02390), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def missing_probability(S: np.ndarray, classes: int) -> np.ndarray:
    """g: one less the probability of the right class on training examples, at their logit S (...) -> array (...)."""
    return (classes - 1) / (classes - 1 + np.exp(S))


def cost(a: np.ndarray, b: np.ndarray, decay: np.ndarray, classes: int) -> np.ndarray:
    """Cross-entropy on the training set and weight decay.

    Parameters
    ----------
    a, b : array (2, ...)
        The sub-weights of C_gen and C_mem.
    decay : array (2, ...)
        lambda c_gen and lambda c_mem.
    classes : int
        q.

    Returns
    -------
    cost : array (...)
    """
    return np.log1p((classes - 1) * np.exp(-(a * b).sum(axis=0))) + (decay * (a**2 + b**2)).sum(axis=0) / 2


def gradient(a: np.ndarray, b: np.ndarray, decay: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """da and db, the derivatives of `cost` by the sub-weights; parameters as there -> arrays (2, ...)."""
    g = missing_probability((a * b).sum(axis=0), classes)
    return decay * a - g * b, decay * b - g * a


def descend(a: np.ndarray, b: np.ndarray, decay: np.ndarray, classes: int, learning_rate: float,
            records: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Gradient descent on `cost`, of many runs at once.

    Parameters
    ----------
    a, b, decay, classes
        As for `cost`; a and b are where it starts.
    learning_rate : float
    records : sequence (T,) of int
        After how many steps the sub-weights are kept, ascending; 0 is the start.

    Returns
    -------
    a, b : array (T, 2, ...)

    Raises
    ------
    ValueError
        If the records are none, negative or do not ascend.
    """
    records = np.asarray(records)
    if len(records) == 0 or records[0] < 0 or np.any(np.diff(records) <= 0):
        raise ValueError(f"records must be steps in ascending order, from 0 on, got {records.tolist()}")
    a, b, decay = np.broadcast_arrays(a, b, decay)
    kept = np.empty((2, len(records), *a.shape))
    for place, steps in enumerate(np.diff(records, prepend=0)):
        for _ in range(steps):
            da, db = gradient(a, b, decay, classes)
            a, b = a - learning_rate * da, b - learning_rate * db
        kept[:, place] = a, b
    return kept[0], kept[1]


def equilibrium_logit(decay: np.ndarray, classes: int) -> np.ndarray:
    """The logit at which a circuit alone rests, decay (...) -> array (...); 0 where its decay lets nothing grow."""
    return np.log(np.maximum((classes - 1) * (1 / np.asarray(decay) - 1), 1))


def train_accuracy(s: np.ndarray, classes: int) -> np.ndarray:
    """0 or 1, s (2, ...) -> array (...): all training examples have the same logits."""
    return (s.sum(axis=0) > np.log(classes - 1)).astype(float)


def test_accuracy(s: np.ndarray, u: np.ndarray, classes: int) -> np.ndarray:
    """The share of test examples whose right class has more than half of the probability.

    Parameters
    ----------
    s : array (2, ...)
        s_gen and s_mem.
    u : array (K,)
        At what confidence C_mem gives a wrong answer, for each test example.
    classes : int

    Returns
    -------
    accuracy : array (...)
    """
    s_gen, s_mem = s
    # log(exp(s_gen) - (q - 2)), which s_mem u must stay below; 0 where that is negative or no number, without overflow.
    room = s_gen + np.log(np.maximum(1 - (classes - 2) * np.exp(-s_gen), np.exp(-s_gen)))
    return (s_mem[..., None] * u < room[..., None]).mean(axis=-1)


def start_ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """r = (h_gen / h_mem)^2, which s_gen / s_mem is once the sub-weights balance; a, b (2, ...) -> array (...)."""
    h_gen, h_mem = a + b
    return (h_gen / h_mem) ** 2


def crossing_time(ratio: np.ndarray, decay: np.ndarray, accuracy: float = 0.5) -> np.ndarray:
    """The time, learning rate x steps, at which the test accuracy passes a value.

    Parameters
    ----------
    ratio : array (...)
        r at time 0.
    decay : array (2, ...)
        Unequal.
    accuracy : float in (0, 1)

    Returns
    -------
    time : array (...)
        Negative if the test accuracy goes away from it.
    """
    decay_gen, decay_mem = decay
    return np.log(accuracy / ratio) / (2 * (decay_mem - decay_gen))


def crossing_size(ratio: np.ndarray, decay_gen: np.ndarray, time: np.ndarray, critical_size: float,
                  accuracy: float = 0.5) -> np.ndarray:
    """The training-set size D at which the test accuracy has a value after a given time.

    Parameters
    ----------
    ratio : array (...)
        r at time 0.
    decay_gen, time : array (...)
        lambda c_gen, and learning rate x steps.
    critical_size : float
        D_crit.
    accuracy : float in (0, 1)

    Returns
    -------
    size : array (...)
    """
    return critical_size * (1 + np.log(accuracy / ratio) / (2 * decay_gen * time))
