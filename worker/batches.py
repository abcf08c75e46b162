"""The batches of a training run, by step number: order, sampling, where the images lie, augmentation.

    with closing(Batches(data, batch_size=, seed=, device=)) as batches:
        x, y = batches.at(step)        a function of the data, the seed and the step alone
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil

import torch

from worker import seeds
from worker.augmentations.none import none
from worker.datasets.dataset import Dataset
from worker.sampling import epoch_order

RESIDENT_SHARE = 0.25  # of the device's free memory (of the machine's, on the CPU) that the images may take

_Pair = tuple[torch.Tensor, torch.Tensor]


class Batches:
    """Images x (N, C, H, W) float32 in [0, 1] and labels y (N,) of each step, on the device.

    Images are kept as uint8 and are augmented in whole batches on the device. Where they fit they lie there; else they
    stay in host memory, or in the file that is mapped into it, and a thread gathers the next batch while the device
    computes, for a GPU into pinned memory. Both ways give the same bits.
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
        resident: bool | None = None,
    ) -> None:
        """
        Args:
            data: what to train on, at least one image.
            batch_size: images per step; an epoch's last batch may be smaller.
            seed: of the run; gives the order and the augmentation.
            device: where the batches are wanted.
            sampling: see `worker.sampling.epoch_order`.
            augmentation: (images, *, generator) -> images of the same shape and type.
            resident: whether the images lie on the device; None: where they take at most a quarter of its memory.

        Raises:
            ValueError: no images, an unknown sampling, or balanced groups where there are none.
        """
        if len(data) == 0:
            raise ValueError("expected training images, got none")
        self._device = torch.device(device)
        self.resident = _fits(data.images, self._device) if resident is None else resident
        self._data, self._batch_size, self._seed = data, batch_size, seed
        self._sampling, self._augmentation = sampling, augmentation
        place = self._device if self.resident else "cpu"
        self._images, self._labels = data.images.to(place), data.labels.to(place)
        self._epoch, self._order = 0, epoch_order(data, sampling, seed=seed, epoch=0).to(place)
        self._reader = None if self.resident else ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[_Pair]] | None = None  # the step that the reader gathers

    @property
    def steps_per_epoch(self) -> int:
        return ceil(len(self._data) / self._batch_size)

    def at(self, step: int) -> _Pair:
        """(x, y) of a step, counted from 1 over all epochs."""
        images, labels = self._gather(step) if self._reader is None else self._read(self._reader, step)
        images = self._augmentation(images, generator=seeds.generator(self._seed, seeds.AUGMENTATION, step))
        return as_pixels(images).contiguous(), labels

    def close(self) -> None:
        """Ends the thread that reads ahead, where there is one."""
        if self._reader is not None:
            self._reader.shutdown(cancel_futures=True)

    def _gather(self, step: int) -> _Pair:
        epoch, place = divmod(step - 1, self.steps_per_epoch)
        if epoch != self._epoch:
            order = epoch_order(self._data, self._sampling, seed=self._seed, epoch=epoch)
            self._epoch, self._order = epoch, order.to(self._images.device)
        chosen = self._order[place * self._batch_size : (place + 1) * self._batch_size]
        return self._images[chosen], self._labels[chosen]

    def _read(self, reader: ThreadPoolExecutor, step: int) -> _Pair:
        # `_gather` runs in the reader's thread alone, so the order is never changed under it
        due = self._ahead[1] if self._ahead and self._ahead[0] == step else reader.submit(self._to_send, step)
        images, labels = due.result()
        self._ahead = (step + 1, reader.submit(self._to_send, step + 1))
        return images.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)

    def _to_send(self, step: int) -> _Pair:
        images, labels = self._gather(step)
        return (images.pin_memory(), labels.pin_memory()) if self._device.type == "cuda" else (images, labels)


def as_pixels(images: torch.Tensor) -> torch.Tensor:
    """Images as float32 in [0, 1]: uint8 is divided by 255, floats stay as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def _fits(images: torch.Tensor, device: torch.device) -> bool:
    if device.type == "cuda":
        memory, _ = torch.cuda.mem_get_info(device)
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return images.nbytes <= RESIDENT_SHARE * memory
