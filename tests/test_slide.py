"""`affectbench report --png`: the main figure for slides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_runs import write_run
from run_writer import RunWriter, psnr_columns

from affectbench.cli.main import main
from affectbench.errors import InputError, MissingExtraError
from affectbench.report.figures import slide
from affectbench.report.figures.slide import write_slide
from affectbench.results.runs import load_run
from affectbench.results.views import build_views


@pytest.mark.parametrize("datasets", [("celeba",), ("celeba", "helen")])
def test_a_slide_is_wide_and_not_empty(tmp_path: Path, datasets: tuple[str, ...]) -> None:
    run = load_run(write_run(tmp_path / "run", n=12, images=0, datasets=datasets))
    path = tmp_path / "deep" / "slide.png"
    write_slide(build_views(run), path)
    with Image.open(path) as image:
        assert image.size == (2560, 1440)
        pixels = np.asarray(image.convert("L"))
    assert pixels[0].min() == 255  # a white margin
    assert 0.005 < (pixels < 200).mean() < 0.3
    before = path.read_bytes()
    write_slide(build_views(run), path)
    assert path.read_bytes() == before


def test_the_command_says_where_the_slide_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from affectbench.report.html import sections

    monkeypatch.setattr(sections, "can_draw", lambda: False)
    folder = write_run(tmp_path / "run", n=8, images=0, judges=("mini-xception",))
    path = tmp_path / "slide.png"
    assert main(["report", str(folder), "--no-faces", "--png", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(folder / "report.html"), str(path)]
    assert f"--png {path}" in (folder / "report.html").read_text("utf-8")


def test_a_run_without_ecm_has_no_slide(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = RunWriter(tmp_path)
    writer.add("a", "psnr", psnr_columns(list(rng.uniform(20, 30, 12))))
    folder = writer.finish(["psnr"], versus="a")
    with pytest.raises(InputError, match=r"--png: .* --metrics ecm,psnr"):
        write_slide(build_views(load_run(folder)), tmp_path / "slide.png")
    assert main(["report", str(folder), "--png", str(tmp_path / "slide.png")]) == 2
    assert not (tmp_path / "slide.png").exists()
    assert not (folder / "report.html").exists()


def test_a_slide_needs_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide, "can_draw", lambda: False)
    with pytest.raises(MissingExtraError, match="plots"):
        write_slide([], tmp_path / "slide.png")
