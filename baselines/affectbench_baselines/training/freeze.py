"""Add the weights of a finished run to the package: float16, with log, curve, figures and card.

    python -m affectbench_baselines.training.freeze rrdbnet --run runs/baselines/rrdbnet/last-0

Writes `<family>/weights/<variant>.{safetensors,json,csv,png,md}`; for a base stage
`<variant>-base.*`, from which last stages can start on any machine (`thaw`). The card's figures
come from the run and from the frozen weights themselves; sections to be written by hand are marked.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectbench.assets import sha256_of
from affectbench.errors import AffectBenchError, InputError
from affectbench_baselines.fadn.network import FADN
from affectbench_baselines.header import Header, read_header
from affectbench_baselines.plugins import weights_path
from affectbench_baselines.training.costs import demo_face, execution_costs, multiply_adds
from affectbench_baselines.training.files import CURVE, DONE, LOG, WEIGHTS, write_json
from affectbench_baselines.variants import VARIANTS, variant
from affectbench_baselines.weights import load_network, write_weights

MAX_BYTES = 10_000_000
MEASURED = ("psnr", "ssim", "landmarks", "ecm_")
_LOG = logging.getLogger("affectbench_baselines")

SUPERVISION = {
    "affectsrnet": "478 landmarks of each HR training face (MediaPipe Face Mesh)",
    "wnet": "7 regions drawn from the 478 landmarks of each HR training face",
    "fadn": "none (frequency masks follow from HR)",
    "sadn": "none",
    "rrdbnet": "none",
}


def freeze(name: str, run: Path, home: Path | None = None) -> dict[str, Any]:
    """Freeze a variant; return the figures of its card.

    Raises InputError for a run that is incomplete or of another variant, and for weights that
    exceed the size limit of this package.
    """
    done = _finished(run, name)
    source = run / WEIGHTS
    header = read_header(source)
    if header is None:
        raise InputError(f"{source}: is no weights file of this package")
    target = _target(name, done["job"]["stage_name"], home)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_weights(load_network(source, header).state_dict(), header, target, half=True)
    size = target.stat().st_size
    if size > MAX_BYTES:
        target.unlink()
        raise InputError(f"{target.name} would have {size:,} bytes; at most {MAX_BYTES:,} fit")
    network = load_network(target, header)
    figures = {
        "variant": name,
        "sha256": sha256_of(target),
        "bytes": size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": multiply_adds(network, demo_face(128 // network.scale)),
        "faces_seen": header.faces,
        "native_scale_faces": done["native_faces"] + done.get("before", {}).get("native_faces", 0),
        "cpu_minutes": round(_cpu_seconds(done) / 60.0, 1),
        "extra_supervision": _supervision(header),
        "trained_on": list(header.trained_on),
        "trained_against": list(header.trained_against),
        "validation": {
            key: value for key, value in done["figures"].items() if key.startswith(MEASURED)
        },
        "job": done["job"],
    }
    if isinstance(network, FADN):
        figures["executions"] = execution_costs(network)
    target.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for file, suffix in ((LOG, ".csv"), (CURVE, ".png")):
        if (run / file).is_file():
            shutil.copyfile(run / file, target.with_suffix(suffix))
    target.with_suffix(".md").write_text(card(name, figures), encoding="utf-8")
    return figures


def _supervision(header: Header) -> str:
    """Return what a network learned from besides faces: at x4 AffectSRNet needs no landmarks."""
    found_on_lr = header.network == "affectsrnet" and "backbone" in header.settings
    return "none (the bundled face mesh runs on LR)" if found_on_lr else SUPERVISION[header.network]


def thaw(name: str, run: Path, home: Path | None = None) -> bool:
    """Restore a frozen base stage as a finished run; return False if the package has none."""
    if name not in VARIANTS or not (source := _target(name, "base", home)).is_file():
        return False
    figures = json.loads(source.with_suffix(".json").read_text(encoding="utf-8"))
    done = {
        "job": figures["job"],
        "seconds": 60.0 * figures["cpu_minutes"],
        "threads": 1,
        "processes": 1,
        "native_faces": figures["native_scale_faces"],
        "figures": figures["validation"],
    }
    run.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, run / WEIGHTS)
    write_json(done, run / DONE)
    return True


def _target(name: str, stage: str, home: Path | None) -> Path:
    path = weights_path(name) if home is None else weights_path(name, home)
    return path.with_stem(f"{name}-base") if stage == "base" else path


def card(name: str, figures: Mapping[str, Any]) -> str:
    """Return the model card: figures filled in, text to be written marked."""
    job, validation = figures["job"], figures["validation"]
    rows = {
        "Network": f"{VARIANTS[name].title}; config in the weights' header",
        "Parameters": f"{figures['parameters']:,}",
        "Multiply-adds (one face)": f"{figures['multiply_adds']:,}",
        "Faces seen": f"{figures['faces_seen']:,} ({figures['native_scale_faces']:,} at its "
        "full scale)",
        "CPU-minutes": figures["cpu_minutes"],
        "Seed": job["seed"],
        "Extra supervision": figures["extra_supervision"],
        "Trained on": "; ".join(figures["trained_on"]),
        "Trained against": "; ".join(figures["trained_against"]) or "nothing",
        "Licence of the weights": "research use: trained on CelebA",
        "Weights": f"{figures['bytes']:,} bytes, float16, SHA-256 {figures['sha256']}",
    }
    lines = [f"# Model card: {name}", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in rows.items()]
    lines += ["", "## Validation slice (400 faces, averages of the weights)", "", "| figure | |"]
    lines += ["|---|---|", *(f"| {key} | {value:.5g} |" for key, value in validation.items())]
    if "executions" in figures:
        lines += ["", "## Execution of one LR face", ""]
        lines += ["| way and LR side | ms | multiply-adds |", "|---|---|---|"]
        lines += [
            f"| {way} | {cost['ms']} | {cost['multiply_adds']:,} |"
            for way, cost in figures["executions"].items()
        ]
    stem = Path(_target(name, job["stage_name"], None)).stem
    lines += ["", f"![Curve]({stem}.png)", "", "## From the paper", "", "(to be written)", ""]
    lines += ["## Our choices", "", "(to be written)", "", "## Weaknesses", "", "(to be written)"]
    return "\n".join(lines) + "\n"


def _finished(run: Path, name: str) -> dict[str, Any]:
    try:
        done = json.loads((run / DONE).read_text(encoding="utf-8"))
        found = done["job"]["variant"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{run}: is not a finished run ({error})") from error
    if found != name:
        raise InputError(f"{run}: is a run of {found}, not of {name}")
    return dict(done)


def _cpu_seconds(done: Mapping[str, Any]) -> float:
    """Return the CPU seconds of this stage (summed over threads) and of the stage before."""
    own = done["seconds"] * done["threads"] * done["processes"]
    return float(own + done.get("before", {}).get("seconds", 0.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Freeze a run."""
    parser = argparse.ArgumentParser(prog="python -m affectbench_baselines.training.freeze")
    parser.add_argument("variant", help=", ".join(VARIANTS))
    parser.add_argument("--run", type=Path, required=True, help="folder of the finished last stage")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        variant(options.variant)
        _LOG.info("%s", json.dumps(freeze(options.variant, options.run), indent=2))
    except AffectBenchError as error:
        _LOG.error("error: %s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
