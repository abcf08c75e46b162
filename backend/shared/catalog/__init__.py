"""Every choice on offer: data sets, models, regularizers, schedules, optimizers, learning-rate schedules,
augmentations, algorithms, attacks, attributions, perturbations, evaluations, studies.

One entry per choice, one file per kind. `Catalog` is the value that holds them; nothing here imports torch or the
worker.
"""

from densitylab.backend.shared.catalog.catalog import BUILT_IN, Catalog, UnknownKey
from densitylab.backend.shared.catalog.cost import EvaluationCost, NetworkCost, PenaltyCost
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
    StudyEntry,
    ValueRange,
)
from densitylab.backend.shared.catalog.network_cost import network_cost
from densitylab.backend.shared.catalog.params import Param
from densitylab.backend.shared.catalog.plugins import PluginProblem
from densitylab.backend.shared.catalog.study_parts import (
    StudyClaim,
    StudyDefinition,
    StudyFigure,
    StudyLaunch,
    StudySetting,
    StudySize,
    StudyTable,
)

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
    "EvaluationCost",
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
    "StudyClaim",
    "StudyDefinition",
    "StudyEntry",
    "StudyFigure",
    "StudyLaunch",
    "StudySetting",
    "StudySize",
    "StudyTable",
    "UnknownKey",
    "ValueRange",
    "network_cost",
]
