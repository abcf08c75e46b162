"""Runs of two methods and a baseline with known results, as a comparison and as a study's report."""

import itertools
from collections.abc import Callable

import pytest

from densitylab.backend.api.routes.catalog import catalog_answers
from densitylab.backend.shared import catalog as built_in
from densitylab.backend.shared.contracts import Run, RunSpec, Value
from densitylab.backend.shared.contracts.comparisons import SeedMean
from densitylab.backend.shared.contracts.studies import (
    Study,
    StudyCell,
    StudyClaim,
    StudyColumn,
    StudyFigure,
    StudyLaunch,
    StudyLine,
    StudyPanel,
    StudyPoint,
    StudyReport,
    StudyRow,
    StudyTable,
)
from densitylab.backend.shared.statistics.estimates import wilson
from densitylab.backend.shared.statistics.groups import Group, columns, group_runs, mean_over_seeds
from densitylab.frontend.client.catalog import Catalog

NOISE = (0.0, 0.004, -0.003)
METHODS = {"none": (0.0,), "marginal_density": (0.1, 1.0), "jacobian": (0.1, 1.0)}
EVALUATIONS = [
    {"key": "accuracy", "name": "accuracy"},
    {"key": "pgd_linf", "name": "pgd_linf", "params": {"epsilons": [0.1]}},
    {
        "key": "leakage",
        "name": "leakage_zero_occlusion",
        "params": {"attribution": {"key": "occlusion", "params": {"patch": 1, "stride": 1}}},
    },
]
LAUNCHES = {"mlp": "MLP, ReLU", "cnn": "Small CNN, GELU"}
# Marginal-density smoothing at λ = 1 is under attack far better than all others, with every seed
ROBUST = {
    ("marginal_density", 1.0): 0.5,
    ("marginal_density", 0.1): 0.2,
    ("jacobian", 1.0): 0.2,
    ("jacobian", 0.1): 0.1,
}


def share(value: float, n: int = 1000) -> Value:
    """A share of n images with its interval."""
    low, high = wilson(value, n)
    return Value(value=value, low=low, high=high, n=n, higher_is_better=True)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog.model_validate(catalog_answers(built_in.Catalog.built_in()))


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    numbers = itertools.count(1)

    def make(model: str, regularizer: str, lambda_: float, seed: int) -> Run:
        number = next(numbers)
        spec = {"model": {"key": model}, "regularizer": {"key": regularizer}, "lambda_": lambda_, "seed": seed}
        robust = ROBUST.get((regularizer, lambda_), 0.0)
        return Run(
            id=number,
            experiment=1 if model == "mlp" else 2,
            task=number,
            status="succeeded",
            created_at="2026-01-01T00:00:00Z",
            spec=RunSpec.model_validate({**spec, "evaluations": EVALUATIONS}),
            evaluations=EVALUATIONS,
            metrics={"validation_accuracy": 0.9 + NOISE[seed]},
            results={
                "accuracy.accuracy": share(0.9 + NOISE[seed]),
                "pgd_linf.accuracy": share(max(robust + NOISE[seed], 0.0) if robust else 0.0),
                "leakage_zero_occlusion.l2": Value(value=2.0 - robust + NOISE[seed], n=50, higher_is_better=False),
            },
            provenance={"data_hash": "d" * 64, "spec_hash": f"{number:016d}", "version": "0.2.0", "host": "secret"},
        )

    return make


@pytest.fixture(scope="session")
def runs(make_run: Callable[..., Run]) -> list[Run]:
    return [
        make_run(model, regularizer, lambda_, seed)
        for model in LAUNCHES
        for regularizer, lambdas in METHODS.items()
        for lambda_ in lambdas
        for seed in range(3)
    ]


@pytest.fixture(scope="session")
def report(runs: list[Run]) -> StudyReport:
    """A report of two launches, with the best λ of smoothing at the upper end of those tried."""
    by_launch = {
        model: group_runs([run for run in runs if run.spec.model.key == model], {"none"}) for model in LAUNCHES
    }
    launches = [
        StudyLaunch(key=key, label=label, experiment=number, runs=15)
        for number, (key, label) in enumerate(LAUNCHES.items(), 1)
    ]
    study = Study(
        id=1,
        key="robustness",
        label="Robustness & λ_50%",
        version=1,
        question="Does it help?",
        size="minutes",
        datasets={},
        launches=launches,
        finished=True,
        progress=1.0,
        eta_seconds=None,
        owner=None,
        created_at="2026-01-01T00:00:00Z",
    )
    claim = StudyClaim(
        text="Smoothing is more robust than no penalty",
        launch="mlp",
        launch_label=LAUNCHES["mlp"],
        verdict="yes",
        reason="The difference is +0.5 with 3 seeds.",
        first=[4, 5, 6],
        second=[1, 2, 3],
        claim={
            "verdict": "yes",
            "text": "Yes.",
            "result": "pgd_linf.accuracy",
            "higher_is_better": True,
            "accuracy_budget": 0.02,
            "questions": [
                {
                    "question": "result",
                    "verdict": "yes",
                    "threshold": 0.0,
                    "p": 0.0012,
                    "seeds": {"mean": 0.5, "low": 0.49, "high": 0.51, "n": 3, "p": 0.0012, "effect_size": 9.0},
                    "images": None,
                }
            ],
            "seeds": 3,
            "seeds_needed": None,
            "flags": [],
        },
    )
    return StudyReport(
        study=study,
        settings=[{"name": "λ", "ours": "selected", "paper": ""}],
        devices=["cpu"],
        tables=[_table(key, groups) for key, groups in by_launch.items()],
        figures=[
            StudyFigure(
                title="Accuracy under attack",
                x=_column("accuracy.accuracy"),
                y=_column("pgd_linf.accuracy"),
                panels=[_panel(key, groups) for key, groups in by_launch.items()],
            )
        ],
        claims=[claim],
        notes=["All runs succeeded."],
    )


def _table(key: str, groups: list[Group]) -> StudyTable:
    results = ["accuracy.accuracy", "pgd_linf.accuracy", "leakage_zero_occlusion.l2"]
    return StudyTable(
        title="Accuracy at the selected λ",
        launch=key,
        launch_label=LAUNCHES[key],
        columns=[_column(result) for result in results],
        rows=[
            StudyRow(
                settings={"regularizer.key": group.settings["regularizer.key"]},
                lambda_=group.settings["lambda_"],
                edge=None if group.is_baseline else "highest",
                candidates=2,
                runs=[run.id for run in group.runs],
                seeds=group.seeds,
                cells=[
                    StudyCell(
                        mean=_mean(group, result),
                        best=result == "pgd_linf.accuracy" and group.settings["regularizer.key"] == "marginal_density",
                        per_seed=[],
                    )
                    for result in results
                ],
            )
            for group in groups
            if group.is_baseline or group.settings["lambda_"] == 1
        ],
        notes=["the λ was selected on validation images"],
    )


def _panel(key: str, groups: list[Group]) -> StudyPanel:
    lines: dict[str, StudyLine] = {}
    for group in groups:
        regularizer = group.settings["regularizer.key"]
        line = lines.setdefault(regularizer, StudyLine(settings={"regularizer.key": regularizer}, points=[]))
        line.points.append(
            StudyPoint(
                x=_mean(group, "accuracy.accuracy"),
                setting=None,
                y=_mean(group, "pgd_linf.accuracy"),
                lambda_=group.settings["lambda_"],
                runs=[run.id for run in group.runs],
            )
        )
    return StudyPanel(launch=key, launch_label=LAUNCHES[key], lines=list(lines.values()))


def _column(result: str) -> StudyColumn:
    item = next(item for item in EVALUATIONS if item["name"] == result.partition(".")[0])
    return StudyColumn(
        result=result,
        evaluation=item["key"],
        params=item.get("params", {}),
        higher_is_better=not result.startswith("leakage"),
    )


def _mean(group: Group, result: str) -> SeedMean:
    column = next(column for column in columns(group.runs) if column.result == result)
    return SeedMean.model_validate(mean_over_seeds(group, column), from_attributes=True)
