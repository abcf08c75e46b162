"""One of several runs that train together."""

from __future__ import annotations

from dataclasses import dataclass

from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.state import TrainingState


@dataclass(frozen=True, eq=False)
class Member:
    """The arguments with which `fit` would train it alone. Members of one seed may share their batches."""

    state: TrainingState
    config: TrainingConfig
    batches: Batches
