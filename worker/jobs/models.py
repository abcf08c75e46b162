"""Trained models, from the checkpoints of their runs; the last ones used are kept warm."""

import io
from collections import OrderedDict

import torch

from backend.shared.catalog import find
from backend.shared.contracts import Run
from backend.shared.tables import ArtifactRow
from worker import checkpoints, resolve
from worker.jobs.context import Context
from worker.jobs.failures import JobFailed

WARM_BYTES = 512 * 2**20


def trained_model(context: Context, run: Run, stored: ArtifactRow | None, device: torch.device) -> torch.nn.Module:
    """The run's model with the weights of its checkpoint, in eval mode on the device.

    Raises:
        JobFailed: there is no checkpoint, or it cannot be read.
    """
    if stored is None:
        raise JobFailed(f"Run {run.id} has no checkpoint: train it first.")
    model = resolve.build_model(
        run.spec.model.key, run.spec.model.params, find("dataset", run.spec.dataset.key), weights_follow=True
    )
    try:
        checkpoints.load_weights(io.BytesIO(context.artifacts.read(stored.location)), model)
    except (checkpoints.CorruptCheckpoint, FileNotFoundError) as error:
        raise JobFailed(f"The checkpoint of run {run.id} can't be used: {error}. Launch the run anew.") from error
    return model.to(device).eval()


class WarmModels:
    """Trained models by the location of their checkpoint, which never changes its content; least recently used go."""

    def __init__(self, budget: int = WARM_BYTES) -> None:
        self._budget = budget
        self._models: OrderedDict[str, torch.nn.Module] = OrderedDict()

    def get(self, context: Context, run: Run, stored: ArtifactRow | None, device: torch.device) -> torch.nn.Module:
        key = f"{device} {stored.location}" if stored else ""
        model = self._models.get(key)
        if model is None:
            model = trained_model(context, run, stored, device)
            self._models[key] = model
        self._models.move_to_end(key)
        while len(self._models) > 1 and sum(map(_size, self._models.values())) > self._budget:
            self._models.popitem(last=False)
        return model


def _size(model: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
