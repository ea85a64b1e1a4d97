"""Learning-rate schedules: the factor on the learning rate at each step t = 1, 2, ..., T.

    constant         1
    warmup_constant  min(1, t / t_w)
    warmup_cosine    t / t_w up to t_w, then (1 + cos(pi (t - t_w) / (T - t_w))) / 2, which ends at 0

References
----------
Cosine: Loshchilov, Hutter (arXiv 1608.03983), eq. 5, one cycle.
"""

from __future__ import annotations

import math


def constant(step: int, steps: int, warmup: int) -> float:
    """1 at every step."""
    return 1.0


def warmup_constant(step: int, steps: int, warmup: int) -> float:
    """Rise linearly to 1 over the first `warmup` steps, then stay."""
    return min(1.0, step / warmup) if warmup else 1.0


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Rise linearly to 1 over the first `warmup` steps, then fall to 0 along half a cosine until the last step."""
    if step < warmup:
        return step / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))) / 2


SCHEDULES = {"constant": constant, "warmup-constant": warmup_constant, "warmup-cosine": warmup_cosine}
