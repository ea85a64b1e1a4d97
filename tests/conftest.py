"""What all tests share: how Hypothesis searches, and which tests need a GPU."""

import os
import sys

import pytest
from hypothesis import settings

from tests.real_cupy import real_cupy, usable_gpu
from tests.strict_device import StrictCuPy

settings.register_profile("search", deadline=None, max_examples=20)
settings.register_profile("ci", deadline=None, max_examples=20, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "search")


def pytest_collection_modifyitems(items):
    needy = [item for item in items if item.get_closest_marker("gpu")]
    if needy and not usable_gpu():
        for item in needy:
            item.add_marker(pytest.mark.skip(reason="needs CuPy and an NVIDIA GPU"))


@pytest.fixture
def strict_cupy(monkeypatch):
    """A stand-in for CuPy during one test: `open_device("cupy", ...)` gives a device of it."""
    real_cupy()  # looked up now, while `import cupy` still finds it
    module = StrictCuPy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module
