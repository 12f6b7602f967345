"""Save the faces of a run as PNG: HR and LR once, SR for each row."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from affectbench.images.reading import Pixels
from affectbench.images.tensors import pixels
from affectbench.records import SavedFaces, is_kept, write_atomic
from affectbench.run.rows import Row
from affectbench.run.sources import Batch, Produced


def save_references(saved: SavedFaces, batch: Batch) -> None:
    """Write HR and LR of a batch, unless they exist: the folder's name identifies their content."""
    for index, (hr, lr) in enumerate(zip(batch.hr_pixels, pixels(batch.lr), strict=True)):
        for path, image in ((saved.hr(batch.ids[index]), hr), (saved.lr(batch.ids[index]), lr)):
            if not is_kept(path):
                _write(path, image)


def save_results(saved: SavedFaces, row: Row, batch: Batch, produced: Produced) -> None:
    """Write the SR faces of a row for a batch."""
    for index, image in zip(produced.kept, pixels(produced.sr), strict=True):
        _write(saved.sr(row.label, row.spec.revision, batch.ids[index]), image)


def _write(path: Path, image: Pixels) -> None:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue(), durable=False)
