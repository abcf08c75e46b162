"""What training costs where nothing was measured yet: multiplications, passes and memory, all in one table.

A plain step is three passes through the network: forward, and backward by activations and by weights. A pass of one
image takes `multiplications`; one core of a present x86 CPU makes about 30 thousand million of them a second with
torch (22 to 50, least on small networks). So these times are good within a factor of two or three on a CPU, and
nothing is said of a GPU. Every model and regularizer of the catalog has a line; tests/worker/test_calibration.py
holds them to the real networks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MULTIPLICATIONS_PER_SECOND = 30e9  # of one CPU core
PLAIN_PASSES, PLAIN_COPIES = 3.0, 1.5
FORMULA = ("4 bytes × (4 × parameters, once more for averaged weights and once more for those that early stop keeps, "
           "+ batch size × activations of an image × copies)")


@dataclass(frozen=True)
class Network:
    """Of one image at the given size: `activations` are the numbers that a backward pass needs."""

    parameters: float
    multiplications: float
    activations: float


@dataclass(frozen=True)
class Penalty:
    """Of one step with the penalty. `copies`: how often the activations are held at its worst; the graph of the
    gradients that a double backward differentiates holds them again. Peaks that were measured, on cnn with 200 images
    and vgg11 with 64: plain 1.8 and 1.3, double backward 3.8 and 2.9, finite differences 3.1, curvature 5.7."""

    passes: float
    copies: float


Shape = tuple[int, int, int]  # channels, height, width


def _mlp(params: dict[str, Any], shape: Shape, classes: int) -> Network:
    hidden, layers, pixels = params["hidden"], params["layers"], shape[0] * shape[1] * shape[2]
    weights = pixels * hidden + (layers - 1) * hidden**2 + hidden * classes
    return Network(weights + layers * hidden + classes, weights, pixels + layers * hidden)


def _cnn(params: dict[str, Any], shape: Shape, classes: int) -> Network:
    channels, height, width = shape
    wide, pixels = params["width"], height * width
    features = 2 * wide * (height // 4) * (width // 4)
    first, second = 9 * wide * (channels + wide), 9 * 2 * wide * (wide + 2 * wide)
    head = features * 4 * wide + 4 * wide * classes
    return Network(first + second + head, pixels * first + pixels / 4 * second + head, pixels * wide * 3.8)


def _convolutional(parameters: float, per_pixel: float, kept: float, large: tuple[float, float]) -> Any:
    """A network whose costs grow with the pixels; `large` (per pixel, kept) counts from 96 pixels a side on."""

    def cost(_params: dict[str, Any], shape: Shape, _classes: int) -> Network:
        pixels = shape[1] * shape[2]
        multiplied, activations = large if min(shape[1:]) >= 96 else (per_pixel, kept)
        return Network(parameters, multiplied * pixels, activations * pixels)

    return cost


def _vit(params: dict[str, Any], shape: Shape, _classes: int) -> Network:
    channels, height, width = shape
    side, wide, depth = params["patch_size"], params["width"], params["depth"]
    tokens = (height // side) * (width // side)
    block = 12 * wide**2
    per_token = depth * (block + 2 * tokens * wide) + channels * side**2 * wide
    return Network(depth * block + (channels * side**2 + tokens) * wide, tokens * per_token, tokens * depth * 18 * wide)


_Cost = Callable[[dict[str, Any], Shape, int], Network]
NETWORKS: dict[str, _Cost] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "vgg11": _convolutional(9.2e6, 155e3, 214, (155e3, 214)),
    "resnet18": _convolutional(11.2e6, 550e3, 1155, (36.1e3, 103)),
    "resnet34": _convolutional(21.3e6, 1135e3, 1955, (73e3, 175)),
    "vit": _vit,
}
UNKNOWN_NETWORKS = {"timm"}  # the package's own names say nothing of their costs

_ESTIMATORS = {
    "double_backward": Penalty(6, 3.5), "finite_difference": Penalty(7, 3), "random_projection": Penalty(6, 3),
}
PENALTIES: dict[str, Callable[[dict[str, Any]], Penalty]] = {
    "none": lambda _: Penalty(PLAIN_PASSES, PLAIN_COPIES),
    "marginal_density": lambda params: _ESTIMATORS[params["estimator"]],
    "input_gradient": lambda _: Penalty(6, 3.5),
    "jacobian": lambda _: Penalty(6, 3.5),
    "curvature": lambda _: Penalty(12, 6),
    "gaussian_noise": lambda _: Penalty(6, 3),
    "adversarial_training": lambda params: Penalty(6 + 2 * params["steps"], 3),
    "trades": lambda params: Penalty(7 + 2 * params["steps"], 3),
}


def passes(key: str, params: dict[str, Any], lambda_: float) -> float | None:
    """Mean passes of a step; a penalty with λ = 0 or at every n-th step is spared."""
    if key not in PENALTIES:
        return None
    full = PENALTIES[key](params).passes if lambda_ else PLAIN_PASSES
    return PLAIN_PASSES + (full - PLAIN_PASSES) / params.get("every", 1)


def copies(key: str, params: dict[str, Any], lambda_: float) -> float | None:
    """How often a step holds the activations at its worst."""
    if key not in PENALTIES:
        return None
    return PENALTIES[key](params).copies if lambda_ else PLAIN_COPIES


def network(key: str, params: dict[str, Any], shape: Shape, classes: int) -> Network | None:
    """None for a model that has no line here."""
    return NETWORKS[key](params, shape, classes) if key in NETWORKS else None
