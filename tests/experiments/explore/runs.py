"""Runs to explore, each trained and measured once."""

from functools import cache

from experiments.explore.measuring import explored
from training import TrainingConfig, train

SETTINGS = {
    # It ends in coexistence: the rule and the wrong labels are both learnt.
    "coexistence": TrainingConfig(p=47, width=256, alpha=0.7, xi=0.2, weight_decay=0.0, steps=700, snapshots=8,
                                  threads=1),
    "without snapshots": TrainingConfig(p=13, width=40, steps=60, threads=1),
    "no test set": TrainingConfig(p=11, width=30, alpha=1.0, xi=0.0, operation="divide", steps=30, snapshots=3,
                                  threads=1),
    "neither set": TrainingConfig(p=13, width=20, alpha=0.3, test_alpha=0.6, steps=30, threads=1),
    "one neuron": TrainingConfig(p=5, width=1, steps=10, threads=1),
    "transformer": TrainingConfig(model="transformer", p=13, width=16, heads=2, steps=20, snapshots=3, threads=1),
    "images": TrainingConfig(task="mnist", train_size=60, width=20, steps=20, snapshots=2, threads=1),
}


@cache
def run_of(name):
    return train(SETTINGS[name])


@cache
def explored_of(name):
    return explored(run_of(name))
