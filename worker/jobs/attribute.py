"""Maps of the same images under several runs."""

import io
import time

import numpy as np
import torch

from backend.shared import contracts
from backend.shared.contracts import Panel, Run, Status
from backend.shared.store import attributions, runs
from backend.shared.store.tasks import LeaseLost
from backend.shared.tables import ArtifactRow
from worker import resolve
from worker.batches import as_pixels
from worker.datasets.dataset import Dataset
from worker.jobs import machine
from worker.jobs.context import Context
from worker.jobs.data import Data, open_data
from worker.jobs.failures import JobFailed
from worker.jobs.models import WarmModels
from worker.jobs.running import run_task
from worker.lease import Lease
from worker.stopped import Stopped

LIMIT_PERCENTILE = 99.0
_warm = WarmModels()  # of this process: the interactive worker does one job after the other in it


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
    data = _common_data(context, lease, ordered)
    chosen = _choose(data.load(asked.samples.split), asked.samples)
    maps, predicted, confidence, targets = [], [], [], []
    for number, record in enumerate(ordered):
        if lease.should_stop():
            raise Stopped("the attribution was stopped")
        lease.report(stage=f"run {record.id}", progress=number / len(ordered))
        mapped, labelled, sure, target = _one_run(context, record, stored.get(record.id), chosen, asked)
        maps.append(mapped)
        predicted.append(labelled)
        confidence.append(sure)
        targets.append(target)
    arrays = {
        "images": chosen.images.numpy(), "labels": chosen.labels.numpy(), "attributions": np.stack(maps),
        "predicted": np.stack(predicted), "confidence": np.stack(confidence),
        "runs": np.array(asked.runs), "indices": np.array(asked.samples.indices),
    }
    if chosen.masks is not None:
        arrays["masks"] = chosen.masks.numpy()
    panels = [
        _panel(record.id, place, asked, chosen, maps[number], predicted[number], confidence[number], targets[number])
        for number, record in enumerate(ordered) for place in range(len(chosen))
    ]
    file = io.BytesIO()
    np.savez(file, **arrays)
    location = f"attributions/{asked.id}-{lease.held.token}.npz"
    size = context.artifacts.write(location, file.getvalue())
    with lease.writing() as session:
        attributions.store(
            session, asked.id, panels=panels, limit=colour_limit(arrays["attributions"]),
            data_hash=data.info.data_hash, location=location, size=size, seconds=time.monotonic() - began,
        )
        lease.finish(session, Status.SUCCEEDED)


def _common_data(context: Context, lease: Lease, records: list[Run]) -> Data:
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


def _choose(data: Dataset, samples: contracts.Samples) -> Dataset:
    outside = [index for index in samples.indices if index >= len(data)]
    if outside:
        raise JobFailed(
            f"Sample {outside[0]} does not exist: the {samples.split} split has {len(data)} images, counted from 0."
        )
    at = torch.tensor(samples.indices)
    return Dataset(
        data.images[at], data.labels[at], None if data.masks is None else data.masks[at],
        None if data.groups is None else data.groups[at],
    )


def _one_run(
    context: Context, record: Run, stored: ArtifactRow | None, chosen: Dataset, asked: contracts.Attribution
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Maps (N, C, H, W) float32, predicted class (N,), its probability (N,), and the target (N,)."""
    device = machine.choose_device(record.spec.device)
    model = _warm.get(context, record, stored, device)
    x = as_pixels(chosen.images).to(device)
    with torch.no_grad():
        confidence, predicted = model(x).softmax(dim=1).max(dim=1)
    if asked.target == "label":
        target = chosen.labels.to(device)
    elif asked.target == "predicted":
        target = predicted
    else:
        target = torch.full((len(chosen),), asked.target, device=device)
    method = resolve.component("attribution", asked.method, asked.params).function
    maps = method(model, x, target)
    return maps.float().cpu().numpy(), predicted.cpu().numpy(), confidence.cpu().numpy(), target.cpu().numpy()


def _panel(
    run_id: int, place: int, asked: contracts.Attribution, chosen: Dataset, maps: np.ndarray, predicted: np.ndarray,
    confidence: np.ndarray, target: np.ndarray,
) -> Panel:
    shown = maps[place].astype(np.float64)
    nan, zero = not bool(np.isfinite(shown).all()), not bool(shown.any())
    leakage = share = None
    if chosen.masks is not None and not nan:
        on_mask = float(np.square(shown * chosen.masks[place].numpy()).sum())
        leakage = on_mask**0.5
        share = None if zero else on_mask / float(np.square(shown).sum())
    return Panel(
        run=run_id, index=asked.samples.indices[place], label=int(chosen.labels[place]),
        predicted=int(predicted[place]), confidence=float(np.nan_to_num(confidence[place])), target=int(target[place]),
        leakage=leakage, leakage_share=share, zero=zero, nan=nan,
    )


def colour_limit(maps: np.ndarray) -> float:
    """The 99th percentile of |map| over all finite values of all maps (R, N, C, H, W); 0 where there is none."""
    size = np.abs(maps[np.isfinite(maps)])
    return float(np.percentile(size, LIMIT_PERCENTILE)) if size.size else 0.0
