"""Trained models from the checkpoints of their runs; the last used ones stay in memory."""

from collections import OrderedDict

import torch

from densitylab.backend.shared.artifacts import DamagedFile
from densitylab.backend.shared.contracts import Run, Status
from densitylab.backend.shared.tables import ArtifactRow
from densitylab.worker import resolve
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.training import checkpoints

WARM_BYTES = 512 * 2**20


def trained_model(context: Context, run: Run, stored: ArtifactRow | None, device: torch.device) -> torch.nn.Module:
    """Return the run's model with the weights of its checkpoint, in eval mode on the device.

    Raises:
        JobFailed: there is no checkpoint, or it cannot be read.
    """
    if stored is None:
        raise JobFailed(f"Run {run.id} has no checkpoint: train it first.")
    dataset = context.catalog.dataset(run.spec.dataset.key, run.spec.dataset.params)
    model = resolve.build_model(
        context.catalog,
        run.spec.model.key,
        run.spec.model.params,
        dataset,
        interface=run.spec.interface,
        weights_follow=True,
    )
    try:
        checkpoints.load_weights(context.artifacts.read(stored.location), model)
    except (checkpoints.CorruptCheckpoint, DamagedFile, FileNotFoundError) as error:
        reason = "its file is missing" if isinstance(error, FileNotFoundError) else error
        advice = "Launch the run again" if run.status == Status.SUCCEEDED else "Retry the run, or launch it again"
        raise JobFailed(f"The checkpoint of run {run.id} can't be used: {reason}. {advice}.") from error
    return model.to(device).eval()


class WarmModels:
    """A cache of trained models by the location of their checkpoint; the least recently used are dropped first."""

    def __init__(self, budget: int = WARM_BYTES) -> None:
        self._budget = budget
        self._models: OrderedDict[str, torch.nn.Module] = OrderedDict()

    def get(self, context: Context, run: Run, stored: ArtifactRow | None, device: torch.device) -> torch.nn.Module:
        """Return the run's model. Raises JobFailed as `trained_model` does."""
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
