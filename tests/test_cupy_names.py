"""Every name and keyword of the array module that the source uses exists in the real CuPy.

CuPy has most of NumPy's names, not all, and not all of their keywords. Its wheel imports without a GPU, so its
functions can be asked for their signatures on any machine, and a call that would fail on a GPU fails here.
"""

import ast
import contextlib
from pathlib import Path

import numpy as np
import pytest

from tests.real_cupy import UFUNC_KEYWORDS, accepts, real_cupy, resolve

if (cupy := real_cupy()) is None:
    pytest.skip("needs CuPy, with or without a GPU", allow_module_level=True)

ROOT = Path(__file__).parents[1]
# Figures are drawn on the host, with NumPy by its own name.
SOURCES = sorted({*(ROOT / name for name in ("backend.py", "products.py", "rows.py", "streams.py")),
                  *(path for folder in ("layers", "optim", "data", "analysis", "training")
                    for path in (ROOT / folder).rglob("*.py"))} - {ROOT / "analysis/figures.py"})
# Here every array is a device array, and so every array's method must be one of CuPy's.
ON_DEVICE = [path for path in SOURCES if path.parent.name in ("layers", "optim")]


def dotted(node: ast.AST) -> tuple[ast.AST, list[str]]:
    """The expression that a chain of attributes starts from, and the names: xp.add.reduce -> xp, [add, reduce]."""
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return node, names


def path_in_module(node: ast.AST) -> str | None:
    """The dotted path within the array module that an expression stands for, None if it stands for something else."""
    start, names = dotted(node)
    if (isinstance(start, ast.Name) and start.id == "xp") or _is_array_module(start):
        return ".".join(names)
    if "xp" in names[:-1]:  # device.xp.empty, self.device.xp.empty
        return ".".join(names[names.index("xp") + 1:])
    return None


def _is_array_module(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "array_module"


def module_problems(source: str) -> list[str]:
    """What the source asks of the array module and CuPy does not have."""
    problems = []
    for node in ast.walk(ast.parse(source)):
        path = path_in_module(node) if isinstance(node, ast.Attribute) else None
        if path:
            try:
                resolve(path, cupy)
            except AttributeError:
                problems.append(f"line {node.lineno}: no cupy.{path}")
            except ImportError:
                continue  # a part of CuPy that does not load without a library of CUDA: no telling
        if isinstance(node, ast.Call) and (path := path_in_module(node.func)):
            problems += wrong_keywords(node, path, cupy)
    return problems


def method_problems(source: str) -> list[str]:
    """Methods and attributes of NumPy's arrays that CuPy's do not have, wherever an attribute goes by such a name."""
    tree, problems = ast.parse(source), []
    # What is imported is no array, nor is what belongs to it (math.prod, np.sort).
    imported = {(alias.asname or alias.name).partition(".")[0] for node in ast.walk(tree)
                if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
    for node in ast.walk(tree):
        method = node.func if isinstance(node, ast.Call) else node
        if not isinstance(method, ast.Attribute) or not hasattr(np.ndarray, method.attr) or _is_of(method, imported):
            continue
        if isinstance(node, ast.Call):
            problems += wrong_keywords(node, method.attr, cupy.ndarray)
        elif not hasattr(cupy.ndarray, method.attr):
            problems.append(f"line {node.lineno}: no cupy.ndarray.{method.attr}")
    return problems


def _is_of(node, imported):
    start, _ = dotted(node)
    return path_in_module(node) is not None or (isinstance(start, ast.Name) and start.id in imported)


def wrong_keywords(call: ast.Call, path: str, root) -> list[str]:
    """The keywords of a call that CuPy's function does not take. What comes in by ** is not known here."""
    try:
        function = resolve(path, root)
    except AttributeError:
        return []  # reported as a name
    return [f"line {call.lineno}: {root.__name__}.{path} has no keyword {keyword.arg}" for keyword in call.keywords
            if keyword.arg is not None and not accepts(function, keyword.arg)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_module_has_what_a_file_asks_of_it(path):
    assert module_problems(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", ON_DEVICE, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrays_have_what_a_file_asks_of_them(path):
    assert method_problems(path.read_text(encoding="utf-8")) == []


def test_there_is_something_to_check():
    uses = [path_in_module(node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)]
    assert {"matmul", "multiply", "take", "exp"} <= set(uses)


class TestTheChecker:
    """A check must be able to fail."""

    @pytest.mark.parametrize(("source", "problem"), [
        ("xp.take_along_rows(x, i)", "no cupy.take_along_rows"),
        ("array_module(x).take_along_rows(x)", "no cupy.take_along_rows"),
        ("self.device.xp.take_along_rows(x)", "no cupy.take_along_rows"),
        ("f = xp.add.reduce_rows", "no cupy.add.reduce_rows"),
        ("xp.fft.rfft3(x)", "no cupy.fft.rfft3"),
        ("xp.take(x, i, mode='clip')", "cupy.take has no keyword mode"),
        ("array_module(x).take(x, i, mode='clip')", "cupy.take has no keyword mode"),
        ("xp.multiply(x, y, where=z)", "cupy.multiply has no keyword where"),
        ("xp.add.reduce(x, axis=0, where=z)", "cupy.add.reduce has no keyword where"),
        ("xp.matmul(x, y, subok=True)", "cupy.matmul has no keyword subok"),
    ])
    def test_reports_what_the_module_does_not_have(self, source, problem):
        (found,) = module_problems(source)
        assert problem in found

    @pytest.mark.parametrize(("source", "problem"), [
        ("x.sum(axis=0, where=m)", "has no keyword where"),
        ("(x @ y).ctypes", "no cupy.ndarray.ctypes"),
        ("x[..., 0].mean(initial=1)", "has no keyword initial"),
    ])
    def test_reports_what_arrays_do_not_have(self, source, problem):
        (found,) = method_problems(source)
        assert problem in found

    @pytest.mark.parametrize("source", [
        "xp.take(x, i, axis=0, out=y)",
        "xp.take(x, i, **mode)",
        "import numpy as np; np.take(x, i, mode='clip')",
        "xp.multiply(x, y, out=z, dtype=d)",
        "xp.add.reduce(x, axis=0, out=y, keepdims=True)",
        "xp.fft.rfft(x, axis=-1)",
        "xp.matmul(x, y, out=z)",
        "xp is np",
        "self.xp = xp",
        "x.sum(axis=-1, keepdims=True).astype(y.dtype, copy=False).mT.reshape(-1)",
        "import math; math.prod(s)",
    ])
    def test_is_silent_about_what_exists(self, source):
        assert module_problems(source) + method_problems(source) == []


class TestUfuncs:
    """Ufuncs have no signature: what is assumed of them is seen in their answers, which come before they need a GPU."""

    @pytest.mark.parametrize("keyword", ["where", "subok", "order", "axis", "keepdims"])
    def test_refuse_other_keywords(self, keyword):
        assert keyword not in UFUNC_KEYWORDS
        with pytest.raises(TypeError, match="Wrong arguments"):
            cupy.multiply(2, 3, **{keyword: None})

    def test_take_the_keywords_assumed(self):
        keywords = {"out": None, "dtype": None, "casting": "same_kind"}
        assert keywords.keys() == UFUNC_KEYWORDS
        with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):
            cupy.multiply(2, 3, **keywords)
