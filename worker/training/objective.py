"""The training objective: cross-entropy + λ · mean penalty."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import torch

from densitylab.worker.autograd import random_state, replay
from densitylab.worker.training.cross_entropy import PLAIN, CrossEntropy

# (model, x, logits, y, *, generator) -> (N,), its own parameters bound; further inputs by name
Regularizer = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Terms:
    """The parts of one step's loss, on the device of the model."""

    logits: torch.Tensor  # (N, K)
    loss: torch.Tensor  # scalar with its graph; of a part of a batch, its share of the batch's loss
    cross_entropy: torch.Tensor  # scalar, mean over the batch
    penalty: torch.Tensor | None  # scalar, detached mean over the batch; None if it was not computed


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
    cross_entropy: CrossEntropy = PLAIN,
    masks: torch.Tensor | None = None,
    uses: Collection[str] = (),
    share: float = 1.0,
    weigh: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Terms:
    """Return CE(f(x), y) + λ · every · mean penalty if step % every == 0, else CE(f(x), y).

    This is lazy regularization as in StyleGAN2. With λ = 0 the loss *is* the cross-entropy, bit for bit that of `none`;
    the penalty is then computed without a graph, and only with `observe`. It does not change training: it draws from
    `generator`, which only the penalty uses, or replays the global state.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) in [0, 1]; set to require grad.
        y: (N,) labels.
        regularizer: penalty per sample, its own parameters bound.
        lambda_: weight of the penalty at this step, at least 0.
        step: from 1.
        every: the penalty is applied at each `every`-th step.
        generator: the penalty's own source of noise.
        observe: compute the penalty for the metrics even with λ = 0.
        cross_entropy: its settings, scaled to the batch.
        masks: (N, 1, H, W) bool, of the images' null part; None: there are none.
        uses: what the regularizer takes by keyword: "cross_entropy", (logits, y) -> (N,) with these settings, "masks",
            and "replace_logits", (logits) -> None, which it calls with the logits of another forward pass with the
            same masks to have the cross-entropy taken from these.
        share: of the batch's samples that x has; sums over all parts are the batch's loss, and its gradient.
        weigh: (N,) cross-entropies without a graph -> (N,) weights of the samples, in the loss and in penalties that
            are differences of cross-entropies; None: all are 1.

    Returns:
        The terms of the loss.
    """
    x.requires_grad_(True)
    state = random_state(x.device)
    logits = model(x)
    if weigh is not None:
        weights = weigh(cross_entropy.per_sample(logits.detach(), y))
        cross_entropy = replace(cross_entropy, sample_weights=weights)
    replaced: list[torch.Tensor] = []
    inputs = {"cross_entropy": cross_entropy.per_sample, "masks": masks, "replace_logits": replaced.append}
    mean_loss = cross_entropy.mean(logits, y)
    loss, penalty = mean_loss, None
    applied = lambda_ != 0 and step % every == 0
    if applied or (lambda_ == 0 and observe):
        # replay: the regularizer's own forwards use the dropout masks of the forward above
        with replay(state), torch.set_grad_enabled(applied):
            given = {name: inputs[name] for name in uses}
            penalty = regularizer(model, x, logits, y, generator=generator, **given).mean()
        if applied and replaced:
            logits = replaced[-1]
            mean_loss = cross_entropy.mean(logits, y)
        if applied:
            loss = mean_loss + lambda_ * every * penalty
    return Terms(
        logits, loss if share == 1.0 else share * loss, mean_loss, None if penalty is None else penalty.detach()
    )
