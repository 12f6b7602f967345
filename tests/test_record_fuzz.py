"""Damaged records and per-image values: a message or the same numbers, never anything else."""

from __future__ import annotations

import copy
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_runs import write_run

from affectbench.errors import AffectBenchError
from affectbench.report.cells import lay_out
from affectbench.report.html.face_data import face_data
from affectbench.report.latex import to_latex
from affectbench.report.leaderboard import board_files
from affectbench.report.render import to_csv, to_json, to_markdown
from affectbench.report.table import build_table, wide_table
from affectbench.results.compare import compared
from affectbench.results.cost import cost_table
from affectbench.results.faces import face_tables
from affectbench.results.runs import load_run
from affectbench.results.views import build_views

ODD: tuple[Any, ...] = (
    *(None, True, False, [], {}, "", 0, -1, 1, 0.5, -0.0, 1e300, -1e-300, 2**40, 2**64, 10**400),
    *(
        "inf",
        "nan",
        "x",
        "\x1b[2J",
        "=1+1",
        "\ud800",
        "constructor",
        "../../etc/passwd",
        "a" * 5000,
    ),
    *([[]], [1, "x"], {"x": 1}, {"": {}}, ["x"] * 3, [["id", "why"]], [[1, 2]]),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two judges, two conventions, anchors; no pictures."""
    rows = {"sharp": 0.6, "bicubic": 1.6}
    return write_run(tmp_path_factory.mktemp("sound"), rows=rows, n=12, images=0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one judge and few faces, quick to report on."""
    rows = {"sharp": 0.6, "bicubic": 1.6}
    folder = tmp_path_factory.mktemp("small")
    return write_run(folder, rows=rows, n=7, images=0, judges=("face-api",))


def everything(folder: Path) -> str:
    """Whatever people see of a run, as one text."""
    run = load_run(folder)
    views = build_views(run)
    texts = [content.decode() for content in board_files(run).values()]
    texts += [to_json(build_table(run)), to_csv(cost_table(run))]
    texts += [write(lay_out(compared(run))) for write in (to_markdown, to_latex)]
    texts += [to_csv(wide_table(view.frame)) for view in views]
    texts += [json.dumps(face_data(faces, (), "")) for faces in face_tables(run)]
    return "\n".join(texts)


def without_hashes(folder: Path) -> None:
    """As affectbench wrote records before they had a SHA-256."""
    for path in (folder / "records").rglob("*.json"):
        content = json.loads(path.read_text())
        del content["sha256"], content["images_sha256"]
        path.write_text(json.dumps(content))


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in JSON data."""
    inside = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def put(data: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


def taken(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def mutated_json(content: bytes, rng: random.Random) -> bytes:
    """A record, or any other JSON, with one thing changed."""
    kind = rng.randrange(8)
    if kind == 0:
        return content[: rng.randrange(len(content))]
    if kind == 1:
        at = rng.randrange(len(content))
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    data = json.loads(content)
    path = rng.choice(list(places(data)))
    old = taken(data, path)
    if kind == 2:
        where = taken(data, path[:-1])
        del where[path[-1]]
    elif kind == 3 and isinstance(old, (int, float)) and not isinstance(old, bool):
        put(data, path, rng.choice([old + 1, -old, old * 1.01, old * 10, float(old) + 1e-6]))
    elif kind == 4:
        put(data, path, copy.deepcopy(taken(data, rng.choice(list(places(data))))))
    elif kind == 5:
        deep: Any = copy.deepcopy(old)
        for _ in range(rng.choice([1, 40, 900])):
            deep = [deep] if rng.random() < 0.5 else {"x": deep}
        put(data, path, deep)
    elif kind == 6:
        return b"[" * rng.choice([10, 200_000]) + content
    else:
        put(data, path, rng.choice(ODD))
    return json.dumps(data).encode()


def mutated_table(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Per-image values with bytes or values changed, or those of another record."""
    kind = rng.randrange(12)
    if kind == 0:
        return content[: rng.randrange(len(content))]
    if kind in (1, 2):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 3, 30])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if kind == 3:
        return rng.choice(others)
    table = pq.read_table(io.BytesIO(content))
    names, n = table.column_names, len(table)
    name = rng.choice(names)
    column = table.column(name)
    at = rng.randrange(n)
    values = column.to_pylist()
    if kind == 4:
        table = table.take(rng.sample(range(n), n))
    elif kind == 5:
        table = table.drop_columns([name])
    elif kind == 6:
        table = table.rename_columns([rng.choice(["x", "id", "psnr", c]) for c in names])
    elif kind == 7:
        table = table.set_column(names.index(name), name, [rng.sample(values, n)])
    elif kind == 8:
        odd = rng.choice([None, "x", b"\xff", 1, 2.5, float("nan"), [1.0], {"a": 1}, "happy"])
        table = table.set_column(names.index(name), name, pa.array([odd] * n))
    elif kind == 9:
        table = pa.concat_tables([table, table.slice(at, 1)])
    elif kind == 10:
        table = table.slice(0, at)
    else:
        deep = b'{"a":' * 100_000
        table = table.replace_schema_metadata({b"pandas": deep, b"ARROW:schema": deep})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def outcomes(
    sound: Path, folder: Path, files: list[Path], mutate: Callable[[bytes], bytes], count: int
) -> list[str]:
    """What people see after each change of one of the files in turn; empty for a message."""
    shutil.copytree(sound, folder, dirs_exist_ok=True)
    seen = []
    for number in range(count):
        path = folder / files[number % len(files)].relative_to(sound)
        original = path.read_bytes()
        path.write_bytes(mutate(original))
        try:
            seen.append(everything(folder))
        except AffectBenchError as error:
            assert str(folder) in str(error) or "feature vectors" in str(error), error
            assert "\n" not in str(error), error
            seen.append("")
        path.write_bytes(original)
    return seen


def records_of(folder: Path) -> list[Path]:
    return sorted((folder / "records").rglob("*.json"))


def images_of(folder: Path) -> list[Path]:
    return sorted((folder / "images").rglob("*.parquet"))


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_a_changed_record_is_a_message_or_changes_nothing(
    sound: Path, tmp_path: Path, count: int
) -> None:
    rng = random.Random(5)
    truth = everything(sound)
    seen = outcomes(
        sound, tmp_path, records_of(sound), lambda content: mutated_json(content, rng), count
    )
    assert set(seen) <= {truth, ""}
    assert seen.count("") > count / 2


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_changed_images_are_a_message_or_change_nothing(
    sound: Path, tmp_path: Path, count: int
) -> None:
    rng = random.Random(6)
    others = [path.read_bytes() for path in images_of(sound)]
    truth = everything(sound)
    seen = outcomes(
        sound,
        tmp_path,
        images_of(sound),
        lambda content: mutated_table(content, others, rng),
        count,
    )
    assert set(seen) <= {truth, ""}
    assert seen.count("") > count / 2


@pytest.mark.parametrize("count", [25, pytest.param(300, marks=pytest.mark.slow)])
def test_old_records_and_their_images_end_in_no_traceback(
    small: Path, tmp_path: Path, count: int
) -> None:
    """Without a SHA-256 a change can go unseen, but whatever is unusable says so."""
    rng = random.Random(7)
    old = tmp_path / "old"
    shutil.copytree(small, old)
    without_hashes(old)
    assert everything(old) == everything(small)
    others = [path.read_bytes() for path in images_of(small)]

    def mutate(content: bytes) -> bytes:
        if content[:4] == b"PAR1":
            return mutated_table(content, others, rng)
        return mutated_json(content, rng)

    files = [*records_of(old), *images_of(old)]
    rng.shuffle(files)
    outcomes(old, tmp_path / "work", files, mutate, count)


@pytest.mark.parametrize("count", [25, pytest.param(300, marks=pytest.mark.slow)])
def test_a_changed_run_json_ends_in_no_traceback(small: Path, tmp_path: Path, count: int) -> None:
    rng = random.Random(8)
    outcomes(small, tmp_path, [small / "run.json"], lambda text: mutated_json(text, rng), count)
