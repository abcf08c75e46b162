"""Differences from a black image, carried back through the network."""

from __future__ import annotations

import copy
import warnings

import torch
from captum.attr import DeepLift
from torch import Tensor, nn


def deeplift(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Contributions to f_t(x) − f_t(0) by the rescale rule (Shrikumar, Greenside, Kundaje 2017), by Captum, with a
    black baseline: zero on black pixels by construction.

    Captum has the rule for ReLU, softplus, sigmoid, tanh and max pooling as modules; through others it would carry
    plain gradients without a word, and the contributions would not add up. It marks the modules with hooks, so it works
    on a copy.

    Args:
        model: a module that gives logits (N, K), sample by sample, each activation a module used once.
        x: (N, C, H, W).
        target: (N,) class indices.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting forward, backward hooks")
        inputs = x.detach().requires_grad_()
        return DeepLift(copy.deepcopy(model)).attribute(inputs, torch.zeros_like(x), target=target).detach()
