"""Prepared data sets in the shared store: one host prepares or receives a data set, the others fetch it.

If artifacts are in a local folder there are no other hosts and nothing is copied. Embedded data sets are not copied
either: every host has them.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from densitylab.backend.shared.store import datasets
from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.jobs.context import Context

_log = logging.getLogger(__name__)
_MANIFEST = "manifest.json"


def publish(context: Context, key: str, params: dict[str, Any], root: Path) -> None:
    """Copy the prepared data set in `root` into the store, the manifest last. Raises OSError."""
    if not context.artifacts.shared:
        return
    files = [file for file in sorted(root.rglob("*")) if file.is_file() and file.name != _MANIFEST]
    stored = datasets.shared_copy(key, params)
    for file in [*files, root / _MANIFEST]:
        with file.open("rb") as content:
            context.artifacts.write_from(f"{stored}/{file.relative_to(root).as_posix()}", content)


def fetch(
    context: Context, key: str, params: dict[str, Any], root: Path, should_stop: Callable[[], bool]
) -> PreparedInfo | None:
    """Copy the prepared data set from the store to `root`; None if the store has none, or a damaged one.

    Raises Interrupted.
    """
    stored = datasets.shared_copy(key, params)
    if not context.artifacts.shared:
        return None
    locations = context.artifacts.locations(stored)
    if f"{stored}/{_MANIFEST}" not in locations:
        return None

    def fill(folder: Path) -> None:
        for location in npy_store.stopping(locations, should_stop):
            target = folder / location.removeprefix(f"{stored}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            context.artifacts.read_to(location, target)

    try:
        return npy_store.add_files(root, fill)
    except npy_store.DamagedData as error:
        _log.warning("the copy of the data set %s in the store is damaged: %s", key, error)
        return None
