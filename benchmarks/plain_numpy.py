"""The default network as one would first write it in NumPy: what workspaces, chunks and threads are measured against.

Every intermediate result is a new array, the gradient of the embedding is a product with a one-hot matrix, and the
BLAS library has all cores.
"""

from __future__ import annotations

import numpy as np

from benchmarks.contenders import Contender, Task


class PlainNumPy(Contender):
    """Eq. 1 of Doshi et al. with MSE and AdamW, full batch.

    Parameters
    ----------
    task : Task
    """

    name = "plain NumPy"

    def __init__(self, task: Task):
        self.weights = {name: task.weights[name].copy() for name in "UVW"}
        self.moments = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in self.weights.items()}
        identity, data = np.eye(task.config.p, dtype=np.float32), task.problem.train
        self.m, self.n, self.targets = identity[data.inputs[:, 0]], identity[data.inputs[:, 1]], identity[data.labels]
        self.pairs, self.steps = data.inputs, 0
        self.learning_rate, self.weight_decay = task.config.learning_rate, task.config.weight_decay

    def logits(self):
        """The hidden layer before and after the square, and the logits."""
        U, V, W = (self.weights[name] for name in "UVW")
        h = U[self.pairs[:, 0]] + V[self.pairs[:, 1]]
        a = h ** 2
        return h, a, a @ W

    def loss(self) -> float:
        """The mean squared error on the training set."""
        return float(np.mean((self.logits()[2] - self.targets) ** 2))

    def step(self) -> None:
        """Make one step."""
        h, a, logits = self.logits()
        dlogits = 2 / logits.size * (logits - self.targets)
        dh = dlogits @ self.weights["W"].T * 2 * h
        gradients = {"U": self.m.T @ dh, "V": self.n.T @ dh, "W": a.T @ dlogits}
        self.steps += 1
        for name, w in self.weights.items():
            m, v = self.moments[name]
            m[...] = 0.9 * m + (1 - 0.9) * gradients[name]
            v[...] = 0.98 * v + (1 - 0.98) * gradients[name] ** 2
            w *= 1 - self.learning_rate * self.weight_decay
            w -= (self.learning_rate * (m / (1 - 0.9 ** self.steps))
                  / (np.sqrt(v / (1 - 0.98 ** self.steps)) + 1e-8))
