"""Published weights without network access."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None) -> Path:
    """Return an empty cache of weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def store(cache: Path) -> Callable[[str, nn.Module | dict[str, torch.Tensor]], None]:
    """Return what puts a network, or its state dict, into the cache as the weights that torchvision publishes."""

    def put(name: str, network: nn.Module | dict[str, torch.Tensor]) -> None:
        file = torchvision.models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]
        torch.save(network if isinstance(network, dict) else network.state_dict(), cache / file)

    return put
