"""What all tests share: how Hypothesis searches, and which tests need a GPU or a browser."""

import os
import signal
import sys

import pytest
from hypothesis import settings

from backend import import_numba
from tests.browsing import chromium, why_not
from tests.real_cupy import real_cupy, usable_gpu
from tests.strict_device import StrictCuPy

# A shell starts background jobs with SIGINT ignored, and then no test of Ctrl-C could pass.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("search", deadline=None, max_examples=20)
settings.register_profile("ci", deadline=None, max_examples=20, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "search")


def pytest_collection_modifyitems(items):
    missing = {"gpu": lambda: None if usable_gpu() else "needs CuPy and an NVIDIA GPU", "browser": why_not}
    for marker, reason in missing.items():
        needy = [item for item in items if item.get_closest_marker(marker)]
        if needy and (reason := reason()):
            for item in needy:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def browser():
    """A browser. It is closed with the module: while it is open, its event loop is in the way of others'."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def no_bokeh(monkeypatch):
    """As if Bokeh were not installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "bokeh"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bokeh", None)


@pytest.fixture
def without_numba(monkeypatch):
    """As if Numba were not installed."""
    monkeypatch.setitem(sys.modules, "numba", None)
    import_numba.cache_clear()
    yield
    import_numba.cache_clear()


@pytest.fixture
def strict_cupy(monkeypatch):
    """A stand-in for CuPy during one test: `open_device("cupy", ...)` gives a device of it."""
    real_cupy()  # looked up now, while `import cupy` still finds it
    module = StrictCuPy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module
