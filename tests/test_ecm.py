"""The definition `ecm/1` on logits, against values computed without torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from affectbench.errors import InputError
from affectbench.metrics.ecm import Parts, definition, ecm_parts, smoothed_ecm

MAXIMUM = 0.5 + math.log(2.0)


def logits_of(*rows: list[float]) -> torch.Tensor:
    """Logits whose softmax is exactly these probabilities (up to rounding; 0 becomes e^-1000)."""
    return torch.tensor(
        [[math.log(p) if p > 0 else -1000.0 for p in row] for row in rows], dtype=torch.float64
    )


def random_logits(rng: np.random.Generator, n: int = 200, scale: float = 4.0) -> torch.Tensor:
    return torch.from_numpy(rng.normal(0.0, scale, (n, 7)))


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    powers = [math.exp(x - top) for x in row]
    return [x / math.fsum(powers) for x in powers]


def by_hand(p: list[float], q: list[float], alpha: float = 0.5) -> tuple[float, float, float]:
    """(ECM, L_H, L_conf) of two probability vectors, in plain Python."""
    pairs = list(zip(p, q, strict=True))
    l_h = math.sqrt(0.5 * math.fsum((math.sqrt(a) - math.sqrt(b)) ** 2 for a, b in pairs))
    k = p.index(max(p))
    l_conf = 1.0 + abs(p[k] - q[k])
    return alpha * l_h + math.log(l_conf), l_h, l_conf


def both(a: torch.Tensor, b: torch.Tensor) -> tuple[Parts, Parts]:
    return ecm_parts(a, b), ecm_parts(b, a)


@pytest.mark.parametrize(
    ("p", "q", "l_h", "l_conf"),
    [
        # sqrt(1/2 ((1 - sqrt(1/2))^2 + 1/2)) = sqrt(1 - sqrt(1/2))
        ([0.5, 0.5, 0.0], [1.0, 0.0, 0.0], math.sqrt(1.0 - math.sqrt(0.5)), 1.5),
        ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], 1.0, 2.0),
        # sqrt(1 - sum sqrt(p q)) with 0.36 + 0.36 + 0.03
        ([0.81, 0.16, 0.03], [0.16, 0.81, 0.03], math.sqrt(1.0 - 0.75), 1.65),
        ([0.25, 0.75], [0.25, 0.75], 0.0, 1.0),
    ],
)
def test_closed_forms(p: list[float], q: list[float], l_h: float, l_conf: float) -> None:
    parts = ecm_parts(logits_of(p), logits_of(q))
    assert parts.l_h.item() == pytest.approx(l_h, abs=1e-12)
    assert parts.l_conf.item() == pytest.approx(l_conf, abs=1e-12)
    assert parts.ecm.item() == pytest.approx(0.5 * l_h + math.log(l_conf), abs=1e-12)


def test_golden_value() -> None:
    """0.5 sqrt(1 - sqrt(1/2)) + ln 1.5, computed with a calculator."""
    parts = ecm_parts(logits_of([0.5, 0.5]), logits_of([1.0, 0.0]))
    assert parts.ecm.item() == pytest.approx(0.676063, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 2.0])
def test_agrees_with_plain_python(rng: np.random.Generator, alpha: float) -> None:
    a, b = random_logits(rng), random_logits(rng)
    parts = ecm_parts(a, b, alpha)
    for i in range(len(a)):
        p, q = softmax(a[i].tolist()), softmax(b[i].tolist())
        ecm, l_h, l_conf = by_hand(p, q, alpha)
        assert parts.ecm[i].item() == pytest.approx(ecm, abs=1e-12)
        assert parts.l_h[i].item() == pytest.approx(l_h, abs=1e-12)
        assert parts.l_conf[i].item() == pytest.approx(l_conf, abs=1e-12)
        k = p.index(max(p))
        assert (parts.label_hr[i], parts.label_sr[i]) == (k, q.index(max(q)))
        assert parts.p_k[i].item() == pytest.approx(p[k], abs=1e-12)
        assert parts.q_k[i].item() == pytest.approx(q[k], abs=1e-12)


def test_distances_agree_with_numpy_and_scipy(rng: np.random.Generator) -> None:
    parts = ecm_parts(random_logits(rng), random_logits(rng))
    p, q = parts.p.numpy(), parts.q.numpy()
    hellinger = np.linalg.norm(np.sqrt(p) - np.sqrt(q), axis=1) / np.sqrt(2.0)
    np.testing.assert_allclose(parts.l_h, hellinger, rtol=0, atol=1e-12)
    np.testing.assert_allclose(parts.js, jensenshannon(p, q, axis=1) ** 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [0.1, 4.0, 50.0, 1e30])
def test_ranges_hold_without_tolerance(rng: np.random.Generator, scale: float) -> None:
    parts = ecm_parts(random_logits(rng, 2000, scale), random_logits(rng, 2000, scale))
    bounds = {"ecm": (0.0, MAXIMUM), "l_h": (0.0, 1.0), "l_conf": (1.0, 2.0)}
    bounds |= {"js": (0.0, math.log(2.0)), "p_k": (0.0, 1.0), "q_k": (0.0, 1.0)}
    for name, (low, high) in bounds.items():
        values = getattr(parts, name)
        assert values.dtype == torch.float64
        assert low <= values.min(), name
        assert values.max() <= high, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_logits_give_exactly_zero(rng: np.random.Generator, dtype: torch.dtype) -> None:
    a = torch.cat([random_logits(rng), random_logits(rng, scale=1e4)]).to(dtype)
    parts = ecm_parts(a, a.clone())
    for name in ("ecm", "l_h", "js"):
        assert torch.equal(getattr(parts, name), torch.zeros(400, dtype=torch.float64)), name
    assert torch.equal(parts.l_conf, torch.ones(400, dtype=torch.float64))


def test_one_hot_outputs_are_finite_and_reach_the_maximum() -> None:
    large = torch.finfo(torch.float32).max
    a = torch.tensor([[large, 0.0, -large], [0.0, 800.0, 0.0]])
    b = torch.tensor([[-large, large, 0.0], [0.0, 0.0, 800.0]])
    parts = ecm_parts(a, b)
    assert parts.ecm.tolist() == [MAXIMUM, MAXIMUM]
    assert parts.js.tolist() == pytest.approx([math.log(2.0)] * 2, abs=1e-15)
    for name in ("cross_entropy", "hamming"):
        assert ecm_parts(a, b, distance=name).ecm.isfinite().all()


def test_asymmetric_only_through_k(rng: np.random.Generator) -> None:
    forth, back = both(random_logits(rng, 500), random_logits(rng, 500))
    assert torch.equal(forth.l_h, back.l_h)
    torch.testing.assert_close(forth.js, back.js, rtol=0, atol=1e-15)
    same = forth.label_hr == forth.label_sr
    assert same.any()
    assert torch.equal(forth.ecm[same], back.ecm[same])
    assert (forth.ecm[~same] != back.ecm[~same]).any()


def test_rises_as_the_expression_moves_away() -> None:
    """From p towards any other expression, in a straight line, every step costs more."""
    p = np.array([0.55, 0.25, 0.2])
    for other in (1, 2):
        steps = [(1 - t) * p + t * np.eye(3)[other] for t in np.linspace(0.0, 1.0, 21)]
        hr = logits_of(*[p.tolist()] * 21)
        parts = ecm_parts(hr, logits_of(*(q.tolist() for q in steps)))
        for name in ("ecm", "l_h", "l_conf", "js"):
            assert (getattr(parts, name).diff() > 0).all(), name


def test_confidence_counts_when_gained_and_when_lost() -> None:
    hr = logits_of([0.6, 0.4], [0.6, 0.4])
    gained, lost = ecm_parts(hr, logits_of([0.8, 0.2], [0.4, 0.6])).l_conf.tolist()
    assert gained == pytest.approx(1.2, abs=1e-12)
    assert lost == pytest.approx(1.2, abs=1e-12)


def test_every_row_is_scored_alone(rng: np.random.Generator) -> None:
    a, b = random_logits(rng, 9), random_logits(rng, 9)
    alone = torch.cat([ecm_parts(a[i : i + 1], b[i : i + 1]).ecm for i in range(9)])
    assert torch.equal(ecm_parts(a, b).ecm, alone)


def test_adding_a_constant_to_the_logits_changes_nothing(rng: np.random.Generator) -> None:
    a, b = random_logits(rng), random_logits(rng)
    torch.testing.assert_close(
        ecm_parts(a + 100.0, b - 7.0).ecm, ecm_parts(a, b).ecm, rtol=0, atol=1e-12
    )


def test_cross_entropy_variant(rng: np.random.Generator) -> None:
    a, b = random_logits(rng), random_logits(rng)
    parts = ecm_parts(a, b, distance="cross_entropy")
    expected = -(parts.p.numpy() * np.log(parts.q.numpy())).sum(1)
    np.testing.assert_allclose(parts.l_h, expected, rtol=1e-12)
    torch.testing.assert_close(parts.ecm, 0.5 * parts.l_h + parts.l_conf.log())


def test_hamming_variant(rng: np.random.Generator) -> None:
    parts = ecm_parts(random_logits(rng), random_logits(rng), distance="hamming")
    assert set(parts.l_h.tolist()) == {0.0, 1.0}
    assert torch.equal(parts.l_h == 0.0, parts.label_hr == parts.label_sr)


@pytest.mark.parametrize(
    ("alpha", "distance", "name"),
    [
        (0.5, "hellinger", "ecm/1"),
        (0.3, "hellinger", "ecm/1+alpha=0.3"),
        (1, "hellinger", "ecm/1+alpha=1"),
        (0.30000001, "hellinger", "ecm/1+alpha=0.30000001"),
        (0.5, "hamming", "ecm/1+distance=hamming"),
        (10, "cross_entropy", "ecm/1+alpha=10+distance=cross_entropy"),
    ],
)
def test_definition_names(alpha: float, distance: str, name: str) -> None:
    assert definition(alpha, distance) == name


@pytest.mark.parametrize("alpha", [-0.1, math.inf, math.nan])
def test_bad_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha is"):
        ecm_parts(torch.zeros(1, 3), torch.zeros(1, 3), alpha)


def test_unknown_distance_is_refused() -> None:
    with pytest.raises(InputError, match="'euclid'; known: hellinger, cross_entropy, hamming"):
        definition(distance="euclid")


@pytest.mark.parametrize("shape", [(2, 3), (1, 4), (3,)])
def test_shapes_are_never_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="must be the same"):
        ecm_parts(torch.zeros(1, 3), torch.zeros(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_names_the_image(value: float) -> None:
    good, bad = torch.zeros(4, 3), torch.zeros(4, 3)
    bad[2, 1] = bad[3, 0] = value
    with pytest.raises(InputError, match=r"^sr: .* for image 2, 3 of the batch"):
        ecm_parts(good, bad)
    with pytest.raises(InputError, match=r"^hr: .* for image 2, 3 of the batch"):
        ecm_parts(bad, good)


def test_surrogate_is_close_to_the_definition(rng: np.random.Generator) -> None:
    a, b = random_logits(rng, 2000), random_logits(rng, 2000)
    near = a + 1e-5 * b
    for q in (b, near, a):
        exact = ecm_parts(a, q).ecm
        double = smoothed_ecm(a, q)
        assert (exact - double).abs().max() <= 0.5e-6 + 1e-12
        single = smoothed_ecm(a.float(), q.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-5)


def test_surrogate_passes_gradcheck(rng: np.random.Generator) -> None:
    a = random_logits(rng, 3, 2.0).requires_grad_()
    b = random_logits(rng, 3, 2.0).requires_grad_()
    assert torch.autograd.gradcheck(smoothed_ecm, (a, b))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_surrogate_of_equal_faces_has_gradient_zero(rng: np.random.Generator, scale: float) -> None:
    a = random_logits(rng, 50, scale).float()
    b = a.clone().requires_grad_()
    loss = smoothed_ecm(a, b)
    loss.sum().backward()
    assert torch.equal(b.grad, torch.zeros_like(b))
    assert loss.abs().max() < 1e-9


def test_surrogate_of_nearly_equal_and_one_hot_faces_has_a_finite_gradient(
    rng: np.random.Generator,
) -> None:
    a = torch.cat([random_logits(rng, 50), random_logits(rng, 50, 1e4)]).float()
    for noise in (1e-7, 1e-3, 1e3):
        b = (a + noise * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))).detach()
        b.requires_grad_()
        smoothed_ecm(a, b).sum().backward()
        assert b.grad.isfinite().all()
        assert b.grad.abs().max() < 2.0
