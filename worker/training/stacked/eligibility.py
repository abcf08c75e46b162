"""Obstacles to training a run together with others that differ in λ, seed, learning rate or weight decay alone."""

from __future__ import annotations

import torch
from torch.nn.modules.dropout import _DropoutNd

from densitylab.worker.algorithms.algorithm import Algorithm
from densitylab.worker.training.stacked.member import Member
from densitylab.worker.training.stacked.optimizer import can_stack

# Regularizers of which each sample's penalty depends on that sample alone
_PER_SAMPLE = (
    "adversarial_training",
    "curvature",
    "fast_adversarial_training",
    "gaussian_noise",
    "input_gradient",
    "jacobian",
    "marginal_density",
    "none",
    "right_reasons",
    "trades",
)


def obstacle(member: Member) -> str | None:
    """Return in a sentence why the run has to train alone; None if it can train together with others."""
    state, config = member.state, member.config
    for layer in state.model.modules():
        if (isinstance(layer, _DropoutNd) and layer.p > 0) or "StochasticDepth" in type(layer).__name__:
            return "the network has dropout, which is left out for now"
    if not all(parameter.requires_grad for parameter in state.model.parameters()):
        return "some of its weights are frozen"
    if not can_stack(state.optimizer):
        return "its optimizer is not plain SGD, Adam or AdamW with one learning rate for all weights"
    function = getattr(config.regularizer, "func", config.regularizer)
    module, _, name = function.__module__.rpartition(".")
    if module != "densitylab.worker.regularizers" or name not in _PER_SAMPLE:
        return "its regularizer is not known to treat each image on its own"
    if getattr(config.regularizer, "keywords", {}).get("estimator") == "forward_mode":
        return "forward mode scales the gradients of all images together"
    if type(state.algorithm) is not Algorithm:
        return "its algorithm weighs or draws the images in a way of its own"
    if config.robust_share is not None:
        return "its schedule of λ attacks the validation images"
    if state.average is not None:
        return "it averages its weights"
    if member.batches.mixes:
        return "it mixes its images"
    if config.parts > 1 or config.activation_checkpointing:
        return "it saves memory by parts of batches or by activation checkpointing"
    if config.compute.compiled:
        return "its network is compiled"
    if config.compute.half(state.device) is torch.float16:
        return "float16 needs a scale of its own for each loss"
    return None
