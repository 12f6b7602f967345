"""What `compare` returns: a short repr, a table for notebooks, per-image values, paired tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import affectbench_here, pattern
from PIL import Image

from affectbench import compare, load_comparison
from affectbench.errors import InputError, RecordError, UnknownNameError

METRICS = ["psnr", "ecm", "ssim"]
JUDGES = ["mini-xception", "face-api"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("faces")
    for i in range(8):
        Image.fromarray(pattern(i)).save(place / f"face{i}.png")
    return place


@pytest.fixture(scope="module")
def result(folder: Path) -> Any:
    models = {"<b>near</b>": "nearest", "cubic": "bicubic", "lanczos": "lanczos"}
    options = {"data": {"toy": folder}, "hr_size": 64, "metrics": METRICS, "judges": JUDGES}
    return compare(models, versus="cubic", **options)


def test_the_repr_is_short(result: Any) -> None:
    assert repr(result) == (
        "<Comparison: <b>near</b>, cubic, lanczos; on toy (8); psnr, ecm, ecm[face-api], ssim>"
    )


def test_a_long_repr_counts(folder: Path) -> None:
    many = {f"m{i}": "bicubic" for i in range(9)}
    found = repr(compare(many, data={"toy": folder}, hr_size=64, metrics="psnr", limit=2))
    assert found == "<Comparison: 9 models; on toy (2); psnr>"


def test_a_notebook_shows_a_table_and_escapes_names(result: Any) -> None:
    page = result._repr_html_()
    assert "&lt;b&gt;near&lt;/b&gt;" in page
    assert "<b>near</b>" not in page
    assert page.count("<table>") == 1
    best = result.table.loc[result.table.role == "model", "psnr"].max()
    assert f"<b>{best:.2f}</b>" in page
    assert "PSNR ↑" in page


def test_failures_are_in_both(folder: Path) -> None:
    def broken(lr: Any) -> Any:
        raise ValueError("<script>")

    found = compare([broken, "bicubic"], data={"toy": folder}, hr_size=64, metrics="psnr")
    assert repr(found).endswith("; 1 failed>")
    assert "raised ValueError: &lt;script&gt;" in found._repr_html_()


def test_per_image_has_a_line_per_row_and_face(result: Any) -> None:
    psnr = result.per_image("psnr")
    assert list(psnr.columns[:4]) == ["dataset", "role", "model", "id"]
    models = psnr[psnr.role == "model"].groupby("model").psnr
    assert (models.size() == 8).all()
    shown = result.table[result.table.role == "model"].set_index("model").psnr
    for name, mean in models.mean().items():
        assert mean == pytest.approx(shown[name])


def test_per_image_of_another_judge(result: Any) -> None:
    first, second = (result.per_image(name) for name in ("ecm", "ecm[face-api]"))
    assert {"label_hr", "label_sr", "p_k", "q_happy"} <= set(first.columns)
    assert not np.allclose(first.ecm, second.ecm)
    mine = second[(second.model == "lanczos") & (second.role == "model")]
    shown = result.table.set_index("model").loc["lanczos", "ecm[face-api]"]
    assert mine.ecm.mean() == pytest.approx(shown)


def test_compare_is_the_test_of_the_table(result: Any) -> None:
    table = result.table[result.table.role == "model"].set_index("model")
    found = result.compare("lanczos", "cubic", "psnr")
    row = table.loc["lanczos"]
    assert (found.diff, found.low, found.high) == (
        row.psnr_diff,
        row.psnr_diff_low,
        row.psnr_diff_high,
    )
    assert found.n == 8
    assert found.p <= row.psnr_p  # that of the table is corrected for two rows
    back = result.compare("cubic", "lanczos", "psnr")
    assert back.diff == pytest.approx(-found.diff)


def test_compare_says_who_is_better(result: Any) -> None:
    found = result.compare("lanczos", "<b>near</b>")
    assert found.metric == "psnr"
    assert found.diff > 0 and found.p < 0.05
    assert found.better == "lanczos"
    assert "lanczos is better" in repr(found)
    assert result.compare("<b>near</b>", "lanczos").better == "lanczos"
    same = result.compare("cubic", "cubic")
    assert (same.diff, same.better) == (0, "")


def test_compare_of_a_metric_whose_lower_is_better(result: Any) -> None:
    found = result.compare("reference", "lanczos", "ecm[face-api]")
    ecm = result.table.set_index("model")["ecm[face-api]"]
    assert found.diff == pytest.approx(ecm["reference"] - ecm["lanczos"])
    assert found.lower_is_better
    assert found.better in ("", "lanczos" if found.diff > 0 else "reference")


def test_few_faces_have_a_difference_and_no_test() -> None:
    result = compare("nearest,lanczos", metrics="psnr")
    found = result.compare("nearest", "lanczos")
    assert found.diff < 0
    assert np.isnan(found.p) and found.better == ""
    assert "fewer than 6 faces" in repr(found)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda r: r.per_image("psnrr"), "did you mean 'psnr'"),
        (lambda r: r.per_image("ecm[none]"), "there is no ecm"),
        (lambda r: r.compare("lanzcos", "cubic"), "did you mean 'lanczos'"),
        (lambda r: r.compare("lanczos", "cubic", "mae"), "there is no mae"),
        (lambda r: r.compare("lanczos", "cubic", dataset="other"), "no data set 'other'"),
    ],
)
def test_names_that_are_not_there(result: Any, ask: Any, says: str) -> None:
    with pytest.raises(UnknownNameError, match=says):
        ask(result)


def test_several_sets_are_asked_for(folder: Path) -> None:
    sets = {"one": folder, "two": folder}
    result = compare("nearest,lanczos", data=sets, hr_size=64, metrics="psnr", limit=3)
    with pytest.raises(InputError, match="say which data set: dataset='one'"):
        result.compare("nearest", "lanczos")
    assert result.compare("nearest", "lanczos", dataset="two").dataset == "two"
    assert set(result.per_image("psnr").dataset) == {"one", "two"}


def test_a_folder_of_the_command_is_loaded(folder: Path, tmp_path: Path) -> None:
    options = ["--data", f"toy={folder}", "--hr-size", 64, "--metrics", "psnr,ssim"]
    affectbench_here("compare", "--models", "nearest,lanczos", *options, "--out", tmp_path / "o")
    loaded = load_comparison(tmp_path / "o")
    written = pd.read_csv(tmp_path / "o" / "table.csv")
    shown = loaded.table.set_index("model").psnr
    assert shown[written.model].to_numpy() == pytest.approx(written.psnr.to_numpy(), rel=1e-5)
    assert loaded.per_image("ssim").ssim.notna().all()
    assert loaded.failed == ()
    with pytest.raises(RecordError, match="holds no results"):
        load_comparison(tmp_path)
