"""log p along a line and on a plane through an image, under several runs."""

import io
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.shared.contracts import DensityOfRun, DensityRequest, Samples, Status
from backend.shared.store import attributions, runs
from backend.shared.store.tasks import LeaseLost
from worker import density_slices
from worker.batches import as_pixels
from worker.jobs import machine
from worker.jobs.attribute import chosen_images, common_data, warm_models
from worker.jobs.context import Context
from worker.jobs.failures import JobFailed
from worker.jobs.running import run_task
from worker.lease import Lease
from worker.stopped import Stopped

PLANE_STEPS = 41  # of a side, at most


def run(task_id: int) -> None:
    """The job."""
    run_task(task_id, _slice)


def _slice(context: Context, lease: Lease) -> None:
    began = time.monotonic()
    with context.database.read() as session:
        row = attributions.of_task(session, lease.held.task_id)
        if row is None:
            raise LeaseLost(f"the slice of task {lease.held.task_id} was deleted")
        asked = DensityRequest.model_validate(row.request)
        records = runs.many(session, asked.runs)
        stored = runs.checkpoints(session, asked.runs)
    missing = [number for number in asked.runs if number not in records]
    if missing:
        raise JobFailed(f"Run {missing[0]} was deleted: choose other runs.")
    data = common_data(context, lease, [records[number] for number in asked.runs])
    wanted = [asked.index] if asked.towards is None else [asked.index, asked.towards]
    images = as_pixels(chosen_images(context, data, Samples(split=asked.split, indices=wanted)).images)
    distances = torch.linspace(-asked.extent, asked.extent, asked.steps)
    sides = torch.linspace(-asked.extent, asked.extent, min(asked.steps, PLANE_STEPS))
    of_runs = []
    for place, number in enumerate(asked.runs):
        if lease.should_stop():
            raise Stopped("the slice was stopped")
        lease.report(stage=f"run {number}", progress=place / len(asked.runs))
        device = machine.choose_device(records[number].spec.device)
        model = warm_models.get(context, records[number], stored.get(number), device)
        of_runs.append(_of_run(number, model, images.to(device), asked, distances.to(device), sides.to(device)))
    result = {"distances": distances.tolist(), "sides": sides.tolist(),
              "of_runs": [item.model_dump() for item in of_runs]}
    file = io.BytesIO()
    np.savez(file, curves=np.array([item.curve for item in of_runs], float),
             planes=np.array([item.plane for item in of_runs], float), distances=distances, sides=sides)
    location = f"attributions/{row.id}-{lease.held.token}.npz"
    size = context.artifacts.write(location, file.getvalue())
    with lease.writing() as session:
        attributions.keep(session, row.id, panels=[result], limit=None, data_hash=data.info.data_hash,
                          location=location, size=size, seconds=time.monotonic() - began)
        lease.finish(session, Status.SUCCEEDED)


def _of_run(
    number: int, model: torch.nn.Module, images: Tensor, asked: DensityRequest, distances: Tensor, sides: Tensor
) -> DensityOfRun:
    x = images[0]
    gradient = density_slices.gradient_direction(model, x)
    chance = density_slices.random_direction(x, asked.seed)
    along = {"gradient": gradient, "random": chance,
             "image": density_slices.unit(images[-1] - x)}[asked.direction]
    other = density_slices.random_direction(x, asked.seed + 1)
    plane = density_slices.plane(model, x, along, density_slices.across(along, other), sides)
    with torch.enable_grad():
        inputs = x[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(inputs).logsumexp(dim=1).sum(), inputs)
    return DensityOfRun(
        run=number, at_image=_finite(float(density_slices.log_density(model, x[None])[0])),
        slope=_finite(float(torch.linalg.vector_norm(slope))),
        curve=[_finite(value) for value in density_slices.line(model, x, along, distances).tolist()],
        plane=[[_finite(value) for value in row] for row in plane.tolist()],
    )


def _finite(value: float) -> Any:
    return value if np.isfinite(value) else None
