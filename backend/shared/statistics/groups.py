"""Groups of runs that differ only in the seed: their settings, results, means, baselines and differences."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from densitylab.backend.shared.contracts import EvaluationSplit, Origin, Run, Value
from densitylab.backend.shared.contracts.later_params import LATER_PARAMS
from densitylab.backend.shared.statistics.bounds import SHARE, Bounds, BoundsOf, unbounded
from densitylab.backend.shared.statistics.estimates import Estimate, estimate, estimate_proportion, wilson
from densitylab.backend.shared.statistics.paired_tests import PairedTest, paired_t

OF_PENALTY = ("regularizer.", "schedule.")  # prefixes of settings that have no part in a training with λ = 0
_NAMED = 5  # trainings in a sentence


@dataclass(frozen=True)
class Column:
    """A result evaluated with the same parameters on the same images: values that are comparable."""

    result: str  # "<evaluation name>.<value name>"
    evaluation: str  # the catalog's key
    params: str  # canonical JSON
    data_hash: str = ""  # "" where it is unknown
    split: EvaluationSplit = "test"

    @property
    def value(self) -> str:
        return self.result.partition(".")[2]


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed, or one model that was trained elsewhere. The runs of a baseline may differ in
    the penalty too, which is not computed."""

    settings: dict[str, Any]  # flat spec of the first run without the seed, and the hash of the data
    runs: list[Run]  # in the order of their numbers
    is_baseline: bool  # λ is 0, or the regularizer has no penalty
    bounds: BoundsOf = unbounded

    def bounds_of(self, column: Column) -> Bounds:
        """Return the lowest and the highest possible value of a result."""
        return self.bounds(column.evaluation, column.value)

    def value_of(self, run: Run, column: Column) -> float | None:
        """Return the run's value of this column; None where it has none."""
        return self._values.get(column, {}).get(run.id)

    @property
    def trained_here(self) -> bool:
        return self.runs[0].origin is Origin.TRAINED

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs; none of a model that was trained elsewhere."""
        return [run.spec.seed for run in self.runs] if self.trained_here else []

    @cached_property
    def _values(self) -> dict[Column, dict[int, float]]:
        """Values by column and run, cached: tables and charts read each value many times."""
        values: dict[Column, dict[int, float]] = {}
        for run in self.runs:
            for column in self.columns_by_run[run.id]:
                value = run.results[column.result].value
                if value is not None:
                    values.setdefault(column, {})[run.id] = value
        return values

    @cached_property
    def columns_by_run(self) -> dict[int, list[Column]]:
        """Columns of each run's results."""
        return {run.id: columns_of(run) for run in self.runs}

    @cached_property
    def by_seed(self) -> dict[Column, dict[int | None, float]]:
        """Values by column and seed; of several runs with one seed the newest. None: the seed is not known."""
        known = self.trained_here
        seeds = {run.id: run.spec.seed if known else None for run in self.runs}
        return {
            column: {seed: values[run_id] for run_id, seed in seeds.items() if run_id in values}
            for column, values in self._values.items()
        }

    @cached_property
    def repeated(self) -> list[list[int]]:
        """The runs of each seed that have the same result: one training, of which the newest run counts."""
        found: dict[int, set[int]] = {}
        for values in self._values.values():
            own: dict[int, list[int]] = {}
            for run in self.runs:
                if run.id in values:
                    own.setdefault(run.spec.seed, []).append(run.id)
            for seed, ids in own.items():
                if len(ids) > 1:
                    found.setdefault(seed, set()).update(ids)
        return [sorted(ids) for _, ids in sorted(found.items())]

    @cached_property
    def means(self) -> dict[Column, Estimate]:
        """Mean over seeds by column."""
        estimates = {
            column: estimate_proportion(list(values.values()), [images] * len(values))
            if (images := self.images(column))
            else estimate(list(values.values()), self.bounds_of(column))
            for column, values in self.by_seed.items()
        }
        return {column: mean for column, mean in estimates.items() if mean}

    def images(self, column: Column) -> int | None:
        """Return the smallest number of images behind a value; None where the values are no proportions of images."""
        return self._images.get(column)

    @cached_property
    def _images(self) -> dict[Column, int]:
        results = {run.id: run.results for run in self.runs}
        counts = {}
        for column, by_run in self._values.items():
            values = [results[run_id][column.result] for run_id in by_run]
            if all(_is_proportion(value) for value in values):
                counts[column] = min(value.n for value in values)
        return counts


def flatten(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves by dotted path; a list is a leaf."""
    leaves: dict[str, Any] = {}
    for name, value in spec.items():
        if isinstance(value, dict) and value:
            leaves.update(flatten(value, f"{prefix}{name}."))
        elif not isinstance(value, dict):
            leaves[f"{prefix}{name}"] = value
    return leaves


def settings(run: Run) -> dict[str, Any]:
    """Return the settings, besides the seed, that determine a run's training, by dotted path. Of a model that was
    trained elsewhere: its name, its network, its data set, and λ, which is None unless somebody stated it."""
    if run.origin is Origin.TRAINED:
        beside = {"seed", "evaluations", "device", "threads", "init_from"}
        leaves = flatten(run.spec.model_dump(mode="json", exclude=beside))
        for kind, later in LATER_PARAMS.items():
            for name, value in later.get(leaves[f"{kind}.key"], {}).items():
                leaves.setdefault(f"{kind}.params.{name}", value)
        leaves["init_from"] = _start(run)
    else:
        network = flatten({name: value for name, value in run.known_spec.items() if name != "evaluations"})
        leaves = {"source": run.name or run.source_name, **network, "lambda_": run.lambda_}
    if run.provenance.get("data_hash"):
        leaves["data_hash"] = run.provenance["data_hash"]
    return leaves


def _start(run: Run) -> str:
    """Return what the training starts from, in words. Continued runs are alike if their sources had the same epochs and
    start: the source of each seed is another run."""
    init_from = run.spec.init_from
    if init_from is None:
        return "new weights"
    parts = []
    for ancestor in run.lineage.ancestors:
        if ancestor.mode == "weights":
            parts.append(f"weights of run {ancestor.run}")
            break
        parts.append("continued" if ancestor.epochs is None else f"continued after {ancestor.epochs:g} epochs")
    if init_from.head == "new":
        parts.append("new head")
    if init_from.freeze:
        parts.append(f"frozen {' '.join(init_from.freeze)}")
    if init_from.head_learning_rate_factor is not None:
        parts.append(f"head at {init_from.head_learning_rate_factor:g} times the learning rate")
    return ", ".join(parts)


def group_runs(runs: Iterable[Run], plain: Collection[str] = (), bounds: BoundsOf = unbounded) -> list[Group]:
    """Return the groups in order of λ, baselines first.

    Without a penalty the regularizer and the schedule of λ have no part in the training, so that runs which differ in
    these alone are one baseline. A model that was trained elsewhere is a group of its own, behind those trained here.

    Args:
        runs: of any experiments.
        plain: keys of the regularizers without a penalty.
        bounds: the catalog's bounds of results, at which intervals over seeds end.
    """
    members: dict[str, list[tuple[dict[str, Any], Run]]] = {}
    for run in sorted(runs, key=lambda run: run.id):
        own = settings(run)
        if own.get("regularizer.key") in plain:
            own["lambda_"] = 0.0  # whatever the weight of no penalty is
        # A run that has not started has no data hash yet; it belongs to the group nevertheless
        shared = _without_penalty(own) if own["lambda_"] == 0 else own
        key = json.dumps({name: value for name, value in shared.items() if name != "data_hash"}, sort_keys=True)
        if run.origin is not Origin.TRAINED:
            key += f" {run.id}"
        members.setdefault(key, []).append((own, run))
    groups = []
    for alike in members.values():
        # A baseline has the settings of a run without a regularizer, if there is one
        own = min(alike, key=lambda item: item[0].get("regularizer.key") not in plain)[0]
        groups.append(Group(own, [run for _, run in alike], own["lambda_"] == 0, bounds))
    return sorted(
        groups,
        key=lambda group: (
            not group.trained_here,
            not group.is_baseline,
            group.settings.get("regularizer.key", ""),
            math.inf if group.settings["lambda_"] is None else group.settings["lambda_"],
            group.runs[0].id,
        ),
    )


def newest_of_each_seed(runs: Iterable[Run]) -> list[Run]:
    """Return the runs of a group without those of which a newer one has the same seed."""
    return list({run.spec.seed: run for run in sorted(runs, key=lambda run: run.id)}.values())


def repeated_text(groups: Iterable[Group]) -> str:
    """Return a sentence that names the runs which are one training; "" for none."""
    repeated = [" and ".join(map(str, ids)) for group in groups for ids in group.repeated]
    if not repeated:
        return ""
    more = f" and {len(repeated) - _NAMED} more" if len(repeated) > _NAMED else ""
    return (
        f"Trained more than once with the same settings and seed: runs {'; '.join(repeated[:_NAMED])}{more}. Of each "
        "only the newest run with a result counts."
    )


def differing_settings(groups: Sequence[Group]) -> list[str]:
    """Return the settings in which the groups differ, in the order of the spec.

    A component's parameter counts only where groups with the same component differ in it: the component's name
    already tells the others apart. What is not known of a model that was trained elsewhere differs from nothing.
    """
    names = dict.fromkeys(name for group in groups for name in group.settings if name != "data_hash")
    return [name for name in names if any(len(values) > 1 for values in _values(name, groups).values())]


def _values(name: str, groups: Sequence[Group]) -> dict[str, set[str]]:
    """Return the values of a setting by the key of its component."""
    kind, _, rest = name.partition(".params.")
    of_training = not rest and any(group.trained_here and name in group.settings for group in groups)
    values: dict[str, set[str]] = {}
    for group in groups:
        owner = str(group.settings.get(f"{kind}.key")) if rest else ""
        if name in group.settings or (of_training and group.trained_here):
            values.setdefault(owner, set()).add(repr(group.settings.get(name)))
    return values


def is_unused(name: str, group: Group) -> bool:
    """Return whether the setting is a detail of a penalty, and the group has none."""
    return group.is_baseline and name.startswith(OF_PENALTY) and name != "regularizer.key"


def columns(runs: Iterable[Run]) -> list[Column]:
    """Return the columns of the runs' results; each set of parameters and data has its own."""
    return list(dict.fromkeys(column for run in runs for column in columns_of(run)))


def columns_of(run: Run) -> list[Column]:
    """Return the column of each result of the run."""
    data_hash = run.provenance.get("data_hash") or ""
    evaluations = {
        item.name: (item.key, json.dumps(item.params, sort_keys=True), data_hash, item.split)
        for item in run.evaluations
    }
    names = {result: result.partition(".")[0] for result in run.results}
    return [Column(result, *evaluations.get(name, (name, "{}", data_hash))) for result, name in names.items()]


def higher_is_better(runs: Iterable[Run], column: Column) -> bool | None:
    """Return whether more is better; None where the evaluation does not say."""
    values = (run.results.get(column.result) for run in runs)
    return next((value.higher_is_better for value in values if value and value.higher_is_better is not None), None)


def mean_over_seeds(group: Group, column: Column) -> Estimate | None:
    return group.means.get(column)


def _is_proportion(value: Value) -> bool:
    """Return whether the interval is Wilson's, as that of every proportion of images is and no bootstrap's."""
    if value.value is None or value.low is None or value.high is None or not 0 <= value.value <= 1 or value.n == 0:
        return False
    expected = wilson(value.value, value.n)
    return all(
        math.isclose(own, other, abs_tol=1e-9) for own, other in zip((value.low, value.high), expected, strict=True)
    )


def difference(group: Group, baseline: Group, column: Column) -> PairedTest | None:
    """Return the mean difference from the baseline with its t test, paired by seed; None without common seeds."""
    ours, theirs = group.by_seed.get(column, {}), baseline.by_seed.get(column, {})
    images = [count for own in (group, baseline) if (count := own.images(column))]
    low, high = SHARE if len(images) == 2 else group.bounds_of(column)
    return paired_t(
        [ours[seed] - theirs[seed] for seed in ours if seed in theirs],
        resolution=1 / min(images) if len(images) == 2 else 0.0,
        bounds=(low - high, high - low),
    )


def baseline_for(group: Group, groups: Sequence[Group]) -> Group | None:
    """Return the group with the same spec but without a penalty; None where there is none, and for such a group.

    The regularizer, λ and its schedule may differ; of several candidates the one with the fewest differences counts.
    """
    if group.is_baseline or group.settings["lambda_"] is None:
        return None
    setup = _setup(group)
    candidates = [other for other in groups if other.is_baseline and _setup(other) == setup]
    if not candidates:
        return None
    return min(
        candidates,
        key=lambda other: sum(
            group.settings.get(name) != other.settings.get(name) for name in {*group.settings, *other.settings}
        ),
    )


def _setup(group: Group) -> dict[str, Any]:
    """Return the settings that do not belong to the penalty; the columns tell different data apart."""
    settings_ = _without_penalty(group.settings)
    return {name: value for name, value in settings_.items() if name not in ("lambda_", "data_hash", "source")}


def _without_penalty(settings_: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without the regularizer and the schedule of λ."""
    return {name: value for name, value in settings_.items() if not name.startswith(OF_PENALTY)}
