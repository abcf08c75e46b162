"""Makes a data set of a user's own images: all of it, or nothing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError

from backend.shared.contracts import Status
from backend.shared.store import datasets, registered
from worker.datasets import image_folder, tree
from worker.datasets.image_folder import Facts
from worker.datasets.tree import Tree
from worker.jobs import shared_forms
from worker.jobs.context import Context
from worker.jobs.data import size_of, store_samples
from worker.jobs.failures import JobFailed
from worker.jobs.running import run_task
from worker.lease import Lease


def run(task_id: int) -> None:
    """The job."""
    run_task(task_id, _register)


def _register(context: Context, lease: Lease) -> None:
    asked = lease.held.payload
    key = asked["key"]
    root = datasets.prepared_folder(context.settings.data_dir, key, {})
    lease.report(stage="reading the images", progress=0.0)
    with context.database.read() as session:
        if registered.exists(session, key):
            raise JobFailed(f"There is a data set {key!r} already: choose another name.")
    shutil.rmtree(root, ignore_errors=True)  # of an attempt that died before it was entered
    try:
        with _images(context, asked) as images:
            facts = image_folder.register(
                root, images, image_size=tuple(asked["image_size"]) if asked["image_size"] else None,
                mask_marks=asked["mask_marks"], data_seed=asked["data_seed"], should_stop=lease.should_stop,
                progress=lambda share: lease.report(progress=share),
            )
        location = store_samples(context, key, {}, facts.info, lambda split: image_folder.load(root, split))
        shared_forms.publish(context, key, {}, root)
        with lease.writing() as session:
            registered.add(session, key, label=asked["label"], summary=_summary(asked, facts), facts=_entry(facts))
            datasets.set_ready(
                session, key, {}, size=size_of(root), data_hash=facts.info.data_hash, sizes=facts.info.sizes,
                class_counts=facts.info.class_counts, group_counts=facts.info.group_counts, samples_location=location,
            )
            lease.finish(session, Status.SUCCEEDED)
    except (image_folder.BadFolder, tree.BadTree) as error:
        raise JobFailed(f"{asked['label']} was not registered: {error}.") from error
    except IntegrityError as error:
        raise JobFailed(f"There is a data set {key!r} already: choose another name.") from error
    finally:
        _clean(context, lease, key, root)


@contextmanager
def _images(context: Context, asked: dict[str, Any]) -> Iterator[Tree]:
    """The folder or archive in the data folder, or the uploaded archive."""
    folder = context.settings.data_dir
    if asked["upload"] is None:
        path = (folder / asked["path"]).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise JobFailed(f"{asked['path']} leads out of the data folder {folder}.")
        with tree.opened(path) as images:
            yield images
        return
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f".{Path(asked['upload']).name}"
    try:
        context.artifacts.read_to(asked["upload"], copy)
        with tree.opened(copy) as images:
            yield images
    finally:
        copy.unlink(missing_ok=True)


def _clean(context: Context, lease: Lease, key: str, root: Path) -> None:
    """Once the task has ended the upload is not needed any more, and what was not entered goes."""
    if lease.should_stop() and not lease.cancelled:
        return  # another worker goes on with it
    if lease.held.payload["upload"] is not None:
        context.artifacts.delete(lease.held.payload["upload"])
    with context.database.read() as session:
        entered = registered.exists(session, key)
    if not entered:
        shutil.rmtree(root, ignore_errors=True)
        context.artifacts.delete_tree(f"datasets/{key}")


def _summary(asked: dict[str, Any], facts: Facts) -> str:
    total = sum(facts.info.sizes.values())
    source = f"the folder {asked['path']}" if asked["upload"] is None else "an uploaded archive"
    return f"Your own images, from {source}: {total:,} in {len(facts.class_names)} classes."


def _entry(facts: Facts) -> dict[str, Any]:
    """The fields of the catalog's entry, see `registered.FACTS`."""
    return {
        "num_classes": len(facts.class_names), "class_names": facts.class_names, "group_names": facts.group_names,
        "channels": facts.channels, "image_size": list(facts.image_size), "mean": facts.info.mean,
        # a channel that is the same everywhere is not divided by nought
        "std": [max(value, 1e-3) for value in facts.info.std], "train_size": facts.info.sizes["train"],
        "has_mask": facts.has_mask, "has_groups": bool(facts.group_names),
    }
