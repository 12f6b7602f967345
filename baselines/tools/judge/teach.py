"""Write the teachers' predictions on the training faces: `python -m tools.judge.teach --help`.

The mean of the probabilities of several runs, on faces as they are, with the mirror image averaged:
a (N,7) array in the order of the training split, which `tools.judge.train --teacher` learns from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from tools.judge.checkpoints import network_of, read_state
from tools.judge.data import load_split
from tools.judge.measures import predict


def main(arguments: list[str] | None = None) -> None:
    """Write the teachers' mean probabilities."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("teachers", nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder that holds the runs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    faces = load_split(options.data, "train", options.runs / "similarity.npz").all_faces()
    parts = []
    for name in options.teachers:
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(predict(network_of(*read_state(options.runs / name)), faces).softmax(1))
    np.save(options.out, torch.stack(parts).mean(0).numpy())


if __name__ == "__main__":
    main()
