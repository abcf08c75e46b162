"""Maps of the same images under several runs, and of what a perturbation makes of them under each."""

import io
import time

import numpy as np
import torch
from torch import Tensor

from backend.shared import contracts
from backend.shared.contracts import Panel, PerturbedView, Run, Status
from backend.shared.store import attributions, runs, uploads
from backend.shared.store.tasks import LeaseLost
from backend.shared.tables import ArtifactRow
from worker import resolve
from worker.batches import as_pixels
from worker.datasets.dataset import Dataset
from worker.evaluations.similarity import SIMILARITIES
from worker.jobs import machine
from worker.jobs.context import Context
from worker.jobs.data import Data, open_data
from worker.jobs.evaluate import SEED
from worker.jobs.failures import JobFailed
from worker.jobs.models import WarmModels
from worker.jobs.running import run_task
from worker.jobs.views import colour_limit, numbers, views
from worker.lease import Lease
from worker.stopped import Stopped

NO_LABEL = -1  # of an image that somebody brought
warm_models = WarmModels()  # of this process: the interactive worker does one job after the other in it


def run(task_id: int) -> None:
    """The job."""
    run_task(task_id, _attribute)


def _attribute(context: Context, lease: Lease) -> None:
    began = time.monotonic()
    with context.database.read() as session:
        row = attributions.of_task(session, lease.held.task_id)
        asked = None if row is None else attributions.get(session, row.id)
        if asked is None:
            raise LeaseLost(f"the attribution of task {lease.held.task_id} was deleted")
        records = runs.many(session, asked.runs)
        stored = runs.checkpoints(session, asked.runs)
    missing = [number for number in asked.runs if number not in records]
    if missing:
        raise JobFailed(f"Run {missing[0]} was deleted: choose other runs.")
    ordered = [records[number] for number in asked.runs]
    data = common_data(context, lease, ordered)
    chosen = chosen_images(context, data, asked.samples)
    panels: list[Panel] = []
    by_run: list[dict[str, np.ndarray]] = []
    for number, record in enumerate(ordered):
        if lease.should_stop():
            raise Stopped("the attribution was stopped")
        lease.report(stage=f"run {record.id}", progress=number / len(ordered))
        arrays, shown = _one_run(context, record, stored.get(record.id), chosen, asked)
        by_run.append(arrays)
        panels += shown
    arrays = {
        "images": chosen.images.numpy(), "labels": chosen.labels.numpy(),
        "runs": np.array(asked.runs), "indices": np.array(asked.samples.indices),
        **{name: np.stack([arrays[name] for arrays in by_run]) for name in by_run[0]},
    }
    if chosen.masks is not None:
        arrays["masks"] = chosen.masks.numpy()
    maps = [arrays[name].ravel() for name in ("attributions", "perturbed_attributions") if name in arrays]
    file = io.BytesIO()
    np.savez(file, **arrays)
    location = f"attributions/{asked.id}-{lease.held.token}.npz"
    size = context.artifacts.write(location, file.getvalue())
    with lease.writing() as session:
        attributions.store(
            session, asked.id, panels=panels, limit=colour_limit(np.concatenate(maps)),
            data_hash=data.info.data_hash, location=location, size=size, seconds=time.monotonic() - began,
        )
        lease.finish(session, Status.SUCCEEDED)


def common_data(context: Context, lease: Lease, records: list[Run]) -> Data:
    """The data set of all the runs. Raises JobFailed where they were trained on different data."""
    first = records[0]
    for other in records[1:]:
        if other.spec.dataset != first.spec.dataset or _hash(other) != _hash(first):
            raise JobFailed(
                f"Runs {first.id} and {other.id} were trained on different data: their maps can't share images."
            )
    return open_data(
        context, first.spec.dataset.key, first.spec.dataset.params, should_stop=lease.should_stop,
        progress=lambda share: lease.report(stage=f"preparing data, {share:.0%}"),
    )


def _hash(record: Run) -> str | None:
    return record.provenance.get("data_hash")


def chosen_images(context: Context, data: Data, samples: contracts.Samples) -> Dataset:
    """The images asked for, in that order. Raises JobFailed where there is no such image."""
    if samples.split == "upload":
        return _brought(context, data, samples.indices)
    split = data.load(samples.split)
    outside = [index for index in samples.indices if index >= len(split)]
    if outside:
        raise JobFailed(
            f"Sample {outside[0]} does not exist: the {samples.split} split has {len(split)} images, counted from 0."
        )
    at = torch.tensor(samples.indices)
    return Dataset(
        split.images[at], split.labels[at], None if split.masks is None else split.masks[at],
        None if split.groups is None else split.groups[at],
    )


def _brought(context: Context, data: Data, ids: list[int]) -> Dataset:
    """Images that somebody brought; they have no label and no mask."""
    with context.database.read() as session:
        rows = uploads.many(session, ids)
    shape = (data.entry.channels, *data.entry.image_size)
    gone = [number for number in ids if number not in rows]
    if gone:
        raise JobFailed(f"The uploaded image {gone[0]} is gone: upload it again.")
    images = np.stack([np.frombuffer(rows[number].pixels, np.uint8).reshape(shape) for number in ids])
    return Dataset(torch.from_numpy(images), torch.full((len(ids),), NO_LABEL))


def _one_run(
    context: Context, record: Run, stored: ArtifactRow | None, chosen: Dataset, asked: contracts.Attribution
) -> tuple[dict[str, np.ndarray], list[Panel]]:
    """The run's arrays, each with the images along axis 0, and its panels."""
    device = machine.choose_device(record.spec.device)
    model = warm_models.get(context, record, stored, device)
    x = as_pixels(chosen.images).to(device)
    target = _target(model, x, chosen.labels.to(device), asked.target)
    method = resolve.component("attribution", asked.method, asked.params).function
    clean = views(model, method, x, target)
    masks = [None] * len(chosen) if chosen.masks is None else list(chosen.masks)
    panels = [
        Panel(
            run=record.id, index=asked.samples.indices[place], target=int(target[place]),
            label=None if chosen.labels[place] == NO_LABEL else int(chosen.labels[place]),
            **numbers(clean, place, masks[place]).model_dump(),
        )
        for place in range(len(chosen))
    ]
    arrays = {
        "attributions": clean.maps.numpy(), "predicted": clean.predicted, "confidence": clean.confidence,
        "log_density": clean.log_density,
    }
    if asked.perturbation is not None:
        perturb = resolve.component("perturbation", asked.perturbation.key, asked.perturbation.params).function
        changed = perturb(model, x, target, generator=torch.Generator(device).manual_seed(SEED))
        after = views(model, method, changed.images, target)
        pair = changed.align(clean.maps, after.maps)
        alike = {name: similarity(*pair) for name, (similarity, _) in SIMILARITIES.items()}
        delta = (changed.images - x).flatten(1).double()
        for place, panel in enumerate(panels):
            panel.perturbed = PerturbedView(
                **numbers(after, place, masks[place]).model_dump(),
                delta_l2=float(torch.linalg.vector_norm(delta[place])), delta_linf=float(delta[place].abs().max()),
                similarity={name: _number(float(values[place])) for name, values in alike.items()},
            )
        arrays["perturbed_images"] = changed.images.float().cpu().numpy()
        arrays["perturbed_attributions"] = after.maps.numpy()
    return arrays, panels


def _target(model: torch.nn.Module, x: Tensor, labels: Tensor, asked: str | int) -> Tensor:
    """(N,) the classes that the maps are of."""
    if asked == "label":
        return labels
    if asked == "predicted":
        with torch.no_grad():
            return model(x).argmax(dim=1)
    return torch.full_like(labels, int(asked))


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
