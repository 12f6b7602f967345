"""`affectbench assets`: weights that the library uses or can download, and their terms."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from affectbench.cli.options import Verbs, new_action, new_parser
from affectbench.cli.output import note, say, say_json
from affectbench.errors import UnknownNameError, hint

if TYPE_CHECKING:
    from affectbench.assets.catalogue import Asset

_EXAMPLES = """\
  affectbench assets list
  affectbench assets list --commercial-ok
  affectbench assets fetch facenet
  affectbench assets path face-recognition
"""
_NO_ADVICE = (
    "Commercial use is as far as we know the terms of the weights and of what they were trained "
    "on; this is not legal advice."
)


def add_parser(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = new_parser(
        verbs, common, "assets", "weights: terms, origin, SHA-256; fetch them", _EXAMPLES
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = new_action(actions, common, "list", "all weights and their terms")
    listing.add_argument(
        "--commercial-ok",
        action="store_true",
        help="only those whose terms allow commercial use, as far as known (no legal advice)",
    )
    listing.add_argument("--json", action="store_true", help="all fields, as JSON")
    listing.set_defaults(run=run_list)
    fetching = new_action(actions, common, "fetch", "download one, print its path")
    fetching.add_argument("name", metavar="NAME", help="as `affectbench assets list` names it")
    fetching.set_defaults(run=run_fetch)
    finding = new_action(actions, common, "path", "print the path of one")
    finding.add_argument("name", metavar="NAME", help="as `affectbench assets list` names it")
    finding.set_defaults(run=run_path)


def run_list(arguments: argparse.Namespace) -> int:
    """List all assets."""
    every = _every()
    kept = [
        asset.record()
        for asset in every.values()
        if asset.commercial == "yes" or not arguments.commercial_ok
    ]
    if arguments.json:
        say_json(json.dumps(kept, indent=1, ensure_ascii=False))
    elif kept:
        blocks = [_described(record) for record in kept]
        say(*[line for block in blocks for line in ("", *block)][1:])
    if arguments.commercial_ok:
        left_out = f"{len(every) - len(kept)} of {len(every)} are left out. "
        note(left_out + _NO_ADVICE)
    return 0


def run_fetch(arguments: argparse.Namespace) -> int:
    """Download one asset, unless it is present."""
    asset = _find(arguments.name)
    if not asset.present:
        from affectbench.cli.progress import download

        with download(asset.name) as advance:
            asset.source.fetch(advance)
    say(asset.verified()[0])
    return 0


def run_path(arguments: argparse.Namespace) -> int:
    """Print the path of one asset."""
    say(_find(arguments.name).require())
    return 0


def _every() -> dict[str, Asset]:
    """Return all assets by name, sorted."""
    from affectbench.registry import PluginError, Registry

    lists: Registry[tuple[Asset, ...]] = Registry("affectbench.assets", "asset list", tuple)
    found: dict[str, Asset] = {}
    for name in lists:
        for asset in lists.load(name):
            if found.setdefault(asset.name, asset) is not asset:
                raise PluginError(f"two assets are named '{asset.name}'; uninstall one of them")
    return dict(sorted(found.items()))


def _find(name: str) -> Asset:
    every = _every()
    if name not in every:
        raise UnknownNameError(f"unknown asset '{name}'; {hint(name, every)}")
    return every[name]


def _described(record: dict[str, Any]) -> list[str]:
    size = "size unknown" if record["size"] is None else f"{record['size'] / 1e6:.1f} MB"
    where = "bundled" if record["bundled"] else "fetched" if record["present"] else "not fetched"
    rows = {
        "licence": record["licence"],
        "training data": record["training_data"],
        "commercial use": record["commercial"],
        "from": record["origin"],
        "sha256": record["sha256"] or "recorded on first use",
        "path": record["path"] if record["present"] else "",
    }
    head = [f"{record['name']}  {size}, {where}", f"  {record['title']}"]
    return [*head, *(f"  {key}: {value}" for key, value in rows.items() if value)]
