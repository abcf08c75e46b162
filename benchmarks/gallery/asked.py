"""What the gallery asks a running system for: one experiment, and maps, slices and measures of its runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.shared.contracts import (
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
from frontend.client import ApiClient
from frontend.maps import Maps, read_maps
from frontend.stability_curves import STABILITY, Point, asked, points

LAMBDAS = (0.0, 0.01, 0.1, 1.0, 10.0)
SHOWN = (0.0, 0.1, 1.0)  # where all would be too many
SEEDS = (0, 1, 2)
MINUTES = 3.0  # of the experiment on two CPU cores
EPSILON = 0.1  # of the attacks, L∞
IMAGES = (0, 1, 2)  # of the test set: the first, and not the best
ATTACKED = IMAGES[0]
STABILITY_IMAGES = 200
STABILITY_SEEDS = SEEDS[:1]  # each more takes as long again as all else
GRADIENT = Component(key="gradient", params={})
# Perturbation -> (its strength's parameter, the strengths, its other parameters)
STRENGTHS: Mapping[str, tuple[str, tuple[float, ...], Mapping[str, int]]] = {
    "noise": ("sigma", (0.05, 0.1, 0.2), {}),
    "attack": ("epsilon", (0.01, 0.03, 0.1), {"steps": 10}),
}
REQUEST = ExperimentRequest(
    name="Gallery: what λ does",
    spec={
        "dataset": {"key": "blockmnist"}, "model": {"key": "mlp"}, "regularizer": {"key": "marginal_density"},
        "evaluations": [{"key": "leakage"},
                        {"key": "pgd_linf", "params": {"epsilons": [EPSILON], "samples": 500}}],
    },
    sweep={"lambda_": list(LAMBDAS), "seed": list(SEEDS)},
    notes="The runs behind docs/gallery.md.", tags=["gallery"],
)


@dataclass(frozen=True)
class Seen:
    """Maps with what the API says of them; a row per run of λ."""

    answer: Attribution
    maps: Maps
    lambdas: Sequence[float]


@dataclass(frozen=True)
class Found:
    """All that the six pictures show."""

    runs: Sequence[Run]  # of every λ and seed
    class_names: Sequence[str]
    gradients: Seen  # of IMAGES, for every λ
    attack: Seen  # of the attacked image, for SHOWN
    slices: Mapping[str, Density]  # by direction, for SHOWN
    stability: Mapping[str, Mapping[float, Mapping[int, Sequence[Point]]]]  # perturbation -> λ -> seed -> by strength


def ask(client: ApiClient, runs: Sequence[Run]) -> Found:
    """Waits for what is not there yet. Raises ApiError, and SystemExit where something failed."""
    first = {run.spec.lambda_: run.id for run in runs if run.spec.seed == SEEDS[0]}
    everywhere, shown = [first[item] for item in LAMBDAS], [first[item] for item in SHOWN]
    attack = Component(key="attack", params={"epsilon": EPSILON, **STRENGTHS["attack"][2]})
    entry = client.catalog().entry("dataset", "blockmnist")
    return Found(
        runs=runs, class_names=entry.class_names if entry else [],
        gradients=_maps(client, AttributionRequest(runs=everywhere, samples=Samples(indices=list(IMAGES))), LAMBDAS),
        attack=_maps(client, AttributionRequest(runs=shown, samples=Samples(indices=[ATTACKED]), perturbation=attack),
                     SHOWN),
        slices={direction: _slices(client, DensityRequest(runs=shown, index=ATTACKED, direction=direction))
                for direction in ("random", "gradient")},
        stability={key: _stability(client, [run for run in runs if run.spec.lambda_ in SHOWN
                                          and run.spec.seed in STABILITY_SEEDS], key)
                   for key in STRENGTHS},
    )


def _maps(client: ApiClient, request: AttributionRequest, lambdas: Sequence[float]) -> Seen:
    answer = client.attribute(request)
    while not answer.status.final:
        time.sleep(0.2)
        answer = client.attribution(answer.id)
    _succeeded(answer.status, answer.error)
    return Seen(answer, read_maps(client.attribution_file(answer.id)), lambdas)


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
    names = {run.id: {client.evaluate(run.id, EvaluationSpec(key=STABILITY, params=asked(
        GRADIENT, perturbation, strength, at, STABILITY_IMAGES))).name for at in strengths} for run in runs}
    found: dict[float, dict[int, list[Point]]] = {item: {} for item in SHOWN}
    for run in runs:
        measures = client.evaluations(run.id)
        while not all(item.status.final for item in measures if item.name in names[run.id]):
            time.sleep(0.5)
            measures = client.evaluations(run.id)
        own = [item for item in measures if item.name in names[run.id]]
        for item in own:
            _succeeded(item.status, item.error)
        found[run.spec.lambda_][run.spec.seed] = points(own, GRADIENT, perturbation, strength)
    return found


def _succeeded(status: Status, error: str | None) -> None:
    if status is not Status.SUCCEEDED:
        raise SystemExit(f"{status.value}: {error or 'no reason given'}")
