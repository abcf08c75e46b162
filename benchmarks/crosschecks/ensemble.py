"""Compare the attacks of AutoAttack with torchattacks, image by image."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
import torchattacks
from torch import Tensor, nn

from benchmarks.crosschecks.attacks import EPSILONS
from benchmarks.crosschecks.subjects import Subjects
from benchmarks.crosschecks.table import Row
from densitylab.worker.attacks.apgd import apgd_l2, apgd_linf
from densitylab.worker.attacks.fab import fab_l2, fab_linf
from densitylab.worker.attacks.square import square
from densitylab.worker.attacks.square_l2 import square_l2

IMAGES, QUERIES = 100, 1000
TOLERANCE, SCATTER = 0.01, 0.05  # of attacks along gradients; of random search, where seeds of one package differ too
PARTS = {
    "L∞": {"apgd": apgd_linf, "fab": fab_linf, "square": square},
    "L2": {"apgd": apgd_l2, "fab": fab_l2, "square": square_l2},
}
AUTOATTACK = ("APGD, cross-entropy,", "APGD-T", "FAB-T", "Square")
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Cropped(nn.Module):
    """A model of high images on square ones: torchattacks' Square in L2 takes no others."""

    def __init__(self, model: nn.Module, width: int) -> None:
        super().__init__()
        self.model, self.width = model, width

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x[..., : self.width])


def rows(subjects: Subjects) -> Iterator[Row]:
    """Yield, for each attack, the share of images that torchattacks breaks and ours holds: at most 1 %, of Square 5 %.

    Both take the published parameters: 100 steps, one start (theirs are drawn differently), nine target classes; Square
    takes 1,000 queries. AutoAttack breaks what one of its four attacks breaks.
    """
    y = subjects.y[:IMAGES]
    height, width = subjects.x.shape[2:]
    x = F.pad(subjects.x[:IMAGES], (0, height - width))
    for name, model in subjects.models.items():
        cropped = Cropped(model, width).eval()
        for norm in PARTS:
            epsilon = EPSILONS[norm][name]
            broken = {
                part: tuple(_broken(attack, cropped, x, y) for attack in attacks)
                for part, attacks in pairs(norm, epsilon, QUERIES).items()
            }
            broken["AutoAttack"] = tuple(
                torch.stack(masks).any(dim=0) for masks in zip(*(broken[part] for part in AUTOATTACK), strict=True)
            )
            for part, (ours, theirs) in broken.items():
                yield Row(
                    f"{part} {norm}, ε = {epsilon:g}: share that theirs breaks and ours holds",
                    name,
                    "torchattacks",
                    float((theirs & ~ours).double().mean()),
                    0.0,
                    SCATTER if part == "Square" else TOLERANCE,
                    f"n = {IMAGES}; {(~ours).sum()} and {(~theirs).sum()} hold, "
                    f"{(ours & ~theirs).sum()} broken by ours alone",
                )


def _broken(attack: Attack, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the mask (N) of the images (N, channels, height, width) that the model classifies wrongly after it."""
    x_adv = attack(model, x, y)
    with torch.no_grad():
        return model(x_adv).argmax(dim=1) != y


def pairs(norm: str, epsilon: float, queries: int) -> dict[str, tuple[Attack, Attack]]:
    """Return our attack and theirs by name, with that many queries of Square."""
    kind, parts = {"L∞": "Linf", "L2": "L2"}[norm], PARTS[norm]

    def mine(part: str, **options: object) -> Attack:
        generator = torch.Generator().manual_seed(0)
        return lambda model, x, y: parts[part](model, x, y, epsilon=epsilon, generator=generator, **options)

    shared = {"norm": kind, "eps": epsilon, "seed": 0}
    published = {**shared, "steps": 100, "n_restarts": 1}
    return {
        "APGD, cross-entropy,": (
            mine("apgd", loss="cross_entropy"),
            lambda model, x, y: torchattacks.APGD(model, **published, loss="ce")(x, y),
        ),
        "APGD, DLR,": (
            mine("apgd", loss="dlr"),
            lambda model, x, y: torchattacks.APGD(model, **published, loss="dlr")(x, y),
        ),
        "APGD-T": (
            mine("apgd", loss="targeted_dlr"),
            lambda model, x, y: torchattacks.APGDT(model, **published, n_classes=10)(x, y),
        ),
        "FAB-T": (
            mine("fab"),
            lambda model, x, y: torchattacks.FAB(model, **published, multi_targeted=True, n_classes=10)(x, y),
        ),
        "Square": (
            mine("square", queries=queries),
            lambda model, x, y: torchattacks.Square(model, **shared, n_queries=queries)(x, y),
        ),
    }
