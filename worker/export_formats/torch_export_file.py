"""The computation as a program of torch.export, which needs no code of the network."""

from __future__ import annotations

from pathlib import Path

import torch

from densitylab.backend.shared.contracts import ModelConfig
from densitylab.worker.export_formats.export_format import Format, Logits


def write(model: torch.nn.Module, images: torch.Tensor, path: Path) -> None:
    """Store the program, for batches of any size."""
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(program, path)


def read(path: Path, config: ModelConfig) -> Logits:
    """Return the stored program."""
    return torch.export.load(path).module()


FORMAT = Format(write, read, tolerance=1e-6)
