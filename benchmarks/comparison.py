"""Compare marginal-density smoothing with its rivals on real digits, each at the λ of its search, on three networks.

    python -m benchmarks.comparison [--out FOLDER] [--networks NETWORK ...]

Launches one experiment per network on a running system (DENSITYLAB_API_URL), waits for it, keeps its runs as
comparison-NETWORK.json.gz, and writes comparison.md and two charts. An experiment that exists already is not launched
again, nor is a network whose runs are kept: a second call goes on, also on another machine. Each network takes an hour
or two on two CPU cores.
"""

import argparse
import gzip
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.comparison_charts import LEAKAGE, ROBUSTNESS, draw
from benchmarks.comparison_tables import MAX_LOSS, PGD_ACCURACY, every_lambda, matched_accuracy, overview
from benchmarks.launched import launched
from densitylab.backend.shared.contracts import BracketSearch, ExperimentRequest, Run
from densitylab.frontend.analysis.comparison import Comparison, compare
from densitylab.frontend.client import ApiClient, ApiError, RunsFailed, connect
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.command_line.progress_line import ProgressLine

SEEDS = [0, 1, 2, 3, 4]
PGD = {"epsilons": [0.1], "steps": 20, "samples": 500}
POLL_SECONDS = 10.0
_Runs = TypeAdapter(list[Run])


@dataclass(frozen=True)
class Network:
    """A network, how it is trained, and where the search for λ starts."""

    key: str
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
    Network("mlp_gelu", "MLP, GELU", 30, _mlp("gelu")),
    Network("mlp_relu", "MLP, ReLU", 0.3, _mlp("relu")),
    Network("cnn_gelu", "CNN, GELU", 1, CNN),
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
    parser.add_argument("--networks", nargs="+", choices=[item.key for item in NETWORKS], help="only these")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    client = connect()
    runs: dict[str, list[Run]] = {}
    try:
        catalog = client.catalog()
        for network in NETWORKS:
            kept = given.out / f"comparison-{network.key}.json.gz"
            if not kept.exists() and (given.networks is None or network.key in given.networks):
                kept.write_bytes(gzip.compress(_Runs.dump_json(_measured(client, network)), mtime=0))
            if kept.exists():
                runs[network.label] = _Runs.validate_json(gzip.decompress(kept.read_bytes()))
                _write(given.out, {label: compare(own, catalog) for label, own in runs.items()}, catalog)
    except (ApiError, RunsFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe runs continue. Run the same command again to wait for them.", file=sys.stderr)
        return 130
    return 0


def _measured(client: ApiClient, network: Network) -> list[Run]:
    """Return the runs of a network once its search has ended. Raises RunsFailed."""
    experiment = launched(client, request(network))
    print(f"{experiment.name}: experiment {experiment.id}")
    return client.wait(experiment.id, poll_seconds=POLL_SECONDS, progress=ProgressLine(), check=True)


def _write(out: Path, comparisons: Mapping[str, Comparison], catalog: Catalog) -> None:
    """Write the tables and the charts of the networks that are done."""
    parts = [overview(comparisons, catalog), "", matched_accuracy(comparisons, catalog), every_lambda(comparisons)]
    (out / "comparison.md").write_text("\n".join(parts))
    draw(comparisons, ROBUSTNESS, out / "comparison-robustness.svg")
    draw(comparisons, LEAKAGE, out / "comparison-leakage.svg")


if __name__ == "__main__":
    sys.exit(main())
