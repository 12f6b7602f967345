"""Static analysis of a function's bytecode: what it refers to, without running it."""

from __future__ import annotations

import builtins
import dis
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from affectbench.local_code.origins import LOCAL, module_origin, named_origin

PURE_MODULES = frozenset(
    [
        "_collections_abc",
        "_functools",
        "_operator",
        "abc",
        "array",
        "base64",
        "bisect",
        "builtins",
        "cmath",
        "collections",
        "contextlib",
        "copy",
        "copyreg",
        "csv",
        "dataclasses",
        "decimal",
        "enum",
        "fractions",
        "functools",
        "gzip",
        "hashlib",
        "heapq",
        "io",
        "_io",
        "itertools",
        "json",
        "logging",
        "math",
        "numbers",
        "operator",
        "pathlib",
        "pickle",
        "posixpath",
        "pprint",
        "random",
        "re",
        "statistics",
        "string",
        "struct",
        "textwrap",
        "types",
        "typing",
        "typing_extensions",
        "warnings",
        "zipfile",
        "zlib",
    ]
)
"""Standard library modules whose functions depend only on arguments, random generators and opened
files."""

PURE_NAMES = frozenset(
    [
        "os.altsep",
        "os.environ",
        "os.fsdecode",
        "os.fsencode",
        "os.fspath",
        "os.getenv",
        "os.linesep",
        "os.listdir",
        "os.name",
        "os.open",
        "os.path",
        "os.scandir",
        "os.sep",
        "os.PathLike",
        "sys.byteorder",
        "sys.float_info",
        "sys.maxsize",
        "sys.platform",
        "sys.stderr",
        "sys.stdout",
        "sys.version_info",
        "time.sleep",
    ]
)
"""Other names that are allowed; the rest of these modules depends on untraced state."""

_ASKING = frozenset(
    [
        "exists",
        "getatime",
        "getctime",
        "getmtime",
        "getsize",
        "is_dir",
        "is_file",
        "isdir",
        "isfile",
    ]
)
_ASKING_METHODS = _ASKING | {"lstat", "stat", "st_mtime", "st_size"}
_DYNAMIC = frozenset(
    ["__import__", "breakpoint", "compile", "eval", "exec", "globals", "input", "locals", "vars"]
)
_UNSEEN = (
    "torch.jit._serialization",
    "torch.hub",
    "torch.distributed",
    "torch.multiprocessing",
    "torch.utils.cpp_extension",
    "torch.utils.data",
    "torchvision.io",
)
_FILLING = ("CACHE", "EXTENDED_ARG", "PUSH_NULL")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")


@dataclass(frozen=True)
class Reference:
    """An external value that code uses, or the reason why it cannot be determined."""

    name: str
    value: Any = None
    reason: str = ""


def references(function: FunctionType, code: CodeType) -> Iterator[Reference]:
    """Yield the globals that a function's code uses, resolved down to a module's attributes."""
    instructions = [i for i in dis.get_instructions(code) if i.opname not in _FILLING]
    module: ModuleType | None = None
    for index, instruction in enumerate(instructions):
        name = str(instruction.argval)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield from _global(function, name, _following(instructions[index + 1 :]))
        elif instruction.opname == "IMPORT_NAME":
            module = sys.modules.get(_absolute(function, name, instructions, index))
            yield from _import(name, module, code)
        elif instruction.opname == "IMPORT_FROM" and module is not None:
            yield from _along(module, [name])
        elif instruction.opname in _ATTRIBUTES and name in _ASKING_METHODS:
            yield Reference(name, reason="asks the file system about files")
        elif instruction.opname in _ATTRIBUTES and name == "from_file":
            yield Reference(name, reason="reads files in compiled code")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from references(function, constant)


def names_in(code: CodeType) -> set[str]:
    """Return all attribute names that code mentions, including those in strings."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= names_in(constant)
        elif isinstance(constant, str):
            found.add(constant)
    return found


def refusal(value: Any) -> str:
    """Return why a function or class of a trusted origin is not reproducible; empty if it is."""
    module = str(getattr(value, "__module__", None) or _home_of(value))
    if isinstance(value, FunctionType):  # `functools.wraps` copies the wrapped function's module
        module = str(value.__globals__.get("__name__"))
    name = str(getattr(value, "__qualname__", getattr(value, "__name__", "")))
    if module.startswith(_UNSEEN):
        return f"uses {module}, which can read files unseen"
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or module == "builtins":
        if name in _DYNAMIC and module == "builtins":
            return f"uses {name}"
        module = {"posix": "os", "nt": "os", "genericpath": "posixpath"}.get(module, module)
        if name in _ASKING:
            return f"uses {name}"
        if not _is_pure(module) and f"{module}.{name}" not in PURE_NAMES:
            return f"uses {module}.{name}"
    return ""


def source_code(path: Path) -> tuple[str, dict[tuple[str, int], list[CodeType]]]:
    """Return the SHA-256 of a source file and its code objects by name and first line."""
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), _code_objects(content)


@lru_cache(maxsize=64)
def _code_objects(content: bytes) -> dict[tuple[str, int], list[CodeType]]:
    found: dict[tuple[str, int], list[CodeType]] = {}
    waiting = [compile(content, "source", "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        found.setdefault((code.co_name, code.co_firstlineno), []).append(code)
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found


def _is_pure(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[: n + 1]) in PURE_MODULES for n in range(len(parts)))


def _home_of(value: Any) -> str:
    home = getattr(value, "__self__", None) or getattr(value, "__objclass__", None)
    if isinstance(home, ModuleType):
        return home.__name__
    return str(getattr(home, "__module__", "") or "")


def _following(instructions: list[dis.Instruction]) -> list[str]:
    names = []
    for instruction in instructions:
        if instruction.opname not in _ATTRIBUTES:
            break
        names.append(str(instruction.argval))
    return names


def _global(function: FunctionType, name: str, attributes: list[str]) -> Iterator[Reference]:
    if name in function.__globals__:
        yield from _along(function.__globals__[name], attributes, name)
    elif hasattr(builtins, name):
        if name in _DYNAMIC:
            yield Reference(name, reason=f"uses {name}")
    else:
        yield Reference(name)  # not defined yet; defining it changes the hash


def _along(value: Any, attributes: list[str], name: str = "") -> Iterator[Reference]:
    """Follow attributes from a module to the value that they name."""
    for attribute in attributes:
        if not isinstance(value, ModuleType):
            break
        refused, home = _refused(value, attribute), value.__name__
        if refused:
            yield Reference(attribute, reason=refused)
            return
        name, value = f"{name}.{attribute}", getattr(value, attribute, None)
        if f"{home}.{attribute}" in PURE_NAMES and not isinstance(value, ModuleType):
            yield Reference(name)  # such as os.environ, whose reads are recorded at run time
            return
    if isinstance(value, ModuleType) and _refused(value, ""):
        yield Reference(name, reason=f"uses {value.__name__}")
        return
    yield Reference(name, value)


def _refused(module: ModuleType, attribute: str) -> str:
    origin = module_origin(module)
    if origin.kind != "python" or _is_pure(module.__name__):
        return ""
    name = f"{module.__name__}.{attribute}"
    return "" if attribute and name in PURE_NAMES else f"uses {name.rstrip('.')}"


def _import(name: str, module: ModuleType | None, code: CodeType) -> Iterator[Reference]:
    """Yield the reference of an import inside a function."""
    origin = module_origin(module) if module else named_origin(name)
    if module is None and origin == LOCAL:
        yield Reference(name, reason=f"imports {name} when called")
    elif origin.kind == "python" and not _is_pure(name) and not _from_only(name, code):
        yield Reference(name, reason=f"uses {name}")
    elif module is not None and not origin.trusted:
        yield Reference(name, module)


def _from_only(name: str, code: CodeType) -> bool:
    """Return whether a module is used only in `from` imports, whose names are checked singly."""
    instructions = list(dis.get_instructions(code))
    following = {
        instructions[index + 1].opname
        for index, instruction in enumerate(instructions)
        if instruction.opname == "IMPORT_NAME" and instruction.argval == name
    }
    return following == {"IMPORT_FROM"}


def _absolute(
    function: FunctionType, name: str, instructions: list[dis.Instruction], index: int
) -> str:
    level = instructions[index - 2].argval if index >= 2 else 0
    if not isinstance(level, int) or level < 1:
        return name
    parents = str(function.__globals__.get("__package__") or "").split(".")
    return ".".join([*parents[: len(parents) - level + 1], *([name] if name else [])])
