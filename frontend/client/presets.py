"""Ready requests for the launch page; the demo is one of them."""

from dataclasses import dataclass

from densitylab.backend.shared.contracts import ExperimentRequest


@dataclass(frozen=True)
class Preset:
    """A ready request, with its summary and its duration."""

    key: str
    label: str
    summary: str
    minutes: float  # measured on two CPU cores
    request: ExperimentRequest


DEMO = Preset(
    key="demo",
    label="Demo: λ from 0 to 1",
    summary="The MLP on BlockMNIST with λ = 0, 0.1 and 1, three seeds each: the effect of smoothing on accuracy, "
    "leakage and adversarial accuracy.",
    minutes=2,
    request=ExperimentRequest(
        name="Demo: effect of λ",
        spec={
            "dataset": {"key": "blockmnist"},
            "model": {"key": "mlp"},
            "regularizer": {"key": "marginal_density"},
            "evaluations": [
                {"key": "leakage"},
                {
                    "key": "leakage",
                    "name": "leakage_zero_occlusion",
                    "params": {
                        "attribution": {"key": "occlusion", "params": {"patch": 1, "stride": 1}},
                        "samples": 200,
                    },
                },
                {"key": "pgd_linf", "params": {"epsilons": [0.1]}},
            ],
        },
        sweep={"lambda_": [0, 0.1, 1], "seed": [0, 1, 2]},
        notes="λ against accuracy, leakage on the null block (by gradient and by zero occlusion) and PGD accuracy.",
        tags=["demo"],
    ),
)

PRESETS = (
    Preset(
        key="quick",
        label="Quick look",
        summary="One short run with λ = 0.1, to watch the curves.",
        minutes=0.1,
        request=ExperimentRequest(
            name="Quick look",
            spec={"lambda_": 0.1, "seed": 0, "epochs": 5},
            tags=["quick"],
        ),
    ),
    DEMO,
    Preset(
        key="estimators",
        label="Compare estimators",
        summary="The exact penalty and two estimates of it on a smooth network (GELU), for which they should agree.",
        minutes=0.5,
        request=ExperimentRequest(
            name="Compare estimators",
            spec={
                "model": {"key": "mlp", "params": {"activation": "gelu"}},
                "lambda_": 0.1,
                "seed": 0,
            },
            sweep={
                "regularizer.params.estimator": [
                    "double_backward",
                    "finite_difference",
                    "random_projection",
                ]
            },
            tags=["estimators"],
        ),
    ),
)
