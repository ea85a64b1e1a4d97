"""What the real CuPy has: its names and keywords, which can be asked without a GPU."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from functools import cache
from types import ModuleType
from typing import Any

# A ufunc has no signature to inspect. These are what `cupy.ufunc.__call__` takes out of its keywords before it raises
# "Wrong arguments" over the rest; NumPy's `where`, `order` and `subok` are among the rest.
UFUNC_KEYWORDS = frozenset({"out", "dtype", "casting"})


@cache
def real_cupy() -> ModuleType | None:
    """The cupy module where it is installed, with or without a GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import CuPy may warn that it finds no CUDA: no news here
        try:
            cupy = importlib.import_module("cupy")
        except ImportError:
            return None
        # Some of its modules are imported when they are first looked at. Hypothesis looks at all modules: then `import
        # cupy` in them may find a stand-in.
        for lazy in (cupy.testing, importlib.import_module("cupyx")):
            inspect.getfile(lazy)
        return cupy


@cache
def usable_gpu() -> bool:
    """Whether CuPy is installed and finds a GPU."""
    cupy = real_cupy()
    try:
        return cupy is not None and cupy.cuda.runtime.getDeviceCount() > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def resolve(path: str, root: Any) -> Any:
    """The object at a dotted path from a module or class.

    Raises
    ------
    AttributeError
        If a name on the way does not exist.
    """
    for name in path.split("."):
        root = getattr(root, name)
    return root


def accepts(function: Any, keyword: str) -> bool:
    """Whether a function of CuPy takes a keyword; True where there is no telling."""
    if isinstance(function, real_cupy().ufunc):
        return keyword in UFUNC_KEYWORDS
    names = _from_signature(function) or _from_docstring(function)
    return names is None or "**" in names or keyword in names


def _from_signature(function) -> set[str] | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return {"**" if parameter.kind is parameter.VAR_KEYWORD else parameter.name for parameter in parameters
            if parameter.kind is not parameter.POSITIONAL_ONLY}


def _from_docstring(function) -> set[str] | None:
    """What compiled functions leave: a first line such as "_ndarray_base.sum(self, axis=None, int n=0) -> ..."."""
    first = re.match(r"[\w.]+\((.*)\)", (function.__doc__ or "").strip().partition("\n")[0])
    if first is None:
        return None
    arguments = [argument.partition("=")[0].split() for argument in first[1].split(",")]
    return {"**" if words[-1].startswith("**") else words[-1] for words in arguments if words}
