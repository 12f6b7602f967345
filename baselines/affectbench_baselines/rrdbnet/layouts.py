"""Public RRDBNet checkpoints: three key layouts, and the size of a checkpoint's network.

| layout | used by | example of a name |
|---|---|---|
| BasicSR | BasicSR, Real-ESRGAN, ours | `body.0.rdb1.conv1.weight`, `conv_up1.weight` |
| trunk | ESRGAN (2020), BSRGAN, RealSR | `RRDB_trunk.0.RDB1.conv1.weight`, `upconv1.weight` |
| numbered | ESRGAN (2018) | `model.1.sub.0.RDB1.conv1.0.weight`, `model.3.weight` |

Real-ESRGAN's x2 and x1 files use pixel unshuffle: their first convolution has 12 or 48 channels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from affectbench.errors import WeightsError
from affectbench_baselines.rrdbnet.network import RRDBConfig

Weights = Mapping[str, torch.Tensor]
_WRAPPERS = ("params_ema", "params", "state_dict")
_TRUNK = {"trunk_conv": "conv_body", "HRconv": "conv_hr"}


def weights_of(content: Mapping[str, Any], name: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint under BasicSR's names, whatever its layout.

    `content` is a state dict, or a dict with one under `params_ema`, `params` or `state_dict`.
    Raises WeightsError, starting with `name`, if it is not an RRDBNet.
    """
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            return weights_of(content[wrapper], name)
    if any(not isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{name}: holds more than tensors, it is not an RRDBNet")
    if "model.0.weight" in content:
        return _from_numbered(content, name)
    return {_from_trunk(key): value for key, value in content.items()}


def config_of(weights: Weights, name: str) -> RRDBConfig:
    """Return the config of the network that weights (under BasicSR's names) belong to."""
    try:
        first, growth = weights["conv_first.weight"], weights["body.0.rdb1.conv1.weight"]
    except KeyError as missing:
        raise WeightsError(f"{name}: is not an RRDBNet, it has no {missing}") from None
    blocks = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("body."))
    stages = sum(bool(re.fullmatch(r"conv_up\d\.weight", key)) for key in weights)
    unshuffle = math.isqrt(first.shape[1] // 3)
    if first.shape[1] != 3 * unshuffle**2 or stages not in (1, 2, 3):
        raise WeightsError(f"{name}: is not an RRDBNet for RGB faces that enlarges by 2, 4 or 8")
    return RRDBConfig(
        features=first.shape[0],
        growth=growth.shape[0],
        blocks=blocks,
        scale=2**stages // unshuffle,
        unshuffle=unshuffle,
    )


def _from_trunk(key: str) -> str:
    match = re.fullmatch(r"RRDB_trunk\.(\d+)\.RDB(\d)\.(.+)", key)
    if match:
        return f"body.{match[1]}.rdb{match[2]}.{match[3]}"
    match = re.fullmatch(r"upconv(\d)\.(.+)", key)
    if match:
        return f"conv_up{match[1]}.{match[2]}"
    part, _, rest = key.partition(".")
    return f"{_TRUNK.get(part, part)}.{rest}"


def _from_numbered(content: Weights, name: str) -> dict[str, torch.Tensor]:
    """Rename: `model.1.sub.B` are blocks, the last one the trunk convolution; then the stages."""
    last_block = max(
        (int(k.split(".")[3]) for k in content if k.startswith("model.1.sub.")), default=-1
    )
    last = max(int(key.split(".")[1]) for key in content)
    names = {0: "conv_first", last: "conv_last", last - 2: "conv_hr"}
    names |= {position: f"conv_up{position // 3}" for position in range(3, last - 2, 3)}
    plain: dict[str, torch.Tensor] = {}
    for key, value in content.items():
        block = re.fullmatch(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(\w+)", key)
        trunk = re.fullmatch(rf"model\.1\.sub\.{last_block}\.(\w+)", key)
        other = re.fullmatch(r"model\.(\d+)\.(\w+)", key)
        if block:
            plain[f"body.{block[1]}.rdb{block[2]}.conv{block[3]}.{block[4]}"] = value
        elif trunk:
            plain[f"conv_body.{trunk[1]}"] = value
        elif other and int(other[1]) in names:
            plain[f"{names[int(other[1])]}.{other[2]}"] = value
        else:
            raise WeightsError(f"{name}: is not a plain RRDBNet, it has a tensor '{key}'")
    return plain
