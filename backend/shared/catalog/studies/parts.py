"""Sweeps, networks and settings that studies share."""

from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.backend.shared.catalog.study_parts import StudySetting

TWO_CORES = "two CPU cores"
ONE_GPU = "one data-centre GPU"

MARGINAL_DENSITY = {"key": "marginal_density"}
JOINT_GRADIENT = {"key": "input_gradient", "params": {"target": "logit"}}
CONDITIONAL_GRADIENT = {"key": "input_gradient", "params": {"target": "log_prob"}}
JACOBIAN = {"key": "jacobian"}
CURVATURE = {"key": "curvature"}
ADVERSARIAL_TRAINING = {"key": "adversarial_training", "params": {"steps": 3}}

# How claims name methods
BASELINE = {"regularizer.key": "none"}
MARGINAL = {"regularizer.key": "marginal_density"}
JOINT = {"regularizer.key": "input_gradient", "regularizer.params.target": "logit"}
CONDITIONAL = {"regularizer.key": "input_gradient", "regularizer.params.target": "log_prob"}

# Of digits on textures, without its epochs
TEXTURE_TRAINING = {
    "model": {"key": "cnn", "params": {"width": 8, "pooling": "average", "activation": "gelu"}},
    "batch_size": 50,
    "optimizer": {"key": "adam", "params": {"lr": 0.002}},
}

UNPUBLISHED = (
    StudySetting(name="λ", ours="the best on validation images within the budget of accuracy"),
    StudySetting(name="norm and power", ours="p = 2, squared", paper="p = 2; the power is not stated"),
    StudySetting(name="optimizer and epochs", ours="as each run says"),
)


def swept(
    seeds: Sequence[int], regularizers: Sequence[Mapping[str, Any]], lambdas: Sequence[float]
) -> list[dict[str, list[Any]]]:
    """Return the sweep of the baseline and of regularizers over λ, with every seed."""
    return [
        {"regularizer": [{"key": "none"}], "lambda_": [0.0], "seed": list(seeds)},
        {"regularizer": [dict(item) for item in regularizers], "lambda_": list(lambdas), "seed": list(seeds)},
    ]


def bracket(result: str, seeds: Sequence[int], start: float) -> dict[str, Any]:
    """Return the search for λ by half decades of a launch."""
    return {"kind": "bracket", "result": result, "accuracy_budget": 0.02, "start": start, "seeds": list(seeds)}


def on_both_splits(key: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return an evaluation on test images, and the same on validation images, by which λ is selected."""
    given = {"params": dict(params)} if params else {}
    return [{"key": key, **given}, {"key": key, "name": f"{key}_validation", "split": "validation", **given}]


def mlp(activation: str, epochs: int = 15) -> dict[str, Any]:
    return {"model": {"key": "mlp", "params": {"activation": activation}}, "epochs": epochs, "batch_size": 100}


def small_cnn(activation: str, epochs: int) -> dict[str, Any]:
    """Return the spec of a convolutional network with six channels in its first layer."""
    params = {"width": 6, "pooling": "average", "activation": activation}
    return {
        "model": {"key": "cnn", "params": params},
        "epochs": epochs,
        "batch_size": 25,
        "optimizer": {"key": "adam", "params": {"lr": 0.002}},
    }
