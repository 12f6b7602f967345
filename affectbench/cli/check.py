"""`affectbench check MODEL`: check an adapter against the contract."""

from __future__ import annotations

import argparse

from affectbench.cli.options import Verbs, add_isolating, add_scale, new_parser
from affectbench.cli.output import note
from affectbench.cli.tables import print_specs

_EXAMPLES = """\
  affectbench check bicubic
  affectbench check python:my_model.py:build --scale 8 --timeout 60
"""


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    summary = "check that a model keeps the contract"
    parser = new_parser(verbs, common, "check", summary, _EXAMPLES)
    parser.set_defaults(run=run)
    parser.add_argument("model", metavar="MODEL", help="as for compare; see `affectbench models`")
    add_scale(parser)
    parser.add_argument(
        "--lr-size", type=int, default=16, metavar="PX", help="side of the faces that it is given"
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:1 ...")
    add_isolating(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the check; return 1 if the contract is broken."""
    from dataclasses import replace

    from affectbench.adapters import parse_model
    from affectbench.adapters.contract import check_contract
    from affectbench.devices import usable_device
    from affectbench.types import as_json

    request = replace(
        parse_model(arguments.model), isolate=arguments.isolate, timeout=arguments.timeout
    )
    device = usable_device(arguments.device)
    findings = check_contract(request, arguments.scale, device, lr_size=arguments.lr_size)
    rows = [as_json(finding) for finding in findings]
    print_specs(rows, ("name", "ok", "detail"), arguments.json)
    broken = [finding.name for finding in findings if not finding.ok]
    low, high = arguments.lr_size, arguments.lr_size * arguments.scale
    what = f"{arguments.model}, made faces of {low}x{low} to {high}x{high}"
    said = f"breaks the contract in {', '.join(broken)}" if broken else "keeps the contract"
    note(f"{what}: {said} ({len(findings)} checks)")
    return 1 if broken else 0
