"""The script for Slurm in `docs/scaling.md`, with stand-ins for the programs of a cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path

from conftest import ROOT

from affectbench.cli.main import build_parser

SCRIPT = ROOT / "docs" / "examples" / "run.sbatch"
STAND_IN = """#!/bin/bash
echo "$(basename "$0") $*" >>"$CALLS"
[ "$(basename "$0")" != scontrol ] || printf 'gpu1\\ngpu2\\ngpu3\\n'
"""


def calls(tmp_path: Path, nodes: int) -> list[str]:
    """What the script calls on an allocation of so many nodes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("srun", "scontrol", "sleep"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_NODELIST": "gpu[1-3]",
        "SLURM_JOB_NUM_NODES": str(nodes),
    }
    command = ["bash", str(SCRIPT), "--models", "bicubic", "--out", "results"]
    subprocess.run(command, env=environment, check=True, timeout=60)
    return sorted((tmp_path / "calls").read_text().splitlines())


def test_it_starts_ray_on_every_node_and_runs_on_the_first(tmp_path: Path) -> None:
    found = calls(tmp_path, 3)
    heads = [line for line in found if "ray start --head" in line]
    others = [line for line in found if "ray start --address" in line]
    runs = [line for line in found if "affectbench compare" in line]
    assert [len(heads), len(others), len(runs)] == [1, 1, 1]
    assert "--ntasks=1 -w gpu1 " in heads[0]
    assert "--ntasks=2 --exclude=gpu1 ray start --address=gpu1:6379" in others[0]
    assert "--overlap" in runs[0]
    given = runs[0].partition("affectbench ")[2].split()
    options = build_parser().parse_args(given)
    assert (options.executor, options.address, options.gpus_per_worker) == ("ray", "gpu1:6379", 1)
    assert options.models == "bicubic"


def test_one_node_has_no_others(tmp_path: Path) -> None:
    assert not [line for line in calls(tmp_path, 1) if "ray start --address" in line]


def test_it_is_ten_lines_that_slurm_reads() -> None:
    lines = SCRIPT.read_text().splitlines()
    assert len(lines) <= 10
    assert lines[0] == "#!/bin/bash"
    assert lines[1].startswith("#SBATCH ")
