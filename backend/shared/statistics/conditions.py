"""Differences between runs beside their specs: device, precision and version of the evaluation."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import Origin, Run
from densitylab.backend.shared.statistics.groups import Column


@dataclass(frozen=True)
class Condition:
    """A condition with several values among the compared runs."""

    name: str  # in words
    runs: dict[str, list[int]]  # by value


def differing_conditions(runs: Sequence[Run], columns: Iterable[Column]) -> list[Condition]:
    """Return the conditions in which runs differ that have these results.

    They are the device and the resolved precision of the training, and of each evaluation its device and its version.
    Devices differ if they are of another kind or model, not if they have another number of threads. What is not known
    of a run differs from nothing.
    """
    results: dict[str, set[str]] = {}  # by evaluation
    for column in columns:
        results.setdefault(column.result.partition(".")[0], set()).add(column.result)
    shown = [run for run in runs if any(_has(run, names) for names in results.values())]
    trained = [run for run in shown if run.origin is Origin.TRAINED]
    conditions = [
        _condition("device of the training", {run.id: _hardware(run.device) for run in trained}),
        _condition("precision of the training", {run.id: run.provenance.get("precision") for run in trained}),
    ]
    for evaluation, names in results.items():
        stored = {
            run.id: (run.provenance.get("evaluated") or {}).get(evaluation, {}) for run in runs if _has(run, names)
        }
        devices = {run: _hardware(own.get("device")) for run, own in stored.items()}
        versions = {run: own.get("version") for run, own in stored.items()}
        conditions.append(_condition(f"device of the evaluation {evaluation}", devices))
        conditions.append(_condition(f"version of the evaluation {evaluation}", versions))
    return [condition for condition in conditions if len(condition.runs) > 1]


def conditions_text(conditions: Sequence[Condition]) -> str:
    """Return a sentence that names the conditions, each with the runs by its values; "" for none."""
    if not conditions:
        return ""
    parts = [
        f"{condition.name} ({'; '.join(f'{value}: {_listed(runs)}' for value, runs in condition.runs.items())})"
        for condition in conditions
    ]
    return f"The runs differ in the {', in the '.join(parts)}: a part of a difference may come from it."


def _condition(name: str, values: Mapping[int, object]) -> Condition:
    runs: dict[str, list[int]] = {}
    for run, value in values.items():
        if value is not None:
            runs.setdefault(str(value), []).append(run)
    return Condition(name, runs)


def _has(run: Run, results: Collection[str]) -> bool:
    return any(result in run.results for result in results)


def _hardware(device: str | None) -> str | None:
    """Return a device without its number and its threads: "cpu (x86_64)" of "cpu (x86_64, 2 threads)"."""
    return re.sub(r"^(\w+):\d+", r"\1", re.sub(r", \d+ threads?\)$", ")", device)) if device else None


def _listed(runs: Sequence[int]) -> str:
    first = ", ".join(map(str, runs[:5]))
    more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
    return f"run{'s' if len(runs) > 1 else ''} {first}{more}"
