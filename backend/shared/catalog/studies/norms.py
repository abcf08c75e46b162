"""The paper's first open question: which norm of the density gradient."""

from typing import Any

from densitylab.backend.shared.catalog.entries import StudyEntry
from densitylab.backend.shared.catalog.studies.parts import ONE_GPU, TWO_CORES, mlp, small_cnn
from densitylab.backend.shared.catalog.study_parts import (
    StudyClaim,
    StudyFigure,
    StudyLaunch,
    StudySetting,
    StudySize,
    StudyTable,
)

_ATTACKS = [
    {"key": "pgd_linf", "params": {"epsilons": [0.1], "samples": 300}},
    {"key": "pgd_l2", "params": {"epsilons": [1.0], "samples": 300}},
]


def _launch(
    key: str,
    label: str,
    training: dict[str, Any],
    seeds: tuple[int, ...],
    orders: tuple[str, ...],
    dataset: str = "blockmnist",
    leakage: bool = True,
) -> StudyLaunch:
    """Return the baseline, and each norm and power steered to the same final ‖∇ log p(x)‖₂."""
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
            {
                "regularizer": [{"key": "marginal_density"}],
                "regularizer.params.p_norm": list(orders),
                "regularizer.params.power": [1, 2],
                "schedule": [{"key": "target", "params": {"gradient_norm": 0.4}}],
                "lambda_": [0.1],
                "seed": list(seeds),
            },
        ],
    )


_ALL = ("1", "1.5", "2", "4", "inf")

NORMS = StudyEntry(
    "norms",
    "Norm of the density gradient",
    "p and power of the penalty, compared at one gradient norm.",
    question="Which norm of the density gradient should be penalised, if each is brought to the same ‖∇ log p(x)‖₂?",
    sizes=(
        StudySize(
            key="minutes",
            minutes=9,
            hardware=TWO_CORES,
            launches=(_launch("mlp_relu", "MLP, ReLU", mlp("relu", 10), (0, 1, 2), ("1", "2", "inf")),),
        ),
        StudySize(
            key="hours",
            minutes=180,
            hardware=TWO_CORES,
            launches=(
                _launch("mlp_relu", "MLP, ReLU", mlp("relu"), (0, 1, 2, 3, 4), _ALL),
                _launch("mlp_gelu", "MLP, GELU", mlp("gelu"), (0, 1, 2, 3, 4), _ALL),
                _launch("cnn_gelu", "CNN, GELU", small_cnn("gelu", 4), (0, 1, 2, 3, 4), _ALL),
            ),
        ),
        StudySize(
            key="gpu",
            minutes=240,
            hardware=ONE_GPU,
            launches=(
                _launch(
                    "cifar10_resnet18",
                    "CIFAR-10, ResNet-18, group norm",
                    {
                        "model": {"key": "resnet18", "params": {"norm": "group"}},
                        "epochs": 30,
                        "batch_size": 256,
                    },
                    (0, 1, 2),
                    _ALL,
                    "cifar10",
                    leakage=False,
                ),
            ),
        ),
    ),
    accuracy_budget=1.0,  # λ is steered, not selected
    settings=(
        StudySetting(name="p", ours="1, 1.5, 2, 4, ∞; minutes: 1, 2, ∞", paper="2; others are an open question"),
        StudySetting(name="power", ours="1 and 2"),
        StudySetting(name="λ", ours="steered until the root mean square of ‖∇ log p(x)‖₂ is 0.4"),
    ),
    tables=(
        StudyTable(
            title="At one gradient norm",
            results=(
                "accuracy.accuracy",
                "pgd_linf.accuracy",
                "pgd_l2.accuracy",
                "leakage.share",
                "metrics.gradient_norm",
            ),
            rows="all",
        ),
    ),
    figures=(
        StudyFigure(title="Robustness by norm", x="regularizer.params.p_norm", y="pgd_linf.accuracy"),
        StudyFigure(title="Leakage by norm", x="regularizer.params.p_norm", y="leakage.share"),
    ),
    claims=tuple(
        StudyClaim(
            text=f"p = {name} is more robust than p = 2 (squared norms)",
            first={"regularizer.params.p_norm": order, "regularizer.params.power": 2},
            second={"regularizer.params.p_norm": "2", "regularizer.params.power": 2},
            result="pgd_linf.accuracy",
        )
        for order, name in (("1", "1"), ("inf", "∞"))
    ),
)
