"""Adversarial training, written as a penalty.

Madry, Makelov, Schmidt, Tsipras, Vladu, *Towards Deep Learning Models Resistant to Adversarial Attacks*, ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from densitylab.worker.attacks.pgd import maximise
from densitylab.worker.autograd import (
    frozen_running_statistics,
    random_state,
    require_generator,
    require_no_rng_use,
)
from densitylab.worker.regularizers.gaussian_noise import cross_entropy_per_sample


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
    cross_entropy: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = cross_entropy_per_sample,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return CE(f(x′), y) − CE(f(x), y) of each sample, x′ by PGD on the cross-entropy from a random start.

    With λ = 1 this is Madry's training on adversarial images only. The attack runs in eval mode (no dropout, running
    statistics of batch norm) and never stops early. The forward on x′ runs in the model's own mode, with the batch's
    statistics (the running ones are not updated) and the dropout masks of the first forward, so call the penalty inside
    `replay`. A step costs 6 + 2 · steps passes, a plain step 3.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) images in [0, 1].
        logits: (N, K) model(x), with their graph.
        y: (N,) labels.
        p_norm: "inf" or "2", the norm of the ball.
        epsilon: its radius in [0, 1] pixel units, at least 0.
        steps: gradient steps of the attack, at least 1.
        step_size: in the ball's norm; None: 2.5 · epsilon / steps.
        cross_entropy: (logits, y) -> (N,), that of the training, with its label smoothing and class weights; the attack
            maximises the plain one.
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
            lambda x_adv: cross_entropy_per_sample(model(x_adv), y),
            x,
            p_norm=p_norm,
            epsilon=epsilon,
            steps=steps,
            step_size=step_size,
            generator=generator,
        )
    state = random_state(x.device)
    with frozen_running_statistics(model):
        attacked = model(x_adv)
    require_no_rng_use(state, "adversarial_training")
    return cross_entropy(attacked, y) - cross_entropy(logits, y)


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Set every layer to eval mode inside the block, and back to its own mode after it."""
    training = [layer for layer in model.modules() if layer.training]
    model.eval()
    try:
        yield
    finally:
        for layer in training:
            layer.training = True
