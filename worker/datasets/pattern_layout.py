"""Images whose paths say their label, split and attributes."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from densitylab.worker.datasets.image_layout import base_folder, litter
from densitylab.worker.datasets.image_source import Tree
from densitylab.worker.datasets.own_columns import recognised
from densitylab.worker.datasets.own_groups import groups_of
from densitylab.worker.datasets.own_images import (
    BadFolder,
    OwnImages,
    ReadOptions,
    Report,
    counted_names,
    require_none,
)
from densitylab.worker.datasets.own_values import Where, categories, labels_of, splits_of
from densitylab.worker.datasets.table_layout import missing_classes

_PART = re.compile(r"\{([^{}]*)\}|(\*\*/|\*)|([^{}*]+)")


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a regular expression for a pattern of paths: {name} is a value without a slash, * any text without one,
    **/ any folders; a pattern that ends in a name fits any ending.

    Raises BadFolder for a pattern without {label}, or with a name twice.
    """
    parts, names = [], []
    position = 0
    for match in _PART.finditer(pattern):
        if match.start() != position:
            break
        position = match.end()
        name, star, text = match.groups()
        if name is not None:
            if not name.isidentifier():
                raise BadFolder(f"the pattern {pattern!r} has the name {{{name}}}: expected letters, digits and _")
            names.append(name)
            parts.append(f"(?P<{name}>[^/]+?)")
        elif star is not None:
            parts.append("[^/]*" if star == "*" else "(?:[^/]+/)*")
        else:
            parts.append(re.escape(text))
    if position != len(pattern):
        raise BadFolder(f"the pattern {pattern!r} has a brace without its other half")
    if "label" not in names:
        raise BadFolder(f"the pattern {pattern!r} has no {{label}}: write it where the path says the class")
    if len(set(names)) != len(names):
        raise BadFolder(f"the pattern {pattern!r} has a name twice")
    return re.compile("".join(parts) + r"(?:\.[^./]+)?")


def read_pattern(tree: Tree, suffixes: tuple[str, ...], options: ReadOptions, report: Report) -> OwnImages:
    """Return the images of a tree by a pattern of their paths, below the folder around everything.

    Raises BadFolder for paths that do not fit, or are no data set.
    """
    report.layout = "pattern"
    expression = compiled(options.pattern or "")
    problems = [reason for name, reason in sorted(tree.problems.items()) if not litter(name)]
    names = [name for name in tree.names if PurePosixPath(name).suffix.lower() in suffixes and not litter(name)]
    report.passed_over += [name for name in tree.names if name not in set(names)]
    if not names:
        require_none([*problems, "there are no images"])
    base = "" if expression.fullmatch(names[0]) else base_folder(names)
    files = [name.removeprefix(base) for name in names]
    matches = [expression.fullmatch(file) for file in files]
    problems += [
        f"{file} does not fit the pattern {options.pattern}"
        for file, match in zip(files, matches, strict=True)
        if match is None
    ]
    require_none(problems)
    rows = [match.groupdict() for match in matches if match is not None]
    columns = list(rows[0])
    cells = {column: [row[column] for row in rows] for column in columns}

    def where(column: str) -> Where:
        return lambda row: f"{files[row]}, {{{column}}}"

    given = {"image": "", "mask": "", "label": "label"} | dict(options.columns)
    roles, attributes = recognised(columns, cells, given, where, "the pattern", problems, report)
    labels, class_names = labels_of("label", cells["label"], where("label"), problems, options.class_names)
    splits: list[str | None] = [None] * len(files)
    if roles.split is not None:
        splits = splits_of(cells[roles.split], where(roles.split), problems, options.split_values)
    require_none([*problems, *(() if problems else missing_classes(labels, class_names, splits))])
    named = [categories(name, cells[name]) for name in attributes]
    group = None if roles.group is None else categories(roles.group, cells[roles.group])
    return OwnImages(
        files=files,
        read=lambda index: tree.read(names[index]),
        labels=labels,
        class_names=class_names,
        splits=splits,
        attributes=named,
        groups=groups_of(labels, class_names, named, group, options.group_by),
        notes=list(counted_names("Files that are no images, passed over", report.passed_over)),
    )
