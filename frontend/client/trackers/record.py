"""A run with everything that a tracker's files keep of it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from densitylab.backend.shared.contracts import Evaluation, Experiment, MetricPoint, MetricSeries, Origin, Run

Scalar = str | int | float | bool
# Trackers use names as paths of files
_NOT_PORTABLE = re.compile(r"[^\w./-]")
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Record:
    """A run with its experiment, curves and evaluations."""

    run: Run
    experiment: Experiment
    curves: list[MetricSeries]
    evaluations: list[Evaluation]

    @property
    def name(self) -> str:
        return self.run.name or f"run {self.run.id}"

    @property
    def group(self) -> str:
        """Return the name of the experiment, with its number: several experiments may have one name."""
        return f"{self.experiment.name} ({self.experiment.id})"

    @property
    def params(self) -> dict[str, Scalar]:
        """Return what is known of the spec, and what a training loop elsewhere logged as `params`, as values by dotted
        path; lists are JSON, and null is the text "null"."""
        known = self.run.known_spec
        if self.run.origin is Origin.LOGGED:
            known["params"] = self.run.provenance.get("params", {})
        return dict(_flat(known))

    @property
    def facts(self) -> dict[str, str]:
        """Return what is no number: name, status, device, notes, tags, flags, provenance, by dotted path."""
        run = self.run
        others = {"experiment", "spec", "metrics", "results", "flags", "evaluations", "evaluation_counts"}
        kept = {"experiment": self.group} | run.model_dump(mode="json", exclude=others)
        flags = {f"flag.{flag.key}": flag.text for flag in run.flags}
        return {name: str(value) for name, value in _flat(kept) if value != "null"} | flags

    @property
    def results(self) -> dict[str, float]:
        """Return the results as `results/NAME`, and with `.low`, `.high` and `.n`; what is not defined is left out."""
        names = self._names[len(self.curves) :]
        return {name: number for name, (_, number) in zip(names, self._result_values, strict=True)}

    def points(self) -> Iterator[tuple[str, MetricPoint, float]]:
        """Yield the name, the point and its time in seconds since the epoch, of each point of each curve."""
        for name, curve in zip(self._names, self.curves, strict=False):
            for point in curve.points:
                yield name, point, self.started + point.seconds

    @property
    def started(self) -> float:
        """Return the seconds since the epoch at which the training began."""
        return (self.run.started_at or self.run.created_at).timestamp()

    @property
    def ended(self) -> float | None:
        return self.run.finished_at.timestamp() if self.run.finished_at else None

    @property
    def last_step(self) -> int:
        return max((point.step for curve in self.curves for point in curve.points), default=0)

    @cached_property
    def _names(self) -> list[str]:
        """Return names that every tracker takes, no two the same: of each curve, then of each result."""
        return portable([*(curve.name for curve in self.curves), *(name for name, _ in self._result_values)])

    @cached_property
    def _result_values(self) -> list[tuple[str, float]]:
        numbers = []
        for name, value in self.run.results.items():
            parts = {"": value.value, ".low": value.low, ".high": value.high, ".n": value.n}
            numbers += [(f"results/{name}{part}", number) for part, number in parts.items() if number is not None]
        return numbers


def portable(names: list[str]) -> list[str]:
    """Return a name for each name: of letters, digits, `_ . - /`, a relative path, at most 200 characters, and no
    name twice, also where upper and lower case are the same."""
    given: list[str] = []
    taken: set[str] = set()
    for name in names:
        parts = _NOT_PORTABLE.sub("_", name)[:_LONGEST_NAME].split("/")
        path = "/".join("_" if part in ("", ".", "..") else part for part in parts)
        candidate, number = path, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{path}_{number}"
        taken.add(candidate.casefold())
        given.append(candidate)
    return given


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, str | int | float):
        yield path, value
    else:
        yield path, json.dumps(value, ensure_ascii=False)
