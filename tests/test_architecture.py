"""The floors of the house hold: who may import whom, who may touch the world, and how large a room may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CALLREC = ROOT / "callrec"

FLOORS = {
    **dict.fromkeys(["errors", "clock", "descriptors", "identifiers", "tasks", "settings"], 0),
    **dict.fromkeys(["sip", "sdp", "rtp", "calling_line"], 1),
    **dict.fromkeys(["calls", "vault", "catalogue", "notice"], 2),
    **dict.fromkeys(["signalling", "media", "privacy", "screening", "events"], 3),
    "recorder": 4,
    "api": 5,
    **dict.fromkeys(["console", "web"], 6),
}
SAME_FLOOR = {("calling_line", "sip")}
"""Neighbours on one floor of whom one may read the other: identity is read out of SIP headers."""
WORDS_OF_FLOOR_0 = {"errors", "clock", "descriptors", "identifiers", "tasks", "settings"}

NO_IO = {"sip", "sdp", "rtp", "siprec", "calling_line", "calls"}
THE_WORLD = {
    *("asyncio", "socket", "ssl", "time", "threading", "sqlite3", "subprocess", "os", "pathlib", "select", "selectors"),
    *("random", "secrets", "multiprocessing", "io", "tempfile", "shutil", "signal"),
}
COMPOSITION_ROOT = "callrec.console.run"
LONGEST_FILE, LONGEST_FUNCTION = 450, 60
FOREIGN = {"pyVoIP", "demonstration", "tests", "bench"}


@dataclass(frozen=True)
class Import:
    """One import of one module, with its place."""

    path: Path
    line: int
    module: str
    name: str
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def sources() -> list[Path]:
    return sorted(CALLREC.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """Return the package or top-level module inside callrec, empty for callrec itself."""
    return [*module.split("."), ""][1]


def _nodes(tree: ast.AST, *, typing_only: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Walk a tree; what stands below `if TYPE_CHECKING` never runs."""
    for node in ast.iter_child_nodes(tree):
        below = typing_only or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        yield node, typing_only
        yield from _nodes(node, typing_only=below)


def _base_of(path: Path, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module_of(path).split(".")
    keep = len(parts) - node.level + (path.name == "__init__.py")
    return ".".join([*parts[:keep], *([node.module] if node.module else [])])


def imports(path: Path) -> Iterator[Import]:
    """Return every import of a file, wherever in it."""
    for node, typing_only in _nodes(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, "", typing_only)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(path, node.lineno, _base_of(path, node), alias.name, typing_only)


def target_of(found: Import, modules: set[str]) -> str:
    """Return the module of callrec that an import reaches."""
    deeper = f"{found.module}.{found.name}"
    return deeper if deeper in modules else found.module


def all_imports() -> list[Import]:
    return [found for path in sources() for found in imports(path)]


def test_every_package_has_a_floor() -> None:
    """A new package is given its floor before it imports anything."""
    packages = {package_of(module_of(path)) for path in sources()} - {"", "__main__"}
    assert packages <= set(FLOORS), f"without a floor: {sorted(packages - set(FLOORS))}"


def test_imports_go_down_only() -> None:
    """A package imports only from floors below its own; only the named neighbours read each other."""
    modules = {module_of(path) for path in sources()}
    faults = []
    for found in all_imports():
        here = package_of(module_of(found.path))
        target = target_of(found, modules)
        there = package_of(target) if target.split(".")[0] == "callrec" else ""
        if not here or not there or here == there or (here, there) in SAME_FLOOR:
            continue
        words = here in WORDS_OF_FLOOR_0 and there in WORDS_OF_FLOOR_0
        if not words and FLOORS[there] >= FLOORS[here]:
            faults.append(f"{found}: {here} (floor {FLOORS[here]}) imports {target} (floor {FLOORS[there]})")
    assert not faults, "\n".join(faults)


def test_floor_one_and_calls_touch_nothing() -> None:
    """Protocols and decisions import nothing that reads a clock, a socket, a file or a die: those are arguments."""
    faults = [
        f"{found}: imports {found.module}"
        for found in all_imports()
        if package_of(module_of(found.path)) in NO_IO
        and not found.typing_only
        and found.module.split(".")[0] in THE_WORLD
    ]
    for path in sources():
        if package_of(module_of(path)) in NO_IO:
            faults += [f"{path.relative_to(ROOT)}:{line}: opens a file" for line in _opens(tree_of(path))]
    assert not faults, "\n".join(faults)


def _opens(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "exec", "eval"}:
            yield node.lineno


def test_only_the_composition_root_sees_recorder_and_api_from_the_console() -> None:
    """The command is a thin client: all but `console/run.py` reach the recorder by its socket alone."""
    modules = {module_of(path) for path in sources()}
    faults = [
        f"{found}: imports {target_of(found, modules)}"
        for found in all_imports()
        if module_of(found.path).startswith(("callrec.console", "callrec.web"))
        and module_of(found.path) != COMPOSITION_ROOT
        and package_of(target_of(found, modules)) in {"recorder", "api"}
        and found.module.startswith("callrec")
    ]
    assert not faults, "\n".join(faults)


def test_the_product_stands_alone() -> None:
    """Nothing of callrec imports the demonstration, the tests, the benches, or pyVoIP (GPL-3)."""
    faults = [f"{found}: imports {found.module}" for found in all_imports() if found.module.split(".")[0] in FOREIGN]
    assert not faults, "\n".join(faults)
    lock = (ROOT / "uv.lock").read_text().lower()
    assert 'name = "pyvoip"' not in lock


def test_pyvoip_is_imported_by_the_soft_phone_alone() -> None:
    """The GPL-3 soft-phone stays in one script, which runs in an environment of its own."""
    users = [
        path.relative_to(ROOT).as_posix()
        for folder in ("callrec", "demonstration", "tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if "site-packages" not in path.parts and any(found.module.split(".")[0] == "pyVoIP" for found in imports(path))
    ]
    assert users == ["demonstration/softphone.py"]


def test_no_modules_go_in_circles() -> None:
    """No module needs itself, over whatever detour: each can be read, and loaded, alone."""
    modules = {module_of(path) for path in sources()}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in all_imports():
        target = target_of(found, modules)
        if not found.typing_only and target in modules and target != module_of(found.path):
            graph[module_of(found.path)].add(target)
    circles = [sorted(component) for component in components(graph) if len(component) > 1]
    assert not circles, f"these import each other: {circles}"


def components(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for following in sorted(graph[node]):
            if following not in index:
                visit(following)
                low[node] = min(low[node], low[following])
            elif following in stack:
                low[node] = min(low[node], index[following])
        if low[node] == index[node]:
            place = stack.index(node)
            found.append(stack[place:])
            del stack[place:]

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def test_circles_are_found() -> None:
    """The search for circles finds one of three, and none in a chain."""
    assert sorted(map(len, components({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}))) == [1, 3]
    assert max(map(len, components({"a": {"b"}, "b": {"c"}, "c": set()}))) == 1


def test_rooms_stay_comfortable() -> None:
    """No file of callrec is longer than 450 lines, and no function longer than 60."""
    faults = []
    for path in sources():
        lines = path.read_text().count("\n")
        if lines > LONGEST_FILE:
            faults.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > LONGEST_FUNCTION:
                    faults.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {size} lines")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("word", ["/wo" + "rk/", "/fa" + "rm/", "/root/", "/home/"])
def test_no_file_names_a_machine(word: str) -> None:
    """Nothing in the repository knows the machine it was written on."""
    suffixes = {".py", ".md", ".toml", ".xml", ".service", ".conf", ".sh", ".json", ""}
    folders = ("callrec", "config", "demonstration", "tests", "systemd", "bench", "docs", ".ci")
    left_out = {"site-packages", "state", "pyvoip", "__pycache__"}
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    files += [path for path in ROOT.iterdir() if path.name in {"README.md", "demo", "test", "pyproject.toml"}]
    faults = [
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file()
        and path.suffix in suffixes
        and not left_out & set(path.relative_to(ROOT).parts)
        and path != Path(__file__)
        and word in path.read_text(errors="replace")
    ]
    assert not faults, f"{word} stands in {faults}"
