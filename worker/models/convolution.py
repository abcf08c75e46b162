"""A convolution whose gradients are differentiated again at the speed of the convolution itself.

    Conv2d(...)    torch.nn.Conv2d, with the same weights and figures
    convolution(x, weight, stride, padding, dilation, groups) -> (N, C, h, w)

A penalty on an input gradient needs the derivative of that gradient by the weights. torch writes it as a convolution
whose kernel is as large as the image, for which cuDNN has no fast way (benchmarks/steps.py). But a convolution is
linear in its input and in its weights, so its derivatives of any order are made of three operations, the three that a
plain training step is made of: with y = x * w,

    by the input: g ⋆ w, by the weights: x ⋆ g,

and the derivative of these two along (a, b) is, by the product rule, (a * w) + (x * b) for g, (g ⋆ b) for x and
(a ⋆ g) for w.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable  # noqa: F401

Geometry = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]  # stride, padding, dilation, groups


class Conv2d(nn.Conv2d):
    """As its parent, by `convolution`."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if self.padding_mode != "zeros" or isinstance(self.padding, str) or torch.compiler.is_compiling():
            return super()._conv_forward(input, weight, bias)
        if torch.is_autocast_enabled(input.device.type):
            half = torch.get_autocast_dtype(input.device.type)
            input, weight = input.to(half), weight.to(half)
        out = convolution(input, weight, self.stride, self.padding, self.dilation, self.groups)
        return out if bias is None else out + bias.to(out.dtype).view(-1, 1, 1)


def convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, ...] = (1, 1),
    padding: tuple[int, ...] = (0, 0),
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
) -> torch.Tensor:
    """x (N, C, H, W) * weight (K, C / groups, h, w), as `torch.nn.functional.conv2d`."""
    return _Convolution.apply(x, weight, (stride, padding, dilation, groups))


class _Convolution(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, weight: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        stride, padding, dilation, groups = geometry
        return torch.ops.aten.convolution(x, weight, None, stride, padding, dilation, False, (0, 0), groups)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        x, weight, ctx.geometry = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[Any, ...]:
        print("needs", ctx.needs_input_grad)
        return *_Gradients.apply(g, *ctx.saved_tensors, ctx.geometry, ctx.needs_input_grad[:2]), None


class _Gradients(torch.autograd.Function):
    """(g ⋆ w, x ⋆ g), of which `wanted` says what is wanted."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        g: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, geometry: Geometry, wanted: tuple[bool, bool]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        stride, padding, dilation, groups = geometry
        by_input, by_weight, _ = torch.ops.aten.convolution_backward(
            g, x, weight, None, stride, padding, dilation, False, (0, 0), groups, (*wanted, False)
        )
        return by_input, by_weight

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        g, x, weight, ctx.geometry, _ = inputs
        ctx.save_for_backward(g, x, weight)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, a: torch.Tensor | None, b: torch.Tensor | None) -> tuple[Any, ...]:
        g, x, weight = ctx.saved_tensors
        by_g = None
        if ctx.needs_input_grad[0]:
            parts = [] if a is None else [_Convolution.apply(a, weight, ctx.geometry)]
            parts += [] if b is None else [_Convolution.apply(x, b, ctx.geometry)]
            by_g = sum(parts[1:], start=parts[0]) if parts else None
        wanted = (b is not None and ctx.needs_input_grad[1], a is not None and ctx.needs_input_grad[2])
        others = (None, None)
        if any(wanted):
            others = _Gradients.apply(g, x if a is None else a, weight if b is None else b, ctx.geometry, wanted)
        return by_g, *others, None, None
