"""Estimated time of the evaluations of runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from sqlalchemy.orm import Session

from densitylab.backend.services.estimates import cost_model
from densitylab.backend.services.estimates.capacity import Capacity
from densitylab.backend.services.estimates.training_cost import on_cpu
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, EvaluationEntry
from densitylab.backend.shared.contracts import EvaluationSpec, RunSpec
from densitylab.backend.shared.store import datasets, evaluation_times

Basis = Literal["measured", "calibrated", "unknown"]


@dataclass(frozen=True)
class EvaluationTime:
    """Seconds of the evaluations of a run, and what they rest on."""

    each: tuple[float | None, ...]  # in the order of the spec; None: not known
    basis: Basis

    @property
    def seconds(self) -> float | None:
        """The seconds of all; None with the basis "unknown"."""
        known = [value for value in self.each if value is not None]
        return sum(known) if len(known) == len(self.each) else None


def evaluation_times_of(
    session: Session, catalog: Catalog, capacity: Capacity, planned: Sequence[RunSpec]
) -> list[EvaluationTime]:
    """Return the time of each run's evaluations: medians of finished ones with the same parameters, data and model, and
    for others the cost model's estimate.

    Args:
        session: of the database.
        catalog: with the costs of evaluations and networks.
        capacity: of the workers that evaluate the runs.
        planned: complete specs.
    """
    at_most = capacity.cores / capacity.at_once(len(planned))
    medians: dict[str, dict[str, float]] = {}
    estimates: dict[tuple[str, str], float | None] = {}
    answers = []
    for spec in planned:
        alike = [spec.dataset.model_dump(), spec.model.model_dump(), spec.device, spec.threads]
        kind = json.dumps(alike, sort_keys=True)
        if kind not in medians:
            medians[kind] = _medians(session, spec)
        seconds: list[float | None] = []
        measured = 0
        for item in spec.evaluations:
            key = _key(item.key, item.params, item.split)
            if key in medians[kind]:
                seconds.append(medians[kind][key])
                measured += 1
                continue
            if (kind, key) not in estimates:
                cores = min(capacity.threads_of(catalog, spec), at_most)
                estimates[kind, key] = _calibrated(session, catalog, spec, item, cores)
            seconds.append(estimates[kind, key])
        basis: Basis = "measured" if measured == len(seconds) else "unknown" if None in seconds else "calibrated"
        answers.append(EvaluationTime(tuple(seconds), basis))
    return answers


def _medians(session: Session, spec: RunSpec) -> dict[str, float]:
    measured: dict[str, list[float]] = {}
    for key, params, split, seconds in evaluation_times.similar_evaluations(session, spec):
        measured.setdefault(_key(key, params, split), []).append(seconds)
    return {key: median(values) for key, values in measured.items()}


def _key(key: str, params: Mapping[str, Any], split: str) -> str:
    return json.dumps([key, params, split], sort_keys=True)


def _calibrated(session: Session, catalog: Catalog, spec: RunSpec, item: EvaluationSpec, cores: float) -> float | None:
    if not on_cpu(session, spec):
        return None  # the cost model does not apply to GPUs
    dataset = catalog.dataset(spec.dataset.key, spec.dataset.params)
    network = specs.network_of(catalog, spec)
    images = _images(session, dataset, spec, item)
    cost = cost_model.evaluation_cost(catalog, catalog.find(EvaluationEntry, item.key), item.params, dataset)
    if network is None or images is None or cost is None or dataset.shape is None:
        return None
    return cost_model.evaluation_seconds(network, cost, images, dataset.shape, cores)


def _images(session: Session, dataset: DatasetEntry, spec: RunSpec, item: EvaluationSpec) -> int | None:
    """Return the number of images; None while the size of the split is not known."""
    row = datasets.get(session, spec.dataset.key, spec.dataset.params)
    size = row.sizes.get(item.split) if row is not None and row.ready else None
    if size is None and item.split == "test":
        size = dataset.test_size
    samples = item.params.get("samples")
    return samples if size is None else min(size, samples or size)
