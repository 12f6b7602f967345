"""Classification of objects for `adapters.values`: plain, opaque or compiled."""

from __future__ import annotations

import enum
import random
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectbench.local_code.origins import LOCAL, Origin, module_origin, origin_of

CLASS_NOISE = frozenset(
    [
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__firstlineno__",
        "__static_attributes__",
        "_abc_impl",
        "__abstractmethods__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "__parameters__",
        "__orig_bases__",
        "__slots__",
    ]
)
_PLAIN_BASES = (object, torch.nn.Module, enum.Enum)

DESCRIPTORS = (
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))


def random_state(generator: Any) -> Any:
    """Return the state of a random generator of Python, numpy or torch."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state()


def attributes(value: Any) -> list[tuple[str, Any]]:
    """Return an object's attributes, from its `__dict__` and its slots."""
    pairs = list(getattr(value, "__dict__", {}).items())
    if isinstance(value, torch.nn.Module):
        # Empty internals of torch.nn.Module are skipped: they vary with torch's version.
        pairs = [(k, v) for k, v in pairs if k not in _BARE_MODULE or v or k == "training"]
        pairs = [(k, _plain_part(k, v) if k in _BARE_MODULE else v) for k, v in pairs]
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                pairs.append((slot, getattr(value, slot)))
    return pairs


_BARE_MODULE = torch.nn.Module().__dict__


def _plain_part(name: str, kept: Any) -> Any:
    """Return an internal dict of a module as a plain dict; for hooks, its values without ids."""
    if not isinstance(kept, dict):
        return kept
    return list(kept.values()) if "hooks" in name else dict(kept)


def function_origin(function: types.FunctionType) -> Origin:
    """Return the origin of a function's code."""
    file: str | None = function.__code__.co_filename
    names = function.__globals__
    if not Path(str(file)).is_file():  # created by `exec`: it belongs to the executing module
        file = names.get("__file__") if names.get("__name__") in sys.modules else None
        if file is None:
            return LOCAL
    return origin_of(str(names.get("__name__", "")), file)


def is_identified_by_name(value: Any) -> bool:
    """Return whether a value is compiled code that is identified by its name."""
    named = isinstance(value, (types.BuiltinFunctionType, *DESCRIPTORS))
    own = getattr(value, "__module__", None) or ""
    compiled = own.partition(".")[0] in ("numpy", "torch") and not hasattr(value, "__dict__")
    return named or isinstance(value, np.ufunc) or (compiled and hasattr(value, "__name__"))


def module_of(value: Any) -> str:
    """Return the module of a method or descriptor of compiled code; empty if it has none."""
    home = getattr(value, "__self__", None) or getattr(value, "__objclass__", None)
    return home.__name__ if isinstance(home, types.ModuleType) else getattr(home, "__module__", "")


def is_overseen(base: type) -> bool:
    """Return whether a base class calls only methods of its subclasses with known names."""
    if base in _PLAIN_BASES or base.__module__ in ("abc", "typing", "collections", "builtins"):
        return True
    module = sys.modules.get(base.__module__)
    return module is None or not module_origin(module).trusted


def is_made_in_python(kind: type) -> bool:
    """Return whether a class or one of its bases is defined in Python by a class statement."""
    marks = {"__dict__", "__weakref__", "__slots__"}
    return bool(marks & vars(kind).keys()) or any(map(is_made_in_python, kind.__bases__))


def is_transparent(kind: type) -> bool:
    """Return whether instances hold only attributes and slots, and no compiled state."""
    flags, slots = kind.__flags__, 0
    for base in kind.__mro__:
        own = vars(base).get("__slots__", ())
        names = (own,) if isinstance(own, str) else own
        slots += sum(name not in ("__dict__", "__weakref__") for name in names)
    size = object.__basicsize__ + 8 * slots
    size += 8 * (kind.__dictoffset__ > 0 and not flags & 1 << 4)
    size += 8 * (kind.__weakrefoffset__ > 0 and not flags & 1 << 3)
    return bool(flags & 1 << 9) and kind.__basicsize__ <= size and not kind.__itemsize__
