"""Passes of an evaluation in micro-batches, so that its batch and its random draws do not depend on memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from densitylab.worker.evaluations.micro_batch_size import MicroBatchSize

Attribution = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]


class MicroBatched(nn.Module):
    """A model whose passes over many images are made in micro-batches.

    An evaluation draws random numbers for a whole batch of images, as if memory had no limit. The logits are those of
    the model, to the rounding of matrix products of another size. A pass of up to twice `size.images` is not split, so
    that methods that look into the network see whole passes where `in_micro_batches` calls them (DeepLIFT passes each
    image with its baseline).

    Args:
        model: gives logits (N, K), sample by sample, in eval mode.
        size: images of a micro-batch, and of how many what the gradient needs is kept: of a larger pass it is computed
            again in the backward pass, a micro-batch at a time, which costs a further forward pass. Such gradients
            can be taken with `torch.autograd.grad` and cannot be differentiated again.
    """

    def __init__(self, model: nn.Module, size: MicroBatchSize) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.train(model.training)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) <= 2 * self.size.images:
            return self.model(x)
        parts = x.split(self.size.images)
        if not torch.is_grad_enabled() or len(x) <= self.size.kept:
            return torch.cat([self.model(part) for part in parts])
        again = (checkpoint(self.model, part, use_reentrant=False, preserve_rng_state=False) for part in parts)
        return torch.cat(list(again))


def in_micro_batches(attribution: Attribution, size: MicroBatchSize) -> Attribution:
    """Return the attribution method, which takes images one by one, called with at most `size.images` at once.

    Of another network whose micro-batches are smaller it is called with at most as many as these have: it would not see
    its passes whole.
    """

    def attributions(model: Callable[[Tensor], Tensor], x: Tensor, target: Tensor) -> Tensor:
        images = min(size.images, model.size.images) if isinstance(model, MicroBatched) else size.images
        if len(x) <= images:
            return attribution(model, x, target)
        parts = zip(x.split(images), target.split(images), strict=True)
        return torch.cat([attribution(model, *part) for part in parts])

    return attributions
