"""ARCHITECTURE.md against the code: who imports whom, and how long things are."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "mpi_lowrank"
PAGE = (PROJECT / "ARCHITECTURE.md").read_text()
SOURCES = {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
SHELL = {"__init__", "__main__"}
"""What makes the folder a package and a command."""


def page_rooms() -> dict[str, set[str]]:
    """The first table: each room and those that it may import."""
    table = PAGE.partition("## Rooms")[2].partition("##")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", table, re.M)
    return {room: set(filter(None, imports.strip().split(", "))) for room, imports in rows}


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """The modules that are imported when the code runs, inside functions too."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # nothing is imported there
        if isinstance(node, ast.ImportFrom):
            package = node.module == "mpi_lowrank"
            found |= {f"{node.module}.{a.name}" for a in node.names} if package else {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        found |= imported(node)
    return found


def rooms_imported(path: Path) -> set[str]:
    inside = (
        name.split(".") for name in imported(SOURCES[path]) if name.startswith("mpi_lowrank.")
    )
    return {parts[1] for parts in inside} - {room(path)} - {"__version__"}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_room_imports_only_what_the_page_says(path):
    allowed = page_rooms()
    if room(path) in SHELL:
        assert rooms_imported(path) <= {"cli"}
    else:
        assert rooms_imported(path) <= allowed[room(path)]


def test_every_room_is_on_the_page_and_each_import_there_is_used():
    used = {name: set() for name in map(room, SOURCES) if name not in SHELL}
    for path in SOURCES:
        if room(path) in used:
            used[room(path)] |= rooms_imported(path)
    assert page_rooms() == used


def test_rooms_import_one_another_in_no_circle():
    TopologicalSorter(page_rooms()).prepare()


def test_modules_import_one_another_in_no_circle():
    names = {name(path) for path in SOURCES}
    graph = {name(path): modules(path, names) - {name(path)} for path in SOURCES}
    TopologicalSorter(graph).prepare()


def test_folders_import_one_another_in_no_circle():
    names, graph = {name(path) for path in SOURCES}, {}
    for path in SOURCES:
        found = {folder(module) for module in modules(path, names)}
        graph.setdefault(folder(name(path)), set()).update(found - {folder(name(path))})
    TopologicalSorter(graph).prepare()


def folder(module: str) -> str:
    """What lies in a room beside it: a folder there, or a module that is in none."""
    return ".".join(module.split(".")[:3])


def name(path: Path) -> str:
    return ".".join(("mpi_lowrank", *path.with_suffix("").parts)).removesuffix(".__init__")


def modules(path: Path, names: set[str]) -> set[str]:
    """The modules that a module needs, those imported inside functions included."""
    found = set()
    for node in ast.walk(SOURCES[path]):
        if isinstance(node, ast.ImportFrom) and node.module in names:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & names or {node.module}
    return found


def test_mpi4py_is_imported_in_its_rooms_alone():
    rooms = {
        room(path)
        for path, tree in SOURCES.items()
        if any(n.startswith("mpi4py") for n in imported(tree))
    }
    assert rooms == {"comm"}


def test_at_the_top_lie_four_modules_at_most():
    loose = {room(path) for path in SOURCES if len(path.parts) == 1} - SHELL
    assert len(loose) <= 4, sorted(loose)


@pytest.mark.parametrize("folder", ["mpi_lowrank", "bench", "tests"])
def test_nothing_is_too_long_to_be_read(folder):
    texts = {path: path.read_text() for path in (PROJECT / folder).rglob("*.py")}
    long_files = [str(path) for path, text in texts.items() if len(text.splitlines()) > 450]
    nodes = [node for text in texts.values() for node in ast.walk(ast.parse(text))]
    classes = [
        n.name for n in nodes if isinstance(n, ast.ClassDef) and n.end_lineno - n.lineno >= 200
    ]
    functions = [lines(n) for n in nodes if isinstance(n, ast.FunctionDef)]
    assert not long_files and not classes and median(functions) <= 5


def lines(function: ast.FunctionDef) -> int:
    """Those of the body, behind the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_no_two_test_modules_share_a_name():
    """Pytest imports them by their names alone."""
    names = [path.name for path in (PACKAGE.parent / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
