"""Seconds of every evaluation of one smoothed MLP on 1,000 BlockMNIST images, without the job around it.

    python -m benchmarks.evaluation_speed [--images 1000]

Runs each evaluation of the catalog with its default parameters on all the images, and stability under each
perturbation. Names and skips those whose package is not installed, or which the data set does not support.
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.crosschecks.subjects import Subjects, subjects
from densitylab.backend.shared.catalog import Catalog, Entry
from densitylab.worker.resolve import build_model, component

CATALOG = Catalog.built_in()

GOAL = 180.0  # seconds, for all evaluations on two cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    images = parser.parse_args().images
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    chosen = subjects(images)
    total = 0.0
    for name, entry, params in cases(images):
        took = seconds(chosen, entry, params)
        total += took
        print(f"{name:45} {took:7.2f} s", flush=True)
    print(f"{'all':45} {total:7.2f} s   (goal {GOAL:g} s; {images} images, {torch.get_num_threads()} threads)")


def cases(images: int) -> Iterator[tuple[str, Entry, dict[str, Any]]]:
    dataset = CATALOG.find("dataset", "blockmnist")
    for entry in CATALOG.all("evaluation"):
        if entry.package is not None and importlib.util.find_spec(entry.package) is None:
            print(f"{entry.key:45} skipped: needs {entry.package}")
            continue
        if entry.needs_groups and not dataset.has_groups:
            print(f"{entry.key:45} skipped: needs groups")
            continue
        if entry.needs_corruptions and dataset.corruptions is None:
            print(f"{entry.key:45} skipped: needs published corrupted images")
            continue
        params = {"samples": images} if entry.param("samples") else {}
        if entry.param("perturbation") is None:
            yield entry.key, entry, params
            continue
        for perturbation in CATALOG.all("perturbation"):
            yield (
                f"{entry.key}, {perturbation.key}",
                entry,
                {**params, "perturbation": {"key": perturbation.key, "params": {}}},
            )


def seconds(chosen: Subjects, entry: Entry, params: dict[str, Any]) -> float:
    model = chosen.models["smoothed, λ = 1"]
    inputs = {
        "train_data": lambda: chosen.data,
        "prior_results": [],
        "fresh_model": lambda: build_model(CATALOG, "mlp", {}, CATALOG.find("dataset", "blockmnist")).eval(),
    }
    used = {name: inputs[name] for name in entry.uses}
    used |= {param.name: chosen.models["plain"] for param in entry.params if param.type == "run"}
    began = time.perf_counter()
    component(CATALOG, "evaluation", entry.key, params).function(
        model,
        chosen.data,
        generator=torch.Generator().manual_seed(0),
        progress=lambda share: None,
        should_stop=lambda: False,
        **used,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
