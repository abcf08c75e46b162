"""Frozen layers: parameters without gradients, batch norms with fixed statistics.

freeze(network, ["features.*"]) -> names of the frozen parameters
train_mode(network)               training mode, except for batch norms whose parameters are all frozen
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch.nn.modules.batchnorm import _BatchNorm

_LISTED = 8  # names in an error


def freeze(network: torch.nn.Module, patterns: Sequence[str]) -> list[str]:
    """Freeze the parameters whose name, or the name of a module around them, matches a pattern.

    Args:
        network: changed in place.
        patterns: as in a shell: `*` is any text. `layer1` and `layer1.*` both match `layer1.0.conv1.weight`.

    Returns:
        The names of the frozen parameters.

    Raises:
        ValueError: a pattern matches nothing, or all patterns together leave nothing to train.
    """
    parameters = dict(network.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        matched = {name for name in parameters if any(fnmatchcase(part, pattern) for part in _prefixes(name))}
        if not matched:
            raise ValueError(
                f"no parameter of the model matches the freeze pattern {pattern!r}; its parameters are "
                f"{_listed(list(parameters))}"
            )
        frozen |= matched
    if frozen and len(frozen) == len(parameters):
        raise ValueError("the freeze patterns match every parameter of the model: leave at least its head to train")
    for name in frozen:
        parameters[name].requires_grad_(False)
    return [name for name in parameters if name in frozen]


def train_mode(network: torch.nn.Module) -> None:
    """Set training mode, but keep batch norms in eval mode if all their parameters are frozen: they normalise by their
    running statistics, which stay fixed. A batch norm without parameters always trains."""
    network.train()
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            own = list(layer.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                layer.eval()


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _listed(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
