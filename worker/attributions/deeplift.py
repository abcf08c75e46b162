"""DeepLIFT with a black baseline."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Functions of each value alone, by the names that torch, torch.nn.functional and Tensor give them
ELEMENTWISE = frozenset(
    {
        "abs",
        "celu",
        "clamp",
        "clamp_max",
        "clamp_min",
        "elu",
        "erf",
        "exp",
        "gelu",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "leaky_relu",
        "log",
        "log1p",
        "log_sigmoid",
        "logsigmoid",
        "mish",
        "prelu",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "sqrt",
        "square",
        "tanh",
        "tanhshrink",
        "threshold",
    }
)
MAX_POOLING = {"max_pool1d": F.max_pool1d_with_indices, "max_pool2d": F.max_pool2d_with_indices}
NO_CHANGE = 1e-6  # of a value, below which its slope stands for the quotient of the changes
TOLERANCE = 0.01, 0.001  # of the change of the logit, and of the sum of the sizes of the contributions


def deeplift(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return the contributions to f_t(x) − f_t(0) by the rescale rule (Shrikumar, Greenside, Kundaje 2017).

    Image and baseline pass together. Going back, a non-linear function of one value multiplies by Δoutput / Δinput
    instead of its slope; a max pooling gives Δoutput to the larger of the two maxima. The rule is applied to calls of
    functions, not to modules, so a module may be used twice and a function needs no module. Contributions are zero on
    black pixels by construction.

    Args:
        model: a module that gives logits (N, K), sample by sample. It is evaluated in eval mode, in a copy.
        x: (N, C, H, W).
        target: (N,) class indices.

    Returns:
        Attributions shaped like x. Parameters' `.grad` and the train/eval mode stay as they are.

    Raises:
        ValueError: the contributions don't add up, since the model has other non-linear operations, such as attention.
    """
    network = copy.deepcopy(model).eval()
    with torch.enable_grad():
        inputs = x.detach().requires_grad_()
        with _RescaleRule():
            logits = network(torch.cat([inputs, torch.zeros_like(x)]))[: len(x)]
        (multipliers,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), inputs)
    contributions = multipliers * x.detach()
    with torch.no_grad():
        change = (network(x) - network(torch.zeros_like(x[:1]))).gather(1, target[:, None])[:, 0]
    by_image = contributions.flatten(1)
    allowed = TOLERANCE[0] * change.abs() + TOLERANCE[1] * by_image.abs().sum(1) + NO_CHANGE
    if ((by_image.sum(1) - change).abs() > allowed).any():
        raise ValueError(
            "DeepLIFT's rule is defined for activations of one value and for max pooling; this model has other "
            "non-linear operations, such as attention, group norm or products of features, so that the contributions "
            "do not add up to the change of the logit: choose another method, such as integrated gradients"
        )
    return contributions


class _RescaleRule(TorchFunctionMode):
    """Gives the non-linear functions that are called inside it the backward pass of the rescale rule."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        name = getattr(func, "__name__", "")
        if args and name.removesuffix("_") in ELEMENTWISE:
            result = _Elementwise.apply(args[0].clone(), lambda values: func(values.clone(), *args[1:], **options))
            in_place = name.endswith("_") or any(value is True for value in (*args[1:], *options.values()))
            return args[0].copy_(result) if in_place else result
        if args and name in MAX_POOLING:
            return _MaxPooling.apply(args[0].clone(), lambda values: MAX_POOLING[name](values, *args[1:], **options))
        return func(*args, **options)


class _Elementwise(torch.autograd.Function):
    """Δoutput / Δinput of the image, the first half of the batch, against the baseline, the second half."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.function = function
        return function(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        with torch.enable_grad():
            inputs = ctx.saved_tensors[0].detach().requires_grad_()
            outputs = ctx.function(inputs)
            (slopes,) = torch.autograd.grad(outputs.sum(), inputs)
        before, after = _change(inputs.detach()), _change(outputs.detach())
        slope = slopes.chunk(2)[0]
        multiplier = torch.where(before.abs() > NO_CHANGE, after / before, slope)
        return _of_image(gradients[0].chunk(2)[0] * multiplier), None


class _MaxPooling(torch.autograd.Function):
    """Δoutput / Δinput of the position of the larger maximum: that of the image or that of the baseline."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.function = function
        return function(inputs)[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        inputs = ctx.saved_tensors[0]
        outputs, positions = ctx.function(inputs)
        after = _change(outputs).flatten(2)
        of_image, of_baseline = positions.flatten(2).chunk(2)
        position = torch.where(after >= 0, of_image, of_baseline)
        before = _change(inputs).flatten(2).gather(2, position)
        multiplier = torch.where(before.abs() > NO_CHANGE, after / before, 1.0)
        image = inputs.chunk(2)[0]
        given = torch.zeros_like(image).flatten(2)
        given.scatter_add_(2, position, gradients[0].chunk(2)[0].flatten(2) * multiplier)
        return _of_image(given.view_as(image)), None


def _change(pair: Tensor) -> Tensor:
    image, baseline = pair.chunk(2)
    return image - baseline


def _of_image(gradient: Tensor) -> Tensor:
    """The gradient of the whole batch, zero for the baseline, whose logits are not differentiated."""
    return torch.cat([gradient, torch.zeros_like(gradient)])
