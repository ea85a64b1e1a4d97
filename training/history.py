"""The history of a run: one row of measurements for each evaluated step."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping

import numpy as np

COLUMNS = ("step", "train_loss", "test_loss", "train_accuracy", "test_accuracy", "corrupted_accuracy",
           "uncorrupted_accuracy", "mean_ipr", "weight_norm")

GROKKED = 0.95   # the test accuracy at which a network counts as having grokked
UNLEARNED = 0.5  # the corrupted accuracy below which, once above, it counts as having unlearned, if it stays there


class History:
    """Measurements over a run.

    A value is None where it is not defined: the test columns with alpha 1, the corrupted ones with xi 0.
    """

    def __init__(self):
        self.rows: list[dict[str, float | None]] = []

    def append(self, row: Mapping[str, float | None]) -> None:
        """Add the measurements of one step, one for each of `COLUMNS`."""
        self.rows.append({name: row[name] for name in COLUMNS})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> np.ndarray:
        """A column as a float64 array, NaN where the value is not defined."""
        return np.array([math.nan if row[column] is None else row[column] for row in self.rows], dtype=float)

    def columns(self, *names: str) -> dict[str, list[float | None]]:
        """Some columns as lists, None where a value is not defined."""
        return {name: [row[name] for row in self.rows] for name in names}

    @property
    def last(self) -> dict[str, float | None]:
        """The newest row."""
        return self.rows[-1]

    def first_step(self, condition: np.ndarray) -> int | None:
        """The step of the first row at which the condition, an array of truth values (rows,), holds."""
        return int(self.rows[int(np.argmax(condition))]["step"]) if np.any(condition) else None

    @property
    def grok_step(self) -> int | None:
        """The first evaluated step with a test accuracy of at least 0.95."""
        return self.first_step(self["test_accuracy"] >= GROKKED)

    @property
    def unlearn_step(self) -> int | None:
        """The first evaluated step from which the corrupted accuracy, having been above 0.5, stays below 0.5.

        While a network memorises, its accuracy may come above one half, fall below, and go up for good: that is none.
        """
        corrupted = self["corrupted_accuracy"]
        learned = np.logical_or.accumulate(corrupted > UNLEARNED)
        stays = np.logical_and.accumulate((corrupted < UNLEARNED)[::-1])[::-1]
        return self.first_step(learned & stays)

    @property
    def best_test_accuracy(self) -> float | None:
        """The highest test accuracy seen."""
        values = [row["test_accuracy"] for row in self.rows if row["test_accuracy"] is not None]
        return max(values, default=None)

    def up_to(self, step: int, every: int) -> History:
        """What a longer run would have measured up to a step, if it measures every so many steps.

        A row that is there only because the run ended at its step is left out.
        """
        history = History()
        history.rows = [row for row in self.rows if row["step"] <= step and row["step"] % every == 0]
        return history

    def digest(self) -> str:
        """The SHA-256 of all rows, in hexadecimal."""
        return hashlib.sha256(self.to_csv().encode()).hexdigest()

    def to_csv(self) -> str:
        """The rows as CSV; undefined values are empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> History:
        """Read what `to_csv` wrote.

        Raises
        ------
        ValueError
            If it is not CSV, the columns are others, or a value is not a finite number.
        """
        reader = csv.DictReader(io.StringIO(text))
        history = cls()
        try:
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(f"a history has the columns {', '.join(COLUMNS)}, "
                                 f"got {', '.join(reader.fieldnames or ())}")
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"a row of a history has {len(COLUMNS)} values, line {reader.line_num} has not")
                history.append({name: int(value) if name == "step" else _number(value)
                                for name, value in row.items()})
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from None
        return history


def _number(text: str) -> float | None:
    value = float(text) if text else None
    if value is not None and not math.isfinite(value):
        raise ValueError(f"a history has finite numbers or nothing, got {text}")
    return value
