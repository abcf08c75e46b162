"""What training minimises: cross-entropy + λ · mean penalty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from worker.regularizers.marginal_density import random_state, replay

# (model, x, logits, y, *, generator) -> (N,), its own parameters bound
Regularizer = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Terms:
    """The parts of one step's loss, on the device of the model."""

    logits: torch.Tensor  # (N, K)
    loss: torch.Tensor  # scalar with its graph
    cross_entropy: torch.Tensor  # scalar, mean over the batch
    penalty: torch.Tensor | None  # scalar, detached mean over the batch; None where it was not computed


def objective(
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    regularizer: Regularizer,
    lambda_: float,
    step: int,
    every: int = 1,
    generator: torch.Generator | None = None,
    observe: bool = False,
) -> Terms:
    """CE(f(x), y) + λ · every · mean penalty where step % every == 0, else CE(f(x), y).

    Lazy application as StyleGAN2 does it. With λ = 0 the loss *is* the cross-entropy, so it equals that of `none`
    bit for bit; the penalty is then computed without a graph, and only where `observe` asks for it. It can't move
    training: it draws from `generator`, which nothing but the penalty reads, or replays the global state.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) in [0, 1]; is made to require grad.
        y: (N,) labels.
        regularizer: penalty per sample, its own parameters bound.
        lambda_: weight in force, at least 0.
        step: from 1.
        every: the penalty is applied at each `every`-th step.
        generator: the penalty's own source of noise.
        observe: compute the penalty at this step for the record even with λ = 0.

    Returns:
        The terms of the loss.
    """
    x.requires_grad_(True)
    state = random_state(x.device)
    logits = model(x)
    cross_entropy = torch.nn.functional.cross_entropy(logits, y)
    loss, penalty = cross_entropy, None
    applied = lambda_ != 0 and step % every == 0
    if applied or (lambda_ == 0 and observe):
        # replay: the regularizer's own forwards meet the dropout masks of the forward above
        with replay(state), torch.set_grad_enabled(applied):
            penalty = regularizer(model, x, logits, y, generator=generator).mean()
        if applied:
            loss = cross_entropy + lambda_ * every * penalty
    return Terms(logits, loss, cross_entropy, None if penalty is None else penalty.detach())
