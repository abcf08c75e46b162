"""The two controllers of λ on real digits, from λ₀ = 0.01 and λ₀ = 1, beside fixed λ.

    python -m benchmarks.controllers [--out FOLDER]

Launches one experiment on a running system (DENSITYLAB_API_URL), waits for it, and writes controllers.md. A second
call launches nothing again.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from backend.shared.contracts import ExperimentRequest
from benchmarks.launched import launched, running_system
from benchmarks.markdown import markdown
from frontend.aggregate import Estimate, Group, estimate, grouped
from frontend.client import ApiClient, ApiError
from frontend.comparison import text
from frontend.demo import wait

SEEDS = [0, 1, 2]
BEGINNINGS = [0.01, 1]
GRADIENT_NORM, CROSS_ENTROPY = 0.4, 0.3
FIXED = [0.1, 0.2, 0.3, 0.5, 0.7, 1]
STEPS_PER_EPOCH = 36
MINUTES = 5.0  # on two CPU cores

REQUEST = ExperimentRequest(
    name="Controllers of λ",
    spec={"dataset": {"key": "blockmnist"}, "model": {"key": "mlp"}, "regularizer": {"key": "marginal_density"},
          "epochs": 15, "evaluations": [{"key": "leakage"}, {"key": "pgd_linf", "params": {"epsilons": [0.1]}}]},
    sweep=[
        {"schedule.key": ["target"], "schedule.params.gradient_norm": [GRADIENT_NORM], "lambda_": BEGINNINGS,
         "seed": SEEDS},
        {"schedule.key": ["budget"], "schedule.params.cross_entropy": [CROSS_ENTROPY], "lambda_": BEGINNINGS,
         "seed": SEEDS},
        {"lambda_": FIXED, "seed": SEEDS},
    ],
    tags=["controllers"],
)


@dataclass(frozen=True)
class Measured:
    """Runs that differ in their seed alone. What training ended with is a mean over its last epoch's batches."""

    schedule: str
    lambda_first: float
    lambda_last: Estimate
    cross_entropy: Estimate
    gradient_norm: Estimate  # root mean square of ‖∇ log p‖
    accuracy: Estimate
    pgd: Estimate


def measured(client: ApiClient, group: Group) -> Measured:
    """Raises ApiError, and ValueError where a run of the group did not succeed."""
    ends = [_last_epoch(client, run.id) for run in group.runs]

    def result(name: str) -> Estimate:
        return _over_seeds([run.results[name].value for run in group.runs if name in run.results])

    return Measured(
        schedule=str(group.settings["schedule.key"]), lambda_first=float(group.settings["lambda_"]),
        lambda_last=_over_seeds([end["lambda_"] for end in ends]),
        cross_entropy=_over_seeds([end["cross_entropy"] for end in ends]),
        # p = 2 and k = 2: the penalty is the mean of ‖∇ log p‖²
        gradient_norm=_over_seeds([math.sqrt(end["penalty"]) for end in ends]),
        accuracy=result("accuracy.accuracy"), pgd=result("pgd_linf.accuracy"),
    )


def _last_epoch(client: ApiClient, run: int) -> dict[str, float]:
    """Means of a run's curves over its last epoch."""
    return {series.name: fmean(point.value for point in series.points[-STEPS_PER_EPOCH:])
            for series in client.metrics(run, names=("cross_entropy", "penalty", "lambda_"))}


def _over_seeds(values: Sequence[float | None]) -> Estimate:
    found = estimate([value for value in values if value is not None])
    if found is None:
        raise ValueError("a result is missing: did a run fail?")
    return found


def at_cross_entropy(fixed: Sequence[Measured], wanted: float) -> float:
    """PGD accuracy of a fixed λ at this cross-entropy, on the line between its neighbours; the end's outside."""
    ordered = sorted(fixed, key=lambda item: item.cross_entropy.mean)
    for below, above in pairwise(ordered):
        low, high = below.cross_entropy.mean, above.cross_entropy.mean
        if low <= wanted <= high:
            return below.pgd.mean + (above.pgd.mean - below.pgd.mean) * (wanted - low) / (high - low)
    nearest = ordered[0] if wanted < ordered[0].cross_entropy.mean else ordered[-1]
    return nearest.pgd.mean


def report(rows: Sequence[Measured]) -> str:
    """Three tables: target, budget, fixed λ."""
    fixed = [row for row in rows if row.schedule == "constant"]
    lines = {"target": [], "budget": [], "constant": []}
    for row in rows:
        ended = [f"{row.lambda_first:g}", text(row.lambda_last), text(row.gradient_norm), text(row.cross_entropy),
                 text(row.accuracy), text(row.pgd)]
        if row.schedule == "target":
            ended.append(_off(row.gradient_norm.mean, GRADIENT_NORM))
        if row.schedule == "budget":
            same = at_cross_entropy(fixed, row.cross_entropy.mean)
            ended += [_off(row.cross_entropy.mean, CROSS_ENTROPY), f"{same:.3f}", f"{row.pgd.mean - same:+.3f}"]
        lines[row.schedule].append(ended)
    header = ["λ₀", "λ at the end", "‖∇ log p‖", "cross-entropy", "test accuracy", "PGD accuracy"]
    return "\n".join([
        f"Target ‖∇ log p‖ = {GRADIENT_NORM:g}:", "", markdown([*header, "off by"], lines["target"]), "",
        f"Budget cross-entropy = {CROSS_ENTROPY:g}:", "",
        markdown([*header, "off by", "PGD of a fixed λ there", "difference"], lines["budget"]), "",
        "Fixed λ:", "", markdown(header, lines["constant"]), "",
    ])


def _off(reached: float, asked: float) -> str:
    return f"{(reached - asked) / asked:+.1%}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out = parser.parse_args().out
    client = running_system()
    try:
        experiment = launched(client, REQUEST)
        runs = wait(client, experiment.id, minutes=MINUTES)
        content = report([measured(client, group) for group in grouped(runs)])
    except (ApiError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    (out / "controllers.md").write_text(content)
    print(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
