"""Costs of networks: parameters, multiplications and kept activations, by a model's parameters and the images."""

from collections.abc import Callable
from typing import Any

from densitylab.backend.shared.catalog.cost import NetworkCost, Shape

Cost = Callable[[dict[str, Any], Shape, int], NetworkCost]


def mlp_cost(params: dict[str, Any], shape: Shape, classes: int) -> NetworkCost:
    hidden, layers, pixels = params["hidden"], params["layers"], shape[0] * shape[1] * shape[2]
    weights = pixels * hidden + (layers - 1) * hidden**2 + hidden * classes
    return NetworkCost(weights + layers * hidden + classes, weights, pixels + layers * hidden)


def cnn_cost(params: dict[str, Any], shape: Shape, classes: int) -> NetworkCost:
    channels, height, width = shape
    wide, pixels = params["width"], height * width
    features = 2 * wide * (height // 4) * (width // 4)
    first, second = 9 * wide * (channels + wide), 9 * 2 * wide * (wide + 2 * wide)
    head = features * 4 * wide + 4 * wide * classes
    return NetworkCost(first + second + head, pixels * first + pixels / 4 * second + head, pixels * wide * 3.8)


def vgg11_cost(params: dict[str, Any], shape: Shape, _classes: int) -> NetworkCost:
    wide, pixels = params.get("width", 64) / 64, shape[1] * shape[2]  # stored specs from before have no width
    return NetworkCost(9.2e6 * wide**2, 155e3 * wide**2 * pixels, 214 * wide * pixels)


def convolutional_cost(
    parameters: float, per_pixel: float, activations: float, large: tuple[float, float] | None = None
) -> Cost:
    """Return the cost of a network that grows with the pixels.

    Args:
        parameters: of the network.
        per_pixel: multiplications.
        activations: kept per pixel.
        large: the last two from 96 pixels a side on, where they differ.
    """

    def cost(_params: dict[str, Any], shape: Shape, _classes: int) -> NetworkCost:
        pixels = shape[1] * shape[2]
        multiplied, kept = large if large and min(shape[1:]) >= 96 else (per_pixel, activations)
        return NetworkCost(parameters, multiplied * pixels, kept * pixels)

    return cost


def vit_cost(params: dict[str, Any], shape: Shape, _classes: int) -> NetworkCost:
    channels, height, width = shape
    side, wide, depth = params["patch_size"], params["width"], params["depth"]
    tokens = (height // side) * (width // side)
    block = 12 * wide**2
    per_token = depth * (block + 2 * tokens * wide) + channels * side**2 * wide
    parameters = depth * block + (channels * side**2 + tokens) * wide
    return NetworkCost(parameters, tokens * per_token, tokens * depth * 18 * wide)


def vit_b_cost(params: dict[str, Any], shape: Shape, _classes: int) -> NetworkCost:
    tokens = 1 + (shape[1] // params["patch_size"]) * (shape[2] // params["patch_size"])
    return NetworkCost(85.7e6, tokens * (85.5e6 + 12 * 2 * tokens * 768), tokens * 12 * 18 * 768)
