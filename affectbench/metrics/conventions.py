"""Conventions: the named PSNR and SSIM rules that published tables follow.

All take 8-bit images with peak 255. They do not agree with each other:

| name        | colour            | border  | SSIM window      | covariance | edges    | channels |
|-------------|-------------------|---------|------------------|------------|----------|----------|
| `rgb`       | RGB               | 0       | Gaussian 11, 1.5 | n          | valid    | mean     |
| `mmagic`    | RGB               | = scale | Gaussian 11, 1.5 | n          | valid    | mean     |
| `dic`       | Y, rounded        | = scale | Gaussian 11, 1.5 | n          | valid    | luma     |
| `sfmnet`    | Y, rounded        | 8 at x8 | uniform 7        | n - 1      | interior | luma     |
| `sparnet`   | Y, truncated      | 0       | Gaussian 11, 1.5 | n          | interior | luma     |
| `basicsr`   | RGB               | option  | Gaussian 11, 1.5 | n          | valid    | mean     |
| `basicsr-y` | Y (MATLAB)        | option  | Gaussian 11, 1.5 | n          | valid    | luma     |
| `yiq`       | Y (YIQ)           | 0       | Gaussian 11, 1.5 | n          | valid    | luma     |

The following reproduce what a library computes for the same images, with its own defaults:

| name           | colour              | border  | SSIM window | covariance | edges     | notes   |
|----------------|---------------------|---------|-------------|------------|-----------|---------|
| `skimage`      | RGB                 | 0       | uniform 7   | n - 1      | interior  |         |
| `torchmetrics` | RGB                 | 0       | Gaussian 11 | n          | reflected |         |
| `piq`          | RGB                 | 0       | Gaussian 11 | n          | valid     | a, b    |
| `pyiqa`        | RGB                 | 0       | Gaussian 11 | n          | valid     | a, c    |
| `pyiqa-y`      | Y (YIQ)             | 0       | Gaussian 11 | n          | valid     | a, c, d |
| `matlab`       | Y (MATLAB), rounded | = scale | Gaussian 11 | n          | valid     |         |

a: 1e-8 is added to the MSE of values in [0, 1], so that identical images have 80 dB; b: images of
384 pixels or more are average-pooled before SSIM, towards 256; c: negative values of the SSIM map
count as 0; d: Y is rounded for SSIM but not for PSNR. One Y in a thousand lies halfway between two
levels, where `pyiqa`'s float32 may round either way, so its SSIM is reproduced to 1e-4 only.
`torchmetrics` is release 1.9 with `data_range` given; without it, torchmetrics uses the range of
the values passed. Its module pools the error of all images before taking the logarithm, which no
per-image convention can express.

`dic` is what DIC's published code computes: it multiplies the rounded Y by 255 in 8-bit arithmetic,
which wraps around to 256 - Y. PSNR is that of Y, and SSIM that of 256 - Y (.001 above that of Y on
faces). For Y itself use `matlab`, or without rounding `basicsr-y+border=scale`.

Options are appended to the name: `basicsr+border=8`, `basicsr-y+border=scale`,
`matlab+border=0`. A convention's `our_choice` lists the fields that its source leaves open or that
we chose; all other fields were read in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from affectbench.errors import InputError, UnknownNameError, hint
from affectbench.images.luma import LumaRule, Quantisation
from affectbench.types import MetricSettings, MetricSpec, as_json

Border = int | Literal["scale"]


@dataclass(frozen=True)
class Convention:
    """Everything that determines PSNR and SSIM other than the two images.

    `border` pixels are cropped from each side before measuring; `border_scale` is the only scale
    that a fixed border applies to (None: any scale). `size` and `sigma` describe the SSIM window
    in pixels (`sigma` is 0 for a uniform window). `covariance` is the normaliser of window sums of
    products: the window (`n`), or one sample less (`n-1`, scikit-image's default). `edges`: the
    SSIM map covers only whole windows (`valid`), or every pixel and is then cropped by half a
    window (`interior`), which gives the same numbers, or every pixel of an image padded by
    reflection (`reflected`). `channels`: the mean over the channels, or luma only.

    `ssim_luma` is the luma quantisation for SSIM where it differs (`same`: it does not).
    `ssim_levels` selects whether SSIM is computed on the levels Y or on 256 - Y. `shrink` selects
    whether images are average-pooled by round(shorter side / 256) before SSIM, and `negative`
    whether negative values of the SSIM map are kept or set to 0. `mse_floor` is added to the MSE
    of values in [0, 1], so that the PSNR of identical images is finite.
    """

    name: str
    title: str
    colour: Literal["rgb"] | LumaRule = "rgb"
    luma_quantisation: Quantisation = "none"
    border: Border = 0
    border_scale: int | None = None
    window: Literal["gaussian", "uniform"] = "gaussian"
    size: int = 11
    sigma: float = 1.5
    covariance: Literal["n", "n-1"] = "n"
    edges: Literal["valid", "interior", "reflected"] = "valid"
    channels: Literal["mean", "luma"] = "mean"
    input: Literal["uint8"] = "uint8"
    peak: int = 255
    our_choice: tuple[str, ...] = ()
    ssim_luma: Quantisation | Literal["same"] = "same"
    shrink: Literal["none", "to-256"] = "none"
    negative: Literal["kept", "zero"] = "kept"
    mse_floor: float = 0.0
    ssim_levels: Literal["kept", "256-y"] = "kept"

    def border_at(self, scale: int) -> int:
        """Return the border in pixels at a scale.

        Raises InputError for a scale that the convention does not cover.
        """
        if self.border == "scale":
            return scale
        if self.border_scale not in (None, scale):
            raise InputError(
                f"convention '{self.name}' cuts {self.border} pixels off each side at scale "
                f"{self.border_scale} and says nothing about scale {scale}; choose another "
                "convention, such as rgb"
            )
        return self.border

    @property
    def ssim_quantisation(self) -> Quantisation:
        """The luma quantisation for SSIM."""
        return self.luma_quantisation if self.ssim_luma == "same" else self.ssim_luma

    def as_record(self) -> dict[str, Any]:
        """Return all fields as plain JSON data, omitting newer fields that have their default.

        Records and cells from before these fields existed keep their ids this way.
        """
        silent = {f.name: f.default for f in fields(self) if f.name in _YOUNGER}
        return {k: v for k, v in as_json(self).items() if k not in silent or v != silent[k]}


_YOUNGER = ("ssim_luma", "shrink", "negative", "mse_floor", "ssim_levels")


CONVENTIONS: dict[str, Convention] = {
    c.name: c
    for c in (
        Convention(
            "rgb",
            "all of the image, RGB; our default",
            our_choice=("colour", "border", "window", "covariance", "edges", "channels"),
        ),
        Convention("mmagic", "mmagic's face super-resolution configs", border="scale"),
        Convention(
            # Read in DIC's code, which also saves its results "for MATLAB"; which of the two
            # produced the published numbers is unknown.
            "dic",
            "Deep Iterative Collaboration, as its code computes it",
            colour="y-matlab",
            luma_quantisation="rounded",
            border="scale",
            channels="luma",
            ssim_levels="256-y",
        ),
        Convention(
            "sfmnet",
            "SFMNet and the face hallucination survey",
            colour="y-matlab",
            luma_quantisation="rounded",
            border=8,
            border_scale=8,
            window="uniform",
            size=7,
            sigma=0.0,
            covariance="n-1",
            edges="interior",
            channels="luma",
        ),
        Convention(
            # scikit-image used 13 taps at sigma 1.5 before release 0.16, and 11 since.
            "sparnet",
            "SPARNet and CTCNet",
            colour="y-matlab",
            luma_quantisation="truncated",
            edges="interior",
            channels="luma",
            our_choice=("size",),
        ),
        Convention("basicsr", "BasicSR, RGB", our_choice=("border",)),
        Convention(
            "basicsr-y",
            "BasicSR with test_y_channel",
            colour="y-matlab",
            channels="luma",
            our_choice=("border",),
        ),
        Convention(
            "yiq",
            "luma of YIQ, full range (the Y that pyiqa takes)",
            colour="y-yiq",
            channels="luma",
            our_choice=("border", "window", "covariance", "edges"),
        ),
        Convention(
            "skimage",
            "scikit-image's defaults, RGB",
            window="uniform",
            size=7,
            sigma=0.0,
            covariance="n-1",
            edges="interior",
        ),
        Convention("torchmetrics", "torchmetrics with data_range given, RGB", edges="reflected"),
        Convention("piq", "piq's defaults, RGB", shrink="to-256", mse_floor=1e-8),
        Convention("pyiqa", "pyiqa's psnr and ssimc, RGB", negative="zero", mse_floor=1e-8),
        Convention(
            "pyiqa-y",
            "pyiqa's psnry and ssim, luma of YIQ",
            colour="y-yiq",
            channels="luma",
            ssim_luma="rounded",
            negative="zero",
            mse_floor=1e-8,
        ),
        Convention(
            # What papers of the field call MATLAB's PSNR and SSIM: rgb2ycbcr of 8-bit images, a
            # border of `scale` pixels cropped, and Z. Wang's ssim_index without its later
            # downsampling.
            "matlab",
            "MATLAB scripts of the field: rgb2ycbcr and Z. Wang's ssim_index",
            colour="y-matlab",
            luma_quantisation="rounded",
            border="scale",
            channels="luma",
            our_choice=("border",),
        ),
    )
}


def _border(text: str) -> Mapping[str, Any]:
    if text == "scale":
        return {"border": "scale"}
    if text.isdecimal() and text.isascii():
        return {"border": int(text)}
    raise InputError(f"border={text}: a number of pixels or 'scale' is needed")


def needed_side(spec: MetricSpec, settings: MetricSettings) -> int:
    """Return the shorter side in pixels that an image needs to have a value in such a run."""
    if spec.by_convention == "nothing":
        return spec.min_size
    convention = find_convention(settings.convention)
    inside = convention.size if spec.by_convention == "window" else spec.min_size
    return inside + 2 * convention.border_at(settings.scale)


def size_gap(metric: str, needed: int, height: int, width: int) -> str:
    """Return why a metric has no value for images of that size; empty if it has one."""
    if min(height, width) >= needed:
        return ""
    return (
        f"{metric} needs images of at least {needed}x{needed} pixels, "
        f"and these are {width}x{height}"
    )


OPTIONS: dict[str, dict[str, Callable[[str], Mapping[str, Any]]]] = {
    "basicsr": {"border": _border},
    "basicsr-y": {"border": _border},
    "matlab": {"border": _border},
}


def find_convention(name: str) -> Convention:
    """Return the convention for a name with options.

    Two spellings of the same convention (`basicsr`, `basicsr+border=0`) give equal results. Raises
    UnknownNameError with a suggestion, or InputError for an option that does not fit.

    >>> find_convention("basicsr-y+border=scale").border_at(8)
    8
    """
    base, *options = name.split("+")
    if base not in CONVENTIONS:
        raise UnknownNameError(f"unknown convention '{base}'; {hint(base, CONVENTIONS)}")
    plain = CONVENTIONS[base]
    changed, spelled = plain, base
    for option in options:
        key, _, value = option.partition("=")
        allowed = OPTIONS.get(base, {})
        if key not in allowed:
            takes = ", ".join(f"{base}+{known}=..." for known in allowed) or "it takes none"
            raise InputError(f"convention '{base}' has no option '{option}'; {takes}")
        after = replace(changed, **allowed[key](value))
        if after != changed:
            changed, spelled = after, f"{base}+{key}={value}"
    return replace(changed, name=spelled) if changed != plain else plain
