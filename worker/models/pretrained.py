"""ImageNet weights that torchvision publishes."""

from __future__ import annotations

import torch


class NoPretrainedWeights(ValueError):
    """There are no such weights, or they can't be had now."""


def imagenet_weights(name: str) -> dict[str, torch.Tensor]:
    """The state of torchvision's network `name`, downloaded once and then read from torch's cache.

    Raises:
        NoPretrainedWeights: they are not in the cache and can't be downloaded.
    """
    from torchvision.models import get_model_weights  # slow to import, and rarely needed

    weights = get_model_weights(name).DEFAULT
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:  # urllib's errors are of this kind
        folder = f"{torch.hub.get_dir()}/checkpoints"
        raise NoPretrainedWeights(
            f"the pretrained weights of {name} could not be downloaded from {weights.url} ({error}): go online, put "
            f"that file into {folder}, or train with pretrained off"
        ) from error


def load_matching(network: torch.nn.Module, weights: dict[str, torch.Tensor], *, fresh: tuple[str, ...]) -> None:
    """Give `network` the weights of the same names; those that begin with one of `fresh` stay as they are.

    Raises:
        RuntimeError: beyond `fresh` a name or a shape does not agree.
    """
    own = network.state_dict()
    taken = {name: value for name, value in weights.items() if not name.startswith(fresh)}
    network.load_state_dict(taken | {name: value for name, value in own.items() if name.startswith(fresh)})
