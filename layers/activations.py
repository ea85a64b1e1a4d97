"""The activations by their names in options and configurations."""

from __future__ import annotations

from layers.gelu import GELU
from layers.relu import ReLU
from layers.square import Square

ACTIVATIONS = {"square": Square, "relu": ReLU, "gelu": GELU}
