"""Training runs: configuration, the loop, history, checkpoints, run folders."""

from training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from training.config import ConfigError, TrainingConfig
from training.history import COLUMNS, History
from training.loop import Interrupted, resume, stack_key, train, train_many
from training.run import DivergenceError, Run, load_run
from training.trainer import Trainer
