"""The pages keep what they show: code runs and prints what stands below it, links lead to what they name."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import (
    ROOT,
    differentiated_modules,
    entries,
    link_faults,
    markdown_files,
    mend_lines,
    read_page,
)
from tests.docs.play import code_faults, commands

PAGES = {path.relative_to(ROOT).as_posix(): path for path in markdown_files()}
LEARN = {name: path for name, path in PAGES.items() if path.parent == ROOT / "docs" / "learn"}


@pytest.fixture
def scratch(tmp_path):
    """A folder in which the tree is linked: what a page's commands write (runs/a) is not written into the tree."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    for entry in entries():
        (folder / entry.name).symlink_to(entry)
    return folder


def none_of(faults):
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


@pytest.mark.parametrize("path", LEARN.values(), ids=LEARN)
def test_what_a_page_shows_runs_and_prints_what_it_shows(path, scratch):
    page = read_page(path)
    if re.search(r"--explore|--html|experiments\.explore", "".join(block.source for block in page.blocks)):
        pytest.importorskip("bokeh")
    none_of(code_faults(page, scratch))


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_is_taken_for_what_it_was_meant_to_be(path):
    none_of(read_page(path).faults)


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_links_lead_to_what_they_name(path):
    none_of(link_faults(read_page(path)))


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_commands_that_are_not_run_call_programs_and_options_that_exist(path):
    none_of(command_faults(read_page(path)))


def test_every_layer_and_loss_is_linked_to_from_a_page():
    linked = {(path.parent / link.target.partition("#")[0]).resolve()
              for path in LEARN.values() for link in read_page(path).links}
    missing = [path.relative_to(ROOT).as_posix() for path in differentiated_modules(ROOT / "layers")
               if path.resolve() not in linked]
    none_of([f"no page in docs/learn links to {name}" for name in missing])


def command_faults(page, root=ROOT):
    """What is wrong with the programs and options of the commands that a page shows, or mentions in its text."""
    shown = [(command, line) for block in page.blocks if block.language == "sh" for command, line, _ in commands(block)]
    return [f"{page.name}:{line}: {fault}" for command, line in shown + page.mentioned
            if not re.search(r"…|\b[A-Z]{2,}\b", command)  # of the form `python -m experiments.NAME`
            for program in re.split(r"\s(?:&&|\|\||[|;])\s", command)
            if (fault := _program_fault(shlex.split(program, comments=True), root))]


def _program_fault(words, root):
    if len(words) < 2 or not re.fullmatch(r"python[\d.]*", Path(words[0]).name):
        return None
    if words[1] == "-m":
        module, name = Path(words[2].replace(".", "/")), words[1:3]
        if module.parts[0] not in {entry.stem for entry in entries(root)}:
            return None  # pip, pytest
        known = any((root / file).exists() for file in (module.with_suffix(".py"), module / "__main__.py"))
    else:
        known, name = (root / words[1]).exists(), words[1:2]
    if not known:
        return f"there is no {' '.join(name)}"
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    unknown = [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", _help(*name, root=root))]
    return f"{' '.join(name)} has no option {', '.join(unknown)}" if unknown else None


@cache
def _help(*name, root):
    done = subprocess.run([sys.executable, *name, "--help"], capture_output=True, text=True, cwd=root, check=True)
    return done.stdout


# Each rule sees where it is broken, on small trees and pages made for it.

MODULE = '''\
"""A module."""

import functools

TOLERANCE = 1e-7


class Plain:
    kept = 1

    @property
    @functools.cache
    def width(self):
        return 3


@functools.cache
def pair(a):
    return (a,
            a)
'''


def make_tree(folder, **pages):
    (folder / "code.py").write_text(MODULE)
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    return folder


def faults_of_link(folder, link, **pages):
    return link_faults(read_page(make_tree(folder, page=f"# Here\n\nFirst line,\nthen {link}.\n", **pages) / "page.md",
                                 folder), folder)


@pytest.mark.parametrize("link", [
    "[`Plain`](code.py#L8-L14)", "[`Plain.width`](code.py#L11-L14)", "[`pair`](code.py#L17-L20)",
    "[`TOLERANCE`](code.py#L5)", "[`Plain.kept`](code.py#L9)", "[`code.py`](code.py)", "[above](#here)",
    "[it](other.md)", "[it](other.md#of-xs-b_c-and-d)", "[it](other.md#twice-1)", "![it](code.py)",
    "[it](https://example.org/none.md#none)"])
def test_links_that_lead_where_they_say(tmp_path, link):
    assert faults_of_link(tmp_path, link, other="## Of x's `b_c` and (D)\n\n# Twice\n\n# Twice\n") == []


@pytest.mark.parametrize(("link", "fault"), [
    ("[`Plain`](code.py#L8-L13)", "Plain is #L8-L14"),
    ("[`Plain.width`](code.py#L13-L14)", "Plain.width is #L11-L14"),
    ("[`TOLERANCE`](code.py#L5-L6)", "TOLERANCE is #L5"),
    ("[`pair`](code.py#L18-L20)", "pair is #L17-L20"),
    ("[`width`](code.py#L11-L14)", "code.py defines no width"),
    ("[the pair](code.py#L17-L20)", "name in backticks"),
    ("[see `pair`](code.py#L17-L20)", "name in backticks"),
    ("[`pair`](code.py#pair)", "neither a heading"),
    ("[it](none.md)", "none.md does not exist"),
    ("[a\n`b` c](none.md)", "none.md does not exist"),
    ("![it](none.png)", "none.png does not exist"),
    ("[it][mark]\n\n[mark]: none.md\n\n", "none.md does not exist"),
    ("|\n\n| a |\n|---|\n| [it](none.md) |\n\n|", "none.md does not exist"),
    ("[it](#there)", "page.md has no such heading"),
    ("[it](other.md#twice-2)", "other.md has no such heading"),
    ("[it](/code.py)", "leads out of the project"),
    ("[it](../../code.py)", "leads out of the project")])
def test_links_that_do_not(tmp_path, link, fault):
    (found,) = faults_of_link(tmp_path, link, other="# Twice\n\n# Twice\n")
    line = 8 if "---" in link else 4
    assert found.startswith(f"page.md:{line}: ")
    assert fault in found


def test_lines_that_have_moved_are_mended(tmp_path):
    text = ("# Here\n\n[`Plain`](code.py#L1-L3), [`Plain`](code.py#L2), [`pair`](code.py#L17-L20), [it](none.md), "
            "[`x`](code.py#L1)")
    page = make_tree(tmp_path, page=text) / "page.md"
    mend_lines(page, tmp_path)
    assert page.read_text() == text.replace("#L1-L3", "#L8-L14").replace("#L2)", "#L8-L14)")


def faults_of_code(scratch, text):
    path = scratch / "page.md"
    path.write_text(text)
    return code_faults(read_page(path, scratch), scratch)


def fenced(language, *lines):
    return "\n".join([f"```{language}", *lines, "```", "", ""])


@pytest.mark.parametrize("text", [
    fenced("python", "a = 2") + fenced("python", "print(a)\nprint()") + fenced("text", "2", ""),
    fenced("sh", "echo a", "echo \\", "  b") + fenced("text", "a", "b"),
    fenced("sh", "mkdir -p runs/a; echo 5 > runs/a/b") + fenced("python", "print(open('runs/a/b').read(), end='')")
    + fenced("text", "5"),
    fenced("sh", "# a remark", "", "(exit 3)  # exits with 3", "true"),
    fenced("sh", "python -m layers.gradcheck --layer Square > out.txt; test -s out.txt"),
    fenced("python", "import layers, os", "assert layers.__file__ == os.getcwd() + '/layers/__init__.py'",
           "assert 'PYTHONPATH' not in os.environ"),
    fenced("python", "import subprocess", "print(1)", "subprocess.run(['echo', 'aside'])") + fenced("text", "1"),
    fenced("", "not", "run") + fenced("math", "x") + "```\nnot run either\n```\n",
    "Here $\\frac{a_i}\n{b}$ * 3 * $c$, `$*$` and `$\\,$`.\n\n" + fenced("math", r"a \, \\{b\\} * c * d")])
def test_pages_whose_code_runs(scratch, monkeypatch, text):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert faults_of_code(scratch, text) == []


@pytest.mark.parametrize(("text", "faults"), [
    (fenced("sh", "true", "false"), [r"page.md:3: false\nexits with 1, not with 0"]),
    (fenced("sh", "true  # exits with 1"), [r"page.md:2: .*\nexits with 0, not with 1"]),
    (fenced("sh", "(exit 2)  # exits with 1"), [r"page.md:2: .*\nexits with 2, not with 1"]),
    (fenced("sh", "echo wrong >&2; false"), [r"page.md:2: .*\nexits with 1, not with 0:\nwrong"]),
    (fenced("sh", "false", "false \\", "# joined", "false"), ["page.md:2", "page.md:3", "page.md:5"]),
    (fenced("python", "a = 1", "assert a == 2"), [r"page.md:2: the block\nexits with 1(.|\n)*page.md\", line 3"]),
    (fenced("python", "a = = 1"), [r"page.md:2: the block(.|\n)*SyntaxError"]),
    (fenced("python", "raise SystemExit(0)"), [r"page.md:2: the block(.|\n)*SystemExit"]),
    (fenced("python", "a") + fenced("sh", "false") + fenced("python", "a"), [r"page.md:2: (.|\n)*NameError"]),
    (fenced("python", "print(2)") + fenced("text", "1"), [r"page.md:6: (.|\n)*- 1\n\+ 2\n"]),
    (fenced("python", "print(2)") + fenced("text", "2", "3"), [r"page.md:6: (.|\n)*- 3\n"]),
    (fenced("sh", "echo 2", "echo 3") + fenced("text", "2"), [r"page.md:7: (.|\n)*\+ 3\n"]),
    (fenced("sh", "echo 2 >&2") + fenced("text", "2"), [r"page.md:6: "]),
    (fenced("sh", "echo 2") + "Prints\n\n" + fenced("text", "2"), [r"page.md:7: a text block must stand right behind"]),
    ("- list\n\n" + "  ```bash\n  true\n  ```\n", [r"page.md:3: a bash block is not run"]),
    ("Text\n\n| a | b |\n|---|\n| 1 | 2 |\n", [r"page.md:3: the head of this table"]),
    ("| a |\n|:-:|\n| `---` |\n", []),
    ("Here $a$\nand `$` there $b \\, c$.", [r"page.md:2: \$b .*lost"]), ("Here $a * b$", [r"page.md:1: .*emphasis"])])
def test_pages_whose_code_does_not(scratch, text, faults):
    found = faults_of_code(scratch, text)
    assert len(found) == len(faults)
    for one, pattern in zip(found, faults, strict=True):
        assert re.match(pattern, one), one


def test_what_a_page_writes_stays_in_its_scratch_folder(scratch):
    before = entries()
    assert faults_of_code(scratch, fenced("sh", "mkdir -p runs/of-this-test", "touch a-file-of-this-test")) == []
    assert (scratch / "runs" / "of-this-test").exists()
    assert entries() == before
    assert not (ROOT / "runs" / "of-this-test").exists()


def test_modules_that_define_a_layer_or_a_loss(tmp_path):
    for name, text in {
            "base": "class Layer:\n    def forward(self): ...\n",
            "direct": "class A(Layer): ...\n",
            "indirect": "import a\nclass B(direct.A): ...\n",
            "loss": "class L:\n    def backward(self): ...\n",
            "neither": "class N:\n    def forward(self): ...\ndef backward(): ...\nLayer = 3\n"}.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert [path.stem for path in differentiated_modules(tmp_path)] == ["base", "direct", "indirect", "loss"]


@pytest.mark.parametrize(("command", "fault"), [
    ("python grok.py --p 11 --no-plot", None),
    ("cd x && .venv/bin/python -m layers.gradcheck --plant=a  # --wrong", None),
    ("python -m pip install --whatever && true", None), ("ls --wrong", None),
    ("python grok.py --xii 0.2", "grok.py has no option --xii"),
    ("true && python3 -m layers.gradcheck --lay A", "-m layers.gradcheck has no option --lay"),
    ("python -m layers.grad", "there is no -m layers.grad"), ("python grook.py", "there is no grook.py")])
def test_commands_call_programs_and_options_that_exist(tmp_path, command, fault):
    path = tmp_path / "page.md"
    path.write_text(fenced("sh", "true", command))
    assert command_faults(read_page(path, tmp_path), ROOT) == ([f"page.md:3: {fault}"] if fault else [])


@pytest.mark.parametrize(("text", "faults"), [
    ("`python grok.py --p 11` and `python -m experiments.…`", []), ("`python -m layers.gradcheck --layer NAME`", []),
    ("`python grook.py`, and\n`python grok.py --xii 1`",
     ["page.md:1: there is no grook.py", "page.md:1: grok.py has no option --xii"])])
def test_so_do_those_within_the_text(tmp_path, text, faults):
    path = tmp_path / "page.md"
    path.write_text(text)
    assert command_faults(read_page(path, tmp_path), ROOT) == faults
