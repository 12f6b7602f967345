"""Training of affectbench-baselines: data, losses, the loop, exact resume."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from affectbench_baselines.affectsrnet.graph import contour_edges
from affectbench_baselines.base import Details
from affectbench_baselines.configs import Config, build_network
from affectbench_baselines.header import read_header
from affectbench_baselines.training import schedule
from affectbench_baselines.training.balance import draw_weights
from affectbench_baselines.training.batches import Batches
from affectbench_baselines.training.faces import (
    Faces,
    View,
    draw,
    draw_generator,
    eye_distance,
    load_faces,
    order,
    window,
)
from affectbench_baselines.training.losses import (
    IGNORED,
    Batch,
    Objective,
    cut,
    emotion_loss,
    feature_losses,
    graph_losses,
    parsing_loss,
    pixel_loss,
    varied,
)
from affectbench_baselines.training.settings import (
    EMOTION_KINDS,
    FACES,
    LossWeights,
    Stage,
    learning_rate,
    make_job,
)
from affectbench_baselines.training.stage import from_published, read_previous
from affectbench_baselines.training.validate import Validation, validation_ids
from affectbench_baselines.training.vgg16 import FirstStages
from affectbench_baselines.variants import VARIANTS
from tiny_judge import TinyJudge
from tiny_training import LOSSES, PAPER, SETTINGS, face_points, write_archive

from affectbench.errors import InputError, WeightsError
from affectbench.images.resizing import resize

ANIME = "real-esrgan-anime"
fabric = pytest.importorskip("lightning_fabric")
from affectbench_baselines.training.trainer import (  # noqa: E402
    TRAINED_ON,
    Pace,
    Trainer,
    TrainingError,
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def faces(archive):
    return load_faces(archive[0], archive[1], archive[0].parent / "cache")


def job_of(family: str, steps: int = 4, **changes):
    config = Config(family, "tiny", SETTINGS[family], LOSSES.get(family, {}))
    return make_job(family, VARIANTS[family], config, faces=4 * steps, batch_size=4, **changes)


def trainer_of(job, faces, out, **options):
    out.mkdir(exist_ok=True)
    return Trainer(fabric.Fabric(accelerator="cpu", devices=1), job, faces, out, **options)


# data


def test_validation_ids_are_half_loose_and_no_test_face():
    ids = validation_ids()
    groups = [name.partition("/")[0] for name in ids]
    assert len(set(ids)) == 400 and groups.count("loose") == groups.count("tight") == 200
    loose = [int(name[6:-4]) for name in ids if name.startswith("loose")]
    assert min(loose) >= 182_640 and max(loose) <= 201_596


def test_faces_are_decoded_once_and_keep_their_pixels(archive, faces):
    again = load_faces(archive[0], archive[1], archive[0].parent / "cache")
    assert again.ids == faces.ids and len(faces) == 12
    assert np.array_equal(again.images[3], faces.images[3])
    assert np.isnan(faces.landmarks[faces.ids.index("loose/00011.png")]).all()
    rest = faces.without(faces.ids[:5])
    assert rest.ids == faces.ids[5:] and np.array_equal(rest.images[0], faces.images[5])
    with pytest.raises(InputError, match="not in the archive"):
        faces.subset(["tight/99999.png"])


def test_bad_archives_are_explained(tmp_path, archive):
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match="cannot be read as a zip"):
        load_faces(tmp_path / "x.zip", None, tmp_path)
    with pytest.raises(InputError, match="is no landmark file"):
        load_faces(archive[0], archive[0], tmp_path)


def test_eye_distances_span_what_the_test_sets_have(faces):
    """0.30 to 0.50 of the width, as far as the zoom reaches from what a file shows."""
    view = View(128, (0.30, 0.50), (0.85, 1.30), 0.0)
    for index, name in enumerate(faces.ids):
        own = eye_distance(faces.landmarks[index])
        if math.isnan(own):
            continue
        drawn = [draw(faces, index, view, draw_generator(0, n)) for n in range(60)]
        seen = [eye_distance(d.landmarks) for d in drawn]
        low, high = (0.30, 0.416) if name.startswith("loose") else (0.374, 0.50)
        assert own == pytest.approx(0.32 if name.startswith("loose") else 0.44, abs=1e-3)
        assert low - 2e-3 < min(seen) < low + 0.02 and high - 0.02 < max(seen) < high + 2e-3


def test_a_drawn_face_follows_its_landmarks(faces):
    """A spot painted on one eye corner is found where the landmarks say, mirrored or not."""
    view = View(128, (0.30, 0.50), (0.85, 1.30), 0.1)
    points = faces.landmarks[0]
    y, x = np.mgrid[0:128, 0:128] + 0.5
    spot = np.hypot(x - 128 * points[33, 0], y - 128 * points[33, 1]) < 3
    painted = Faces(
        ("tight/0.png",), [(255 * spot)[..., None].repeat(3, 2).astype(np.uint8)], points[None]
    )
    mirrored = 0
    for number in range(20):
        drawn = draw(painted, 0, view, draw_generator(1, number))
        light = drawn.hr[..., 0].astype(float)
        centre = np.array([(light * x).sum(), (light * y).sum()]) / light.sum() / 128
        gaps = [np.abs(drawn.landmarks[point] - centre).max() for point in (33, 263)]
        assert min(gaps) < 0.01
        mirrored += gaps[1] < gaps[0]
    assert 4 < mirrored < 16


def test_the_whole_image_is_left_alone(faces):
    assert np.array_equal(window(faces.images[0], 0.0, 0.0, 1.0, 128), faces.images[0])
    larger = window(faces.images[0], -0.1, -0.1, 1.2, 128)
    inner = window(faces.images[0], 0.1, 0.2, 0.5, 128)
    assert larger.shape == inner.shape == (128, 128, 3)


def test_lr_is_the_protocols(faces):
    batch = Batches(faces, job_of("affectsrnet"), 8).at(0)
    hr = (batch.hr * 255).round().byte().permute(0, 2, 3, 1).numpy()
    expected = [resize(face, 16, 16, "pil-bicubic") for face in hr]
    found = (batch.lr * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(found, np.stack(expected))


def test_two_processes_draw_what_one_does(faces):
    job = job_of("wnet")
    whole = Batches(faces, job, 8).at(5)
    parts = [Batches(faces, job, 8, (rank, 2)).at(5) for rank in (0, 1)]
    for name in ("lr", "hr", "landmarks", "boxes", "regions"):
        halves = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(halves.nan_to_num(), getattr(whole, name).nan_to_num())
    assert {len(set(order(0, e, 12).tolist())) for e in (0, 1)} == {12}
    assert order(0, 0, 12).tolist() != order(0, 1, 12).tolist()


def test_many_scales_cost_no_more_than_the_largest(faces):
    batches = Batches(faces, job_of("sadn"), 8)
    seen = [batches.at(step) for step in range(30)]
    assert all(batch.lr.shape[-1] == 16 for batch in seen)
    sides = {batch.hr.shape[-1] for batch in seen}
    assert 128 in sides and min(sides) < 64 and len(sides) > 5
    assert 5 < sum(batch.whole for batch in seen) < 25


# losses


def small_batch(rng, n=3, size=32) -> Batch:
    hr = torch.from_numpy(rng.random((n, 3, size, size), np.float32))
    points = torch.from_numpy(np.stack([face_points(rng) for _ in range(n)])).float()
    points[-1] = math.nan
    boxes = torch.tensor([[0.2, 0.2, 0.8, 0.8]] * n)
    regions = torch.zeros((n, 8, 8), dtype=torch.long)
    return Batch(torch.rand(n, 3, 4, 4), hr, points, boxes, regions)


def test_graph_losses_count_known_faces_in_eye_distances(rng):
    batch, edges = small_batch(rng), torch.tensor(contour_edges())
    assert [float(v) for v in graph_losses(batch.landmarks, batch.landmarks, edges)] == [0.0, 0.0]
    moved = batch.landmarks.clone()
    moved[0] += 0.1  # a shift changes no length
    moved[2] = 5.0  # not known, so it does not count
    eyes = (batch.landmarks[0, 33] - batch.landmarks[0, 263]).norm()
    positions, lengths = graph_losses(moved, batch.landmarks, edges)
    assert float(positions) == pytest.approx(0.1 / float(eyes) / 2, rel=1e-4)
    assert float(lengths) == pytest.approx(0.0, abs=1e-6)
    unknown = torch.full_like(batch.landmarks, math.nan)
    predicted = torch.rand_like(moved).requires_grad_()
    nothing = graph_losses(predicted, unknown, edges)
    (nothing[0] + nothing[1]).backward()
    assert float(nothing[0].detach()) == 0.0 and bool((predicted.grad == 0).all())


def test_region_weights_keep_the_size_of_the_pixel_loss(rng):
    batch = small_batch(rng)
    sr = batch.hr + 0.1
    assert float(pixel_loss(sr, batch)) == pytest.approx(0.1, rel=1e-3)
    batch.regions[:, :4] = 3  # eyes weigh more than background
    half = batch.hr.clone()
    half[:, :, :16] += 0.1
    assert float(pixel_loss(half, batch)) > 0.06
    plain = replace(batch, regions=None)
    assert float(pixel_loss(half, plain)) == pytest.approx(0.05, rel=1e-3)


def test_unknown_regions_do_not_count():
    logits = torch.randn(2, 7, 4, 4, requires_grad=True)
    regions = torch.full((2, 4, 4), IGNORED)
    assert float(parsing_loss(logits, regions).detach()) == 0.0
    regions[0] = 2
    expected = torch.nn.functional.cross_entropy(logits[:1], regions[:1])
    assert torch.allclose(parsing_loss(logits, regions), expected)


def test_cut_gives_the_box(rng):
    image = torch.linspace(0, 1, 112)[None, None, None].expand(1, 1, 112, -1)
    boxes = torch.tensor([[0.25, 0.0, 0.75, 0.5]])
    out = cut(image, boxes)
    assert out.shape == (1, 1, 112, 112)
    assert float(out[..., 0].mean()) == pytest.approx(0.25, abs=0.01)
    assert float(out[..., -1].mean()) == pytest.approx(0.75, abs=0.01)
    assert torch.allclose(cut(image, torch.tensor([[0.0, 0.0, 1.0, 1.0]])), image, atol=1e-5)


@pytest.mark.parametrize("kind", EMOTION_KINDS)
def test_emotion_loss_is_zero_for_the_same_face_and_pulls_towards_it(rng, kind):
    batch, judge = small_batch(rng), TinyJudge()
    draw_ = torch.Generator().manual_seed(0)
    assert float(emotion_loss(judge, batch.hr, batch, kind, draw_)) == pytest.approx(0, abs=1e-5)
    sr = batch.hr.flip(3).clone().requires_grad_()
    losses = []
    for _ in range(40):
        loss = emotion_loss(judge, sr, batch, kind, torch.Generator().manual_seed(1))
        losses.append(float(loss.detach()))
        (grad,) = torch.autograd.grad(loss, sr)
        sr = (sr - 0.5 * grad).detach().requires_grad_()
    assert losses[-1] < 0.5 * losses[0]


def test_views_of_a_face_differ_in_size_colour_and_side():
    left = torch.zeros(2, 3, 112, 112)
    left[:, 0, :, :56] = 0.9
    rng = torch.Generator().manual_seed(0)
    views = [varied(torch.stack([left, left]), rng) for _ in range(40)]
    assert all(torch.equal(view[0], view[1]) for view in views)
    assert {view.shape[1:3] for view in views} == {(2, 3)}
    assert 48 <= min(v.shape[-1] for v in views) < max(v.shape[-1] for v in views) <= 112
    grey = sum(torch.equal(v[:, :, 0], v[:, :, 1]) for v in views)
    mirrored = sum(bool(v[0, 0, 0, 0, 0] < v[0, 0, 0, 0, -1]) for v in views)
    assert 10 < grey < 30 and 10 < mirrored < 30


def test_perceptual_and_style_compare_features(rng):
    torch.manual_seed(0)
    vgg = FirstStages()
    hr = torch.from_numpy(rng.random((2, 3, 64, 64), np.float32))
    assert [v.item() for v in feature_losses(vgg, hr, hr)] == [0.0, 0.0]
    sr = (0.5 * hr).requires_grad_()
    perceptual, style = feature_losses(vgg, sr, hr)
    (perceptual + style).backward()
    assert min(float(perceptual.detach()), float(style.detach())) > 0
    assert bool(sr.grad.abs().sum() > 0)


def test_terms_of_weight_zero_are_not_computed(rng):
    batch = replace(small_batch(rng), regions=None)
    sr = torch.rand_like(batch.hr).requires_grad_()
    points = (torch.rand(3, 478, 2), torch.rand(3, 478, 2))
    generator = torch.Generator().manual_seed(0)
    total, terms = Objective(LossWeights())(Details(sr, points), batch, generator)
    assert set(terms) == {"pixel"} and float(total.detach()) == pytest.approx(terms["pixel"])
    weights = LossWeights(pixel=0.5, landmarks=2.0, edges=1.0)
    total, terms = Objective(weights)(Details(sr, points), batch, generator)
    expected = 0.5 * terms["pixel"] + 2.0 * terms["landmarks"] + terms["edges"]
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)


# the loop


def test_reduced_precision_reaches_the_network(faces, tmp_path):
    """Fabric applies its precision to `forward` alone, and training calls `details`."""
    job = job_of("rrdbnet", 1, precision="bf16-mixed")
    trainer = Trainer(
        fabric.Fabric(accelerator="cpu", devices=1, precision=job.precision), job, faces, tmp_path
    )
    seen = []
    trainer.network.conv_last.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    trainer.run()
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}


def test_positions_keep_their_bits_in_reduced_precision():
    network = build_network("affectsrnet", SETTINGS["affectsrnet"])
    with torch.autocast("cpu", torch.bfloat16):
        out = network.details(torch.rand(2, 3, 16, 16))
    assert {out.sr.dtype, *(points.dtype for points in out.landmarks)} == {torch.float32}


def test_rare_expressions_are_drawn_more_often(faces):
    judge = TinyJudge()
    even, balanced = (draw_weights(faces, judge, balance) for balance in (0.0, 1.0))
    assert np.allclose(even, 1 / len(faces))
    assert balanced.sum() == pytest.approx(1.0) and balanced.max() > 1.2 / len(faces)
    chances = np.zeros(len(faces))
    chances[[2, 5]] = 0.25, 0.75
    job = replace(job_of("rrdbnet", 50), plain_share=1.0)
    batches = Batches(faces, job, 8, chances=chances)
    drawn = torch.cat([batches.at(step).hr for step in range(50)]).mean((1, 2, 3))
    often, seldom = (float((faces.images[i] / 255.0).mean()) for i in (5, 2))
    counts = [int((drawn - mean).abs().lt(1e-4).sum()) for mean in (often, seldom)]
    assert sum(counts) == 200 and 130 <= counts[0] <= 170
    again = Batches(faces, job, 8, chances=chances)
    assert torch.equal(again.at(7).hr, batches.at(7).hr)


def test_a_backbone_starts_from_published_weights(faces, tmp_path):
    small = {"features": 8, "growth": 4, "blocks": 1, "scale": 4}
    torch.manual_seed(1)
    start = build_network("rrdbnet", small).state_dict()
    config = Config("affectsrnet", "tiny", {**PAPER, "backbone": small})
    job = make_job("affectsrnet-x4", VARIANTS["affectsrnet-x4"], config, faces=4, batch_size=4)
    trainer = trainer_of(job, faces, tmp_path / "run", extra={"before": from_published(ANIME)})
    trainer.start_backbone(start)
    for network in (trainer.network, trainer.ema):
        assert all(torch.equal(v, start[k]) for k, v in network.backbone.state_dict().items())
    header = trainer.header()
    assert header.trained_against == ("vgg19",) and header.trained_on[0] == "unpublished-drawings"
    with pytest.raises(InputError, match="wnet: its RRDBNet is not of these weights' size"):
        trainer_of(job_of("wnet"), faces, tmp_path / "other").start_backbone(start)


@pytest.mark.parametrize(
    "family",
    [
        "affectsrnet",  # dropout, batch normalisation
        "fadn",  # Gumbel noise
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("rrdbnet", "sadn", "wnet")),
    ],
)
def test_ten_steps_and_ten_after_a_stop_are_twenty_bit_for_bit(family, faces, tmp_path):
    job = job_of(family, 20, size=64)
    whole = trainer_of(job, faces, tmp_path / "whole")
    whole.run()
    first = trainer_of(job, faces, tmp_path / "parts", pace=Pace(stop_after=10))
    first.run()
    assert not (tmp_path / "parts/done.json").exists()
    second = trainer_of(job, faces, tmp_path / "parts")
    second.resume()
    assert second.position.step == 10
    torch.manual_seed(999)  # torch's global state must not matter
    second.run()
    one, other = (read_all(tmp_path / name) for name in ("whole", "parts"))
    for part in ("network", "ema"):
        assert all(torch.equal(one[part][k], other[part][k]) for k in one[part])
    moments = [
        [m["exp_avg_sq"] for m in run["optimizer"]["state"].values()] for run in (one, other)
    ]
    assert moments[0] and all(map(torch.equal, *moments))
    halfway = first.network.state_dict()
    assert not all(torch.equal(halfway[k], v) for k, v in one["network"].items())


def read_all(folder) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


@pytest.mark.parametrize(("family", "falls"), [("rrdbnet", "pixel"), ("wnet", "parsing")])
def test_training_lowers_the_loss_and_the_average_follows(faces, tmp_path, family, falls):
    job = replace(job_of(family, 40), plain_share=1.0, size=64)
    stage = replace(job.stage, learning_rate=3e-3, warmup_steps=5)
    steps = []
    trainer = trainer_of(
        replace(job, stage=stage),
        faces,
        tmp_path / "run",
        pace=Pace(measure_faces=40),
        advance=lambda *step: steps.append(step),
    )
    trainer.run()
    assert steps == [(f"{family}, base", 4 * step, 160) for step in range(1, 41)]
    rows = trainer.position.rows
    assert rows[-1][f"loss_{falls}"] < 0.6 * rows[0][f"loss_{falls}"]
    header = read_header(tmp_path / "run/weights.safetensors")
    assert (header.network, header.faces, header.trained_on) == (family, 160, TRAINED_ON)
    log = (tmp_path / "run/log.csv").read_text().splitlines()
    assert len(log) == 1 + len(rows) and log[0].startswith("faces,seconds,")


def test_another_seed_is_another_run(faces, tmp_path):
    runs = [trainer_of(job_of("rrdbnet", 2, seed=s), faces, tmp_path / str(s)) for s in (0, 1)]
    for run in runs:
        run.run()
    one, other = (run.network.state_dict()["conv_first.weight"] for run in runs)
    assert not torch.equal(one, other)


def test_a_checkpoint_of_another_job_is_refused(faces, tmp_path):
    trainer_of(job_of("rrdbnet", 4), faces, tmp_path / "run", pace=Pace(stop_after=1)).run()
    other = trainer_of(job_of("rrdbnet", 4, seed=1), faces, tmp_path / "run")
    with pytest.raises(InputError, match=r"of another job \(seed differ\)"):
        other.resume()
    other = trainer_of(job_of("fadn", 4), faces, tmp_path / "run")
    with pytest.raises(InputError, match="family"):
        other.resume()
    content = (tmp_path / "run/checkpoint.pt").read_bytes()
    (tmp_path / "run/checkpoint.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"checkpoint\.pt: is damaged"):
        trainer_of(job_of("rrdbnet", 4), faces, tmp_path / "run").resume()


def test_a_loss_that_is_not_finite_stops_the_run(faces, tmp_path):
    trainer = trainer_of(job_of("rrdbnet", 4), faces, tmp_path / "run", pace=Pace(stop_after=2))
    trainer.run()
    with torch.no_grad():
        trainer.network.conv_last.bias.fill_(math.nan)
    trainer.pace = Pace()
    with pytest.raises(TrainingError, match="not finite after 8 faces"):
        trainer.run()
    state = read_all(tmp_path / "run")  # the checkpoint from before is still there
    assert bool(torch.isfinite(state["network"]["conv_last.bias"]).all())


def test_learning_rate_warms_up_and_falls():
    stage = Stage(100, 1e-3, 1e-5, 10, LossWeights())
    rates = [learning_rate(stage, step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) < 1e-3
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[100] == pytest.approx(1e-5)


def test_the_budget_is_the_same_for_every_ranked_row():
    assert {scale: sum(faces.values()) for scale, faces in FACES.items()} == {8: 60_000, 4: 20_000}
    seen = {}
    for entry in schedule.queue():
        if VARIANTS[entry.variant].ranked and not entry.folder.startswith("ablations"):
            assert "--faces" not in entry.arguments
            seen.setdefault(entry.variant, set()).add(entry.folder.partition("/")[2])
    assert set(seen) == {name for name, v in VARIANTS.items() if v.ranked}
    for name in schedule.SEEDED:
        assert {"last-0", "last-1", "last-2"} <= seen[name]


def test_only_the_emotion_variants_are_trained_against_a_judge():
    for name, variant in VARIANTS.items():
        config = Config(variant.family, "tiny", SETTINGS[variant.family])
        for stage in ("base", "last"):
            weights = make_job(name, variant, config, stage).stage.weights
            assert (weights.emotion > 0) == (variant.emotion and stage == "last")
            assert (weights.perceptual > 0) == (stage == "last")


def test_last_stage_starts_from_the_base_and_declares_what_it_used(archive, faces, tmp_path):
    base = job_of("affectsrnet", 2)
    trainer_of(base, faces, tmp_path / "base").run()
    network, extra = read_previous(tmp_path / "base")
    last = trainer_of(
        job_of("affectsrnet", 2, stage_name="last", emotion_weight=0.01),
        faces,
        tmp_path / "last",
        vgg=FirstStages().eval().requires_grad_(False),
        extra=extra,
    )
    last.start_from(network)
    before = {k: v.clone() for k, v in last.network.state_dict().items()}
    assert all(torch.equal(before[k], v) for k, v in network.items())
    last.run()
    header = read_header(tmp_path / "last/weights.safetensors")
    assert header.trained_against == ("vgg16", "face-api") and header.faces == 16
    assert {"loss_emotion", "loss_perceptual", "loss_style"} <= set(last.position.rows[-1])


def test_validation_uses_a_judge_that_no_loss_uses(faces):
    validation = Validation(faces, 8, 128)

    class Answer(torch.nn.Module):
        def details(self, lr):
            points = torch.from_numpy(faces.landmarks).nan_to_num()
            return Details(validation.hr.float() / 255, landmarks=(points + 1.0, points))

    class Blurred(torch.nn.Module):
        def details(self, lr):
            return Details(torch.nn.functional.interpolate(lr, scale_factor=8.0, mode="bilinear"))

    figures = validation.measure(Answer(), torch.device("cpu"))
    assert figures["landmarks"] == 0.0
    assert figures["ssim"] == pytest.approx(1.0)
    assert figures["ecm_macro_mini-xception"] == pytest.approx(0.0, abs=1e-6)
    blurred = validation.measure(Blurred(), torch.device("cpu"))
    assert blurred["psnr"] < 60 and blurred["ssim"] < 1 and "landmarks" not in blurred
