"""Small files as ncnn stores an RRDBNet: what the converted networks of Real-ESRGAN look like."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from affectbench_baselines.rrdbnet.network import RRDBConfig, RRDBNet

LEAKY = " 9=2 -23310=1,2.000000e-01"
ADD = "0=1 -23301=2,2.000000e-01,1.000000e+00"
SMALL = RRDBConfig(features=4, growth=32, blocks=2, scale=4)


def small_network(config: RRDBConfig = SMALL) -> RRDBNet:
    """A network with seeded weights that float16 holds exactly; biases are any float32."""
    generator = torch.Generator().manual_seed(7)
    network = RRDBNet(config).eval().requires_grad_(False)
    for name, tensor in network.state_dict().items():
        size = tensor[0].numel() ** -0.5 if tensor.ndim == 4 else 0.1
        values = torch.randn(tensor.shape, generator=generator) * size
        tensor.copy_(values.half().float() if name.endswith("weight") else values)
    return network


def write_pair(folder: Path, stem: str, config: RRDBConfig = SMALL) -> RRDBNet:
    """Write `STEM.param` and `STEM.bin` into a folder; gives the network that they are of."""
    network = small_network(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.param").write_text(param_text(config))
    (folder / f"{stem}.bin").write_bytes(values_of(network))
    return network


def values_of(network: RRDBNet) -> bytes:
    """The `.bin`: weights as float16 behind a flag, padded to four bytes, biases as float32."""
    content = b""
    for name, tensor in network.state_dict().items():
        if name.endswith("weight"):
            half = tensor.numpy().astype("<f2").tobytes()
            content += b"\x47\x6b\x30\x01" + half + b"\0" * (-len(half) % 4)
        else:
            content += tensor.numpy().astype("<f4").tobytes()
    return content


def param_text(config: RRDBConfig) -> str:
    """The `.param`, with a `Split` behind each blob that is used more than once."""
    layers: list[tuple[str, list[str], str, str]] = []

    def add(kind: str, *inputs: str, settings: str = "") -> str:
        made = "data" if kind == "Input" else f"b{len(layers)}"
        layers.append((kind, list(inputs), made, settings))
        return made

    def conv(x: str, before: int, after: int, active: str = "") -> str:
        shape = f"0={after} 1=3 4=1 5=1 6={before * after * 9}"
        return add("Convolution", x, settings=shape + active)

    c, g = config.features, config.growth
    x = first = conv(add("Input"), 3, c)
    for _ in range(config.blocks):
        outer = x
        for _ in range(3):
            a = conv(x, c, g, LEAKY)
            b = conv(add("Concat", x, a), c + g, g, LEAKY)
            d = conv(add("Concat", x, a, b), c + 2 * g, g, LEAKY)
            e = conv(add("Concat", x, a, b, d), c + 3 * g, g, LEAKY)
            f = conv(add("Concat", x, a, b, d, e), c + 4 * g, c)
            x = add("Eltwise", f, x, settings=ADD)
        x = add("Eltwise", x, outer, settings=ADD)
    x = add("BinaryOp", first, conv(x, c, c))
    for _ in range(2):
        x = add("Interp", x, settings="0=1 1=2.000000e+00 2=2.000000e+00")
        x = conv(x, c, c, LEAKY)
    conv(conv(x, c, c, LEAKY), c, 3)
    return _with_splits(layers)


def _with_splits(layers: list[tuple[str, list[str], str, str]]) -> str:
    uses = Counter(blob for _, inputs, _, _ in layers for blob in inputs)
    left = {blob: list(range(count)) for blob, count in uses.items() if count > 1}
    last = layers[-1][2]
    lines, blobs = [], 0
    for number, (kind, inputs, made, settings) in enumerate(layers):
        # ncnn hands out the copies from the last one on.
        named = [f"{b}_splitncnn_{left[b].pop()}" if b in left else b for b in inputs]
        made_name = "output" if made == last else made
        lines.append(
            f"{kind:24} L_{number} {len(named)} 1 {' '.join([*named, made_name])} {settings}"
        )
        blobs += 1
        if made in left:
            copies = [f"{made}_splitncnn_{k}" for k in range(uses[made])]
            lines.append(f"Split S_{number} 1 {len(copies)} {' '.join([made, *copies])}")
            blobs += len(copies)
    return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""])


def damaged(values: bytes, at: int, new: bytes) -> bytes:
    """The same with some bytes exchanged."""
    return values[:at] + new + values[at + len(new) :]


def faces(count: int = 2) -> np.ndarray:
    """LR (N, 3, 12, 10) in [0, 1]."""
    return np.random.default_rng(1).random((count, 3, 12, 10), np.float32)
