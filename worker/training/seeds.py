"""Independent random streams of a run's seed; each element depends only on the seed, the stream and its index."""

from __future__ import annotations

import torch

ORDER, PENALTY, AUGMENTATION, MONITOR, HEAD, ROBUST_SHARE = range(6)  # the streams


def derive_seed(seed: int, stream: int, index: int) -> int:
    """Return a separate 32-bit seed for each (run seed, stream, index)."""
    import numpy as np  # which reading a checkpoint does not need

    return int(np.random.SeedSequence([seed, stream, index]).generate_state(1)[0])


def generator(seed: int, stream: int, index: int) -> torch.Generator:
    """Return a new generator on the CPU, for the same draws on every device."""
    return torch.Generator().manual_seed(derive_seed(seed, stream, index))
