"""Adversarial robustness at matched accuracy."""

from typing import Any

from densitylab.backend.shared.catalog.entries import StudyEntry
from densitylab.backend.shared.catalog.studies.parts import (
    ADVERSARIAL_TRAINING,
    BASELINE,
    CONDITIONAL,
    CONDITIONAL_GRADIENT,
    CURVATURE,
    JACOBIAN,
    JOINT,
    JOINT_GRADIENT,
    MARGINAL,
    MARGINAL_DENSITY,
    ONE_GPU,
    TWO_CORES,
    UNPUBLISHED,
    bracket,
    mlp,
    on_both_splits,
    small_cnn,
    swept,
)
from densitylab.backend.shared.catalog.study_parts import (
    StudyClaim,
    StudyFigure,
    StudyLaunch,
    StudySetting,
    StudySize,
    StudyTable,
)


def _attack(linf: float, images: int) -> list[dict[str, Any]]:
    return on_both_splits("pgd_linf", {"epsilons": [linf], "samples": images})


def _further(linf: float, l2: float, images: int) -> tuple[dict[str, Any], ...]:
    """Return what is measured at the selected λ alone: AutoAttack takes as long as the training."""
    return (
        {"key": "pgd_l2", "params": {"epsilons": [l2], "samples": images}},
        {"key": "autoattack_linf", "params": {"epsilons": [linf], "samples": min(images, 200)}},
        {"key": "pixel_perturbation", "params": {"samples": images}},
        {"key": "input_gradient_perturbation", "params": {"samples": images}},
        {"key": "density_perturbation", "params": {"samples": images}},
    )


_RIVALS = (
    MARGINAL_DENSITY,
    JOINT_GRADIENT,
    CONDITIONAL_GRADIENT,
    JACOBIAN,
    CURVATURE,
    ADVERSARIAL_TRAINING,
)
_DIGITS = _attack(0.1, 300)
_DIGITS_L2 = ({"key": "pgd_l2", "params": {"epsilons": [1.0], "samples": 300}},)
_MINUTES = (
    StudyLaunch(
        key="mlp_gelu",
        label="Digits, MLP, GELU",
        spec={"dataset": {"key": "blockmnist"}, **mlp("gelu", 10), "evaluations": _DIGITS},
        sweep=swept((0, 1, 2), (MARGINAL_DENSITY, JOINT_GRADIENT, CONDITIONAL_GRADIENT), (3.0, 30.0)),
        of_selected=_DIGITS_L2,
    ),
    StudyLaunch(
        key="cnn_gelu",
        label="Digits, CNN, GELU",
        spec={"dataset": {"key": "blockmnist"}, **small_cnn("gelu", 2), "evaluations": _DIGITS},
        sweep=swept((0, 1, 2), (MARGINAL_DENSITY, JOINT_GRADIENT, CONDITIONAL_GRADIENT), (0.3, 3.0)),
        of_selected=_DIGITS_L2,
    ),
)
# Narrow, and with few images, so that 130 runs end within an evening
_CIFAR = {
    "dataset": {"key": "cifar10"},
    "optimizer": {"key": "adam", "params": {"lr": 0.002}},
    "epochs": 8,
    "batch_size": 50,
    "train_samples": 3_000,
    "evaluations": _attack(2 / 255, 300),
}
_HOURS = (
    StudyLaunch(
        key="cifar10_cnn",
        label="CIFAR-10, CNN, GELU",
        spec=_CIFAR | {"model": {"key": "cnn", "params": {"width": 8, "pooling": "average", "activation": "gelu"}}},
        sweep={"regularizer": list(_RIVALS)},
        search=bracket("pgd_linf.accuracy", (0, 1, 2), 0.3) | {"max_candidates": 5},
        of_selected=_further(2 / 255, 0.25, 300),
    ),
    StudyLaunch(
        key="cifar10_vgg11",
        label="CIFAR-10, narrow VGG11, GELU",
        spec=_CIFAR | {"model": {"key": "vgg11", "params": {"width": 8, "pooling": "average", "activation": "gelu"}}},
        sweep={"regularizer": [MARGINAL_DENSITY, JOINT_GRADIENT, CONDITIONAL_GRADIENT]},
        search=bracket("pgd_linf.accuracy", (0, 1, 2), 0.3) | {"max_candidates": 4},
        of_selected=_further(2 / 255, 0.25, 300),
    ),
)
_NETWORKS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("vgg11", "VGG11", {"key": "vgg11", "params": {"pooling": "average"}}),
    ("resnet18_batch", "ResNet-18, batch norm", {"key": "resnet18", "params": {"norm": "batch"}}),
    ("resnet18_group", "ResNet-18, group norm", {"key": "resnet18", "params": {"norm": "group"}}),
    ("resnet18_none", "ResNet-18, no norm", {"key": "resnet18", "params": {"norm": "none"}}),
    ("resnet34", "ResNet-34, batch norm", {"key": "resnet34", "params": {"norm": "batch"}}),
)
_GPU = tuple(
    StudyLaunch(
        key=f"{dataset}_{key}",
        label=f"{name}, {label}",
        spec={
            "dataset": {"key": dataset},
            "model": model,
            "epochs": 30,
            "batch_size": 256,
            "evaluations": _attack(2 / 255, 1000),
        },
        sweep=swept((0, 1, 2), (MARGINAL_DENSITY, JOINT_GRADIENT, CONDITIONAL_GRADIENT), (0.01, 0.03, 0.1, 0.3, 1.0)),
        of_selected=_further(2 / 255, 0.25, 1000),
    )
    for dataset, name in (
        ("cifar10", "CIFAR-10"),
        ("cifar100", "CIFAR-100"),
        ("svhn", "SVHN"),
        ("tiny_imagenet", "Tiny ImageNet"),
    )
    for key, label, model in _NETWORKS
)

ROBUSTNESS = StudyEntry(
    "robustness",
    "Adversarial robustness",
    "Accuracy under attack of marginal-density smoothing and its rivals, each at its own λ within one budget of "
    "accuracy.",
    version=4,
    question="At the same accuracy, is a network with a smooth marginal density harder to attack than with other "
    "penalties?",
    sizes=(
        StudySize(key="minutes", minutes=9, hardware=TWO_CORES, launches=_MINUTES),
        StudySize(key="hours", minutes=80, hardware=TWO_CORES, launches=_HOURS),
        StudySize(key="gpu", minutes=2400, hardware=ONE_GPU, launches=_GPU),
    ),
    select_by="pgd_linf.accuracy",
    settings=(
        StudySetting(
            name="data",
            ours="minutes: digits; hours: CIFAR-10; gpu: CIFAR-10, CIFAR-100, SVHN, Tiny ImageNet",
            paper="CIFAR-10, CIFAR-100, SVHN, Tiny ImageNet, and others",
        ),
        StudySetting(
            name="networks",
            ours="minutes: MLP, small CNN; hours: small CNN, VGG11 of an eighth of the width; gpu: VGG11, and "
            "ResNet-18 and ResNet-34 with several norms",
            paper="VGG11, ResNet-18, ResNet-34",
        ),
        StudySetting(
            name="attacks", ours="PGD L∞; at the selected λ also PGD L2 and AutoAttack", paper="PGD L∞ and L2"
        ),
        StudySetting(name="ε", ours="digits: L∞ 0.1, L2 1; photographs: L∞ 2/255, L2 0.25"),
        *UNPUBLISHED,
    ),
    tables=(
        StudyTable(
            title="Accuracy under attack at the selected λ",
            results=(
                "accuracy.accuracy",
                "pgd_linf.accuracy",
                "pgd_l2.accuracy",
                "autoattack_linf.accuracy",
            ),
        ),
        StudyTable(
            title="Removed pixels, and steps along a gradient, at the selected λ",
            results=(
                "pixel_perturbation.difference_relative_probability",
                "input_gradient_perturbation.down_changed",
                "input_gradient_perturbation.down_attribution",
                "density_perturbation.down_changed",
                "density_perturbation.down_attribution",
            ),
        ),
        StudyTable(title="Every λ", results=("accuracy.accuracy", "pgd_linf.accuracy"), rows="all"),
    ),
    figures=(StudyFigure(title="Accuracy under attack", x="accuracy.accuracy", y="pgd_linf.accuracy"),),
    claims=(
        StudyClaim(
            text="Marginal-density smoothing is more robust than no penalty",
            first=MARGINAL,
            second=BASELINE,
            result="pgd_linf.accuracy",
        ),
        StudyClaim(
            text="Marginal-density smoothing is more robust than the input gradient of the logit",
            first=MARGINAL,
            second=JOINT,
            result="pgd_linf.accuracy",
        ),
        StudyClaim(
            text="Marginal-density smoothing is more robust than the input gradient of the log-probability",
            first=MARGINAL,
            second=CONDITIONAL,
            result="pgd_linf.accuracy",
        ),
    ),
)
