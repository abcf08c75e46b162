"""The number of images of a micro-batch, from the memory that the network needs for one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

MIB = 2**20
WHOLE = 256  # images of a network whose activations stay small, and at most without a GPU
CACHED = 64 * MIB  # of activations of so many images: what is called small
FAST = 64  # images of the others: convolutions of more take longer, since their results leave the caches
CPU_PASS, CPU_KEPT = 1024 * MIB, 2048 * MIB  # of activations in one micro-batch, and of all that are kept
GPU_SHARE = 0.5  # of the free memory, for activations; the rest is for the attack's state and the kernels' workspace


@dataclass(frozen=True)
class MicroBatchSize:
    """Images of a micro-batch, and of how many in all the activations are kept for a gradient.

    Args:
        images: at least 1.
        kept: at least `images`.
    """

    images: int
    kept: int

    def halved(self, times: int) -> MicroBatchSize:
        """Return the size for a device on which this one was too large that many times."""
        return MicroBatchSize(max(1, self.images >> times), max(1, self.kept >> times))


def micro_batch_size(model: nn.Module, x: Tensor) -> MicroBatchSize:
    """Return the size for a model on the device of one image x (1, C, H, W).

    On the CPU it follows from the network alone, so that a spec gives the same bits on machines with more memory. On a
    GPU it follows from the free memory, which includes what torch's allocator has reserved and does not use.
    """
    needed = activation_bytes(model, x)
    if x.device.type != "cuda":
        return cpu_size(needed)
    free, _ = torch.cuda.mem_get_info(x.device)
    unused = torch.cuda.memory_reserved(x.device) - torch.cuda.memory_allocated(x.device)
    return gpu_size(needed, free + unused)


def cpu_size(needed: int) -> MicroBatchSize:
    """Return the size for a network that keeps that many bytes of activations for each image."""
    kept = max(1, CPU_KEPT // needed)
    if WHOLE * needed <= CACHED:
        return MicroBatchSize(WHOLE, kept)
    return MicroBatchSize(max(1, min(FAST, CPU_PASS // needed)), kept)


def gpu_size(needed: int, free: int) -> MicroBatchSize:
    """Return the size for a network that keeps that many bytes of activations for each image, with `free` bytes: a pass
    of two micro-batches, which is not split, fits into their share."""
    fitting = max(1, int(GPU_SHARE * free) // needed)
    return MicroBatchSize(max(1, fitting // 2), fitting)


def activation_bytes(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that a forward pass of x (1, C, H, W) keeps for the gradient, without weights; at least 1."""
    own = {part.untyped_storage().data_ptr() for part in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # no storage is freed, so none is counted in the place of another one

    def count(part: Tensor) -> Tensor:
        storage = part.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(part)
        return part

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda part: part):
        model(x.detach().requires_grad_())
    return max(1, sum(kept.values()))
