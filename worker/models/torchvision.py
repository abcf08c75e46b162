"""Networks of torchvision, by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from densitylab.worker.models.pretrained import imagenet_weights


def build(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    name: str = "resnet50",
    pretrained: bool = False,
) -> nn.Module:
    """Return `torchvision.models.get_model(name)` for these channels, image size and classes.

    Args:
        channels: image channels; unless there are 3, the first convolution is a new one.
        image_size: (height, width) in pixels.
        num_classes: K, at least 2.
        name: as in `torchvision.models.list_models()`.
        pretrained: start from torchvision's published weights, but for layers of another shape.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: the network can't take this image size.
        NoPretrainedWeights: pretrained, and the weights can't be downloaded.
    """
    from torchvision.models import get_model  # slow to import

    network: nn.Module = get_model(name, num_classes=num_classes, **_size(name, image_size))
    if channels != 3:
        _replace_first_convolution(network, channels)
    for module in network.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - an input that is overwritten has no attribution
    if pretrained:
        own = network.state_dict()
        published = {key: value for key, value in imagenet_weights(name).items() if own[key].shape == value.shape}
        network.load_state_dict(own | published)
    if next(network.parameters()).device.type != "meta":
        _try(network, name, channels, image_size)
    return network


def _size(name: str, image_size: tuple[int, int]) -> dict[str, Any]:
    """Return the arguments of networks that are made for one image size."""
    if name.startswith("vit_"):
        if image_size[0] != image_size[1]:
            raise ValueError(f"torchvision's {name} takes square images alone, not {image_size[0]}×{image_size[1]}")
        return {"image_size": image_size[0]}
    return {"input_size": image_size} if name.startswith("maxvit") else {}


def _replace_first_convolution(network: nn.Module, channels: int) -> None:
    path, old = next((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    parent, _, last = path.rpartition(".")
    setattr(network.get_submodule(parent), last, new)


def _try(network: nn.Module, name: str, channels: int, image_size: tuple[int, int]) -> None:
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(2, channels, *image_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        size = f"{image_size[0]}×{image_size[1]}"
        raise ValueError(f"torchvision's {name} can't take images of {size}: {error}") from error
    finally:
        network.train()
