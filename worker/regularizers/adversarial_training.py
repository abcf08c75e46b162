"""Adversarial training, written as a penalty.

Madry, Makelov, Schmidt, Tsipras, Vladu, *Towards Deep Learning Models Resistant to Adversarial Attacks*, ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from worker.attacks.pgd import maximise
from worker.regularizers.gaussian_noise import cross_entropy_per_sample
from worker.regularizers.marginal_density import (
    random_state,
    refuse_fresh_masks,
    require_generator,
    running_statistics_kept,
)


def adversarial_training(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    p_norm: str = "inf",
    epsilon: float = 0.1,
    steps: int = 10,
    step_size: float | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """CE(f(x′), y) − CE(f(x), y) of each sample, x′ by PGD on the cross-entropy from a random start.

    So λ = 1 is Madry's training on adversarial images alone. The attack runs in eval mode (no dropout, running
    statistics of batch norm) and never stops early; the forward on x′ runs in the model's own mode, with the batch's
    statistics (the running ones do not move) and the dropout masks of the first forward, so call it inside `replay`.
    A step costs 6 + 2 · steps passes, where a plain one is 3.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) images in [0, 1].
        logits: (N, K) model(x), with their graph.
        y: (N,) labels.
        p_norm: "inf" or "2", the norm of the ball.
        epsilon: its radius in [0, 1] pixel units, at least 0.
        steps: gradient steps of the attack, at least 1.
        step_size: in the ball's norm; None: 2.5 · epsilon / steps.
        generator: draws the starts.

    Returns:
        (N,) penalties in float32 (float64 for float64 models); they may be negative.

    Raises:
        ValueError: an argument outside its range, x outside [0, 1], or no generator.
        RuntimeError: the forward on x′ drew random numbers outside `replay`.
    """
    require_generator(generator, "adversarial_training")
    with eval_mode(model):
        x_adv = maximise(
            lambda x_adv: cross_entropy_per_sample(model(x_adv), y), x, p_norm=p_norm, epsilon=epsilon, steps=steps,
            step_size=step_size, generator=generator,
        )
    state = random_state(x.device)
    with running_statistics_kept(model):
        attacked = model(x_adv)
    refuse_fresh_masks(state, "adversarial_training")
    return cross_entropy_per_sample(attacked, y) - cross_entropy_per_sample(logits, y)


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Every layer in eval mode inside; afterwards each in the mode that it was in."""
    training = [layer for layer in model.modules() if layer.training]
    model.eval()
    try:
        yield
    finally:
        for layer in training:
            layer.training = True
