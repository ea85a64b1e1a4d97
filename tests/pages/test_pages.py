"""Pages: what is handed over arrives, and the file needs nothing but itself."""

import configparser
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import pages
from tests.pages.reading import arrays_of, block, values_of

bokeh = pytest.importorskip("bokeh")

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "float32", "float64")


def page_of(folder, values=None, arrays=None, title="title", figures=None):
    """The text of a page."""
    path = pages.write_page(folder / "page.html", title, "<h1>A page</h1>", figures or {}, values, arrays)
    return path.read_text(encoding="utf-8")


@given(st.lists(st.sampled_from(TYPES).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))), max_size=5))
def test_arrays_arrive_as_they_are(tmp_path_factory, found):
    named = {f"array {number}": array for number, array in enumerate(found)}
    arrived = arrays_of(page_of(tmp_path_factory.mktemp("page"), arrays=named))
    assert arrived.keys() == named.keys()
    for name, array in named.items():
        np.testing.assert_array_equal(arrived[name], array)
        assert arrived[name].dtype.name == array.dtype.name


def test_numbers_begin_where_typed_arrays_can(tmp_path):
    page = page_of(tmp_path, arrays={"a": np.zeros(3, np.int8), "b": np.ones(2), "c": np.zeros(1, np.int16),
                                     "d": np.ones(1)})
    index = json.loads(block(page, "page-index"))
    assert [first % np.dtype(kind).itemsize for _, kind, _, first in index] == [0, 0, 0, 0]


@pytest.mark.parametrize("array", [np.arange(6.0)[::2], np.arange(6, dtype=">i4"), np.arange(6.0).reshape(2, 3).T],
                         ids=["every second", "other byte order", "transposed"])
def test_arrays_of_any_layout_arrive(array, tmp_path):
    np.testing.assert_array_equal(arrays_of(page_of(tmp_path, arrays={"array": array}))["array"], array)


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)))
def test_values_arrive_as_they_are(tmp_path_factory, values):
    assert values_of(page_of(tmp_path_factory.mktemp("page"), values)) == values


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "$title ${block}", "&lt;"])
def test_text_stays_text(text, tmp_path):
    page = page_of(tmp_path, {"setting": text}, title=text)
    assert values_of(page) == {"setting": text}
    assert "alert(1)</script>" not in page
    assert re.search("<title>(.*?)</title>", page)[1].count("<") == 0


def test_a_number_that_is_none_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        page_of(tmp_path, {"accuracy": float("nan")})
    assert not (tmp_path / "page.html").exists()


def test_nothing_is_fetched(tmp_path):
    page = page_of(tmp_path, figures={"figure": pages.new_figure("x", "y")})
    assert re.findall(r"<(?:script|img|iframe|link)[^>]*(?:src|href)=[\"']?([^\"'>]*)", page) == ["data:,"]
    assert "@import" not in page
    assert not re.search(r"url\((?!data:|#)", re.search("<style>(.*?)</style>", page, re.DOTALL)[1])


def test_without_bokeh_it_says_what_to_install(tmp_path, no_bokeh):
    with pytest.raises(pages.PageError, match=r"needs Bokeh: pip install .*\[explore\]"):
        page_of(tmp_path)


def test_the_files_of_pages_are_installed():
    """Each page's parts lie in a package whose data setup.cfg names."""
    root = Path(pages.__file__).parents[1]
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    for path in (path for kind in ("html", "css", "js") for path in root.glob(f"[!.r]*/**/*.{kind}")
                 if "docs" not in path.parts and ".venv" not in path.parts):
        package = ".".join(path.parent.relative_to(root).parts)
        assert any(path.match(pattern) for pattern in setup["options.package_data"][package].split())
