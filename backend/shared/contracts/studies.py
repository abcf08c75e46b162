"""Studies: what they launch, how far they are, and their report."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.catalog import CatalogStudySetting, StudySizeName
from densitylab.backend.shared.contracts.comparisons import Claim, SeedMean, Verdict
from densitylab.backend.shared.contracts.fields import Answer, Key, Request
from densitylab.backend.shared.contracts.work import Status


class StudyRequest(Request):
    """A study to launch."""

    key: Key = Field(description="key of the study in the catalog")
    size: StudySizeName = Field(default="minutes", description="which of its sizes")
    datasets: dict[Key, Key] = Field(
        default_factory=dict, description="data sets to take in place of the study's own, by the study's key"
    )


class StudyLaunch(Answer):
    """An experiment of a study, or why there is none."""

    key: str = Field(description="unique within the study")
    label: str = Field(description="name for people")
    experiment: int | None = Field(description="number of the experiment; null: not launched, or deleted since")
    runs: int = Field(description="number of its runs")
    counts: dict[Status, int] = Field(default_factory=dict, description="number of runs by status")
    evaluation_counts: dict[Status, int] = Field(default_factory=dict, description="number of evaluations by status")
    left_out: str = Field(default="", description="why it, or a part of it, was not launched; empty: it was")
    prepare: str | None = Field(default=None, description="path to POST to, if a data set is missing; null: none is")


class Study(Answer):
    """A study that was launched."""

    id: int = Field(description="number of the study")
    key: str = Field(description="key of the study in the catalog")
    label: str = Field(description="name for people")
    version: int = Field(description="version of the study: another one launches other runs or claims something else")
    question: str = Field(description="what is asked, a sentence")
    size: StudySizeName = Field(description="which of its sizes")
    datasets: dict[str, str] = Field(description="data sets in place of the study's own, by the study's key")
    launches: list[StudyLaunch] = Field(description="its experiments")
    finished: bool = Field(description="whether something was launched, and all of it has ended")
    progress: float = Field(description="mean over its runs that are neither cancelled nor failed, 0 to 1")
    eta_seconds: float | None = Field(description="estimated seconds of training and evaluations left; null: not known")
    owner: str | None = Field(description="who launched it")
    created_at: datetime = Field(description="time of the launch, UTC")


class StudyLaunchPreflight(Answer):
    """The estimated cost of an experiment of a study, or why it would be left out."""

    key: str = Field(description="unique within the study")
    label: str = Field(description="name for people")
    runs: int = Field(description="number of runs; of a search that of its first ones; 0: left out")
    max_runs: int = Field(description="largest number of runs; above `runs` for a search alone")
    seconds: float | None = Field(description="seconds of training on the live workers; null: not known")
    evaluation_seconds: float | None = Field(
        default=None, description="seconds of the evaluations of every run on the live workers; null: not known"
    )
    spec: dict[str, Any] = Field(default_factory=dict, description="what all runs have in common, as in a launch")
    sweep: Any = Field(default=None, description="what varies, as in a launch; null: nothing")
    search: dict[str, Any] | None = Field(default=None, description="search for λ, as in a launch; null: none")
    of_selected: list[dict[str, Any]] = Field(
        default_factory=list,
        description="further evaluations, as in a spec, of baselines and of each method at its selected λ alone",
    )
    left_out: str = Field(default="", description="why it, or a part of it, would not be launched; empty: it would")
    prepare: str | None = Field(default=None, description="path to POST to, if a data set is missing; null: none is")


class StudyPreflight(Answer):
    """The estimated cost of a study."""

    version: int = Field(description="version of the study")
    datasets: list[str] = Field(description="keys of the data sets that the study takes at this size")
    runs: int = Field(description="number of runs that the launch begins with")
    max_runs: int = Field(description="largest number of runs")
    seconds: float | None = Field(description="seconds of training on the live workers; null: not known")
    evaluation_seconds: float | None = Field(
        default=None,
        description="seconds of the evaluations on the live workers, without those of the selected λ alone; null: not "
        "known",
    )
    workers: int = Field(default=0, description="number of live training workers")
    stated_minutes: float = Field(description="minutes that the study states for its hardware, evaluations included")
    hardware: str = Field(description="the hardware of `stated_minutes`")
    launches: list[StudyLaunchPreflight] = Field(description="its experiments")


class StudyColumn(Answer):
    """A column of a table."""

    result: str = Field(description="`<evaluation name>.<value name>`, or `metrics.<curve>`: its last value")
    evaluation: str = Field(description="key of the evaluation; empty: of a curve")
    params: dict[str, Any] = Field(description="parameters of the evaluation")
    higher_is_better: bool | None = Field(description="null: neither, or not known")


class StudyCell(Answer):
    """A figure of a table."""

    mean: SeedMean | None = Field(description="mean over seeds; null: not measured")
    best: bool = Field(description="whether it is the best of its column and apart from all others (Holm, 5 %)")
    per_seed: list[float | None] = Field(description="values in the order of the row's runs; null: not measured")


class StudyRow(Answer):
    """A group of runs that differ only in the seed."""

    settings: dict[str, Any] = Field(description="by dotted path: those in which the launch's groups differ, without λ")
    lambda_: float | None = Field(description="weight λ of the penalty; null: no λ is within the budget of accuracy")
    edge: Literal["lowest", "highest", "only"] | None = Field(
        description="where a selected λ is an end of the candidates, so that one beyond may be better"
    )
    candidates: int | None = Field(description="number of λ that it was selected from; null: not selected")
    runs: list[int] = Field(description="numbers of the runs")
    spec_hashes: list[str] = Field(default_factory=list, description="hashes of their specs")
    seeds: list[int] = Field(description="their seeds")
    cells: list[StudyCell] = Field(description="one for each column")


class StudyTable(Answer):
    """A table of a launch."""

    title: str = Field(description="title of the table")
    launch: str = Field(description="key of the launch")
    launch_label: str = Field(description="name of the launch for people")
    columns: list[StudyColumn] = Field(description="its columns")
    rows: list[StudyRow] = Field(description="baselines first")
    notes: list[str] = Field(description="how λ was selected, methods without a λ in the budget, and the like")


class StudyPoint(Answer):
    """A point of a line."""

    x: SeedMean | None = Field(description="mean over seeds; null: x is a setting")
    setting: Any = Field(description="value of the setting; null: x is a result")
    y: SeedMean = Field(description="mean over seeds")
    lambda_: float = Field(description="weight λ of the penalty")
    runs: list[int] = Field(description="numbers of the runs")


class StudyLine(Answer):
    """A method of a figure."""

    settings: dict[str, Any] = Field(description="by dotted path: those in which the launch's methods differ")
    points: list[StudyPoint] = Field(description="in order of λ or of the setting")


class StudyPanel(Answer):
    """A launch of a figure."""

    launch: str = Field(description="key of the launch")
    launch_label: str = Field(description="name of the launch for people")
    lines: list[StudyLine] = Field(description="one for each method; baselines are lines of one point")


class StudyFigure(Answer):
    """A figure: one result against another or against a setting, a panel for each launch."""

    title: str = Field(description="title of the figure")
    x: StudyColumn | str = Field(description="a result, or the dotted path of a setting")
    y: StudyColumn = Field(description="a result")
    panels: list[StudyPanel] = Field(description="its panels")


class StudyClaim(Answer):
    """A claim of the study about one launch."""

    text: str = Field(description="the claim, a sentence")
    launch: str = Field(description="key of the launch")
    launch_label: str = Field(description="name of the launch for people")
    verdict: Verdict = Field(description="the answer")
    reason: str = Field(description="what it rests on, in sentences")
    first: list[int] = Field(description="runs of the first method; empty: none")
    second: list[int] = Field(description="runs of the second method; empty: none")
    claim: Claim | None = Field(description="the tests; null: a method has no runs with the result")


class StudyReport(Answer):
    """Tables, figures and claims of a study."""

    study: Study = Field(description="the study")
    settings: list[CatalogStudySetting] = Field(description="its settings beside the paper's")
    devices: list[str] = Field(description="devices on which runs were trained")
    tables: list[StudyTable] = Field(description="its tables")
    figures: list[StudyFigure] = Field(description="its figures")
    claims: list[StudyClaim] = Field(description="its claims")
    notes: list[str] = Field(description="failed runs, what was left out, how often a yes may be wrong")
