"""Which results a run reuses: those of the same model, and of no other."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import UP

from affectbench import compare
from affectbench.adapters import parse_model
from affectbench.adapters.contract import check_contract
from affectbench.adapters.opened import open_model
from affectbench.api import Comparison
from affectbench.cli.main import main
from affectbench.run.plan import RunRequest, make_plan

BIG = UP.format(4)


@pytest.fixture
def run(tmp_path: Path, toy_faces: Path):
    """Compare a model of this source; gives the PSNR, the cells computed and the run."""

    def again(body: str, options: str = "", out: str = "out", **more: object):
        path = tmp_path / "model.py"
        path.write_text(f"import torch\n{body}\n")
        result = compare(
            f"python:{path}:build@name=M{options}",
            ["toy"],
            data={"toy": toy_faces},
            hr_size=64,
            scale=4,
            metrics=["psnr"],
            batch_size=2,
            out=tmp_path / out,
            **more,
        )
        return value_of(result), result.outcome.computed, result

    return again


def value_of(result: Comparison) -> float:
    """The PSNR of the row M."""
    return float(result.table.set_index("model").loc["M", "psnr"])


def record_of(result: Comparison) -> dict[str, object]:
    """What the record says of the model M."""
    return dict(next(r.model for r in result.run.records if r.row == "M"))


def test_an_unchanged_model_is_reused(run) -> None:
    body = f"def build(scale): return lambda x: {BIG} * 0.9"
    first, computed, result = run(body)
    assert computed > 0
    assert record_of(result)["revision_from"] == "1 source file"
    assert record_of(result)["revision_lacks"] == ""
    assert run(body)[:2] == (first, 0)
    changed, computed, _ = run(body.replace("0.9", "0.5"))
    assert changed != first and computed > 0


def test_weights_of_the_same_file_name_are_another_model(run, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    body = f"""
from safetensors.torch import load_file
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(()))
    def forward(self, x): return {BIG} * self.gain
def build():
    net = Net()
    net.load_state_dict(load_file({str(weights)!r}))
    return net
"""
    found = []
    for gain in (1.0, 0.5, 0.5, 1.0):
        save_file({"gain": torch.tensor(gain)}, weights)
        found.append(run(body)[:2])
    (one, _), (half, computed), (again, reused), (back, kept) = found
    assert computed > 0 and half != one
    assert (again, reused) == (half, 0)
    assert (back, kept) == (one, 0)  # the cell of the first weights is still there


UNSURE = {
    "counter": f"N = [0]\ndef build():\n    def f(x):\n        N[0] += 1\n        return {BIG}\n"
    "    return f",
    "time": f"import time\ndef build(): return lambda x: {BIG} + 0 * time.time()",
    "random": f"def build(): return lambda x: {BIG} + 0 * torch.rand(())",
}


@pytest.mark.parametrize("what", UNSURE)
def test_what_is_not_known_is_computed_again_and_says_so(run, tmp_path, what: str) -> None:
    notes: list[str] = []
    _, first, _ = run(UNSURE[what])
    _, again, result = run(UNSURE[what], note=notes.append)
    anchors = again < first
    assert again > 0 and anchors
    lacks = record_of(result)["revision_lacks"]
    assert lacks
    assert any(str(lacks) in note for note in notes)
    table = (tmp_path / "out" / "table.md").read_text()
    assert "M is computed again in every run" in table and "@revision=TEXT" in table
    run(UNSURE[what], "@revision=1")
    assert run(UNSURE[what], "@revision=1")[1] == 0
    assert "computed again" not in (tmp_path / "out" / "table.md").read_text()


def test_a_trial_leaves_no_trace_in_the_results(run) -> None:
    """The first six calls are those of the run: four batches, and two faces of the first alone."""
    body = (
        "N = [0]\ndef build():\n    def f(x):\n        N[0] += 1\n        return {0}\n    return f"
    )
    counted = body.format(f"{BIG} * (1 if N[0] <= 6 else 0)")
    assert run(counted, out="a")[0] == run(body.format(BIG), out="b")[0]


def test_what_only_some_faces_show_is_seen_in_the_run(run, tmp_path: Path) -> None:
    """The trial face is no face of the set, so the file is read for the first time in the run."""
    gain = tmp_path / "g.txt"
    gain.write_text("1")
    body = f"""
def build():
    def f(x):
        ramp = torch.linspace(0, 1, x[0].numel()).reshape(x[0].shape)
        trial = len(x) == 1 and torch.equal(x[0], ramp)
        return {BIG} * (1 if trial else float(open({str(gain)!r}).read()))
    return f
"""
    first, _, result = run(body)
    assert "reads g.txt" in str(record_of(result)["revision_lacks"])
    gain.write_text("0.5")
    second, computed, _ = run(body)
    assert computed > 0 and second != first


def test_unfinished_batches_of_a_model_that_is_not_known_are_dropped(run, tmp_path: Path) -> None:
    body = UNSURE["time"]
    first, _, result = run(body)
    cell = next(r.id for r in result.run.records if r.row == "M")
    for path in (tmp_path / "out" / "records").rglob(f"*{cell}.json"):
        path.unlink()
    partial = tmp_path / "out" / ".partial" / f"{cell}-b2-t{torch.get_num_threads()}"
    partial.mkdir(parents=True)
    (partial / "000000.json").write_text(json.dumps({"failed": [], "seconds": 1, "faces": 0}))
    assert run(body)[0] == first


def test_a_model_that_changes_before_it_is_used_again_fails(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"import torch\ndef build(): return lambda x: {BIG}")
    opened = open_model(parse_model(f"python:{path}:build"), 4)
    arrived = pickle.loads(pickle.dumps(opened))
    assert arrived.kept is None
    cpu = torch.device("cpu")
    assert opened.load(cpu).spec == arrived.load(cpu).spec == opened.spec
    path.write_text(f"import torch\ndef build(): return lambda x: {BIG} * 0.5")
    with pytest.raises(Exception, match="another model than when the run began"):
        opened.load(cpu)


def test_a_model_is_built_once(tmp_path: Path, toy_faces: Path) -> None:
    path, log = tmp_path / "model.py", tmp_path / "log"
    path.write_text(
        f"import torch\ndef build():\n    open({str(log)!r}, 'a').write('.')\n"
        f"    return lambda x: {BIG}"
    )
    arguments = ["compare", "--models", f"python:{path}:build", "--datasets", "toy", "--data"]
    arguments += [f"toy={toy_faces}", "--hr-size", "64", "--scale", "4", "--metrics", "psnr"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert log.read_text() == "."


def test_plans_can_be_pickled(tmp_path: Path, toy_faces: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"import torch\ndef build(): return lambda x: {BIG}")
    request = RunRequest((parse_model(f"python:{path}:build"),), metrics=("psnr",))
    (plan,) = make_plan(request, lambda _text: None)
    again = pickle.loads(pickle.dumps(plan.cells))
    assert [cell.id for cell in again] == [cell.id for cell in plan.cells]


def test_check_says_what_it_checked(tmp_path: Path) -> None:
    path = tmp_path / "model.py"

    def finding(body: str, options: str = ""):
        path.write_text(f"import torch\n{body}")
        request = parse_model(f"python:{path}:build{options}")
        return {f.name: f for f in check_contract(request, 4)}["revision"]

    whole = finding(f"def build(): return lambda x: {BIG}")
    assert whole.ok and whole.detail == "the same when it is loaded again; made from 1 source file"
    body = f"import time\ndef build(): return lambda x: {BIG} + 0 * time.time()"
    unsure = finding(body)
    assert not unsure.ok and "uses time.time" in unsure.detail
    assert finding(body, "@revision=mine").detail.endswith("made from @revision=mine")
    chance = finding(
        f"def build():\n    s = torch.Generator().seed()\n    return lambda x: {BIG} * (s % 1009)"
    )
    assert not chance.ok and "when it is loaded again" in chance.detail
