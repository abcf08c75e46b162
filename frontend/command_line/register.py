"""`densitylab register`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densitylab.backend.shared.contracts import RegistrationPreview
from densitylab.frontend.client import ApiClient
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.outcome import DONE, FAILED, INTERRUPTED, WrongInput
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.plain_text import aligned
from densitylab.frontend.command_line.task_line import TaskLine

_ROLES = ("image", "label", "split", "mask", "group")
_SHOWN = 20  # lines of a table


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab register",
        description="Preview images of your own, then register them as a data set: class folders, a table of files, "
        "arrays, Parquet files or a pattern of paths.",
        parents=[client_command.url_option()],
    )
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="folder, .zip, .npz or table, below the system's data folder"
    )
    parser.add_argument("--upload", type=Path, metavar="FILE", help="zip archive or .npz on this machine, instead")
    parser.add_argument("--hub", metavar="OWNER/NAME", help="data set on the Hugging Face Hub, instead")
    parser.add_argument("--label", metavar="NAME", help="name for people; needed unless --preview")
    parser.add_argument("--preview", action="store_true", help="show what would be registered, and stop there")
    parser.add_argument("--image-size", metavar="PIXELS", help="crop and scale to it; 64, or HEIGHTxWIDTH")
    parser.add_argument("--table", metavar="NAME", help="table that lists the images; default: recognised")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=COLUMN",
        help=f"column of {', '.join(_ROLES)}; empty: none; repeatable; default: recognised",
    )
    parser.add_argument("--attributes", metavar="NAMES", help="columns separated by commas; default: recognised")
    parser.add_argument("--group-by", metavar="NAMES", help="attributes crossed with the label; empty: no groups")
    parser.add_argument("--pattern", metavar="PATTERN", help="of the paths, such as '{label}/{place}/*'")
    parser.add_argument(
        "--split-value", action="append", default=[], metavar="VALUE=SPLIT", help="meaning of a split; repeatable"
    )
    parser.add_argument("--class-names", metavar="NAMES", help="in the order of the labels, separated by commas")
    parser.add_argument("--masks-mark", choices=("object", "null"), default="object", help="what white in masks marks")
    parser.add_argument("--data-seed", type=int, default=0, metavar="SEED", help="of the splits that are drawn")
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    if given.label is None and not given.preview:
        raise WrongInput("--label: expected a name for people, unless --preview is given.")
    fields, line = _fields(given), TaskLine()
    source: dict[str, Any] = {"path": given.path, "archive": given.upload}
    source |= {} if given.hub is None else {"hub": given.hub}
    try:
        found = client.preview_images(progress=line, **source, **fields)
        print(preview_text(found))
        if given.preview:
            return FAILED if found.problems else DONE
        if found.problems:
            return FAILED
        if given.upload is not None:
            source = {"preview": found.id}
        dataset = client.register_images(given.label, progress=line, **source, **fields)
    except KeyboardInterrupt:
        print("\nThe registration goes on.", file=sys.stderr)
        return INTERRUPTED
    print(f"Registered as {dataset.key}: {', '.join(f'{count:,} {split}' for split, count in dataset.sizes.items())}")
    return DONE


def preview_text(found: RegistrationPreview) -> str:
    """Return the columns, the counts and what is wrong as text."""
    parts = []
    if found.columns:
        rows = [["column", "read as", "values", "examples", "reason"]]
        rows += [
            [
                column.name,
                column.role or "passed over",
                "" if column.distinct is None else f"{column.distinct:,}",
                ", ".join(column.examples)[:40],
                column.reason,
            ]
            for column in found.columns
        ]
        parts.append(aligned(rows, left=(0, 1, 3, 4)))
    if found.counts:
        rows = [["class", "group", "train", "validation", "test"]]
        for count in found.counts[:_SHOWN]:
            group = "" if count.group is None else found.group_names[count.group]
            numbers = [f"{number:,}" for number in (count.train, count.validation, count.test)]
            rows.append([found.class_names[count.label], group, *numbers])
        more = len(found.counts) - _SHOWN
        parts.append(aligned(rows, left=(0, 1)) + (f"\nand {more:,} more, which are larger" if more > 0 else ""))
    if found.sizes:
        sizes = ", ".join(f"{size.height}×{size.width} ({size.images:,})" for size in found.sizes[:5])
        parts.append(f"sizes of {found.sized:,} images: {sizes}{', …' if len(found.sizes) > 5 else ''}")
    parts += found.notes
    parts += [f"! {problem}" for problem in found.problems]
    return "\n\n".join(parts)


def _fields(given: argparse.Namespace) -> dict[str, Any]:
    columns: dict[str, Any] = dict(_pairs("--column", given.column))
    unknown = [role for role in columns if role not in _ROLES]
    if unknown:
        raise WrongInput(f"--column: expected one of {', '.join(_ROLES)}; got {unknown[0]!r}.")
    if given.attributes is not None:
        columns["attributes"] = _names(given.attributes)
    return {
        "image_size": None if given.image_size is None else _sides(given.image_size),
        "table": given.table,
        "columns": columns,
        "group_by": None if given.group_by is None else _names(given.group_by),
        "pattern": given.pattern,
        "split_values": dict(_pairs("--split-value", given.split_value)),
        "class_names": None if given.class_names is None else _names(given.class_names),
        "mask_marks": given.masks_mark,
        "data_seed": given.data_seed,
    }


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _sides(text: str) -> list[int]:
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) > 2 or not all(part.strip().isdigit() for part in parts):
        raise WrongInput(f"--image-size: expected a number of pixels, or HEIGHTxWIDTH; got {text!r}.")
    return [int(parts[0]), int(parts[-1])]


def _pairs(option: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    wrong = next((text for text, pair in zip(texts, pairs, strict=True) if not pair[1]), None)
    if wrong is not None:
        raise WrongInput(f"{option}: expected NAME=VALUE; got {wrong!r}.")
    return [(name.strip(), value.strip()) for name, _, value in pairs]
