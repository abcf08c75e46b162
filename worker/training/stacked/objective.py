"""The training objective of stacked runs: of each member its cross-entropy + λ · mean penalty."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from densitylab.worker.training.cross_entropy import CrossEntropy
from densitylab.worker.training.objective import Regularizer
from densitylab.worker.training.stacked.generators import Drawing, MemberGenerators
from densitylab.worker.training.stacked.model import StackedModel


@dataclass(frozen=True)
class StackedTerms:
    """The parts of the members' losses in one step, on the device of the model."""

    logits: torch.Tensor  # (M·N, K)
    loss: torch.Tensor  # (M,) with its graph
    cross_entropy: torch.Tensor  # (M,), means over the members' batches
    penalty: torch.Tensor | None  # (M,) detached, of those members that `penalised` names; None: of none
    penalised: list[bool]  # of each member whether its penalty was computed


def stacked_objective(
    model: StackedModel,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    regularizer: Regularizer,
    lambdas: Sequence[float],
    step: int,
    every: int,
    generators: Sequence[torch.Generator],
    observe: bool,
    cross_entropy: CrossEntropy,
    masks: torch.Tensor | None,
    uses: Collection[str],
) -> StackedTerms:
    """Return what `densitylab.worker.training.objective.objective` returns, of all members at once.

    The penalty is computed for all members where one needs it; those that would not compute it alone do not draw from
    their generators, and their loss is their cross-entropy.

    Args:
        model: of M members.
        x: (M·N, C, H, W) in [0, 1], the members' batches in turn; set to require grad.
        y: (M·N,) labels.
        regularizer: penalty per sample, in which no sample depends on another one.
        lambdas: the members' weights of the penalty at this step.
        step: from 1.
        every: the penalty is applied at each `every`-th step.
        generators: the members' own sources of noise.
        observe: compute the penalty for the metrics even of members with λ = 0.
        cross_entropy: its settings, scaled to the batches.
        masks: (M·N, 1, H, W) bool, of the images' null part; None: there are none.
        uses: what the regularizer takes by keyword.
    """
    members = len(model)
    x.requires_grad_(True)
    logits = model(x)
    mean_loss = loss = cross_entropy.per_sample(logits, y).view(members, -1).mean(dim=1)
    applied = [lambda_ != 0 and step % every == 0 for lambda_ in lambdas]
    penalised = [now or (lambda_ == 0 and observe) for now, lambda_ in zip(applied, lambdas, strict=True)]
    penalty = None
    if any(penalised):
        inputs = {"cross_entropy": cross_entropy.per_sample, "masks": masks, "replace_logits": lambda _: None}
        unused = {index: generators[index].get_state() for index in range(members) if not penalised[index]}
        with torch.set_grad_enabled(any(applied)), Drawing():
            given = {name: inputs[name] for name in uses}
            values = regularizer(model, x, logits, y, generator=MemberGenerators(generators), **given)
            penalty = values.view(members, -1).mean(dim=1)
        for index, state in unused.items():
            generators[index].set_state(state)
        if any(applied):
            weights = torch.tensor([lambda_ * every for lambda_ in lambdas], dtype=torch.float64).to(penalty)
            weighted = torch.where(torch.tensor(applied, device=penalty.device), weights * penalty, 0.0)
            loss = mean_loss + weighted
    return StackedTerms(logits, loss, mean_loss, None if penalty is None else penalty.detach(), penalised)
