"""Write the chosen run's weights: `python -m tools.judge.freeze RUN --data DIR --runs DIR`.

Subtracts the share `--strength` of the log prior in the head's bias, fits the temperature on the
public test and writes `affectbench/judges/weights/resnet_ferplus.safetensors` and
`results/frozen.json`, with the run's log. The private test is opened for its
pixels only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from affectbench.judges.resnet_ferplus import ENLARGED
from affectbench.types import EXPRESSIONS
from tools.judge.calibration import fit_temperature, prior_of, without_prior
from tools.judge.checkpoints import State, network_of, read_state
from tools.judge.data import load_split
from tools.judge.measures import predict, vote_figures

_LOG = logging.getLogger("judge.freeze")
RESULTS = Path(__file__).with_name("results")
WEIGHTS = Path(__file__).parents[3] / "affectbench/judges/weights/resnet_ferplus.safetensors"
_MAX_BYTES = 8_000_000


def corrected(state: State, prior: torch.Tensor, strength: float) -> State:
    """Return a state whose head has the prior's correction in its bias."""
    bias = without_prior(state["head.bias"].float(), prior, strength)
    return {**state, "head.bias": bias.half()}


def freeze(
    name: str, runs: Path, data: Path, *, strength: float, weights: Path, results: Path
) -> dict[str, Any]:
    """Write the weights of a run and their metadata."""
    cache = runs / "similarity.npz"
    train, public = (load_split(data, split, cache) for split in ("train", "public_test"))
    state, size = read_state(runs / name)
    if size != ENLARGED:
        raise ValueError(f"{name}: trained at {size} px; the judge enlarges to {ENLARGED}")
    state = corrected(state, prior_of(train.shares), strength)
    network = network_of(state, size)
    logits = predict(network, public.all_faces())
    temperature = fit_temperature(logits, public.shares)
    save_file(state, weights, metadata={"classes": " ".join(EXPRESSIONS)})
    content = weights.read_bytes()
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{weights} has {len(content)} bytes, more than {_MAX_BYTES}")
    frozen = {
        "run": name,
        "strength": strength,
        "temperature": temperature,
        "sha256": hashlib.sha256(content).hexdigest(),
        "weights_bytes": len(content),
        "parameters": sum(p.numel() for p in network.parameters()),
        "train": train.counts,
        "public_test": public.counts,
        "public_figures": vote_figures(logits / temperature, public.shares),
    }
    results.mkdir(exist_ok=True)
    shutil.copyfile(runs / name / "train_log.csv", results / "train_log.csv")
    (results / "frozen.json").write_text(json.dumps(frozen, indent=2) + "\n", encoding="utf-8")
    return frozen


def main(arguments: list[str] | None = None) -> None:
    """Freeze a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder that holds the runs")
    parser.add_argument("--strength", type=float, required=True)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    frozen = freeze(
        options.run,
        options.runs,
        options.data,
        strength=options.strength,
        weights=options.weights,
        results=options.results,
    )
    _LOG.info("%s", json.dumps(frozen, indent=2))


if __name__ == "__main__":
    main()
