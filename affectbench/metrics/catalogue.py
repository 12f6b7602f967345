"""The catalogue of built-in metrics: the spec of each, and the function that computes it.

The entry points of `pyproject.toml` name the plug-ins below. Nothing here imports torch: the module
of a family is imported when one of its functions is first called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from affectbench.assets.catalogue import Asset
from affectbench.errors import AffectBenchError
from affectbench.faces.landmark_points import REGIONS
from affectbench.metrics import assets, identify
from affectbench.registry import Late
from affectbench.types import Direction, JudgeSpec, MetricPlugin, MetricSpec


def _late(place: str, *given: object) -> Late:
    return Late(f"affectbench.metrics.{place}", given)


def _spec(
    name: str, title: str, group: str, direction: Direction, span: tuple[float, float], **more: Any
) -> MetricSpec:
    facts = {"version": "1", **more}
    return MetricSpec(name=name, title=title, group=group, direction=direction, range=span, **facts)


def _nothing(*_settings: object) -> dict[str, Any]:
    return {}


def _lacks(field: str, what: str) -> Callable[[JudgeSpec], str]:
    return lambda j: "" if getattr(j, field) else f"judge '{j.name}' gives no {what}"


_POSITIVE = (0.0, math.inf)
_UNIT = (0.0, 1.0)
_SYMMETRIC = (-1.0, 1.0)

# PSNR and SSIM


def _fidelity(spec: MetricSpec, region: str | None = None) -> MetricPlugin:
    """Return the plug-in of PSNR or SSIM, of whole images or of a region."""
    measure = spec.name.partition("_")[0]
    return MetricPlugin(
        spec,
        identify=identify.fidelity_of_region if region else identify.fidelity,
        build=_late("fidelity:FidelityMetric", measure, region),
        summarise=_nothing if spec.name == "ssim" else _late("fidelity:identical", spec.name),
    )


def _region(whole: MetricPlugin, region: str, title: str, tolerance: float) -> MetricPlugin:
    """Return the variant of a metric that is computed on a region.

    A pixel on the edge of the region's mask may be inside on one machine and outside on another.
    """
    spec = replace(
        whole.spec,
        name=f"{whole.spec.name}_{region}",
        version="2",
        title=title,
        label=f"{whole.spec.label}, {region}",
        summaries=(),
        quality_axis=0,
        front=0,
        tolerance=tolerance,
    )
    return _fidelity(spec, region)


PSNR = _fidelity(
    _spec(
        *("psnr", "Peak signal-to-noise ratio", "fidelity", "higher", _POSITIVE),
        source="10 log10(255^2 / MSE)",
        unit="dB",
        by_convention="border",
        label="PSNR",
        digits=2,
        summaries=("identical",),
        tolerance=1e-3,
        quality_axis=2,
        front=3,
    )
)
SSIM = _fidelity(
    _spec(
        *("ssim", "Structural similarity", "fidelity", "higher", _SYMMETRIC),
        source="Wang et al., IEEE TIP 13(4), 2004",
        version="2",
        by_convention="window",
        label="SSIM",
        tolerance=1e-5,
        quality_axis=1,
        front=4,
    )
)
PSNR_EYES = _region(PSNR, "eyes", "PSNR of the eyes with their lids", 0.05)
PSNR_MOUTH = _region(PSNR, "mouth", "PSNR of the mouth", 0.05)
SSIM_EYES = _region(SSIM, "eyes", "SSIM of the eyes with their lids", 2e-3)
SSIM_MOUTH = _region(SSIM, "mouth", "SSIM of the mouth", 2e-3)

# Other fidelity metrics


def _similarity(spec: MetricSpec, **more: Any) -> MetricPlugin:
    more = {"identify": _nothing, **more}
    return MetricPlugin(spec, build=_late("similarity:build", spec.name), **more)


_PIQ_RECORD = _late("similarity:piq_record")

MAE = _similarity(
    _spec(
        *("mae", "Mean absolute error", "fidelity", "lower", _UNIT),
        source="mean of |SR - HR| / 255",
        label="MAE",
    )
)
MS_SSIM = _similarity(
    _spec(
        *("ms_ssim", "Multi-scale structural similarity", "fidelity", "higher", _UNIT),
        source="Wang, Simoncelli and Bovik, Asilomar 2003; as in piq",
        version="2",
        min_size=161,
        label="MS-SSIM",
    ),
    identify=_late("similarity:scales_record", 5),
)
MS_SSIM_SMALL = _similarity(
    _spec(
        *("ms_ssim_small", "Multi-scale SSIM of four scales", "fidelity", "higher", _UNIT),
        source="MS-SSIM (Wang, Simoncelli and Bovik, 2003) without its coarsest scale; as in piq",
        version="2",
        min_size=81,
        label="MS-SSIM (4 scales)",
    ),
    identify=_late("similarity:scales_record", 4),
)
VIF = _similarity(
    _spec(
        *("vif", "Visual information fidelity, pixel domain", "fidelity", "higher", _POSITIVE),
        source="Sheikh and Bovik, IEEE TIP 15(2), 2006; as in piq",
        version="2",
        min_size=41,
        label="VIF",
    )
)
GMSD = _similarity(
    _spec(
        *("gmsd", "Gradient magnitude similarity deviation", "fidelity", "lower", _UNIT),
        source="Xue et al., IEEE TIP 23(2), 2014; piq",
        min_size=6,
        label="GMSD",
        extras=("metrics",),
    ),
    identify=_PIQ_RECORD,
)
HAARPSI = _similarity(
    _spec(
        *("haarpsi", "Haar wavelet-based perceptual similarity", "fidelity", "higher", _UNIT),
        source="Reisenhofer et al., Signal Processing: Image Communication 61, 2018; piq",
        min_size=16,
        label="HaarPSI",
        extras=("metrics",),
    ),
    identify=_PIQ_RECORD,
)

# Perceptual metrics


def _perceptual(spec: MetricSpec, *weights: Asset) -> MetricPlugin:
    return MetricPlugin(
        spec,
        identify=_late("perceptual:identify", weights),
        build=_late("perceptual:PerceptualMetric", spec.name),
        require=weights[0].require,
    )


LPIPS_ALEX = _perceptual(
    _spec(
        *("lpips-alex", "LPIPS of AlexNet", "perceptual", "lower", _POSITIVE),
        source="Zhang et al., CVPR 2018, version 0.1",
        min_size=31,
        network="alexnet",
        label="LPIPS (AlexNet)",
        quality_axis=3,
        front=5,
    ),
    assets.LPIPS_ALEX,
)
LPIPS_VGG = _perceptual(
    _spec(
        *("lpips-vgg", "LPIPS of VGG16", "perceptual", "lower", _POSITIVE),
        source=LPIPS_ALEX.spec.source,
        min_size=16,
        network="vgg16",
        label="LPIPS (VGG16)",
    ),
    assets.LPIPS_VGG,
)
DISTS = _perceptual(
    _spec(
        *("dists", "Deep image structure and texture similarity", "perceptual", "lower", _UNIT),
        source="Ding et al., IEEE TPAMI 44(5), 2022",
        min_size=16,
        label="DISTS",
        network="vgg16",
    ),
    assets.LPIPS_VGG,
    assets.DISTS,
)


def _lpips_region(region: str, title: str) -> MetricPlugin:
    name = f"{LPIPS_ALEX.spec.name}_{region}"
    return MetricPlugin(
        replace(
            LPIPS_ALEX.spec,
            name=name,
            title=title,
            label=f"{LPIPS_ALEX.spec.label}, {region}",
            quality_axis=0,
            front=0,
        ),
        identify=_late("perceptual:identify_region", (assets.LPIPS_ALEX,)),
        build=_late("perceptual:RegionLpips"),  # both regions from one forward pass
        require=LPIPS_ALEX.require,
        derive=lambda columns: {name: columns[name]},
    )


LPIPS_ALEX_EYES = _lpips_region("eyes", "LPIPS of AlexNet, of the eyes with their lids")
LPIPS_ALEX_MOUTH = _lpips_region("mouth", "LPIPS of AlexNet, of the mouth")

NIQE = MetricPlugin(
    _spec(
        "niqe",
        "Natural image quality evaluator (no reference)",
        *("naturalness", "lower", _POSITIVE),
        source="Mittal et al., IEEE SPL 20(3), 2013; numbers of BasicSR 1.4.2",
        min_size=192,
        label="NIQE",
    ),
    identify=lambda _settings: {"numbers": assets.NIQE.source.sha256},
    build=_late("naturalness:NiqeMetric"),
    summarise=_late("naturalness:of_originals"),
)

# Identity and landmarks

IDENTITY = MetricPlugin(
    _spec(
        "identity",
        "Identity: cosine of dlib's face descriptors",
        *("identity", "higher", _SYMMETRIC),
        source="King, dlib_face_recognition_resnet_model_v1, 2017",
        front=6,
        label="Identity",
    ),
    identify=identify.descriptors,
    build=_late("identity:DlibMetric"),
    summarise=_late("identity:same_person"),
)
FACENET = MetricPlugin(
    _spec(
        "facenet",
        "Identity: cosine of FaceNet's embeddings (VGGFace2)",
        *("identity", "higher", _SYMMETRIC),
        source="Schroff et al., CVPR 2015; InceptionResnetV1 of facenet-pytorch",
        label="Identity (FaceNet)",
    ),
    identify=_late("identity:identify_facenet"),
    build=_late("identity:build_facenet"),
    require=assets.require_facenet,
)


def _landmarks(name: str, title: str, group: str, source: str, **more: Any) -> MetricPlugin:
    more = {"summaries": (f"{name}_failure_rate",), **more}
    return MetricPlugin(
        _spec(name, title, group, "lower", _POSITIVE, source=source, **more),
        identify=identify.landmarks,
        build=_late("landmarks:build", name),
        summarise=_late("landmarks:summarise", name),
    )


NME = _landmarks(
    *("nme", "Landmark error, by outer eye distance", "landmarks"),
    source="478 points of MediaPipe's face mesh; normalised as in 300-W (ICCVW 2013)",
    label="NME",
    regions=("nme_68", *(f"nme_{region}" for region in REGIONS)),
    front=7,
)
AU_PROXY = _landmarks(
    *("au_proxy", "Drift of mouth, brows and eyelids, by outer eye distance", "expression"),
    source="ours: four distances between points of MediaPipe's face mesh",
    label="AU proxy",
)

# Metrics from a judge

_JUDGED: dict[str, Any] = {"identify": identify.judged, "build": _late("ecm:build")}


def _expression(
    name: str, title: str, direction: Direction, highest: float, **more: Any
) -> MetricSpec:
    span = (0.0, highest)
    return _spec(name, title, "expression", direction, span, per_judge=True, **more)


ECM = MetricPlugin(
    _expression(
        *("ecm", "Emotion Consistency Metric", "lower", 1.1931471805599454),
        source="our reading of arXiv 2502.09932: ECM = 0.5 * L_H + ln(L_conf)",
        aggregate="macro",
        label="ECM",
        summaries=("agreement", "flip_rate"),
        leads=True,
        front=1,
    ),
    identify=identify.ecm,
    build=_JUDGED["build"],
    summarise=_late("ecm:summarise"),
)


def _derived(spec: MetricSpec) -> MetricPlugin:
    """Return a metric that reports, under its own name, part of what `ecm` computes."""
    return MetricPlugin(spec, **_JUDGED, derive=_late(f"ecm:{spec.name}"))


AGREEMENT = _derived(
    _expression(
        *("agreement", "Share of faces that keep their label", "higher", 1.0),
        source="our definition",
        front=2,
        label="Agreement",
    )
)
JS_DIVERGENCE = _derived(
    _expression(
        *("js_divergence", "Jensen-Shannon divergence of the class probabilities", "lower"),
        highest=math.log(2.0),
        source="Lin, IEEE Transactions on Information Theory 37, 1991",
        unit="nat",
        label="JS divergence",
    )
)
CONFIDENCE_DRIFT = _derived(
    _expression(
        *("confidence_drift", "Change of the probability of the reference's class", "lower", 1.0),
        source="our definition: |p_k - q_k|",
        label="Confidence drift",
    )
)


def _drift(name: str) -> MetricPlugin:
    title = f"Absolute change of {name}"
    return MetricPlugin(
        _expression(
            *(f"{name}_drift", title, "lower", math.inf),
            source="our definition",
            summaries=(f"{name}_ccc",),
        ),
        **_JUDGED,
        derive=_late("ecm:drift", name),
        summarise=_late("ecm:ccc", name),
        unfit=_lacks("affect", "valence and arousal"),
    )


VALENCE_DRIFT = _drift("valence")
AROUSAL_DRIFT = _drift("arousal")

# Sets of faces


def _set(name: str, title: str, lowest: float = 0.0, **more: Any) -> MetricSpec:
    span = (lowest, math.inf)
    return _spec(name, title, "distribution", "lower", span, kind="set", **more)


def _inception(spec: MetricSpec, kind: str) -> MetricPlugin:
    return MetricPlugin(
        replace(spec, extras=("distribution",)),
        identify=_late("distribution:identify_inception"),
        build=_INCEPTION,
        require=assets.INCEPTION.require,
        finish=_late(f"distances:finish_{kind}"),
        difference=_late(f"distances:compare_{kind}"),
    )


_INCEPTION = _late("distribution:build_inception")

FID = _inception(
    _set(
        *("fid", "Frechet distance of InceptionV3's features"),
        source="Heusel et al., arXiv 1706.08500; features of torch-fidelity",
        few_faces=2048,
        beside=("kid",),
        label="FID",
        digits=2,
    ),
    "fid",
)
KID = _inception(
    _set(
        "kid",
        "Kernel distance of InceptionV3's features, unbiased for paired sets",
        -math.inf,
        source="Binkowski et al., arXiv 1801.01401, over pairs of two faces; "
        "features of torch-fidelity",
        version="2",
        label="KID",
    ),
    "kid",
)
KID_TORCH_FIDELITY = _inception(
    _set(
        "kid-torch-fidelity",
        "Kernel distance of InceptionV3's features as torch-fidelity has it",
        -math.inf,
        source="Binkowski et al., arXiv 1801.01401; torch-fidelity, one subset of all faces",
        beside=("kid",),
    ),
    "torch_fidelity",
)


FED = MetricPlugin(
    _set(
        *("fed", "Frechet expression distance: of a judge's features"),
        source="our definition, after Heusel et al., arXiv 1706.08500",
        few_faces=1000,
        per_judge=True,
    ),
    identify=identify.fed,
    build=_late("distribution:build_fed"),
    unfit=_lacks("features", "features"),
    finish=_late("distances:finish_fed"),
    difference=_late("distances:compare_fed"),
)

# Cost of a model


def _of_faces(*_arguments: object) -> Any:
    raise AffectBenchError("cost is measured of a model in every run, not of faces")


def _cost(name: str, title: str, direction: Direction = "lower", unit: str = "") -> MetricPlugin:
    source = "measured in every run: cost.csv"
    spec = _spec(name, title, "cost", direction, _POSITIVE, source=source, kind="cost", unit=unit)
    return MetricPlugin(spec, _nothing, _of_faces)


PARAMETERS = _cost("parameters", "Parameters of the model")
MULTIPLY_ADDS = _cost("multiply_adds", "Multiply-adds for one face")
FACES_PER_SECOND = _cost("faces_per_second", "Speed of the model alone", "higher", "1/s")
PEAK_MEMORY = _cost("peak_memory", "Largest tensors at once for one face", unit="byte")
