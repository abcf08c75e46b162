"""Statistics over seeds: groups of equal specs, means with Student-t intervals, differences from a baseline."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import fmean
from typing import Any

from backend.shared.contracts import Run

_BISECTIONS = 80  # halves the bracket below double precision


@dataclass(frozen=True)
class Estimate:
    """A mean over n values with its 95 % Student-t interval, which needs n of at least 2."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        return None if self.high is None else self.high - self.mean


@dataclass(frozen=True)
class Column:
    """Values that may stand together: one result, measured with the same parameters on the same data."""

    result: str  # "<evaluation name>.<value name>"
    evaluation: str  # the catalog's key
    params: str  # canonical JSON
    data_hash: str = ""  # "" where the run does not know it

    @property
    def value(self) -> str:
        return self.result.partition(".")[2]


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed."""

    settings: dict[str, Any]  # flat spec without the seed, and the hash of the data
    runs: list[Run]
    is_baseline: bool  # λ is 0 or the regularizer has no penalty, which differ in name alone

    def value_of(self, run: Run, column: Column) -> float | None:
        """The value of one of its runs; None where it was not measured, or otherwise than the column says."""
        return self._values.get(column, {}).get(run.id)

    @cached_property
    def _values(self) -> dict[Column, dict[int, float]]:
        """By column and run: gathered once, since tables and charts ask for each value many times."""
        values: dict[Column, dict[int, float]] = {}
        for run in self.runs:
            for column in columns_of(run):
                value = run.results[column.result].value
                if value is not None:
                    values.setdefault(column, {})[run.id] = value
        return values

    @cached_property
    def by_seed(self) -> dict[Column, dict[int, float]]:
        """Seed to value, by column; the newest run where a seed was run twice."""
        seeds = {run.id: run.spec.seed for run in sorted(self.runs, key=lambda run: run.id)}
        return {column: {seed: values[run_id] for run_id, seed in seeds.items() if run_id in values}
                for column, values in self._values.items()}

    @cached_property
    def means(self) -> dict[Column, Estimate]:
        """The mean over seeds of every result."""
        found = {column: estimate(list(values.values())) for column, values in self.by_seed.items()}
        return {column: mean for column, mean in found.items() if mean}


@cache
def t_quantile(degrees: int, confidence: float = 0.95) -> float:
    """t with P(|T| ≤ t) = confidence for `degrees` (≥ 1) degrees of freedom.

    Bisection on Abramowitz & Stegun 26.7.3 and 26.7.4, which are exact for whole degrees of freedom.
    """
    if degrees < 1:
        raise ValueError(f"expected at least 1 degree of freedom, got {degrees}")
    low, high = 0.0, math.pi / 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _central_probability(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.tan(low) * math.sqrt(degrees)


def _central_probability(theta: float, degrees: int) -> float:
    """P(|T| ≤ √degrees · tan θ)."""
    cosine, sine = math.cos(theta), math.sin(theta)
    if degrees % 2:
        term, total = cosine, 0.0
        for k in range(1, (degrees - 1) // 2 + 1):
            total += term
            term *= cosine**2 * 2 * k / (2 * k + 1)
        return (theta + sine * total) * 2 / math.pi
    term, total = 1.0, 0.0
    for k in range(1, degrees // 2 + 1):
        total += term
        term *= cosine**2 * (2 * k - 1) / (2 * k)
    return sine * total


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and 95 % t interval; None of no values."""
    if not values:
        return None
    mean, n = fmean(values), len(values)
    if n == 1:
        return Estimate(mean, None, None, 1)
    # statistics.stdev counts in fractions, and takes most of a page's time for it
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile(n - 1) * spread / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def flat(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted paths to the leaves; a list is a leaf."""
    leaves: dict[str, Any] = {}
    for name, value in spec.items():
        if isinstance(value, dict) and value:
            leaves.update(flat(value, f"{prefix}{name}."))
        elif not isinstance(value, dict):
            leaves[f"{prefix}{name}"] = value
    return leaves


def settings(run: Run) -> dict[str, Any]:
    """What a run's numbers depend on besides the seed."""
    leaves = flat(run.spec.model_dump(mode="json", exclude={"seed", "evaluations", "device"}))
    if run.provenance.get("data_hash"):
        leaves["data_hash"] = run.provenance["data_hash"]
    return leaves


def grouped(runs: Iterable[Run], plain: Collection[str] = ()) -> list[Group]:
    """Groups in order of λ, the baseline first; `plain` are the keys of the regularizers without a penalty."""
    groups: dict[str, Group] = {}
    for run in runs:
        found = settings(run)
        # A run that has not started knows no data hash yet; it belongs to its group all the same
        key = json.dumps({name: value for name, value in found.items() if name != "data_hash"}, sort_keys=True)
        baseline = found["lambda_"] == 0 or found["regularizer.key"] in plain
        group = groups.setdefault(key, Group(found, [], baseline))
        group.runs.append(run)
    return sorted(groups.values(), key=lambda group: (
        not group.is_baseline, group.settings["regularizer.key"], group.settings["lambda_"],
        min(run.id for run in group.runs),
    ))


def differing(groups: Sequence[Group]) -> list[str]:
    """The settings in which the groups differ, in the order of the spec.

    A component's parameter counts where groups with the same component differ in it: that another component lacks
    it is said by the component's name already.
    """
    names = dict.fromkeys(name for group in groups for name in group.settings if name != "data_hash")
    return [name for name in names if any(len(values) > 1 for values in _values(name, groups).values())]


def _values(name: str, groups: Sequence[Group]) -> dict[str, set[str]]:
    """The values of a setting, by the key of the component that it belongs to."""
    kind, _, rest = name.partition(".params.")
    values: dict[str, set[str]] = {}
    for group in groups:
        owner = str(group.settings.get(f"{kind}.key")) if rest else ""
        if not rest or name in group.settings:
            values.setdefault(owner, set()).add(repr(group.settings.get(name)))
    return values


def data_hashes(runs: Iterable[Run]) -> set[str]:
    return {run.provenance["data_hash"] for run in runs if run.provenance.get("data_hash")}


def columns(runs: Iterable[Run]) -> list[Column]:
    """Every result of the runs; one measured with other parameters or on other data is a column of its own."""
    return list(dict.fromkeys(column for run in runs for column in columns_of(run)))


def columns_of(run: Run) -> list[Column]:
    """Where each of a run's results belongs."""
    data_hash = run.provenance.get("data_hash") or ""
    measures = {item.name: (item.key, json.dumps(item.params, sort_keys=True)) for item in run.evaluations}
    found = []
    for result in run.results:
        name = result.partition(".")[0]
        found.append(Column(result, *measures.get(name, (name, "{}")), data_hash))
    return found


def higher_is_better(runs: Iterable[Run], column: Column) -> bool | None:
    """The direction that the result's evaluation states; None where it states none."""
    values = (run.results.get(column.result) for run in runs)
    return next((value.higher_is_better for value in values if value and value.higher_is_better is not None), None)


def mean_over_seeds(group: Group, column: Column) -> Estimate | None:
    return group.means.get(column)


def difference(group: Group, baseline: Group, column: Column) -> Estimate | None:
    """Mean of the differences from the baseline, paired by seed; None without common seeds."""
    ours, theirs = group.by_seed.get(column, {}), baseline.by_seed.get(column, {})
    return estimate([ours[seed] - theirs[seed] for seed in ours if seed in theirs])


def baseline_for(group: Group, groups: Sequence[Group]) -> Group | None:
    """The group without penalty and with the same spec otherwise; None where there is none, or for it itself.

    What belongs to the penalty (the regularizer, λ and its schedule) may differ; of several the nearest is taken.
    """
    if group.is_baseline:
        return None
    candidates = [other for other in groups if other.is_baseline and _setup(other) == _setup(group)]
    if not candidates:
        return None
    return min(candidates, key=lambda other: sum(
        group.settings.get(name) != other.settings.get(name) for name in {*group.settings, *other.settings}
    ))


def _setup(group: Group) -> dict[str, Any]:
    """The settings that are not the penalty's. Data that differ are told apart by the columns."""
    return {name: value for name, value in group.settings.items()
            if name not in ("lambda_", "data_hash") and not name.startswith(("regularizer.", "schedule."))}


def best(estimates: Sequence[Estimate | None], higher: bool | None) -> set[int]:
    """Places of the best mean; none where the direction is unknown or there is nothing to choose between."""
    known = [found.mean for found in estimates if found]
    if higher is None or len(known) < 2:
        return set()
    top = max(known) if higher else min(known)
    return {place for place, found in enumerate(estimates) if found and found.mean == top}
