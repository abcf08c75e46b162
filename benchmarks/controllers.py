"""Compare two controllers of λ with fixed λ on real digits, from λ₀ = 0.01 and λ₀ = 1.

    python -m benchmarks.controllers [--out FOLDER]

Launches one experiment on a running system (DENSITYLAB_API_URL), waits for it, and writes controllers.md. A second call
finds the experiment and launches nothing.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from benchmarks.launched import launched
from benchmarks.markdown import markdown
from densitylab.backend.shared.contracts import ExperimentRequest, Run
from densitylab.backend.shared.statistics.estimates import Estimate, estimate
from densitylab.backend.shared.statistics.groups import Group, group_runs
from densitylab.frontend.analysis.comparison import text
from densitylab.frontend.client import ApiClient, ApiError, connect
from densitylab.frontend.command_line.progress_line import ProgressLine

SEEDS = [0, 1, 2]
BEGINNINGS = [0.01, 1]
GRADIENT_NORM, CROSS_ENTROPY = 0.4, 0.3
FIXED = [0.1, 0.2, 0.3, 0.5, 0.7, 1]
STEPS_PER_EPOCH = 36
MINUTES = 5.0  # on two CPU cores

REQUEST = ExperimentRequest(
    name="Controllers of λ",
    spec={
        "dataset": {"key": "blockmnist"},
        "model": {"key": "mlp"},
        "regularizer": {"key": "marginal_density"},
        "epochs": 15,
        "evaluations": [{"key": "leakage"}, {"key": "pgd_linf", "params": {"epsilons": [0.1]}}],
    },
    sweep=[
        {
            "schedule.key": ["target"],
            "schedule.params.gradient_norm": [GRADIENT_NORM],
            "lambda_": BEGINNINGS,
            "seed": SEEDS,
        },
        {
            "schedule.key": ["budget"],
            "schedule.params.cross_entropy": [CROSS_ENTROPY],
            "lambda_": BEGINNINGS,
            "seed": SEEDS,
        },
        {"lambda_": FIXED, "seed": SEEDS},
    ],
    tags=["controllers"],
)


@dataclass(frozen=True)
class End:
    """Means over the last epoch of one run, and its results."""

    lambda_: float
    cross_entropy: float
    gradient_norm: float  # root mean square of ‖∇ log p‖
    accuracy: float
    pgd: float


@dataclass(frozen=True)
class Row:
    """Runs that differ only in their seed."""

    schedule: str
    lambda_: float  # the initial value
    ends: dict[int, End]  # by seed

    def mean(self, name: str) -> Estimate:
        mean = estimate([getattr(end, name) for end in self.ends.values()])
        assert mean is not None  # a row has at least one run
        return mean


def row_of(client: ApiClient, group: Group) -> Row:
    """Collect the results of a group. Raises ApiError, and ValueError where a run did not succeed."""
    ends = {run.spec.seed: _end(client, run) for run in group.runs}
    return Row(str(group.settings["schedule.key"]), group.settings["lambda_"], ends)


def _end(client: ApiClient, run: Run) -> End:
    curves = _last_epoch(client, run.id)
    accuracy, pgd = (
        run.results[name].value if name in run.results else None for name in ("accuracy.accuracy", "pgd_linf.accuracy")
    )
    if accuracy is None or pgd is None:
        raise ValueError(f"run {run.id} {run.status.value} without its evaluations: {run.error or 'no reason given'}")
    # p = 2 and k = 2: the penalty is the mean of ‖∇ log p‖²
    return End(curves["lambda_"], curves["cross_entropy"], math.sqrt(curves["penalty"]), accuracy, pgd)


def _last_epoch(client: ApiClient, run: int) -> dict[str, float]:
    """Return the means of a run's curves over its last epoch."""
    return {
        series.name: fmean(point.value for point in series.points[-STEPS_PER_EPOCH:])
        for series in client.metrics(run, names=("cross_entropy", "penalty", "lambda_"))
    }


def at_cross_entropy(fixed: Sequence[End], wanted: float) -> float:
    """Interpolate the PGD accuracy of fixed λ at this cross-entropy; outside the range, take the nearest end."""
    ordered = sorted(fixed, key=lambda end: end.cross_entropy)
    for below, above in pairwise(ordered):
        if below.cross_entropy <= wanted <= above.cross_entropy:
            share = (wanted - below.cross_entropy) / (above.cross_entropy - below.cross_entropy)
            return below.pgd + (above.pgd - below.pgd) * share
    return (ordered[0] if wanted < ordered[0].cross_entropy else ordered[-1]).pgd


def beyond_fixed(row: Row, fixed: Sequence[Row]) -> Estimate | None:
    """Return the PGD accuracy minus that of a fixed λ at the same cross-entropy, paired by seed."""
    return estimate(
        [
            end.pgd - at_cross_entropy([other.ends[seed] for other in fixed if seed in other.ends], end.cross_entropy)
            for seed, end in row.ends.items()
        ]
    )


def report(rows: Sequence[Row]) -> str:
    """Return three tables: target, budget, fixed λ."""
    fixed = [row for row in rows if row.schedule == "constant"]
    lines: dict[str, list[list[str]]] = {"target": [], "budget": [], "constant": []}
    for row in rows:
        names = ("lambda_", "gradient_norm", "cross_entropy", "accuracy", "pgd")
        line = [f"{row.lambda_:g}", *(text(row.mean(name)) for name in names)]
        if row.schedule == "target":
            line.append(_off(row.mean("gradient_norm"), GRADIENT_NORM))
        if row.schedule == "budget":
            line += [_off(row.mean("cross_entropy"), CROSS_ENTROPY), text(beyond_fixed(row, fixed), signed=True)]
        lines[row.schedule].append(line)
    header = ["λ₀", "λ at the end", "‖∇ log p‖", "cross-entropy", "test accuracy", "PGD accuracy"]
    return "\n".join(
        [
            f"Target ‖∇ log p‖ = {GRADIENT_NORM:g}:",
            "",
            markdown([*header, "off by"], lines["target"]),
            "",
            f"Budget cross-entropy = {CROSS_ENTROPY:g}:",
            "",
            markdown([*header, "off by", "PGD beyond a fixed λ of that cross-entropy"], lines["budget"]),
            "",
            "Fixed λ:",
            "",
            markdown(header, lines["constant"]),
            "",
        ]
    )


def _off(reached: Estimate, target: float) -> str:
    return f"{(reached.mean - target) / target:+.1%}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out = parser.parse_args().out
    client = connect()
    try:
        experiment = launched(client, REQUEST)
        runs = client.wait(experiment.id, expected_seconds=MINUTES * 60, progress=ProgressLine())
        content = report([row_of(client, group) for group in group_runs(runs)])
    except (ApiError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    (out / "controllers.md").write_text(content)
    print(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
