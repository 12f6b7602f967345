"""`compare`, `score` and `rerun_leaderboard`: the functions that run models and report results."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from affectbench.adapters import ModelRequest, parse_model
from affectbench.adapters.objects import ModelLike, model_requests
from affectbench.arguments import DEFAULT_METRICS, names, one_of, usable_path, whole
from affectbench.callbacks import Advance, Note
from affectbench.comparison import Comparison, finished
from affectbench.errors import InputError
from affectbench.faces.regions import CROP_VERSION, CROPS
from affectbench.judges import DEFAULT_JUDGE, expand_judges
from affectbench.local_code.plugins import is_local
from affectbench.report.render import write_tables
from affectbench.results.boards import board_folders
from affectbench.results.compare import compared
from affectbench.results.runs import load_run
from affectbench.run.again import run_again
from affectbench.run.cluster import ExecutorName, cluster_for
from affectbench.run.earlier import earlier_rows
from affectbench.run.given import given_folders
from affectbench.run.plan import RunRequest
from affectbench.run.session import Rerun, run_comparison
from affectbench.texts import printable
from affectbench.types import Kernel, TestProtocol


def compare(
    models: ModelLike | Sequence[ModelLike] | Mapping[str, ModelLike],
    datasets: str | Sequence[str] | None = None,
    *,
    data_root: Path | str | None = None,
    data: Mapping[str, Path | str] | None = None,
    lr: Path | str | None = None,
    framing: str | None = None,
    metrics: str | Sequence[str] = DEFAULT_METRICS,
    judges: str | Sequence[str] = (DEFAULT_JUDGE,),
    convention: str = "rgb",
    crop: str = CROP_VERSION,
    scale: int = 8,
    hr_size: int = 128,
    kernel: Kernel = "pil-bicubic",
    versus: str = "bicubic",
    limit: int | None = None,
    batch_size: int = 32,
    device: str = "auto",
    seed: int = 0,
    save_images: bool = False,
    out: Path | str | None = None,
    rerun: Rerun = "missing",
    verify: bool = False,
    isolate: bool = False,
    timeout: float | None = None,
    executor: ExecutorName = "local",
    address: str | None = None,
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    command: str = "affectbench.compare",
    note: Note = lambda _text: None,
    progress: Advance = lambda _text, _done, _total: None,
) -> Comparison:
    """Run super-resolution models on data sets and evaluate the faces that they produce.

    `models`, `datasets`, `metrics` and `judges` take what the command line takes, as comma lists or
    sequences. A model may also be an object, a `torch.nn.Module` or a function from LR to SR, named
    after its class or function, or by a mapping `{"NAME": model}`. Its results are kept under a
    hash of its weights and code; what cannot be hashed is computed again in each run. `data_root`
    holds a folder per data set, `data` maps names to folders. `datasets` defaults to the keys of
    `data`, and without either to the two faces of `demo`. `lr` is a folder of LR faces that exist
    already, in any layout of `images.results`: nothing is resized then, and the protocol is called
    `given`. `framing` says where the face is in folders of your own (default: in the centre).
    `metrics` are names of
    metrics and groups (`affectbench metrics`) or `all`: a metric of a group that cannot be computed
    here is skipped, and `gaps` says why. The first of `judges` is the headline judge; `panel` means
    all judges that come with the library. `crop` is the version of the face region used for
    ECM: `crop/1`, the framing's box, or `crop/2`, from the landmarks of each reference. With
    `isolate` each model runs in its own process, so that a crash costs only its row; `timeout`
    implies this, and limits the seconds for loading a model and for each batch. With the
    `executor` `ray` it runs on `workers` of a Ray cluster: that at `address` (`auto`: the one of
    this machine), or one that is started for this call; each worker gets `gpus_per_worker`. Results
    are stored in `out` and reused by the next call; without `out` nothing is kept. The next call
    does not read faces whose files have not changed, unless `verify` is set. Raises an
    AffectBenchError for unusable input; a model that fails while it runs is reported in `failed`.

    >>> result = compare("nearest,bicubic", metrics=["psnr"])
    >>> list(result.table.model[:2])
    ['nearest', 'bicubic']
    """
    wanted = tuple(data or ("demo",)) if datasets is None else names(datasets)
    if unused := [name for name in data or {} if name not in wanted]:
        raise InputError(f"--data {unused[0]}=...: is none of the --datasets {', '.join(wanted)}")
    sets = [(printable(name), _folder(name, data_root, data or {})) for name in wanted]
    requests = model_requests(models)
    if executor != "local":
        _require_loadable(requests, (*names(metrics), *names(judges)))
    request = RunRequest(
        models=tuple(replace(r, isolate=isolate, timeout=timeout) for r in requests),
        datasets=tuple(sets),
        metrics=names(metrics),
        judges=expand_judges(names(judges)),
        convention=convention,
        crop=one_of("--crop", crop, CROPS),
        protocol=TestProtocol(
            whole("--scale", scale), whole("--hr-size", hr_size), _kernel(kernel, lr)
        ),
        lr="" if lr is None else str(usable_path(lr)),
        framing=framing,
        versus=printable(versus),
        limit=None if limit is None else whole("--limit", limit),
        batch_size=whole("--batch-size", batch_size),
        device=str(device),
        seed=whole("--seed", seed, least=0),
        save_images=bool(save_images),
    )
    one_of("--rerun", rerun, get_args(Rerun))
    return _run(
        request,
        out,
        rerun,
        verify=bool(verify),
        cluster=cluster_for(executor, address, workers, gpus_per_worker),
        command=command,
        note=note,
        progress=progress,
    )


def score(
    sr: Path | str | Mapping[str, Path | str],
    hr: Path | str | Mapping[str, Path | str],
    *,
    pattern: str = "",
    versus: str | None = None,
    bicubic: bool = False,
    framing: str = "centre",
    metrics: str | Sequence[str] = DEFAULT_METRICS,
    judges: str | Sequence[str] = (DEFAULT_JUDGE,),
    convention: str = "rgb",
    crop: str = CROP_VERSION,
    scale: int = 8,
    batch_size: int = 32,
    device: str = "auto",
    seed: int = 0,
    save_images: bool = False,
    allow_mismatch: bool = False,
    out: Path | str | None = None,
    command: str = "affectbench.score",
    note: Note = lambda _text: None,
    progress: Advance = lambda _text, _done, _total: None,
) -> Comparison:
    """Evaluate folders of results against folders of originals, paired by file name.

    `sr` is a folder, or a mapping of row names to folders; `hr` is a folder, a folder with one
    folder for each data set, or a mapping of data set names to folders. `images.results` has the
    layouts and names of results that are found; `pattern` says how they are named. Images are used
    as they are: nothing is resized. `versus` is the row that the others are tested against;
    `bicubic` adds bicubic interpolation of the originals reduced by `scale`, which otherwise
    matters only to conventions whose border depends on it. `framing` says where the face is, and
    `crop` selects the face region for ECM as in `compare`. Results that do not look like the
    originals of the same name are rejected (they are in `failed`) unless `allow_mismatch` is set.
    With `out`, rows of earlier calls with the same settings stay in the table. Raises InputError,
    naming the files, if the folders do not pair up or sizes differ.
    """
    given = given_folders(sr, hr, pattern)
    bicubic = bicubic or versus == "bicubic"
    insisted = "@mismatch=allow" if allow_mismatch else ""
    named = f"@pattern={pattern}" if pattern else ""
    uniform = given.is_uniform
    if bicubic:
        given.require_multiples(whole("--scale", scale))
    anchors = ("reference", "wrong-face", "one-face") if uniform else ("reference",)
    request = RunRequest(
        models=tuple(
            parse_model(f"images:{folder}@name={row}{named}{insisted}")
            for row, folder in given.results.items()
        ),
        datasets=tuple(given.originals.items()),
        metrics=names(metrics),
        judges=expand_judges(names(judges)),
        convention=convention,
        crop=one_of("--crop", crop, CROPS),
        protocol=TestProtocol(whole("--scale", scale), None),
        plain_folders=True,
        framing=framing,
        anchors=(*anchors, "bicubic") if bicubic else anchors,
        versus=printable(versus or "bicubic"),
        batch_size=whole("--batch-size", batch_size) if uniform else 1,
        device=str(device),
        seed=whole("--seed", seed, least=0),
        smallest=given.smallest,
        save_images=bool(save_images),
        keep_rows=True,
        earlier=() if out is None else earlier_rows(usable_path(out)),
    )
    return _run(request, out, verify=True, command=command, note=note, progress=progress)


def rerun_leaderboard(
    root: Path,
    data_root: Path,
    weights: Path | None = None,
    *,
    faces: int = 20,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    note: Note = lambda _text: None,
) -> list[str]:
    """Rerun a seeded sample of faces of every leaderboard row, and return the differences.

    Each row is recomputed from weights to metrics, with all metrics of the boards or only those
    in `metrics`. Raises InputError for a metric that a board does not have.
    """
    problems = []
    for folder in board_folders(root):
        note(f"{folder.name}: running {faces} faces of each row again")
        run = load_run(folder)
        for name in dict.fromkeys(record.dataset["name"] for record in run.records):
            problems += run_again(
                run.settings,
                [record for record in run.records if record.dataset["name"] == name],
                run.columns,
                data_root,
                weights=weights,
                faces=faces,
                metrics=metrics,
                seed=seed,
            )
    return problems


def _run(
    request: RunRequest,
    out: Path | str | None,
    rerun: Rerun = "missing",
    **callbacks: Any,
) -> Comparison:
    with _output(out) as given:
        folder = given.absolute()  # a model may change the working directory
        outcome = run_comparison(request, given, rerun=rerun, **callbacks)
        run = load_run(folder)
        frame = compared(run)
        if out is None:
            run.load_columns()
        else:
            write_tables(frame, folder)
    return finished(run, outcome)


@contextmanager
def _output(out: Path | str | None) -> Iterator[Path]:
    if out is not None:
        yield usable_path(out)
        return
    with tempfile.TemporaryDirectory(prefix="affectbench-") as folder:
        yield Path(folder)


def _kernel(kernel: Kernel, lr: Path | str | None) -> Kernel:
    if lr is None and kernel == "given":
        raise InputError("--kernel given: is that of LR faces that exist already; name them: --lr")
    return kernel if lr is None else "given"


def _require_loadable(models: Sequence[ModelRequest], scorers: Sequence[str]) -> None:
    """Raise InputError for what the workers of a cluster cannot load."""
    if held := [model.label for model in models if model.held is not None]:
        raise InputError(
            f"{held[0]}: is an object of this process, and --executor ray needs models that "
            "workers can load: write a factory, python:FILE:FACTORY"
        )
    if local := [name for name in scorers if is_local(name)]:
        raise InputError(
            f"{local[0]}: --executor ray needs metrics and judges that are installed on every "
            "machine: see docs/add-a-metric.md"
        )


def _folder(name: str, data_root: Path | str | None, data: Mapping[str, Path | str]) -> Path | None:
    if name in data:
        return usable_path(data[name])
    if data_root is None or name == "demo":
        return None
    return usable_path(Path(data_root) / name)
