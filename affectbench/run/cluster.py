"""What a user says of the cluster that a comparison runs on."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Literal, get_args

from affectbench.arguments import one_of, whole
from affectbench.errors import InputError, MissingExtraError

ExecutorName = Literal["local", "ray"]

PATIENCE = 600.0


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster: its `address` (none: a new one on this machine) and the workers on it.

    `workers` is their number (none: as many as there is room for), `gpus_per_worker` the share of
    GPUs that each one gets. `patience` is how many seconds a run without any worker waits for one.
    """

    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0.0
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        share = self.gpus_per_worker
        if not (math.isfinite(share) and share >= 0) or (share > 1 and share != int(share)):
            raise InputError(
                f"--gpus-per-worker {share:g}: must be a share of one GPU, such as 0.5, or a whole "
                "number of them"
            )

    def require(self) -> None:
        """Raise MissingExtraError without Ray."""
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError("--executor ray", "ray")


def cluster_for(
    executor: ExecutorName, address: str | None, workers: int | None, gpus: float | None
) -> Cluster | None:
    """Return the cluster to run on; None for this process. Raises InputError for odd options."""
    if one_of("--executor", executor, get_args(ExecutorName)) == "local":
        given = {"--address": address, "--workers": workers, "--gpus-per-worker": gpus}
        for option, value in given.items():
            if value is not None:
                raise InputError(f"{option} {value}: needs --executor ray")
        return None
    count = None if workers is None else whole("--workers", workers)
    cluster = Cluster(address, count, 0.0 if gpus is None else float(gpus))
    cluster.require()
    return cluster
