"""Registers a user's own images as a data set, completely or not at all."""

import os
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError, OperationalError

from densitylab.backend.shared import images as decoder
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.disk_full import is_full
from densitylab.backend.shared.store import datasets, registered_datasets
from densitylab.worker.datasets import image_folder, image_source, npy_store
from densitylab.worker.datasets.image_folder import Facts
from densitylab.worker.jobs import dataset_sync, leftovers, own_images_source
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.data import size_of, store_samples
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.stall import require_progress
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease

STALL_SECONDS = 600.0  # without a further image, after which the task fails


def run(task_id: int) -> None:
    """Run the registration task."""
    run_task(task_id, _register)


def _register(context: Context, lease: Lease) -> None:
    request = lease.task.payload
    key = request["key"]
    root = datasets.prepared_folder(context.settings.data_dir, key, {})
    lease.report(stage="reading the images", progress=0.0)
    leftovers.delete(context)
    with context.database.read() as session:
        if registered_datasets.exists(session, key):
            raise JobFailed(f"The data set {key!r} exists already: choose another name.")
    shutil.rmtree(root, ignore_errors=True)  # of an attempt that was killed before it was registered

    def fail() -> None:
        with lease.writing() as session:
            lease.finish(
                session,
                Status.FAILED,
                f"{request['label']} was not registered: reading the images made no progress for {STALL_SECONDS:.0f} "
                "seconds. Check the disk that they are on, then register them again.",
            )
        _clean(context, lease, key, root)
        os._exit(1)  # the thread that reads can't be interrupted

    continues = False
    try:
        own_images_source.download(context, request)
        with (
            require_progress(STALL_SECONDS, fail) as progressed,
            own_images_source.opened(context, request) as (images, options),
        ):

            def should_stop() -> bool:
                progressed()
                return lease.should_stop()

            facts = image_folder.register(
                root,
                images,
                decoder,
                options=options,
                image_size=tuple(request["image_size"]) if request["image_size"] else None,
                mask_marks=request["mask_marks"],
                data_seed=request["data_seed"],
                should_stop=should_stop,
                progress=lambda share: lease.report(progress=share),
            )
        location = store_samples(context, key, {}, facts.info, lambda split: npy_store.load(root, split))
        dataset_sync.publish(context, key, {}, root)
        with lease.writing() as session:
            registered_datasets.add(
                session,
                key,
                label=request["label"],
                summary=_summary(request, facts),
                facts=_entry(facts),
                task_id=lease.task.task_id,
            )
            datasets.set_ready(
                session,
                key,
                {},
                size=size_of(root),
                data_hash=facts.info.data_hash,
                sizes=facts.info.sizes,
                class_counts=facts.info.class_counts,
                group_counts=facts.info.group_counts,
                samples_location=location,
            )
            lease.finish(session, Status.SUCCEEDED)
    except (image_folder.BadFolder, image_source.BadTree) as error:
        end = "" if "\n" in str(error) else "."
        raise JobFailed(f"{request['label']} was not registered: {error}{end}") from error
    except IntegrityError as error:
        raise JobFailed(f"The data set {key!r} exists already: choose another name.") from error
    except (OSError, OperationalError) as error:
        # Another attempt, which needs the upload, follows when there is room or the database answers
        continues = isinstance(error, OperationalError) or is_full(error)
        raise
    finally:
        if not continues:
            _clean(context, lease, key, root)


def _clean(context: Context, lease: Lease, key: str, root: Path) -> None:
    """Delete the upload once the task has ended, unless a preview has it, and all files if the data set was not
    registered."""
    if lease.should_stop() and not lease.cancelled:
        return  # another worker continues with the upload
    if lease.task.payload["upload"] is not None and lease.task.payload.get("preview") is None:
        context.artifacts.delete(lease.task.payload["upload"])
    with context.database.read() as session:
        registered = registered_datasets.exists(session, key)
    if not registered:
        shutil.rmtree(root, ignore_errors=True)
        context.artifacts.delete_tree(f"datasets/{key}")


def _summary(request: dict[str, Any], facts: Facts) -> str:
    total = sum(facts.info.sizes.values())
    source = "an uploaded archive"
    if request["upload"] is None:
        source = request["path"] if request.get("hub") is None else f"{request['hub']} on the Hugging Face Hub"
    size = request["image_size"]
    resized = f" Cropped around their centre and scaled to {size[0]}×{size[1]} pixels." if size else ""
    registered = f"Your own images, from {source}: {total:,} in {len(facts.class_names)} classes.{resized}"
    return " ".join([registered, *facts.notes])


def _entry(facts: Facts) -> dict[str, Any]:
    """Return the fields of the catalog's entry, see `registered_datasets.Facts`."""
    return {
        "num_classes": len(facts.class_names),
        "class_names": facts.class_names,
        "group_names": facts.group_names,
        "attributes": [{"name": name, "values": values} for name, values in facts.attributes.items()],
        "channels": facts.channels,
        "image_size": list(facts.image_size),
        "mean": facts.info.mean,
        # a constant channel must not be divided by 0
        "std": [max(value, 1e-3) for value in facts.info.std],
        "train_size": facts.info.sizes["train"],
        "has_mask": facts.has_mask,
        "has_groups": bool(facts.group_names),
    }
