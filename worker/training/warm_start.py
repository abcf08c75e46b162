"""Warm start: a new network takes the weights of a trained one wherever name and shape fit.

head = head_of(model, network, x)                  "fc": the last linear layer
start = load_fitting(network, weights, head=head)  loads, and says what it loaded
scale_learning_rate(optimizer, parameters, 10.0)   another learning rate for some parameters
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import torch

HEADS = ("auto", "keep", "new")
_LISTED = 5  # names in an error
_COUNTER = "num_batches_tracked"


class UnfitWeights(ValueError):
    """The weights are those of another network."""


@dataclass(frozen=True)
class WarmStart:
    """Names of the network's tensors: parameters and buffers."""

    loaded: list[str]
    not_loaded: list[str]  # they keep what the network was built with


def head_of(model: torch.nn.Module, network: torch.nn.Module, x: torch.Tensor) -> str | None:
    """Return the name in `network` of the last linear layer, or else convolution, that computes the logits.

    Args:
        model: contains `network`; gives logits (N, K).
        network: whose names count.
        x: (N, C, H, W) images for a forward pass in eval mode.

    Returns:
        Such as "fc"; None if there is no such layer.
    """
    called: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, layer in network.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    ]
    training = [layer for layer in model.modules() if layer.training]
    model.eval()
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
        for layer in training:
            layer.training = True
    return called[-1] if called else None


def load_fitting(
    network: torch.nn.Module, weights: Mapping[str, torch.Tensor], *, head: str | None, choice: str = "auto"
) -> WarmStart:
    """Copy each tensor of `weights` whose name and shape are those of a parameter or buffer of the network.

    Args:
        network: changed in place.
        weights: by name, of any floating type.
        head: name of the network's last layer; None: it has none.
        choice: "auto": the head is loaded if its shapes fit; "keep": it must fit; "new": it is not loaded.

    Returns:
        What was loaded, and what was not.

    Raises:
        UnfitWeights: fewer than half of the tensors outside of the head fit, or the head does not and has to.
    """
    own = network.state_dict()
    of_head = {name for name in own if head is not None and name.startswith(f"{head}.")}
    fits = [name for name, tensor in own.items() if name in weights and weights[name].shape == tensor.shape]
    misfits = [name for name in own if name not in fits]
    counted = [name for name in own if name not in of_head and not name.endswith(_COUNTER)] or list(own)
    if 2 * sum(name in fits for name in counted) < len(counted):
        unfit = [name for name in misfits if name in counted]
        raise UnfitWeights(
            f"only {len(counted) - len(unfit)} of {len(counted)} weights fit this network by name and shape: "
            + "; ".join(_compared(name, own[name], weights) for name in unfit[:_LISTED])
        )
    if choice == "keep" and of_head.intersection(misfits):
        first = next(name for name in misfits if name in of_head)
        raise UnfitWeights(
            f"the head does not fit ({_compared(first, own[first], weights)}): with head auto or new it is drawn anew"
        )
    redrawn = of_head if choice == "new" or of_head.intersection(misfits) else set()
    loaded = [name for name in fits if name not in redrawn]
    with torch.no_grad():
        for name in loaded:
            own[name].copy_(weights[name])
    return WarmStart(loaded, [name for name in own if name not in loaded])


def scale_learning_rate(
    optimizer: torch.optim.Optimizer, parameters: Iterable[torch.nn.Parameter], factor: float
) -> None:
    """Move parameters of a new optimizer's only group into a second one, with `factor` times the learning rate."""
    moved = list(parameters)
    ids = {id(parameter) for parameter in moved}
    (group,) = optimizer.param_groups
    group["params"] = [parameter for parameter in group["params"] if id(parameter) not in ids]
    settings = {name: value for name, value in group.items() if name != "params"}
    optimizer.add_param_group({**settings, "params": moved, "lr": group["lr"] * factor})


def _compared(name: str, own: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> str:
    if name in weights:
        return f"{name} is {_shape(own)} here and {_shape(weights[name])} there"
    nearest = get_close_matches(name, weights, n=1, cutoff=0.3)
    return f"{name} {_shape(own)} is missing" + (
        f", the nearest is {nearest[0]} {_shape(weights[nearest[0]])}" if nearest else ""
    )


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"
