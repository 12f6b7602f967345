"""Judges that are modules or functions of the caller's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from affectbench import (
    EmotionConsistency,
    compare,
    emotion_consistency,
    emotion_consistency_loss,
    load_judge,
)
from affectbench.errors import InputError


class Bright(nn.Module):
    """Three classes, by the means of the colours."""

    def __init__(self, by: float = 5.0) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))
        self.drop = nn.Dropout(0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.by * x.mean((2, 3)))


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (12, 3, 40, 40)
    return tuple(torch.from_numpy(rng.integers(0, 256, shape, np.uint8)) for _ in "ab")  # type: ignore[return-value]


def test_a_module_judges(pair: Any) -> None:
    net = Bright().train()
    found = emotion_consistency(*pair, judge=net, framing="whole")
    assert found.judge == "Bright"
    assert float(found) > 0
    assert float(emotion_consistency(pair[1], pair[1], judge=net)) == 0  # dropout is off
    assert net.training and net.by.requires_grad
    assert set(found.to_frame().label_hr) <= {"class 0", "class 1", "class 2"}
    p = torch.softmax(5.0 * (pair[1].float() / 255).mean((2, 3)), 1)
    assert found.columns["p_class 1"] == pytest.approx(p[:, 1].numpy(), abs=1e-6)


def test_a_function_judges(pair: Any) -> None:
    net = Bright().eval()
    by_function = emotion_consistency(*pair, judge=lambda x: net(x).detach())
    assert float(by_function) == float(emotion_consistency(*pair, judge=net))


def test_what_a_module_says_of_itself_is_used(pair: Any) -> None:
    class Small(nn.Module):
        spec = {  # noqa: RUF012
            "name": "mine",
            "classes": ["happy", "sad"],
            "input_size": 8,
            "colour": "grey",
            "temperature": 2.0,
        }

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1:] == (1, 8, 8)
            return torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1)

    found = emotion_consistency(*pair, judge=Small())
    assert found.judge == "mine"
    assert set(found.to_frame().label_hr) <= {"happy", "sad"}
    judge = load_judge(Small())
    white = torch.ones(1, 3, 16, 16)
    assert judge.logits(white).flatten().tolist() == pytest.approx([0.5, 0.0], abs=1e-6)


def test_streams_and_losses_take_it_too(pair: Any) -> None:
    net = Bright()
    metric = EmotionConsistency(net)
    metric.update(*pair)
    assert metric.compute()["ecm_mean"] == pytest.approx(float(emotion_consistency(*pair, net)))
    sr = (pair[0] / 255).requires_grad_()
    emotion_consistency_loss(sr, pair[1], net).backward()
    assert sr.grad is not None and sr.grad.abs().sum() > 0


def test_judges_of_other_weights_have_other_states() -> None:
    names = [EmotionConsistency(net)._sums for net in (Bright(), Bright(), Bright(6.0))]
    assert names[0] == names[1] != names[2]


def test_a_judge_is_returned_as_it_is() -> None:
    judge = load_judge("mini-xception", device="auto")
    assert load_judge(judge) is judge


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        (3, "3 is not a judge"),
        (Bright, "is not a judge"),
        (lambda x: x, r"gave \(1, 3, 64, 64\) for one face; logits \(N, K\)"),
        (lambda x: x.mean((2, 3))[:, :1], "gave 1 class"),
        (nn.Linear(9, 2), "raised RuntimeError for a face"),
        (lambda x: [1], "gave list for one face"),
    ],
)
def test_what_is_no_judge(pair: Any, judge: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        emotion_consistency(*pair, judge=judge)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"classses": "a"}, "did you mean 'classes'"),
        ({"colour": "yuv"}, "not rgb or grey"),
        ({"classes": ["a", "b"]}, "names 2 classes and gives 3 logits"),
        ("text", "a dict is needed"),
    ],
)
def test_a_spec_that_does_not_fit(spec: Any, says: str) -> None:
    net = Bright()
    net.spec = spec
    with pytest.raises(InputError, match=says):
        load_judge(net)


@pytest.mark.parametrize("judge", [Bright(), [Bright()]])
def test_a_table_needs_the_name_of_a_judge(judge: Any) -> None:
    with pytest.raises(InputError, match=r"Bright is not a name; .*python:FILE:NAME"):
        compare("bicubic", metrics="ecm", judges=judge)
