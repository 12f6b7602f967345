"""The validation slice: 400 training faces excluded from all training, half of them loose, by id.

PSNR and SSIM use the convention `rgb`, ECM (`ecm/1`) the judges of the default panel. None of our
losses uses the first two; face-api is the judge of the emotion loss, and its ECM is recorded only
to show how far a gain transfers. `landmarks` is the error of predicted landmarks. Faces are used as
stored in their files, with the face box of their group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from affectbench.images.resizing import resize
from affectbench.images.tensors import quantise, stack, unit_range
from affectbench.judges import load_judge
from affectbench.metrics.consistency import EmotionConsistencyResult
from affectbench.metrics.ecm import definition, ecm_parts, part_columns
from affectbench.metrics.fidelity import psnr, ssim
from affectbench.types import Judge
from affectbench_baselines.affectsrnet.graph import EYE_CORNERS
from affectbench_baselines.base import Network
from affectbench_baselines.training.faces import GROUP_BOXES, Box, Faces, window

JUDGES = ("resnet-ferplus", "mini-xception", "face-api")
_BATCH = 16
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def validation_ids() -> tuple[str, ...]:
    """Return the committed list of ids."""
    text = Path(__file__).with_name("validation.txt").read_text(encoding="utf-8")
    return tuple(text.split())


class Validation:
    """HR, LR and the judges' logits on HR, computed once; `measure` then scores a network."""

    def __init__(self, faces: Faces, scale: int, size: int, judges: Sequence[str] = JUDGES) -> None:
        hr = [window(faces.images[i], 0.0, 0.0, 1.0, size) for i in range(len(faces))]
        low = size // scale
        self.hr = stack(hr)
        self._lr = unit_range(stack([resize(face, low, low, "pil-bicubic") for face in hr]))
        self.landmarks = torch.from_numpy(faces.landmarks)
        self._boxes = [GROUP_BOXES.get(name.partition("/")[0], _WHOLE) for name in faces.ids]
        self._judges = [load_judge(name) for name in judges]
        self._reference = [self._logits(judge, self.hr) for judge in self._judges]

    def measure(self, network: Network, device: torch.device) -> dict[str, float]:
        """Return PSNR in dB, SSIM, and for each judge macro and plain mean ECM.

        Of a network that predicts landmarks, also their mean error in outer eye distances.
        """
        sr, points = self.restored(network, device)
        pairs = zip(torch.split(sr, _BATCH), torch.split(self.hr, _BATCH), strict=True)
        fidelity = [
            (psnr(a, b), ssim(a, b)) for a, b in ((unit_range(a), unit_range(b)) for a, b in pairs)
        ]
        figures = {
            "psnr": float(torch.cat([p for p, _ in fidelity]).mean()),
            "ssim": float(torch.cat([s for _, s in fidelity]).mean()),
        }
        if points is not None:
            figures["landmarks"] = float(landmark_errors(points, self.landmarks).nanmean())
        for name, ecm in self.consistency(sr).items():
            figures |= {f"ecm_macro_{name}": ecm.macro, f"ecm_mean_{name}": float(ecm)}
        return figures

    def restored(
        self, network: Network, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return SR uint8 (N, 3, H, W), and the landmarks (N, P, 2) of a network that has some."""
        was_training = network.training
        network.eval()
        with torch.inference_mode():
            batches = torch.split(self._lr, _BATCH)
            found = [network.details(batch.to(device)) for batch in batches]
        network.train(was_training)
        sr = torch.cat([quantise(out.sr.cpu()) for out in found])
        if not found[0].landmarks:
            return sr, None
        return sr, torch.cat([out.landmarks[-1].cpu() for out in found])

    def consistency(self, sr: torch.Tensor) -> dict[str, EmotionConsistencyResult]:
        """Return ECM of SR uint8 (N, 3, H, W), by judge."""
        out = {}
        for judge, reference in zip(self._judges, self._reference, strict=True):
            columns = part_columns(ecm_parts(reference, self._logits(judge, sr)), judge.classes)
            name = judge.spec.name
            out[name] = EmotionConsistencyResult(columns, name, definition(), "whole", 0)
        return out

    def _logits(self, judge: Judge, images: torch.Tensor) -> torch.Tensor:
        """Return logits of the face boxes; images with the same box are batched together."""
        out: list[torch.Tensor | None] = [None] * len(images)
        for box in set(self._boxes):
            index = [i for i, own in enumerate(self._boxes) if own == box]
            x0, y0, x1, y1 = (round(edge * images.shape[-1]) for edge in box)
            with torch.no_grad():
                chunks = torch.split(unit_range(images[index][..., y0:y1, x0:x1]), _BATCH)
                found = torch.cat([judge.logits(chunk) for chunk in chunks])
            for i, logits in zip(index, found, strict=True):
                out[i] = logits
        return torch.stack([logits for logits in out if logits is not None])


def landmark_errors(points: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean distance (N,) of landmarks (N, P, 2) over that of the outer eye corners.

    NaN for a face whose target is unknown (NaN).
    """
    one, other = (target[:, corner] for corner in EYE_CORNERS)
    errors: torch.Tensor = (points - target).norm(dim=2).mean(1) / (one - other).norm(dim=1)
    return errors
