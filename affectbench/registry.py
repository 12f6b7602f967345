"""Plug-ins found through entry points: lazy, typed, with errors for duplicate and unknown names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from affectbench.errors import AffectBenchError, InputError, UnknownNameError, hint

T = TypeVar("T")

OPTIONAL_DISTRIBUTIONS = {"affectbench.models": "affectbench-baselines"}
"""Optional distributions that add plug-ins to a group."""


class PluginError(AffectBenchError):
    """An installed plug-in cannot be used."""


@dataclass(frozen=True)
class Late:
    """A function whose module is imported on the first call: `Late("package.module:name")`.

    The arguments in `given` are passed before those of the call. A module can thus refer to another
    without importing it, and nothing is loaded that is not used.
    """

    place: str
    given: tuple[object, ...] = ()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Import the module, and call the function."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)(*self.given, *arguments, **named)


class Registry(Generic[T]):
    """The plug-ins of one entry-point group. Nothing is imported before `load`.

    `own` maps names to built-in plug-ins, which need no entry point.

    >>> "psnr" in Registry("affectbench.metrics", "metric", object).names()
    True
    """

    def __init__(
        self, group: str, noun: str, kind: type[T], own: Mapping[str, T] | None = None
    ) -> None:
        self.group = group
        self.noun = noun
        self._kind = kind
        self._own = dict(own or {})
        self._added: dict[str, T] = {}

    @cached_property
    def _points(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            if point.name in self._own:
                raise PluginError(
                    f"a plug-in is named {self.noun} '{point.name}', as one of affectbench's own: "
                    f"{_origin(point)}; uninstall it, or reinstall affectbench if it is affectbench"
                )
            known = found.setdefault(point.name, point)
            if known.value != point.value:
                raise PluginError(
                    f"two plug-ins are named {self.noun} '{point.name}': {_origin(known)} and "
                    f"{_origin(point)}; uninstall one of them"
                )
        return found

    def add(self, name: str, plugin: T) -> None:
        """Make a plug-in known to this process, in place of an earlier one that was added so.

        Raises InputError for the name of one that is installed.
        """
        if name in self._own or name in self._points:
            raise InputError(
                f"{self.noun} '{name}' is installed; give the one of the file another name"
            )
        self._added[name] = plugin

    def forget_added(self) -> None:
        """Forget every plug-in that was added."""
        self._added.clear()

    def names(self) -> tuple[str, ...]:
        """Return all known names, sorted."""
        return tuple(sorted({*self._own, *self._points, *self._added}))

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._points or name in self._added

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def load(self, name: str) -> T:
        """Return the plug-in of that name.

        Raises UnknownNameError, with a suggestion, if there is none, and PluginError if it
        cannot be imported or has the wrong type for its group.
        """
        points = self._points  # first of all, since this raises for duplicate names
        if name in self._own:
            return self._own[name]
        if name in self._added:
            return self._added[name]
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
        own = getattr(getattr(plugin, "spec", None), "name", name)
        if own != name:
            raise PluginError(
                f"{self.noun} '{name}' ({_origin(point)}) has a spec named '{own}': give the entry "
                "point and the spec one name"
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
