"""The face networks whose weights come with the library: `weights/NOTICE.md` says what they are."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
FACE_RECOGNITION_FILE = WEIGHTS / "face_recognition.safetensors"
FACE_RECOGNITION_SHA256 = "7b665524fba08cee21080cdae79a64a0953956012634374fb32c868874cf33b4"
