"""The last linear layer of a model: its weights and its inputs, which detection methods call the features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches


@dataclass(frozen=True)
class Head:
    """Features of images and the layer that maps them to logits.

    Args:
        features: (N, D) inputs of the layer, float64.
        weight: (K, D), float64.
        bias: (K,), float64; zeros if the layer has none.
    """

    features: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    @property
    def logits(self) -> np.ndarray:
        """The outputs of the layer, (N, K)."""
        return self.features @ self.weight.T + self.bias

    @property
    def finite(self) -> bool:
        """Return True if all numbers are finite."""
        return all(np.isfinite(part).all() for part in (self.features, self.weight, self.bias))


def read_head(
    model: nn.Module,
    data: Dataset,
    indices: np.ndarray | None,
    *,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Head | None:
    """Return the inputs of the linear layer that is called last in a forward pass, found by hooks.

    Args:
        model: in eval mode.
        data: images.
        indices: of the images in the data set; None: all.
        progress: called with the fraction done.
        should_stop: asked before each batch.

    Returns:
        None if there are no images, no linear layer, or one whose input is not a vector per image.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    calls: list[tuple[nn.Linear, Tensor]] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            calls.append((layer, inputs[0].detach()))

    hooks = [layer.register_forward_hook(keep) for layer in model.modules() if isinstance(layer, nn.Linear)]
    parts: list[np.ndarray] = []
    try:
        for _, x, _ in batches(model, data, indices, progress=progress, should_stop=should_stop):
            calls.clear()
            with torch.no_grad():
                model(x)
            if not calls or calls[-1][1].dim() != 2:
                return None
            # a pass may consist of micro-batches, and may call the layer several times: the last inputs of each count
            inputs = [given for called, given in calls if called is calls[-1][0]]
            repeats = sum(map(len, inputs)) // len(x)
            features = torch.cat(inputs[repeats - 1 :: repeats]) if repeats > 0 else inputs[-1]
            if len(features) != len(x):
                return None
            parts.append(features.double().cpu().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    if not parts:
        return None
    layer = calls[-1][0]
    weight = layer.weight.detach().double().cpu().numpy()
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().cpu().numpy()
    return Head(np.concatenate(parts), weight, bias)
