"""Feature leakage on BlockMNIST: how much of an attribution lies on the block that carries no label."""

from typing import Any

from densitylab.backend.shared.catalog.entries import StudyEntry
from densitylab.backend.shared.catalog.studies.parts import (
    BASELINE,
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


def _spec(dataset: str, network: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": {"key": dataset}, **network, "evaluations": on_both_splits("leakage")}


def _zero_occlusion(images: int) -> tuple[dict[str, Any], ...]:
    """Return the leakage of zero occlusion, of the selected λ alone: it costs a pass for each pixel of an image."""
    attribution = {"key": "occlusion", "params": {"patch": 1, "stride": 1}}
    params = {"attribution": attribution, "samples": images}
    return ({"key": "leakage", "name": "leakage_zero_occlusion", "params": params},)


_RIVALS = (MARGINAL_DENSITY, JOINT_GRADIENT, CONDITIONAL_GRADIENT, JACOBIAN, CURVATURE)
_MINUTES = tuple(
    StudyLaunch(
        key=key,
        label=label,
        spec=_spec("blockmnist", network),
        sweep=swept((0, 1, 2), (MARGINAL_DENSITY, JOINT_GRADIENT), lambdas),
        of_selected=_zero_occlusion(100),
    )
    for key, label, network, lambdas in (
        ("mlp_relu", "MLP, ReLU", mlp("relu", 10), (0.1, 1.0)),
        ("mlp_gelu", "MLP, GELU", mlp("gelu", 10), (1.0, 10.0)),
        ("cnn_gelu", "CNN, GELU", small_cnn("gelu", 2), (0.3, 3.0)),
    )
)
_HOURS = tuple(
    StudyLaunch(
        key=key,
        label=label,
        spec=_spec("blockmnist", network),
        sweep={"regularizer": list(_RIVALS)},
        of_selected=_zero_occlusion(100),
        search=bracket("leakage.share", (0, 1, 2), start) | {"max_candidates": 5},
    )
    for key, label, network, start in (
        ("mlp_relu", "MLP, ReLU", mlp("relu"), 0.3),
        ("mlp_gelu", "MLP, GELU", mlp("gelu"), 30.0),
        ("cnn_relu", "CNN, ReLU", small_cnn("relu", 4), 0.1),
        ("cnn_gelu", "CNN, GELU", small_cnn("gelu", 4), 1.0),
    )
)
_GPU = tuple(
    StudyLaunch(
        key=key,
        label=label,
        spec=_spec("blockmnist_full", network),
        sweep=swept((0, 1, 2), _RIVALS, (0.01, 0.1, 1.0, 10.0)),
        of_selected=_zero_occlusion(500),
    )
    for key, label, network in (
        ("mlp_relu", "MLP, ReLU", mlp("relu", 10)),
        ("mlp_gelu", "MLP, GELU", mlp("gelu", 10)),
        ("cnn_relu", "CNN, ReLU", {**small_cnn("relu", 5), "batch_size": 100}),
        ("cnn_gelu", "CNN, GELU", {**small_cnn("gelu", 5), "batch_size": 100}),
    )
)

LEAKAGE = StudyEntry(
    "leakage",
    "Feature leakage",
    "BlockMNIST: the part of an attribution that lies on the block without a digit.",
    version=3,
    question="Does smoothing the marginal density keep a network from relying on a block that carries no label?",
    sizes=(
        StudySize(key="minutes", minutes=9, hardware=TWO_CORES, launches=_MINUTES),
        StudySize(key="hours", minutes=120, hardware=TWO_CORES, launches=_HOURS),
        StudySize(key="gpu", minutes=60, hardware=ONE_GPU, launches=_GPU),
    ),
    select_by="leakage.share",
    settings=(
        StudySetting(name="data", ours="BlockMNIST of 5,000 digits; gpu: of 70,000", paper="BlockMNIST"),
        StudySetting(name="networks", ours="MLP and small CNN, ReLU and GELU", paper="MLP, and others"),
        StudySetting(
            name="attributions",
            ours="gradient of the true logit; at the selected λ also zero occlusion",
            paper="zero occlusion",
        ),
        *UNPUBLISHED,
    ),
    tables=(
        StudyTable(
            title="Leakage at the selected λ",
            results=(
                "accuracy.accuracy",
                "leakage.l2",
                "leakage.share",
                "leakage_zero_occlusion.l2",
                "leakage_zero_occlusion.share",
            ),
        ),
        StudyTable(title="Every λ", results=("accuracy.accuracy", "leakage.l2", "leakage.share"), rows="all"),
    ),
    figures=(StudyFigure(title="Leakage against accuracy", x="accuracy.accuracy", y="leakage.share"),),
    claims=(
        StudyClaim(
            text="Marginal-density smoothing has a smaller share of leakage than no penalty",
            first=MARGINAL,
            second=BASELINE,
            result="leakage.share",
        ),
        StudyClaim(
            text="Marginal-density smoothing has a smaller share of leakage than the input gradient of the logit",
            first=MARGINAL,
            second=JOINT,
            result="leakage.share",
        ),
        StudyClaim(
            text="Marginal-density smoothing has less zero-occlusion leakage than no penalty",
            first=MARGINAL,
            second=BASELINE,
            result="leakage_zero_occlusion.share",
        ),
    ),
)
