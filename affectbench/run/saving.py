"""The SR images of a run, kept as PNG."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from affectbench.images.tensors import pixels
from affectbench.records import write_atomic
from affectbench.run.folder import RunFolder
from affectbench.run.sources import Batch, Produced


def save_images(
    folder: RunFolder, dataset: str, row: str, batch: Batch, produced: Produced
) -> None:
    """Write the SR images of a batch."""
    for index, image in zip(produced.kept, pixels(produced.sr), strict=True):
        buffer = BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        write_atomic(folder.image_path(dataset, row, batch.ids[index]), buffer.getvalue())
