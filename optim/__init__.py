"""Optimisers and learning-rate schedules, one rule a file."""

from optim.adam import Adam
from optim.adamw import AdamW
from optim.base import Optimizer
from optim.schedules import SCHEDULES, constant, warmup_constant, warmup_cosine
from optim.sgd import SGD

OPTIMIZERS = {"adamw": AdamW, "adam": Adam, "sgd": SGD}
