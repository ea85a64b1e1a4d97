"""The networks in PyTorch, as its users would write them."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.contenders import Contender, Task

BETAS = (0.9, 0.98)


class TorchPeer(Contender):
    """Base: parameters, data, AdamW, one step.

    Parameters
    ----------
    task : Task
    fused : bool
        Whether AdamW is PyTorch's fused one.
    compiled : bool
        Whether the loss goes through torch.compile.
    """

    label = ""

    def __init__(self, task: Task, fused: bool = True, compiled: bool = False, device: str = "cpu"):
        self.name = f"PyTorch, {self.label}{', torch.compile' if compiled else ''}"
        self.config, data = task.config, task.problem.train
        self.w = {name: torch.tensor(array, device=device, requires_grad=True) for name, array in self.weights(task)}
        self.pairs = torch.tensor(data.inputs, device=device)
        self.labels = torch.tensor(data.labels, device=device)
        self.prepare()
        exempt = [w for name, w in self.w.items() if w.shape[0] == 1]
        decayed = [w for name, w in self.w.items() if w.shape[0] > 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed}, {"params": exempt, "weight_decay": 0.0}], lr=self.config.learning_rate, betas=BETAS,
            weight_decay=self.config.weight_decay, **({"fused": True} if fused else {}))
        self.loss_of = torch.compile(self.compute) if compiled else self.compute

    def weights(self, task):
        """Pairs of a name and an array, the parameters in this layout."""
        return task.weights.items()

    def prepare(self):
        """Make what stays the same from step to step."""
        self.targets = F.one_hot(self.labels, self.config.p).float()

    def compute(self):
        """The loss, a scalar tensor."""
        logits = self.logits()
        if self.config.loss == "mse":
            return F.mse_loss(logits, self.targets)
        return F.cross_entropy(logits, self.labels)

    def step(self):
        """Forward, backward, AdamW."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss_of().backward()
        self.optimizer.step()
        if self.pairs.is_cuda:
            torch.cuda.synchronize()

    def loss(self):
        """The loss as it now is."""
        with torch.no_grad():
            return self.compute().item()


class TorchFloor(Contender):
    """The matrix products of the two-layer network's step alone, through PyTorch's BLAS library."""

    name = "PyTorch, its matrix products alone"

    def __init__(self, task: Task):
        D, (N, p) = len(task.problem.train), task.weights["W"].shape
        self.a, self.dz, self.W = torch.rand(D, N), torch.rand(D, p), torch.rand(N, p)
        self.z, self.dW, self.da = (torch.empty_like(array) for array in (self.dz, self.W, self.a))

    def step(self):
        """Multiply."""
        torch.mm(self.a, self.W, out=self.z)
        torch.mm(self.a.T, self.dz, out=self.dW)
        torch.mm(self.dz, self.W.T, out=self.da)


class ReferenceLayout(TorchPeer):
    """Two-hot inputs and two linear layers, AdamW as it comes."""

    label = "two-hot input"

    def __init__(self, task, **options):
        super().__init__(task, fused=False, **options)

    def weights(self, task):
        """U and V side by side, as a Linear layer of 2p inputs has them."""
        U, V, W = (task.weights[name] for name in "UVW")
        return {"first": np.ascontiguousarray(np.concatenate([U, V]).T), "second": np.ascontiguousarray(W.T)}.items()

    def prepare(self):
        """Two ones in each row."""
        super().prepare()
        p = self.config.p
        self.x = torch.cat([F.one_hot(self.pairs[:, 0], p), F.one_hot(self.pairs[:, 1], p)], dim=1).float()

    def logits(self):
        """Linear, square, linear."""
        return F.linear(F.linear(self.x, self.w["first"]) ** 2, self.w["second"])


class Embedded(TorchPeer):
    """Embeddings instead of two-hot inputs, fused AdamW."""

    label = "embeddings, fused AdamW"

    def logits(self):
        """Gather, square, multiply."""
        h = F.embedding(self.pairs[:, 0], self.w["U"]) + F.embedding(self.pairs[:, 1], self.w["V"])
        return self.normed(h * h) @ self.w["W"]

    def normed(self, a):
        """Nothing here."""
        return a


class BatchNormed(Embedded):
    """The same with BatchNorm after the activation, in the trainer's own batches."""

    def __init__(self, task, **options):
        self.task, self.all_pairs, self.steps = task, torch.tensor(task.problem.train.inputs), 0
        self.mean, self.variance = torch.zeros(task.config.width), torch.ones(task.config.width)
        self.training = True
        super().__init__(task, **options)
        self.name += ", batch_norm"
        self.all_targets = self.targets

    def weights(self, task):
        """Without the buffers."""
        return {name: array for name, array in task.weights.items() if not name.startswith("running")}.items()

    def normed(self, a):
        """BatchNorm."""
        return F.batch_norm(a, self.mean, self.variance, self.w["gamma"][0], self.w["beta"][0], self.training)

    def step(self):
        """A step on the next batch."""
        rows = torch.from_numpy(self.task.rows(self.steps))
        self.pairs, self.targets = self.all_pairs[rows], self.all_targets[rows]
        self.steps += 1
        super().step()

    def loss(self):
        """The loss with the running statistics, on the training set, as the trainer measures it."""
        self.training, self.pairs, self.targets = False, self.all_pairs, self.all_targets
        loss = super().loss()
        self.training = True
        return loss


class TorchTransformer(TorchPeer):
    """The one-layer transformer; of the last token alone whatever only the last token's output needs."""

    label = "last token only, fused AdamW"

    def logits(self):
        """Logits of every pair."""
        w, heads, d = self.w, self.config.heads, self.config.width
        x = F.embedding(self.pairs, w["E"]) + w["P"]
        last = x[:, 1]

        def split(rows):
            return rows.unflatten(-1, (heads, d // heads))

        q, k, v = split(last @ w["W_Q"]), split(x @ w["W_K"]), split(x @ w["W_V"])
        scores = torch.einsum("dhj,dthj->dht", q, k) * heads / d
        o = torch.einsum("dht,dthj->dhj", scores.softmax(dim=-1), v).flatten(1)
        last = last + o @ w["W_O"]
        last = last + (last @ w["mlp.hidden.W"]).relu() @ w["mlp.output.W"]
        return last @ w["unembedding.W"] / d


