"""A weights file as a model of an architecture that spandrel detects from its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from affectbench.adapters.adapted import AdaptedNetwork
from affectbench.adapters.prefix import Loading
from affectbench.adapters.syntax import kernel_option, require_scale
from affectbench.assets.untrusted import read_weights
from affectbench.errors import MissingExtraError, WeightsError
from affectbench.types import Model


def load_checkpoint(loading: Loading, device: torch.device) -> Model:
    """Load a weights file by spandrel; raise WeightsError if it does not know the architecture."""
    descriptor = _recognise(loading.target)
    then = kernel_option(loading.options, loading.argument)
    require_scale(descriptor.scale, loading.scale, then, loading.argument)
    descriptor.to(device).eval()
    spec = replace(
        loading.spec,
        scale=descriptor.scale,
        parameters=sum(p.numel() for p in descriptor.model.parameters()),
        size_multiple=descriptor.size_requirements.multiple_of,
        note=f"{descriptor.architecture.name} x{descriptor.scale}"
        + (f", then {then}" if descriptor.scale != loading.scale else ""),
    )

    network = descriptor if takes_batches(descriptor, device) else one_by_one(descriptor)
    return AdaptedNetwork(network, spec, loading.scale, then)


def one_by_one(descriptor: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Wrap a network so that it is called on each image of a batch separately."""
    return lambda lr: torch.cat([descriptor(image[None]) for image in lr])


def takes_batches(descriptor: Any, device: torch.device) -> bool:
    """Return whether a network supports batches: spandrel guarantees only single images."""
    probe = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(device)
    try:
        together, alone = descriptor(probe), one_by_one(descriptor)(probe)
    except Exception:  # whatever it raises, it does not support batches
        return False
    return together.shape == alone.shape and torch.allclose(together, alone, rtol=0, atol=1e-4)


def _recognise(path: str) -> Any:
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
    except ImportError as error:
        raise MissingExtraError("checkpoint:", "checkpoint") from error

    weights = read_weights(path)
    try:
        descriptor = ModelLoader().load_from_state_dict(weights)
    except UnsupportedModelError:
        raise WeightsError(
            f"{path}: spandrel does not know this architecture; write a factory for it and use "
            "python:FILE:FACTORY"
        ) from None
    except Exception as error:  # weights that only have the key names of an architecture
        raise WeightsError(
            f"{path}: the weights do not fit the architecture that spandrel recognised "
            f"({type(error).__name__}: {error})"
        ) from error
    if not isinstance(descriptor, ImageModelDescriptor):
        raise WeightsError(f"{path}: is an inpainting model; it needs a mask beside the face")
    refuse_others(descriptor, path)
    return descriptor


def refuse_others(descriptor: Any, path: str) -> None:
    """Raise WeightsError for a network that does not enlarge RGB images."""
    name = descriptor.architecture.name
    if descriptor.purpose == "FaceSR":
        raise WeightsError(
            f"{path}: {name} restores a 512-pixel face and does not enlarge one, and its range "
            "and alignment are its own; it is not supported yet: wrap it as python:FILE:FACTORY"
        )
    if descriptor.scale == 1:
        raise WeightsError(f"{path}: is a {name} of scale 1, which does not enlarge an image")
    channels = (descriptor.input_channels, descriptor.output_channels)
    if channels != (3, 3):
        raise WeightsError(
            f"{path}: takes {channels[0]} and gives {channels[1]} channels; RGB, 3 and 3, is needed"
        )
