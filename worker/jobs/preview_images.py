"""Reads a user's images without registering them: what was recognised, counts, sizes, examples, and what is wrong."""

import base64
import io
import os

import numpy as np
from PIL import Image

from densitylab.backend.shared import images as decoder
from densitylab.backend.shared.contracts import (
    Attribute,
    PreviewColumn,
    PreviewCount,
    PreviewImage,
    PreviewSize,
    RegistrationPreview,
    Status,
)
from densitylab.backend.shared.store import registration_previews
from densitylab.worker.datasets import image_preview
from densitylab.worker.datasets.image_preview import Preview
from densitylab.worker.datasets.image_source import BadTree
from densitylab.worker.datasets.own_images import MAX_LINES, OwnImages
from densitylab.worker.jobs import own_images_source
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.register import STALL_SECONDS
from densitylab.worker.jobs.stall import require_progress
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease

_PASSED_OVER = 20  # names listed
_SIZES = 20  # sizes listed
_QUALITY = 85  # of the JPEG images


def run(task_id: int) -> None:
    """Run the preview task."""
    run_task(task_id, _preview)


def _preview(context: Context, lease: Lease) -> None:
    request = lease.task.payload
    lease.report(stage="reading the images", progress=0.0)

    def fail() -> None:
        with lease.writing() as session:
            lease.finish(
                session,
                Status.FAILED,
                f"The images can't be read: no progress for {STALL_SECONDS:.0f} seconds. Check the disk with them.",
            )
        os._exit(1)  # the thread that reads can't be interrupted

    try:
        own_images_source.download(context, request)
        with (
            require_progress(STALL_SECONDS, fail) as progressed,
            own_images_source.opened(context, request) as (tree, options),
        ):

            def should_stop() -> bool:
                progressed()
                return lease.should_stop()

            found = image_preview.preview(
                tree,
                decoder,
                options,
                image_size=tuple(request["image_size"]) if request["image_size"] else None,
                data_seed=request["data_seed"],
                should_stop=should_stop,
            )
            answer = _answer(lease.task.task_id, found)
    except BadTree as error:
        if request["upload"] is not None and request["preview"] is None:
            context.artifacts.delete(request["upload"])
        raise JobFailed(f"The images can't be read: {error}.") from error
    with lease.writing() as session:
        registration_previews.keep(session, lease.task.task_id, answer)
        lease.finish(session, Status.SUCCEEDED)


def _answer(task_id: int, found: Preview) -> RegistrationPreview:
    own, report = found.own, found.report
    counts = [
        PreviewCount(
            label=label,
            group=None if group < 0 else group,
            train=count["train"],
            validation=count["validation"],
            test=count["test"],
        )
        for (label, group), count in sorted(found.counts.items(), key=lambda item: (item[1].total(), item[0]))
    ]
    sizes = [
        PreviewSize(height=height, width=width, images=count)
        for (height, width), count in found.sizes.most_common(_SIZES)
    ]
    return RegistrationPreview(
        id=task_id,
        layout=report.layout,
        problems=_shortened(found.problems),
        columns=[PreviewColumn(**vars(column)) for column in report.columns],
        class_names=[] if own is None else own.class_names,
        attributes=[] if own is None else [Attribute(name=item.name, values=item.values) for item in own.attributes],
        group_names=[] if own is None or own.groups is None else own.groups.values,
        grouped_by=[] if own is None or own.groups is None else list(own.groups.crossed),
        counts=counts,
        sizes=sizes,
        sized=found.sizes.total(),
        has_mask=own is not None and own.masks is not None,
        images=[] if own is None else [_image(own, shown) for shown in found.images],
        passed_over=report.passed_over[:_PASSED_OVER],
        passed_over_count=len(report.passed_over),
        notes=found.notes,
    )


def _shortened(problems: list[str]) -> list[str]:
    more = len(problems) - MAX_LINES
    return problems if more <= 0 else [*problems[:MAX_LINES], f"and {more:,} more"]


def _image(own: OwnImages, shown: image_preview.ShownImage) -> PreviewImage:
    pixels = shown.pixels
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return PreviewImage(
        file=own.files[shown.index],
        label=own.class_names[own.labels[shown.index]],
        split=shown.split,  # type: ignore[arg-type]
        values={item.name: item.values[item.codes[shown.index]] for item in own.attributes},
        image="data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode(),
    )
