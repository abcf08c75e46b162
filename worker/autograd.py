"""Gradients by the input, and random numbers that are drawn once and replayed: for penalties and the training loop.

`regularizers/marginal_density.py` contains the same code, because people copy that file alone into other projects. A
test keeps both the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

import torch

RandomState = tuple[tuple[torch.device, torch.Tensor], ...]

_HALF = (torch.float16, torch.bfloat16)
_HEADROOM = 2.0**7  # gradients are scaled up by this in float16, whose smallest number is 6e-8
_REPLAY: ContextVar[bool] = ContextVar("replay of torch's random numbers", default=False)


def upcast(values: torch.Tensor) -> torch.Tensor:
    """Return half precision as float32, and float32 and float64 unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def random_state(device: torch.device) -> RandomState:
    """Return the states of the global generators that a forward on `device` draws from."""
    states = [(torch.device("cpu"), torch.get_rng_state())]
    if device.type == "cuda":
        states.append((device, torch.cuda.get_rng_state(device)))
    return tuple(states)


def set_random_state(state: RandomState) -> None:
    """Set the global generators to `state`."""
    for device, value in state:
        if device.type == "cuda":
            torch.cuda.set_rng_state(value, device)
        else:
            torch.set_rng_state(value)


@contextmanager
def replay(state: RandomState) -> Iterator[None]:
    """Set the global generators to `state` inside the block, and back to their former state after it."""
    before = random_state(state[-1][0])
    token = _REPLAY.set(True)
    set_random_state(state)
    try:
        yield
    finally:
        _REPLAY.reset(token)
        set_random_state(before)


def require_no_rng_use(state: RandomState, name: str) -> None:
    """Raise an error if a second forward drew other dropout masks than the first one.

    Args:
        state: `random_state` just before the second forward.
        name: of the penalty, for the message.

    Raises:
        RuntimeError: the global generators have moved on from `state`, and no `replay` is active.
    """
    # by name: a copy of this code in another file has a context variable of its own
    if any(variable.name == _REPLAY.name and active for variable, active in copy_context().items()):
        return
    now = random_state(state[-1][0])
    if not all(torch.equal(old, new) for (_, old), (_, new) in zip(state, now, strict=True)):
        raise RuntimeError(
            f"{name} needs the random numbers (dropout masks) of the forward that gave the logits, and the model "
            "drew new ones: take state = random_state(x.device) before that forward and call the penalty inside "
            "`with replay(state):`"
        )


def require_generator(generator: torch.Generator | None, name: str) -> torch.Generator:
    """Return the generator. Raises ValueError if there is none."""
    if generator is None:
        # the global generator would not do: inside `replay` it starts from the same state at every step
        raise ValueError(f"{name} draws noise: pass generator=torch.Generator().manual_seed(...)")
    return generator


def order_of(p_norm: str) -> float:
    """Return p as a number. Raises ValueError unless it is "inf" or a number of at least 1."""
    try:
        order = float(p_norm)
    except ValueError:
        order = 0.0
    if not order >= 1:
        raise ValueError(f"p_norm must be 'inf' or a number of at least 1, such as '2', got {p_norm!r}")
    return order


def check_norm(p_norm: str, power: int) -> None:
    """Raise ValueError unless p_norm is "inf" or a number of at least 1, and power 1 or 2."""
    order_of(p_norm)
    if power not in (1, 2):
        raise ValueError(f"power must be 1 or 2, got {power!r}")


def require_float32_weights(model: torch.nn.Module, name: str) -> None:
    """Raise ValueError if weights are float16 or bfloat16, where a small difference is rounding noise."""
    if any(parameter.dtype in _HALF for parameter in model.parameters()):
        raise ValueError(
            f"{name} needs float32 weights, since in half precision its difference is rounding noise: "
            "keep the weights in float32 and use autocast, or use a penalty by double backward"
        )


def gradient_by_input(total: torch.Tensor, x: torch.Tensor, *, create_graph: bool) -> torch.Tensor:
    """Return ∂total/∂x, shaped like x; the graph of `total` is kept.

    Under float16 autocast the gradient is computed at 128 times its size and then divided, so that small values do
    not underflow; the loss scaling of GradScaler does not apply here.

    Raises:
        ValueError: total does not depend on x.
    """
    gradient = None
    if x.requires_grad and total.requires_grad:
        in_float16 = (
            torch.is_autocast_enabled(x.device.type) and torch.get_autocast_dtype(x.device.type) == torch.float16
        )
        (gradient,) = torch.autograd.grad(
            total,
            x,
            torch.full_like(total, _HEADROOM if in_float16 else 1.0),
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
        )
        if in_float16 and gradient is not None:
            gradient = gradient / _HEADROOM
    if gradient is None:
        raise ValueError(
            "the logits do not depend on x: call x.requires_grad_(True) first, then compute logits = model(x) "
            "from that same tensor with gradients enabled"
        )
    return gradient


def norm_per_sample(gradient: torch.Tensor, p_norm: str) -> torch.Tensor:
    """Return the (N,) p-norms over all features, in float32 at least; their derivative at a zero gradient is 0."""
    flat, order = upcast(gradient.flatten(1)), order_of(p_norm)
    # vector_norm has a finite derivative at 0, where a written-out square root has none
    if order in (1, 2, float("inf")):
        return torch.linalg.vector_norm(flat, ord=order, dim=1)
    scale = flat.detach().abs().amax(dim=1, keepdim=True)  # small values to a high power would be 0
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return torch.linalg.vector_norm(flat / scale, ord=order, dim=1) * scale.squeeze(1)


def fp32_backends() -> tuple[Any, Any]:
    """Return torch's settings of float32 on a GPU, of matrix products and of convolutions."""
    backends: Any = torch.backends
    return backends.cuda.matmul, backends.cudnn.conv


def computed_in_float32(x: torch.Tensor, logits: torch.Tensor) -> bool:
    """Return whether the logits were computed in float32 or float64: no autocast, TF32 or half precision."""
    if torch.is_autocast_enabled(x.device.type) or x.dtype in _HALF or logits.dtype in _HALF:
        return False
    matmul, conv = (backend.fp32_precision for backend in fp32_backends())
    return x.device.type != "cuda" or "tf32" not in (matmul, conv)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turn autocast and TF32 off inside the block."""
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            for backend in fp32_backends():
                stack.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
                backend.fp32_precision = "ieee"
        yield


@contextmanager
def frozen_running_statistics(model: torch.nn.Module) -> Iterator[None]:
    """Let batch norm in training mode use the batch's statistics without updating its running ones."""
    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) and layer.training and layer.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
