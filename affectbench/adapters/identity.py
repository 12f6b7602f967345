"""The revision of a model that user code builds: see "What makes it the same model" in
`docs/add-a-model.md`.

It covers the value that the factory returned (`adapters.values`), the local source files, the files
and environment variables that were read while it was built and called (`adapters.reads`) and the
declared range, multiple and scale. What it cannot cover is listed in `ModelSpec.revision_lacks`:
such a model is recomputed in every run, unless `@revision=TEXT` vouches for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from affectbench.adapters.adapted import AdaptedNetwork
from affectbench.adapters.global_state import restore, snapshot
from affectbench.adapters.prefix import file_hash
from affectbench.adapters.reads import Reads, chance, chance_kept, watching
from affectbench.adapters.values import Values
from affectbench.types import ModelSpec, content_id

_TRIALS = 2
_SHOWN = 3


@dataclass
class Built:
    """What a factory returned, and what was read and imported while it ran."""

    adapted: AdaptedNetwork
    reads: Reads
    sources: set[Path] = field(default_factory=set)


@runtime_checkable
class Watched(Protocol):
    """A model whose calls are monitored for dependencies that its revision does not cover."""

    @property
    def unforeseen(self) -> str:
        """Dependencies seen in calls that the revision does not cover."""
        ...

    def final_spec(self) -> ModelSpec:
        """Return the spec after the last call, including every uncovered dependency seen."""
        ...


class UserModel:
    """A model from a user's factory. What its calls read is compared with its trial calls."""

    def __init__(
        self,
        adapted: AdaptedNetwork,
        spec: ModelSpec,
        known: Reads,
        state: Callable[[], str],
        first_state: str,
    ) -> None:
        self.spec = spec
        self._adapted = adapted
        self._known = known
        self._state = state
        self._first_state = first_state
        self._unforeseen: dict[str, None] = {}
        self._unchecked = False
        self._watched = not spec.revision_lacks

    @property
    def adapted(self) -> AdaptedNetwork:
        """The model without what watches its calls."""
        return self._adapted

    @property
    def network(self) -> Any:
        """What the factory returned."""
        return self._adapted.network

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        """Return SR for LR."""
        if not self._watched:
            return self._adapted(lr)
        self._unchecked = True
        with _noted(self._known, self._unforeseen):
            return self._adapted(lr)

    @property
    def unforeseen(self) -> str:
        """Dependencies seen in calls that the revision does not cover."""
        return _listed(self._unforeseen)

    def final_spec(self) -> ModelSpec:
        """Return the spec after the last call, including every uncovered dependency seen."""
        if self._unchecked and self._state() != self._first_state:
            self._unforeseen[_KEEPS] = None
        self._unchecked = False
        lacks = [self.spec.revision_lacks, self.unforeseen]
        return replace(self.spec, revision_lacks="; ".join(part for part in lacks if part))


_KEEPS = "what it keeps changes from call to call"


def identified(
    build: Callable[[], Built],
    source: Mapping[str, Any],
    aliases: Mapping[str, str],
    lr_size: int,
    device: torch.device,
) -> UserModel:
    """Build a model and compute its revision. `source` is what is known without building it."""
    built = build()
    values = Values(aliases)
    digest = values.digest(built.adapted.network)
    sources = built.sources | values.sources | built.reads.sources
    trial = _tried(built.adapted, lr_size, device)
    lacks = dict.fromkeys([*values.lacks, *trial.lacks])
    known, adapted = built.reads, built.adapted
    known.join(trial.reads)

    def state() -> str:
        return Values(aliases).digest(adapted.network)

    if state() != digest:
        lacks[_KEEPS] = None
        adapted = build().adapted  # the trial calls must not affect its results
    spec, hashes = adapted.spec, known.content()
    lacks.update(dict.fromkeys(known.changed()))
    content = {
        **source,
        "values": digest,
        "sources": sorted((path.name, file_hash(path)) for path in sources | known.sources),
        "files": hashes,
        "folders": list(known.folders.values()),
        "variables": known.variables,
        "distributions": sorted(values.distributions - {""}),
        "declared": repr((spec.scale, spec.value_range, spec.size_multiple)),
    }
    made = _made(values, content)
    spec = replace(
        spec, revision=content_id(content), revision_from=made, revision_lacks=_listed(lacks)
    )
    adapted.spec = spec
    return UserModel(adapted, spec, known, state, digest)


@dataclass
class _Trial:
    reads: Reads
    lacks: list[str]


def _tried(adapted: AdaptedNetwork, lr_size: int, device: torch.device) -> _Trial:
    """Call a model twice with a synthetic face; record what it reads and if it is deterministic."""
    reads, lacks = Reads(), dict[str, None]()
    ramp = torch.linspace(0, 1, 3 * lr_size * lr_size, device=device)
    lr, results = ramp.reshape(1, 3, lr_size, lr_size), []
    with chance_kept(), torch.inference_mode():
        for _ in range(_TRIALS):
            before, saved = chance(), snapshot()
            try:
                with watching(reads, calling=True):
                    results.append(adapted(lr.clone()).cpu().clone())
            except (Exception, SystemExit) as error:  # the run will report it for real faces
                lacks[f"its trial call raised {type(error).__name__}"] = None
                break
            finally:
                restore(saved)  # such as the working directory, which relative paths depend on
            if chance() != before:
                lacks["draws random numbers when called"] = None
    if len(results) == _TRIALS and not torch.equal(*results):
        lacks["two calls with one face differ"] = None
    return _Trial(reads, [*reads.untraced, *lacks])


@contextlib.contextmanager
def _noted(known: Reads, unforeseen: dict[str, None]) -> Iterator[None]:
    """Record what a call depends on besides `known`."""
    reads, before = Reads(), chance()
    with watching(reads, calling=True):
        yield
    if chance() != before:
        unforeseen["draws random numbers when called"] = None
    unforeseen.update(dict.fromkeys(reads.unlike(known)))


def _made(values: Values, content: Mapping[str, Any]) -> str:
    """Return a description of what a revision was derived from."""
    counts = [
        (len(content["sources"]), "source file", "source files"),
        (sum(found is not None for found in content["files"]), "file read", "files read"),
        (len(content["folders"]), "folder listed", "folders listed"),
        (len(content["variables"]), "environment variable", "environment variables"),
        (values.arrays, "tensor", "tensors"),
    ]
    parts = [f"{n} {one if n == 1 else more}" for n, one, more in counts if n]
    return ", ".join([*parts, *content["distributions"]])


def _listed(reasons: Mapping[str, None]) -> str:
    shown = list(reasons)[:_SHOWN]
    more = len(reasons) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])
