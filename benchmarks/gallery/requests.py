"""Requests of the gallery: one experiment, and maps, slices and evaluations of its runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import (
    Attribution,
    AttributionRequest,
    Component,
    Density,
    DensityRequest,
    EvaluationSpec,
    ExperimentRequest,
    Run,
    Samples,
    Status,
)
from densitylab.frontend.charts.stability_curves import STABILITY, Point, evaluation_params, points
from densitylab.frontend.client import ApiClient
from densitylab.frontend.maps.render import Maps, read_maps

LAMBDAS = (0.0, 0.01, 0.1, 1.0, 10.0)
SHOWN = (0.0, 0.1, 1.0)  # for pictures with room for three
SEEDS = (0, 1, 2)
MINUTES = 3.0  # expected for the experiment on two CPU cores
EPSILON = 0.1  # L∞ radius of the attacks
IMAGES = (0, 1, 2)  # the run_of images of the test set, not selected ones
ATTACKED = IMAGES[0]
STABILITY_IMAGES = 200
STABILITY_SEEDS = SEEDS[:1]  # each further seed doubles the time of the gallery
GRADIENT = Component(key="gradient", params={})
# Perturbation -> (parameter of the strength, strengths, other parameters)
STRENGTHS: Mapping[str, tuple[str, tuple[float, ...], Mapping[str, int]]] = {
    "noise": ("sigma", (0.05, 0.1, 0.2), {}),
    "attack": ("epsilon", (0.01, 0.03, 0.1), {"steps": 10}),
}
REQUEST = ExperimentRequest(
    name="Gallery: what λ does",
    spec={
        "dataset": {"key": "blockmnist"},
        "model": {"key": "mlp"},
        "regularizer": {"key": "marginal_density"},
        "evaluations": [{"key": "leakage"}, {"key": "pgd_linf", "params": {"epsilons": [EPSILON], "samples": 500}}],
    },
    sweep={"lambda_": list(LAMBDAS), "seed": list(SEEDS)},
    notes="The runs behind docs/gallery.md.",
    tags=["gallery"],
)


@dataclass(frozen=True)
class MapSet:
    """Maps and the API's answer about them, with one run per λ."""

    answer: Attribution
    maps: Maps
    lambdas: Sequence[float]


@dataclass(frozen=True)
class GalleryData:
    """Data of the six pictures."""

    runs: Sequence[Run]  # every λ and seed
    class_names: Sequence[str]
    gradients: MapSet  # of IMAGES, every λ
    attack: MapSet  # of the attacked image, for SHOWN
    slices: Mapping[str, Density]  # by direction, for SHOWN
    stability: Mapping[str, Mapping[float, Mapping[int, Sequence[Point]]]]  # perturbation -> λ -> seed -> by strength


def fetch(client: ApiClient, runs: Sequence[Run]) -> GalleryData:
    """Request everything and wait for it. Raises ApiError, and SystemExit if a task failed."""
    run_of = {run.spec.lambda_: run.id for run in runs if run.spec.seed == SEEDS[0]}
    all_runs, shown = [run_of[item] for item in LAMBDAS], [run_of[item] for item in SHOWN]
    attack = Component(key="attack", params={"epsilon": EPSILON, **STRENGTHS["attack"][2]})
    entry = client.catalog().entry("dataset", "blockmnist")
    return GalleryData(
        runs=runs,
        class_names=entry.class_names if entry else [],
        gradients=_maps(client, AttributionRequest(runs=all_runs, samples=Samples(indices=list(IMAGES))), LAMBDAS),
        attack=_maps(
            client, AttributionRequest(runs=shown, samples=Samples(indices=[ATTACKED]), perturbation=attack), SHOWN
        ),
        slices={
            direction: _slices(client, DensityRequest(runs=shown, index=ATTACKED, direction=direction))
            for direction in ("random", "gradient")
        },
        stability={
            key: _stability(
                client, [run for run in runs if run.spec.lambda_ in SHOWN and run.spec.seed in STABILITY_SEEDS], key
            )
            for key in STRENGTHS
        },
    )


def _maps(client: ApiClient, request: AttributionRequest, lambdas: Sequence[float]) -> MapSet:
    answer = client.attribute(request)
    while not answer.status.final:
        time.sleep(0.2)
        answer = client.attribution(answer.id)
    _succeeded(answer.status, answer.error)
    return MapSet(answer, read_maps(client.attribution_file(answer.id)), lambdas)


def _slices(client: ApiClient, request: DensityRequest) -> Density:
    answer = client.slice_density(request)
    while not answer.status.final:
        time.sleep(0.2)
        answer = client.density(answer.id)
    _succeeded(answer.status, answer.error)
    return answer


def _stability(client: ApiClient, runs: Sequence[Run], key: str) -> dict[float, dict[int, list[Point]]]:
    strength, strengths, rest = STRENGTHS[key]
    perturbation = Component(key=key, params={strength: strengths[0], **rest})
    names = {
        run.id: {
            client.evaluate(
                run.id,
                EvaluationSpec(
                    key=STABILITY, params=evaluation_params(GRADIENT, perturbation, strength, at, STABILITY_IMAGES)
                ),
            ).name
            for at in strengths
        }
        for run in runs
    }
    curves: dict[float, dict[int, list[Point]]] = {item: {} for item in SHOWN}
    for run in runs:
        measures = client.evaluations(run.id)
        while not all(item.status.final for item in measures if item.name in names[run.id]):
            time.sleep(0.5)
            measures = client.evaluations(run.id)
        own = [item for item in measures if item.name in names[run.id]]
        for item in own:
            _succeeded(item.status, item.error)
        curves[run.spec.lambda_][run.spec.seed] = points(own, GRADIENT, perturbation, strength)
    return curves


def _succeeded(status: Status, error: str | None) -> None:
    if status is not Status.SUCCEEDED:
        raise SystemExit(f"{status.value}: {error or 'no reason given'}")
