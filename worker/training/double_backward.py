"""Fast second derivatives of convolutions and batch norms.

    with fast_double_backward(device): ...

A penalty on an input gradient needs that gradient's derivatives. torch (2.11 to 2.15) computes them in ways that are
slow on a GPU: those of a convolution by its weights as a convolution with a kernel as large as the image, those of a
batch norm as about thirty separate operations. On an H100 a step with the exact penalty took as long as seven plain
steps, and as two to three with the forms below, which use the operations of a plain step (docs/steps.md).

A convolution y = x * w is linear in x and in w. With `convolution_backward(g, x, w)` = (g ⋆ w, x ⋆ g), the derivatives
of this along (a, b) are by the product rule

    by g: a * w + x * b,    by x: g ⋆ b,    by w: a ⋆ g,    and the last two are `convolution_backward(g, a, b)`.

A batch norm y = γ x̂ + β, x̂ = (x − μ) r, has per channel the gradient γ r (g − ḡ − q x̂) by x, with the bars for means
and q the mean of g x̂. Along a it is γ r S, S = Σ a g − n ā ḡ − n p q, p the mean of a x̂, whose derivatives are

    by g: γ r (a − ā − p x̂), which is the batch norm's gradient again,    by γ: r S,
    by x: −γ r² (q a + p g + (S/n − 2 p q) x̂ − q ā − p ḡ),    with dr/dx = −r² x̂ / n.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.library import Library

_aten = torch.ops.aten
_Tensors = tuple[torch.Tensor | None, ...]


@contextmanager
def fast_double_backward(device: torch.device) -> Iterator[None]:
    """Differentiate gradients of convolutions and batch norms on this kind of device as above, inside the block.

    Values equal torch's up to rounding.
    """
    library = Library("aten", "IMPL")
    key = f"Autograd{device.type.upper()}"
    library.impl("convolution_backward", _convolution_backward, key)
    library.impl("native_batch_norm_backward", _batch_norm_backward, key)
    try:
        yield
    finally:
        library._destroy()


# ---- convolution ----


def _convolution_backward(
    g: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias_sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    output_mask: list[bool],
) -> _Tensors:
    geometry = stride, padding, dilation, transposed, output_padding, groups
    if torch.is_grad_enabled():
        return _OfConvolution.apply(g, x, weight, bias_sizes, geometry, output_mask)
    with torch._C._AutoDispatchBelowAutograd():
        return _aten.convolution_backward(g, x, weight, bias_sizes, *geometry, output_mask)


class _OfConvolution(torch.autograd.Function):
    """Gradients by the input, the weights and the bias, each if `output_mask` says so."""

    @staticmethod
    def forward(
        g: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias_sizes: Any, geometry: Any, output_mask: list[bool]
    ) -> _Tensors:
        return _aten.convolution_backward(g, x, weight, bias_sizes, *geometry, output_mask)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: _Tensors) -> None:
        g, x, weight, _, ctx.geometry, _ = inputs
        ctx.save_for_backward(g, x, weight)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, a: torch.Tensor | None, b: torch.Tensor | None, c: torch.Tensor | None
    ) -> _Tensors:
        g, x, weight = ctx.saved_tensors
        parts = []
        if ctx.needs_input_grad[0]:
            parts += [] if a is None else [_aten.convolution(a, weight, None, *ctx.geometry)]
            parts += [] if b is None else [_aten.convolution(x, b, None, *ctx.geometry)]
            parts += [] if c is None else [_along_channels(c, g).expand_as(g)]
        by_x = by_weight = None
        output_mask = [b is not None and ctx.needs_input_grad[1], a is not None and ctx.needs_input_grad[2], False]
        if any(output_mask):
            a, b = x if a is None else a, weight if b is None else b  # only their shapes are used
            by_x, by_weight, _ = _aten.convolution_backward(g, a, b, None, *ctx.geometry, output_mask)
        return _sum(parts, g), by_x, by_weight, None, None, None


# ---- batch norm ----


def _batch_norm_backward(
    g: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor | None,
    running_mean: Any,
    running_var: Any,
    mean: torch.Tensor | None,
    scale: torch.Tensor | None,
    train: bool,
    eps: float,
    output_mask: list[bool],
) -> _Tensors:
    rest = running_mean, running_var, mean, scale, train, eps
    if torch.is_grad_enabled():
        return _OfBatchNorm.apply(g, x, weight, rest)
    with torch._C._AutoDispatchBelowAutograd():
        return _aten.native_batch_norm_backward(g, x, weight, *rest, output_mask)


class _OfBatchNorm(torch.autograd.Function):
    """Gradients by the input, γ and β."""

    @staticmethod
    def forward(g: torch.Tensor, x: torch.Tensor, weight: torch.Tensor | None, rest: Any) -> _Tensors:
        # `backward` needs the gradients by γ and β, which cost little besides that by the input
        return _aten.native_batch_norm_backward(g, x, weight, *rest, [True, True, True])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: _Tensors) -> None:
        g, x, weight, rest = inputs
        ctx.rest, ctx.sums = rest, tuple(each.detach() for each in output[1:] if each is not None)
        ctx.save_for_backward(g, x, weight)
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable  # the sums are stored without a graph, so a third derivative raises an error
    def backward(ctx: Any, a: torch.Tensor | None, b: torch.Tensor | None, c: torch.Tensor | None) -> _Tensors:
        g, x, weight = ctx.saved_tensors
        running_mean, running_var, mean, scale, train, eps = ctx.rest
        if not train:
            mean, scale = running_mean, torch.rsqrt(running_var + eps)
        by_g: list[torch.Tensor] = []
        by_x: list[torch.Tensor] = []
        by_weight = None
        if a is not None:
            along, sum_a_normed, sum_a = _aten.native_batch_norm_backward(a, x, weight, *ctx.rest, [True, True, True])
            by_g.append(along)
            wide = a.to(torch.promote_types(a.dtype, torch.float32))
            spread = (wide * g).sum(dim=[each for each in range(x.dim()) if each != 1])
            if train:
                n = x.numel() // x.shape[1]
                sum_g_normed, sum_g = ctx.sums
                p, q, mean_a, mean_g = sum_a_normed / n, sum_g_normed / n, sum_a / n, sum_g / n
                spread = spread - n * (mean_a * mean_g + p * q)
                factor = -scale.square() if weight is None else -scale.square() * weight
                by_normed = factor * (spread / n - 2 * p * q) * scale
                constant = -factor * (q * mean_a + p * mean_g) - by_normed * mean
                gradient = torch.addcmul(_along_channels(constant, x), a, _along_channels(factor * q, x))
                gradient = torch.addcmul(gradient, g, _along_channels(factor * p, x))
                by_x.append(torch.addcmul(gradient, x, _along_channels(by_normed, x)))
            by_weight = scale * spread
        if b is not None:  # the gradient by γ is Σ g x̂, its gradient by x that of a batch norm with γ = b
            by_g.append((x - _along_channels(mean, x)) * _along_channels(scale * b, x))
            by_x.append(_aten.native_batch_norm_backward(g, x, b, *ctx.rest, [True, False, False])[0])
        if c is not None:
            by_g.append(_along_channels(c, x).expand_as(g))
        return _sum(by_g, g), _sum(by_x, x), None if weight is None else by_weight, None


def _along_channels(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.view(-1, *[1] * (like.dim() - 2))


def _sum(parts: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor | None:
    return sum(parts[1:], start=parts[0]).to(like.dtype) if parts else None
