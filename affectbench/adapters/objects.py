"""Models that are Python objects: modules and functions, beside those that are named by a text.

Nothing here imports torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from affectbench.adapters import (
    OBJECT,
    ModelRequest,
    parse_model,
    parse_models,
    require_distinct,
)
from affectbench.adapters.syntax import split_options
from affectbench.errors import InputError
from affectbench.texts import printable
from affectbench.types import ModelSpec

ModelLike: TypeAlias = str | Callable[..., Any]
"""The text of a model, such as `checkpoint:x4.pth`, or a module or function from LR to SR."""


def model_requests(
    models: ModelLike | Iterable[ModelLike] | Mapping[str, ModelLike],
) -> tuple[ModelRequest, ...]:
    """Return the requests of models in any form that `compare` takes.

    A mapping names the rows; otherwise an object is named after its class or function. Raises
    InputError for what is no model, and for two rows of one name; other errors as in
    `parse_models`.
    """
    if isinstance(models, str):
        return tuple(parse_models(models))
    if isinstance(models, Mapping):
        requests = [_named(str(label), model) for label, model in models.items()]
    else:
        every = [models] if callable(models) else _listed(models)
        if all(isinstance(model, str) for model in every):
            return tuple(parse_models(",".join(map(str, every))))
        requests = [request for model in every for request in _requests(model)]
    if not requests:
        raise InputError("no models: name at least one, such as bicubic")
    require_distinct(requests)
    return tuple(requests)


def name_of(held: Any) -> str:
    """Return the name of a module or function, for its row in a table.

    >>> name_of(name_of), name_of(functools.partial(name_of)), name_of(lambda lr: lr)
    ('name_of', 'name_of', 'lambda')
    """
    if isinstance(held, functools.partial):
        return name_of(held.func)
    spec = getattr(held, "spec", None)
    if isinstance(spec, ModelSpec):
        return spec.name
    compiled = getattr(held, "_orig_mod", None)  # of torch.compile
    if compiled is not None:
        return name_of(compiled)
    name = getattr(held, "__qualname__", None) or getattr(held, "original_name", None)
    name = str(name or type(held).__name__).rpartition("<locals>.")[2]
    return "lambda" if name == "<lambda>" else name


def _listed(models: Iterable[ModelLike]) -> list[ModelLike]:
    try:
        return list(models)
    except TypeError:
        raise _no_model(models) from None


def _requests(model: ModelLike) -> list[ModelRequest]:
    if isinstance(model, str):
        return parse_models(model)
    return [_of_object(model, name_of(model))]


def _named(label: str, model: ModelLike) -> ModelRequest:
    if not isinstance(model, str):
        return _of_object(model, label)
    if "name" in split_options(model)[1]:
        raise InputError(f"{model}: is named twice, here and as '{label}'; leave @name= out")
    request = parse_model(f"{model}@name={label}")
    if request.label != printable(label.strip()):
        raise InputError(f"'{label}' cannot be the name of a row; leave @ and = out")
    return request


def _of_object(held: Any, label: str) -> ModelRequest:
    if not callable(held) or isinstance(held, type):
        raise _no_model(held)
    if not label.strip():
        raise InputError("a model has no name; name it: {'NAME': model}")
    shown = printable(label.strip())
    return ModelRequest(f"{OBJECT}:{shown}", shown, OBJECT, shown, (), held=held)


def _no_model(held: Any) -> InputError:
    if isinstance(held, type):
        return InputError(f"{held.__name__} is a class, not a model; pass an instance of it")
    return InputError(
        f"{type(held).__name__} is no kind of model; pass a module or function from LR to SR, or a "
        "text such as 'checkpoint:x4.pth'"
    )
