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
        # The same in several public projects that pin it; its start is a part of its name.
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        95_628_359,
    ),
)

ASSETS = (FACENET, INCEPTION)
