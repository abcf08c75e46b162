"""The paper's second open question: cost and stability of the penalty on larger networks."""

from typing import Any

from densitylab.backend.shared.catalog.entries import StudyEntry
from densitylab.backend.shared.catalog.studies.parts import (
    BASELINE,
    MARGINAL,
    MARGINAL_DENSITY,
    ONE_GPU,
    TWO_CORES,
    UNPUBLISHED,
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

_EVALUATIONS = on_both_splits("pgd_linf", {"epsilons": [2 / 255], "samples": 300})


def _launch(
    key: str,
    label: str,
    training: dict[str, Any],
    dataset: str,
    lambdas: tuple[float, ...],
    seeds: tuple[int, ...] = (0, 1, 2),
) -> StudyLaunch:
    return StudyLaunch(
        key=key,
        label=label,
        spec={"dataset": {"key": dataset}, **training, "evaluations": _EVALUATIONS},
        sweep=swept(seeds, (MARGINAL_DENSITY,), lambdas),
    )


_RESNET = {"epochs": 1, "batch_size": 100, "train_samples": 1000}
_LARGE = (
    ("resnet18_batch", "ResNet-18, batch norm", {"key": "resnet18", "params": {"norm": "batch"}}),
    ("resnet18_group", "ResNet-18, group norm", {"key": "resnet18", "params": {"norm": "group"}}),
    ("resnet18_none", "ResNet-18, no norm", {"key": "resnet18", "params": {"norm": "none"}}),
    ("resnet50", "ResNet-50, batch norm", {"key": "resnet50", "params": {"norm": "batch"}}),
    ("vit_b16", "ViT-B/16", {"key": "vit_b16", "params": {}}),
)

SCALE = StudyEntry(
    "scale",
    "Larger networks",
    "Cost of the penalty and stability of the training, from an MLP to large networks.",
    question="What does the penalty cost, and does the training stay stable, as networks grow and with their norms?",
    sizes=(
        StudySize(
            key="minutes",
            minutes=9,
            hardware=TWO_CORES,
            launches=(
                _launch("mlp", "MLP, GELU", mlp("gelu", 5), "blockmnist", (1.0, 10.0)),
                _launch("cnn", "CNN, GELU", small_cnn("gelu", 2), "blockmnist", (1.0,)),
            ),
        ),
        StudySize(
            key="hours",
            minutes=300,
            hardware=TWO_CORES,
            launches=(
                _launch("mlp", "MLP, GELU", mlp("gelu"), "blockmnist", (1.0, 10.0, 100.0)),
                _launch("cnn", "CNN, GELU", small_cnn("gelu", 4), "blockmnist", (0.3, 1.0, 3.0)),
                *(
                    _launch(key, label, {**_RESNET, "model": model}, "cifar10", (0.1, 1.0))
                    for key, label, model in _LARGE[:3]
                ),
            ),
        ),
        StudySize(
            key="gpu",
            minutes=600,
            hardware=ONE_GPU,
            launches=tuple(
                _launch(
                    key,
                    label,
                    {"model": model, "epochs": 30, "batch_size": 256},
                    "cifar10",
                    (0.01, 0.1, 1.0),
                )
                for key, label, model in _LARGE
            ),
        ),
    ),
    select_by="pgd_linf.accuracy",
    settings=(
        StudySetting(
            name="networks",
            ours="MLP, small CNN; hours: ResNet-18 with three norms; gpu: also ResNet-50 and ViT-B/16",
            paper="up to ResNet-34; larger ones are an open question",
        ),
        *UNPUBLISHED,
    ),
    tables=(
        StudyTable(
            title="Cost and stability",
            results=(
                "accuracy.accuracy",
                "pgd_linf.accuracy",
                "metrics.throughput",
                "metrics.gradient_norm",
                "metrics.loss",
            ),
            rows="all",
        ),
    ),
    figures=(StudyFigure(title="Accuracy against λ", x="lambda_", y="accuracy.accuracy"),),
    claims=(
        StudyClaim(
            text="Marginal-density smoothing is more robust than no penalty",
            first=MARGINAL,
            second=BASELINE,
            result="pgd_linf.accuracy",
        ),
    ),
)
