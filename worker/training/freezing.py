"""Frozen layers: parameters without gradients, batch norms with fixed statistics.

freeze(network, names)    parameters that do not train
train_mode(network)       training mode, except for batch norms whose parameters are all frozen
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(network: torch.nn.Module, names: Collection[str]) -> None:
    """Freeze the parameters of these names; the network is changed in place."""
    for name, parameter in network.named_parameters():
        if name in names:
            parameter.requires_grad_(False)


def train_mode(network: torch.nn.Module) -> None:
    """Set training mode, but keep batch norms in eval mode if all their parameters are frozen: they normalise by their
    running statistics, which stay fixed. A batch norm without parameters always trains."""
    network.train()
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            own = list(layer.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                layer.eval()
