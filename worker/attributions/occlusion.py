"""Occlusion with a black patch: the decrease of the logit."""

from __future__ import annotations

from collections.abc import Callable

from captum.attr import Occlusion
from torch import Tensor


def occlusion(
    model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor, *, patch: int = 4, stride: int = 2
) -> Tensor:
    """Return f_t(x) − f_t(x with a black patch), by Captum (Zeiler, Fergus 2014).

    The value of a pixel is the mean over the patches that cover it, and the same in each channel.

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
