"""From per-image columns to a record's values, and to the faces that rows are compared on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectbench.aggregate import (
    MIN_CLASS_FACES,
    compared_faces,
    interval_of,
    macro_classes,
    set_values,
)
from affectbench.records import read_columns, write_columns
from affectbench.stats import bca_interval, paired_difference, set_mean, shared_rng
from affectbench.types import MetricSpec, as_json

ECM = MetricSpec(
    name="ecm",
    version="1",
    title="Emotion Consistency Metric",
    group="expression",
    direction="lower",
    range=(0.0, 1.2),
    aggregate="macro",
    per_judge=True,
    source="",
)
PSNR = replace(ECM, name="psnr", aggregate="mean", direction="higher", range=(0.0, math.inf))

Columns = dict[str, np.ndarray]


@pytest.fixture
def columns(rng: np.random.Generator) -> Columns:
    labels = np.repeat(["sad", "happy", "neutral", "fear"], [10, 25, 16, 9])
    return {
        "id": np.array([f"{i:03}" for i in range(60)]),
        "ecm": rng.uniform(0, 1, 60) + (labels == "sad"),
        "label_hr": labels,
    }


def subset(columns: Columns, rows: np.ndarray | list[int] | slice) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def test_classes_need_ten_faces() -> None:
    labels = ["sad"] * 10 + ["angry"] * 9 + ["happy"] * 11
    index, names = macro_classes(labels)
    assert names == ("happy", "sad")
    assert index.tolist() == [1] * 10 + [-1] * 9 + [0] * 11
    assert MIN_CLASS_FACES == 10


def test_without_ten_faces_of_a_class_there_is_no_macro_mean() -> None:
    index, names = macro_classes(np.repeat(["a", "b"], 9))
    assert names == ()
    assert (index == -1).all()
    index, names = macro_classes([])
    assert (index.shape, names) == ((0,), ())


def test_classes_do_not_depend_on_the_order_of_faces(columns: Columns) -> None:
    labels = columns["label_hr"]
    order = np.random.default_rng(1).permutation(60)
    index, names = macro_classes(labels)
    again, same = macro_classes(labels[order])
    assert names == same
    np.testing.assert_array_equal(index[order], again)


def test_macro_values(columns: Columns) -> None:
    values = set_values(columns, ECM, {"agreement": 0.5}, 7)
    ecm, labels = columns["ecm"], columns["label_hr"]
    means = [ecm[labels == c].mean() for c in ("happy", "neutral", "sad")]
    assert values["value"] == pytest.approx(np.mean(means), rel=1e-14)
    assert values["mean"] == ecm.mean()
    assert values["value"] != pytest.approx(values["mean"], rel=1e-3)
    assert (values["n"], values["macro_classes"], values["agreement"]) == (60, 3, 0.5)
    assert list(values["classes"]) == ["fear", "happy", "neutral", "sad"]
    assert values["classes"]["fear"] == {"n": 9, "mean": ecm[labels == "fear"].mean()}
    interval = bca_interval(ecm, shared_rng(7, 60), macro_classes(labels)[0])
    assert (values["low"], values["high"]) == (interval.low, interval.high)
    assert interval_of(columns, as_json(ECM), 7) == interval


def test_draws_follow_the_seed_and_the_number_of_faces(columns: Columns) -> None:
    first = set_values(columns, ECM, {}, 0)
    assert set_values(columns, ECM, {}, 0) == first
    assert set_values(columns, ECM, {}, 1)["low"] != first["low"]


def test_equal_values_of_two_metrics_have_equal_intervals(columns: Columns) -> None:
    plain = replace(ECM, aggregate="mean")
    both = {**columns, "psnr": columns["ecm"]}
    one, other = (set_values(both, spec, {}, 0) for spec in (plain, PSNR))
    assert (one["low"], one["high"]) == (other["low"], other["high"])
    # Values that differ by rounding: not by the luck of the draw.
    near = set_values({**both, "psnr": columns["ecm"] * (1 + 1e-13)}, PSNR, {}, 0)
    assert near["low"] == pytest.approx(one["low"], rel=1e-12)


def test_small_sets_fall_back_on_the_plain_mean(columns: Columns) -> None:
    few = subset(columns, [0, 1, 2, 3, 30, 31, 32])
    values = set_values(few, ECM, {}, 0)
    assert values["macro_classes"] == 0
    assert values["value"] == values["mean"] == few["ecm"].mean()
    assert values["low"] < values["value"] < values["high"]
    fewer = set_values(subset(few, slice(5)), ECM, {}, 0)
    assert math.isnan(fewer["low"])
    assert math.isnan(fewer["high"])
    assert fewer["value"] == few["ecm"][:5].mean()


def test_mean_values_have_no_classes(columns: Columns) -> None:
    values = set_values({**columns, "psnr": columns["ecm"]}, PSNR, {"identical": 0.0}, 0)
    assert set(values) == {"n", "value", "low", "high", "mean", "identical", "statistics"}
    assert values["value"] == values["mean"] == columns["ecm"].mean()


def test_infinite_psnr_stays_infinite(rng: np.random.Generator) -> None:
    psnr = rng.normal(25, 2, 20)
    psnr[3] = math.inf
    columns = {"id": np.arange(20).astype(str), "psnr": psnr}
    values = set_values(columns, PSNR, {"identical": 1.0}, 0)
    assert values["value"] == values["mean"] == math.inf
    assert math.isnan(values["low"])
    assert math.isnan(values["high"])
    assert values["identical"] == 1.0


def test_faces_without_a_value_are_counted_out(columns: Columns) -> None:
    holes = {**columns, "ecm": columns["ecm"].copy()}
    holes["ecm"][0] = math.nan
    values = set_values(holes, ECM, {}, 0)
    assert (values["n"], values["macro_classes"]) == (59, 2)
    assert values == set_values(subset(columns, slice(1, None)), ECM, {}, 0)


def test_values_are_plain_json(columns: Columns) -> None:
    flags = {**columns, "psnr": columns["ecm"] > 0.5}
    for spec in (ECM, PSNR):
        values = set_values(flags, spec, {}, 0)
        assert json.loads(json.dumps(values)) == values


def test_faces_are_paired_by_id_and_not_by_position(columns: Columns) -> None:
    order = np.random.default_rng(2).permutation(60)
    other = subset({**columns, "ecm": columns["ecm"] + 1.0}, order)
    faces = compared_faces([other, columns], as_json(ECM))
    assert faces.ids == tuple(columns["id"])
    np.testing.assert_array_equal(faces.values(columns), columns["ecm"])
    np.testing.assert_array_equal(faces.values(other), columns["ecm"] + 1.0)
    assert faces.classes is not None
    np.testing.assert_array_equal(faces.classes, macro_classes(columns["label_hr"])[0])


def test_compared_faces_feed_the_paired_test(columns: Columns) -> None:
    better = {**columns, "ecm": columns["ecm"] * 0.5}
    faces = compared_faces([better, columns], as_json(ECM))
    a, b = faces.values(better), faces.values(columns)
    result = paired_difference(a, b, np.random.default_rng(0), faces.classes)
    assert result.estimate == pytest.approx(-set_mean(a, faces.classes), rel=1e-12)
    assert result.high < 0
    assert result.p < 0.001


def test_a_plain_mean_has_no_classes(columns: Columns) -> None:
    both = {**columns, "psnr": columns["ecm"]}
    faces = compared_faces([both, both], as_json(PSNR))
    assert faces.classes is None
    assert faces.mean(both) == both["psnr"].mean()


@pytest.mark.parametrize("lost", ["no value", "no face"])
@pytest.mark.parametrize("metric", [ECM, PSNR], ids=["lower", "higher"])
def test_a_face_that_a_row_lost_counts_as_the_worst(
    columns: Columns, metric: MetricSpec, lost: str
) -> None:
    name = metric.name
    whole = {**columns, name: columns["ecm"]}
    if lost == "no value":
        holes = {**whole, name: whole[name].copy()}
        holes[name][[4, 50]] = math.nan
    else:
        holes = subset(whole, np.delete(np.arange(60), [4, 50]))
    faces = compared_faces([whole, holes], as_json(metric))
    assert faces.are_all_in(whole) and not faces.are_all_in(holes)
    worst = columns["ecm"].max() if metric is ECM else columns["ecm"].min()
    wanted = columns["ecm"].copy()
    wanted[[4, 50]] = worst
    np.testing.assert_array_equal(faces.values(whole), columns["ecm"])
    np.testing.assert_array_equal(faces.values(holes), wanted)
    # Losing a face never makes a row better than keeping it, whatever its value was.
    better = (lambda a, b: a < b) if metric is ECM else (lambda a, b: a > b)
    assert not better(faces.mean(holes), faces.mean(whole))


def test_a_face_that_no_row_has_does_not_count(columns: Columns) -> None:
    part = {**columns, "ecm": columns["ecm"].copy()}
    part["ecm"][7] = math.nan
    faces = compared_faces([part, subset(part, slice(3, None))], as_json(ECM))
    assert "007" not in faces.ids and len(faces.ids) == 59
    assert faces.are_all_in(part)


def test_rows_without_a_face_in_common_have_all_faces(columns: Columns) -> None:
    parts = [subset(columns, slice(9)), subset(columns, slice(9, 20))]
    faces = compared_faces(parts, as_json(ECM))
    assert len(faces.ids) == 20
    assert (faces.values(parts[0])[9:] == faces.worst).all()


def test_rows_without_any_value_have_no_faces(columns: Columns) -> None:
    nothing = {**columns, "ecm": np.full(60, math.nan)}
    faces = compared_faces([nothing, nothing], as_json(ECM))
    a = faces.values(nothing)
    assert faces.ids == () and a.shape == (0,)
    result = paired_difference(a, a, np.random.default_rng(0), faces.classes)
    assert math.isnan(result.estimate)
    assert math.isnan(result.p)


def test_columns_read_back_give_the_same_values(columns: Columns, tmp_path: Path) -> None:
    write_columns(columns, tmp_path / "cell.parquet")
    again = read_columns(tmp_path / "cell.parquet")
    assert set_values(again, ECM, {}, 0) == set_values(columns, ECM, {}, 0)
    faces = compared_faces([again, columns], as_json(ECM))
    np.testing.assert_array_equal(faces.values(again), faces.values(columns))
