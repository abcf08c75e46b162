"""Attacks. `(model, x, y, *, epsilon, ..., generator) -> x_adv`, on the [0, 1] pixel scale."""

from densitylab.backend.shared.catalog.entries import AttackEntry
from densitylab.backend.shared.catalog.params import Param

STEPS = Param(name="steps", type="int", default=40, minimum=1, maximum=1000, label="Steps", help="Gradient steps.")
STEP_SIZE = Param(
    name="step_size",
    type="float",
    default=None,
    optional=True,
    minimum=0.0,
    exclusive_minimum=True,
    maximum=10.0,
    label="Step size",
    help="On the [0, 1] pixel scale, in the attack's norm. Empty: 2.5 · epsilon / steps.",
)
RESTARTS = Param(
    name="restarts",
    type="int",
    default=1,
    minimum=1,
    maximum=20,
    label="Restarts",
    help="The attack is repeated from new random starts; a sample counts as broken if any succeeds.",
)
RANDOM_START = Param(
    name="random_start",
    type="bool",
    default=True,
    label="Random start",
    help="Start at a random point of the ball instead of at the image.",
)
LOSS = Param(
    name="loss",
    type="str",
    default="worst",
    choices=("worst", "cross_entropy", "margin"),
    label="Attack loss",
    help="worst: cross-entropy and margin are both tried and a sample counts as broken if either succeeds.",
)
QUERIES = Param(
    name="queries",
    type="int",
    default=500,
    minimum=1,
    maximum=100_000,
    label="Queries",
    help="Forward passes for each image.",
)
PGD_PARAMS = (STEPS, STEP_SIZE, RESTARTS, RANDOM_START, LOSS)


def epsilon(maximum: float, default: float, help: str) -> Param:
    return Param(
        name="epsilon", type="float", default=default, minimum=0.0, maximum=maximum, label="Epsilon", help=help
    )


ATTACKS = (
    AttackEntry(
        "pgd_linf",
        "PGD, L∞",
        "Projected gradient descent in the L∞ ball (Madry et al. 2018), clamped to [0, 1].",
        "densitylab.worker.attacks.pgd:pgd_linf",
        params=(epsilon(1.0, 0.1, "Largest change of any pixel, on the [0, 1] scale."), *PGD_PARAMS),
    ),
    AttackEntry(
        "pgd_l2",
        "PGD, L2",
        "Projected gradient descent in the L2 ball, clamped to [0, 1].",
        "densitylab.worker.attacks.pgd:pgd_l2",
        params=(epsilon(100.0, 1.0, "L2 norm of the change, in [0, 1] pixel units."), *PGD_PARAMS),
    ),
    AttackEntry(
        "square",
        "Square attack, L∞",
        "Random search that uses only the logits (Andriushchenko et al. 2020).",
        "densitylab.worker.attacks.square:square",
        params=(
            epsilon(1.0, 0.1, "Largest change of any pixel, on the [0, 1] scale."),
            QUERIES,
            Param(
                name="first_share",
                type="float",
                default=0.8,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=1.0,
                label="First share",
                help="Of the image that the first squares cover.",
            ),
        ),
    ),
    AttackEntry(
        "autoattack",
        "AutoAttack, L∞",
        "APGD on two losses (one with two classes), DeepFool and Square (Croce & Hein 2020), as the "
        "Adversarial Robustness Toolbox has them. The package must be installed where the workers run.",
        "densitylab.worker.attacks.autoattack:autoattack",
        params=(epsilon(1.0, 0.1, "Largest change of any pixel, on the [0, 1] scale."),),
        package="art",
    ),
)
