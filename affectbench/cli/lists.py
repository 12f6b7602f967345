"""`affectbench models`, `metrics` and `judges`: what is installed, and what a metric lacks."""

from __future__ import annotations

import argparse
import importlib

from affectbench.cli.options import Verbs, new_parser
from affectbench.cli.tables import print_specs

_LISTS = {
    # verb: (module, its listing function, columns of the table)
    "models": ("affectbench.adapters", "list_models", ("name", "title")),
    "metrics": (
        "affectbench.metrics.selection",
        "catalogue",
        ("group", "name", "kind", "direction", "unit", "title", "missing"),
    ),
    "judges": (
        "affectbench.judges",
        "list_judges",
        ("name", "title", "colour", "input_size", "differentiable", "licence", "training_data"),
    ),
}


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the three verbs."""
    for name in _LISTS:
        examples = f"  affectbench {name}\n  affectbench {name} --json\n"
        parser = new_parser(verbs, common, name, f"list {name}", examples)
        parser.set_defaults(run=run)
        parser.add_argument("--json", action="store_true", help="all fields, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """List them as a table or as JSON."""
    from affectbench.types import as_json

    module, function, columns = _LISTS[arguments.verb]
    specs = getattr(importlib.import_module(module), function)()
    rows = [spec if isinstance(spec, dict) else as_json(spec) for spec in specs]
    print_specs(rows, columns, arguments.json)
    return 0
