"""Occlusion with a black patch, or of single pixels: the decrease of the logit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from captum.attr import Occlusion
from torch import Tensor

AT_ONCE = 2**24  # numbers of the images in a forward pass for single pixels


def occlusion(
    model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor, *, patch: int = 4, stride: int = 2
) -> Tensor:
    """Return f_t(x) − f_t(x with a black patch), by Captum (Zeiler, Fergus 2014).

    The value of a pixel is the mean over the patches that cover it, and the same in each channel. With patch = 1 it is
    the zero occlusion f_t(x) − f_t(x with the pixel 0), which is exactly 0 where the pixel is black already; only the
    others need a forward pass.

    Args:
        model: gives logits (N, K), sample by sample.
        x: (N, C, H, W).
        target: (N,) class indices.
        patch: side of the patch in pixels; at most the image's shorter side.
        stride: pixels between patches, at most `patch`, so that every pixel is covered.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.

    Raises:
        ValueError: patch or stride out of range.
    """
    if not 1 <= stride <= patch <= min(x.shape[2:]):
        raise ValueError(f"expected stride ≤ patch ≤ {min(x.shape[2:])}, got patch {patch} and stride {stride}")
    if patch == 1:
        return _zero_occlusion(model, x.detach(), target)
    window, strides = (x.shape[1], patch, patch), (x.shape[1], stride, stride)
    return (
        Occlusion(model)
        .attribute(
            x.detach(),
            sliding_window_shapes=window,
            strides=strides,
            target=target,
        )
        .detach()
    )


def _zero_occlusion(model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor) -> Tensor:
    """Return the occlusion of every single pixel; the images with one pixel at 0 fill the forward passes."""
    drop = torch.zeros_like(x[:, 0]).flatten(1)
    sample, pixel = (x != 0).any(dim=1).flatten(1).nonzero(as_tuple=True)
    with torch.no_grad():
        whole = model(x).gather(1, target[:, None]).squeeze(1)
        for part in torch.arange(len(sample), device=x.device).split(max(1, AT_ONCE // max(1, x[:1].numel()))):
            occluded = x[sample[part]].flatten(2)
            occluded[torch.arange(len(part), device=x.device), :, pixel[part]] = 0
            logits = model(occluded.view(-1, *x.shape[1:])).gather(1, target[sample[part], None]).squeeze(1)
            drop[sample[part], pixel[part]] = whole[sample[part]] - logits
    return drop.view(len(x), 1, *x.shape[2:]).expand_as(x).clone()
