"""CelebA-Hair: blond or not, with the groups hair × gender (Liu et al. 2015; Sagawa et al. 2020).

Files as torchvision keeps them in `celeba/`: list_attr_celeba.txt (a line with the number of images, a line with the
forty attributes' names, then a line each with 1 or -1), list_eval_partition.txt (0 training, 1 validation, 2 testing),
and img_align_celeba.zip or the folder of that name. The images of 218×178 are cut around their middle to a square and
scaled to 64×64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from worker.datasets import compact, photographs, tree
from worker.datasets.arrays import portion
from worker.datasets.compact import SPLITS, Part
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.datasets.photographs import Unreadable
from worker.datasets.source import Published, Source, Unavailable
from worker.datasets.tree import Tree

SIZE = (64, 64)
_FOLDER = "celeba"


def load(root: Path, split: str, *, check_sums: bool = True) -> Dataset:
    """Images (N, 3, 64, 64) uint8, labels (N,) 1 = blond, groups (N,) = 2 · blond + male, in the official splits.

    Args:
        root: this data set's folder for these parameters.
        split: "train" (162,770 images), "validation" (19,867) or "test" (19,962).
        check_sums: whether placed files had to have the published contents.

    Raises:
        FileNotFoundError: the data set is not prepared there.
    """
    return compact.load(root, split)


def prepare(
    root: Path, source: Source, *, check_sums: bool = True, progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """From the published files to `root`. Raises Unavailable, Stopped."""
    from torchvision.datasets import CelebA  # slow to import

    published = {name: Published(name, _FOLDER, (_address(number),), md5) for number, md5, name in CelebA.file_list}

    def obtain(name: str, start: float, end: float) -> Path:
        return source.obtain(published[name], check_sums=check_sums, progress=portion(progress, start, end),
                             should_stop=should_stop)

    attributes = _attributes(obtain("list_attr_celeba.txt", 0.0, 0.02))
    partition = _partition(obtain("list_eval_partition.txt", 0.02, 0.03))
    # unpacked, the images have no published sum
    images = source.find(f"{_FOLDER}/img_align_celeba") or obtain("img_align_celeba.zip", 0.03, 0.5)
    with tree.opened(images) as files:
        inside = "" if images.is_dir() else "img_align_celeba/"
        present = set(files.names)
        missing = next((name for name in partition if inside + name not in present), None)
        if missing is not None or partition.keys() != attributes.keys():
            raise Unavailable(f"{images} has no image {missing}, or the two lists name other images: replace them.")
        # shuffled: the official order goes by names, but nothing says that it is random
        rng = np.random.default_rng(0)
        parts = {}
        for number, split in enumerate(SPLITS):
            names = [name for name, where in partition.items() if where == number]
            names = [names[index] for index in rng.permutation(len(names))]
            blond, male = (np.array([attributes[name][index] for name in names], np.int64) for index in (0, 1))
            decoded = photographs.blocks(_decoded(files, inside, names))
            parts[split] = Part(blond, decoded, {"groups": 2 * blond + male})
        return compact.pack(root, parts, shape=(3, *SIZE), num_classes=2, num_groups=4,
                            progress=portion(progress, 0.5, 1.0), should_stop=should_stop)


def _decoded(files: Tree, inside: str, names: list[str]) -> Iterator[np.ndarray]:
    for name in names:
        try:
            yield photographs.decode(files.read(inside + name), 3, SIZE)
        except Unreadable as error:
            raise Unavailable(f"{name} can't be read ({error}): replace it.") from None


def _address(number: str) -> str:
    return f"https://drive.usercontent.google.com/download?id={number}&export=download&confirm=t"


def _attributes(path: Path) -> dict[str, tuple[bool, bool]]:
    """(blond, male) of each image."""
    lines = path.read_text().splitlines()
    try:
        names = lines[1].split()
        blond, male = names.index("Blond_Hair"), names.index("Male")
        rows = (line.split() for line in lines[2:])
        return {row[0]: (row[1 + blond] == "1", row[1 + male] == "1") for row in rows if row}
    except (IndexError, ValueError):
        raise Unavailable(f"{path} is not CelebA's list of attributes: replace it.") from None


def _partition(path: Path) -> dict[str, int]:
    """The number of each image's split."""
    try:
        return {name: int(number) for name, number in (line.split() for line in path.read_text().splitlines())}
    except ValueError:
        raise Unavailable(f"{path} is not CelebA's list of splits: replace it.") from None
