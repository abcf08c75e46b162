"""A run's data set: prepared if that needs no download, loaded, and sampled for the page."""

import io
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.exc import IntegrityError

from densitylab.backend.shared import npz
from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.catalog import DatasetEntry
from densitylab.backend.shared.specs import dataset_hash
from densitylab.backend.shared.store import datasets
from densitylab.worker import resolve
from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.dataset import Dataset, PreparedInfo
from densitylab.worker.datasets.source import Source
from densitylab.worker.jobs import dataset_sync
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.runtime.lease import Lease

_log = logging.getLogger(__name__)
# bytes of images of each split, the first ones, that the page can browse
SHOWN = {"test": 64 * 2**20, "validation": 16 * 2**20, "train": 16 * 2**20}


@dataclass(frozen=True)
class Data:
    """A prepared data set."""

    entry: DatasetEntry
    info: PreparedInfo
    root: Path
    params: dict[str, Any]
    provide_again: Callable[[], object]  # fetches or prepares it; raises JobFailed if it can't be made again

    def load(self, split: str) -> Dataset:
        """Return "train", "validation" or "test". A data set whose files are damaged is made again."""
        try:
            return resolve.load_split(self.entry, self.root, split)
        except npy_store.DamagedData as error:
            _log.warning("the data set %s on this machine is damaged, it is made again: %s", self.entry.key, error)
            self.provide_again()
            return resolve.load_split(self.entry, self.root, split)


def open_data_of_task(context: Context, lease: Lease, key: str, params: dict[str, Any]) -> Data:
    """Return the data set as `open_data` does, without a download; its preparation is the stage of the task."""
    return open_data(
        context,
        key,
        params,
        progress=lambda share: lease.report(stage=f"preparing data, {share:.0%}"),
        should_stop=lease.should_stop,
    )


def open_data(
    context: Context,
    key: str,
    params: dict[str, Any],
    *,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
    download: bool = False,
) -> Data:
    """Return the data set; fetch it from the shared store or prepare it if this host does not have it.

    Args:
        key: of the data set.
        params: its parameters, complete.
        progress: called with the fraction of the preparation done.
        should_stop: asked during the preparation.
        download: whether to prepare a data set that is not embedded and is not prepared on any host, and to store its
            images for the API again if they are damaged.

    Raises:
        JobFailed: the data set is not prepared and needs a download.
        Interrupted: `should_stop()` returned True.
    """
    entry = context.catalog.dataset(key, params)
    folder = context.settings.data_dir
    root = datasets.prepared_folder(folder, key, params)
    with context.database.read() as session:
        row = datasets.get(session, key, params)
    stored_hash = row.data_hash if row is not None and row.ready else None
    known = stored_hash is not None

    def provide() -> PreparedInfo:
        fetched = dataset_sync.fetch(context, key, params, root, should_stop) if known and not entry.embedded else None
        if fetched is not None:
            return fetched
        if entry.registered:
            raise JobFailed(
                f"The images of {entry.label} are no longer on this machine, or are damaged: remove the data set, then "
                "register it again."
            )
        if not (entry.embedded or download or known):
            raise JobFailed(f"The data set {entry.label} is not prepared on this machine: prepare it first.")
        prepare = resolve.load(entry)
        if not entry.embedded:
            prepare = partial(prepare, source=Source(placed=folder, downloads=datasets.downloads_folder(folder, key)))
        prepared: PreparedInfo = prepare(root, **params, progress=progress, should_stop=should_stop)
        if not entry.embedded:
            dataset_sync.publish(context, key, params, root)
        return prepared

    def provide_again() -> PreparedInfo:
        with npy_store.replacing(root):
            return provide()

    try:
        info = npy_store.read_info(root)
    except npy_store.DamagedData as error:
        _log.warning("the data set %s on this machine is damaged, it is made again: %s", key, error)
        info = provide_again()
    if info is not None and known and entry.registered and info.data_hash != stored_hash:
        shutil.rmtree(root)  # of a deleted data set with this name
        info = None
    data = Data(entry, provide() if info is None else info, root, params, provide_again)
    samples = None if row is None else row.samples_location
    if stored_hash != data.info.data_hash or (download and not (samples and npz.intact(context.artifacts, samples))):
        _record(context, data, samples)
    return data


def store_samples(
    context: Context, key: str, params: dict[str, Any], info: PreparedInfo, load: Callable[[str], Dataset]
) -> str:
    """Store images of every split for the API; return their location."""
    arrays: dict[str, Any] = {}
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
    location = checked_location(f"datasets/{key}/{dataset_hash(params)}/{info.data_hash[:16]}.npz", file.getvalue())
    context.artifacts.write(location, file.getvalue())
    return location


def size_of(root: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def _record(context: Context, data: Data, replaced: str | None) -> None:
    location = store_samples(context, data.entry.key, data.params, data.info, data.load)
    size = size_of(data.root)
    try:
        _set_ready(context, data, size, location)
    except IntegrityError:
        # another worker has just inserted the row
        _set_ready(context, data, size, location)
    if replaced is not None and replaced != location:
        context.artifacts.delete(replaced)


def _set_ready(context: Context, data: Data, size: int, location: str) -> None:
    with context.database.write() as session:
        datasets.set_ready(
            session,
            data.entry.key,
            data.params,
            size=size,
            data_hash=data.info.data_hash,
            sizes=data.info.sizes,
            class_counts=data.info.class_counts,
            group_counts=data.info.group_counts,
            samples_location=location,
        )
