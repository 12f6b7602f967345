"""affectbench: does a super-resolved face still show the emotion of the original?

Public names are imported lazily: importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "emotion_consistency": "affectbench.metrics.consistency",
    "emotion_consistency_loss": "affectbench.metrics.consistency",
    "EmotionConsistency": "affectbench.metrics.streaming",
    "load_judge": "affectbench.judges",
    "list_judges": "affectbench.judges",
    "compare": "affectbench.api",
    "score": "affectbench.api",
    "load_comparison": "affectbench.comparison",
    "load_metric": "affectbench.metrics.loaded",
    "load_model": "affectbench.adapters",
    "list_models": "affectbench.adapters",
    "load_dataset": "affectbench.datasets",
    "list_datasets": "affectbench.datasets",
    "list_metrics": "affectbench.metrics",
}

__all__ = [
    "EmotionConsistency",
    "__version__",
    "compare",
    "emotion_consistency",
    "emotion_consistency_loss",
    "list_datasets",
    "list_judges",
    "list_metrics",
    "list_models",
    "load_comparison",
    "load_dataset",
    "load_judge",
    "load_metric",
    "load_model",
    "score",
]

if TYPE_CHECKING:
    from affectbench.adapters import list_models, load_model
    from affectbench.api import compare, score
    from affectbench.comparison import load_comparison
    from affectbench.datasets import list_datasets, load_dataset
    from affectbench.judges import list_judges, load_judge
    from affectbench.metrics import list_metrics
    from affectbench.metrics.consistency import emotion_consistency, emotion_consistency_loss
    from affectbench.metrics.loaded import load_metric
    from affectbench.metrics.streaming import EmotionConsistency


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'affectbench' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
