"""The packages `lpips` and `piq` with weights that are at hand: nothing is downloaded."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn

Weights = Mapping[str, Any]
"""Arrays as `affectbench.assets.numpy_pickle.read_arrays` gives them."""

BACKBONES = {"alex": "AlexNet_0", "vgg": "VGG16_0"}


def features(net: str, weights: Weights) -> nn.Sequential:
    """torchvision's own layers with these weights: what its models call `features`."""
    from torchvision.models.vgg import cfgs, make_layers

    layers = make_layers(cfgs["D"]) if net == "vgg" else _alexnet()
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    for i, layer in enumerate(convolutions):
        kernel = torch.from_numpy(weights[f"{BACKBONES[net]}/Conv_{i}/kernel"])
        bias = torch.from_numpy(weights[f"{BACKBONES[net]}/Conv_{i}/bias"])
        layer.load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": bias})
    return layers


def _alexnet() -> nn.Sequential:
    from torchvision.models import AlexNet

    with torch.device("meta"):
        made = AlexNet().features
    return made.to_empty(device="cpu")


def lpips_peer(net: str, weights: Weights) -> nn.Module:
    """`lpips.LPIPS` with its own heads and these backbone weights; images are in [0, 1]."""
    import lpips

    name = {"alex": "alexnet", "vgg": "vgg16"}[net]
    model = SimpleNamespace(features=features(net, weights))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mock.patch.object(
            lpips.pretrained_networks.tv, name, lambda pretrained: model, create=True
        ):
            return lpips.LPIPS(net=net, verbose=False).eval()


def dists_peer(weights: Weights, channels: Mapping[str, torch.Tensor]) -> nn.Module:
    """`piq.DISTS` with these weights."""
    import piq
    from piq import perceptual

    model = SimpleNamespace(features=features("vgg", weights))
    stored = {name: channels[name].view(1, -1, 1, 1) for name in ("alpha", "beta")}
    with (
        mock.patch.object(perceptual, "vgg16", lambda pretrained, progress: model),
        mock.patch.object(torch.hub, "load_state_dict_from_url", lambda *a, **k: stored),
    ):
        return piq.DISTS(reduction="none")


def piq_lpips_peer(weights: Weights) -> nn.Module:
    """`piq.LPIPS` with these weights."""
    import piq
    from piq import perceptual

    model = SimpleNamespace(features=features("vgg", weights))
    heads = [torch.from_numpy(weights[f"NetLinLayer_{i}/Conv_0/kernel"]) for i in range(5)]
    stored = [head.permute(3, 2, 0, 1) for head in heads]
    with (
        mock.patch.object(perceptual, "vgg16", lambda pretrained, progress: model),
        mock.patch.object(torch.hub, "load_state_dict_from_url", lambda *a, **k: stored),
    ):
        return piq.LPIPS(reduction="none")


def torchmetrics_lpips_peer(net: str, weights: Weights) -> nn.Module:
    """The network behind torchmetrics' LPIPS, with its own heads and these backbone weights."""
    from torchmetrics.functional.image import lpips

    layers = features(net, weights)
    with mock.patch.object(lpips, "_get_tv_model_features", lambda name, pretrained: layers):
        return lpips._LPIPS(net=net).eval()


def torchmetrics_dists_peer(weights: Weights) -> nn.Module:
    """The network behind torchmetrics' DISTS, with its own weights of channels."""
    from torchmetrics.functional.image import dists

    model = SimpleNamespace(features=features("vgg", weights))
    with mock.patch.object(dists, "vgg16", lambda weights: model):
        return dists.DISTSNetwork().eval()
