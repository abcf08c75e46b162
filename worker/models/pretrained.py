"""Pretrained ImageNet weights of torchvision."""

from __future__ import annotations

from pathlib import Path

import torch

from densitylab.worker.errors import out_of_memory


class NoPretrainedWeights(ValueError):
    """Raised if there are no such weights, or they can't be downloaded."""


def imagenet_weights(name: str) -> dict[str, torch.Tensor]:
    """Return the state of torchvision's network `name`, downloaded once and then read from torch's cache.

    Raises:
        NoPretrainedWeights: they are not in the cache and can't be downloaded, or they have another checksum.
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
    except Exception as error:  # zipfile, pickle and torch each raise their own
        if out_of_memory(error):
            raise
        file = weights.url.rpartition("/")[2]
        if not Path(torch.hub.get_dir(), "checkpoints", file).exists():  # a download of another checksum is discarded
            raise NoPretrainedWeights(
                f"what was downloaded from {weights.url} is not the pretrained weights of {name}, as its checksum is "
                "another one: a proxy may have answered instead; try again, or train with pretrained off"
            ) from error
        raise NoPretrainedWeights(
            f"the pretrained weights of {name} are damaged: delete {file} in torch's cache on the worker, and they are "
            "downloaded again"
        ) from error


def load_matching(network: torch.nn.Module, weights: dict[str, torch.Tensor], *, fresh: tuple[str, ...]) -> None:
    """Load the weights of the same names into `network`, except those that begin with one of `fresh`.

    Raises:
        RuntimeError: another name or shape does not agree.
    """
    own = network.state_dict()
    taken = {name: value for name, value in weights.items() if not name.startswith(fresh)}
    network.load_state_dict(taken | {name: value for name, value in own.items() if name.startswith(fresh)})
