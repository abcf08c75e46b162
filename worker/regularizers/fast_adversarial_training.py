"""Fast adversarial training, written as a penalty: one gradient step from a random start.

Wong, Rice, Kolter, *Fast is better than free: Revisiting adversarial training*, ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from densitylab.worker.attacks.pgd import maximise
from densitylab.worker.regularizers.adversarial_training import adversarial_training, eval_mode
from densitylab.worker.regularizers.gaussian_noise import cross_entropy_per_sample

PGD_STEPS = 10


def fast_adversarial_training(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    epsilon: float = 0.1,
    step_factor: float = 1.25,
    cross_entropy: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = cross_entropy_per_sample,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return CE(f(x′), y) − CE(f(x), y) of each sample, x′ one sign step in the L∞ ball from a uniform random start.

    With λ = 1 this is the paper's training. The step has the length step_factor · epsilon, after which x′ is projected
    into the ball. Otherwise as `adversarial_training` with one step; a step costs 8 passes, a plain step 3.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) images in [0, 1].
        logits: (N, K) model(x), with their graph.
        y: (N,) labels.
        epsilon: radius of the ball in [0, 1] pixel units, at least 0.
        step_factor: above 0; the paper's is 1.25. Above 1 the random start is needed against overfitting to the step.
        cross_entropy: (logits, y) -> (N,), that of the training.
        generator: draws the starts.

    Returns:
        (N,) penalties in float32 (float64 for float64 models); they may be negative.

    Raises:
        ValueError: an argument outside its range, x outside [0, 1], or no generator.
        RuntimeError: the forward on x′ drew random numbers outside `replay`.
    """
    return adversarial_training(
        model,
        x,
        logits,
        y,
        p_norm="inf",
        epsilon=epsilon,
        steps=1,
        step_size=step_factor * epsilon if epsilon > 0 else None,
        cross_entropy=cross_entropy,
        generator=generator,
    )


def attacked_accuracy(
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    epsilon: float = 0.1,
    step_factor: float = 1.25,
    generator: torch.Generator,
) -> dict[str, float]:
    """Return the accuracy under the attack of the training and under PGD of 10 steps, from random starts.

    Where the first stays high and the second falls, the model has overfitted to the single step ("catastrophic
    overfitting").

    Args:
        model: gives logits (N, K); attacked in eval mode.
        x: (N, C, H, W) images in [0, 1].
        y: (N,) labels.
        epsilon, step_factor: of the training.
        generator: draws the starts.

    Returns:
        `validation_fgsm_accuracy` and `validation_pgd_accuracy`.
    """
    attacks = {
        "validation_fgsm_accuracy": (1, step_factor * epsilon if epsilon > 0 else None),
        "validation_pgd_accuracy": (PGD_STEPS, None),
    }
    accuracies = {}
    with eval_mode(model):
        for name, (steps, size) in attacks.items():
            x_adv = maximise(
                lambda images: cross_entropy_per_sample(model(images), y),
                x,
                p_norm="inf",
                epsilon=epsilon,
                steps=steps,
                step_size=size,
                generator=generator,
            )
            with torch.no_grad():
                accuracies[name] = float((model(x_adv).argmax(dim=1) == y).double().mean())
    return accuracies
