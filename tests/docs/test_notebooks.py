"""The notebooks: a fresh kernel runs each from top to bottom, and prints what the committed one shows.

`jupyter execute --inplace notebooks/*.ipynb` makes new outputs. It also notes when each cell ran and with which Python;
`python -m tests.docs.test_notebooks` takes that out again.
"""

import os
import re
import shutil
import warnings
from contextlib import contextmanager

import pytest

from tests.docs.pages import ROOT, entries


@contextmanager
def jupyters_warnings_ignored():
    """Some versions of Jupyter's packages warn of what others of them will change, which nothing here could answer.

    What the notebooks themselves call warns in the kernel, another process, and shows as text on its standard error.
    """
    with warnings.catch_warnings():
        for category in (DeprecationWarning, PendingDeprecationWarning):
            warnings.filterwarnings("ignore", category=category, module="jupyter|nbclient|nbformat|traitlets|zmq")
        yield


with jupyters_warnings_ignored():
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")

NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
TIMEOUT = 600
"""Seconds that a cell may take before it is given up."""

METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"}}
"""Of a notebook as it is committed: no version, and a kernel that is everywhere."""

VARYING = "digits-vary"
"""The tag of a cell that prints errors of rounding, whose digits differ from machine to machine."""

ROUNDING = re.compile(r" *-?\d+\.\d{6,}| *-?\d\.\de[-+]\d\d")
PATHS = re.compile(r"(?<![\w.<])/(?:home|root|Users|tmp|var|usr|opt|mnt|private|work)/|\b[A-Z]:\\")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell):
    """What a cell shows: its text, and which pictures; digits of rounding are left out where they vary."""
    parts = []
    for output in cell.outputs:
        kind, formats = output.output_type, sorted(output.get("data", {}))
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        if kind == "stream" and parts and parts[-1][0] == kind:
            text = parts.pop()[1] + text  # a slow kernel sends what is printed in several pieces
        parts.append((kind, text, formats))
    if VARYING in cell.metadata.get("tags", []):
        parts = [(kind, ROUNDING.sub(" #", text), formats) for kind, text, formats in parts]
    return parts


def run_faults(committed, executed):
    """What a run shows otherwise than the committed notebook, and what it wrote to the standard error."""
    faults = []
    for number, (was, now) in enumerate(zip(code_cells(committed), code_cells(executed), strict=True), 1):
        faults += [f"cell {number} writes to the standard error:\n{output.text}" for output in now.outputs
                   if output.output_type == "stream" and output.name == "stderr"]
        if shown(was) != shown(now):
            faults.append(f"cell {number} shows {shown(was)} as committed, and {shown(now)} when run")
    return faults


def form_faults(notebook):
    """What should not be committed as it is."""
    cells, faults = code_cells(notebook), []
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        faults.append(f"the cells were not run once each from top to bottom, but as {counts}")
    if not any(cell.outputs for cell in cells):
        faults.append("there are no outputs")
    for number, cell in enumerate(cells, 1):
        faults += [f"cell {number} shows a path of one machine: {found[0]}" for output in cell.outputs
                   for text in (output.get("text", ""), *map(str, output.get("data", {}).values()),
                                *output.get("traceback", []))
                   if (found := PATHS.search(text))]
    if notebook.metadata != METADATA or any("execution" in cell.metadata for cell in cells):
        faults.append("its metadata name a kernel, a version or times: run python -m tests.docs.test_notebooks")
    return faults


def tidy(notebook):
    """Take out what a run notes of its machine and time."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder beside links to the tree's entries, as notebooks/ is in a clone; with nobody's settings."""
    clone = tmp_path / "clone"
    (clone / "notebooks").mkdir(parents=True)
    for entry in entries():
        if entry.name != "notebooks":
            (clone / entry.name).symlink_to(entry)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("PYTHONPATH", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    return clone / "notebooks"


@every_notebook
def test_a_fresh_kernel_shows_what_is_committed(path, place):
    shutil.copy(path, place)
    notebook = read(place / path.name)
    with jupyters_warnings_ignored():
        nbclient.NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3",
                                resources={"metadata": {"path": str(place)}}).execute(env=dict(os.environ))
    assert not run_faults(read(path), notebook)
    assert os.listdir(place) == [path.name]  # nothing was left behind


@every_notebook
def test_what_is_committed_was_run_in_order_and_names_no_machine(path):
    assert not form_faults(read(path))


@every_notebook
def test_links_lead_to_files(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", text)
    assert links
    assert not [link for link in links if not (path.parent / link).exists()]


def test_there_are_notebooks():
    assert {"gradients", "grokking"} <= NOTEBOOKS.keys()


# Each rule sees where it is broken, on notebooks made for it.

def make_notebook(*texts, tags=(), name="stdout"):
    cells = [nbformat.v4.new_code_cell(execution_count=number, metadata={"tags": list(tags)} if tags else {},
                                       outputs=[nbformat.v4.new_output("stream", name=name, text=text)])
             for number, text in enumerate(texts, 1)]
    return tidy(nbformat.v4.new_notebook(cells=cells))


def test_other_text_and_other_pictures_are_seen():
    plain = make_notebook("a\n", "0.25\n")
    assert not run_faults(plain, plain)
    (fault,) = run_faults(plain, make_notebook("a\n", "0.26\n"))
    assert fault.startswith("cell 2")
    figure = nbformat.v4.new_output("execute_result", {"text/plain": "<Figure>", "image/png": "QQ=="})
    drawn, redrawn, not_drawn = make_notebook("a\n"), make_notebook("a\n"), make_notebook("a\n")
    drawn.cells[0].outputs = [figure]
    redrawn.cells[0].outputs = [{**figure, "data": {**figure["data"], "image/png": "QUE="}}]
    redrawn = nbformat.from_dict(redrawn)
    assert not run_faults(drawn, redrawn)
    assert run_faults(drawn, not_drawn)


@pytest.mark.parametrize(("was", "now", "same"), [
    ("U   7.3e-11   0  ok", "U   1.3e-12   0  ok", True), ("U   7.3e-11   0  ok", "U   7.3e-11   0  WRONG", False),
    ("-1.809193545208 -9.0e-01", " 1.809193545333  9.1e-01", True), ("[6, 2]", "[6, 3]", False)])
def test_only_digits_of_rounding_may_vary_and_only_where_the_cell_says_so(was, now, same):
    assert bool(run_faults(make_notebook(was, tags=[VARYING]), make_notebook(now, tags=[VARYING]))) != same
    assert run_faults(make_notebook(was), make_notebook(now))


def test_text_that_comes_in_pieces_is_the_same_text():
    whole, pieces = make_notebook("a\nb\n"), make_notebook("a\n", "b\n")
    pieces.cells = [{**pieces.cells[0], "outputs": [output for cell in pieces.cells for output in cell.outputs]}]
    assert not run_faults(whole, nbformat.from_dict(pieces))


def test_the_standard_error_is_seen():
    noisy = make_notebook("UserWarning: something\n", name="stderr")
    assert "standard error" in run_faults(noisy, noisy)[0]


def test_what_should_not_be_committed_is_seen():
    assert not form_faults(make_notebook("a", "b"))
    assert "top to bottom" in form_faults(nbformat.v4.new_notebook(
        cells=make_notebook("a", "b").cells[::-1], metadata=make_notebook("a").metadata))[0]
    bare = make_notebook("a")
    bare.cells[0].outputs = []
    assert form_faults(bare) == ["there are no outputs"]
    for text in ("/home/someone/x.png", "written to /tmp/a", r"C:\Users\someone", "File /usr/lib/python3/x.py"):
        assert "path of one machine" in form_faults(make_notebook(text))[0]
    assert not form_faults(make_notebook("m/n and runs/home/a"))
    timed = make_notebook("a")
    timed.cells[0].metadata["execution"] = {"iopub.execute_input": "2000-01-01T00:00:00Z"}
    assert form_faults(timed)
    assert not form_faults(tidy(timed))


if __name__ == "__main__":
    for path in NOTEBOOKS.values():
        nbformat.write(tidy(read(path)), path)
