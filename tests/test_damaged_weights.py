"""Weights that come with the library: one changed bit, or a file that is gone, is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import affectbench.faces.assets
import affectbench.metrics.assets
from affectbench.assets.catalogue import Asset, Bundled
from affectbench.errors import WeightsError
from affectbench.faces.identity import load_face_descriptor
from affectbench.faces.mesh import load_face_mesh
from affectbench.metrics.naturalness import natural

CPU = torch.device("cpu")
LOADERS: dict[str, tuple[Asset, Callable[[], object]]] = {
    "face recognition": (
        affectbench.faces.assets.FACE_RECOGNITION,
        lambda: load_face_descriptor(CPU),
    ),
    "face mesh": (affectbench.faces.assets.FACE_MESH, lambda: load_face_mesh(CPU)),
    "niqe": (affectbench.metrics.assets.NIQE, natural.__wrapped__),
}
"""What reads the file of a bundled asset, past any cache."""


@pytest.mark.parametrize("damage", ["flipped", "gone"])
@pytest.mark.parametrize("name", LOADERS)
def test_damaged_weights(
    name: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset, load = LOADERS[name]
    source, path = asset.source, tmp_path / "weights.safetensors"
    if damage == "flipped":
        content = bytearray(source.path().read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
    monkeypatch.setitem(asset.__dict__, "source", Bundled(source.origin, path, source.sha256))
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        load()
