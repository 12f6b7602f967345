"""The kinds of input that strangers give, and one door for each: what users call, or its reader.

A kind takes a generator, the workshop of good inputs and an empty folder. It writes one damaged
input into the folder and opens it; whether it was refused is what it returns.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from affectbench.adapters import load_model
from affectbench.assets.numpy_pickle import read_arrays
from affectbench.assets.untrusted import read_weights
from affectbench.datasets.manifest import read_manifest
from affectbench.images.reading import image_size, read_image
from affectbench.judges.field.inert import read_module
from affectbench.study.faces import read_faces

from .mutations import HOSTILE, Rng, mutate, mutate_json, mutate_table, pick
from .watch import command, refused

FORMATS = (
    "PNG",
    "JPEG",
    "BMP",
    "GIF",
    "TIFF",
    "WEBP",
    "PPM",
    "JPEG2000",
    "TGA",
    "ICO",
    "EPS",
    "PDF",
)
SIDE = 32


class Workshop:
    """Good inputs of every kind, made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        self.hr, self.sr = folder / "hr", folder / "sr"
        for sub in (self.hr, self.sr):
            sub.mkdir()
        for index in range(3):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            face = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            face.save(self.hr / f"{index}.png")
            small = face.resize((SIDE // 4, SIDE // 4), Image.Resampling.BICUBIC)
            small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(self.sr / f"{index}.png")
        self.pictures = [_encoded(face, name) for name in FORMATS]
        self.run = folder / "run"
        self.compare: tuple[object, ...] = (
            *(
                "compare",
                "--models",
                "nearest,bicubic",
                "--datasets",
                "d",
                "--data",
                f"d={self.hr}",
            ),
            *("--metrics", "psnr", "--hr-size", SIDE, "--scale", 4),
        )
        assert not command(*self.compare, "--out", self.run)
        self.weights = _weights()
        self.module, self.arrays = (
            _module(),
            pickle.dumps({"a": {"w": np.ones((2, 3), np.float32)}}),
        )
        self.onnx = _onnx()
        self.labels = "file,emotion,person\n0.png,happy,a\n1.png,sad,a\n2.png,neutral,b\n"
        manifests = Path(read_manifest.__code__.co_filename).parent / "manifests"
        self.manifest = sorted(manifests.glob("*.csv"))[0].read_text(encoding="utf-8")


def _encoded(face: Image.Image, name: str) -> bytes:
    stream = io.BytesIO()
    face.save(stream, name)
    return stream.getvalue()


def _weights() -> list[tuple[str, bytes]]:
    state = {"body.0.weight": torch.rand(4, 3, 3, 3), "body.0.bias": torch.zeros(4)}
    new, old = io.BytesIO(), io.BytesIO()
    torch.save({"params": state}, new)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    return [(".pth", new.getvalue()), (".pt", old.getvalue()), (".safetensors", save(state))]


def _module() -> bytes:
    stream = io.BytesIO()
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)), stream)
    return stream.getvalue()


def _onnx() -> bytes:
    from onnx import TensorProto, helper

    def value(name: str, *shape: object) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    scales = helper.make_tensor("s", TensorProto.FLOAT, [4], [1, 1, 4, 4])
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest")
    ends = [value("x", "n", 3, "h", "w")], [value("y", "n", 3, "H", "W")]
    graph = helper.make_graph([node], "g", *ends, [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def images(rng: Rng, shop: Workshop, room: Path) -> bool:
    path = room / f"face{pick(rng, ('.png', '.jpg', '.tif', '.webp', '.gif', '.x', ''))}"
    path.write_bytes(mutate(pick(rng, shop.pictures), rng))
    sized = refused(lambda: image_size(path))
    return refused(lambda: read_image(path)) or sized


def scored_images(rng: Rng, shop: Workshop, room: Path) -> bool:
    shutil.copytree(shop.sr, room / "sr")
    (room / "sr" / "1.png").write_bytes(mutate(pick(rng, shop.pictures), rng))
    pair = (room / "sr", shop.hr) if rng.random() < 0.7 else (shop.sr, room / "sr")
    return command(
        *("score", "--sr", pair[0], "--hr", pair[1], "--metrics", "psnr", "--out", room / "out")
    )


def _damaged_run(rng: Rng, shop: Workshop, room: Path, suffix: str) -> Path:
    shutil.copytree(shop.run, room / "run")
    return Path(pick(rng, sorted((room / "run").rglob(f"*{suffix}"))))


def _open_run(rng: Rng, shop: Workshop, room: Path) -> bool:
    if rng.random() < 0.5:
        return command(*shop.compare, "--out", room / "run")
    return command("report", room / "run", "--no-faces")


def records(rng: Rng, shop: Workshop, room: Path) -> bool:
    path = _damaged_run(rng, shop, room, ".json")
    if rng.random() < 0.3:
        path.write_bytes(mutate(path.read_bytes(), rng))
    elif rng.random() < 0.1:
        path.write_text('{"schema": ' + "[" * 100_000)
    else:
        data = mutate_json(json.loads(path.read_text(encoding="utf-8")), rng)
        path.write_text(json.dumps(data), encoding="utf-8")
    return _open_run(rng, shop, room)


def per_image_values(rng: Rng, shop: Workshop, room: Path) -> bool:
    path = _damaged_run(rng, shop, room, ".parquet")
    others = sorted((room / "run").rglob("*.parquet"))
    other = Path(pick(rng, others)).read_bytes()
    path.write_bytes(other if rng.random() < 0.2 else mutate(path.read_bytes(), rng))
    return _open_run(rng, shop, room)


def weights(rng: Rng, shop: Workshop, room: Path) -> bool:
    suffix, content = pick(rng, shop.weights)
    path = room / f"w{suffix}"
    path.write_bytes(mutate(content, rng))
    return refused(lambda: read_weights(path))


def field_weights(rng: Rng, shop: Workshop, room: Path) -> bool:
    path = room / "w.pt"
    path.write_bytes(mutate(shop.module, rng))
    return refused(lambda: read_module(path))


def pickled_arrays(rng: Rng, shop: Workshop, room: Path) -> bool:
    path = room / "w.pkl"
    path.write_bytes(mutate(shop.arrays, rng))
    return refused(lambda: read_arrays(path))


def onnx(rng: Rng, shop: Workshop, room: Path) -> bool:
    path = room / "m.onnx"
    path.write_bytes(mutate(shop.onnx, rng))
    return refused(lambda: load_model(f"onnx:{path}", scale=4))


def labels(rng: Rng, shop: Workshop, room: Path) -> bool:
    path = room / "labels.csv"
    text = mutate_table(shop.labels, rng).encode("utf-8", "surrogatepass")
    path.write_bytes(mutate(text, rng) if rng.random() < 0.3 else text)
    return refused(lambda: read_faces(shop.hr, path, "fuzz"))


def lists(rng: Rng, shop: Workshop, room: Path) -> bool:
    path = room / "list.csv"
    text = mutate_table(shop.manifest, rng).encode("utf-8", "surrogatepass")
    path.write_bytes(mutate(text, rng) if rng.random() < 0.5 else text)
    return refused(lambda: read_manifest(path))


_VERBS = (
    *("compare", "score", "check", "report", "models", "metrics", "judges", "datasets"),
    *("validate", "leaderboard", "assets", "", "-h"),
)
_OPTIONS = (
    *("--models", "--metrics", "--datasets", "--data", "--scale", "--hr-size", "--batch-size"),
    *("--limit", "--seed", "--judges", "--device", "--convention", "--versus", "--sr", "--hr"),
    *("--as", "--framing", "--crop", "--json", "--anchors", "--faces", "--labels"),
)
_WORDS = (
    *("bicubic", "nearest,", "psnr", "all", "demo", "d=", "=", "x8", "0", "-1", "1e9", "meta"),
    *("mini-xception", "cuda:9", "@", "bicubic@name=", "python:x.py:f", "onnx:", "images:."),
    *("check", "list"),
)


def words(rng: Rng, shop: Workshop, room: Path) -> bool:
    line: list[object] = [pick(rng, _VERBS)]
    for _ in range(int(rng.integers(0, 6))):
        line.append(pick(rng, _OPTIONS))
        if rng.random() < 0.8:
            line.append(pick(rng, _WORDS) if rng.random() < 0.6 else pick(rng, HOSTILE))
    if line[0] in ("compare", "score", "validate"):
        line += ["--out", room / "out"]
    return command(*(str(word).replace("\0", "") for word in line))


KINDS: tuple[tuple[Callable[[Rng, Workshop, Path], bool], int], ...] = (
    (images, 30), (scored_images, 4), (records, 8), (per_image_values, 6), (weights, 16),
    (field_weights, 8), (pickled_arrays, 6), (onnx, 6), (labels, 6), (lists, 4), (words, 6),
)  # fmt: skip
"""Each kind and how many of a hundred cases are of it."""
