"""Make `resnet_ferplus.json`: what the judge's network says in float64, and the judge's revision.

    PYTHONPATH=tests python tests/reference/make_resnet_ferplus.py

To be run once after other weights are frozen. Every other expectation of the tests is a property of
the judge, or stands in the files that `tools.judge.freeze` and `tools.judge.evaluate` write.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from drawn_faces import drawn_faces

from affectbench import load_dataset
from affectbench.images.tensors import resized, stack, unit_range
from affectbench.judges import judge_spec
from affectbench.judges.network_judge import coloured, load_network
from affectbench.judges.resnet_ferplus import ResNetFerPlus

OUT = Path(__file__).with_name("resnet_ferplus.json")
WEIGHTS = Path(__file__).parents[2] / "affectbench/judges/weights/resnet_ferplus.safetensors"


@torch.inference_mode()
def main() -> None:
    spec = judge_spec("resnet-ferplus")
    network = load_network(ResNetFerPlus, WEIGHTS, spec.sha256).double().eval()

    def logits(faces: torch.Tensor) -> list[list[float]]:
        grey = resized(coloured(faces.double(), "grey"), spec.input_size)
        rows = (network(grey) / spec.temperature).tolist()
        return [[round(value, 5) for value in row] for row in rows]

    demo = load_dataset("demo")
    content = {
        "revision": spec.revision,
        "drawn": logits(drawn_faces(spec.input_size)),
        "demo": {n: logits(unit_range(stack([demo.read(n)])))[0] for n in demo.ids},
    }
    OUT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
