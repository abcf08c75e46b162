"""Inspects an uploaded model file: what it contains, and which networks of the catalog it fits."""

from collections import Counter

import torch

from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import DatasetEntry, UnknownKey
from densitylab.backend.shared.contracts import FittingModel, Inspection, Status, TensorShape, WeightsPart
from densitylab.backend.shared.store import imports
from densitylab.worker.importing import parts, ranking, reading, weights
from densitylab.worker.importing.errors import BadModelFile
from densitylab.worker.importing.misfits import misfits
from densitylab.worker.importing.parts import Part
from densitylab.worker.importing.ranking import Ranked
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.misfits_answer import misfits_answer
from densitylab.worker.jobs.model_file import ModelFile, local_copy
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease

_SHAPES = 10  # tensors listed from the start and from the end
_CLASSES = 1000  # names listed


def run(task_id: int) -> None:
    """Run the inspection task."""
    run_task(task_id, _inspect)


def _inspect(context: Context, lease: Lease) -> None:
    payload = lease.task.payload
    lease.report(stage="reading the file", progress=0.0)
    try:
        with local_copy(context, payload["upload"], payload["file_name"]) as file:
            found = _inspection(context, lease, file)
    except BadModelFile as error:
        context.artifacts.delete(payload["upload"])
        raise JobFailed(f"{payload['file_name']} can't be imported. {error}") from error
    with lease.writing() as session:
        imports.keep_inspection(session, lease.task.task_id, found)
        lease.finish(session, Status.SUCCEEDED)


def _inspection(context: Context, lease: Lease, file: ModelFile) -> Inspection:
    content = reading.read(file.path, should_stop=lease.should_stop)
    every = parts.parts(content.value)
    names = parts.class_names(content.value)
    ranked, entry = _ranked(context, lease, every)
    best = ranked[0].fit if ranked else None
    part = every[0] if best is None else best.part
    weights.require_numbers(part.tensors.items())
    tensors = part.tensors if best is None else dict(best.tensors)
    listed = list(tensors.items())
    shown = listed if len(listed) <= 2 * _SHAPES else [*listed[:_SHAPES], *listed[-_SHAPES:]]
    return Inspection(
        id=lease.task.task_id,
        file_name=file.name,
        bytes=file.bytes,
        sha256=file.sha256,
        format=content.format,
        weights_key=part.key,
        parts=[WeightsPart(key=item.key, tensors=len(item.tensors)) for item in every],
        removed_prefix="" if best is None else best.removed_prefix,
        tensors=len(tensors),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        dtypes=dict(Counter(_dtype(tensor) for tensor in tensors.values())),
        shapes=[TensorShape(name=name[:200], shape=list(tensor.shape), dtype=_dtype(tensor)) for name, tensor in shown],
        channels=_channels(part),
        outputs=_outputs(part),
        class_names=names[:_CLASSES],
        class_order=specs.class_order(entry.class_names, names) if entry and names else None,
        entries=parts.other_entries(content.value),
        models=[
            FittingModel(
                key=item.entry.key,
                params=dict(item.params),
                label=item.entry.label,
                matching=len(item.fit.matching),
                weights=len(item.fit.needed),
                complete=item.fit.complete,
                misfits=misfits_answer(misfits(item.fit)),
            )
            for item in ranked
        ],
    )


def _ranked(context: Context, lease: Lease, every: list[Part]) -> tuple[list[Ranked], DatasetEntry | None]:
    """Return the fitting networks for the images of the request's data set, and its entry."""
    dataset = lease.task.payload["dataset"]
    if dataset is None:
        return [], None
    try:
        entry = context.catalog.dataset(dataset["key"], dataset["params"])
    except UnknownKey as error:
        raise JobFailed(f"The data set {dataset['key']!r} was removed.") from error
    if entry.shape is None or entry.num_classes is None:
        return [], entry
    lease.report(stage="comparing networks")
    ranked = ranking.rank(
        context.catalog,
        every,
        entry.shape,
        _outputs(every[0]) or entry.num_classes,
        progress=lambda share: lease.report(progress=share),
        should_stop=lease.should_stop,
    )
    return ranked, entry


def _channels(part: Part) -> int | None:
    """Return the channels of the first convolution."""
    return next((tensor.shape[1] for tensor in part.tensors.values() if tensor.ndim == 4), None)


def _outputs(part: Part) -> int | None:
    """Return the length of the last layer's output."""
    last = [tensor for tensor in part.tensors.values() if tensor.ndim in (2, 4)]
    return last[-1].shape[0] if last else None


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
