"""The parts of a study: launches, the selection of λ, tables, figures and claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

StudySizeKey = Literal["minutes", "hours", "gpu"]


@dataclass(frozen=True, kw_only=True)
class StudyLaunch:
    """Runs that are compared with each other: one experiment.

    Args:
        key: unique within the study.
        label: names it in tables and figures, such as "MLP, GELU".
        spec, sweep, search: as in a launch.
        of_selected: further evaluations, as in a spec, of the baselines and of each method at its selected λ alone.
            They run once all runs have ended, and cost a fraction of those of every run.
    """

    key: str
    label: str
    spec: Mapping[str, Any]
    sweep: Any = None
    search: Mapping[str, Any] | None = None
    of_selected: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudySize:
    """A study at one price."""

    key: StudySizeKey
    minutes: float  # measured or estimated, on `hardware`
    hardware: str  # such as "two CPU cores"
    launches: tuple[StudyLaunch, ...]


@dataclass(frozen=True, kw_only=True)
class StudySetting:
    """A setting of the study beside the paper's; "" where the paper does not state it."""

    name: str
    ours: str
    paper: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """A table for each launch, with a column for each result."""

    title: str
    results: tuple[str, ...]  # "<evaluation name>.<value name>"; those that no run of a launch has are left out
    rows: Literal["selected", "all"] = "selected"  # baselines and each method at its selected λ, or all groups
    launches: tuple[str, ...] = ()  # keys; (): all


@dataclass(frozen=True, kw_only=True)
class StudyFigure:
    """Curves of one result against another, or against a setting, a panel for each launch; one line for each method."""

    title: str
    x: str  # "<evaluation name>.<value name>", or a dotted path of the spec, such as "lambda_"
    y: str  # "<evaluation name>.<value name>"
    launches: tuple[str, ...] = ()  # keys; (): all


@dataclass(frozen=True, kw_only=True)
class StudyClaim:
    """The claim, of every launch, that a first method has a better result than a second one.

    A method is named by values of dotted paths of the spec; of a method with a penalty the selected λ counts.
    """

    text: str
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    result: str  # "<evaluation name>.<value name>"
    accuracy_budget: float = 0.02  # of test accuracy, against the second
    launches: tuple[str, ...] = ()  # keys; (): all


@dataclass(frozen=True, kw_only=True)
class StudyDefinition:
    """A study at one size, complete, as it is stored with what it launched."""

    key: str
    label: str
    version: int
    question: str
    size: StudySize
    select_by: str  # the result by which λ is selected, on validation images
    accuracy_budget: float  # accuracy on validation images that a selected λ may cost against the baseline
    settings: tuple[StudySetting, ...]
    tables: tuple[StudyTable, ...]
    figures: tuple[StudyFigure, ...]
    claims: tuple[StudyClaim, ...]
