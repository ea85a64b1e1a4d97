"""The project's Markdown pages: what a page shows and links to, and what is wrong with its links."""

import ast
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]

RUN = ("python", "sh")
"""The languages whose blocks are run."""

LOOKALIKES = {"bash", "console", "shell", "zsh", "py", "python3", "pycon", "ipython"}
"""Other names for them, under which a block would go unchecked."""


@dataclass(frozen=True)
class Block:
    """A fenced block: the line of its first line, and the text block right behind it that shows what it prints."""

    language: str
    source: str
    line: int
    shown: "Block | None" = None


@dataclass(frozen=True)
class Link:
    """A link or an image. `code` is its text, if that is one piece of code and nothing else."""

    target: str
    line: int
    code: str | None = None


@dataclass(frozen=True)
class Page:
    """A page.

    `name` is its path in the tree, `mentioned` the commands within its text, each with its line, `anchors` are those of
    its headings, and `faults` what is wrong already.
    """

    path: Path
    name: str
    blocks: list[Block]
    links: list[Link]
    mentioned: list[tuple[str, int]]
    anchors: set[str]
    faults: list[str]


def entries(root=ROOT):
    """The files and folders of the tree, without what is hidden, built or written by runs."""
    return sorted(path for path in root.iterdir()
                  if not path.name.startswith(".") and path.suffix != ".egg-info"
                  and path.name not in ("runs", "build", "__pycache__"))


def markdown_files(root=ROOT):
    """All Markdown files of the tree."""
    return [path for entry in entries(root)
            for path in (sorted(entry.rglob("*.md")) if entry.is_dir() else [entry]) if path.suffix == ".md"]


@cache
def read_page(path, root=ROOT):
    """The page of this path."""
    name = path.relative_to(root).as_posix()
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    blocks, links, mentioned, slugs, faults, before = [], [], [], [], [], None
    for token in tokens:
        if token.type == "fence":
            _add_block(Block(token.info.strip(), token.content, token.map[0] + 2), blocks, before, name, faults)
        elif token.type == "inline":
            links += _links(token)
            mentioned += [(child.content, token.map[0] + 1) for child in token.children
                          if child.type == "code_inline" and child.content.startswith("python ")]
            faults += [f"{name}:{line}: {fault}"
                       for find in (_mathematics_faults, _table_faults) for line, fault in find(token)]
            if before.type == "heading_open":
                slugs.append(slug("".join(child.content for child in token.children)))
        before = token
    return Page(path, name, blocks, links, mentioned, _numbered(slugs), faults)


def _add_block(block, blocks, before, name, faults):
    if block.language == "text" and before is not None and before.type == "fence" and before.info.strip() in RUN:
        blocks[-1] = replace(blocks[-1], shown=block)
        return
    if block.language == "text":
        faults.append(f"{name}:{block.line - 1}: a text block must stand right behind the python or sh block that "
                      f"prints it (a listing is a block without a language)")
    elif block.language in LOOKALIKES:
        faults.append(f"{name}:{block.line - 1}: a {block.language} block is not run: call it python or sh")
    blocks.append(block)


def _mathematics_faults(inline):
    """Inline mathematics that a code host does not hand on as it is: Markdown reads it first."""
    for found in re.finditer(r"`[^`]*`|\$([^$]+)\$", inline.content):
        if found[1] and re.search(r"\\[^A-Za-z\s]|\*", found[1]):
            yield inline.map[0] + 1 + inline.content.count("\n", 0, found.start()), (
                f"{found[0]}: in inline mathematics a star may become emphasis, and a backslash before a punctuation "
                f"mark is lost")


def _table_faults(inline):
    """A table whose head has not as many columns as the line below it: Markdown takes it for text."""
    for number, line in enumerate(inline.content.splitlines()):
        if re.fullmatch(r"\|( *:?-+:? *\|)+", line):
            yield inline.map[0] + number, "the head of this table has another number of columns than the line below it"


def _links(inline):
    line = inline.map[0] + 1
    for number, token in enumerate(inline.children):
        if token.type in ("softbreak", "hardbreak"):
            line += 1
        elif token.type == "image":
            yield Link(token.attrs["src"], line)
        elif token.type == "link_open":
            text, end = inline.children[number + 1:number + 3]
            only_code = text.type == "code_inline" and end.type == "link_close"
            yield Link(token.attrs["href"], line, text.content if only_code else None)


def slug(heading):
    """The anchor that GitHub gives to a heading of this text."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _numbered(slugs):
    """Of headings with the same text, all but the first have a number."""
    seen, anchors = Counter(), set()
    for one in slugs:
        anchors.add(f"{one}-{seen[one]}" if seen[one] else one)
        seen[one] += 1
    return anchors


def link_faults(page, root=ROOT):
    """What is wrong with a page's links within the project."""
    return [f"{page.name}:{link.line}: {fault}" for link in page.links
            if not re.match(r"[a-z][a-z0-9+.-]*:", link.target) and (fault := _link_fault(page, link, root))]


def mend_lines(path, root=ROOT):
    """Write the lines that links to objects should have into a page, after its code has moved.

    `python -m tests.docs.pages` does so for all pages.
    """
    page = read_page(path, root)
    text = path.read_text(encoding="utf-8")
    for link in page.links:
        if fault := _link_fault(page, link, root):
            target, found, right = fault.partition(f": {link.code} is ")
            if found:
                text = text.replace(f"[`{link.code}`]({target})", f"[`{link.code}`]({target.partition('#')[0]}{right})")
    if text != path.read_text(encoding="utf-8"):
        path.write_text(text, encoding="utf-8")


def _link_fault(page, link, root):
    relative, _, anchor = unquote(link.target).partition("#")
    path = (page.path.parent / relative).resolve() if relative else page.path
    if relative.startswith("/") or not path.is_relative_to(root.resolve()):
        return f"{link.target} leads out of the project"
    if not path.exists():
        return f"{link.target} does not exist"
    if not anchor:
        return None
    if path.suffix == ".md":
        return None if anchor in read_page(path, root).anchors else f"{link.target}: {path.name} has no such heading"
    lines = re.fullmatch(r"L(\d+)(?:-L(\d+))?", anchor)
    if path.suffix != ".py" or lines is None:
        return f"{link.target}: the anchor is neither a heading of a page nor lines (#L1-L9) of a Python file"
    if link.code is None:
        return f"{link.target}: the text of a link to lines must be the object's name in backticks"
    span = spans(path.read_text(encoding="utf-8")).get(link.code)
    if span is None:
        return f"{link.target}: {path.name} defines no {link.code}"
    if span != (int(lines[1]), int(lines[2] or lines[1])):
        right = f"#L{span[0]}-L{span[1]}" if span[0] != span[1] else f"#L{span[0]}"
        return f"{link.target}: {link.code} is {right}"
    return None


@cache
def spans(source):
    """The first and last line of everything that a module defines, by its name: "Class", "Class.method", "CONSTANT"."""
    found = {}

    def look(body, prefix):
        for node in body:
            first, names = node.lineno, []
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first, names = min([first, *(decorator.lineno for decorator in node.decorator_list)]), [node.name]
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
            for name in names:
                found[prefix + name] = (first, node.end_lineno)
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}{node.name}.")

    look(ast.parse(source).body, "")
    return found


def differentiated_modules(folder):
    """The modules of a folder that define a layer or a loss: a subclass of Layer, or a class with a backward pass."""
    classes = [(path, node) for path in sorted(folder.glob("*.py"))
               for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)]
    kinds = {"Layer"}
    while more := {node.name for _, node in classes if _base_names(node) & kinds} - kinds:
        kinds |= more
    return sorted({path for path, node in classes if node.name in kinds or _has_backward(node)})


def _base_names(node):
    return {base.id if isinstance(base, ast.Name) else base.attr for base in node.bases
            if isinstance(base, ast.Name | ast.Attribute)}


def _has_backward(node):
    return any(isinstance(member, ast.FunctionDef) and member.name == "backward" for member in node.body)


if __name__ == "__main__":
    for one in markdown_files():
        mend_lines(one)
