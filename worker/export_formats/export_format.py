"""A format of exported models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from densitylab.backend.shared.contracts import ModelConfig

Logits = Callable[[torch.Tensor], torch.Tensor]


class MissingPackage(RuntimeError):
    """A format needs a package that is not installed on this worker; `str()` is its name."""


@dataclass(frozen=True)
class Format:
    """A format: how a model is written to a file, and how the file is run.

    Args:
        write: stores a model in eval mode, given images (2, C, H, W) in [0, 1], for batches of any size.
        read: returns what gives the logits of such images, computed from the file and the model's config.
        tolerance: largest difference of a logit from the model's that the file may have, relative to the largest
            logit where that is above 1.
    """

    write: Callable[[torch.nn.Module, torch.Tensor, Path], None]
    read: Callable[[Path, ModelConfig], Logits]
    tolerance: float
