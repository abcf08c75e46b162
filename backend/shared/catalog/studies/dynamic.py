"""The paper's third open question: λ that changes during the training."""

from typing import Any

from densitylab.backend.shared.catalog.entries import StudyEntry
from densitylab.backend.shared.catalog.studies.parts import (
    ONE_GPU,
    TWO_CORES,
    UNPUBLISHED,
    mlp,
    on_both_splits,
    small_cnn,
)
from densitylab.backend.shared.catalog.study_parts import (
    StudyClaim,
    StudyFigure,
    StudyLaunch,
    StudySetting,
    StudySize,
    StudyTable,
)

_ATTACKS = on_both_splits("pgd_linf", {"epsilons": [0.1], "samples": 300})
_FIXED = ("constant", "linear_warm_up", "cosine")


def _launch(
    key: str,
    label: str,
    training: dict[str, Any],
    seeds: tuple[int, ...],
    lambdas: tuple[float, ...],
    norms: tuple[float, ...],
    budgets: tuple[float, ...],
    shares: tuple[float, ...],
    epsilon: float = 0.1,
    dataset: str = "blockmnist",
    leakage: bool = True,
) -> StudyLaunch:
    """Return the baseline, schedules over λ, and controllers over their targets."""
    penalised = {"regularizer": [{"key": "marginal_density"}], "seed": list(seeds)}
    return StudyLaunch(
        key=key,
        label=label,
        spec={
            "dataset": {"key": dataset},
            **training,
            "evaluations": [*([{"key": "leakage"}] if leakage else []), *_ATTACKS],
        },
        sweep=[
            {"regularizer": [{"key": "none"}], "lambda_": [0.0], "seed": list(seeds)},
            {**penalised, "schedule": [{"key": item} for item in _FIXED], "lambda_": list(lambdas)},
            {
                **penalised,
                "schedule": [{"key": "target", "params": {"gradient_norm": norm}} for norm in norms],
                "lambda_": [lambdas[0]],
            },
            {
                **penalised,
                "schedule": [{"key": "budget", "params": {"cross_entropy": budget}} for budget in budgets],
                "lambda_": [lambdas[0]],
            },
            {
                **penalised,
                "schedule": [
                    {"key": "robustness", "params": {"robust_share": share, "epsilon": epsilon}} for share in shares
                ],
                "lambda_": [lambdas[0]],
            },
        ],
    )


DYNAMIC = StudyEntry(
    "dynamic",
    "λ over time",
    "Constant λ, warm-up and cosine beside three controllers, at matched accuracy.",
    question="Does it pay to change λ during the training, by a schedule or by a controller?",
    sizes=(
        StudySize(
            key="minutes",
            minutes=10,
            hardware=TWO_CORES,
            launches=(
                _launch("mlp_relu", "MLP, ReLU", mlp("relu", 10), (0, 1, 2), (0.1, 1.0), (0.4,), (0.3,), (0.5,)),
            ),
        ),
        StudySize(
            key="hours",
            minutes=280,
            hardware=TWO_CORES,
            launches=(
                _launch(
                    "mlp_relu",
                    "MLP, ReLU",
                    mlp("relu"),
                    (0, 1, 2, 3, 4),
                    (0.1, 0.3, 1.0, 3.0),
                    (0.2, 0.4, 0.8),
                    (0.1, 0.3, 0.5),
                    (0.4, 0.5, 0.6),
                ),
                _launch(
                    "cnn_gelu",
                    "CNN, GELU",
                    small_cnn("gelu", 4),
                    (0, 1, 2, 3, 4),
                    (0.3, 1.0, 3.0, 10.0),
                    (0.05, 0.1, 0.2),
                    (0.3, 0.5, 0.8),
                    (0.4, 0.5, 0.6),
                ),
            ),
        ),
        StudySize(
            key="gpu",
            minutes=345,
            hardware=ONE_GPU,
            launches=(
                _launch(
                    "cifar10_resnet18",
                    "CIFAR-10, ResNet-18, group norm",
                    {"model": {"key": "resnet18", "params": {"norm": "group"}}, "epochs": 30, "batch_size": 256},
                    (0, 1, 2),
                    (0.01, 0.1, 1.0),
                    (0.2, 0.4),
                    (0.3, 0.5),
                    (0.4, 0.6),
                    epsilon=0.01,
                    dataset="cifar10",
                    leakage=False,
                ),
            ),
        ),
    ),
    version=2,
    select_by="pgd_linf.accuracy",
    settings=(
        StudySetting(
            name="λ over time",
            ours="constant, warm-up, cosine, and controllers of the gradient norm, of the cross-entropy and of the "
            "robustness on validation images",
            paper="constant; others are an open question",
        ),
        *UNPUBLISHED,
    ),
    tables=(
        StudyTable(title="At matched accuracy", results=("accuracy.accuracy", "pgd_linf.accuracy", "leakage.share")),
        StudyTable(
            title="Every λ and target",
            results=("accuracy.accuracy", "pgd_linf.accuracy", "leakage.share", "metrics.lambda_"),
            rows="all",
        ),
    ),
    figures=(StudyFigure(title="Accuracy under attack", x="accuracy.accuracy", y="pgd_linf.accuracy"),),
    claims=tuple(
        StudyClaim(
            text=f"{name} is more robust than a constant λ",
            first={"schedule.key": key},
            second={"schedule.key": "constant", "regularizer.key": "marginal_density"},
            result="pgd_linf.accuracy",
        )
        for key, name in (
            ("linear_warm_up", "A warm-up"),
            ("cosine", "A cosine"),
            ("target", "A controller of the gradient norm"),
            ("budget", "A controller of the cross-entropy"),
            ("robustness", "A controller of the validation robustness"),
        )
    ),
)
