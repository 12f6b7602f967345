"""Plug-ins found through entry points: lazy and typed; duplicates raise, unknown names suggest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from affectbench.errors import AffectBenchError, UnknownNameError, hint

T = TypeVar("T")

OPTIONAL_DISTRIBUTIONS = {"affectbench.models": "affectbench-baselines"}
"""What adds plug-ins to a group, where it is installed."""


class PluginError(AffectBenchError):
    """An installed plug-in cannot be used."""


@dataclass(frozen=True)
class Late:
    """A function whose module is imported when it is called: `Late("package.module:name")`.

    Called with the arguments `given` here before its own. What names a module this way stands
    above it without importing it: nothing is loaded that is not used.
    """

    place: str
    given: tuple[object, ...] = ()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Import the module, and call the function."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)(*self.given, *arguments, **named)


class Registry(Generic[T]):
    """The plug-ins of one entry-point group. Nothing is imported before `load`.

    `own` are plug-ins by name that need no entry point: those of a catalogue of the library.

    >>> "psnr" in Registry("affectbench.metrics", "metric", object).names()
    True
    """

    def __init__(
        self, group: str, noun: str, kind: type[T], own: Mapping[str, T] | None = None
    ) -> None:
        self.group = group
        self.noun = noun
        self._kind = kind
        self._own = own or {}

    @cached_property
    def _points(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            if point.name in self._own:
                raise PluginError(
                    f"a plug-in is named {self.noun} '{point.name}', as one of affectbench's own: "
                    f"{_origin(point)}; uninstall it, or install affectbench again if that is it"
                )
            known = found.setdefault(point.name, point)
            if known.value != point.value:
                raise PluginError(
                    f"two plug-ins are named {self.noun} '{point.name}': {_origin(known)} and "
                    f"{_origin(point)}; uninstall one of them"
                )
        return found

    def names(self) -> tuple[str, ...]:
        """All known names, sorted."""
        return tuple(sorted({*self._own, *self._points}))

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._points

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def load(self, name: str) -> T:
        """The plug-in of that name.

        Raises UnknownNameError, with a suggestion, if there is none, and PluginError if it
        cannot be imported or is not what its group promises.
        """
        points = self._points  # before anything else: a name must not stand twice
        if name in self._own:
            return self._own[name]
        if name not in points:
            raise UnknownNameError(self._unknown(name))
        point = points[name]
        try:
            plugin = point.load()
        except AffectBenchError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.noun} '{name}' ({_origin(point)}) cannot be imported: {error}"
            ) from error
        if not isinstance(plugin, self._kind):
            raise PluginError(
                f"{self.noun} '{name}' ({_origin(point)}) is a {type(plugin).__name__}, "
                f"not a {self._kind.__name__}"
            )
        return plugin

    def _unknown(self, name: str) -> str:
        message = f"unknown {self.noun} '{name}'; {hint(name, self.names())}"
        more = OPTIONAL_DISTRIBUTIONS.get(self.group)
        if more is None or any(p.dist and p.dist.name == more for p in self._points.values()):
            return message
        return f"{message} ({more} has more {self.noun}s: pip install {more})"


def _origin(point: EntryPoint) -> str:
    name = point.dist.name if point.dist else "unknown distribution"
    return f"{name}: {point.value}"
