"""The gallery: a valid request, six pictures, and captions whose numbers and verdicts follow made-up data."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from benchmarks.gallery.page import FIGURES, page
from benchmarks.gallery.requests import LAMBDAS, REQUEST, SEEDS, SHOWN, STRENGTHS, GalleryData, MapSet
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Attribution, Density, Evaluation, Run, RunSpec, Value
from densitylab.backend.shared.specs import plan
from densitylab.frontend.charts.stability_curves import Point
from densitylab.frontend.maps.render import Maps

NOW = datetime.now(UTC)
OF_TASK = {"id": 1, "status": "succeeded", "task": 1, "created_at": NOW}
CHANCE = np.random.default_rng(0)


def run(lambda_: float, seed: int, share: float) -> Run:
    results = {
        "accuracy.accuracy": 0.9,
        "pgd_linf.accuracy": 0.1 * lambda_,
        "leakage.l2": 7.0 / (1 + lambda_),
        "leakage.share": share,
    }
    return Run(
        id=1 + int(1000 * lambda_) + seed,
        experiment=1,
        task=1,
        status="succeeded",
        created_at=NOW,
        spec=RunSpec.model_validate({"lambda_": lambda_, "seed": seed}),
        results={name: Value(value=value + 0.001 * seed, n=100) for name, value in results.items()},
    )


def map_set(lambdas, images: int, *, perturbed: bool = False) -> MapSet:
    view = {"predicted": 3, "confidence": 0.8, "log_density": 1.0, "leakage": 2.5, "leakage_share": 0.25}
    after = {**view, "predicted": 5, "delta_l2": 1.0, "delta_linf": 0.1, "similarity": {"cosine": 0.125}}
    panels = [
        {**view, "run": row, "index": index, "label": 3, "target": 3, "perturbed": after if perturbed else None}
        for row in range(len(lambdas))
        for index in range(images)
    ]
    maps = CHANCE.normal(size=(len(lambdas), images, 1, 56, 28))
    answer = Attribution.model_validate(
        {
            **OF_TASK,
            "runs": list(range(len(lambdas))),
            "method": "gradient",
            "params": {},
            "target": "label",
            "samples": {"indices": list(range(images))},
            "limit": 2.0,
            "panels": panels,
        }
    )
    return MapSet(
        answer,
        Maps(
            np.zeros((images, 1, 56, 28), np.uint8),
            np.full(images, 3),
            maps,
            np.full(maps.shape[:2], 3),
            np.full(maps.shape[:2], 0.8),
            np.zeros((images, 1, 56, 28), bool),
            np.full(maps.shape, 0.1) if perturbed else None,
            maps + 0.5 if perturbed else None,
        ),
        lambdas,
    )


def slices() -> Density:
    of_run = {"run": 1, "at_image": 0.0, "slope": 1.5, "curve": [-2.0, 0.0, 4.0], "plane": [[-2.0, 0.0, 4.0]] * 3}
    return Density.model_validate(
        {
            **OF_TASK,
            "request": {"runs": [1], "index": 0},
            "distances": [-5, 0, 5],
            "sides": [-5, 0, 5],
            "of_runs": [of_run] * len(SHOWN),
        }
    )


def points(strengths, cosine: float) -> list[Point]:
    value = Value(value=cosine, low=cosine - 0.05, high=cosine + 0.05, n=200)
    values = {"cosine": value, "cosine_random_map": Value(value=0.0), "cosine_random_weights": Value(value=0.01)}
    item = Evaluation.model_validate(
        {**OF_TASK, "run": 1, "name": "stability", "key": "stability", "params": {}, "values": values}
    )
    return [Point(at, item) for at in strengths]


@pytest.fixture
def data() -> GalleryData:
    shares = dict(zip(LAMBDAS, (0.4, 0.2, 0.4, 0.5, 0.2), strict=True))
    alike = dict(zip(SHOWN, (0.8, 0.82, 0.5), strict=True))
    return GalleryData(
        runs=[run(lambda_, seed, shares[lambda_]) for lambda_ in LAMBDAS for seed in SEEDS],
        class_names=[str(digit) for digit in range(10)],
        gradients=map_set(LAMBDAS, 3),
        attack=map_set(SHOWN, 1, perturbed=True),
        slices={"random": slices(), "gradient": slices()},
        stability={
            key: {lambda_: {SEEDS[0]: points(strengths, alike[lambda_])} for lambda_ in SHOWN}
            for key, (_, strengths, _) in STRENGTHS.items()
        },
    )


def test_the_request_is_every_lambda_with_every_seed():
    specs = [item.spec for item in plan(Catalog.built_in(), REQUEST.spec, REQUEST.sweep)]
    assert {(spec.lambda_, spec.seed) for spec in specs} == {(item, seed) for item in LAMBDAS for seed in SEEDS}
    assert {spec.regularizer.key for spec in specs} == {"marginal_density"}


def test_captions_hold_the_data_and_say_where_it_does_not_support_the_story(data):
    text = page(data)
    assert (
        "The share compared with no smoothing: better at λ = 0.01, 10, worse at λ = 1, no clear difference at λ = 0.1."
        in text
    )
    assert "“3” becomes “5” (80%), cosine of the two maps 0.12" in text
    assert "λ = 0: 6 along the random direction, 6 along ∇ log p, slope at the image 1.5" in text
    assert "compared with no smoothing: worse at λ = 1, no clear difference at λ = 0.1." in text
    assert "This does not support the story" in text
    assert "Accuracy compared with no smoothing: no clear difference at λ = 0.01, 0.1, 1, 10." in text
    assert "seed 0 alone, so the intervals are over images" in text


@pytest.mark.parametrize("key", FIGURES)
def test_each_picture_is_drawn_on_a_light_ground(key, data):
    _, draw, _ = FIGURES[key]
    file = io.BytesIO()
    draw(data).savefig(file, format="png", dpi=40, facecolor="white")
    pixels = np.asarray(Image.open(file).convert("RGB"))
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all() and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
