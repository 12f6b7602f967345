"""The networks of affectbench-baselines: sizes, shapes, gradients, exactness of their parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affectbench_baselines.affectsrnet.graph import (
    MIRROR,
    POINTS,
    contour_edges,
    flip_points,
    normalised_adjacency,
)
from affectbench_baselines.affectsrnet.mesh import landmarks_on_lr
from affectbench_baselines.affectsrnet.msaf import MSAF
from affectbench_baselines.affectsrnet.nodes import NodeGraph, sampled, scattered
from affectbench_baselines.affectsrnet.paper import PaperAffectSRNet, PaperConfig
from affectbench_baselines.configs import FAMILIES, build_network, load_config
from affectbench_baselines.fadn.frequency import ac_energy, frequency_classes
from affectbench_baselines.fadn.network import FADN, branch_costs
from affectbench_baselines.rrdbnet.layouts import config_of, weights_of
from affectbench_baselines.rrdbnet.network import RRDBConfig, RRDBNet
from affectbench_baselines.sadn.network import SADConv
from affectbench_baselines.training.costs import multiply_adds
from affectbench_baselines.wnet.regions import REGIONS, draw_regions
from scipy.fft import dctn
from tiny_training import SETTINGS, face_points
from torch import nn
from torch.nn import functional as F

from affectbench.datasets import load_dataset
from affectbench.errors import InputError, UnknownNameError, WeightsError
from affectbench.faces.landmarks import landmarker
from affectbench.images.resizing import resize
from affectbench.images.tensors import stack, unit_range

SMALL = RRDBConfig(features=8, growth=32, blocks=1, scale=8)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def tiny(family: str, seed: int = 0, **changes) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(family, {**SETTINGS[family], **changes})


def awake(network: nn.Module) -> nn.Module:
    """The network with random weights where it starts at 0, past which no gradient flows."""
    for parameter in network.parameters():
        if not bool(parameter.any()):
            nn.init.normal_(parameter, std=0.05)
    return network


# all of them


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_gradients_and_repeated_outputs(family):
    network = awake(tiny(family))
    lr = torch.rand(3, 3, 16, 16)
    out = network.details(lr)
    assert out.sr.shape == (3, 3, 128, 128)
    parts = [p for p in (*out, *out.landmarks) if isinstance(p, torch.Tensor)]
    torch.stack([(p * torch.rand_like(p)).sum() for p in parts]).sum().backward()
    silent = [
        name
        for name, p in network.named_parameters()
        if p.requires_grad and (p.grad is None or not bool(p.grad.abs().sum() > 0))
    ]
    assert silent == []
    network.eval()
    with torch.no_grad():
        first = network(lr)
        assert torch.equal(network(lr), first)
        alone = torch.cat([network(face[None]) for face in lr])
    assert torch.allclose(alone, first, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_hr_at_test_time(family):
    """Details that training compares with HR are made from LR alone."""
    network = tiny(family).eval()
    lr = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        before = network(lr)
        network(lr.flip(3))
        assert torch.equal(network(lr), before)
        changed = lr.clone()
        changed[0] += 0.1
        after = network(changed)
    assert not torch.equal(after[0], before[0])
    assert torch.allclose(after[1], before[1], atol=1e-6)


@pytest.mark.parametrize("family", ["rrdbnet", "wnet", "fadn", "sadn"])
@pytest.mark.parametrize("scale", [2, 4])
def test_smaller_scales(family, scale):
    network = tiny(family, scale=scale).eval()
    assert network(torch.rand(1, 3, 8, 12)).shape == (1, 3, 8 * scale, 12 * scale)


@pytest.mark.parametrize(
    ("family", "config", "parameters"),
    [
        ("rrdbnet", "paper", 16_697_987),
        ("sadn", "paper", 7_565_782),
        ("sadn", "light", 1_042_624),
        ("rrdbnet", "compact", 878_403),
        ("rrdbnet", "x4", 4_467_779),
        ("affectsrnet", "compact", 1_490_545),
    ],
)
def test_parameter_counts(family, config, parameters):
    with torch.device("meta"):
        network = build_network(family, load_config(family, config).network)
    assert count(network) == parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_compact_weights_fit_five_megabytes(family):
    network = build_network(family, load_config(family).network)
    assert 2 * count(network) < 5_000_000
    assert network.scale == 8


def test_the_networks_at_x4_share_their_backbone():
    """The comparison of the two is fair only then."""
    backbone = load_config("affectsrnet", "x4").network["backbone"]
    assert backbone == load_config("rrdbnet", "x4").network


def test_compact_affectsrnet_is_as_costly_as_its_rivals():
    settings = load_config("affectsrnet").network
    network = build_network("affectsrnet", settings).eval().requires_grad_(False)
    assert count(network) <= 1_500_000
    assert multiply_adds(network, torch.rand(1, 3, 16, 16)) <= 700_000_000


def test_configs_are_found_or_explained(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'compact'"):
        load_config("wnet", "compakt")
    with pytest.raises(InputError, match="do not fit"):
        build_network("fadn", {"feature": 3})
    with pytest.raises(InputError, match="by 2, 4 or 8, not by 3"):
        build_network("fadn", {"scale": 3})
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="is not a config"):
        load_config("fadn", str(tmp_path / "a.json"))


# RRDBNet


def test_six_blocks_have_the_published_size():
    with torch.device("meta"):
        assert count(RRDBNet(RRDBConfig(blocks=6))) == 4_467_779


@pytest.mark.parametrize(("scale", "unshuffle"), [(2, 1), (4, 1), (8, 1), (2, 2), (1, 4)])
def test_rrdbnet_equals_spandrels_on_the_same_weights(scale, unshuffle):
    spandrel = pytest.importorskip("spandrel")
    torch.manual_seed(scale)
    ours = RRDBNet(RRDBConfig(8, 32, 2, scale, unshuffle)).eval()
    theirs = spandrel.ModelLoader().load_from_state_dict(dict(ours.state_dict()))
    lr = torch.rand(2, 3, 8, 12)
    with torch.no_grad():
        assert theirs.scale == scale
        assert torch.allclose(ours(lr), theirs.model.eval()(lr), atol=1e-5)


@pytest.mark.parametrize("layout", ["basicsr", "trunk", "numbered", "wrapped"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_public_layouts_load(layout, scale):
    torch.manual_seed(1)
    network = RRDBNet(RRDBConfig(8, 4, 2, scale)).eval()
    stored = in_layout(network.state_dict(), layout)
    weights = weights_of(stored, "file")
    again = RRDBNet(config_of(weights, "file")).eval()
    again.load_state_dict(weights)
    lr = torch.rand(1, 3, 5, 6)
    with torch.no_grad():
        assert torch.equal(again(lr), network(lr))


def in_layout(weights: dict, layout: str) -> dict:
    if layout == "wrapped":
        return {"params_ema": dict(weights)}
    if layout == "basicsr":
        return dict(weights)
    ups = 1 + max(int(key[7]) for key in weights if key.startswith("conv_up")) - 1
    blocks = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("body."))
    stored = {}
    for key, value in weights.items():
        part, *rest = key.split(".")
        if part == "body":
            block, rdb, conv, kind = rest
            dense = rdb.upper()
            name = {
                "trunk": f"RRDB_trunk.{block}.{dense}.{conv}.{kind}",
                "numbered": f"model.1.sub.{block}.{dense}.{conv}.0.{kind}",
            }[layout]
        elif layout == "trunk":
            new = {"conv_body": "trunk_conv", "conv_hr": "HRconv"}.get(part, part)
            name = f"{new.replace('conv_up', 'upconv')}.{rest[0]}"
        else:
            place = {
                "conv_first": "0",
                "conv_body": f"1.sub.{blocks}",
                "conv_hr": f"{3 * ups + 2}",
                "conv_last": f"{3 * ups + 4}",
                **{f"conv_up{i}": f"{3 * i}" for i in range(1, ups + 1)},
            }[part]
            name = f"model.{place}.{rest[0]}"
        stored[name] = value
    return stored


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(1)}, "has no 'conv_first.weight'"),
        ({"model.0.weight": torch.zeros(1), "model.9.odd.weight": torch.zeros(1)}, "plain RRDBNet"),
        ({"a": 3}, "more than tensors"),
    ],
)
def test_other_weights_are_no_rrdbnet(content, message):
    with pytest.raises(WeightsError, match=f"^file: .*{message}"):
        config_of(weights_of(content, "file"), "file")


# AffectSRNet


def test_the_graph_is_the_contours_in_both_directions():
    edges = contour_edges()
    assert 650 <= len(edges) <= 750  # about 700 in the development code
    assert {(b, a) for a, b in edges} == set(edges)
    assert all(a != b for a, b in edges)
    mirrored = {(MIRROR[a], MIRROR[b]) for a, b in edges}
    assert mirrored == set(edges)
    assert {0, 33, 61, 263, 291, 468, 473, 152, 10} <= {a for a, _ in edges}


def test_mirroring_twice_changes_nothing(rng):
    assert tuple(MIRROR[i] for i in MIRROR) == tuple(range(POINTS))
    assert (MIRROR[33], MIRROR[61], MIRROR[468], MIRROR[1]) == (263, 291, 473, 1)
    points = torch.from_numpy(rng.random((2, POINTS, 2)))
    assert torch.allclose(flip_points(flip_points(points)), points)
    assert torch.allclose(flip_points(points)[:, 263, 0], 1.0 - points[:, 33, 0])


@pytest.mark.shared
def test_mirror_fits_real_landmarks(shared):
    with np.load(shared / "data/landmarks478/celeba_train.npz") as content:
        mean = content["landmarks"][:500].astype(np.float64).mean(0)
    mean[:, 0] += 0.5 - mean[[1, 168, 152], 0].mean()  # the set is not quite centred
    flipped = flip_points(torch.from_numpy(mean)).numpy()
    assert np.abs(flipped - mean).max() < 0.03


def test_adjacency_keeps_its_largest_eigenvalue_at_one():
    adjacency = normalised_adjacency(contour_edges())
    values = torch.linalg.eigvalsh(adjacency.double())
    assert torch.equal(adjacency, adjacency.T)
    assert float(values.max()) == pytest.approx(1.0, abs=1e-6)
    assert float(values.min()) > -1.0


def test_nodes_take_and_give_where_they_lie():
    """Scattering is the transpose of sampling; a node in a pixel's centre lands on it alone."""
    torch.manual_seed(0)
    features, points = torch.rand(2, 5, 7, 9), torch.rand(2, 11, 2)
    points[0, :4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.2], [-0.1, 0.5]])
    seen = sampled(features.requires_grad_(), points)
    nodes = torch.rand_like(seen)
    (total,) = torch.autograd.grad((seen * nodes).sum(), features)
    *mean, count = scattered(nodes, points, 7, 9).unbind(1)
    weight = count.exp() - 1.0
    assert torch.allclose(torch.stack(mean, 1) * weight.clamp(min=1.0)[:, None], total, atol=1e-5)
    assert torch.allclose(weight.sum((1, 2)), torch.tensor(11.0))
    centre = torch.tensor([[[2.5 / 9, 3.5 / 7]]])
    landmarks = scattered(torch.full((1, 1, 4), 2.0), centre, 7, 9)
    assert torch.allclose(landmarks[0, :4, 3, 2], torch.tensor(2.0))
    assert float(landmarks[0, 4, 3, 2]) == pytest.approx(math.log(2), abs=1e-5)
    landmarks[0, :, 3, 2] = 0
    assert float(landmarks.abs().max()) < 1e-4


def test_msaf_is_its_definition():
    torch.manual_seed(0)
    fusion = MSAF((6, 4), block=4, reduction=2, dropout=0.5, lowest=0.2).eval()
    one, two = torch.rand(3, 6, 5, 5), torch.rand(3, 4, 2, 2)
    found = fusion([one, two])
    padded = F.pad(one, (0, 0, 0, 0, 0, 2))
    blocks = [padded[:, :4], padded[:, 4:], two]
    joint = fusion.joint((blocks[0] + blocks[1]).mean((2, 3)) + two.mean((2, 3)))
    logits = torch.stack([linear(joint) for linear in fusion.logits])
    attention = 0.2 + 0.8 * logits.softmax(0)
    assert torch.allclose(attention.sum(0), torch.tensor(0.2 * 3 + 0.8))
    scaled = [b * a[..., None, None] for b, a in zip(blocks, attention, strict=True)]
    assert torch.allclose(found[0], torch.cat(scaled[:2], 1)[:, :6], atol=1e-6)
    assert torch.allclose(found[1], scaled[2], atol=1e-6)
    fusion.train()
    dropped = fusion([torch.ones(64, 6, 5, 5), torch.ones(64, 4, 2, 2)])[1]
    assert 0.2 < float((dropped.abs().sum((1, 2, 3)) == 0).float().mean()) < 0.8


@pytest.mark.parametrize(
    "changes",
    [
        *({"prior": "mean"}, {"prior": "none"}, {"gcn": 0}, {"refine": 0}, {"msaf": False}),
        *({"scales": 1}, {"fused": ["up1"]}),
    ],
)
def test_every_part_can_be_switched_off(changes):
    whole, part = awake(tiny("affectsrnet")).eval(), awake(tiny("affectsrnet", **changes)).train()
    lr = torch.rand(2, 3, 16, 16)
    out = part.details(lr)
    assert out.sr.shape == (2, 3, 128, 128)
    out.sr.sum().backward()
    assert not torch.allclose(out.sr, whole(lr))
    assert len(out.landmarks) == (0 if "prior" in changes else 1 + changes.get("refine", 1))
    assert (count(part) < count(whole)) == ("scales" not in changes)
    assert all(p.grad is not None for p in part.parameters() if not out.landmarks)


def test_a_new_network_gives_bicubic_and_the_average_face():
    """So that training starts where a network without it would be."""
    network = tiny("affectsrnet").eval()
    lr = torch.rand(2, 3, 16, 16)
    average = torch.rand(POINTS, 2)
    network.prior.mean.start_from(average)
    with torch.no_grad():
        out = network.details(lr)
    bicubic = F.interpolate(lr, scale_factor=8.0, mode="bicubic", align_corners=False)
    assert torch.equal(out.sr, bicubic)
    assert all(torch.equal(points, average.expand(2, -1, -1)) for points in out.landmarks)


def test_graph_convolutions_reach_neighbours_only():
    graph = NodeGraph(features=8, width=8, embedding=4, layers=2)
    features, points = torch.rand(1, 8, 16, 16), torch.rand(1, POINTS, 2)
    embedding = graph.embedding
    nodes = graph(features, points)
    nodes[0, 61].sum().backward()
    touched = set(embedding.grad.abs().sum(1).nonzero().flatten().tolist())
    near = {61} | {b for a, b in contour_edges() if a == 61}
    near |= {b for a, b in contour_edges() if a in near}
    assert {61} < touched <= near


def test_backbone_starts_from_esrgan_weights():
    """At first the config `x4` is its backbone; its fusion learns, since it is added."""
    torch.manual_seed(0)
    esrgan = RRDBNet(SMALL).eval()
    config = PaperConfig(SMALL, (4, 32), (8, 2, 2), image=8, residual=True)
    network = PaperAffectSRNet(config, lambda lr: torch.rand(len(lr), POINTS, 3)).eval()
    network.backbone.load_state_dict(esrgan.state_dict())
    lr = torch.rand(2, 3, 32, 32)
    assert torch.equal(network(lr), esrgan(lr))
    network(lr).sum().backward()
    assert network.fusion.join.weight.grad.abs().sum() > 0


def test_paper_config_sees_the_lr_face_alone():
    settings = load_config("affectsrnet", "paper").network
    small = {**settings, "node_widths": [4, 8 * 32 * 32]}
    seen = []

    def mesh(lr):
        seen.append(lr)
        return torch.zeros(len(lr), POINTS, 3)

    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in small.items()}
    backbone = RRDBConfig(**plain.pop("backbone"))
    network = PaperAffectSRNet(PaperConfig(backbone, **plain), mesh).eval()
    lr = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert network(lr).shape == (1, 3, 256, 256)
    assert len(seen) == 1 and seen[0] is lr


def test_mesh_prior_finds_the_face_on_lr():
    faces = load_dataset("demo")
    hr, lr = (
        stack([resize(faces.read(i), size, size, "pil-bicubic") for i in faces.ids])
        for size in (128, 64)
    )
    points = landmarks_on_lr(unit_range(lr))
    assert points.shape == (2, POINTS, 3)
    expected = landmarker("celeba", torch.device("cpu"))(hr).points
    eyes = (expected[:, 33] - expected[:, 263]).norm(dim=1)
    error = (points[..., :2] - expected).norm(dim=2).mean(1) / eyes
    assert (error < 0.03).all()
    assert (points[:, 1, 2] < points[:, [234, 454], 2].mean(1)).all()  # the nose before the ears


def test_paper_config_has_the_sizes_of_the_development_code():
    with torch.device("meta"):
        network = build_network("affectsrnet", load_config("affectsrnet", "paper").network)
    widths = [layer.linear.weight.shape for layer in network.graph.layers]
    assert [tuple(w) for w in widths] == [
        (128, 3),
        (256, 128),
        (1024, 256),
        (4096, 1024),
        (8192, 4096),
    ]
    assert tuple(network.fusion.join.weight.shape) == (8, 16, 1, 1)


# FADN


def test_three_ways_of_execution_give_one_result():
    network = tiny("fadn", features=12, blocks=3).eval()
    assert isinstance(network, FADN)
    for block in network.blocks:  # all three branches must be in use
        nn.init.normal_(block.predictor.weight, std=5.0)
    for shape in ((2, 3, 16, 16), (1, 3, 19, 9)):
        lr = torch.rand(shape)
        with torch.no_grad():
            choice = network.blocks[0](network.head(lr - 0.5))[1]
            assert bool((choice.sum((0, 2, 3)) > 0).all())
            network.execute("dense")
            dense = network(lr)
            for execution in ("pixel", "tile"):
                network.execute(execution)
                assert torch.allclose(network(lr), dense, atol=1e-5)


def test_branch_costs_are_those_of_the_paper():
    assert branch_costs(64).tolist() == pytest.approx([0.063, 0.556, 1.0], abs=1e-3)


def test_frequency_energy_is_the_dcts(rng):
    hr = rng.random((1, 3, 16, 24), dtype=np.float32)
    luma = 0.299 * hr[0, 0] + 0.587 * hr[0, 1] + 0.114 * hr[0, 2]
    spectrum = dctn(luma[8:16, 16:24], norm="ortho")
    spectrum[0, 0] = 0
    found = ac_energy(torch.from_numpy(hr), 8)
    assert found.shape == (1, 2, 3)
    assert float(found[0, 1, 2]) == pytest.approx(float((spectrum**2).sum()), rel=1e-4)
    classes = frequency_classes(torch.from_numpy(rng.random((2, 3, 80, 80), np.float32)), 8)
    shares = [float((classes == i).float().mean()) for i in range(3)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.02)


# SADN


def test_dynamic_convolution_mixes_its_kernels():
    torch.manual_seed(0)
    conv = SADConv(8, 3).eval()
    x = torch.rand(2, 8, 6, 6)
    context = conv.squeeze(x.mean((2, 3))).relu()
    mixture = conv.logits(torch.cat([context, torch.full((2, 2), 0.25)], 1)).softmax(1)
    for i in range(2):
        kernel = torch.einsum("k,koihw->oihw", mixture[i], conv.weight)
        expected = F.conv2d(x[i : i + 1], kernel, mixture[i] @ conv.bias, padding=1)
        assert torch.allclose(conv(x, 0.25)[i : i + 1], expected, atol=1e-5)


def test_one_network_serves_all_sizes():
    network = tiny("sadn").eval()
    lr = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        for size in ((32, 32), (53, 53), (128, 128)):
            assert network.details(lr, size).sr.shape[-2:] == size


def test_temperature_falls_to_one():
    network = tiny("sadn")
    seen = []
    for progress in (0.0, 0.15, 0.3, 1.0):
        network.anneal(progress)
        seen.append(network.body.parts[0].parts[0].dynamic.temperature)
    assert seen == pytest.approx([34.0, 17.5, 1.0, 1.0])


# W-Net


def test_regions_are_drawn_from_landmarks(rng):
    regions = draw_regions(face_points(rng), 32)
    assert regions.shape == (32, 32) and regions.max() < len(REGIONS)


@pytest.mark.shared
def test_regions_of_a_real_face(shared):
    with np.load(shared / "data/landmarks478/celeba_train.npz") as content:
        mean = content["landmarks"].astype(np.float64).mean(0)
    regions = draw_regions(mean, 64)
    counts = [int((regions == i).sum()) for i in range(len(REGIONS))]
    assert all(counts[:6])
    assert counts[REGIONS.index("skin")] > counts[REGIONS.index("nose")]
    rows = [np.nonzero(regions == REGIONS.index(r))[0].mean() for r in ("brows", "eyes", "lips")]
    assert rows == sorted(rows)
