"""A hash of everything that calls of an object can depend on.

The object is traversed through attributes, items, closures, default arguments and the globals that
its functions use. Numbers, strings, tensors and arrays are hashed by value, functions by source,
functions of trusted packages by name. Anything without a comparable value (an inference session, an
open file, a lock) is listed in `lacks`, and so is code that depends on untraceable state, such as
the time.
"""

from __future__ import annotations

import builtins
import enum
import functools
import hashlib
import logging
import os
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from affectbench.adapters import kinds
from affectbench.adapters.code import names_in, references, refusal, source_code
from affectbench.adapters.script import script_parts
from affectbench.local_code.origins import LOCAL, Origin, module_origin, named_origin

_TYPING = (types.GenericAlias, types.UnionType)
_TORCH_NAMES = (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.finfo)
_MADE_ONCE = ("__init__", "__new__", "__init_subclass__", "__class_getitem__", "__post_init__")
_NESTING = 120


class Values:
    """A traversal of one object. `aliases` maps strings, such as paths, to their replacements."""

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        self.lacks: dict[str, None] = {}
        self.sources: set[Path] = set()
        self.distributions: set[str] = set()
        self.arrays = 0
        self._aliases = dict(aliases or {})
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is unique only while its object is alive
        self._names = {"forward"}
        self._dynamic = False
        self._waiting: dict[str, list[Any]] = {}
        self._depth = 0

    def digest(self, value: Any) -> str:
        """Return the hash of everything that `value` depends on."""
        try:
            self.add(value)
            self._add_methods()
        except RecursionError:
            self.lacks["is nested too deeply to be looked through"] = None
        except Exception as error:  # any access to a user's object can raise anything
            self.lacks[f"cannot be looked through ({type(error).__name__})"] = None
        return self._hash.hexdigest()

    def add(self, value: Any) -> None:
        """Add a value to the hash."""
        if type(value) in kinds.PLAIN:
            alias = self._aliases.get(value) if isinstance(value, str) else None
            self._put(type(value).__name__, repr(value) if alias is None else alias)
            return
        if type(value) in (tuple, slice, range, types.CodeType):  # equal constants may be shared
            self._add_constant(value)
            return
        number = self._seen.get(id(value))
        if number is not None:
            self._put("again", str(number))
            return
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        if self._depth > _NESTING:
            raise RecursionError
        self._depth += 1
        self._add_object(value)
        self._depth -= 1

    def _add_object(self, value: Any) -> None:
        for types_, handle in _HANDLERS:
            if isinstance(value, types_):
                handle(self, value)
                return
        if isinstance(value, torch.jit.ScriptModule | torch.jit.ScriptFunction):
            self._script(value)
        elif callable(value) and kinds.is_identified_by_name(value):
            self._foreign(value)
        else:
            self._instance(value)

    def _put(self, *texts: str) -> None:
        for text in texts:
            content = text.encode("utf-8", "surrogatepass")
            self._hash.update(b"%d:" % len(content))
            self._hash.update(content)

    def _add_all(self, kind: str, values: Iterable[Any]) -> None:
        found = list(values)
        self._put(kind, str(len(found)))
        for value in found:
            self.add(value)

    def _add_constant(self, value: Any) -> None:
        if isinstance(value, types.CodeType):
            counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount)
            names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
            table = getattr(value, "co_exceptiontable", b"")
            parts = (value.co_name, counts, value.co_flags, names, value.co_code, table)
            self._add_all("code", (*parts, *value.co_consts))
        elif isinstance(value, tuple):
            self._add_all("tuple", value)
        else:
            self._put(type(value).__name__, repr(value))

    # Containers and data

    def _sequence(self, value: Any) -> None:
        self._class(type(value), instance=True)
        self._add_all("items", value)
        self._attributes(value)

    def _mapping(self, value: Any) -> None:
        self._class(type(value), instance=True)
        pairs = [pair for pair in value.items() if pair[0] != "__builtins__"]  # added by `exec`
        self._add_all("pairs", (part for pair in pairs for part in pair))
        self._add_all("default", [getattr(value, "default_factory", None)])
        self._attributes(value)

    def _set(self, value: Any) -> None:
        parts = []
        for item in value:
            inner = Values(self._aliases)
            parts.append(inner.digest(item))
            self._take(inner)
        self._put(type(value).__name__, *sorted(parts))

    def _take(self, inner: Values) -> None:
        self.lacks.update(inner.lacks)
        self.sources |= inner.sources
        self.distributions |= inner.distributions

    def _plain_subclass(self, value: Any) -> None:
        base: Any = next(b for b in type(value).__mro__ if b in (*kinds.PLAIN, tuple, bytearray))
        self._class(type(value), instance=True)
        self.add(bytes(value) if base is bytearray else base(value))
        self._attributes(value)

    def _tensor(self, value: torch.Tensor) -> None:
        self.arrays += 1
        self._put("tensor", type(value).__name__, str(value.dtype), str(tuple(value.shape)))
        try:
            plain = value.detach().as_subclass(torch.Tensor).cpu().resolve_conj().resolve_neg()
            self._hash.update(plain.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        except (RuntimeError, TypeError, NotImplementedError):
            self._lack(f"holds a tensor without plain values ({value.layout}, {value.device})")
        if vars(value):
            self._add_all("attributes", (part for pair in vars(value).items() for part in pair))

    def _array(self, value: Any) -> None:
        self.arrays += 1
        array = np.asarray(value)
        self._put("array", type(value).__name__, repr(array.dtype), str(array.shape))
        if array.dtype.hasobject:
            self._add_all("objects", array.ravel().tolist())
        else:
            self._hash.update(np.ascontiguousarray(array).tobytes())

    def _random(self, value: Any) -> None:
        self._put("random")
        self.add(kinds.random_state(value))

    def _script(self, value: Any) -> None:
        try:
            self._put("script")
            for part in script_parts(value):
                self._hash.update(part)
        except Exception as error:  # torch raises RuntimeError and internal types
            self._lack(f"holds TorchScript that cannot be saved ({type(error).__name__})")

    # Code

    def _function(self, value: types.FunctionType) -> None:
        origin = kinds.function_origin(value)
        self._put("function", value.__qualname__)
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            self._cell(name, cell)
        self._add_all("defaults", (value.__defaults__, value.__kwdefaults__))
        self._add_all("more", (part for pair in vars(value).items() for part in pair))
        if origin.trusted:
            self._put(str(value.__globals__.get("__name__")), origin.version)
            self.distributions |= {origin.version}
            self._lack(refusal(value))
            return
        self._code(value, origin)
        self._names |= names_in(value.__code__)
        self._dynamic |= bool({"getattr", "attrgetter", "methodcaller"} & self._names)
        for found in references(value, value.__code__):
            self._put("uses", found.name)
            if found.reason:
                self._lack(f"{value.__qualname__} {found.reason}")
            elif isinstance(found.value, types.ModuleType):
                self._namespace(found.value)
            else:
                self.add(found.value)

    def _code(self, value: types.FunctionType, origin: Origin) -> None:
        """Hash file and line of code if the file still contains it, else its instructions."""
        code = value.__code__
        if origin.version:
            self.distributions.add(origin.version)
            self._put("installed", origin.version, value.__module__, value.__qualname__)
            return
        path = Path(code.co_filename)
        try:
            digest, codes = source_code(path.resolve())
        except (OSError, ValueError, SyntaxError):
            self._add_constant(code)
            return
        if code in codes.get((code.co_name, code.co_firstlineno), []):
            self.sources.add(path.resolve())
            self._put("source", digest, code.co_name, str(code.co_firstlineno))
        else:
            self._add_constant(code)

    def _cell(self, name: str, cell: types.CellType) -> None:
        try:
            value = cell.cell_contents
        except ValueError:
            self._put("empty cell", name)
            return
        self._put("cell", name)
        if name == "__class__":  # of `super()`
            self._class(value, instance=True)
        else:
            self.add(value)

    def _method(self, value: types.MethodType) -> None:
        self._add_all("method", (value.__self__, value.__func__))

    def _partial(self, value: functools.partial[Any]) -> None:
        self._add_all("partial", (value.func, value.args, value.keywords))
        self._attributes(value)

    def _wrapped(self, value: Any) -> None:
        parts = [getattr(value, name, None) for name in ("fget", "fset", "__func__", "__wrapped__")]
        parts += [getattr(value, name, None) for name in ("func", "args", "keywords")]
        self._add_all(type(value).__name__, parts)

    def _foreign(self, value: Any) -> None:
        """Hash compiled code by its name."""
        module = str(getattr(value, "__module__", None) or kinds.module_of(value) or "builtins")
        home = getattr(value, "__self__", None)
        loaded = sys.modules.get(module)
        origin = module_origin(loaded) if loaded else named_origin(module)
        name = str(getattr(value, "__qualname__", getattr(value, "__name__", "")))
        self._put("compiled", module, name, origin.version)
        if home is not None and not isinstance(home, types.ModuleType | type):
            self.add(home)
        elif not origin.trusted:
            self._lack(f"uses compiled code of {module}")
        else:
            self.distributions |= {origin.version}
            self._lack(refusal(value))

    def _class(self, value: type, instance: bool = False) -> None:
        """Hash a class; for that of an `instance`, skip the methods that only construct one."""
        if value in (*kinds.PLAIN, list, dict, set, frozenset, tuple):
            self._put("class", value.__name__)
            return
        key = id(value) * 2 + 1 if instance else id(value)
        if instance and (key in self._seen or id(value) in self._seen):
            self._put("class again", str(self._seen.get(key, self._seen.get(id(value)))))
            return
        self._seen[key] = len(self._seen)
        self._alive.append(value)
        module = sys.modules.get(value.__module__)
        origin = module_origin(module) if module else named_origin(value.__module__)
        if module is builtins and getattr(builtins, value.__name__, None) is not value:
            origin = LOCAL  # compiled, and its origin is unknown
        self._put("class", value.__qualname__)
        if not origin.trusted and not kinds.is_made_in_python(value):
            self._lack(f"uses compiled code ({value.__qualname__})")
        if origin.trusted:
            self._put(value.__module__, origin.version)
            self.distributions |= {origin.version}
            if not instance:
                self._lack(refusal(value))
        for base in value.__bases__ if not origin.trusted else ():
            self._class(base, instance=True)
        self._members(value, origin, instance)

    def _members(self, value: type, origin: Origin, instance: bool) -> None:
        anyone = not all(kinds.is_overseen(base) for base in value.__mro__)
        for name, member in vars(value).items():
            if origin.trusted:  # only local functions patched into it since
                function = isinstance(member, types.FunctionType)
                if function and kinds.function_origin(member).kind == "local":
                    self._add_all(f"patched {name}", [member])
                continue
            if name in kinds.CLASS_NOISE or isinstance(member, kinds.DESCRIPTORS):
                continue
            if instance and name in _MADE_ONCE:
                continue
            called = isinstance(member, types.FunctionType | property | staticmethod | classmethod)
            if called and not anyone and not name.startswith("__"):
                self._waiting.setdefault(name, []).append(member)
            else:
                self._add_all(name, [member])

    def _add_methods(self) -> None:
        """Add the methods that code seen so far mentions by name, until there are no more."""
        while names := [n for n in self._waiting if self._dynamic or n in self._names]:
            for name in names:
                self._add_all(f"method {name}", self._waiting.pop(name))

    def _namespace(self, module: types.ModuleType) -> None:
        """Hash a module that code uses as a whole, with everything in it."""
        origin = module_origin(module)
        self._put("module", module.__name__ if origin.trusted else "", origin.version)
        if origin.trusted or id(module) in self._seen:
            return
        self._seen[id(module)] = len(self._seen)
        for name, value in list(vars(module).items()):
            if name.startswith("__") and name.endswith("__"):
                continue
            if isinstance(value, types.ModuleType):
                if not module_origin(value).trusted:
                    self._namespace(value)
            else:
                self._add_all(name, [value])

    # Objects

    def _instance(self, value: Any) -> None:
        kind = type(value)
        if not kinds.is_transparent(kind):
            self._put("opaque", kind.__qualname__)
            self._lack(f"holds a {kind.__module__}.{kind.__qualname__}, whose inside is not known")
            return
        self._class(kind, instance=True)
        self._attributes(value)

    def _attributes(self, value: Any) -> None:
        self._add_all("attributes", (part for pair in kinds.attributes(value) for part in pair))

    def _text(self, value: Any) -> None:
        alias = self._aliases.get(str(value))
        self._put(type(value).__name__, str(value) if alias is None else alias)

    def _member(self, value: enum.Enum) -> None:
        self._put("enum", value.name)
        self._class(type(value), instance=True)
        self.add(value.value)

    def _by_kind(self, value: Any) -> None:
        """Hash only the type: loggers have no value, and environment reads are recorded."""
        self._put(type(value).__name__)

    def _lack(self, reason: str) -> None:
        if reason:
            self.lacks[reason] = None


_Handler = Callable[[Values, Any], None]
_HANDLERS: tuple[tuple[Any, _Handler], ...] = (
    (torch.Tensor, Values._tensor),
    ((np.ndarray, np.generic), Values._array),
    ((np.dtype, *_TORCH_NAMES, *_TYPING, PurePath), Values._text),
    (
        (random.Random, np.random.Generator, np.random.RandomState, torch.Generator),
        Values._random,
    ),
    (enum.Enum, Values._member),
    (types.FunctionType, Values._function),
    (types.MethodType, Values._method),
    (functools.partial, Values._partial),
    ((property, staticmethod, classmethod, functools.partialmethod), Values._wrapped),
    ((functools.cached_property, functools._lru_cache_wrapper), Values._wrapped),
    (type, Values._class),
    (types.ModuleType, Values._namespace),
    ((dict, types.MappingProxyType), Values._mapping),
    ((list, deque), Values._sequence),
    ((set, frozenset), Values._set),
    ((int, float, complex, str, bytes, bytearray, tuple), Values._plain_subclass),
    ((logging.Logger, os._Environ), Values._by_kind),
)
