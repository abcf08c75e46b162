"""Waterbirds: a landbird or a waterbird on land or on water (Sagawa, Koh, Hashimoto, Liang 2020).

The published archive waterbird_complete95_forest2water2.tar.gz contains a folder of that name with metadata.csv, whose
columns are img_id, img_filename, y (1 = waterbird), split (0 training, 1 validation, 2 testing), place (1 = water) and
place_filename, and the images of many sizes below it. No check sum is published, so the numbers of images are checked.
"""

from __future__ import annotations

import csv
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from densitylab.worker.datasets import image_source, npy_store, photographs
from densitylab.worker.datasets.arrays import portion
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.image_source import Tree
from densitylab.worker.datasets.npy_store import SPLITS, Part, stopping
from densitylab.worker.datasets.photographs import Unreadable
from densitylab.worker.datasets.source import Published, Source, Unavailable

SIZES = {"train": 4795, "validation": 1199, "test": 5794}
_NAME = "waterbird_complete95_forest2water2"
_URL = f"https://nlp.stanford.edu/data/dro/{_NAME}.tar.gz"


def prepare(
    root: Path,
    source: Source,
    *,
    image_size: int = 64,
    check_sums: bool = True,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> PreparedInfo:
    """Store images (N, 3, S, S) uint8, labels 1 = waterbird and groups 2 · label + place, in the official splits.

    They have 4,795 training, 1,199 validation and 5,794 test images.

    Args:
        root: the folder to create, one for each value of the parameters.
        source: where to look for the published files.
        image_size: S, to which the largest central square of each image is scaled.
        check_sums: whether the numbers of images must be the published ones.
        progress: called with the fraction done.
        should_stop: asked between the steps.

    Raises:
        Unavailable: a file is missing and can't be downloaded, or is not the published one.
        Interrupted: `should_stop()` returned True.
    """
    with (
        _folder(root, source, check_sums, portion(progress, 0.0, 0.7), should_stop) as folder,
        image_source.opened(folder) as files,
    ):
        rows = _rows(folder, files)
        rng = np.random.default_rng(0)
        parts = {}
        for number, split in enumerate(SPLITS):
            chosen = [row for row in rows if row["split"] == str(number)]
            if not chosen or (check_sums and len(chosen) != SIZES[split]):
                raise Unavailable(
                    f"{folder}/metadata.csv has {len(chosen)} images of the {split} split, expected "
                    f"{SIZES[split]}: unpack the archive again, or prepare with check_sums off."
                )
            # the metadata are sorted by species
            chosen = [chosen[index] for index in rng.permutation(len(chosen))]
            labels, places = (np.array([int(row[name] == "1") for row in chosen]) for name in ("y", "place"))
            parts[split] = Part(
                labels, photographs.blocks(_decoded(files, chosen, image_size)), {"groups": 2 * labels + places}
            )
        return npy_store.pack(
            root,
            parts,
            shape=(3, image_size, image_size),
            num_classes=2,
            num_groups=4,
            progress=portion(progress, 0.7, 1.0),
            should_stop=should_stop,
        )


@contextmanager
def _folder(
    root: Path, source: Source, check_sums: bool, progress: Callable[[float], None], should_stop: Callable[[], bool]
) -> Iterator[Path]:
    """Yield the unpacked folder: the user's, or a temporary one."""
    placed = source.find(_NAME)
    if placed is not None:
        yield placed
        return
    archive = source.obtain(
        Published(f"{_NAME}.tar.gz", "", (_URL,), None),
        check_sums=check_sums,
        progress=portion(progress, 0.0, 0.8),
        should_stop=should_stop,
    )
    unpacked = source.downloads / "unpacked" / root.name
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            for member in stopping(tar, should_stop):
                # "data" rejects links and paths to the outside of the folder
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
    required = {"img_filename", "y", "split", "place"}
    if not rows or not required <= rows[0].keys():
        columns = ", ".join(sorted(required))
        raise Unavailable(f"{folder}/metadata.csv lacks the columns {columns}: unpack the archive again.")
    present = set(files.names)
    missing = next((row["img_filename"] for row in rows if row["img_filename"] not in present), None)
    if missing is not None:
        raise Unavailable(f"{folder} has no image {missing}: unpack {_NAME}.tar.gz again.")
    return rows


def _decoded(files: Tree, rows: list[dict[str, str]], side: int) -> Iterator[np.ndarray]:
    for row in rows:
        try:
            yield photographs.decode(files.read(row["img_filename"]), 3, (side, side))
        except Unreadable as error:
            raise Unavailable(f"{row['img_filename']} can't be read ({error}): unpack the archive again.") from None
