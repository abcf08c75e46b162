"""Random numbers of stacked runs: each member draws from its own generator, as it would alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode


class MemberGenerators(torch.Generator):
    """Stands for the generators of all members: inside `Drawing`, random numbers (M·N, ...) are drawn from it as
    (N, ...) from each in turn.

    Args:
        members: generators of one device.
    """

    def __new__(cls, members: Sequence[torch.Generator]) -> Self:
        return super().__new__(cls, members[0].device)  # type: ignore[call-arg]

    def __init__(self, members: Sequence[torch.Generator]) -> None:
        self.members = members


class Drawing(TorchFunctionMode):
    """Draw from `MemberGenerators` inside the block. Raises NotImplementedError for draws other than torch.rand and
    torch.randn."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if not isinstance(generator, MemberGenerators):
            return func(*args, **kwargs)
        if func not in (torch.rand, torch.randn):
            raise NotImplementedError(f"{func} can't be drawn for runs that train together")
        rows, *rest = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        shape = (rows // len(generator.members), *rest)
        return torch.cat([func(shape, **{**kwargs, "generator": own}) for own in generator.members])
