"""RRDBNet as the runtime ncnn stores it: `.param` lists the layers, `.bin` has their values.

`.param` is text: a magic number, the counts of layers and blobs, then one line for each layer:
type, name, how many inputs and outputs, their names, and settings (`KEY=VALUE`, keys are numbers).
`.bin` has, for each convolution in the order of those lines, four bytes that tell float32 from
float16, the weights (out, in, 3, 3) padded to four bytes, and the biases in float32.

Both are read as plain data. A `.param` is accepted only if its graph, wire by wire, is that of an
RRDBNet, so that each convolution is known to be the one whose name it gets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from affectbench.errors import WeightsError
from affectbench_baselines.rrdbnet.network import RESIDUAL, SLOPE, RRDBConfig

_MAGIC = "7767517"
_LEAKY = {9: (2.0,), -23310: (SLOPE,)}
_WEIGHTED_SUM = {0: (1.0,), -23301: (RESIDUAL, 1.0)}
_NEAREST_X2 = {0: (1.0,), 1: (2.0,), 2: (2.0,)}
_FIRST_ARRAY = -23300
"""Settings with this key or a smaller one are arrays, which begin with their length."""
_MOST_FEATURES = 1024
_FLOAT32, _FLOAT16 = 0, 0x01306B47
_AROUND_BLOCKS, _IN_A_BLOCK = 6, 15
"""How many convolutions an x4 RRDBNet has."""


class Layer(NamedTuple):
    """A layer, the numbers of the layers that feed it, and its settings."""

    kind: str
    inputs: tuple[int, ...]
    settings: Mapping[int, tuple[float, ...]]
    name: str = ""


def config_of_param(content: bytes, label: str) -> RRDBConfig:
    """The size of the RRDBNet that a `.param` describes.

    Raises WeightsError, starting with `label`, for a damaged file or another network.
    """
    layers = _read_layers(content, label)
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    blocks, others = divmod(len(convolutions) - _AROUND_BLOCKS, _IN_A_BLOCK)
    if blocks < 1 or others:
        raise WeightsError(
            f"{label}: is of another network, with {len(convolutions)} convolutions; an x4 RRDBNet "
            f"has {_IN_A_BLOCK} in each block, and {_AROUND_BLOCKS} more"
        )
    features, growth = (_channels(layer, label) for layer in convolutions[:2])
    config = RRDBConfig(features, growth, blocks, scale=4)
    expected = _layers_of(config)
    for found, wanted in zip(layers, expected, strict=False):
        if found[:3] != wanted[:3]:
            raise WeightsError(f"{label}: is of another network: {_difference(found, wanted)}")
    if len(layers) != len(expected):
        raise WeightsError(
            f"{label}: is of another network, with {len(layers)} layers; an RRDBNet of {blocks} "
            f"blocks has {len(expected)}"
        )
    return config


def read_values(content: bytes, config: RRDBConfig, label: str) -> dict[str, torch.Tensor]:
    """The tensors of a `.bin` by BasicSR's names, in float32.

    Raises WeightsError, starting with `label`, unless it holds that network and nothing else.
    """
    tensors: dict[str, torch.Tensor] = {}
    start = 0
    for name, shape in _shapes_of(config):
        dtype, count = np.dtype("<f4"), math.prod(shape)
        if name.endswith(".weight"):
            _require_bytes(start + 4, content, name, label)
            flag = int.from_bytes(content[start : start + 4], "little")
            if flag not in (_FLOAT32, _FLOAT16):
                raise WeightsError(
                    f"{label}: {name} is stored as {flag:#010x}, neither float32 nor float16: it "
                    "is damaged or of another network"
                )
            start += 4
            dtype = np.dtype("<f2" if flag == _FLOAT16 else "<f4")
        end = start + count * dtype.itemsize
        _require_bytes(end, content, name, label)
        values = np.frombuffer(content, dtype, count, start).reshape(shape)
        tensors[name] = torch.from_numpy(values.astype(np.float32))
        start = end + -end % 4
    if start != len(content):
        raise WeightsError(
            f"{label}: has {len(content):,} bytes, not the {start:,} of {config.blocks} blocks of "
            f"{config.features} features: it is of another network"
        )
    return tensors


def _require_bytes(end: int, content: bytes, name: str, label: str) -> None:
    if end > len(content):
        raise WeightsError(
            f"{label}: ends at {len(content):,} bytes, within {name}: it is truncated or of "
            "another network"
        )


def _read_layers(content: bytes, label: str) -> list[Layer]:
    """The layers of a `.param` with their inputs as numbers; what only copies is left out."""
    try:
        magic, counts, *lines = [line for line in content.decode("ascii").splitlines() if line]
        if magic.strip() != _MAGIC:
            raise ValueError(f"it begins with {magic[:20]!r}")
        stated = int(counts.split()[0])
        if stated != len(lines):
            raise ValueError(f"{len(lines)} of {stated} layers are there")
        layers: list[Layer] = []
        made: dict[str, int] = {}
        for line in lines:
            _add_layer(line, layers, made)
    except KeyError as missing:
        raise WeightsError(f"{label}: is damaged: no layer makes {missing}") from None
    except (ValueError, IndexError) as error:
        raise WeightsError(f"{label}: is no .param of ncnn, or damaged ({error})") from error
    return layers


def _add_layer(line: str, layers: list[Layer], made: dict[str, int]) -> None:
    """Read one line; `made` says which layer makes each blob."""
    kind, name, inputs, outputs, *rest = line.split()
    before, after = int(inputs), int(inputs) + int(outputs)
    sources = tuple(made[blob] for blob in rest[:before])
    settings = dict(_setting(text) for text in rest[after:])
    number = len(layers)
    if kind == "Split" and len(sources) == 1:
        number = sources[0]
    else:
        layers.append(Layer(kind, sources, settings, name))
    made.update(dict.fromkeys(rest[before:after], number))


def _setting(text: str) -> tuple[int, tuple[float, ...]]:
    key, _, value = text.partition("=")
    numbers = tuple(float(part) for part in value.split(","))
    if int(key) > _FIRST_ARRAY:
        return int(key), numbers
    if numbers[0] != len(numbers) - 1:
        raise ValueError(f"{text} is no array")
    return int(key), numbers[1:]


def _channels(convolution: Layer, label: str) -> int:
    """How many channels a convolution gives."""
    (channels,) = convolution.settings.get(0, (0.0,))[:1]
    if channels not in range(1, _MOST_FEATURES + 1):
        raise WeightsError(
            f"{label}: is of another network: '{convolution.name}' gives {channels:g} channels"
        )
    return int(channels)


def _layers_of(config: RRDBConfig) -> list[Layer]:
    """The layers of an x4 RRDBNet in the order in which they are computed."""
    layers: list[Layer] = []
    features, growth = config.features, config.growth

    def add(kind: str, *inputs: int, **settings: Mapping[int, tuple[float, ...]]) -> int:
        layers.append(Layer(kind, inputs, settings.get("settings", {})))
        return len(layers) - 1

    def convolve(x: int, before: int, after: int, leaky: bool = False) -> int:
        shape = {0: (after,), 1: (3,), 4: (1,), 5: (1,), 6: (after * before * 9,)}
        return add("Convolution", x, settings={**shape, **(_LEAKY if leaky else {})})

    def dense_block(x: int) -> int:
        seen = [x]
        for k in range(4):
            joined = add("Concat", *seen) if k else x
            seen.append(convolve(joined, features + k * growth, growth, leaky=True))
        last = convolve(add("Concat", *seen), features + 4 * growth, features)
        return add("Eltwise", last, x, settings=_WEIGHTED_SUM)

    first = x = convolve(add("Input"), 3, features)
    for _ in range(config.blocks):
        inner = dense_block(dense_block(dense_block(x)))
        x = add("Eltwise", inner, x, settings=_WEIGHTED_SUM)
    x = add("BinaryOp", first, convolve(x, features, features))
    for _ in range(config.stages):
        larger = add("Interp", x, settings=_NEAREST_X2)
        x = convolve(larger, features, features, leaky=True)
    convolve(convolve(x, features, features, leaky=True), features, 3)
    return layers


def _shapes_of(config: RRDBConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """BasicSR's names of all tensors with their shapes, in the order of the convolutions."""
    names = [
        "conv_first",
        *(
            f"body.{block}.rdb{dense}.conv{k}"
            for block in range(config.blocks)
            for dense in (1, 2, 3)
            for k in (1, 2, 3, 4, 5)
        ),
        "conv_body",
        *(f"conv_up{stage + 1}" for stage in range(config.stages)),
        "conv_hr",
        "conv_last",
    ]
    convolutions = (layer for layer in _layers_of(config) if layer.kind == "Convolution")
    for name, layer in zip(names, convolutions, strict=True):
        after, weights = (int(layer.settings[key][0]) for key in (0, 6))
        yield f"{name}.weight", (after, weights // (after * 9), 3, 3)
        yield f"{name}.bias", (after,)


def _difference(found: Layer, wanted: Layer) -> str:
    """How a layer differs from that of an RRDBNet."""
    if found.kind != wanted.kind:
        return f"'{found.name}' is a {found.kind}; an RRDBNet has a {wanted.kind} there"
    what = "inputs" if found.inputs != wanted.inputs else "settings"
    return f"'{found.name}' has other {what} than the {found.kind} of an RRDBNet"
