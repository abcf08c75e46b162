"""Processor seconds of AutoAttack and of its four attacks beside torchattacks', on one thread, as a table.

    python -m benchmarks.autoattack_speed [--images 100] [--rounds 3]

Needs torchattacks, as in the environment of `make crosscheck`. Both take the same images, models and published budgets:
100 steps, one start, nine target classes and 5,000 queries of Square. Ours and theirs alternate; a row has the median
of the rounds, and the images that hold under each.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
import torchattacks
from torch import Tensor, nn

from benchmarks.crosschecks.attacks import EPSILONS
from benchmarks.crosschecks.ensemble import AUTOATTACK, Attack, Cropped, pairs
from benchmarks.crosschecks.subjects import subjects
from densitylab.worker.attacks.autoattack import QUERIES, autoattack_l2, autoattack_linf

OURS = {"L∞": autoattack_linf, "L2": autoattack_l2}
KINDS = {"L∞": "Linf", "L2": "L2"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = subjects(arguments.images)
    height, width = chosen.x.shape[2:]
    x = F.pad(chosen.x, (0, height - width))
    print(f"{len(x)} images, torchattacks {torchattacks.__version__}, load average {os.getloadavg()[0]:.1f}")
    print("| attack | model | ours | torchattacks | ratio | hold, ours | theirs |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, model in chosen.models.items():
        cropped = Cropped(model, width).eval()
        for norm in OURS:
            for attack, both in compared(norm, EPSILONS[norm][name]):
                rounds = [[measured(one, cropped, x, chosen.y) for one in both] for _ in range(arguments.rounds)]
                (ours, hold), (theirs, hold_theirs) = (
                    (statistics.median(seconds), holds[0])
                    for seconds, holds in (zip(*column, strict=True) for column in zip(*rounds, strict=True))
                )
                print(
                    f"| {attack} {norm} | {name} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} "
                    f"| {hold} | {hold_theirs} |",
                    flush=True,
                )
    print(f"load average {os.getloadavg()[0]:.1f}")


def compared(norm: str, epsilon: float) -> Iterator[tuple[str, tuple[Attack, Attack]]]:
    """Yield our attack and theirs by name: the four parts, each on all images, and the whole."""
    for name, both in pairs(norm, epsilon, QUERIES).items():
        if name in AUTOATTACK:
            yield name.removesuffix(","), both
    shared = {"norm": KINDS[norm], "eps": epsilon, "seed": 0}
    published = {**shared, "steps": 100, "n_restarts": 1}  # torchattacks.AutoAttack takes ten steps

    def theirs(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        parts = [
            torchattacks.APGD(model, **published, loss="ce"),
            torchattacks.APGDT(model, **published, n_classes=10),
            torchattacks.FAB(model, **published, multi_targeted=True, n_classes=10),
            torchattacks.Square(model, **shared, n_queries=QUERIES),
        ]
        return torchattacks.MultiAttack(parts)(x, y)

    def ours(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return OURS[norm](model, x, y, epsilon=epsilon, generator=torch.Generator().manual_seed(0))

    yield "AutoAttack", (ours, theirs)


def measured(attack: Attack, model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, int]:
    """Return the processor seconds of the attack and how many images hold."""
    began = time.process_time()
    x_adv = attack(model, x, y)
    seconds = time.process_time() - began
    with torch.no_grad():
        return seconds, int((model(x_adv).argmax(dim=1) == y).sum())


if __name__ == "__main__":
    main()
