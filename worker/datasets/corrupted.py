"""Published corrupted test images: CIFAR-10-C, CIFAR-100-C and Tiny ImageNet-C.

Hendrycks, Dietterich, *Benchmarking Neural Network Robustness to Common Corruptions and Perturbations*, ICLR 2019:
fifteen corruptions at five severities. CIFAR's folders have one array per corruption, `gaussian_noise.npy` (5·N, 32,
32, 3) uint8 with the test images at severity 1, then 2 and so on, and `labels.npy` (5·N,). Tiny ImageNet's has files
`gaussian_noise/1/n01443537/….JPEG`. All are read where the user has placed them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from densitylab.worker.datasets import image_source, photographs
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.datasets.photographs import Unreadable
from densitylab.worker.datasets.source import Source, Unavailable

CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corrupted:
    """A data set's corrupted test images.

    Args:
        load: (corruption, severity, indices) -> the images with these indices, (n,) int64; the same images for every
            corruption and severity.
        labels: (N,) int64, of all images of a corruption and severity.
    """

    load: Callable[[str, int, np.ndarray], Dataset]
    labels: np.ndarray


def cifar10(source: Source) -> Corrupted:
    """Return CIFAR-10-C, of the folder of that name. Raises Unavailable where it has a file missing or a wrong one."""
    return _arrays(source, "CIFAR-10-C")


def cifar100(source: Source) -> Corrupted:
    """Return CIFAR-100-C, as `cifar10`."""
    return _arrays(source, "CIFAR-100-C")


def tiny_imagenet(source: Source, *, image_size: int = 64) -> Corrupted:
    """Return Tiny ImageNet-C, as `cifar10`; the classes are numbered by the wnids.txt of Tiny ImageNet.

    The images are scaled from 64×64 pixels to `image_size` a side, as the data set's are.
    """
    folder = _folder(source, "Tiny-ImageNet-C")
    number = _wnids(source)
    missing = [name for name in CORRUPTIONS if not all((folder / name / str(s)).is_dir() for s in SEVERITIES)]
    if missing:
        raise Unavailable(f"{folder} lacks {missing[0]} at severities 1 to 5: unpack the published archives again.")

    def load(corruption: str, severity: int, indices: np.ndarray) -> Dataset:
        files = _files(folder / corruption / str(severity), number)
        chosen = [files[index] for index in indices]
        images = np.empty((len(chosen), 3, image_size, image_size), np.uint8)
        for index, (file, _) in enumerate(chosen):
            try:
                images[index] = photographs.decode(file.read_bytes(), 3, (image_size, image_size))
            except Unreadable as error:
                raise Unavailable(f"{file} can't be read ({error}): unpack the published archives again.") from None
        return Dataset(torch.from_numpy(images), torch.tensor([label for _, label in chosen]))

    first = _files(folder / CORRUPTIONS[0] / str(SEVERITIES[0]), number)
    return Corrupted(load, np.array([label for _, label in first], np.int64))


def _arrays(source: Source, name: str) -> Corrupted:
    folder = _folder(source, name)
    labels = _array(folder / "labels.npy")
    count, rest = divmod(len(labels), len(SEVERITIES))
    if labels.ndim != 1 or rest or not np.issubdtype(labels.dtype, np.integer):
        raise Unavailable(f"{folder}/labels.npy is not the published one: place it again.")
    stored = {corruption: _array(folder / f"{corruption}.npy") for corruption in CORRUPTIONS}
    for corruption, images in stored.items():
        if images.shape != (len(labels), 32, 32, 3) or images.dtype != np.uint8:
            raise Unavailable(
                f"{folder}/{corruption}.npy has the shape {images.shape} and the type {images.dtype}, expected "
                f"{(len(labels), 32, 32, 3)} and uint8: place the published file again."
            )

    def load(corruption: str, severity: int, indices: np.ndarray) -> Dataset:
        rows = (severity - 1) * count + indices
        images = np.ascontiguousarray(stored[corruption][rows].transpose(0, 3, 1, 2))
        return Dataset(torch.from_numpy(images), torch.from_numpy(labels[rows].astype(np.int64)))

    return Corrupted(load, labels[:count].astype(np.int64))


def _folder(source: Source, name: str) -> Path:
    folder = source.find(name)
    if folder is None or not folder.is_dir():
        raise Unavailable(
            f"There is no folder {name} among the data of this machine, {source.placed}: unpack the published {name} "
            "there."
        )
    return folder


def _array(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise Unavailable(f"{file.parent} has no {file.name}: unpack the published archive again.") from None
    except (ValueError, EOFError, SyntaxError) as error:
        raise Unavailable(f"{file} can't be read as an array: place the published file again.") from error


def _wnids(source: Source) -> dict[str, int]:
    name = "tiny-imagenet-200"
    for place in (source.placed / name, source.placed / f"{name}.zip", source.downloads / f"{name}.zip"):
        if place.exists():
            with image_source.opened(place) as files:
                wnids = files.read("wnids.txt" if place.is_dir() else f"{name}/wnids.txt").decode().split()
            return {wnid: index for index, wnid in enumerate(wnids)}
    raise Unavailable(f"There is no {name} in {source.placed}, whose wnids.txt numbers the classes: place it there.")


def _files(folder: Path, number: dict[str, int]) -> list[tuple[Path, int]]:
    """Return (file, label) of every image, class by class."""
    of_class: dict[int, list[Path]] = {}
    for kind in folder.iterdir():
        if kind.name not in number:
            raise Unavailable(f"{kind} is no class of Tiny ImageNet: unpack the published archives again.")
        of_class[number[kind.name]] = sorted(kind.glob("*.JPEG"))
    return [(file, label) for label, files in sorted(of_class.items()) for file in files]
