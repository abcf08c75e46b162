"""What a network says of a whole split: metrics of validation images, and predicted classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from densitylab.worker.autograd import upcast
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training.batches import as_pixels

EVALUATION_BATCH = 500

_Autocast = Callable[[], torch.autocast]


def validation_metrics(
    model: torch.nn.Module, data: Dataset, device: torch.device, autocast: _Autocast
) -> dict[str, float]:
    """Return `validation_accuracy`, `validation_cross_entropy` and, with groups, `validation_worst_group`: the lowest
    accuracy of a group with images. The model is left in eval mode."""
    hits, total = [], torch.zeros((), dtype=torch.float64, device=device)
    for logits, y in _logits(model, data, device, autocast):
        hits.append(logits.argmax(dim=1) == y)
        total += torch.nn.functional.cross_entropy(upcast(logits), y, reduction="sum")
    correct = torch.cat(hits).cpu().double()
    metrics = {
        "validation_accuracy": float(correct.sum() / len(data)),
        "validation_cross_entropy": float(total / len(data)),
    }
    if data.groups is not None:
        groups = data.groups.cpu()
        counts = torch.bincount(groups)
        accuracies = torch.bincount(groups, weights=correct)[counts > 0] / counts[counts > 0]
        metrics["validation_worst_group"] = float(accuracies.min())
    return metrics


def predict(
    model: torch.nn.Module,
    data: Dataset,
    device: torch.device,
    autocast: _Autocast,
    should_stop: Callable[[], bool],
) -> torch.Tensor | None:
    """Return the predicted classes (N,), on the CPU; None if `should_stop`, asked after each batch, ended it. The
    model is left in eval mode."""
    predicted = []
    for logits, _ in _logits(model, data, device, autocast):
        if should_stop():
            return None
        predicted.append(logits.argmax(dim=1).cpu())
    return torch.cat(predicted)


def _logits(
    model: torch.nn.Module, data: Dataset, device: torch.device, autocast: _Autocast
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    model.eval()
    for start in range(0, len(data), EVALUATION_BATCH):
        part = slice(start, start + EVALUATION_BATCH)
        with torch.no_grad(), autocast():
            logits = model(as_pixels(data.images[part].to(device)))
        yield logits, data.labels[part].to(device)
