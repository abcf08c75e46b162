"""Activation checkpointing: blocks of a network keep their input alone, and are computed again in a backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from math import isqrt
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

FEWEST_LAYERS = 4  # of a chain of single layers that is worth dividing


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Compute the blocks of `model` again in every backward pass inside the block (Chen, Xu, Zhang, Guestrin 2016).

    Blocks are the repeated parts of a chain (residual blocks, transformer blocks); a chain of single layers is divided
    into about √n parts. The repeated forward draws the same dropout masks and leaves running statistics alone, so a
    step gives the same numbers as without.
    """
    patched: list[nn.Module] = []
    try:
        for module in _blocks(model):
            patched.append(module)
            module.forward = partial(_recomputed, module, module.forward)  # type: ignore[method-assign]
        for chain in _chains(model, patched):
            patched.append(chain)
            chain.forward = partial(_in_parts, chain)  # type: ignore[method-assign]
        yield
    finally:
        for module in patched:
            del module.forward


def _recomputed(owner: nn.Module, forward: Callable[..., Any], *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _SameStatistics(owner)),
    )


class _SameStatistics:
    """Let batch norms of a module run as in the forward that is repeated, without another update of what they track.

    It may be entered several times, once for each backward pass. A repeated forward must save as many tensors as the
    first, so tracking stays on where it was on, with a momentum of 0.
    """

    def __init__(self, owner: nn.Module) -> None:
        layers: list[Any] = [m for m in owner.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._layers = [(layer, layer.track_running_stats, layer.training) for layer in layers]

    def __enter__(self) -> None:
        self._now = []
        for layer, tracked, training in self._layers:
            counted = None if layer.num_batches_tracked is None else layer.num_batches_tracked.clone()
            self._now.append((layer.track_running_stats, layer.training, layer.momentum, counted))
            layer.track_running_stats, layer.training, layer.momentum = tracked, training, 0.0

    def __exit__(self, *_: object) -> None:
        for (layer, _, _), (tracked, training, momentum, counted) in zip(self._layers, self._now, strict=True):
            layer.track_running_stats, layer.training, layer.momentum = tracked, training, momentum
            if counted is not None and layer.num_batches_tracked is not None:
                layer.num_batches_tracked.copy_(counted)


def _in_parts(chain: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    layers = list(chain)
    size = max(1, len(layers) // max(1, isqrt(len(layers))))
    for begin in range(0, len(layers), size):
        part = layers[begin : begin + size]
        x = _recomputed(chain, partial(_through, part), x)
    return x


def _through(layers: list[nn.Module], x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _is_layer(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def _blocks(model: nn.Module) -> list[nn.Module]:
    """Return the innermost modules with layers of their own that have a sibling of the same class in a chain."""
    candidates = []
    for chain in model.modules():
        if isinstance(chain, nn.Sequential | nn.ModuleList):
            compound = [child for child in chain if not _is_layer(child)]
            candidates += [child for child in compound if sum(type(other) is type(child) for other in compound) > 1]
    chosen = set(candidates)
    return [block for block in candidates if not any(part in chosen for part in block.modules() if part is not block)]


def _chains(model: nn.Module, blocks: list[nn.Module]) -> list[nn.Sequential]:
    """Return the chains of single layers outside of `blocks`."""
    inside = {part for block in blocks for part in block.modules()}
    return [
        module
        for module in model.modules()
        if type(module) is nn.Sequential
        and module not in inside
        and sum(map(_is_layer, module)) >= FEWEST_LAYERS
        and all(map(_is_layer, module))
    ]
