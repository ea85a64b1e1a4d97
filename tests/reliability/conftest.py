"""A run that was interrupted."""

import shutil

import pytest

from tests.reliability.runs import CONFIG
from training import Interrupted, train


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run's folder that stands at step 20 of 40; to be copied."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    folder.mkdir()
    calls = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(CONFIG, folder, stop=lambda: next(calls) == 20)
    return folder


@pytest.fixture
def folder(interrupted, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(interrupted, tmp_path / "run")
