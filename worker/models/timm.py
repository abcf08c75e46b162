"""Networks of the package timm, by name."""

from __future__ import annotations

from difflib import get_close_matches

import torch
from torch import nn

from densitylab.worker.models.pretrained import NoPretrainedWeights


def build(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    name: str = "resnet18",
    pretrained: bool = False,
) -> nn.Module:
    """Return `timm.create_model(name)` for these channels, image size and classes.

    Fused attention is off, since it has no second derivative.

    Args:
        channels: image channels; pretrained first layers are adapted by timm.
        image_size: (height, width) in pixels.
        num_classes: K, at least 2.
        name: as in `timm.list_models()`.
        pretrained: start from timm's published weights.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: timm is not installed or has no such name, or the network can't take this image size.
        NoPretrainedWeights: pretrained, and the weights can't be downloaded.
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError(
            "the package timm is not installed where the workers run: pip install timm there, or choose another model"
        ) from error
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0.4)
        hint = f"; similar names: {', '.join(near)}" if near else ""
        raise ValueError(f"timm {timm.__version__} has no model {name!r}{hint}")
    settings = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    size = {"img_size": image_size} if settings is not None and settings.fixed_input_size else {}
    fused = timm.layers.use_fused_attn()
    timm.layers.set_fused_attn(False)
    try:
        network = timm.create_model(name, pretrained=pretrained, in_chans=channels, num_classes=num_classes, **size)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise NoPretrainedWeights(
            f"the pretrained weights of timm's {name} could not be downloaded ({error}): go online, or train with "
            "pretrained off"
        ) from error
    except (TypeError, AssertionError) as error:
        raise ValueError(f"timm's {name} can't take images of {image_size[0]}×{image_size[1]}: {error}") from error
    finally:
        timm.layers.set_fused_attn(bool(fused))
    _try(network, name, channels, image_size, num_classes)
    return network


def _try(network: nn.Module, name: str, channels: int, image_size: tuple[int, int], num_classes: int) -> None:
    network.eval()
    try:
        with torch.no_grad():
            shape = tuple(network(torch.zeros(2, channels, *image_size)).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"timm's {name} can't take images of {image_size[0]}×{image_size[1]}: {error}") from error
    finally:
        network.train()
    if shape != (2, num_classes):
        raise ValueError(f"timm's {name} gives outputs of shape {shape}, expected logits of shape (2, {num_classes})")
