"""Compare marginal-density smoothing with its rivals on real digits, each over its own λ, on four networks.

    python -m benchmarks.comparison [--out FOLDER]

Launches one experiment per network on a running system (DENSITYLAB_API_URL), waits for it, and writes comparison.md
and two charts. An experiment that exists already is not launched again; only its missing runs are added. So a second
call continues to wait, or writes at once.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparison_charts import LEAKAGE, ROBUSTNESS, draw
from benchmarks.comparison_tables import PGD_ACCURACY, every_lambda, matched_accuracy, overview
from benchmarks.launched import launched
from densitylab.backend.shared.contracts import ExperimentRequest, Run, Status
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.client import ApiError, connect
from densitylab.frontend.command_line.progress_line import ProgressLine

SEEDS = (0, 1, 2)
PGD = {"epsilons": [0.1], "steps": 20, "samples": 500}
LAMBDAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
COUNT = 3  # λ values per method, from its lowest
POLL_SECONDS = 10.0


@dataclass(frozen=True)
class Network:
    """A network and how it is trained."""

    label: str
    minutes: float  # for all its runs on two CPU cores
    spec: Mapping[str, Any]


def _mlp(activation: str) -> dict[str, Any]:
    return {"model": {"key": "mlp", "params": {"activation": activation}}, "epochs": 15, "batch_size": 100}


def _cnn(activation: str) -> dict[str, Any]:
    params = {"width": 6, "pooling": "average", "activation": activation}
    return {
        "model": {"key": "cnn", "params": params},
        "epochs": 2,
        "batch_size": 25,
        "optimizer": {"key": "adam", "params": {"lr": 0.002}},
    }


NETWORKS = (
    Network("MLP, ReLU", 14, _mlp("relu")),
    Network("MLP, GELU", 14, _mlp("gelu")),
    Network("CNN, GELU", 18, _cnn("gelu")),
    Network("CNN, ReLU", 18, _cnn("relu")),
)


@dataclass(frozen=True)
class Method:
    """A regularizer with its parameters and its lowest λ on each network.

    The lowest λ come from a few trials with one seed: the largest λ should cost a little accuracy, not all of it.
    That of adversarial training is at most 1.
    """

    regularizer: str
    params: Mapping[str, Any]
    lowest: tuple[float, ...]  # of LAMBDAS, in the order of NETWORKS


METHODS = (
    Method("marginal_density", {"estimator": "double_backward"}, (0.1, 10, 0.3, 0.03)),
    Method("marginal_density", {"estimator": "finite_difference"}, (0.1, 10, 0.3, 0.03)),
    Method("marginal_density", {"estimator": "random_projection"}, (0.01, 10, 0.3, 0.01)),
    Method("input_gradient", {"target": "logit"}, (0.1, 1, 0.3, 0.03)),
    Method("input_gradient", {"target": "log_prob"}, (1, 1, 1, 1)),
    Method("jacobian", {}, (0.03, 0.3, 0.03, 0.01)),
    Method("curvature", {}, (3, 10, 1, 0.3)),
    Method("adversarial_training", {"steps": 3}, (0.1, 0.1, 0.1, 0.1)),
)


def request(network: Network) -> ExperimentRequest:
    """Return the request of one experiment: the baseline and every method over its λ, seed by seed."""
    grids: list[dict[str, list[Any]]] = []
    for seed in SEEDS:
        grids.append({"regularizer.key": ["none"], "lambda_": [0], "seed": [seed]})
        for method in METHODS:
            first = LAMBDAS.index(method.lowest[NETWORKS.index(network)])
            params = {f"regularizer.params.{name}": [value] for name, value in method.params.items()}
            grids.append(
                {
                    "regularizer.key": [method.regularizer],
                    **params,
                    "lambda_": list(LAMBDAS[first : first + COUNT]),
                    "seed": [seed],
                }
            )
    return ExperimentRequest(
        name=f"Comparison: {network.label}",
        spec={
            "dataset": {"key": "blockmnist"},
            **network.spec,
            "evaluations": [{"key": "leakage"}, {"key": "pgd_linf", "params": PGD}],
        },
        sweep=grids,
        tags=["comparison"],
        notes="The paper's comparison: every regularizer over its own λ, three seeds.",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--now", action="store_true", help="write the results so far instead of waiting")
    given = parser.parse_args()
    client = connect()
    try:
        experiments = [launched(client, request(network)) for network in NETWORKS]
        runs: dict[str, list[Run]] = {}
        for network, experiment in zip(NETWORKS, experiments, strict=True):
            print(f"{experiment.name}: {len(experiment.runs)} runs, experiment {experiment.id}")
            runs[network.label] = (
                client.runs_of(experiment.id)
                if given.now
                else client.wait(
                    experiment.id,
                    expected_seconds=network.minutes * 60,
                    poll_seconds=POLL_SECONDS,
                    progress=ProgressLine(),
                )
            )
        catalog = client.catalog()
    except ApiError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe runs continue. Run the same command again to wait for them.", file=sys.stderr)
        return 130
    compared = {label: compare(own, catalog) for label, own in runs.items()}
    # A network is shown once each of its rows has a result
    comparisons = {
        label: own
        for label, own in compared.items()
        if all(any(PGD_ACCURACY in run.results for run in group.runs) for group in own.groups)
    }
    text = "\n".join(
        [
            overview(comparisons, catalog),
            "",
            matched_accuracy(comparisons, catalog),
            every_lambda(comparisons),
            _missing(runs),
        ]
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "comparison.md").write_text(text)
    draw(comparisons, ROBUSTNESS, given.out / "comparison-robustness.svg")
    draw(comparisons, LEAKAGE, given.out / "comparison-leakage.svg")
    print(text)
    return 0


def _missing(runs: Mapping[str, Sequence[Run]]) -> str:
    """List the runs that are not evaluated yet, and each failed run with its error."""
    lines = []
    for label, own in runs.items():
        waiting = sum(PGD_ACCURACY not in run.results and run.status is not Status.FAILED for run in own)
        if waiting:
            lines.append(f"{label}: {waiting} of {len(own)} runs are not evaluated yet.")
        lines += [f"{label}: run {run.id} failed: {run.error}" for run in own if run.status is Status.FAILED]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
