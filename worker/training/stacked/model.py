"""Networks of one architecture with weights of their own, computed as one."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch.func import functional_call, vmap


class StackedModel(torch.nn.Module):
    """Images (M·N, ...), those of each of M members in turn -> logits (M·N, K), each member's by its own weights.

    To whoever calls it this is one network, in which the samples of different members do not mix. The weights are one
    matrix, so that an optimizer needs as many operations for all members as for one.

    Args:
        models: of one architecture, without dropout, whose parameters all train; they are copied.
    """

    def __init__(self, models: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        parameters = dict(models[0].named_parameters())
        self._shapes = {name: parameter.shape for name, parameter in parameters.items()}
        self._sizes = [parameter.numel() for parameter in parameters.values()]
        self.weights = torch.nn.Parameter(torch.stack([flat(model.parameters()) for model in models]))  # (M, P)
        buffers = [dict(model.named_buffers()) for model in models]
        self._stacked_buffers = {name: torch.stack([each[name] for each in buffers]) for name in buffers[0]}
        # its layers and their modes are those of all members, its weights are not used
        self.architecture = copy.deepcopy(models[0]).to("meta").requires_grad_(False)

    def __len__(self) -> int:
        return len(self.weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        parts = self.weights.split(self._sizes, dim=1)
        parameters = {
            name: part.view(len(self), *shape) for part, (name, shape) in zip(parts, self._shapes.items(), strict=True)
        }
        images = x.unflatten(0, (len(self), -1))
        logits: torch.Tensor = vmap(self._of_one)(parameters, self._stacked_buffers, images)
        return logits.flatten(0, 1)

    def _of_one(
        self, parameters: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor], x: torch.Tensor
    ) -> torch.Tensor:
        logits: torch.Tensor = functional_call(self.architecture, (parameters, buffers), (x,))
        return logits

    @torch.no_grad()
    def write_to(self, model: torch.nn.Module, member: int) -> None:
        """Copy a member's weights and buffers, such as the running statistics of batch norms, into `model`."""
        for parameter, part in zip(model.parameters(), self.weights[member].split(self._sizes), strict=True):
            parameter.copy_(part.view_as(parameter))
        for name, buffer in model.named_buffers():
            buffer.copy_(self._stacked_buffers[name][member])

    def keep(self, members: Sequence[int]) -> None:
        """Drop all members but these."""
        self.weights = torch.nn.Parameter(self.weights.detach()[list(members)])
        self._stacked_buffers = {name: each[list(members)] for name, each in self._stacked_buffers.items()}


def flat(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the elements of all tensors in one (P,)."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
