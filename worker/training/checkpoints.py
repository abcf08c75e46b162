"""Checkpoints: one file each, which `torch.load(..., weights_only=True)` reads.

    save(target: Path | BinaryIO, state: TrainingState) -> None
    load(content: bytes, state: TrainingState) -> None        restores everything, in place
    load_weights(content: bytes, model: nn.Module) -> None    the weights to evaluate, alone
    read_weights(content: bytes) -> dict[str, Tensor]         the same by name

`state` contains the trained weights, `weights` those to evaluate, which are the same unless the run averages them or
may stop early. Tensors in both are stored once.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from densitylab.worker.errors import out_of_memory
from densitylab.worker.training.state import OtherTraining, TrainingState

FORMAT = 1


class CorruptCheckpoint(ValueError):
    """The file is damaged, cut off, or not a checkpoint of this model."""


def save(target: Path | BinaryIO, state: TrainingState) -> None:
    """Write the state of a run, from which it continues exactly, and the weights to evaluate."""
    torch.save({"format": FORMAT, "state": state.state_dict(), "weights": state.kept_weights()}, target)


def load(content: bytes, state: TrainingState) -> None:
    """Restore `state`, which must have been created for the same spec.

    Raises:
        CorruptCheckpoint: the file is damaged or belongs to another model or optimizer.
        OtherTraining: it was written with another seed or on another kind of device.
    """
    saved = _read(content)
    with _corrupt("the checkpoint does not fit this run's model and optimizer"):
        state.load_state_dict(saved["state"])


def load_weights(content: bytes, model: torch.nn.Module) -> None:
    """Load the weights and buffers to evaluate into `model`.

    Raises:
        CorruptCheckpoint: the file is damaged or belongs to another model.
    """
    weights = read_weights(content)
    with _corrupt("the checkpoint does not fit this model"):
        model.load_state_dict(weights)


def read_weights(content: bytes) -> dict[str, torch.Tensor]:
    """Return the weights and buffers to evaluate, by name, on the CPU.

    Raises:
        CorruptCheckpoint: the file is damaged.
    """
    saved = _read(content)
    with _corrupt("the checkpoint has no weights"):
        # the first checkpoints have only the trained weights
        return saved["weights"] if "weights" in saved else saved["state"]["model"]


def _read(content: bytes) -> dict[str, Any]:
    with _corrupt("the checkpoint is damaged or cut off"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # torch does not check the sums itself
            if archive.testzip() is not None:
                raise CorruptCheckpoint("the checkpoint is damaged: a checksum in it does not agree")
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise CorruptCheckpoint(f"the file is not a checkpoint of format {FORMAT}: another program wrote it")
    return saved


@contextmanager
def _corrupt(sentence: str) -> Iterator[None]:
    """Raise CorruptCheckpoint for the errors of zipfile, zlib, pickle and torch, whose texts are not for users."""
    try:
        yield
    except Exception as error:
        if isinstance(error, CorruptCheckpoint | OtherTraining) or out_of_memory(error):
            raise
        raise CorruptCheckpoint(sentence) from error
