"""README and docs as the tests see them: their blocks, and a folder in which their commands run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT
from tiny_models import write_esrgan

from affectbench.datasets import load_dataset
from affectbench.datasets.demo import BUNDLED
from affectbench.report.leaderboard import file_names

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block; `reason` says why the page lets it stand without running it."""

    language: str
    text: str
    reason: str

    @property
    def commands(self) -> list[str]:
        """The lines of a block of commands."""
        if self.language:
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip()]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in their order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(m["language"], m["text"], m["reason"] or "") for m in found]


def arguments(command: str) -> list[str]:
    """What stands behind `affectbench`."""
    return shlex.split(command, comments=True)[1:]


def write_workshop(folder: Path) -> Path:
    """The files that the pages speak of, with the two demo faces for all faces."""
    faces = dict(zip(load_dataset("demo").ids, ("1", "2"), strict=True))
    names = {
        "faces/celeba": ("201600", "201601"),
        "faces/ffhq": ("000", "001"),
        "faces/helen": ("one", "two"),
        "faces/mine": tuple(faces),
        "faces/studio/anna": ("01", "02"),
        "originals": tuple(faces),
        "ground_truth": tuple(faces),
    }
    for place, stems in names.items():
        (folder / place).mkdir(parents=True)
        for source, stem in zip(faces, stems, strict=True):
            pixels = (BUNDLED / f"{source}.png").read_bytes()
            (folder / place / f"{stem}.png").write_bytes(pixels)
    for place in ("my_results", "paper_results"):
        _write_results(folder / place)
    write_esrgan(folder / "x8.pth", 8)
    (folder / "my_model.py").write_text(
        "import torch\n\n\ndef build(scale):\n    return torch.nn.Upsample(scale_factor=scale)\n"
    )
    (folder / "baselines").symlink_to(ROOT / "baselines")
    link_board(folder / "leaderboards")
    return folder


def link_board(root: Path, name: str = "helen-x8") -> None:
    """The smallest of the committed leaderboards as the only one of the folder `root`."""
    (root / "boards").mkdir(parents=True)
    (root / "boards" / name).symlink_to(ROOT / "leaderboards" / "boards" / name)
    for file in (*file_names(name), "published.csv"):
        (root / file).symlink_to(ROOT / "leaderboards" / file)


def _write_results(folder: Path) -> None:
    from PIL import Image

    folder.mkdir()
    for path in BUNDLED.glob("*.png"):
        with Image.open(path) as hr:
            small = hr.resize((hr.width // 8, hr.height // 8), Image.Resampling.BICUBIC)
            small.resize(hr.size, Image.Resampling.BICUBIC).save(folder / path.name)


def write_distribution(page: Path, folder: Path) -> bool:
    """The plug-in that a page shows, as files of a distribution; False if it shows none."""
    settings = [b.text for b in blocks(page) if b.language == "toml"]
    shown = re.findall(r"^```\{literalinclude\} (\S+)$", page.read_text(), re.MULTILINE)
    if not settings or not shown:
        return False
    folder.mkdir()
    (folder / "pyproject.toml").write_text(settings[0])
    for name in shown:
        (folder / Path(name).name).write_text((page.parent / name).read_text())
    return True


_NUMBER = re.compile(r"-?\d+\.\d+")


def differences(shown: str, printed: str) -> list[str]:
    """Where a printed text is not the shown one, word for word; lines may be broken elsewhere.

    The last digit of a number may be off by one: machines differ in the digits behind it.
    """
    ours, theirs = shown.split(), printed.split()
    if len(ours) != len(theirs):
        return [f"{len(ours)} words are shown, {len(theirs)} are printed:\n{printed}"]
    pairs = zip(ours, theirs, strict=True)
    return [f"{a!r} is shown, {b!r} is printed" for a, b in pairs if not _same(a, b)]


def _same(shown: str, printed: str) -> bool:
    if _NUMBER.sub("#", shown) != _NUMBER.sub("#", printed):
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(
        abs(float(a) - float(b)) <= 1.01 * 10.0 ** -len(a.partition(".")[2]) for a, b in pairs
    )
