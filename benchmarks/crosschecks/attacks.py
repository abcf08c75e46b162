"""Compare attacks with Foolbox and torchattacks."""

import math
import time
from collections.abc import Callable, Iterator

import eagerpy
import foolbox
import torch
import torchattacks
from torch import Tensor, nn

from benchmarks.crosschecks.subjects import Subjects
from benchmarks.crosschecks.table import Row
from densitylab.worker.attacks.pgd import pgd_l2, pgd_linf
from densitylab.worker.attacks.square import square

BATCH, STEPS = 250, 40
EPSILONS = {"L∞": {"plain": 0.03, "smoothed, λ = 1": 0.1}, "L2": {"plain": 0.5, "smoothed, λ = 1": 1.5}}
Attack = Callable[[nn.Module, Tensor, Tensor, float], Tensor]


def ours_linf(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    return pgd_linf(model, x, y, epsilon=epsilon, steps=STEPS, random_start=False, loss="cross_entropy")


def ours_l2(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    return pgd_l2(model, x, y, epsilon=epsilon, steps=STEPS, random_start=False, loss="cross_entropy")


def torchattacks_linf(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    return torchattacks.PGD(model, eps=epsilon, alpha=2.5 * epsilon / STEPS, steps=STEPS, random_start=False)(x, y)


def torchattacks_l2(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    attack = torchattacks.PGDL2(model, eps=epsilon, alpha=2.5 * epsilon / STEPS, steps=STEPS, random_start=False)
    return attack(x, y)


def _foolbox(kind: type, model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    attack = kind(abs_stepsize=2.5 * epsilon / STEPS, steps=STEPS, random_start=False)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    return attack.run(wrapped, eagerpy.astensor(x), eagerpy.astensor(y), epsilon=epsilon).raw


def foolbox_linf(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    return _foolbox(foolbox.attacks.LinfPGD, model, x, y, epsilon)


def foolbox_l2(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    return _foolbox(foolbox.attacks.L2PGD, model, x, y, epsilon)


PGD: dict[str, tuple[Attack, dict[str, Attack]]] = {
    "L∞": (ours_linf, {"foolbox": foolbox_linf, "torchattacks": torchattacks_linf}),
    "L2": (ours_l2, {"foolbox": foolbox_l2, "torchattacks": torchattacks_l2}),
}


def attacked(attack: Attack, model: nn.Module, subjects: Subjects, epsilon: float) -> tuple[float, float]:
    """Return (accuracy under attack, seconds)."""
    robust, began = 0, time.perf_counter()
    for x, y in zip(subjects.x.split(BATCH), subjects.y.split(BATCH), strict=True):
        x_adv = attack(model, x, y, epsilon)
        with torch.no_grad():
            robust += int((model(x_adv).argmax(1) == y).sum())
    return robust / len(subjects.y), time.perf_counter() - began


def rows(subjects: Subjects, repeats: int = 3) -> Iterator[Row]:
    """Compare PGD with the same parameters and no random start; the fastest of interleaved repetitions."""
    for norm, (ours, others) in PGD.items():
        for name, model in subjects.models.items():
            epsilon = EPSILONS[norm][name]
            seconds: dict[str, float] = {}
            accuracy: dict[str, float] = {}
            for _ in range(repeats):
                for package, attack in {"ours": ours, **others}.items():
                    accuracy[package], took = attacked(attack, model, subjects, epsilon)
                    seconds[package] = min(took, seconds.get(package, took))
            for package in others:
                yield Row(
                    f"PGD {norm}, ε = {epsilon:g}, accuracy",
                    name,
                    package,
                    accuracy["ours"],
                    accuracy[package],
                    0.005,
                    f"n = {len(subjects.y)}",
                )
                yield Row(
                    f"PGD {norm}, ε = {epsilon:g}, seconds",
                    name,
                    package,
                    seconds["ours"],
                    seconds[package],
                    None,
                    "at least as fast" if seconds["ours"] <= seconds[package] else "**slower**",
                )


def square_rows(subjects: Subjects, queries: int = 300, images: int = 200) -> Iterator[Row]:
    """Compare the Square attack, whose random draws differ: accuracies are close and not equal."""
    x, y = subjects.x[:images], subjects.y[:images]
    for name, model in subjects.models.items():
        epsilon = EPSILONS["L∞"][name]
        ours = square(model, x, y, epsilon=epsilon, queries=queries, generator=torch.Generator().manual_seed(0))
        theirs = torchattacks.Square(model, eps=epsilon, n_queries=queries, seed=0)(x, y)
        with torch.no_grad():
            robust = [float((model(x_adv).argmax(1) == y).double().mean()) for x_adv in (ours, theirs)]
        scatter = 2 * math.sqrt(2 * robust[0] * (1 - robust[0]) / images)  # two standard errors of a difference
        yield Row(
            f"Square, ε = {epsilon:g}, {queries} queries, accuracy",
            name,
            "torchattacks",
            *robust,
            scatter,
            f"n = {images}; random search",
        )
