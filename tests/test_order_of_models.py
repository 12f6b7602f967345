"""A table says the same of a model whatever stands beside it, before it or under its name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_writer import RunWriter, ecm_columns

from affectbench.aggregate import STATISTICS
from affectbench.metrics.distances import pack
from affectbench.records import read_record, write_record
from affectbench.report.cells import lay_out
from affectbench.report.leaderboard import build, check
from affectbench.report.render import to_csv
from affectbench.report.table import build_table
from affectbench.results.boards import outdated
from affectbench.results.compare import compared
from affectbench.results.runs import load_run
from affectbench.store import Store

NAMES = ("bicubic", "one", "two", "three", "four", "copy")


def columns_of(n: int) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Per-image values of models by metric; `copy` has those of `two`. Near 5 % by design."""
    rng = np.random.default_rng(3)
    labels = np.array(["happy", "sad", "fear"])[np.arange(n) % 3]
    base = rng.gamma(2.0, 0.1, n)
    found = {}
    for step, name in enumerate(NAMES[:-1]):
        ecm = base - step * 0.07 / np.sqrt(n) * 3 + rng.normal(0, 0.1, n)
        hr = np.abs(rng.normal(size=(n, 6))) if not found else found["bicubic"]["kid"]["hr"]
        kid = {"hr": hr, "sr": hr + rng.normal(0, 0.3 + 0.02 * step, hr.shape)}
        found[name] = {"ecm": ecm_columns(ecm, labels), "kid": kid}
    return {**found, "copy": found["two"]}


def write(folder: Path, order: tuple[str, ...], n: int) -> Path:
    writer = RunWriter(folder)
    values = columns_of(n)
    for name in order:
        ecm = values[name]["ecm"]
        writer.add(name, "ecm", ecm)
        writer.add(name, "ssim", {"id": ecm["id"], "ssim": 1.0 - ecm["ecm"]})
    for anchor in ("wrong-face", "one-face"):
        worse = {**values["bicubic"]["ecm"], "ecm": values["bicubic"]["ecm"]["ecm"] + 0.02}
        writer.add(anchor, "ecm", worse, role="anchor")
    return writer.finish(["ecm", "ssim"])


def table_of(folder: Path) -> pd.DataFrame:
    return build_table(load_run(folder)).set_index("model")


@pytest.mark.parametrize("n", [8, 31, 60])
def test_another_order_of_models_changes_no_byte(tmp_path: Path, n: int) -> None:
    first = table_of(write(tmp_path / "a", NAMES, n))
    assert first["ecm_p"].between(0.0, 1.0).sum() == 5
    for number, order in enumerate(
        (NAMES[::-1], ("two", "copy", "bicubic", "four", "one", "three"))
    ):
        again = table_of(write(tmp_path / str(number), order, n))
        assert to_csv(again.loc[first.index].reset_index()) == to_csv(first.reset_index())


def test_equal_values_have_equal_rows(tmp_path: Path) -> None:
    table = table_of(write(tmp_path, NAMES, 60)).drop(columns=["role", "dataset"])
    pd.testing.assert_series_equal(table.loc["two"], table.loc["copy"], check_names=False)


def test_a_model_less_leaves_intervals_and_differences(tmp_path: Path) -> None:
    all_of_them = table_of(write(tmp_path / "a", NAMES, 60))
    fewer = table_of(write(tmp_path / "b", ("bicubic", "three", "one"), 60))
    for column in ("ecm_low", "ecm_high", "ssim_low", "ecm_diff", "ecm_diff_low", "ecm_diff_high"):
        expected = all_of_them.loc[fewer.index, column]
        np.testing.assert_allclose(fewer[column], expected, rtol=1e-12)
    assert fewer.loc["one", "ecm_p"] <= all_of_them.loc["one", "ecm_p"]  # Holm over fewer


def test_another_seed_draws_again(tmp_path: Path) -> None:
    write(tmp_path, NAMES, 60)
    first = table_of(tmp_path)
    path = tmp_path / "run.json"
    run = json.loads(path.read_text())
    run["settings"]["seed"] = 5
    path.write_text(json.dumps(run))
    again = table_of(tmp_path)
    assert (again["ecm_diff_low"] != first["ecm_diff_low"]).loc["one"]
    assert again["ecm_diff_low"].loc["one"] == pytest.approx(
        first["ecm_diff_low"].loc["one"], abs=0.01
    )


def make_old(folder: Path, name: str = "*") -> list[Path]:
    """Give records the interval of a version that did not say so."""
    paths = sorted((folder / "records").rglob(f"{name}.json"))
    for path in paths:
        record = read_record(path)
        values = {k: v for k, v in record.values.items() if k != "statistics"}
        write_record(replace(record, values={**values, "low": -9.0, "high": 9.0}), path)
    return paths


def test_intervals_of_before_are_made_anew(tmp_path: Path) -> None:
    first = table_of(write(tmp_path, NAMES, 60))
    assert make_old(tmp_path, "ecm*")
    again = table_of(tmp_path)
    assert to_csv(again.reset_index()) == to_csv(first.reset_index())


def test_a_board_of_before_is_written_anew(tmp_path: Path) -> None:
    folder = write(tmp_path / "boards" / "toy", NAMES, 20)
    (tmp_path / "published.csv").write_text("")
    whole = shutil.copytree(tmp_path, tmp_path / "whole")
    for path in build(whole):
        shutil.copy(path, tmp_path)
    assert list(check(tmp_path)) == []
    paths = make_old(folder)
    found = list(check(tmp_path))
    assert sorted(text.partition(": ")[0] for text in found) == [str(path) for path in paths]
    assert all("leaderboard build" in text for text in found)
    build(tmp_path)
    assert list(check(tmp_path)) == []
    packed = "boards/toy/records.jsonl"
    assert (tmp_path / packed).read_bytes() == (whole / packed).read_bytes()
    run = load_run(folder)
    assert not list(outdated(run))
    assert run.store.record(run.cells[0]).values["statistics"] == STATISTICS


def test_an_old_interval_of_a_packed_record_is_written_anew(tmp_path: Path) -> None:
    folder = write(tmp_path / "boards" / "toy", NAMES, 20)
    (tmp_path / "published.csv").write_text("")
    paths = make_old(folder)
    Store(folder).pack({})
    cell = paths[0].relative_to(folder / "records").with_suffix("").as_posix()
    assert cell in {place.rpartition(": ")[2] for place in outdated(load_run(folder))}
    assert "statistics" not in Store(folder).record(cell).values
    build(tmp_path)
    assert list(check(tmp_path)) == []
    assert Store(folder).record(cell).values["statistics"] == STATISTICS


def test_kid_does_not_depend_on_who_else_is_there() -> None:
    from affectbench.metrics.catalogue import KID
    from affectbench.stats import shared_rng

    values = columns_of(40)
    columns = {
        name: {
            "id": one["ecm"]["id"],
            "features_hr": pack(one["kid"]["hr"]),
            "features_sr": pack(one["kid"]["sr"]),
        }
        for name, one in values.items()
    }
    there = KID.difference(columns["one"], columns["two"], shared_rng(0, 40))
    back = KID.difference(columns["two"], columns["one"], shared_rng(0, 40))
    assert back["p"] == there["p"]
    assert back["diff"] == pytest.approx(-there["diff"], rel=1e-9)
    assert KID.difference(columns["one"], columns["copy"], shared_rng(0, 40)) == there


@pytest.mark.parametrize(("n", "says"), [(5, False), (6, True), (29, True), (30, False)])
def test_a_table_of_few_faces_says_what_its_intervals_are_worth(
    tmp_path: Path, n: int, says: bool
) -> None:
    run = load_run(write(tmp_path, NAMES[:3], n))
    notes = lay_out(compared(run)).notes
    assert any(note.startswith("fewer than 30 faces") for note in notes) == says
