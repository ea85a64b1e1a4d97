"""The networks in JAX: one jitted step, in which XLA fuses what it can."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from benchmarks.contenders import Contender, Task

B1, B2, EPS = 0.9, 0.98, 1e-8


class JaxPeer(Contender):
    """Base: parameters, data, AdamW, one jitted step.

    Parameters
    ----------
    task : Task
    """

    label = ""

    def __init__(self, task: Task):
        self.name = f"JAX, jit, {self.label}"
        self.config, data = task.config, task.problem.train
        w = {name: jnp.asarray(array) for name, array in task.weights.items()}
        self.state = (w, *(jax.tree.map(jnp.zeros_like, w) for _ in range(2)), jnp.zeros((), jnp.int32))
        self.pairs, self.labels = jnp.asarray(data.inputs), jnp.asarray(data.labels)
        self.targets = jax.nn.one_hot(self.labels, self.config.p)
        self.advance = jax.jit(self._advance, donate_argnums=0)

    def compute(self, w):
        """The loss of parameters w."""
        z = self.logits(w)
        if self.config.loss == "mse":
            return jnp.mean((z - self.targets) ** 2)
        return -jnp.mean(jnp.sum(self.targets * jax.nn.log_softmax(z), axis=-1))

    def _advance(self, state):
        w, m, v, t = state
        g = jax.grad(self.compute)(w)
        rate, decay, t = self.config.learning_rate, self.config.weight_decay, t + 1
        m = jax.tree.map(lambda m, g: B1 * m + (1 - B1) * g, m, g)
        v = jax.tree.map(lambda v, g: B2 * v + (1 - B2) * g * g, v, g)
        w = jax.tree.map(lambda w, m, v: (1 - rate * decay) * w
                         - rate * (m / (1 - B1 ** t)) / (jnp.sqrt(v / (1 - B2 ** t)) + EPS), w, m, v)
        return w, m, v, t

    def step(self):
        """One jitted step."""
        self.state = jax.block_until_ready(self.advance(self.state))

    def loss(self):
        """The loss as it now is."""
        return float(self.compute(self.state[0]))


class Gathers(JaxPeer):
    """The two-layer network with rows gathered."""

    label = "gathers"

    def logits(self, w):
        """Logits of every pair."""
        return (w["U"][self.pairs[:, 0]] + w["V"][self.pairs[:, 1]]) ** 2 @ w["W"]


class OneHot(JaxPeer):
    """The two-layer network with products with one-hot matrices."""

    label = "one-hot products"

    def logits(self, w):
        """Logits of every pair."""
        p = self.config.p
        h = jax.nn.one_hot(self.pairs[:, 0], p) @ w["U"] + jax.nn.one_hot(self.pairs[:, 1], p) @ w["V"]
        return h ** 2 @ w["W"]


class JaxTransformer(JaxPeer):
    """The one-layer transformer; of the last token alone whatever only the last token's output needs."""

    label = "last token only"

    def logits(self, w):
        """Logits of every pair."""
        heads, d = self.config.heads, self.config.width
        x = w["E"][self.pairs] + w["P"]
        last = x[:, 1]

        def split(rows):
            return rows.reshape(*rows.shape[:-1], heads, d // heads)

        q, k, v = split(last @ w["W_Q"]), split(x @ w["W_K"]), split(x @ w["W_V"])
        A = jax.nn.softmax(jnp.einsum("dhj,dthj->dht", q, k) * heads / d)
        last = last + jnp.einsum("dht,dthj->dhj", A, v).reshape(len(x), d) @ w["W_O"]
        last = last + jax.nn.relu(last @ w["mlp.hidden.W"]) @ w["mlp.output.W"]
        return last @ w["unembedding.W"] / d
