"""The paper's comparison on real digits: marginal-density smoothing and its rivals, each over its own λ, four networks.

    python -m benchmarks.comparison [--out FOLDER]

Launches one experiment per network on a running system (DENSITYLAB_API_URL), waits for it, and writes comparison.md
and two charts. An experiment that is there already is not launched again, but gets the runs that it lacks: a second
call goes on with the waiting, or writes at once.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.shared.contracts import ExperimentRequest, Run, Status
from benchmarks.comparison_charts import LEAKAGE, ROBUSTNESS, draw
from benchmarks.comparison_tables import every_lambda, matched_accuracy, overview
from benchmarks.launched import launched
from frontend.client import ApiError, connect
from frontend.comparison import compare
from frontend.progress_line import ProgressLine

SEEDS = (0, 1, 2)
PGD_ACCURACY = "pgd_linf.accuracy"
PGD = {"epsilons": [0.1], "steps": 20, "samples": 500}
LAMBDAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
COUNT = 3  # of λ per method, from the method's lowest on
POLL_SECONDS = 10.0


@dataclass(frozen=True)
class Network:
    """A network and how it is trained."""

    label: str
    minutes: float  # all its runs on two CPU cores
    spec: Mapping[str, Any]


def _mlp(activation: str) -> dict[str, Any]:
    return {"model": {"key": "mlp", "params": {"activation": activation}}, "epochs": 15, "batch_size": 100}


def _cnn(activation: str) -> dict[str, Any]:
    params = {"width": 6, "pooling": "average", "activation": activation}
    return {"model": {"key": "cnn", "params": params}, "epochs": 2, "batch_size": 25,
            "optimizer": {"key": "adam", "params": {"lr": 0.002}}}


NETWORKS = (
    Network("MLP, ReLU", 14, _mlp("relu")),
    Network("MLP, GELU", 14, _mlp("gelu")),
    Network("CNN, GELU", 18, _cnn("gelu")),
    Network("CNN, ReLU", 18, _cnn("relu")),
)


@dataclass(frozen=True)
class Method:
    """A regularizer with its parameters, and where its λ begin on each of the networks.

    The beginnings come from a few trials with one seed: the largest λ shall cost a little accuracy, not all of it.
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
    Method("adversarial_training", {"steps": 3}, (0.3, 0.3, 0.3, 0.1)),
)


def request(network: Network) -> ExperimentRequest:
    """One experiment: the baseline and every method over its λ, seed after seed."""
    grids: list[dict[str, list[Any]]] = []
    for seed in SEEDS:
        grids.append({"regularizer.key": ["none"], "lambda_": [0], "seed": [seed]})
        for method in METHODS:
            first = LAMBDAS.index(method.lowest[NETWORKS.index(network)])
            params = {f"regularizer.params.{name}": [value] for name, value in method.params.items()}
            grids.append({"regularizer.key": [method.regularizer], **params,
                          "lambda_": list(LAMBDAS[first : first + COUNT]), "seed": [seed]})
    return ExperimentRequest(
        name=f"Comparison: {network.label}",
        spec={"dataset": {"key": "blockmnist"}, **network.spec,
              "evaluations": [{"key": "leakage"}, {"key": "pgd_linf", "params": PGD}]},
        sweep=grids, tags=["comparison"],
        notes="The paper's comparison: every regularizer over its own λ, three seeds.",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--now", action="store_true", help="write what there is instead of waiting for the rest")
    given = parser.parse_args()
    client = connect()
    try:
        experiments = [launched(client, request(network)) for network in NETWORKS]
        runs: dict[str, list[Run]] = {}
        for network, experiment in zip(NETWORKS, experiments, strict=True):
            print(f"{experiment.name}: {len(experiment.runs)} runs, experiment {experiment.id}")
            runs[network.label] = client.runs_of(experiment.id) if given.now else client.wait(
                experiment.id, expected_seconds=network.minutes * 60, poll_seconds=POLL_SECONDS,
                progress=ProgressLine())
        offered = client.catalog()
    except ApiError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe runs go on without this window; the same command waits for them again.", file=sys.stderr)
        return 130
    compared = {label: compare(own, offered) for label, own in runs.items()}
    # A network appears as soon as each of its rows has a figure
    found = {label: own for label, own in compared.items() if all(
        any(PGD_ACCURACY in run.results for run in group.runs) for group in own.groups)}
    text = "\n".join([overview(found, offered), "", matched_accuracy(found, offered), every_lambda(found),
                      _missing(runs)])
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "comparison.md").write_text(text)
    draw(found, ROBUSTNESS, given.out / "comparison-robustness.svg")
    draw(found, LEAKAGE, given.out / "comparison-leakage.svg")
    print(text)
    return 0


def _missing(runs: Mapping[str, Sequence[Run]]) -> str:
    """What the means lack: runs that are not measured yet, and each that failed, with its reason."""
    lines = []
    for label, own in runs.items():
        waiting = sum(PGD_ACCURACY not in run.results and run.status is not Status.FAILED for run in own)
        if waiting:
            lines.append(f"{label}: {waiting} of {len(own)} runs are not measured yet.")
        lines += [f"{label}: run {run.id} failed: {run.error}" for run in own if run.status is Status.FAILED]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
