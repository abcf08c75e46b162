"""What a measure takes beside the model and its test images: opened only where its entry asks for it."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from backend.shared.catalog import Entry, find
from backend.shared.contracts import Evaluation, Run
from backend.shared.store import evaluations, runs
from worker import resolve
from worker.datasets.dataset import Dataset
from worker.evaluations.earlier import Earlier
from worker.jobs.context import Context
from worker.jobs.data import Data, open_data
from worker.jobs.failures import JobFailed
from worker.jobs.models import trained_model
from worker.lease import Lease

FRESH_SEED = 2**31  # of the random weights that a measure compares with: those of no run, whose seeds end before it


def inputs(
    context: Context, lease: Lease, record: Run, data: Data, device: torch.device, evaluation: Evaluation, entry: Entry
) -> dict[str, Any]:
    """Keyword arguments: what the entry `uses`, and in place of its parameters of data sets and runs what they name.

    Raises:
        JobFailed: a data set or run that is named can't be used.
        Stopped: `lease.should_stop()` answered True.
    """
    offered: dict[str, Callable[[], Any]] = {
        "train_data": lambda: lambda: data.load("train"),
        "fresh_model": lambda: lambda: _fresh_model(record, device),
        "earlier": lambda: _earlier(context, record, evaluation, data.info.data_hash),
    }
    given = {name: offered[name]() for name in entry.uses}
    for param in entry.params:
        value = evaluation.params.get(param.name)
        if value is None:
            continue
        if param.type == "run":
            given[param.name] = _model_of(context, value, record, device)
        elif param.kind == "dataset":
            given[param.name] = _data_set(context, lease, value)
    return given


def _fresh_model(record: Run, device: torch.device) -> torch.nn.Module:
    spec = record.spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(FRESH_SEED)
        model = resolve.build_model(
            spec.model.key, spec.model.params, find("dataset", spec.dataset.key), weights_follow=True
        )
    return model.to(device).eval()


def _earlier(context: Context, record: Run, evaluation: Evaluation, data_hash: str) -> list[Earlier]:
    """Of the same measure, taken of the same weights on the same data; newest first."""
    found = []
    with context.database.read() as session:
        for item in reversed(evaluations.of_run(session, record.id)):
            same = evaluations.is_current(item, record.checkpoint_step) and item.key == evaluation.key
            stored = runs.artifact(session, record.id, f"{item.name}.npz")
            if same and stored is not None and item.provenance.get("data_hash") == data_hash:
                found.append((item.params, stored.location))
    kept = []
    for params, location in found:
        try:
            with np.load(io.BytesIO(context.artifacts.read(location)), allow_pickle=False) as file:
                kept.append(Earlier(params, {name: file[name] for name in file.files}))
        except FileNotFoundError:
            continue  # deleted in the meantime
    return kept


def _model_of(context: Context, run_id: int, record: Run, device: torch.device) -> torch.nn.Module:
    with context.database.read() as session:
        source = runs.get(session, run_id)
        stored = runs.artifact(session, run_id, "checkpoint.pt")
    if source is None:
        raise JobFailed(f"Run {run_id}, the source of the attack, was deleted: choose another.")
    if source.spec.dataset != record.spec.dataset:
        raise JobFailed(f"Run {run_id}, the source of the attack, was trained on other data: choose another.")
    return trained_model(context, source, stored, device)


def _data_set(context: Context, lease: Lease, value: dict[str, Any]) -> Callable[[str], Dataset]:
    return open_data(
        context, value["key"], value["params"], should_stop=lease.should_stop,
        progress=lambda share: lease.report(stage=f"preparing data, {share:.0%}"),
    ).load
