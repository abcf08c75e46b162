"""Marginal-density smoothing: penalise the input gradient of a classifier's log marginal density.

Yang, Akhtar, Shah, Mian, *Regulating Model Reliance on Non-Robust Features by Smoothing Input Marginal
Density*, ECCV 2024 (arXiv 2407.04370). A classifier with logits f(x) is read as an energy-based model,
p(x) = Σ_y exp f_y(x) / Z(θ), so log p(x) = logsumexp f(x) − log Z(θ), and the loss is

    CE(f(x), y) + λ · mean over the batch of ‖∇_x log p(x)‖_p^k.

This file needs torch and nothing else: copy it into your own project.

    x.requires_grad_(True)                        # before the forward: the penalty differentiates by x
    state = random_state(x.device)                # before the forward
    logits = model(x)
    with replay(state):
        penalty = marginal_density(model, x, logits, y)
    loss = F.cross_entropy(logits, y) + 0.1 * penalty.mean()
    loss.backward(inputs=list(model.parameters()))

The one requirement that is not obvious: **the logits must be computed from this very `x`, in [0, 1], with
`x.requires_grad` already set**, so the normalisation (mean, std) has to be a layer of the model, not part of the
data pipeline. The head must give free logits: after log_softmax log p(x) is 0 everywhere and the penalty with it.

`random_state` and `replay` matter only for the estimators other than `double_backward` on models with dropout: their
second forward must draw the same masks as the first. Without them such a model raises an error.

`backward(inputs=...)` saves the gradient by x, which is not needed. Costs in passes through the network, where a plain
training step is 3: double_backward 6, forward_mode 10 (8 with `replace_logits`), finite_difference 7, random_projection
6. Under autocast, or where TF32 is allowed, the last two repeat the first forward in float32 (finite_difference 10,
random_projection 9). Keep TF32 off during their backward too, which takes the difference of two gradients. On a GPU
torch's own second derivatives of convolutions cost several times these figures; `worker/training/double_backward.py`,
which also needs only torch, replaces them. `forward_mode` needs no second derivatives; alone among the estimators it
needs the package, since its code is in `worker/forward_mode.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

import torch

_ESTIMATORS = ("double_backward", "forward_mode", "finite_difference", "random_projection")


def marginal_density(
    model: torch.nn.Module,
    x: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    estimator: str = "double_backward",
    p_norm: str = "2",
    power: int = 2,
    h: float = 0.01,
    generator: torch.Generator | None = None,
    replace_logits: Callable[[torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Return ‖∇_x log p(x)‖_p^k of each sample, with log p(x) = logsumexp f(x) up to a constant.

    With s = log p and g = ∇s (METHOD: Yang et al. 2024; the two Taylor estimators are our definition):

    - double_backward: exact, by autograd through the gradient.
    - forward_mode: exact too, by the derivative of s along the constant direction ∂‖g‖_p^k/∂g; where batch norm mixes
      the samples, for the sum or mean of the penalties.
    - finite_difference: |(s(x + r d) − s(x)) / r|^k, d_i = sign(g_i)|g_i|^(p−1) / ‖g‖_p^(p−1) detached, the
      direction along which the p-norm of g is attained (for p = inf the first largest |g_j|), r = h / ‖d‖₂.
    - random_projection: ((s(x + h'v) − s(x)) / h')², v ~ N(0, I), h' = h / √D: unbiased for ‖g‖₂² as h → 0,
      relative standard deviation √2 per draw.

    The last two agree with the exact ones on smooth networks only (GELU, SiLU, softplus; average pooling). Under
    `torch.no_grad()` the values are the same and carry no graph. Batch norm uses the batch's statistics and does not
    update its running ones.

    Args:
        model: gives logits (N, K); normalisation is its first layer.
        x: (N, ...) images in [0, 1], the tensor that `logits` were computed from; requires grad unless the
            estimator is random_projection.
        logits: (N, K) model(x), with their graph; shared with the cross-entropy.
        y: (N,) labels; log p(x) does not depend on them.
        estimator: "double_backward", "forward_mode", "finite_difference" or "random_projection".
        p_norm: "1", "2", "inf" or another number of at least 1, such as "1.5", over all input features of one sample.
        power: 1 or 2.
        h: length of the Taylor step, an L2 displacement in [0, 1] pixel units, above 0.
        generator: draws v; only random_projection needs it.
        replace_logits: called by forward_mode with the logits (N, K) of its second forward. A cross-entropy that is
            taken from these shares the backward pass of the penalty.

    Returns:
        (N,) penalties in float32 (float64 for float64 models), not negative.

    Raises:
        ValueError: an argument is outside its range, random_projection has no generator or another norm than the
            squared 2-norm, the logits do not depend on x, or a Taylor estimator meets half-precision weights.
        RuntimeError: the model drew random numbers in an estimator's second forward outside `replay`.
    """
    _check(estimator, p_norm, power, h, generator)
    if estimator == "forward_mode":
        from densitylab.worker.forward_mode import shared_penalty  # here: this file works without the package

        return shared_penalty(
            model, x, logits, y, score=_log_density, p_norm=p_norm, power=power, replace_logits=replace_logits
        )
    if estimator == "double_backward":
        with torch.enable_grad():
            total = log_density(logits).sum()
        gradient = gradient_by_input(total, x, create_graph=torch.is_grad_enabled())
        return norm_per_sample(gradient, p_norm) ** power

    require_float32_weights(model, estimator)
    state = random_state(x.device)
    shared = computed_in_float32(x, logits)
    with full_precision(x.device), frozen_running_statistics(model):
        if not shared:
            x = x.detach().to(torch.promote_types(x.dtype, torch.float32)).requires_grad_(True)
        with torch.enable_grad():
            base = log_density(logits if shared else model(x))
        if not shared:
            set_random_state(state)  # so that the second forward draws the same masks
        if estimator == "finite_difference":
            with torch.enable_grad():
                total = base.sum()
            direction = _steepest(gradient_by_input(total, x, create_graph=False), p_norm)
            length = torch.linalg.vector_norm(direction.flatten(1), dim=1)
            flat = length == 0  # a zero gradient: no direction, penalty 0
            step = h / torch.where(flat, torch.ones_like(length), length)
        else:
            generator = require_generator(generator, estimator)
            direction = torch.randn(x.shape, generator=generator, device=generator.device, dtype=base.dtype)
            direction = direction.to(x.device)
            flat = torch.zeros(len(x), dtype=torch.bool, device=x.device)
            step = base.new_full((len(x),), h / x[0].numel() ** 0.5)
        shifted = log_density(model(x.detach() + step.view(-1, *[1] * (x.dim() - 1)) * direction))
    if shared:
        require_no_rng_use(state, estimator)
    slope = torch.where(flat, torch.zeros_like(base), shifted - base) / step
    return slope.abs() if power == 1 else slope.square()


def log_density(logits: torch.Tensor) -> torch.Tensor:
    """Return log p(x) up to a constant: logsumexp over classes, (N, K) to (N,), in float32 at least.

    The maximum is subtracted first, so logits of ±1e4 do not overflow; half precision is upcast before.
    """
    return torch.logsumexp(upcast(logits), dim=1)


def _log_density(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return log_density(logits)


def _check(estimator: str, p_norm: str, power: int, h: float, generator: torch.Generator | None) -> None:
    if estimator not in _ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(_ESTIMATORS)}, got {estimator!r}")
    check_norm(p_norm, power)
    if not 0 < h < float("inf"):
        raise ValueError(f"h must be a finite length above 0, got {h!r}")
    if estimator == "random_projection":
        if (p_norm, power) != ("2", 2):
            raise ValueError(
                f"random_projection estimates the squared 2-norm alone: p_norm must be '2' and power 2, "
                f"got p_norm {p_norm!r} and power {power!r}; use double_backward or finite_difference"
            )
        require_generator(generator, estimator)


def _steepest(gradient: torch.Tensor, p_norm: str) -> torch.Tensor:
    """Return the direction d of dual norm 1 with d·g = ‖g‖_p for each sample; 0 where g = 0."""
    flat, order = gradient.detach().flatten(1), order_of(p_norm)
    if order == float("inf"):
        first = flat.abs().argmax(dim=1, keepdim=True)
        direction = torch.zeros_like(flat).scatter(1, first, flat.gather(1, first).sign())
    else:
        norm = norm_per_sample(flat, p_norm).unsqueeze(1)
        unit = flat / torch.where(norm == 0, torch.ones_like(norm), norm)
        direction = unit.sign() * unit.abs() ** (order - 1)
    return direction.view_as(gradient)


# ---- From densitylab.worker.autograd: a test keeps both the same ----

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
