"""Weights files of strangers: whatever holds more than tensors is refused, and nothing of it runs.

Each bait makes a canary file when it is read unsafely; one test proves that the baits work.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from pickle_baits import Reduced, Stateful
from safetensors.torch import save_file

from affectbench.adapters import load_model
from affectbench.assets.untrusted import read_weights
from affectbench.errors import AffectBenchError, WeightsError


class _Marker:
    pass


def _in_zip(path: Path, canary: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1), "extra": Reduced(canary)}, path)


def _in_legacy(path: Path, canary: Path) -> None:
    torch.save({"extra": Reduced(canary)}, path, _use_new_zipfile_serialization=False)


def _in_state(path: Path, canary: Path) -> None:
    torch.save({"extra": Stateful(canary)}, path)


def _in_legacy_state(path: Path, canary: Path) -> None:
    torch.save({"extra": Stateful(canary)}, path, _use_new_zipfile_serialization=False)


def _in_plain_pickle(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps({"params": Reduced(canary)}, protocol=2))


def _in_storage(path: Path, canary: Path) -> None:
    """A torch zip whose persistent id, which names a storage, holds the bait."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            if isinstance(value, _Marker):
                return "storage", Reduced(canary), "0", "cpu", 1
            return None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump({"conv.weight": _Marker()})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", b"\0" * 4)
        archive.writestr("archive/version", "3\n")


BAITS = {
    "os.system in a zip": _in_zip,
    "os.system in the legacy format": _in_legacy,
    "__setstate__ in a zip": _in_state,
    "__setstate__ in the legacy format": _in_legacy_state,
    "os.system in a plain pickle": _in_plain_pickle,
    "os.system in a storage": _in_storage,
}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.mark.parametrize("bait", BAITS.values(), ids=BAITS.keys())
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".safetensors"])
def test_refused_and_nothing_runs(bait, suffix, tmp_path, canary):
    path = tmp_path / f"model{suffix}"
    bait(path, canary)
    with pytest.raises(WeightsError, match=r"refused|not a safetensors file"):
        load_model(f"checkpoint:{path}", scale=4)
    assert not canary.exists()


@pytest.mark.parametrize("bait", BAITS.values(), ids=BAITS.keys())
def test_the_message_names_the_file_and_the_remedy(bait, tmp_path, canary):
    path = tmp_path / "model.pth"
    bait(path, canary)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: refused: it holds more than weights (")
    assert "weights_only" not in text and "\n" not in text
    assert isinstance(caught.value, AffectBenchError) and caught.value.exit_code == 2


@pytest.mark.parametrize("bait", BAITS.values(), ids=BAITS.keys())
def test_the_baits_work(bait, tmp_path, canary):
    path = tmp_path / "model.pth"
    bait(path, canary)
    with contextlib.suppress(Exception):  # some go wrong after they have done their work
        torch.load(path, weights_only=False)
    assert canary.exists()


def test_an_environment_variable_does_not_open_the_door(tmp_path, canary, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = tmp_path / "model.pth"
    _in_zip(path, canary)
    with pytest.raises(WeightsError, match=r"more than weights \(\w+\.system\)"):
        read_weights(path)
    assert not canary.exists()


def test_a_tar_archive_is_refused_before_torch_reads_it(tmp_path, canary, monkeypatch):
    inner = tmp_path / "pickle"
    _in_plain_pickle(inner, canary)
    path = tmp_path / "model.pth"
    with tarfile.open(path, "w") as archive:
        archive.add(inner, "storages")
    monkeypatch.setattr(torch, "load", lambda *_a, **_k: pytest.fail("torch.load was reached"))
    with pytest.raises(WeightsError, match="tar archive"):
        read_weights(path)
    assert not canary.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*TorchScript:UserWarning")
def test_torchscript_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 2, 2)), str(path))
    with pytest.raises(WeightsError, match="TorchScript"):
        read_weights(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.pth", b"", "0 bytes"),
        ("model.pth", b"hello, this is no model", "damaged|refused"),
        ("model.safetensors", b"hello, this is no model", "not a safetensors file"),
        ("model.bin", b"", "weights files end in"),
    ],
)
def test_other_files_are_clear_errors(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


def test_a_truncated_file_is_a_clear_error(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="damaged"):
        read_weights(path)


def test_a_list_of_tensors_is_no_state_dict(tmp_path):
    path = tmp_path / "model.pth"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(WeightsError, match="holds a list"):
        read_weights(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_plain_weights_are_read(tmp_path, legacy):
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3)}
    torch.save(tensors, tmp_path / "m.pth", _use_new_zipfile_serialization=not legacy)
    save_file(tensors, tmp_path / "m.safetensors")
    for name in ("m.pth", "m.safetensors"):
        assert torch.equal(read_weights(tmp_path / name)["a.weight"], tensors["a.weight"])
