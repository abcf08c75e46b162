"""SGD, Adam and AdamW on the weights of all members of a stack, each with its own rate and weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch

from densitylab.worker.training.stacked.model import flat

_MOMENTS = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: ("exp_avg", "exp_avg_sq"),
    torch.optim.AdamW: ("exp_avg", "exp_avg_sq"),
}
_LEFT_OUT = ("nesterov", "dampening", "amsgrad", "maximize")


def can_stack(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a stack computes the optimizer's updates: SGD, Adam or AdamW, with one group of all weights."""
    group, *others = optimizer.param_groups
    decoupled = type(optimizer) is torch.optim.Adam and group.get("decoupled_weight_decay")
    return type(optimizer) in _MOMENTS and not (others or decoupled or any(group.get(name) for name in _LEFT_OUT))


class StackedOptimizer:
    """The members' optimizers as one: the updates of torch.optim, with torch's order of operations.

    Args:
        weights: (M, P), changed in place by `step`.
        optimizers: of the members, of one kind that `can_stack`, whose rate and weight decay are read at each
            step. They keep their state until `write_to`.
    """

    def __init__(self, weights: torch.Tensor, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._optimizers = list(optimizers)
        self._kind = type(optimizers[0])
        self._group = group = optimizers[0].param_groups[0]
        states = [[each.state.get(parameter, {}) for parameter in _parameters(each)] for each in optimizers]
        kept = () if self._kind is torch.optim.SGD and not group["momentum"] else _MOMENTS[self._kind]
        self._moments = {name: torch.zeros_like(weights) for name in kept}
        for name, moment in self._moments.items():
            for row, own in zip(moment, states, strict=True):
                if own[0].get(name) is not None:
                    row.copy_(flat(each[name] for each in own))
        self._steps = int(states[0][0].get("step", 0))

    @torch.no_grad()
    def step(self, weights: torch.Tensor, gradient: torch.Tensor) -> None:
        """Update `weights` (M, P) by the gradient (M, P) of the sum of all losses."""
        rate, decay = self._column("lr", weights), self._column("weight_decay", weights)
        if self._kind is torch.optim.AdamW:
            weights.mul_(1 - rate * decay)
        elif any(each.param_groups[0]["weight_decay"] for each in self._optimizers):
            gradient = gradient + decay * weights
        if self._kind is torch.optim.SGD:
            if momentum := self._group["momentum"]:
                gradient = self._moments["momentum_buffer"].mul_(momentum).add_(gradient)
            weights.sub_(rate * gradient)
            return
        self._steps += 1
        (beta, beta_sq), eps = self._group["betas"], self._group["eps"]
        mean = self._moments["exp_avg"].lerp_(gradient, 1 - beta)
        square = self._moments["exp_avg_sq"].mul_(beta_sq).addcmul_(gradient, gradient, value=1 - beta_sq)
        size = square.sqrt().div_(sqrt(1 - beta_sq**self._steps)).add_(eps)
        weights.sub_(rate / (1 - beta**self._steps) * (mean / size))

    def write_to(self, optimizer: torch.optim.Optimizer, member: int) -> None:
        """Give a member's optimizer its state."""
        parameters = _parameters(optimizer)
        sizes = [parameter.numel() for parameter in parameters]
        for name, moment in self._moments.items():
            for parameter, part in zip(parameters, moment[member].split(sizes), strict=True):
                optimizer.state[parameter][name] = part.view_as(parameter).clone()
        if self._steps:
            for parameter in parameters:
                optimizer.state[parameter]["step"] = torch.tensor(float(self._steps))

    def keep(self, members: Sequence[int]) -> None:
        """Drop all members but these."""
        self._optimizers = [self._optimizers[member] for member in members]
        self._moments = {name: moment[list(members)] for name, moment in self._moments.items()}

    def _column(self, name: str, weights: torch.Tensor) -> torch.Tensor:
        values = [each.param_groups[0][name] for each in self._optimizers]
        return torch.tensor(values, dtype=torch.float64).to(weights.device, weights.dtype).unsqueeze(1)


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return list(optimizer.param_groups[0]["params"])
