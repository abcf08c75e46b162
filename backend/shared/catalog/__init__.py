"""Every choice on offer: data sets, models, regularizers, schedules, optimizers, learning-rate schedules,
augmentations, algorithms, attacks, attributions, perturbations, evaluations.

One entry per choice, one file per kind. `Catalog` is the value that holds them; nothing here imports torch or the
worker.
"""

from densitylab.backend.shared.catalog.catalog import BUILT_IN, Catalog, UnknownKey
from densitylab.backend.shared.catalog.cost import NetworkCost, PenaltyCost
from densitylab.backend.shared.catalog.entries import (
    KINDS,
    AlgorithmEntry,
    AttackEntry,
    Attribute,
    AttributionEntry,
    AugmentationEntry,
    Caution,
    DatasetEntry,
    Entry,
    EvaluationEntry,
    Images,
    LrScheduleEntry,
    Metric,
    ModelEntry,
    OptimizerEntry,
    PerturbationEntry,
    Plot,
    Plugin,
    RegularizerEntry,
    Rule,
    ScheduleEntry,
)
from densitylab.backend.shared.catalog.params import Param
from densitylab.backend.shared.catalog.plugins import PluginProblem

__all__ = [
    "BUILT_IN",
    "KINDS",
    "AlgorithmEntry",
    "AttackEntry",
    "Attribute",
    "AttributionEntry",
    "AugmentationEntry",
    "Catalog",
    "Caution",
    "DatasetEntry",
    "Entry",
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
    "Plugin",
    "PluginProblem",
    "RegularizerEntry",
    "Rule",
    "ScheduleEntry",
    "UnknownKey",
]
