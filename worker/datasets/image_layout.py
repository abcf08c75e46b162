"""Sort the files of a user's images: classes, splits, masks, groups.csv, and what is passed over."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from densitylab.worker.datasets.image_source import Tree
from densitylab.worker.datasets.own_images import MAX_CLASSES, SPLIT_NAMES, require_none

# Files and folders of operating systems and of disk stations; hidden ones (".name") are too
_LITTER = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__")
# Pictures that are not read: passing them over would lose images
_OTHER_PICTURES = (
    *(".heic", ".heif", ".jp2", ".j2k", ".jpx", ".jxl", ".psd", ".tga", ".ico", ".svg", ".eps", ".ps", ".pdf", ".exr"),
    *(".hdr", ".pcx", ".dds", ".dcm", ".nii", ".npy", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2"),
)


@dataclass(frozen=True)
class LabelledImage:
    """An image by its name in the tree and its file relative to the folder around everything, as in groups.csv."""

    name: str
    file: str
    split: str | None
    label: int


@dataclass(frozen=True)
class Layout:
    """Sorted files.

    Args:
        base: the folder around everything, "" or with a slash at its end.
        class_names: the names of the class folders, in order.
        images: in the order of their names.
        masks: the name in the tree of the mask of each image; None without masks.
        groups_csv: its name in the tree.
        passed_over: names of files that are no images.
        unused_masks: masks that belong to no image.
    """

    base: str
    class_names: list[str]
    images: list[LabelledImage]
    masks: list[str] | None
    groups_csv: str | None
    passed_over: list[str]
    unused_masks: list[str]


def read_layout(tree: Tree, suffixes: tuple[str, ...]) -> Layout:
    """Sort the files of the tree.

    Args:
        tree: the files.
        suffixes: endings of the images' names.

    Raises:
        BadFolder: the files are not a data set.
    """
    problems = [reason for name, reason in sorted(tree.problems.items()) if not litter(name)]
    pictures, tables, passed_over = [], [], [name for name in tree.problems if litter(name)]
    for name in tree.names:
        suffix = PurePosixPath(name).suffix.lower()
        if litter(name):
            passed_over.append(name)
        elif suffix in suffixes:
            pictures.append(name)
        elif is_groups_csv(name):
            tables.append(name)
        elif suffix in _OTHER_PICTURES:
            problems.append(f"{name} is not an image of a kind that is read; expected {', '.join(suffixes)}")
        else:
            passed_over.append(name)
    if not pictures:
        require_none([*problems, "there are no images: expected a folder for each class, with its images inside"])
    base = base_folder([*pictures, *tables])
    files = [name.removeprefix(base) for name in pictures]
    problems += [f"{name}: expected it beside the folders of images" for name in tables if "/" in name[len(base) :]]
    given = any(_split_of(file) == "train" for file in files if file.count("/") >= 2)
    mask_folders = {file.split("/")[0] for file in files if file.lower().startswith("masks/") and file.count("/") >= 2}
    masks = [file for file in files if file.split("/")[0] in mask_folders]
    entries = _entries([file for file in files if file.split("/")[0] not in mask_folders], given, problems)
    problems += _ambiguous_folders(files, masks, given)
    problems += _empty_folders(tree, base, files, given, bool(mask_folders))
    classes = sorted({label for _, label, _ in entries})
    problems += _class_problems(classes, entries)
    number = {label: index for index, label in enumerate(classes)}
    images = [LabelledImage(base + file, file, split, number[label]) for split, label, file in entries]
    mask_of = _mask_of(masks, images, problems)
    require_none(problems)
    return Layout(
        base,
        classes,
        images,
        [base + mask_of[image.file] for image in images] if masks else None,
        tables[0] if tables else None,
        passed_over,
        sorted(set(masks) - set(mask_of.values())),
    )


def litter(name: str) -> bool:
    parts = [part for part in name.split("/") if part != ".."]
    return any(part.startswith(".") or part.lower() in _LITTER for part in parts)


def is_groups_csv(name: str) -> bool:
    return PurePosixPath(name).name.lower() == "groups.csv"


def _split_of(file: str) -> str | None:
    return SPLIT_NAMES.get(file.split("/")[0].lower())


def base_folder(names: list[str]) -> str:
    """Return the folder around everything, "" if there is none."""
    base = ""
    while True:
        below = [name[len(base) :] for name in names]
        tops = {name.split("/")[0] for name in below}
        # a single folder of folders is around everything; a single folder of images is a class
        if (
            len(tops) == 1
            and all(name.count("/") >= 2 or is_groups_csv(name) for name in below)
            and not _split_of(below[0])
        ):
            base += f"{tops.pop()}/"
        else:
            return base


def _entries(files: list[str], given: bool, problems: list[str]) -> list[tuple[str | None, str, str]]:
    """Return (split, class, file) of each image."""
    entries = []
    for file in files:
        split = _split_of(file) if given else None
        inside = file.split("/")[1:] if given else file.split("/")
        if given and split is None:
            problems.append(f"{file} is in none of the folders train, validation and test")
        elif len(inside) != 2:
            problems.append(f"{file} is not in a class's folder: expected {'SPLIT/' if given else ''}CLASS/IMAGE")
        else:
            entries.append((split, inside[0], file))
    return entries


def _ambiguous_folders(files: list[str], masks: list[str], given: bool) -> Iterable[str]:
    """Yield a sentence for each folder with two meanings."""
    if masks:
        yield from (
            f"{file}: a class may not be called masks beside a folder of masks"
            for file in masks
            if file.count("/") == 1
        )
        tops = sorted({file.split("/")[0] for file in masks})
        if len(tops) > 1:
            yield f"{' and '.join(tops)} are both folders of masks: expected one"
    folders = defaultdict(set)
    for file in files:
        if given and (split := _split_of(file)):
            folders[split].add(file.split("/")[0])
    for split, names in folders.items():
        if len(names) > 1:
            yield f"{' and '.join(sorted(names))} are both the {split} split: expected one folder"


def _empty_folders(tree: Tree, base: str, files: list[str], given: bool, has_masks: bool) -> Iterable[str]:
    """Yield a sentence for each split or class without an image."""
    parents = {
        str(parent) for name in (*tree.names, *(f"{folder}/x" for folder in tree.folders)) for parent in _above(name)
    }
    inside = {parent[len(base) :] for parent in parents if parent.startswith(base) and not litter(parent)}
    used = {parent for file in files for parent in _above(file)}
    bad = [name.removeprefix(base) for name in tree.problems]
    for folder in sorted(inside - used):
        parts = folder.split("/")
        if any(name == folder or name.startswith(f"{folder}/") for name in bad):
            continue  # that is a problem already
        if has_masks and parts[0].lower() == "masks":
            continue
        if given and len(parts) == 1 and _split_of(folder):
            yield f"the folder {folder} has no image"
        elif len(parts) == (2 if given else 1) and (not given or _split_of(folder)):
            yield f"the class folder {folder} has no image: remove it, or put its images there"


def _above(name: str) -> list[str]:
    """Return the folders that contain the file, relative and from the top."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _class_problems(classes: list[str], entries: list[tuple[str | None, str, str]]) -> Iterable[str]:
    if len(classes) < 2:
        yield f"expected at least two classes, a folder for each, got {', '.join(classes) or 'none'}"
    if len(classes) > MAX_CLASSES:
        yield f"expected at most {MAX_CLASSES} classes, got {len(classes)}"
    present = defaultdict(set)
    for split, label, _ in entries:
        present[split].add(label)
    for split, labels in present.items():
        yield from (f"the class {label} has no image in {split}" for label in classes if label not in labels)


def _mask_of(masks: list[str], images: list[LabelledImage], problems: list[str]) -> dict[str, str]:
    """Return {file of the image: file of its mask}.

    It has the image's name, or that name and another ending, or the same stem if no other image or mask has it.
    """
    if not masks:
        return {}
    top = masks[0].split("/")[0]
    inside = {mask.partition("/")[2]: mask for mask in masks}
    by_stem, images_by_stem = defaultdict(list), defaultdict(list)
    for file, mask in inside.items():
        by_stem[_stem(file)].append(mask)
    for image in images:
        images_by_stem[_stem(image.file)].append(image.file)
    mask_of = {}
    for image in images:
        stem = _stem(image.file)
        candidates = [inside[image.file]] if image.file in inside else by_stem[image.file] or by_stem[stem]
        shared = candidates == by_stem[stem] and image.file not in inside and len(images_by_stem[stem]) > 1
        if not candidates:
            problems.append(f"there is no mask {top}/{stem}.png: expected one for every image, or no folder of masks")
        elif shared or len(candidates) > 1:
            names = " and ".join(images_by_stem[stem] if shared else candidates)
            problems.append(
                f"the mask of {image.file} is ambiguous, because of {names}: give each mask its image's full name"
            )
        else:
            mask_of[image.file] = candidates[0]
    return mask_of


def _stem(file: str) -> str:
    return re.sub(r"\.[^./]*$", "", file)
