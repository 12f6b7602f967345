"""The syntax of a model argument: `NAME` or `PREFIX:TARGET`, then options `@key=value@key=value`.

An option starts at an `@` that is followed by a word and `=`, so paths may contain `@` and spaces.
Commas separate models; a path with a comma cannot be part of a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from affectbench.errors import InputError, hint

_OPTION = re.compile(r"@(?=[A-Za-z_][A-Za-z0-9_]*=)")

KERNELS = ("bicubic", "lanczos", "nearest")


def without_options(argument: str) -> str:
    """Return the part before the options."""
    return _OPTION.split(argument)[0].strip()


def split_options(argument: str) -> tuple[str, dict[str, str]]:
    """Split an argument into the part before the options, and the options.

    >>> split_options("checkpoint:my@lab/x4.pth@then=bicubic@name=mine")
    ('checkpoint:my@lab/x4.pth', {'then': 'bicubic', 'name': 'mine'})
    """
    options: dict[str, str] = {}
    for piece in _OPTION.split(argument)[1:]:
        key, _, value = piece.partition("=")
        if key in options:
            raise InputError(f"{argument}: the option @{key}= is given twice")
        if not value.strip():
            raise InputError(f"{argument}: the option @{key}= has no value")
        options[key] = value.strip()
    return without_options(argument), options


def require_known(options: Mapping[str, str], known: Iterable[str], argument: str) -> None:
    """Refuse unknown options, with a suggestion."""
    names = tuple(known)
    for key in options:
        if key in names:
            continue
        remedy = hint(key, names, shown="@{}=", listed_as="@{}=")
        raise InputError(f"{argument}: there is no option @{key}=; {remedy}")


def kernel_option(options: Mapping[str, str], argument: str) -> str | None:
    """Return the kernel of `@then=`, which resamples the output of a network of another scale."""
    kernel = options.get("then")
    if kernel is not None and kernel not in KERNELS:
        raise InputError(f"{argument}: @then={kernel} is none of {', '.join(KERNELS)}")
    return kernel


def require_scale(native: int, scale: int, then: str | None, argument: str) -> None:
    """Refuse a network of another scale, unless `then` names a kernel to resample its output."""
    if native != scale and then is None:
        raise InputError(
            f"{argument}: is a x{native} model and x{scale} is asked for; add @then=bicubic (or "
            f"lanczos, nearest) to resample its output, or use --scale {native}"
        )


def value_range(text: str, argument: str) -> tuple[float, float]:
    """Return the two numbers of `@range=LOW:HIGH`.

    >>> value_range("-1:1", "onnx:x.onnx")
    (-1.0, 1.0)
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"{argument}: @range={text} is not LOW:HIGH, such as -1:1") from None
    if not low < high:
        raise InputError(f"{argument}: @range={text} is empty; the low end comes first")
    return low, high
