"""The report of a study: tables, figures and claims of its runs so far."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from densitylab.backend.services import comparisons, studies
from densitylab.backend.services.study_results import StudyResults
from densitylab.backend.services.values_per_image import ValuesPerImage
from densitylab.backend.shared.catalog import Catalog, StudyClaim, StudyFigure, StudyTable
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.contracts import comparisons as compared
from densitylab.backend.shared.contracts import studies as answers
from densitylab.backend.shared.contracts.catalog import CatalogStudySetting
from densitylab.backend.shared.statistics.estimates import Estimate, estimate
from densitylab.backend.shared.statistics.groups import (
    Group,
    higher_is_better,
    mean_over_seeds,
)
from densitylab.backend.shared.statistics.selection import Selection
from densitylab.backend.shared.statistics.selection_text import selection_text
from densitylab.backend.shared.statistics.table_tests import best_groups
from densitylab.backend.shared.store.studies import StoredStudy

_CURVES = "metrics."  # before the name of a curve whose last value is a column


def report(session: Session, catalog: Catalog, per_image: ValuesPerImage, stored: StoredStudy) -> answers.StudyReport:
    """Return tables, figures and claims of a study, of the runs that have ended so far."""
    definition = stored.definition
    results = [
        StudyResults(session, catalog, definition, item.key, item.experiment)
        for item in stored.launches
        if item.experiment is not None
    ]
    state = studies.describe(session, stored)
    claims = [
        _claim(session, catalog, per_image, claim, result)
        for claim in definition.claims
        for result in results
        if _concerns(claim.launches, result) and result.measures(claim.result)
    ]
    return answers.StudyReport(
        study=state,
        settings=[CatalogStudySetting.model_validate(item, from_attributes=True) for item in definition.settings],
        devices=sorted({run.device for result in results for run in result.members if run.device}),
        tables=[
            answer
            for table in definition.tables
            for result in results
            if _concerns(table.launches, result) and (answer := _table(table, result)) is not None
        ],
        figures=[
            drawn
            for figure in definition.figures
            if (drawn := _figure(figure, [item for item in results if _concerns(figure.launches, item)])) is not None
        ],
        claims=claims,
        notes=_notes(state, results, claims),
    )


@dataclass(frozen=True)
class _Row:
    group: Group | None
    named: Group  # the group, or one of a method without a λ within the budget
    selection: Selection | None


def _rows(table: StudyTable, results: StudyResults) -> list[_Row]:
    if table.rows == "all" or not results.selection:
        return [_Row(group, group, None) for group in results.groups]
    baselines = [_Row(group, group, None) for group in results.baselines]
    return baselines + [_Row(row.group, row.group or row.method.groups[-1], row) for row in results.selection]


def _table(table: StudyTable, results: StudyResults) -> answers.StudyTable | None:
    known = [name for name in table.results if name.startswith(_CURVES) or results.column(name)]
    if not results.members or not known or all(name.startswith(_CURVES) for name in known):
        return None
    rows = _rows(table, results)
    there = [row.group for row in rows if row.group is not None]
    tested = {column: higher_is_better(results.members, column) for name in known if (column := results.column(name))}
    best = {column.result: id(there[index]) for column, index in best_groups(there, tested).items()}
    return answers.StudyTable(
        title=table.title,
        launch=results.key,
        launch_label=results.label,
        columns=[_column(name, results) for name in known],
        rows=[
            answers.StudyRow(
                settings=results.settings(row.named),
                lambda_=None if row.group is None else row.group.settings["lambda_"],
                edge=row.selection.edge if row.selection else None,
                candidates=row.selection.candidates if row.selection else None,
                runs=[run.id for run in row.group.runs] if row.group else [],
                spec_hashes=[run.provenance.get("spec_hash", "") for run in row.group.runs] if row.group else [],
                seeds=row.group.seeds if row.group else [],
                cells=[
                    answers.StudyCell(
                        mean=_answer(None if row.group is None else _mean(row.group, name, results)),
                        best=row.group is not None and best.get(name) == id(row.group),
                        per_seed=_per_seed(row.group, name, results),
                    )
                    for name in known
                ],
            )
            for row in rows
        ],
        notes=[selection_text(results.selection)] if table.rows == "selected" and results.selection else [],
    )


def _column(name: str, results: StudyResults) -> answers.StudyColumn:
    column = results.column(name)
    if column is None:
        return answers.StudyColumn(result=name, evaluation="", params={}, higher_is_better=None)
    return answers.StudyColumn(
        result=name,
        evaluation=column.evaluation,
        params=json.loads(column.params),
        higher_is_better=higher_is_better(results.members, column),
    )


def _mean(group: Group, name: str, results: StudyResults) -> Estimate | None:
    if name.startswith(_CURVES):
        return estimate([value for value in _per_seed(group, name, results) if value is not None])
    column = results.column(name)
    return None if column is None else mean_over_seeds(group, column)


def _per_seed(group: Group | None, name: str, results: StudyResults) -> list[float | None]:
    if group is None:
        return []
    if name.startswith(_CURVES):
        curve = name.removeprefix(_CURVES)
        return [run.metrics.get(curve) if run.status is Status.SUCCEEDED else None for run in group.runs]
    column = results.column(name)
    return [None if column is None else group.value_of(run, column) for run in group.runs]


def _figure(figure: StudyFigure, results: Sequence[StudyResults]) -> answers.StudyFigure | None:
    panels = [panel for item in results if (panel := _panel(figure, item)).lines]
    if not panels:
        return None
    first = next(item for item in results if item.key == panels[0].launch)
    return answers.StudyFigure(
        title=figure.title,
        x=_column(figure.x, first) if first.column(figure.x) else figure.x,
        y=_column(figure.y, first),
        panels=panels,
    )


def _panel(figure: StudyFigure, results: StudyResults) -> answers.StudyPanel:
    """Return a line for each method: its groups over λ, or over the setting of the x axis."""
    on_x = {figure.x, "lambda_"} if results.column(figure.x) is None else {"lambda_"}
    lines: dict[str, answers.StudyLine] = {}
    for group in results.groups:
        named = {name: value for name, value in results.settings(group).items() if name not in on_x}
        x = _mean(group, figure.x, results) if results.column(figure.x) else None
        y = _mean(group, figure.y, results)
        if y is None or (results.column(figure.x) is not None and x is None):
            continue
        line = lines.setdefault(
            json.dumps(named, sort_keys=True, default=str), answers.StudyLine(settings=named, points=[])
        )
        line.points.append(
            answers.StudyPoint(
                x=_answer(x),
                setting=None if x is not None else group.settings.get(figure.x),
                y=compared.SeedMean.model_validate(y, from_attributes=True),
                lambda_=group.settings["lambda_"],
                runs=[run.id for run in group.runs],
            )
        )
    return answers.StudyPanel(launch=results.key, launch_label=results.label, lines=list(lines.values()))


def _claim(
    session: Session, catalog: Catalog, per_image: ValuesPerImage, claim: StudyClaim, results: StudyResults
) -> answers.StudyClaim:
    (first, why_first), (second, why_second) = results.pick(claim.first), results.pick(claim.second)
    answer = answers.StudyClaim(
        text=claim.text,
        launch=results.key,
        launch_label=results.label,
        verdict="undecided",
        reason=" ".join(
            f"The {which} method: {why}." for which, why in (("first", why_first), ("second", why_second)) if why
        ),
        first=[run.id for run in first.runs] if first else [],
        second=[run.id for run in second.runs] if second else [],
        claim=None,
    )
    if first is None or second is None:
        return answer
    column = results.column(claim.result)
    if column is None or not all(mean_over_seeds(group, column) for group in (first, second)):
        return answer.model_copy(update={"reason": "The runs have no such results."})
    tested = comparisons.claim(
        session, catalog, per_image, answer.first, answer.second, claim.result, max_loss=claim.accuracy_budget
    )
    return answer.model_copy(update={"verdict": tested.verdict, "reason": tested.text, "claim": tested})


def _notes(state: answers.Study, results: Sequence[StudyResults], claims: Sequence[answers.StudyClaim]) -> list[str]:
    notes = [f"{item.label}: {item.left_out}" for item in state.launches if item.left_out]
    for result in results:
        for status, text in ((Status.FAILED, "failed"), (Status.CANCELLED, "were cancelled")):
            ended = [str(run.id) for run in result.members if run.status is status]
            if ended:
                notes.append(f"{result.label}: runs {', '.join(ended)} {text} and are in no figure.")
    if not state.finished:
        notes.append("The study has not finished: figures and answers may still change.")
    if claims:
        notes.append(
            f"Each of the {len(claims)} claims is tested by itself: where two methods do not differ, a yes is wrong "
            "with a probability of at most 2.5 %."
        )
    return notes


def _concerns(launches: Sequence[str], results: StudyResults) -> bool:
    return not launches or results.key in launches


def _answer(mean: Estimate | None) -> compared.SeedMean | None:
    return None if mean is None else compared.SeedMean.model_validate(mean, from_attributes=True)
