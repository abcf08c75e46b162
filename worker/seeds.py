"""Streams of random numbers that a run's seed gives; each draw of a stream is a function of the seed and its index."""

from __future__ import annotations

import numpy as np
import torch

ORDER, PENALTY, AUGMENTATION = 0, 1, 2  # the streams


def word(seed: int, stream: int, index: int) -> int:
    """A 32-bit seed of its own for each (run seed, stream, index)."""
    return int(np.random.SeedSequence([seed, stream, index]).generate_state(1)[0])


def generator(seed: int, stream: int, index: int) -> torch.Generator:
    """A new generator on the CPU, so that every device draws the same."""
    return torch.Generator().manual_seed(word(seed, stream, index))
