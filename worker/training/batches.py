"""Batches of a training run by step number: order, sampling, memory and augmentation.

with closing(Batches(data, batch_size=, seed=, device=)) as batches:
    x, y = batches.at(step)        depends only on the data, the seed and the step
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from math import ceil

import torch

from densitylab.worker.augmentations.mixed import Mixed
from densitylab.worker.augmentations.none import none
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training import seeds
from densitylab.worker.training.mixture import Mixture, larger, mixture_of
from densitylab.worker.training.sampling import epoch_order

RESIDENT_SHARE = 0.25  # of the device's free memory (of the machine's, on the CPU) for resident images

_Pair = tuple[torch.Tensor, torch.Tensor]


class Batches:
    """Images x (N, C, H, W) float32 in [0, 1] and labels y (N,) of each step, on the device.

    Images stay uint8 and are augmented in whole batches on the device. If they fit they are kept there; otherwise they
    stay in host memory, or in a memory-mapped file, and a thread collects the next batch while the device computes, for
    a GPU in pinned memory. Both ways give the same bits.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str,
        sampling: str = "shuffled",
        augmentation: Callable[..., torch.Tensor] = none,
        mixing: Callable[..., Mixed] | None = None,
        resident: bool | None = None,
    ) -> None:
        """
        Args:
            data: training images, at least one.
            batch_size: images per step; an epoch's last batch may be smaller.
            seed: of the run; determines the order and the augmentation.
            device: of the batches.
            sampling: see `densitylab.worker.training.sampling.epoch_order`.
            augmentation: (images, *, generator) -> images of the same shape and type.
            mixing: (images (N, C, H, W) float in [0, 1], *, generator) -> mixed images, after the augmentation; None:
                images are not mixed.
            resident: keep the images on the device; None: if they take at most a quarter of its memory.

        Raises:
            ValueError: no images, an unknown sampling, or balanced groups without groups.
        """
        if len(data) == 0:
            raise ValueError("expected training images, got none")
        self._device = torch.device(device)
        self.resident = _fits(data.images, self._device) if resident is None else resident
        self._data, self._batch_size, self._seed = data, batch_size, seed
        self._sampling, self._augmentation, self._mixing = sampling, augmentation, mixing
        self._mixed: tuple[int, Mixed, Mixture] | None = None  # of the step of the last `at`
        storage = self._device if self.resident else torch.device("cpu")
        self._images, self._labels = data.images.to(storage), data.labels.to(storage)
        self._weights: torch.Tensor | None = None  # of the images, in the draws of an epoch
        self._epoch, self._order = 0, self._order_of(0).to(storage)
        self._reader = None if self.resident else ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._own_order: tuple[int, torch.Tensor] | None = None  # an epoch and its order, of `_chosen`
        self._ahead: tuple[int, Future[_Pair]] | None = None  # the step that the reader prepares

    @property
    def data(self) -> Dataset:
        """The training images."""
        return self._data

    @property
    def mixes(self) -> bool:
        """True if images are mixed."""
        return self._mixing is not None

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the smaller last one included."""
        return ceil(len(self._data) / self._batch_size)

    def at(self, step: int) -> _Pair:
        """Return (x, y) of a step, counted from 1 over all epochs; of mixed images the label with the larger share."""
        images, labels = self._gather(step) if self._reader is None else self._read(self._reader, step)
        generator = seeds.generator(self._seed, seeds.AUGMENTATION, step)
        x = as_pixels(self._augmentation(images, generator=generator))
        if self._mixing is not None:
            mixed = self._mixing(x, generator=generator)
            labels, mixture = mixture_of(labels, mixed)
            self._mixed, x = (step, mixed, mixture), mixed.images
        return x.contiguous(), labels

    def mixture(self, step: int) -> Mixture | None:
        """Return the mixture of the images of the last `at(step)`; None if images are not mixed."""
        if self._mixing is None:
            return None
        if self._mixed is None or self._mixed[0] != step:
            self.at(step)
        assert self._mixed is not None
        return self._mixed[2]

    def masks(self, step: int) -> torch.Tensor:
        """Return (N, 1, H, W) bool, the masks of the images of `at(step)`, moved with them by the augmentation.

        An augmentation draws as many numbers for masks as for images. Pixels that it adds are not in the mask. Of two
        mixed images a pixel is in the mask where it is in that of each image that it has a part of.

        Raises:
            ValueError: the data set has no masks.
        """
        if self._data.masks is None:
            raise ValueError("the regularizer needs masks of the null part, and this data set has none")
        stored = self._data.masks[self._chosen(step)].to(self._device, torch.uint8) * 255
        generator = seeds.generator(self._seed, seeds.AUGMENTATION, step)
        moved = self._augmentation(_as_mask(stored), generator=generator).as_subclass(torch.Tensor) > 127
        return moved if self._mixing is None else self._mixing(moved.float(), generator=generator).images > 0.999

    def groups(self, step: int) -> torch.Tensor | None:
        """Return the groups (N,) of the images of `at(step)`, on the device; None if the data set has none. A mixed
        image has the group of the image with the larger share."""
        if self._data.groups is None:
            return None
        groups = self._data.groups[self._chosen(step)].to(self._device)
        if self.mixture(step) is None or self._mixed is None:
            return groups
        return groups[larger(self._mixed[1])]

    def sample_by(self, weights: torch.Tensor | None) -> None:
        """Draw the images of the steps that follow with replacement, with probabilities in proportion to `weights`
        (N,); None: as `sampling` says."""
        if self._ahead is not None:
            self._ahead[1].result()  # the thread reads the order until then
        self._weights, self._ahead, self._own_order, self._epoch = weights, None, None, -1

    def of_seed(self, seed: int) -> Batches:
        """Return batches of the same images in memory, in the order of another seed."""
        return Batches(
            replace(self._data, images=self._images),
            batch_size=self._batch_size,
            seed=seed,
            device=self._device,
            sampling=self._sampling,
            augmentation=self._augmentation,
            mixing=self._mixing,
            resident=self.resident,
        )

    def close(self) -> None:
        """End the thread that reads ahead, if there is one."""
        if self._reader is not None:
            self._reader.shutdown(cancel_futures=True)

    def _order_of(self, epoch: int) -> torch.Tensor:
        return epoch_order(self._data, self._sampling, seed=self._seed, epoch=epoch, weights=self._weights)

    def _chosen(self, step: int) -> torch.Tensor:
        epoch, batch = divmod(step - 1, self.steps_per_epoch)
        if self._own_order is None or self._own_order[0] != epoch:
            # separate from that of the images, which a thread may have moved to the next epoch
            self._own_order = epoch, self._order_of(epoch)
        return self._own_order[1][batch * self._batch_size : (batch + 1) * self._batch_size]

    def _gather(self, step: int) -> _Pair:
        epoch, batch = divmod(step - 1, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._order_of(epoch).to(self._images.device)
        chosen = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        return self._images[chosen], self._labels[chosen]

    def _read(self, reader: ThreadPoolExecutor, step: int) -> _Pair:
        # only the reader's thread calls `_gather`, so no other thread changes the order
        batch = self._ahead[1] if self._ahead and self._ahead[0] == step else reader.submit(self._prepare, step)
        images, labels = batch.result()
        self._ahead = (step + 1, reader.submit(self._prepare, step + 1))
        return images.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)

    def _prepare(self, step: int) -> _Pair:
        images, labels = self._gather(step)
        return (images.pin_memory(), labels.pin_memory()) if self._device.type == "cuda" else (images, labels)


def _as_mask(stored: torch.Tensor) -> torch.Tensor:
    """Return masks as torchvision's, by which augmentations know not to change their values."""
    from torchvision.tv_tensors import Mask  # slow to import

    return Mask(stored)


def as_pixels(images: torch.Tensor) -> torch.Tensor:
    """Return images as float32 in [0, 1]: uint8 is divided by 255, floats are unchanged."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def _fits(images: torch.Tensor, device: torch.device) -> bool:
    if device.type == "cuda":
        memory, _ = torch.cuda.mem_get_info(device)
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return images.nbytes <= RESIDENT_SHARE * memory
