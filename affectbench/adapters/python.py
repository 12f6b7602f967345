"""`python:FILE:FACTORY` or `python:PACKAGE.MODULE:FACTORY`: a model built by the user's own code.

**The code is executed**; that is its purpose. `FACTORY(scale, ...)` returns a module or a function
that maps LR (N, 3, h, w) to SR; it receives `scale` and `device` if it accepts them, and every
option `@key=value` as the keyword argument `key="value"`. A `spec` (a ModelSpec, or a dict of its
fields) on the model, the factory or the module declares scale, value_range, size_multiple,
licence, parameters, trained_on, trained_against and note. The revision is known once the model is
built: see `adapters.identity`. With `@revision=TEXT` the user vouches for the revision, and the
model is not inspected.
"""

from __future__ import annotations

from affectbench.adapters.prefix import PrefixAdapter, source_content
from affectbench.local_code.target import SYNTAX, source_of
from affectbench.registry import Late


def _check(target: str) -> str:
    return source_of(target).stem


PYTHON = PrefixAdapter(
    prefix="python",
    syntax=SYNTAX,
    title="a factory in a Python file or module (its code is run); other options go to it",
    options=("then", "revision"),
    check=_check,
    content=source_content,
    covers="source file",
    lacks="what the loaded model holds and reads",
    load=Late("affectbench.adapters.user_code:load_user_model"),
    any_option=True,
)
