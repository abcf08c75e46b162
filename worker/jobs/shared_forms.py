"""Prepared data sets in the shared store: what one host has prepared, or was given, the others fetch.

Where files go to a folder of this machine there are no others, and nothing is copied. Embedded data sets are not copied
either: every host has them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.shared.specs import content_hash
from worker.datasets import compact
from worker.datasets.dataset import PreparedInfo
from worker.jobs.context import Context

_MANIFEST = "manifest.json"


def publish(context: Context, key: str, params: dict[str, Any], root: Path) -> None:
    """Copies the form in `root` into the store, the manifest last. Raises OSError where the store refuses it."""
    if not context.artifacts.shared:
        return
    files = [file for file in sorted(root.rglob("*")) if file.is_file() and file.name != _MANIFEST]
    for file in [*files, root / _MANIFEST]:
        with file.open("rb") as content:
            context.artifacts.write_from(f"{_place(key, params)}/{file.relative_to(root).as_posix()}", content)


def fetch(
    context: Context, key: str, params: dict[str, Any], root: Path, should_stop: Callable[[], bool]
) -> PreparedInfo | None:
    """Copies the form from the store to `root`; None where the store has none. Raises Stopped."""
    place = _place(key, params)
    if not context.artifacts.shared or f"{place}/{_MANIFEST}" not in (found := context.artifacts.locations(place)):
        return None

    def fill(folder: Path) -> None:
        for location in compact.stopping(found, should_stop):
            target = folder / location.removeprefix(f"{place}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            context.artifacts.read_to(location, target)

    return compact.place(root, fill)


def _place(key: str, params: dict[str, Any]) -> str:
    return f"datasets/{key}/{content_hash(params)}/form"
