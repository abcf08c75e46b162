"""Takes one measure of a trained run."""

import io
import math
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from backend.shared.contracts import Curve, Flag, Status, Value
from backend.shared.store import evaluations, runs
from backend.shared.store.tasks import LeaseLost
from worker import resolve
from worker.jobs import machine
from worker.jobs.context import Context
from worker.jobs.data import open_data
from worker.jobs.inputs import inputs
from worker.jobs.models import trained_model
from worker.jobs.running import run_task
from worker.lease import Lease

SEED = 0  # of what an evaluation draws: the same for every run, so that runs meet the same draws


def run(task_id: int) -> None:
    """The job."""
    run_task(task_id, _evaluate)


def _evaluate(context: Context, lease: Lease) -> None:
    with context.database.read() as session:
        evaluation = evaluations.of_task(session, lease.held.task_id)
        record = runs.get(session, lease.held.run_id)
        stored = runs.artifact(session, lease.held.run_id, "checkpoint.pt")
    if evaluation is None or record is None:
        raise LeaseLost(f"run {lease.held.run_id} is being deleted")
    lease.report(stage="loading", progress=0.0)
    device = machine.choose_device(record.spec.device)
    torch.set_num_threads(machine.training_threads(context.settings))
    data = open_data(
        context, record.spec.dataset.key, record.spec.dataset.params, should_stop=lease.should_stop,
        progress=lambda share: lease.report(stage=f"preparing data, {share:.0%}"),
    )
    model = trained_model(context, record, stored, device)
    measure = resolve.component("evaluation", evaluation.key, evaluation.params)
    given = inputs(context, lease, record, data, device, evaluation, measure.entry)
    lease.report(stage="evaluating")
    began = time.monotonic()
    result = measure.function(
        model, data.load("test"), generator=torch.Generator(device).manual_seed(SEED),
        progress=lambda share: _progress(lease, share, time.monotonic() - began), should_stop=lease.should_stop,
        **given,
    )
    seconds = time.monotonic() - began
    location, size = None, 0
    if result.arrays:
        location = f"runs/{record.id}/evaluations/{evaluation.id}-{lease.held.token}.npz"
        file = io.BytesIO()
        np.savez_compressed(file, **result.arrays)
        size = context.artifacts.write(location, file.getvalue())
    replaced = None
    with lease.writing() as session:
        evaluations.store(
            session, evaluation.id, values={name: Value(**_finite(asdict(value))) for name, value in
                                            result.values.items()},
            curves={name: Curve(**_finite(asdict(curve))) for name, curve in result.curves.items()},
            flags=[Flag(**asdict(flag)) for flag in result.flags], seconds=seconds,
            provenance={**machine.provenance(device), "data_hash": data.info.data_hash, "seed": SEED,
                        "checkpoint_step": record.checkpoint_step, "measure_version": measure.entry.version},
        )
        if location is not None:
            replaced = runs.put_artifact(session, record.id, f"{evaluation.name}.npz", location=location, size=size,
                                         media_type="application/zip")
        lease.finish(session, Status.SUCCEEDED)
    if replaced is not None:
        context.artifacts.delete(replaced)


def _progress(lease: Lease, share: float, seconds: float) -> None:
    lease.report(progress=share, eta_seconds=seconds * (1 - share) / share if share > 0 else None)


def _finite(content: Any) -> Any:
    """What JSON cannot say becomes null."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
