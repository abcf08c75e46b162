"""Costs of evaluations for one image, by their parameters."""

from collections.abc import Callable, Mapping
from typing import Any

from densitylab.backend.shared.catalog.cost import EvaluationCost

_ATTEMPTS = {"worst": 2, "targeted": 9}  # of an attack's loss; others: one
_WHITE_BOX = {"steps": 40, "loss": "worst"}  # PGD beside attacks without gradients
_LIKENESS = 55.0  # operations of one comparison of two maps by every measure


def always(cost: EvaluationCost) -> Callable[[dict[str, Any]], EvaluationCost]:
    """Return a cost that no parameter changes."""
    return lambda _params: cost


def pgd(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of gradient steps on images that stay robust; the others end at their first success."""
    return EvaluationCost(1 + len(params["epsilons"]) * _pgd_passes(params))


def square(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of all queries, and of PGD on the same images."""
    return EvaluationCost(1 + len(params["epsilons"]) * params["queries"] + _pgd_passes(_WHITE_BOX))


def transfer(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of the steps on another network, taken to be of the same size, and of PGD on the same images."""
    steps = 2 * params["steps"]
    return EvaluationCost(1 + len(params["epsilons"]) * steps + _pgd_passes({**_WHITE_BOX, "steps": params["steps"]}))


def autoattack(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost where half of the images stay robust: each of those takes 100 steps of APGD, as many for each of
    nine classes, 100 of FAB for each, with three passes, and 5,000 queries."""
    robust = 2 * 100 + 2 * 100 * 9 + 3 * 100 * 9 + 5000
    return EvaluationCost(1 + len(params["epsilons"]) * robust / 2)


def corruptions(_params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of the clean image and fifteen corruptions at five severities."""
    return EvaluationCost(1 + 15 * 5)


def density(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of log p and its gradient on as many training images, test images, noise and other images."""
    return EvaluationCost(2 * (3 if params["against"] is None else 4))


def pixel_perturbation(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of removing pixels in three orders, each with a sort and a prediction per fraction."""
    return EvaluationCost(4 + 3 * len(params["fractions"]), maps=1, operations=400 + 30 * len(params["fractions"]))


def gradient_steps(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of a step up and down for each length, with a prediction and a map after each."""
    moved = 2 * len(params["epsilons"])
    return EvaluationCost(9 + moved, maps=2 + moved, operations=20.0 * moved)


def stability(_params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of three maps that are compared in three pairs."""
    return EvaluationCost(2, maps=3, perturbations=1, operations=3 * _LIKENESS * 6)


def sensitivity(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of a map of the image and of each noisy copy."""
    return EvaluationCost(3, maps=1 + params["draws"], operations=20.0 * params["draws"])


def cascading_randomisation(params: Mapping[str, Any]) -> EvaluationCost:
    """Return the cost of a map after each stage, compared with that of the trained model."""
    return EvaluationCost(5, maps=1 + params["stages"], operations=2 * _LIKENESS * params["stages"])


def _pgd_passes(params: Mapping[str, Any]) -> float:
    attempts = params.get("restarts", 1) * _ATTEMPTS.get(params["loss"], 1)
    return (2 * params["steps"] + 3) * attempts  # after an attempt the model is asked what it has changed
