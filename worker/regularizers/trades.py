"""TRADES: divergence between the predictions on an image and on an adversarial one.

Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, *Theoretically Principled Trade-off between Robustness and Accuracy*,
ICML 2019. Their β, 6 in the paper's experiments, is our λ.
"""

from __future__ import annotations

import torch

from densitylab.worker.attacks.pgd import maximise
from densitylab.worker.autograd import (
    frozen_running_statistics,
    random_state,
    require_generator,
    require_no_rng_use,
    upcast,
)
from densitylab.worker.regularizers.adversarial_training import eval_mode

START_SIGMA = 0.001  # at x itself the divergence has gradient 0


def trades(
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
    """Return KL(softmax f(x) ‖ softmax f(x′)) of each sample, x′ maximising it by PGD from x + 0.001·N(0, I).

    Both distributions keep their graphs. The attack and its prediction for x run in eval mode. The forward on x′ runs
    in the model's own mode, with the batch's statistics (the running ones are not updated) and the dropout masks of the
    first forward, so call the penalty inside `replay`. A step costs 7 + 2 · steps passes, a plain step 3.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) images in [0, 1].
        logits: (N, K) model(x), with their graph.
        y: (N,) labels; the penalty does not depend on them.
        p_norm: "inf" or "2", the norm of the ball.
        epsilon: its radius in [0, 1] pixel units, at least 0.
        steps: gradient steps of the attack, at least 1.
        step_size: in the ball's norm; None: 2.5 · epsilon / steps.
        generator: draws the starts.

    Returns:
        (N,) penalties in float32 (float64 for float64 models), not negative but for rounding.

    Raises:
        ValueError: an argument outside its range, x outside [0, 1], or no generator.
        RuntimeError: the forward on x′ drew random numbers outside `replay`.
    """
    generator = require_generator(generator, "trades")
    noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
    with eval_mode(model):
        with torch.no_grad():
            clean = model(x.detach())
        x_adv = maximise(
            lambda x_adv: kl_divergence(clean, model(x_adv)),
            x,
            p_norm=p_norm,
            epsilon=epsilon,
            steps=steps,
            step_size=step_size,
            begin=x.detach() + START_SIGMA * noise,
            generator=generator,
        )
    state = random_state(x.device)
    with frozen_running_statistics(model):
        attacked = model(x_adv)
    require_no_rng_use(state, "trades")
    return kl_divergence(logits, attacked)


def kl_divergence(logits: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return (N,) KL(softmax logits ‖ softmax other), in float32 at least."""
    log_p, log_q = torch.log_softmax(upcast(logits), dim=1), torch.log_softmax(upcast(other), dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)
