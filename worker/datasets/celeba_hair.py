"""CelebA-Hair: blond or not, with the groups hair × gender (Liu et al. 2015; Sagawa et al. 2020).

Files as in torchvision's `celeba/`: list_attr_celeba.txt (a line with the number of images, a line with the names of
forty attributes, then a line of 1 and -1 for each image), list_eval_partition.txt (0 training, 1 validation,
2 testing), and img_align_celeba.zip or the folder of that name. The images of 218×178 are cropped to the central square
of 178×178 and scaled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from densitylab.worker.datasets import image_source, npy_store, photographs
from densitylab.worker.datasets.arrays import portion
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.image_source import Tree
from densitylab.worker.datasets.npy_store import SPLITS, Part
from densitylab.worker.datasets.photographs import Unreadable
from densitylab.worker.datasets.source import Published, Source, Unavailable

_FOLDER = "celeba"


def prepare(
    root: Path,
    source: Source,
    *,
    image_size: int = 64,
    check_sums: bool = True,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Store images (N, 3, S, S) uint8, labels 1 = blond and groups 2 · blond + male, in the official splits.

    They have 162,770 training, 19,867 validation and 19,962 test images.

    Args:
        root: the folder to create, one for each value of the parameters.
        source: where to look for the published files.
        image_size: S, to which the central square of each image is scaled.
        check_sums: whether placed files must be the published ones.
        progress: called with the fraction done.
        should_stop: asked between the steps.

    Raises:
        Unavailable: a file is missing and can't be downloaded, or is not the published one.
        Interrupted: `should_stop()` returned True.
    """
    from torchvision.datasets import CelebA  # slow to import

    published = {name: Published(name, _FOLDER, (_address(number),), md5) for number, md5, name in CelebA.file_list}

    def obtain(name: str, start: float, end: float) -> Path:
        return source.obtain(
            published[name], check_sums=check_sums, progress=portion(progress, start, end), should_stop=should_stop
        )

    attributes = _attributes(obtain("list_attr_celeba.txt", 0.0, 0.02))
    partition = _partition(obtain("list_eval_partition.txt", 0.02, 0.03))
    # unpacked images have no published check sum
    images = source.find(f"{_FOLDER}/img_align_celeba") or obtain("img_align_celeba.zip", 0.03, 0.5)
    with image_source.opened(images) as files:
        inside = "" if images.is_dir() else "img_align_celeba/"
        present = set(files.names)
        missing = next((name for name in partition if inside + name not in present), None)
        if missing is not None or partition.keys() != attributes.keys():
            raise Unavailable(f"{images} has no image {missing}, or the two lists name different images: replace them.")
        # shuffled: the official order is by name, which need not be random
        rng = np.random.default_rng(0)
        parts = {}
        for number, split in enumerate(SPLITS):
            names = [name for name, split_number in partition.items() if split_number == number]
            names = [names[index] for index in rng.permutation(len(names))]
            blond, male = (np.array([attributes[name][index] for name in names], np.int64) for index in (0, 1))
            decoded = photographs.blocks(_decoded(files, inside, names, image_size))
            parts[split] = Part(blond, decoded, {"groups": 2 * blond + male})
        return npy_store.pack(
            root,
            parts,
            shape=(3, image_size, image_size),
            num_classes=2,
            num_groups=4,
            progress=portion(progress, 0.5, 1.0),
            should_stop=should_stop,
        )


def _decoded(files: Tree, inside: str, names: list[str], side: int) -> Iterator[np.ndarray]:
    for name in names:
        try:
            yield photographs.decode(files.read(inside + name), 3, (side, side))
        except Unreadable as error:
            raise Unavailable(f"{name} can't be read ({error}): replace it.") from None


def _address(number: str) -> str:
    return f"https://drive.usercontent.google.com/download?id={number}&export=download&confirm=t"


def _attributes(path: Path) -> dict[str, tuple[bool, bool]]:
    """Return (blond, male) of each image."""
    lines = path.read_text().splitlines()
    try:
        names = lines[1].split()
        blond, male = names.index("Blond_Hair"), names.index("Male")
        rows = (line.split() for line in lines[2:])
        return {row[0]: (row[1 + blond] == "1", row[1 + male] == "1") for row in rows if row}
    except (IndexError, ValueError):
        raise Unavailable(f"{path} is not CelebA's list of attributes: replace it.") from None


def _partition(path: Path) -> dict[str, int]:
    """Return the number of each image's split."""
    try:
        return {name: int(number) for name, number in (line.split() for line in path.read_text().splitlines())}
    except ValueError:
        raise Unavailable(f"{path} is not CelebA's list of splits: replace it.") from None
