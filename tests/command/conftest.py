from pathlib import Path

import pytest

from analysis import figures
from tests.command.calling import TINY, quietly


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run():
    """The folder of a finished run of 30 steps."""
    assert quietly(*TINY, "--out", "run") == 0
    return Path("run")


@pytest.fixture
def coarse(monkeypatch):
    """Figures that are drawn faster."""
    monkeypatch.setattr(figures, "DPI", 40)
