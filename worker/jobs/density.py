"""log p along a line and on a plane through an image, for several runs."""

import io
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.contracts import DensityOfRun, DensityRequest, Samples, Status
from densitylab.backend.shared.store import attributions, run_artifacts, runs
from densitylab.backend.shared.store.tasks import LeaseLost
from densitylab.worker.errors import Interrupted
from densitylab.worker.evaluations import density_slices
from densitylab.worker.jobs.attribute import chosen_images, common_data, warm_models
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.device import choose_device, set_threads
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.training.batches import as_pixels

PLANE_STEPS = 41  # most points along a side of the plane


def run(task_id: int) -> None:
    """Run the density task."""
    run_task(task_id, _slice)


def _slice(context: Context, lease: Lease) -> None:
    began = time.monotonic()
    with context.database.read() as session:
        row = attributions.of_task(session, lease.task.task_id)
        if row is None:
            raise LeaseLost(f"the slice of task {lease.task.task_id} was deleted")
        request = DensityRequest.model_validate(row.request)
        records = runs.many(session, request.runs)
        stored = run_artifacts.checkpoints(session, request.runs)
    missing = [number for number in request.runs if number not in records]
    if missing:
        raise JobFailed(f"Run {missing[0]} was deleted: choose other runs.")
    data = common_data(context, lease, [records[number] for number in request.runs])
    indices = [request.index] if request.towards is None else [request.index, request.towards]
    images = as_pixels(chosen_images(context, data, Samples(split=request.split, indices=indices)).images)
    distances = torch.linspace(-request.extent, request.extent, request.steps)
    sides = torch.linspace(-request.extent, request.extent, min(request.steps, PLANE_STEPS))
    slices = []
    for position, number in enumerate(request.runs):
        if lease.should_stop():
            raise Interrupted("the slice was stopped")
        lease.report(stage=f"run {number}", progress=position / len(request.runs))
        device = choose_device(records[number].spec.device)
        set_threads(context, records[number].spec)
        model = warm_models.get(context, records[number], stored.get(number), device)
        slices.append(_of_run(number, model, images.to(device), request, distances.to(device), sides.to(device)))
    result = {
        "distances": distances.tolist(),
        "sides": sides.tolist(),
        "of_runs": [item.model_dump() for item in slices],
    }
    file = io.BytesIO()
    np.savez(
        file,
        curves=np.array([item.curve for item in slices], float),
        planes=np.array([item.plane for item in slices], float),
        distances=distances,
        sides=sides,
    )
    location = checked_location(f"attributions/{row.id}-{lease.task.token}.npz", file.getvalue())
    size = context.artifacts.write(location, file.getvalue())
    with lease.writing() as session:
        attributions.keep(
            session,
            row.id,
            panels=[result],
            limit=None,
            data_hash=data.info.data_hash,
            location=location,
            size=size,
            seconds=time.monotonic() - began,
        )
        lease.finish(session, Status.SUCCEEDED)


def _of_run(
    number: int, model: torch.nn.Module, images: Tensor, request: DensityRequest, distances: Tensor, sides: Tensor
) -> DensityOfRun:
    x = images[0]
    gradient = density_slices.gradient_direction(model, x)
    random = density_slices.random_direction(x, request.seed)
    along = {"gradient": gradient, "random": random, "image": density_slices.unit(images[-1] - x)}[request.direction]
    other = density_slices.random_direction(x, request.seed + 1)
    plane = density_slices.plane(model, x, along, density_slices.across(along, other), sides)
    with torch.enable_grad():
        inputs = x[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(inputs).logsumexp(dim=1).sum(), inputs)
    return DensityOfRun(
        run=number,
        at_image=_finite(float(density_slices.log_density(model, x[None])[0])),
        slope=_finite(float(torch.linalg.vector_norm(slope))),
        curve=[_finite(value) for value in density_slices.line(model, x, along, distances).tolist()],
        plane=[[_finite(value) for value in row] for row in plane.tolist()],
    )


def _finite(value: float) -> Any:
    return value if np.isfinite(value) else None
