"""Compare marginal-density smoothing with its rivals on real digits, each at the λ of its search, on three networks.

    python -m benchmarks.comparison [--out FOLDER]

Launches one experiment per network on a running system (DENSITYLAB_API_URL), waits for it, and writes comparison.md
and two charts. An experiment that exists already is not launched again: a second call continues to wait, or writes at
once. All runs together take some hours on two CPU cores.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparison_charts import LEAKAGE, ROBUSTNESS, draw
from benchmarks.comparison_tables import MAX_LOSS, PGD_ACCURACY, every_lambda, matched_accuracy, overview
from benchmarks.launched import launched
from densitylab.backend.shared.contracts import BracketSearch, ExperimentRequest, Run, Status
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.client import ApiError, connect
from densitylab.frontend.command_line.progress_line import ProgressLine

SEEDS = [0, 1, 2, 3, 4]
PGD = {"epsilons": [0.1], "steps": 20, "samples": 500}
POLL_SECONDS = 10.0


@dataclass(frozen=True)
class Network:
    """A network, how it is trained, and where the search for λ starts."""

    label: str
    start: float  # λ in the middle of the first three
    spec: Mapping[str, Any]


def _mlp(activation: str) -> dict[str, Any]:
    return {"model": {"key": "mlp", "params": {"activation": activation}}, "epochs": 15, "batch_size": 100}


CNN = {
    "model": {"key": "cnn", "params": {"width": 6, "pooling": "average", "activation": "gelu"}},
    "epochs": 2,
    "batch_size": 25,
    "optimizer": {"key": "adam", "params": {"lr": 0.002}},
}

NETWORKS = (
    Network("MLP, GELU", 30, _mlp("gelu")),
    Network("MLP, ReLU", 0.3, _mlp("relu")),
    Network("CNN, GELU", 1, CNN),
)

METHODS = (
    {"key": "marginal_density"},
    {"key": "input_gradient", "params": {"target": "logit"}},
    {"key": "input_gradient", "params": {"target": "log_prob"}},
    {"key": "jacobian"},
    {"key": "curvature"},
    {"key": "adversarial_training", "params": {"steps": 3}},
)


def request(network: Network) -> ExperimentRequest:
    """Return the request of one experiment: every method with the λ that its search finds, and the baseline."""
    return ExperimentRequest(
        name=f"Comparison: {network.label}",
        spec={
            "dataset": {"key": "blockmnist"},
            **network.spec,
            "evaluations": [{"key": "leakage"}, {"key": "pgd_linf", "params": PGD}],
        },
        sweep={"regularizer": list(METHODS)},
        search=BracketSearch(
            kind="bracket", result=PGD_ACCURACY, accuracy_budget=MAX_LOSS, start=network.start, seeds=SEEDS
        ),
        tags=["comparison"],
        notes="The paper's comparison: every regularizer over its own λ, five seeds.",
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
