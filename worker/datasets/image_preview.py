"""The content that a registration would store, found without reading all images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from densitylab.worker.datasets.image_folder import Decoder, draw_splits, small_groups, unreadable
from densitylab.worker.datasets.image_source import BadTree, Tree
from densitylab.worker.datasets.npy_store import SPLITS, stopping
from densitylab.worker.datasets.own_images import OwnImages, ReadOptions, Report
from densitylab.worker.datasets.own_images_reader import read

SIZED = 2000  # images whose headers are read, evenly spaced
SHOWN = 20  # images
SIDE = 96  # largest height and width of the images that are shown


@dataclass(frozen=True)
class ShownImage:
    """An image (C, H, W) uint8 by its index."""

    index: int
    split: str
    pixels: np.ndarray


@dataclass
class Preview:
    """What was found.

    Args:
        report: what was recognised.
        problems: sentences; with one the images can't be registered.
        own: the images; None if they could not be sorted.
        counts: (label, group or -1) to the number of images by split.
        sizes: number of images by (height, width), of those whose headers were read.
        images: to show.
        notes: about small groups and what was passed over.
    """

    report: Report
    problems: list[str] = field(default_factory=list)
    own: OwnImages | None = None
    counts: dict[tuple[int, int], Counter[str]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    images: list[ShownImage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def preview(
    tree: Tree,
    decoder: Decoder,
    options: ReadOptions,
    *,
    image_size: tuple[int, int] | None,
    data_seed: int,
    should_stop: Callable[[], bool],
) -> Preview:
    """Return what `image_folder.register` with the same arguments would store, and what it would refuse.

    The headers of up to 2,000 images are read, and up to twenty images. Raises Interrupted.
    """
    found = Preview(Report())
    try:
        own = found.own = read(tree, decoder.SUFFIXES, options, found.report)
        order = draw_splits(own, np.random.default_rng(data_seed))
    except BadTree as error:
        lines = str(error).splitlines()
        found.problems = lines[1:] if len(lines) > 1 else lines
        return found
    split_of = {int(index): split for split in SPLITS for index in order[split]}
    groups = np.full(len(own.labels), -1) if own.groups is None else own.groups.codes
    for index, kind in enumerate(zip(own.labels.tolist(), groups.tolist(), strict=True)):
        found.counts.setdefault(kind, Counter())[split_of[index]] += 1
    found.notes = [*own.notes, *small_groups(own, order)]
    _read_sizes(decoder, own, found, should_stop)
    if image_size is None and len(found.sizes) > 1:
        found.problems.append("the images have different sizes: set an image size, to which all are cropped and scaled")
    for index in stopping(_shown(own, groups), should_stop):
        try:
            found.images.append(ShownImage(index, split_of[index], _decoded(decoder, own.read(index), image_size)))
        except ValueError as error:
            found.problems.append(unreadable(own.files[index], error))
    return found


def _read_sizes(decoder: Decoder, own: OwnImages, found: Preview, should_stop: Callable[[], bool]) -> None:
    count = len(own.files)
    for index in stopping(np.unique(np.linspace(0, count - 1, min(count, SIZED)).astype(int)).tolist(), should_stop):
        try:
            found.sizes[decoder.header(own.read(index))[0]] += 1
        except ValueError as error:
            found.problems.append(unreadable(own.files[index], error))


def _shown(own: OwnImages, groups: np.ndarray) -> list[int]:
    """Return the indices of the images to show: of each class and group by turns, spread over all of it, in order."""
    kinds: dict[tuple[int, int], list[int]] = {}
    for index, kind in enumerate(zip(own.labels.tolist(), groups.tolist(), strict=True)):
        kinds.setdefault(kind, []).append(index)
    spread = [members[:: max(1, len(members) // SHOWN)] for _, members in sorted(kinds.items())]
    chosen: list[int] = []
    for turn in range(SHOWN):
        chosen += [members[turn] for members in spread if turn < len(members)][: SHOWN - len(chosen)]
    return sorted(chosen)


def _decoded(decoder: Decoder, content: bytes, image_size: tuple[int, int] | None) -> np.ndarray:
    (height, width), grey = decoder.header(content)
    height, width = image_size or (height, width)
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return decoder.decode(content, 1 if grey else 3, size)
