"""Seconds of a training step of sixteen runs that train as one, against those of one run.

    python -m benchmarks.stacked_runs [--runs 16] [--steps 50] [--rounds 5] [--threads 1] [--device auto]
        [--networks mlp cnn] [--out FOLDER]

Takes λ from 0 to 10 for the demo's MLP and for the small CNN on random images of the embedded digits' shape, with the
demo's regularizer, optimizer and batches. Each round measures `fit` with one run and then the stack of all, so that
both see the same phase of the machine; the ratio is the median over rounds. Below the number of runs it pays to stack
them. The stack needs the memory of all of its runs. Writes stacked_runs-DEVICE.json and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.markdown import markdown
from benchmarks.steps import hardware
from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.specs import complete
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import build_model, build_optimizer, component
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.loop import fit
from densitylab.worker.training.stacked.loop import StackedTraining
from densitylab.worker.training.stacked.member import Member
from densitylab.worker.training.state import TrainingState

CATALOG = Catalog.built_in()

NETWORKS = ("mlp", "cnn")
LARGEST_LAMBDA = 10.0
WARM_UP = 5  # steps


def new_member(spec: RunSpec, lambda_: float, batches: Batches, device: str) -> Member:
    """Return a run of the spec, with another λ."""
    entry = CATALOG.find(DatasetEntry, spec.dataset.key)
    state = TrainingState.new(
        seed=spec.seed,
        device=device,
        build_model=lambda: build_model(CATALOG, spec.model.key, spec.model.params, entry),
        build_optimizer=lambda parameters: build_optimizer(
            CATALOG, spec.optimizer.key, spec.optimizer.params, parameters
        ),
    )
    regularizer = component(CATALOG, "regularizer", spec.regularizer.key, spec.regularizer.params)
    config = TrainingConfig(
        regularizer=regularizer.function,
        **regularizer.trainer,
        lambda_=lambda_,
        schedule=component(CATALOG, "schedule", "constant").function,
        epochs=10_000,
    )
    return Member(state, config, batches)


def seconds_alone(member: Member, steps: int) -> float:
    """Return the seconds of a step of `fit`."""
    state, times = member.state, [0.0]
    first = state.step + WARM_UP

    def note(_: object) -> None:
        if state.step == first:
            _wait(state.device)
            times[0] = time.perf_counter()

    fit(
        state,
        member.batches,
        None,
        member.config,
        on_step=note,
        should_stop=lambda: state.step == first + steps,
    )
    _wait(state.device)
    return (time.perf_counter() - times[0]) / steps


def seconds_together(members: list[Member], steps: int) -> float:
    """Return the seconds of a step of all."""
    with StackedTraining(members, None) as training:
        for _ in range(WARM_UP):
            training.step()
        _wait(members[0].state.device)
        began = time.perf_counter()
        for _ in range(steps):
            training.step()
        _wait(members[0].state.device)
    return (time.perf_counter() - began) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(network: str, count: int, steps: int, rounds: int, device: str) -> dict[str, Any]:
    """Return the median seconds of a step of one run and of all, and the median ratio."""
    spec = complete(CATALOG, {"model": {"key": network}, "evaluations": []})
    entry = CATALOG.find(DatasetEntry, spec.dataset.key)
    height, width = entry.image_size or (1, 1)
    images = torch.randint(256, (3600, entry.channels or 1, height, width), dtype=torch.uint8)
    data = Dataset(images, torch.randint(entry.num_classes or 2, (len(images),)))
    lambdas = [LARGEST_LAMBDA * index / max(count - 1, 1) for index in range(count)]
    one, together = [], []
    with closing(Batches(data, batch_size=spec.batch_size, seed=spec.seed, device=device)) as batches:
        for _ in range(rounds):
            one.append(seconds_alone(new_member(spec, 0.1, batches, device), steps))
            together.append(seconds_together([new_member(spec, each, batches, device) for each in lambdas], steps))
    ratios = [all_ / alone for alone, all_ in zip(one, together, strict=True)]
    return {"network": network, "one": median(one), "together": median(together), "ratio": median(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a training step of runs that train as one.")
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = "cuda" if torch.cuda.is_available() and given.device != "cpu" else "cpu"
    rows = [measure(network, given.runs, given.steps, given.rounds, device) for network in given.networks]
    heading = (
        f"{hardware(torch.device(device))}; torch {torch.__version__}; {given.runs} runs; {given.rounds} rounds of "
        f"{given.steps} steps; load {os.getloadavg()[0]:.1f}; {time.strftime('%Y-%m-%d')}"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"heading": heading, "rows": rows}
    (given.out / f"stacked_runs-{device}.json").write_text(json.dumps(content, indent=1) + "\n")
    cells = [(str(row["network"]), *(f"{row[name]:.4f}" for name in ("one", "together", "ratio"))) for row in rows]
    print(heading, markdown(("network", "one run", "together", "ratio"), cells), sep="\n\n")


if __name__ == "__main__":
    main()
