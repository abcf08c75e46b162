"""Images in one folder per class, with an optional groups.csv and masks."""

from __future__ import annotations

import numpy as np

from densitylab.worker.datasets.groups_csv import read_groups
from densitylab.worker.datasets.image_layout import read_layout
from densitylab.worker.datasets.image_source import Tree
from densitylab.worker.datasets.own_images import (
    MAX_VALUES,
    Attribute,
    Masks,
    OwnImages,
    Report,
    counted_names,
    require_none,
)


def read_class_folders(tree: Tree, suffixes: tuple[str, ...], report: Report) -> OwnImages:
    """Return the images of a tree with a folder for each class. Raises BadFolder."""
    report.layout = "folders"
    layout = read_layout(tree, suffixes)
    report.passed_over += layout.passed_over
    files = [image.file for image in layout.images]
    groups = None
    if layout.groups_csv is not None:
        group_of, problems = read_groups(tree.read(layout.groups_csv), files, layout.base)
        require_none(problems)
        names = sorted(set(group_of.values()))
        number = {name: index for index, name in enumerate(names)}
        groups = Attribute("group", names, np.array([number[group_of[file]] for file in files]))
    masks = layout.masks
    return OwnImages(
        files=files,
        read=lambda index: tree.read(layout.images[index].name),
        labels=np.array([image.label for image in layout.images]),
        class_names=layout.class_names,
        splits=[image.split for image in layout.images],
        attributes=[groups] if groups is not None and len(groups.values) <= MAX_VALUES else [],
        groups=groups,
        masks=None if masks is None else Masks(masks, lambda index: tree.read(masks[index])),
        notes=[
            *counted_names("Files that are no images, passed over", layout.passed_over),
            *counted_names("Masks without an image", layout.unused_masks),
        ],
    )
