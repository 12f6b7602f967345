"""Write docs/metrics-compared.md: each image metric's value beside what other libraries say.

    affectbench assets fetch lpips-alex   # brings lpips-vgg, too
    PYTHONPATH=tests python tests/bench/compare_peers.py

Six pairs: the two demo faces at 128x128, reduced by 8 and by 4, and the 512x512 photographs that
they are cut from, reduced by 4; enlarged again, both bicubic by Pillow. All peers see the same
8-bit images, divided by 255, in float64 where they take it.
"""

from __future__ import annotations

import csv
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import perceptual_peers
import piq
import torch
from peer_table import (
    Case,
    Image,
    Measure,
    Peer,
    Section,
    in_float32,
    on_images,
    on_tensors,
    written,
)
from photographs import NAMES, bicubic, photograph, unit
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional import image as tm

from affectbench.assets.numpy_pickle import read_arrays
from affectbench.assets.weights import load_safetensors
from affectbench.datasets import load_dataset
from affectbench.images.resizing import resize
from affectbench.metrics import fidelity, similarity
from affectbench.metrics.assets import DISTS, LPIPS_ALEX, LPIPS_VGG
from affectbench.metrics.naturalness import niqe
from affectbench.metrics.perceptual import dists, lpips
from affectbench.metrics.similarity import SMALL_WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "metrics-compared.md"
NIQE = ROOT / "tests" / "reference" / "niqe_basicsr.csv"


def cases() -> list[Case]:
    """The six pairs."""
    found = []
    for scale in (8, 4):
        for name in NAMES:
            hr = resize(load_dataset("demo").read(name), 128, 128, "pil-bicubic")
            found.append(Case(f"{name} 128, x{scale}", bicubic(hr, scale), hr))
    for name in NAMES:
        hr = photograph(name)
        found.append(Case(f"{name} 512, x4", bicubic(hr, 4), hr))
    return found


def pixel_sections() -> list[Section]:
    """PSNR and SSIM."""
    psnr, ssim = (lambda c, f=f: on_images(f, c) for f in (fidelity.psnr, fidelity.ssim))
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return [
        Section(
            "psnr",
            psnr("rgb"),
            (
                Peer(
                    "scikit-image",
                    lambda x, y: peak_signal_noise_ratio(y, x, data_range=255),
                    "none",
                    psnr("skimage"),
                    "skimage",
                ),
                Peer(
                    "torchmetrics",
                    on_tensors(tm.peak_signal_noise_ratio, data_range=1.0),
                    "none but float32 for one image; a module pools the errors of all that it saw",
                    psnr("torchmetrics"),
                    "torchmetrics",
                ),
                Peer(
                    "piq",
                    on_tensors(piq.psnr),
                    "adds 1e-8 to the MSE: identical images have 80 dB",
                    psnr("piq"),
                    "piq",
                ),
                Peer(
                    "piq, `convert_to_greyscale`",
                    on_tensors(piq.psnr, convert_to_greyscale=True),
                    "luma of YIQ, 0 to 255; MATLAB's luma has 219 levels and 1.322 dB more "
                    "(`basicsr-y`, `dic`)",
                    psnr("pyiqa-y"),
                    "pyiqa-y",
                ),
            ),
            "pyiqa is not run here (its licence forbids commercial use): its `psnr` is `pyiqa`, "
            "its `psnry` is `pyiqa-y`. It was measured at 17.054 and 20.608 dB on two other crops "
            "of faces at x8, where BasicSR's Y had 18.376 and 21.930: 1.322 dB apart, as here.",
        ),
        Section(
            "ssim",
            ssim("rgb"),
            (
                Peer(
                    "scikit-image, Gaussian",
                    lambda x, y: structural_similarity(
                        y, x, data_range=255, channel_axis=2, **gaussian
                    ),
                    "none: window, covariance and edges given as Wang et al. have them",
                    ssim("rgb"),
                    "rgb",
                ),
                Peer(
                    "scikit-image, defaults",
                    lambda x, y: structural_similarity(y, x, data_range=255, channel_axis=2),
                    "uniform window of 7 pixels, covariance of n - 1",
                    ssim("skimage"),
                    "skimage",
                ),
                Peer(
                    "torchmetrics",
                    on_tensors(tm.structural_similarity_index_measure, data_range=1.0),
                    "the image goes on mirrored, and pixels at the edge count",
                    ssim("torchmetrics"),
                    "torchmetrics",
                ),
                Peer(
                    "torchmetrics, no `data_range`",
                    on_tensors(tm.structural_similarity_index_measure),
                    "none here, where values span 0 to 1; else the range of the batch at hand",
                ),
                Peer(
                    "piq",
                    on_tensors(piq.ssim),
                    "averages 384 pixels and more down towards 256 first; below that, none",
                    ssim("piq"),
                    "piq",
                ),
            ),
            "pyiqa's `ssimc` is `pyiqa` (negative values count as 0), its `ssim` is `pyiqa-y` "
            "(luma of YIQ, rounded).",
        ),
    ]


def similarity_sections() -> list[Section]:
    """The measures that go through piq, and the mean absolute error."""

    def absolute(sr: Image, hr: Image) -> float:
        return float(np.abs(sr.astype(float) - hr).mean() / 255)

    def vif_of_levels(sr: Image, hr: Image) -> float:
        return float(tm.visual_information_fidelity(unit(sr) * 255, unit(hr) * 255))

    small = torch.tensor(SMALL_WEIGHTS, dtype=torch.float64)
    precision = "float64 here, float32 in ours"
    return [
        Section("mae", on_images(similarity.mae), (Peer("numpy", absolute, "none"),)),
        Section(
            "ms_ssim",
            on_images(similarity.ms_ssim),
            (
                Peer("piq", on_tensors(piq.multi_scale_ssim), "none"),
                Peer(
                    "torchmetrics",
                    on_tensors(tm.multiscale_structural_similarity_index_measure, data_range=1.0),
                    "mirrored edges at the coarsest scale; needs 176 pixels",
                ),
            ),
            "Below 161 pixels five scales do not fit, and there is no value.",
        ),
        Section(
            "ms_ssim_small",
            on_images(similarity.ms_ssim_small),
            (
                Peer(
                    "piq, four weights",
                    on_tensors(piq.multi_scale_ssim, scale_weights=small),
                    "none",
                ),
            ),
            "Four of the five scales; no other library gives this number by default.",
        ),
        Section(
            "vif",
            on_images(similarity.vif),
            (
                Peer("piq", on_tensors(piq.vif_p), "none"),
                Peer(
                    "torchmetrics, values 0 to 255",
                    vif_of_levels,
                    "mean over R, G and B; piq takes the luma",
                ),
                Peer(
                    "torchmetrics, values 0 to 1",
                    on_tensors(tm.visual_information_fidelity),
                    "a trap: its noise variance of 2 is meant for values up to 255",
                ),
            ),
        ),
        Section(
            "gmsd", on_images(similarity.gmsd), (Peer("piq", on_tensors(piq.gmsd), precision),)
        ),
        Section(
            "haarpsi",
            on_images(similarity.haarpsi),
            (Peer("piq", on_tensors(piq.haarpsi), precision),),
            "1 for two black images, where piq has infinity.",
        ),
    ]


def network_sections() -> list[Section]:
    """LPIPS and DISTS, all peers with the weights that ours have."""
    alex, vgg = (read_arrays(asset.verified()[0]) for asset in (LPIPS_ALEX, LPIPS_VGG))
    channels = load_safetensors(DISTS.source.path(), DISTS.source.sha256)
    order = "order of float32 additions"
    sections = [
        Section(
            f"lpips-{net}",
            on_images(lpips, net),
            (
                Peer(
                    "lpips",
                    in_float32(perceptual_peers.lpips_peer(net, arrays), normalize=True),
                    order,
                ),
                Peer(
                    "torchmetrics",
                    in_float32(
                        perceptual_peers.torchmetrics_lpips_peer(net, arrays), normalize=True
                    ),
                    order,
                ),
            ),
        )
        for net, arrays in (("alex", alex), ("vgg", vgg))
    ]
    sections[1] = Section(
        "lpips-vgg",
        sections[1].ours,
        (
            *sections[1].peers,
            Peer(
                "piq",
                in_float32(perceptual_peers.piq_lpips_peer(vgg)),
                order,
            ),
        ),
    )
    size = "does not bring images to 256 pixels first; at most 256, none"
    return [
        *sections,
        Section(
            "dists",
            on_images(dists),
            (
                Peer("piq", in_float32(perceptual_peers.dists_peer(vgg, channels)), order),
                Peer(
                    "torchmetrics", in_float32(perceptual_peers.torchmetrics_dists_peer(vgg)), size
                ),
            ),
            "piq downloads weights by itself; here it got those that its authors packaged.",
        ),
    ]


def niqe_section() -> Section:
    """NIQE, which sees SR alone; its peer was run once."""
    with NIQE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["bicubic"] == "4"]

    def stored(column: str) -> Measure:
        def measure(sr: Image, hr: Image) -> float | None:
            for row in rows:
                if hr.shape[0] == 512 and np.array_equal(hr, photograph(row["photograph"])):
                    return float(row[column])
            return None

        return measure

    return Section(
        "niqe",
        on_images(lambda sr, hr: niqe(sr)),
        (
            Peer(
                "BasicSR 1.4.2",
                stored("published"),
                "its float32 gives flat areas a sign, which moves the second decimal in bad cases, "
                "by up to 0.0119",
            ),
            Peer("BasicSR's code in float64", stored("exact"), "none"),
        ),
        "Of SR alone; no value below 192 pixels. `tests/reference/make_niqe.py` ran the peer.",
    )


def main() -> None:
    """Write the page."""
    warnings.filterwarnings("ignore")
    pairs = cases()
    sections = [*pixel_sections(), *similarity_sections(), *network_sections(), niqe_section()]
    libraries = ("scikit-image", "piq", "lpips", "torchmetrics", "torchvision", "torch", "pillow")
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    head = [
        "# Our image metrics beside other libraries",
        "",
        "Made by `tests/bench/compare_peers.py`; not written by hand. The two demo faces at",
        "128x128, reduced by 8 and by 4, and the photographs that they are cut from at 512x512,",
        "reduced by 4; enlarged again, both bicubic by Pillow. In brackets: the peer's value less",
        "ours, 0 below 5e-6. *Met by* names the convention of ours that gives the peer's number,",
        "and how nearly. `-`: there is no value at that size.",
        "",
        f"With {versions}.",
        "",
    ]
    text = "\n".join([*head, *(written(section, pairs) for section in sections)])
    OUT.write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
