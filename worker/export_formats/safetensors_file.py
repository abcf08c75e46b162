"""Weights and buffers as a safetensors file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from densitylab.backend.shared.contracts import ModelConfig
from densitylab.worker import exported_model
from densitylab.worker.export_formats.export_format import Format, Logits


def write(model: torch.nn.Module, images: torch.Tensor, path: Path) -> None:
    """Store the model's weights and buffers by their names."""
    # copies, since the format has no tensors that share memory
    state = {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in model.state_dict().items()
    }
    save_file(state, path, metadata={"format": "pt"})


def read(path: Path, config: ModelConfig) -> Logits:
    """Return the network of the config with the file's weights."""
    return exported_model.read(config, path)


FORMAT = Format(write, read, tolerance=0.0)
