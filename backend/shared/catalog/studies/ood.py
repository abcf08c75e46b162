"""Out-of-distribution detection."""

from typing import Any

from densitylab.backend.shared.catalog.entries import StudyEntry
from densitylab.backend.shared.catalog.studies.parts import (
    BASELINE,
    JOINT_GRADIENT,
    MARGINAL,
    MARGINAL_DENSITY,
    ONE_GPU,
    TEXTURE_TRAINING,
    TWO_CORES,
    UNPUBLISHED,
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

_SCORES = ("msp", "max_logit", "energy", "density_gradient", "knn", "mahalanobis")


def _against(*datasets: str, images: int) -> list[dict[str, Any]]:
    """Return an evaluation for each other data set, resized where its images have another size, and for noise."""
    others = [
        {
            "key": "ood",
            "name": f"ood_{key}",
            "params": {"against": {"key": key}, "resize": "bilinear", "samples": images},
        }
        for key in datasets
    ]
    return [*others, {"key": "ood", "name": "ood_noise", "params": {"samples": images}}]


_DIGITS = {
    "dataset": {"key": "textured_digits"},
    **TEXTURE_TRAINING,
    "epochs": 6,
    "evaluations": _against("blockmnist", images=500),
}
_OTHERS = ("svhn", "cifar100", "tiny_imagenet")
# Narrow, and with few images, as in the study of robustness
_CIFAR_CNN = {
    "model": {"key": "cnn", "params": {"width": 8, "pooling": "average", "activation": "gelu"}},
    "optimizer": {"key": "adam", "params": {"lr": 0.002}},
    "epochs": 8,
    "batch_size": 50,
    "train_samples": 3_000,
}

OOD = StudyEntry(
    "ood",
    "Out-of-distribution detection",
    "How well scores of a network tell its own test images from those of other data sets.",
    version=2,
    question="Does smoothing the marginal density make log p(x), or its gradient, a better detector of images from "
    "elsewhere?",
    sizes=(
        StudySize(
            key="minutes",
            minutes=8,
            hardware=TWO_CORES,
            launches=(
                StudyLaunch(
                    key="digits",
                    label="Digits on textures",
                    spec=_DIGITS,
                    sweep=swept((0, 1, 2), (MARGINAL_DENSITY, JOINT_GRADIENT), (0.1, 1.0)),
                ),
            ),
        ),
        StudySize(
            key="hours",
            minutes=20,
            hardware=TWO_CORES,
            launches=(
                StudyLaunch(
                    key="cifar10_cnn",
                    label="CIFAR-10, CNN, GELU",
                    spec={"dataset": {"key": "cifar10"}, **_CIFAR_CNN, "evaluations": _against(*_OTHERS, images=1000)},
                    sweep=swept((0, 1, 2), (MARGINAL_DENSITY, JOINT_GRADIENT), (0.1, 1.0, 10.0)),
                ),
            ),
        ),
        StudySize(
            key="gpu",
            minutes=400,
            hardware=ONE_GPU,
            launches=(
                StudyLaunch(
                    key="cifar10_resnet18",
                    label="CIFAR-10, ResNet-18",
                    spec={
                        "dataset": {"key": "cifar10"},
                        "model": {"key": "resnet18", "params": {}},
                        "epochs": 30,
                        "batch_size": 256,
                        "evaluations": _against(*_OTHERS, images=2000),
                    },
                    sweep=swept((0, 1, 2), (MARGINAL_DENSITY, JOINT_GRADIENT), (0.01, 0.1, 1.0)),
                ),
            ),
        ),
    ),
    select_by="accuracy.accuracy",
    settings=(
        StudySetting(
            name="data",
            ours="minutes: digits on textures against BlockMNIST and noise; else CIFAR-10 against SVHN, CIFAR-100, "
            "Tiny ImageNet and noise",
            paper="AUROC of out-of-distribution detection",
        ),
        StudySetting(name="scores", ours="MSP, max logit, energy, −‖∇ log p‖, KNN, Mahalanobis"),
        StudySetting(
            name="λ", ours="the best accuracy on validation images: images from elsewhere take no part in the selection"
        ),
        *UNPUBLISHED[1:],
    ),
    tables=tuple(
        StudyTable(title=f"AUROC against {name}", results=tuple(f"ood_{key}.{score}_auroc" for score in _SCORES))
        for key, name in (
            ("blockmnist", "BlockMNIST"),
            ("svhn", "SVHN"),
            ("cifar100", "CIFAR-100"),
            ("tiny_imagenet", "Tiny ImageNet"),
            ("noise", "noise"),
        )
    ),
    figures=tuple(
        StudyFigure(title=f"Energy against {name}", x="lambda_", y=f"ood_{key}.energy_auroc")
        for key, name in (("blockmnist", "BlockMNIST"), ("svhn", "SVHN"), ("cifar100", "CIFAR-100"), ("noise", "noise"))
    ),
    claims=tuple(
        StudyClaim(
            text=f"Energy tells {name} apart better with marginal-density smoothing than with no penalty",
            first=MARGINAL,
            second=BASELINE,
            result=f"ood_{key}.energy_auroc",
        )
        for key, name in (("blockmnist", "BlockMNIST"), ("svhn", "SVHN"), ("cifar100", "CIFAR-100"))
    ),
)
