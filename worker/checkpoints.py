"""Checkpoints on disk: one file that `torch.load(..., weights_only=True)` reads.

    save(target: Path | BinaryIO, state: TrainingState) -> None
    load(source: Path | BinaryIO, state: TrainingState) -> None        restores everything, in place
    load_weights(source: Path | BinaryIO, model: nn.Module) -> None    the weights to evaluate, alone

`state` holds the weights as they are trained; `weights` those that the run is evaluated with, which are the same
unless it averages them or may stop early. What both hold is stored once.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from worker.training import TrainingState

FORMAT = 1


class CorruptCheckpoint(ValueError):
    """The file is damaged, cut off, or not a checkpoint of this model."""


def save(target: Path | BinaryIO, state: TrainingState) -> None:
    """Write all that a run needs to go on exactly: weights, optimizer, generators, position, thread count."""
    torch.save({"format": FORMAT, "state": state.state_dict(), "weights": state.kept_weights()}, target)


def load(source: Path | BinaryIO, state: TrainingState) -> None:
    """Put `state`, made for the same spec, where it stood when it was saved.

    Raises:
        CorruptCheckpoint: the file is damaged or belongs to another model or optimizer.
        ValueError: it was written on another kind of device.
    """
    saved = _read(source)["state"]
    try:
        state.load_state_dict(saved)
    except (KeyError, RuntimeError, TypeError) as error:
        raise CorruptCheckpoint(f"the checkpoint does not fit this run's model and optimizer: {error}") from error


def load_weights(source: Path | BinaryIO, model: torch.nn.Module) -> None:
    """Give `model` the weights and buffers that the run is evaluated with.

    Raises:
        CorruptCheckpoint: the file is damaged or belongs to another model.
    """
    saved = _read(source)
    try:
        # the first checkpoints had no weights beside those that were trained
        model.load_state_dict(saved["weights"] if "weights" in saved else saved["state"]["model"])
    except (KeyError, RuntimeError) as error:
        raise CorruptCheckpoint(f"the checkpoint does not fit this model: {error}") from error


def _read(source: Path | BinaryIO) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(source) as archive:  # torch does not compare the check sums by itself
            damaged = archive.testzip()
        if damaged is not None:
            raise CorruptCheckpoint(f"the checkpoint is damaged: check sum of {damaged} does not agree")
        if not isinstance(source, Path):
            source.seek(0)
        content = torch.load(source, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CorruptCheckpoint(f"the checkpoint can't be read, it is damaged or cut off: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CorruptCheckpoint(f"the file is no checkpoint of format {FORMAT}; it was written by another program")
    return content
