"""Attacks. `(model, x, y, *, epsilon, ..., generator) -> x_adv`, on the [0, 1] pixel scale."""

from dataclasses import replace

from densitylab.backend.shared.catalog.entries import AttackEntry, Metric
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
    choices=("worst", "cross_entropy", "margin", "targeted"),
    label="Attack loss",
    help="worst: cross-entropy and margin are both tried and a sample counts as broken if either succeeds. targeted: "
    "the margin to each of the nine most likely wrong classes is tried.",
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
FIRST_SHARE = Param(
    name="first_share",
    type="float",
    default=0.8,
    minimum=0.0,
    exclusive_minimum=True,
    maximum=1.0,
    label="First share",
    help="Of the image that the first squares cover.",
)
APGD_STEPS = replace(STEPS, default=100)
APGD_LOSS = Param(
    name="loss",
    type="str",
    default="cross_entropy",
    choices=("cross_entropy", "margin", "dlr", "targeted", "targeted_cross_entropy", "targeted_dlr"),
    label="Attack loss",
    help="dlr: the difference of logits ratio, for three classes or more; targeted_dlr for four or more; targeted: the "
    "margin to a target class.",
)
TARGET_CLASSES = Param(
    name="target_classes",
    type="int",
    default=9,
    minimum=1,
    maximum=1000,
    label="Target classes",
    help="Of a targeted loss: how many of the most likely wrong classes are tried.",
)
PGD_PARAMS = (STEPS, STEP_SIZE, RESTARTS, RANDOM_START, LOSS)


def epsilon(maximum: float, default: float, help: str) -> Param:
    return Param(
        name="epsilon", type="float", default=default, minimum=0.0, maximum=maximum, label="Epsilon", help=help
    )


# key, name, and size of the change
NORMS = (
    ("linf", "L∞", epsilon(1.0, 0.1, "Largest change of any pixel, on the [0, 1] scale.")),
    ("l2", "L2", epsilon(100.0, 1.0, "L2 norm of the change, in [0, 1] pixel units.")),
)
ATTACKS = (
    AttackEntry(
        "pgd_linf",
        "PGD, L∞",
        "Projected gradient descent in the L∞ ball (Madry et al. 2018), clamped to [0, 1].",
        "densitylab.worker.attacks.pgd:pgd_linf",
        params=(NORMS[0][2], *PGD_PARAMS),
    ),
    AttackEntry(
        "pgd_l2",
        "PGD, L2",
        "Projected gradient descent in the L2 ball, clamped to [0, 1].",
        "densitylab.worker.attacks.pgd:pgd_l2",
        params=(NORMS[1][2], *PGD_PARAMS),
    ),
    *(
        AttackEntry(
            f"apgd_{key}",
            f"Auto-PGD, {norm}",
            f"Projected gradient descent in the {norm} ball with momentum and a step that halves itself (Croce & Hein "
            "2020).",
            f"densitylab.worker.attacks.apgd:apgd_{key}",
            params=(size, APGD_STEPS, RESTARTS, APGD_LOSS, TARGET_CLASSES),
        )
        for key, norm, size in NORMS
    ),
    *(
        AttackEntry(
            f"fab_{key}",
            f"FAB-T, {norm}",
            f"The fast adaptive boundary attack in the {norm} norm (Croce & Hein 2020), targeted, which looks for the "
            "smallest change.",
            f"densitylab.worker.attacks.fab:fab_{key}",
            params=(size, APGD_STEPS, RESTARTS, TARGET_CLASSES),
        )
        for key, norm, size in NORMS
    ),
    *(
        AttackEntry(
            key,
            f"Square attack, {norm}",
            "Random search that uses only the logits (Andriushchenko et al. 2020).",
            f"densitylab.worker.attacks.{key}:{key}",
            params=(size, QUERIES, FIRST_SHARE),
        )
        for key, (_, norm, size) in zip(("square", "square_l2"), NORMS, strict=True)
    ),
    *(
        AttackEntry(
            key,
            f"AutoAttack, {norm}",
            "APGD on the cross-entropy, targeted APGD on the difference of logits ratio, FAB-T and Square (Croce, Hein "
            "2020). With fewer than four classes an untargeted APGD takes the place of the targeted one.",
            f"densitylab.worker.attacks.autoattack:autoattack_{norm_key}",
            params=(size,),
        )
        for key, (norm_key, norm, size) in zip(("autoattack", "autoattack_l2"), NORMS, strict=True)
    ),
)


def robust_accuracies(attack: str, norm: str, headline: int | None = None) -> tuple[Metric, ...]:
    """Return the metrics of an evaluation by an attack: its accuracy, and that of the worst group.

    Args:
        attack, norm: in the labels.
        headline: position of the accuracy in the default tables; the worst group's comes next. None: in none.
    """
    label = f"{attack} accuracy, {norm} ε = {{epsilons}}"
    after = None if headline is None else headline + 1
    return (
        Metric(name="accuracy", label=label, higher_is_better=True, headline=headline),
        Metric(
            name="worst_group",
            label=f"Worst-group {label}",
            higher_is_better=True,
            headline=after,
            needs_groups=True,
        ),
    )
