"""Waterbirds: a landbird or a waterbird on land or on water (Sagawa, Koh, Hashimoto, Liang 2020).

The published archive waterbird_complete95_forest2water2.tar.gz holds a folder of that name with metadata.csv, whose
columns are img_id, img_filename, y (1 = waterbird), split (0 training, 1 validation, 2 testing), place (1 = water) and
place_filename, and the images of many sizes below it. No check sum is published: the numbers of images are checked.
"""

from __future__ import annotations

import csv
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from worker.datasets import compact, photographs, tree
from worker.datasets.arrays import portion
from worker.datasets.compact import SPLITS, Part, stopping
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.datasets.photographs import Unreadable
from worker.datasets.source import Published, Source, Unavailable
from worker.datasets.tree import Tree

SIZES = {"train": 4795, "validation": 1199, "test": 5794}
_NAME = "waterbird_complete95_forest2water2"
_URL = f"https://nlp.stanford.edu/data/dro/{_NAME}.tar.gz"


def load(root: Path, split: str, *, check_sums: bool = True) -> Dataset:
    """Images (N, 3, 64, 64) uint8, labels (N,) 1 = waterbird, groups (N,) = 2 · label + place, in the official splits.

    Args:
        root: this data set's folder for these parameters.
        split: "train" (4,795 images), "validation" (1,199) or "test" (5,794).
        check_sums: whether the numbers of images had to be the published ones.

    Raises:
        FileNotFoundError: the data set is not prepared there.
    """
    return compact.load(root, split)


def prepare(
    root: Path, source: Source, *, check_sums: bool = True, progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """From the archive, or its unpacked folder, to `root`. Raises Unavailable, Stopped."""
    with _folder(root, source, check_sums, portion(progress, 0.0, 0.7), should_stop) as folder, \
            tree.opened(folder) as files:
        rows = _rows(folder, files)
        rng = np.random.default_rng(0)
        parts = {}
        for number, split in enumerate(SPLITS):
            chosen = [row for row in rows if row["split"] == str(number)]
            if not chosen or (check_sums and len(chosen) != SIZES[split]):
                raise Unavailable(f"{folder}/metadata.csv has {len(chosen)} images of the {split} split, expected "
                                  f"{SIZES[split]}: unpack the archive again, or prepare with check_sums off.")
            # the metadata go species by species
            chosen = [chosen[index] for index in rng.permutation(len(chosen))]
            labels, places = (np.array([int(row[name] == "1") for row in chosen]) for name in ("y", "place"))
            parts[split] = Part(labels, photographs.blocks(_decoded(files, chosen)), {"groups": 2 * labels + places})
        return compact.pack(root, parts, shape=(3, 64, 64), num_classes=2, num_groups=4,
                            progress=portion(progress, 0.7, 1.0), should_stop=should_stop)


@contextmanager
def _folder(
    root: Path, source: Source, check_sums: bool, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> Iterator[Path]:
    """The unpacked folder: the user's, or one that is there for as long as it is needed."""
    placed = source.find(_NAME)
    if placed is not None:
        yield placed
        return
    archive = source.obtain(
        Published(f"{_NAME}.tar.gz", "", (_URL,), None), check_sums=check_sums, progress=portion(progress, 0.0, 0.8),
        should_stop=should_stop,
    )
    unpacked = source.downloads / "unpacked" / root.name
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            for member in stopping(tar, should_stop):
                # "data" refuses links and paths that lead out of the folder
                tar.extract(member, unpacked, filter="data")
        yield unpacked / _NAME
    except (tarfile.TarError, EOFError) as error:
        raise Unavailable(f"{archive} can't be unpacked ({error}): replace it.") from None
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _rows(folder: Path, files: Tree) -> list[dict[str, str]]:
    if "metadata.csv" not in files.names:
        raise Unavailable(f"{folder} has no metadata.csv: unpack {_NAME}.tar.gz again.")
    rows = list(csv.DictReader(files.read("metadata.csv").decode().splitlines()))
    wanted = {"img_filename", "y", "split", "place"}
    if not rows or not wanted <= rows[0].keys():
        columns = ", ".join(sorted(wanted))
        raise Unavailable(f"{folder}/metadata.csv lacks the columns {columns}: unpack the archive again.")
    present = set(files.names)
    missing = next((row["img_filename"] for row in rows if row["img_filename"] not in present), None)
    if missing is not None:
        raise Unavailable(f"{folder} has no image {missing}: unpack {_NAME}.tar.gz again.")
    return rows


def _decoded(files: Tree, rows: list[dict[str, str]]) -> Iterator[np.ndarray]:
    for row in rows:
        try:
            yield photographs.decode(files.read(row["img_filename"]), 3, (64, 64))
        except Unreadable as error:
            raise Unavailable(f"{row['img_filename']} can't be read ({error}): unpack the archive again.") from None
