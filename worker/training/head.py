"""The last layer, retrained on validation images after the training."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training import seeds
from densitylab.worker.training.batches import as_pixels
from densitylab.worker.training.state import TrainingState
from densitylab.worker.training.validation import EVALUATION_BATCH


def retrained_weights(
    state: TrainingState,
    validation: Dataset | None,
    autocast: Callable[[], torch.autocast],
    should_stop: Callable[[], bool],
) -> dict[str, torch.Tensor] | None:
    """Return the weights to evaluate, with the last linear layer that the state's algorithm fits to validation images;
    None if `should_stop`, asked before each batch of them, ended it.

    Raises:
        ValueError: there are no validation images, or the logits are not the outputs of a linear layer with a bias.
    """
    if not validation:
        raise ValueError("the algorithm retrains the last layer on validation images, and there are none")
    model = copy.deepcopy(state.evaluated)
    model.load_state_dict(state.kept_weights())
    model.eval()
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    passed: list[tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]] = []

    def keep(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], outputs: torch.Tensor) -> None:
        if isinstance(layer, torch.nn.Linear):
            passed.append((layer, inputs[0], outputs))

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    features = []
    try:
        for start in range(0, len(validation), EVALUATION_BATCH):
            if should_stop():
                return None
            passed.clear()
            with torch.no_grad(), autocast():
                logits = model(as_pixels(validation.images[start : start + EVALUATION_BATCH].to(state.device)))
            if not passed or passed[-1][0].bias is None or not torch.equal(passed[-1][2], logits):
                raise ValueError(
                    "the logits of this model are not the outputs of a linear layer with a bias, so its last layer "
                    "can't be retrained: choose another model or algorithm"
                )
            features.append(passed[-1][1].double().cpu())
    finally:
        for hook in hooks:
            hook.remove()
    weight, bias = state.algorithm.retrain_head(
        torch.cat(features),
        validation.labels.cpu(),
        None if validation.groups is None else validation.groups.cpu(),
        seed=seeds.derive_seed(state.seed, seeds.HEAD, 0),
    )
    head = passed[-1][0]
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return model.state_dict()
