"""AutoAttack, by the Adversarial Robustness Toolbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worker.attacks.pgd import box
from worker.attacks.square import square

SQUARE_QUERIES = 5000


def autoattack(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x′ within L∞ epsilon of x by AutoAttack (Croce, Hein, ICML 2020), as the Adversarial Robustness Toolbox has it.

    Its parts: APGD on cross-entropy and on the difference of logits ratio and DeepFool, and Square of ours, since the
    toolbox's fails on images whose sides differ.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) floats in [0, 1].
        y: (N,) the labels, to be left.
        epsilon: largest change of a pixel, on the [0, 1] scale; 0 returns x.
        generator: seeds the toolbox, which draws from numpy's global generator; that is left as it was.

    Returns:
        x_adv, shaped like x; what rounding carried out of the ball is brought back.

    Raises:
        RuntimeError: the package adversarial-robustness-toolbox is not installed.
    """
    try:
        from art.attacks.evasion import AutoAttack, AutoProjectedGradientDescent, DeepFool
        from art.estimators.classification import PyTorchClassifier
    except ImportError:
        raise RuntimeError(
            "AutoAttack needs the package adversarial-robustness-toolbox where the workers run: pip install "
            "'densitylab[autoattack]' there, or choose another attack"
        ) from None
    if epsilon == 0 or len(x) == 0:
        return x.detach().clone()
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    wrapped = PyTorchClassifier(
        _Module(model), nn.CrossEntropyLoss(), input_shape=tuple(x.shape[1:]), nb_classes=classes,
        clip_values=(0.0, 1.0), device_type="gpu" if x.is_cuda else "cpu",
    )
    seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device if generator else None))
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        parts = [
            *(AutoProjectedGradientDescent(wrapped, norm=np.inf, eps=epsilon, eps_step=epsilon / 4, max_iter=100,
                                           nb_random_init=5, batch_size=len(x), loss_type=loss, verbose=False)
              for loss in ("cross_entropy", "difference_logits_ratio")),
            DeepFool(wrapped, max_iter=100, epsilon=1e-3, batch_size=len(x), verbose=False),
        ]
        attack = AutoAttack(wrapped, norm=np.inf, eps=epsilon, eps_step=epsilon / 4, attacks=parts, batch_size=len(x))
        found = attack.generate(x.detach().cpu().numpy().astype(np.float32), y.cpu().numpy())
    finally:
        np.random.set_state(state)
    x_adv = torch.from_numpy(found).to(x.device, x.dtype)
    low, high = box(x, epsilon)
    x_adv = torch.minimum(torch.maximum(x_adv, low), high)
    with torch.no_grad():
        left = (model(x_adv).argmax(dim=1) == y).nonzero().flatten()
    x_adv[left] = square(model, x[left], y[left], epsilon=epsilon, queries=SQUARE_QUERIES, generator=generator)
    return x_adv


class _Module(nn.Module):
    """A callable as the module that the toolbox asks for."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._call = model

    def forward(self, x: Tensor) -> Tensor:
        return _InputGradient.apply(x, self._call)


class _InputGradient(torch.autograd.Function):
    """The model with a gradient to its input alone: the toolbox's backward would fill the parameters' `.grad`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, model: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            inputs = x.detach().requires_grad_()
            ctx.pair = (model(inputs), inputs)
        return ctx.pair[0].detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        outputs, inputs = ctx.pair
        # DeepFool asks once for each class
        return torch.autograd.grad(outputs, inputs, gradient, retain_graph=True)[0], None
