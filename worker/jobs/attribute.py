"""Attribution maps of the same images for several runs, optionally of perturbed images too."""

import io
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densitylab.backend.shared import contracts
from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.contracts import Panel, PerturbedView, Run, Status
from densitylab.backend.shared.store import attributions, run_artifacts, runs, uploads
from densitylab.backend.shared.store.tasks import LeaseLost
from densitylab.backend.shared.tables import ArtifactRow
from densitylab.worker import resolve
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.errors import Interrupted
from densitylab.worker.evaluations.similarity import SIMILARITIES
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.data import Data, open_data_of_task
from densitylab.worker.jobs.device import choose_device, set_threads
from densitylab.worker.jobs.evaluate import SEED
from densitylab.worker.jobs.explain import colour_limit, explain, summarize
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.models import WarmModels
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.training.batches import as_pixels

NO_LABEL = -1  # of an uploaded image
warm_models = WarmModels()  # of this process, in which the interactive worker runs its jobs one after the other


def run(task_id: int) -> None:
    """Run the attribution task."""
    run_task(task_id, _attribute)


def _attribute(context: Context, lease: Lease) -> None:
    began = time.monotonic()
    with context.database.read() as session:
        row = attributions.of_task(session, lease.task.task_id)
        request = None if row is None else attributions.get(session, row.id)
        if request is None:
            raise LeaseLost(f"the attribution of task {lease.task.task_id} was deleted")
        records = runs.many(session, request.runs)
        stored = run_artifacts.checkpoints(session, request.runs)
    missing = [number for number in request.runs if number not in records]
    if missing:
        raise JobFailed(f"Run {missing[0]} was deleted: choose other runs.")
    ordered = [records[number] for number in request.runs]
    data = common_data(context, lease, ordered)
    chosen = chosen_images(context, data, request.samples)
    panels: list[Panel] = []
    by_run: list[dict[str, np.ndarray]] = []
    for number, record in enumerate(ordered):
        if lease.should_stop():
            raise Interrupted("the attribution was stopped")
        lease.report(stage=f"run {record.id}", progress=number / len(ordered))
        of_run, shown = _one_run(context, record, stored.get(record.id), chosen, request)
        by_run.append(of_run)
        panels += shown
    arrays: dict[str, Any] = {
        "images": chosen.images.numpy(),
        "labels": chosen.labels.numpy(),
        "runs": np.array(request.runs),
        "indices": np.array(request.samples.indices),
        **{name: np.stack([of_run[name] for of_run in by_run]) for name in by_run[0]},
    }
    if chosen.masks is not None:
        arrays["masks"] = chosen.masks.numpy()
    maps = [arrays[name].ravel() for name in ("attributions", "perturbed_attributions") if name in arrays]
    file = io.BytesIO()
    np.savez(file, **arrays)
    location = checked_location(f"attributions/{request.id}-{lease.task.token}.npz", file.getvalue())
    size = context.artifacts.write(location, file.getvalue())
    with lease.writing() as session:
        attributions.store(
            session,
            request.id,
            panels=panels,
            limit=colour_limit(np.concatenate(maps)),
            data_hash=data.info.data_hash,
            location=location,
            size=size,
            seconds=time.monotonic() - began,
        )
        lease.finish(session, Status.SUCCEEDED)


def common_data(context: Context, lease: Lease, records: list[Run]) -> Data:
    """Return the data set of all runs. Raises JobFailed if they were trained on different data."""
    first = records[0]
    for other in records[1:]:
        if other.spec.dataset != first.spec.dataset or _hash(other) != _hash(first):
            raise JobFailed(
                f"Runs {first.id} and {other.id} were trained on different data: their maps can't share images."
            )
    return open_data_of_task(context, lease, first.spec.dataset.key, first.spec.dataset.params)


def _hash(record: Run) -> str | None:
    return record.provenance.get("data_hash")


def chosen_images(context: Context, data: Data, samples: contracts.Samples) -> Dataset:
    """Return the requested images, in that order. Raises JobFailed if one does not exist."""
    if samples.split == "upload":
        return _uploaded(context, data, samples.indices)
    split = data.load(samples.split)
    outside = [index for index in samples.indices if index >= len(split)]
    if outside:
        raise JobFailed(
            f"Sample {outside[0]} does not exist: the {samples.split} split has {len(split)} images, counted from 0."
        )
    at = torch.tensor(samples.indices)
    return Dataset(
        split.images[at],
        split.labels[at],
        None if split.masks is None else split.masks[at],
        None if split.groups is None else split.groups[at],
    )


def _uploaded(context: Context, data: Data, ids: list[int]) -> Dataset:
    """Return uploaded images, which have no label and no mask."""
    with context.database.read() as session:
        rows = uploads.many(session, ids)
    assert data.entry.shape is not None  # uploads are fitted to it
    missing = [number for number in ids if number not in rows]
    if missing:
        raise JobFailed(f"The uploaded image {missing[0]} was deleted: upload it again.")
    images = np.stack([np.frombuffer(rows[number].pixels, np.uint8).reshape(data.entry.shape) for number in ids])
    return Dataset(torch.from_numpy(images), torch.full((len(ids),), NO_LABEL))


def _one_run(
    context: Context, record: Run, stored: ArtifactRow | None, chosen: Dataset, request: contracts.Attribution
) -> tuple[dict[str, np.ndarray], list[Panel]]:
    """Return the run's arrays, each with the images along axis 0, and its panels."""
    device = choose_device(record.spec.device)
    set_threads(context, record.spec)
    model = warm_models.get(context, record, stored, device)
    x = as_pixels(chosen.images).to(device)
    target = _target(model, x, chosen.labels.to(device), request.target)
    method = resolve.component(context.catalog, "attribution", request.method, request.params).function
    clean = explain(model, method, x, target)
    masks = [None] * len(chosen) if chosen.masks is None else list(chosen.masks)
    panels = [
        Panel(
            run=record.id,
            index=request.samples.indices[position],
            target=int(target[position]),
            label=None if chosen.labels[position] == NO_LABEL else int(chosen.labels[position]),
            **summarize(clean, position, masks[position]).model_dump(),
        )
        for position in range(len(chosen))
    ]
    arrays = {
        "attributions": clean.maps.numpy(),
        "predicted": clean.predicted,
        "confidence": clean.confidence,
        "log_density": clean.log_density,
    }
    if request.perturbation is not None:
        perturb = resolve.component(
            context.catalog, "perturbation", request.perturbation.key, request.perturbation.params
        ).function
        changed = perturb(model, x, target, generator=torch.Generator(device).manual_seed(SEED))
        after = explain(model, method, changed.images, target)
        pair = changed.align(clean.maps, after.maps)
        similarities = {name: similarity(*pair) for name, (similarity, _) in SIMILARITIES.items()}
        delta = (changed.images - x).flatten(1).double()
        for position, panel in enumerate(panels):
            panel.perturbed = PerturbedView(
                **summarize(after, position, masks[position]).model_dump(),
                delta_l2=float(torch.linalg.vector_norm(delta[position])),
                delta_linf=float(delta[position].abs().max()),
                similarity={name: _number(float(values[position])) for name, values in similarities.items()},
            )
        arrays["perturbed_images"] = changed.images.float().cpu().numpy()
        arrays["perturbed_attributions"] = after.maps.numpy()
    return arrays, panels


def _target(model: torch.nn.Module, x: Tensor, labels: Tensor, target: str | int) -> Tensor:
    """Return the classes (N,) whose maps are computed."""
    if target == "label":
        return labels
    if target == "predicted":
        with torch.no_grad():
            return model(x).argmax(dim=1)
    return torch.full_like(labels, int(target))


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
