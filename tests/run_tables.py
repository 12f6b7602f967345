"""The tables that a run wrote, read as a user would."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def short_of(folder: Path) -> pd.DataFrame:
    """`table.csv` by role and name."""
    return pd.read_csv(folder / "table.csv").set_index(["role", "model"])


def long_of(folder: Path, metric: str) -> pd.DataFrame:
    """The lines of one metric in `long.csv`, by role and name."""
    table = pd.read_csv(folder / "long.csv")
    return table[table.metric == metric].set_index(["role", "model"])
