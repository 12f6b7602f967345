"""Weights of metrics, all of them downloads."""

from __future__ import annotations

from affectbench.assets.catalogue import Address, Asset

FACENET = Asset(
    "facenet",
    "InceptionResnetV1 (facenet-pytorch, from D. Sandberg's 20180402-114759), for facenet",
    "MIT",
    "VGGFace2: found by web image search, no longer given out by its authors, terms unclear",
    "unknown",
    Address(
        "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
        "metrics",
        # The same in several public projects that pin it.
        "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        111_898_327,
    ),
)

ASSETS = (FACENET,)
