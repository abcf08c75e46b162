"""DensityLab: train image classifiers with marginal-density smoothing, and see what changes.

    import densitylab

    client = densitylab.connect()                                # DENSITYLAB_API_URL, DENSITYLAB_API_TOKEN
    experiment = client.launch({"name": "first", "sweep": {"lambda_": [0, 0.1, 1]}})
    runs = client.wait(experiment.id, progress=print)
    model = densitylab.load_model(runs[0].id, client)            # images in [0, 1] -> logits; also of exported files
    penalty = densitylab.marginal_density(model, x, logits, y)  # in a training loop of your own

`Param`, `Rule`, `Caution` and the entry classes are for plug-ins (docs/plugins.md). Names are imported when they are
used, and each needs only its own dependencies.
"""

import importlib
from typing import TYPE_CHECKING, Any

from densitylab.extras import required

if TYPE_CHECKING:
    from densitylab.backend.shared.catalog import (
        AlgorithmEntry,
        AttackEntry,
        AttributionEntry,
        AugmentationEntry,
        Caution,
        DatasetEntry,
        EvaluationEntry,
        Images,
        LrScheduleEntry,
        Metric,
        ModelEntry,
        NetworkCost,
        OptimizerEntry,
        Param,
        PenaltyCost,
        PerturbationEntry,
        Plot,
        RegularizerEntry,
        Rule,
        ScheduleEntry,
        StudyClaim,
        StudyEntry,
        StudyFigure,
        StudyLaunch,
        StudySetting,
        StudySize,
        StudyTable,
        ValueRange,
    )
    from densitylab.frontend.client import ApiError, RunCancelled, connect, connect_async, log_run, to_dataframe
    from densitylab.loading import load_model
    from densitylab.worker.regularizers.marginal_density import marginal_density

    __version__: str

__all__ = [
    "AlgorithmEntry",
    "ApiError",
    "AttackEntry",
    "AttributionEntry",
    "AugmentationEntry",
    "Caution",
    "DatasetEntry",
    "EvaluationEntry",
    "Images",
    "LrScheduleEntry",
    "Metric",
    "ModelEntry",
    "NetworkCost",
    "OptimizerEntry",
    "Param",
    "PenaltyCost",
    "PerturbationEntry",
    "Plot",
    "RegularizerEntry",
    "Rule",
    "RunCancelled",
    "ScheduleEntry",
    "StudyClaim",
    "StudyEntry",
    "StudyFigure",
    "StudyLaunch",
    "StudySetting",
    "StudySize",
    "StudyTable",
    "ValueRange",
    "__version__",
    "connect",
    "connect_async",
    "load_model",
    "log_run",
    "marginal_density",
    "to_dataframe",
]

# Module and extra of the names that need more than the base dependencies
_WITH_EXTRA = {
    "ApiError": ("densitylab.frontend.client", "client"),
    "connect": ("densitylab.frontend.client", "client"),
    "connect_async": ("densitylab.frontend.client", "client"),
    "to_dataframe": ("densitylab.frontend.client", "client"),
    "log_run": ("densitylab.frontend.client", "client"),
    "RunCancelled": ("densitylab.frontend.client", "client"),
    "load_model": ("densitylab.loading", "models"),
    "marginal_density": ("densitylab.worker.regularizers.marginal_density", "models"),
}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "__version__":
            return importlib.import_module("importlib.metadata").version("densitylab")
        if name in _WITH_EXTRA:
            module, extra = _WITH_EXTRA[name]
            with required(name, extra):
                return getattr(importlib.import_module(module), name)
        return getattr(importlib.import_module("densitylab.backend.shared.catalog"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
