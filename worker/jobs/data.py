"""A run's data set: prepared where that needs no download, loaded, and shown to the page."""

import importlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.exc import IntegrityError

from backend.shared.catalog import Entry, find
from backend.shared.specs import content_hash
from backend.shared.store import datasets
from worker import resolve
from worker.datasets import compact
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.datasets.source import Source
from worker.jobs import shared_forms
from worker.jobs.context import Context
from worker.jobs.failures import JobFailed

# Bytes of each split's images that the page can browse, the first of them
SHOWN = {"test": 64 * 2**20, "validation": 16 * 2**20, "train": 16 * 2**20}


@dataclass(frozen=True)
class Data:
    """A prepared data set."""

    entry: Entry
    info: PreparedInfo
    root: Path
    params: dict[str, Any]

    def load(self, split: str) -> Dataset:
        return resolve.component("dataset", self.entry.key, self.params).function(self.root, split)


def open_data(
    context: Context, key: str, params: dict[str, Any], *, progress: Callable[[float], None],
    should_stop: Callable[[], bool], download: bool = False,
) -> Data:
    """The data set, fetched from the shared store or prepared where this host does not have it.

    Args:
        key: of the data set.
        params: its parameters, complete.
        progress: told the fraction of the preparation done.
        should_stop: asked during the preparation.
        download: whether a data set that is not embedded may be prepared, if it has not been on any host.

    Raises:
        JobFailed: it is not prepared and would need a download.
        Stopped: `should_stop()` answered True.
    """
    entry = find("dataset", key)
    folder = context.settings.data_dir
    root = datasets.prepared_folder(folder, key, params)
    info = compact.read_info(root)
    with context.database.read() as session:
        row = datasets.get(session, key, params)
    known = row is not None and row.ready
    if info is not None and known and entry.registered and info.data_hash != row.data_hash:
        shutil.rmtree(root)  # of an earlier data set with this name, removed while this host was away
        info = None
    if info is None and known and not entry.embedded:
        info = shared_forms.fetch(context, key, params, root, should_stop)
    if info is None:
        if entry.registered:
            raise JobFailed(f"The images of {entry.label} are not on this machine any more: remove the data set, then "
                            "register it again.")
        if not (entry.embedded or download or known):
            raise JobFailed(f"The data set {entry.label} is not prepared on this machine: prepare it first.")
        prepare = importlib.import_module(entry.path.partition(":")[0]).prepare
        if not entry.embedded:
            prepare = partial(prepare, source=Source(placed=folder, downloads=datasets.downloads_folder(folder, key)))
        info = prepare(root, **params, progress=progress, should_stop=should_stop)
        if not entry.embedded:
            shared_forms.publish(context, key, params, root)
    data = Data(entry, info, root, params)
    if not known or row.data_hash != info.data_hash:
        _record(context, data)
    return data


def store_samples(
    context: Context, key: str, params: dict[str, Any], info: PreparedInfo, load: Callable[[str], Dataset]
) -> str:
    """Puts images of every split where the API finds them; returns their location."""
    arrays: dict[str, np.ndarray] = {}
    for split, budget in SHOWN.items():
        part = load(split)
        limit = max(1, budget // part.images[0].nbytes)
        arrays[f"{split}_images"] = part.images[:limit].numpy()
        arrays[f"{split}_labels"] = part.labels[:limit].numpy()
        if part.masks is not None:
            arrays[f"{split}_masks"] = part.masks[:limit].numpy()
        if part.groups is not None:
            arrays[f"{split}_groups"] = part.groups[:limit].numpy()
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    location = f"datasets/{key}/{content_hash(params)}/{info.data_hash[:16]}.npz"
    context.artifacts.write(location, file.getvalue())
    return location


def size_of(root: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def _record(context: Context, data: Data) -> None:
    location = store_samples(context, data.entry.key, data.params, data.info, data.load)
    size = size_of(data.root)
    try:
        _set_ready(context, data, size, location)
    except IntegrityError:
        # Another worker has just inserted the row
        _set_ready(context, data, size, location)


def _set_ready(context: Context, data: Data, size: int, location: str) -> None:
    with context.database.write() as session:
        datasets.set_ready(
            session, data.entry.key, data.params, size=size, data_hash=data.info.data_hash, sizes=data.info.sizes,
            class_counts=data.info.class_counts, group_counts=data.info.group_counts, samples_location=location,
        )
