"""Grad-CAM of the last convolution."""

from __future__ import annotations

import torch.nn.functional as F
from captum.attr import LayerGradCam
from torch import Tensor, nn


def grad_cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return max(0, Σ_k w_k A_k) of the last convolution's maps A_k (Selvaraju et al. 2017), by Captum.

    w_k is the mean over positions of ∂f_t/∂A_k. The map is resized to the image bilinearly, is the same in each channel
    and is never negative.

    Args:
        model: a module with a convolution that gives logits (N, K), sample by sample.
        x: (N, C, H, W).
        target: (N,) class indices.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.

    Raises:
        ValueError: the model has no convolution.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise ValueError("Grad-CAM needs a model with convolutions; this one has none")
    coarse = LayerGradCam(model, convolutions[-1]).attribute(x.detach(), target=target, relu_attributions=True)
    fine = F.interpolate(coarse.detach(), size=x.shape[2:], mode="bilinear", align_corners=False)
    return fine.expand_as(x).contiguous()
