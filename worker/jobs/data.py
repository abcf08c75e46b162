"""A run's data set: prepared where that needs no download, loaded, and shown to the page."""

import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.exc import IntegrityError

from backend.shared.catalog import Entry
from backend.shared.specs import content_hash
from backend.shared.store import datasets
from worker import resolve
from worker.datasets.dataset import Dataset, PreparedInfo
from worker.jobs.context import Context
from worker.jobs.failures import JobFailed

SHOWN = {"test": None, "validation": None, "train": 2000}  # images of each split that the page can browse


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
    """The data set, prepared first where it has not been.

    Args:
        key: of the data set.
        params: its parameters, complete.
        progress: told the fraction of the preparation done.
        should_stop: asked during the preparation.
        download: whether a data set that is not embedded may be prepared.

    Raises:
        JobFailed: it is not prepared and would need a download.
        Stopped: `should_stop()` answered True.
    """
    component = resolve.component("dataset", key, params)
    module = importlib.import_module(component.entry.path.partition(":")[0])
    root = context.settings.data_dir / key / content_hash(params)
    info = module.read_info(root, **params)
    if info is None:
        if not (component.entry.embedded or download):
            raise JobFailed(f"The data set {component.entry.label} is not prepared on this machine: prepare it first.")
        info = module.prepare(root, **params, progress=progress, should_stop=should_stop)
    data = Data(component.entry, info, root, params)
    with context.database.read() as session:
        row = datasets.get(session, key, params)
    if row is None or not row.ready or row.data_hash != info.data_hash:
        _record(context, data)
    return data


def _record(context: Context, data: Data) -> None:
    key, params_hash = data.entry.key, content_hash(data.params)
    location = f"datasets/{key}/{params_hash}/{data.info.data_hash[:16]}.npz"
    context.artifacts.write(location, _samples(data))
    size = sum(file.stat().st_size for file in data.root.rglob("*") if file.is_file())
    try:
        _set_ready(context, data, size, location)
    except IntegrityError:
        # Another worker has just inserted the row
        _set_ready(context, data, size, location)


def _set_ready(context: Context, data: Data, size: int, location: str) -> None:
    with context.database.write() as session:
        datasets.set_ready(
            session, data.entry.key, data.params, size=size, data_hash=data.info.data_hash, sizes=data.info.sizes,
            class_counts=data.info.class_counts, samples_location=location,
        )


def _samples(data: Data) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    for split, limit in SHOWN.items():
        part = data.load(split)
        arrays[f"{split}_images"] = part.images[:limit].numpy()
        arrays[f"{split}_labels"] = part.labels[:limit].numpy()
        if part.masks is not None:
            arrays[f"{split}_masks"] = part.masks[:limit].numpy()
        if part.groups is not None:
            arrays[f"{split}_groups"] = part.groups[:limit].numpy()
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()
