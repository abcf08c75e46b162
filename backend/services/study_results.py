"""The results of a launch of a study: its runs in groups, and the λ selected for each method."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.services.comparisons import grouped
from densitylab.backend.shared.catalog import Catalog, StudyDefinition
from densitylab.backend.shared.contracts import EvaluationSpec
from densitylab.backend.shared.statistics.groups import Column, Group, columns, differing_settings, higher_is_better
from densitylab.backend.shared.statistics.selection import Selection, is_validation, select
from densitylab.backend.shared.store import experiments, runs


class StudyResults:
    """The runs of a launch, in groups, and the λ selected for each method."""

    def __init__(
        self, session: Session, catalog: Catalog, definition: StudyDefinition, key: str, experiment: int
    ) -> None:
        self.key = key
        planned = next(item for item in definition.size.launches if item.key == key)
        self.label = planned.label
        asked = [*planned.spec.get("evaluations", ()), *planned.of_selected]
        self._measured = {"accuracy", *(item.get("name") or _default_name(item) for item in asked)}
        self.members = list(runs.many(session, experiments.run_ids(session, experiment)).values())
        self.groups = grouped(catalog, self.members)
        self.varied = [name for name in differing_settings(self.groups) if name != "lambda_"]
        self._definition = definition

    @cached_property
    def selection(self) -> list[Selection]:
        column = self.column(self._definition.select_by)
        higher = None if column is None else higher_is_better(self.members, column)
        if column is None or higher is None:
            return []
        return select(self.groups, column, higher=higher, max_loss=self._definition.accuracy_budget)

    @property
    def baselines(self) -> list[Group]:
        """The groups without a penalty."""
        return [group for group in self.groups if group.is_baseline]

    def column(self, result: str) -> Column | None:
        """Return the column of a result on test images; None where no run has it."""
        return next((item for item in columns(self.members) if item.result == result and not is_validation(item)), None)

    def measures(self, result: str) -> bool:
        """Return whether the launch asks for the evaluation that a result is of."""
        return result.partition(".")[0] in self._measured

    def settings(self, group: Group) -> dict[str, Any]:
        named = {name: group.settings[name] for name in self.varied if name in group.settings}
        return named or {"regularizer.key": group.settings.get("regularizer.key")}

    def pick(self, wanted: Mapping[str, Any]) -> tuple[Group | None, str]:
        """Return the group of a method: a baseline, or a method's selected λ; or None, and why there is none."""
        rows = [row for row in self.selection if _matches(row.method.groups[-1], wanted)]
        baselines = [group for group in self.baselines if _matches(group, wanted)]
        if len(baselines) == 1 and "lambda_" not in wanted and not rows:
            return baselines[0], ""
        if len(rows) == 1:
            return rows[0].group, "" if rows[0].group else "no λ of it is within the budget of accuracy"
        exact = [group for group in self.groups if _matches(group, wanted)]
        if len(exact) == 1:
            return exact[0], ""
        return None, "its runs have no results yet" if not rows else "several methods have these settings"


def _default_name(evaluation: Mapping[str, Any]) -> str:
    return EvaluationSpec.model_validate(evaluation).default_name


def _matches(group: Group, wanted: Mapping[str, Any]) -> bool:
    return all(group.settings.get(name) == value for name, value in wanted.items())
