"""No import circles, and imports in functions only where the file's reason is written down."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "affectbench": ROOT / "affectbench",
    "affectbench_baselines": ROOT / "baselines" / "affectbench_baselines",
}
LATE_IMPORTS = {
    "affectbench/cli/": "the parser is built, and help printed, without what the verbs need",
}
"""Where a function may import a module of ours. All others name it at the top, or by `Late`."""


class Imports(ast.NodeVisitor):
    """The modules that a file names: (module, line, whether in a function)."""

    def __init__(self, source: str) -> None:
        self.found: list[tuple[str, int, bool]] = []
        self._depth = 0
        self.visit(ast.parse(source))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for branch in node.orelse:
                self.visit(branch)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [(alias.name, node.lineno, self._depth > 0) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        dots = "." * node.level
        for alias in node.names:
            # `from package import module` names the module, if that is one.
            name = f"{node.module}.{alias.name}" if node.module else alias.name
            self.found.append((dots + name, node.lineno, self._depth > 0))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):  # `Late("package.module:name")`
            module, colon, name = node.value.partition(":")
            if colon and name.isidentifier() and module.startswith(tuple(PACKAGES)):
                self.found.append((module, node.lineno, False))


def modules() -> dict[str, Path]:
    """The file of each module of ours."""
    found = {}
    for name, folder in PACKAGES.items():
        for file in folder.rglob("*.py"):
            parts = [name, *file.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def absolute(name: str, module: str, file: Path) -> str:
    """A relative import as an absolute one."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - level + 1], name.lstrip(".")])


def own(name: str, known: dict[str, Path]) -> str | None:
    """The module of ours that an import names: itself, or where the name is from."""
    if name in known:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in known else None


def graph(files: dict[str, Path]) -> dict[str, set[str]]:
    """The modules that each module imports, in whatever way."""
    edges: dict[str, set[str]] = {}
    for module, file in files.items():
        names = (absolute(n, module, file) for n, _, _ in Imports(file.read_text("utf-8")).found)
        edges[module] = {target for n in names if (target := own(n, files))} - {module}
    return edges


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(edges[module]):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in edges:
        if module not in index:
            visit(module)
    return found


def late_imports() -> Iterator[str]:
    """Imports of ours in functions, but for the places that may have them."""
    files = modules()
    for module, file in files.items():
        place = file.relative_to(ROOT).as_posix()
        if place.startswith(tuple(LATE_IMPORTS)):
            continue
        for name, line, inner in Imports(file.read_text("utf-8")).found:
            if inner and own(absolute(name, module, file), files):
                yield f"{place}:{line} imports {name} in a function"


def test_there_are_no_import_circles() -> None:
    assert circles(graph(modules())) == []


def test_functions_import_nothing_of_ours() -> None:
    assert list(late_imports()) == []


@pytest.mark.parametrize(
    ("b", "c"),
    [
        ("import pack.a", ""),
        ("def f():\n    from pack import a", ""),
        ("from . import a", ""),
        ("from .c import x", "from pack.a import y"),
        ("try:\n    from pack.a import y\nexcept ImportError:\n    pass", ""),
    ],
)
def test_a_circle_is_found(tmp_path: Path, b: str, c: str) -> None:
    texts = {"pack.a": "from pack.b import x", "pack.b": b, "pack.c": c}
    files = {}
    for module, text in texts.items():
        files[module] = tmp_path / f"{module}.py"
        files[module].write_text(text)
    assert circles(graph(files))[0][:2] == ["pack.a", "pack.b"]


def test_types_and_strings_make_no_circle(tmp_path: Path) -> None:
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pack.a"
    (tmp_path / "a.py").write_text("import pack.b")
    (tmp_path / "b.py").write_text(f"'''pack.a: text'''\n{typed}")
    assert circles(graph({"pack.a": tmp_path / "a.py", "pack.b": tmp_path / "b.py"})) == []


def test_a_module_named_for_later_counts_as_imported(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("f = Late('affectbench.b:g')")
    (tmp_path / "b.py").write_text("import affectbench.a")
    files = {"affectbench.a": tmp_path / "a.py", "affectbench.b": tmp_path / "b.py"}
    assert circles(graph(files)) == [["affectbench.a", "affectbench.b"]]


LIGHT = [
    "affectbench",
    "affectbench.cli.main",
    "affectbench.adapters",
    "affectbench.api",
    "affectbench.datasets",
    "affectbench.judges",
    "affectbench.metrics.selection",
    "affectbench.run.plan",
    "affectbench_baselines.plugins",
    "affectbench_baselines.restorers.plugins",
    "affectbench_baselines.train",
]
"""What helps, lists and plans."""


def test_what_helps_lists_and_plans_loads_no_torch() -> None:
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    code += "    assert 'torch' not in sys.modules, name"
    done = subprocess.run(
        [sys.executable, "-c", code, *LIGHT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
