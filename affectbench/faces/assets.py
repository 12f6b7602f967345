"""The face networks' weights: `weights/NOTICE.md` says more about those that are bundled."""

from __future__ import annotations

from pathlib import Path

from affectbench.assets.catalogue import Asset, Bundled

WEIGHTS = Path(__file__).parent / "weights"

FACE_RECOGNITION = Asset(
    "face-recognition",
    "dlib's face descriptor (King, 2017), for the metric identity",
    "public domain, by its author's word; MIT as packaged by face-api",
    "FaceScrub and VGG Face (non-commercial research), and faces scraped from the web",
    "no",
    Bundled(
        "npm @vladmandic/face-api 1.7.15, model/face_recognition_model.bin",
        WEIGHTS / "face_recognition.safetensors",
        "7b665524fba08cee21080cdae79a64a0953956012634374fb32c868874cf33b4",
    ),
)

ASSETS = (FACE_RECOGNITION,)
