"""Spurious correlations: accuracy of the worst group, beside the baselines that readers expect."""

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
    on_both_splits,
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

_EVALUATIONS = on_both_splits("groups")


def _launch(
    dataset: str,
    label: str,
    training: dict[str, Any],
    seeds: tuple[int, ...],
    lambdas: tuple[float, ...],
    algorithms: tuple[str, ...],
) -> StudyLaunch:
    """Return ERM with each regularizer over λ, and the other algorithms without a penalty."""
    plain = {
        "regularizer": [{"key": "none"}],
        "lambda_": [0.0],
        "algorithm": [{"key": key} for key in algorithms],
        "seed": list(seeds),
    }
    return StudyLaunch(
        key=dataset,
        label=label,
        spec={"dataset": {"key": dataset}, **training, "evaluations": _EVALUATIONS},
        sweep=[*swept(seeds, (MARGINAL_DENSITY, JOINT_GRADIENT), lambdas), plain],
    )


_RESNET = {
    "model": {"key": "resnet50", "params": {"pretrained": True, "pooling": "max"}},
    "optimizer": {"key": "sgd", "params": {"lr": 0.001}},
    "batch_size": 32,
    "epochs": 20,
}

SPURIOUS = StudyEntry(
    "spurious",
    "Spurious correlations",
    "Accuracy of the worst group where the background goes with the label in training and not in testing.",
    version=2,
    question="Does smoothing the marginal density protect the worst group from a spurious correlation, and how does it "
    "compare with Group DRO and DFR?",
    sizes=(
        StudySize(
            key="minutes",
            minutes=8,
            hardware=TWO_CORES,
            launches=(
                _launch(
                    "textured_digits",
                    "Digits on textures",
                    {**TEXTURE_TRAINING, "epochs": 6},
                    (0, 1, 2),
                    (0.1, 1.0),
                    ("group_dro", "dfr"),
                ),
            ),
        ),
        StudySize(
            key="hours",
            minutes=25,
            hardware=TWO_CORES,
            launches=(
                _launch(
                    "textured_digits",
                    "Digits on textures",
                    {**TEXTURE_TRAINING, "epochs": 10},
                    (0, 1, 2),
                    (0.1, 0.3, 1.0, 3.0),
                    ("reweighting", "group_dro", "jtt", "dfr"),
                ),
                _launch(
                    "waterbirds",
                    "Waterbirds",
                    {**TEXTURE_TRAINING, "batch_size": 25, "epochs": 15},
                    (0, 1, 2),
                    (0.1, 1.0, 10.0),
                    ("reweighting", "group_dro", "jtt", "dfr"),
                ),
            ),
        ),
        StudySize(
            key="gpu",
            minutes=1500,
            hardware=ONE_GPU,
            launches=tuple(
                _launch(
                    dataset,
                    label,
                    _RESNET,
                    (0, 1, 2),
                    (0.01, 0.1, 1.0),
                    ("reweighting", "group_dro", "jtt", "dfr"),
                )
                for dataset, label in (("waterbirds", "Waterbirds"), ("celeba_hair", "CelebA-Hair"))
            ),
        ),
    ),
    select_by="groups.worst",
    accuracy_budget=0.05,
    settings=(
        StudySetting(
            name="data",
            ours="minutes: digits on textures; hours: Waterbirds too; gpu: Waterbirds and CelebA-Hair",
            paper="Waterbirds, CelebA-Hair",
        ),
        StudySetting(name="network", ours="small CNN; gpu: ResNet-50 with ImageNet weights", paper="ResNet"),
        *UNPUBLISHED,
    ),
    tables=(
        StudyTable(
            title="Groups at the selected λ",
            results=("accuracy.accuracy", "groups.worst", "groups.mean", "groups.gap"),
        ),
    ),
    figures=(StudyFigure(title="Worst group against λ", x="lambda_", y="groups.worst"),),
    claims=(
        StudyClaim(
            text="Marginal-density smoothing has a better worst group than no penalty",
            first=MARGINAL,
            second={**BASELINE, "algorithm.key": "erm"},
            result="groups.worst",
            accuracy_budget=0.05,
        ),
        StudyClaim(
            text="Group DRO has a better worst group than marginal-density smoothing",
            first={"algorithm.key": "group_dro"},
            second=MARGINAL,
            result="groups.worst",
            accuracy_budget=0.05,
        ),
        StudyClaim(
            text="DFR has a better worst group than marginal-density smoothing",
            first={"algorithm.key": "dfr"},
            second=MARGINAL,
            result="groups.worst",
            accuracy_budget=0.05,
        ),
    ),
)
