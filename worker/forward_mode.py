"""Penalties on an input gradient by forward mode: exact, without the derivative of a derivative.

The gradient of ‖g‖_p^k by the weights, g = ∇_x s, is that of v·g with v = ∂‖g‖_p^k/∂g = k ‖g‖^(k−1) d held constant,
d the direction of dual norm 1 along which the norm is attained. v·g is the derivative of s along v, which forward mode
computes beside a forward pass, and an ordinary backward pass through both gives the gradient. Unlike double backward
this needs no second derivatives of kernels and runs under `torch.compile`, at the cost of 8 passes in place of 6.

torch (2.15) takes the mean and the variance of batch, layer and instance norm for constants when it differentiates
their tangents, and the gradients are silently wrong. So the pass with a tangent computes normalisations from their
definition, and GLU, whose tangent torch cannot differentiate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from densitylab.worker.autograd import (
    frozen_running_statistics,
    gradient_by_input,
    norm_per_sample,
    random_state,
    require_no_rng_use,
    upcast,
)

Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (logits, y) -> (N,)


def shared_penalty(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    score: Score,
    p_norm: str,
    power: int,
    replace_logits: Callable[[torch.Tensor], None] | None,
) -> torch.Tensor:
    """Return the penalties of `forward_mode_penalty`, and hand the logits of its second forward to `replace_logits`.

    Raises:
        RuntimeError: the model drew random numbers in the second forward outside `replay`.
    """
    state = random_state(x.device)
    penalties, logits = forward_mode_penalty(model, x, logits, y, score=score, p_norm=p_norm, power=power)
    require_no_rng_use(state, "forward_mode")
    if replace_logits is not None:
        replace_logits(logits)
    return penalties


def forward_mode_penalty(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    score: Score,
    p_norm: str,
    power: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ‖∇_x score‖_p^k of each sample, and the logits of a second forward pass, the one with a tangent.

    A loss of both needs one backward pass through that second forward pass, and none through the first. Running
    statistics of batch norm are not updated. Dropout must draw the masks of the first pass: see `replay`.

    Where batch norm mixes the samples, the gradient is exact for the sum or mean of the penalties, not for single ones.

    Args:
        model: gives logits (N, K); a compiled one has this pass compiled too.
        x: (N, ...) images that require grad.
        logits: (N, K) model(x), with their graph.
        y: (N,) labels.
        score: (logits, y) -> (N,); the same function at every step, since a compiled pass is found again by it.
        p_norm: see `check_norm`.
        power: 1 or 2.

    Returns:
        (N,) penalties with a graph by the weights alone, and logits (N, K) with one by weights and x. Under
        `torch.no_grad()` the penalties have none, and the logits are the given ones.
    """
    with torch.enable_grad():
        total = score(logits, y).sum()
        gradient = gradient_by_input(total, x, create_graph=False).requires_grad_(True)
        penalties = norm_per_sample(gradient, p_norm) ** power
        (direction,) = torch.autograd.grad(penalties.sum(), gradient)
    penalties = penalties.detach()
    if not torch.is_grad_enabled():
        return penalties, logits
    largest = direction.abs().amax()
    size = torch.where(largest == 0, torch.ones_like(largest), largest)  # small tangents are 0 in half precision
    compiled = getattr(model, "dynamo_ctx", None)
    derivative = _derivative_along if compiled is None else compiled(_derivative_along)
    with frozen_running_statistics(model):
        slopes, logits = derivative(getattr(model, "_orig_mod", model), score, x, y, direction / size)
    slopes = upcast(size) * slopes
    return penalties + (slopes - slopes.detach()), logits


def _derivative_along(
    model: torch.nn.Module,
    score: Score,
    x: torch.Tensor,
    y: torch.Tensor,
    direction: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the derivatives (N,) of the score along `direction`, and the logits."""

    def scores(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(images)
        return score(logits, y), logits

    with _Tangents(), sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward mode
        parts: Any = torch.func.jvp(scores, (x,), (direction,), has_aux=True)
    _, slopes, logits = parts
    return slopes, logits


class _Tangents(TorchFunctionMode):
    """Compute normalisations and GLU from their definitions, also group norm, whose own tangent does not
    compile; and linear maps without the product with the weights' tangent, which is 0 and which torch computes (10
    passes, not 8)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _LINEAR:
            return _linear(func, *args, **(kwargs or {}))
        return _COMPOSED.get(func, func)(*args, **(kwargs or {}))


# Arguments have torch's names, since models may give them by name


def _linear(
    func: Callable[..., torch.Tensor],
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: Any = None,
    *rest: Any,
    **named: Any,
) -> torch.Tensor:
    primal, tangent = forward_ad.unpack_dual(input)
    weights = [each for each in (weight, bias) if each is not None]
    if tangent is None or any(forward_ad.unpack_dual(each).tangent is not None for each in weights):
        return func(input, weight, bias, *rest, **named)
    value = func(primal, weight, bias, *rest, **named)
    return forward_ad.make_dual(value, func(tangent, weight, None, *rest, **named))


def _standardised(x: torch.Tensor, dim: list[int], eps: float) -> torch.Tensor:
    variance, mean = torch.var_mean(x, dim=dim, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + eps)


def _scaled(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, channels: bool) -> torch.Tensor:
    shape = (-1, *[1] * (x.dim() - 2))
    if weight is not None:
        x = x * (weight.view(shape) if channels else weight)
    return x if bias is None else x + (bias.view(shape) if channels else bias)


def _batch_norm(
    input: torch.Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor:
    wide = upcast(input)
    if training:
        wide = _standardised(wide, [0, *range(2, input.dim())], eps)
    else:
        wide = _scaled(_scaled(wide, None, -running_mean, True), torch.rsqrt(running_var + eps), None, True)
    return _scaled(wide, weight, bias, True).to(input.dtype)


def _instance_norm(
    input: torch.Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor:
    if use_input_stats:
        return _group_norm(input, input.shape[1], weight, bias, eps)
    return _batch_norm(input, running_mean, running_var, weight, bias, eps=eps)


def _group_norm(
    input: torch.Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> torch.Tensor:
    wide = upcast(input).unflatten(1, (num_groups, -1))
    wide = _standardised(wide, list(range(2, wide.dim())), eps).flatten(1, 2)
    return _scaled(wide, weight, bias, True).to(input.dtype)


def _layer_norm(
    input: torch.Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> torch.Tensor:
    wide = _standardised(upcast(input), list(range(-len(normalized_shape), 0)), eps)
    return _scaled(wide, weight, bias, False).to(input.dtype)


def _weights_first(norm: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return the function with the order of arguments that `torch` has, where `torch.nn.functional` has another."""

    def ordered(
        input: torch.Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, *rest: Any
    ) -> torch.Tensor:
        return norm(input, running_mean, running_var, weight, bias, *rest[:-1])  # the last: whether to use cuDNN

    return ordered


def _glu(input: torch.Tensor, dim: int = -1) -> torch.Tensor:
    value, gate = input.chunk(2, dim)
    return value * torch.sigmoid(gate)


_LINEAR = (F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_COMPOSED: dict[Any, Callable[..., torch.Tensor]] = {
    F.batch_norm: _batch_norm,
    F.instance_norm: _instance_norm,
    F.group_norm: _group_norm,
    F.layer_norm: _layer_norm,
    torch.batch_norm: _weights_first(_batch_norm),
    torch.instance_norm: _weights_first(_instance_norm),
    torch.group_norm: _group_norm,
    torch.layer_norm: _layer_norm,
    F.glu: _glu,
}
