"""The images that a registration or its preview names: in the data folder, or uploaded."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from densitylab.backend.shared import images
from densitylab.worker.datasets import hub, image_source
from densitylab.worker.datasets.image_source import Tree
from densitylab.worker.datasets.own_images import ReadOptions
from densitylab.worker.datasets.own_images_reader import is_table
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.failures import JobFailed


def download(context: Context, request: dict[str, Any]) -> None:
    """Download the data set of the Hugging Face Hub that a request names, if it names one. Raises BadTree.

    The files stay in the folder of downloads, so that a preview and a registration share them.
    """
    if request.get("hub") is not None:
        hub.download(request["hub"], context.settings.data_dir / "downloads", images.SUFFIXES)


@contextmanager
def opened(context: Context, request: dict[str, Any]) -> Iterator[tuple[Tree, ReadOptions]]:
    """Open the images of a request, and say how to read them; call `download` first. Raises JobFailed and BadTree."""
    folder = context.settings.data_dir
    options = _options(request)
    folder.mkdir(parents=True, exist_ok=True)
    if request["upload"] is not None:
        with (
            _uploaded(context, request) as copy,
            image_source.opened(copy, name="the archive", scratch=folder) as tree,
        ):
            yield tree, options
        return
    if request.get("hub") is not None:
        with image_source.opened(hub.folder_of(request["hub"], folder / "downloads"), scratch=folder) as tree:
            yield tree, options
        return
    path = (folder / request["path"]).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise JobFailed(f"{request['path']} is outside of the data folder {folder}.")
    if path.is_file() and is_table(path.name):
        options = _options({**request, "table": path.name})
        path = path.parent
    with image_source.opened(path, within=folder, scratch=folder) as tree:
        yield tree, options


@contextmanager
def _uploaded(context: Context, request: dict[str, Any]) -> Iterator[Path]:
    """Yield a copy of the uploaded archive. Several tasks may read that of a preview, so its copy has a new name."""
    shared = request.get("preview") is not None or "key" not in request
    name = f"{uuid.uuid4().hex}.zip" if shared else Path(request["upload"]).name
    copy = context.settings.data_dir / f".{name}"
    try:
        try:
            context.artifacts.read_to(request["upload"], copy)
        except FileNotFoundError:
            raise JobFailed("The uploaded archive is gone: upload it again.") from None
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _options(request: dict[str, Any]) -> ReadOptions:
    columns = request.get("columns") or {}
    return ReadOptions(
        table=request.get("table"),
        columns={name: column for name, column in columns.items() if column is not None},
        pattern=request.get("pattern"),
        split_values=request.get("split_values") or {},
        class_names=request.get("class_names"),
        group_by=request.get("group_by"),
    )
