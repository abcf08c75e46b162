"""AutoAttack, by the Adversarial Robustness Toolbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.attacks.pgd import box
from densitylab.worker.attacks.square import square

SQUARE_QUERIES = 5000
RATIO_CLASSES = 3  # that the difference of logits ratio needs


def autoattack(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return x′ within L∞ epsilon of x by AutoAttack (Croce, Hein, ICML 2020) of the Adversarial Robustness Toolbox.

    Its parts are APGD on the cross-entropy and on the difference of logits ratio, DeepFool, and our Square attack, as
    the toolbox's fails on images that are not square. The ratio divides by the distance to the third largest logit, so
    with two classes that part is left out.

    Args:
        model: gives logits (N, K).
        x: (N, C, H, W) floats in [0, 1].
        y: (N,) labels, which the attack avoids.
        epsilon: largest change of a pixel, on the [0, 1] scale; 0 returns x.
        generator: seeds the toolbox, which draws from numpy's global generator; its state is restored.

    Returns:
        x_adv, shaped like x, projected into the ball after rounding.

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
    losses = ["cross_entropy"]
    if classes >= RATIO_CLASSES:
        losses.append("difference_logits_ratio")
    wrapped = PyTorchClassifier(
        _Module(model),
        nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if x.is_cuda else "cpu",
    )
    seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device if generator else None))
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        parts = [
            *(
                AutoProjectedGradientDescent(
                    wrapped,
                    norm=np.inf,
                    eps=epsilon,
                    eps_step=epsilon / 4,
                    max_iter=100,
                    nb_random_init=5,
                    batch_size=len(x),
                    loss_type=loss,
                    verbose=False,
                )
                for loss in losses
            ),
            DeepFool(wrapped, max_iter=100, epsilon=1e-3, batch_size=len(x), verbose=False),
        ]
        attack = AutoAttack(wrapped, norm=np.inf, eps=epsilon, eps_step=epsilon / 4, attacks=parts, batch_size=len(x))
        generated = attack.generate(x.detach().cpu().numpy().astype(np.float32), y.cpu().numpy())
    finally:
        np.random.set_state(state)
    x_adv = torch.from_numpy(generated).to(x.device, x.dtype)
    low, high = box(x, epsilon)
    x_adv = torch.minimum(torch.maximum(x_adv, low), high)
    with torch.no_grad():
        robust = (model(x_adv).argmax(dim=1) == y).nonzero().flatten()
    x_adv[robust] = square(model, x[robust], y[robust], epsilon=epsilon, queries=SQUARE_QUERIES, generator=generator)
    return x_adv


class _Module(nn.Module):
    """A callable as a module, which the toolbox needs."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._call = model

    def forward(self, x: Tensor) -> Tensor:
        return _InputGradient.apply(x, self._call)


class _InputGradient(torch.autograd.Function):
    """The model with a gradient by its input only: the toolbox's backward would set the parameters' `.grad`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, model: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            inputs = x.detach().requires_grad_()
            ctx.pair = (model(inputs), inputs)
        return ctx.pair[0].detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        outputs, inputs = ctx.pair
        # DeepFool calls this once for each class
        return torch.autograd.grad(outputs, inputs, gradient, retain_graph=True)[0], None
