"""Seconds of every measure of one smoothed MLP on 1,000 BlockMNIST images, without the jobs around them.

    python -m benchmarks.measures [--images 1000]

Each measure of the catalog with its default parameters but all the images, stability under each perturbation;
those whose package is not installed, or that the data set cannot give, are named and left out.
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Iterator
from typing import Any

import torch

from backend.shared.catalog import CATALOG, Entry, find
from benchmarks.crosschecks.subjects import Subjects, subjects
from worker.resolve import build_model, component

GOAL = 180.0  # seconds, for all of them on two cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    images = parser.parse_args().images
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    chosen = subjects(images)
    total = 0.0
    for name, entry, params in asked(images):
        took = seconds(chosen, entry, params)
        total += took
        print(f"{name:45} {took:7.2f} s", flush=True)
    print(f"{'all':45} {total:7.2f} s   (goal {GOAL:g} s; {images} images, {torch.get_num_threads()} threads)")


def asked(images: int) -> Iterator[tuple[str, Entry, dict[str, Any]]]:
    dataset = find("dataset", "blockmnist")
    for entry in CATALOG["evaluation"]:
        if entry.package is not None and importlib.util.find_spec(entry.package) is None:
            print(f"{entry.key:45} left out: needs {entry.package}")
            continue
        if entry.needs_groups and not dataset.has_groups:
            print(f"{entry.key:45} left out: needs groups")
            continue
        params = {"samples": images} if entry.param("samples") else {}
        if entry.param("perturbation") is None:
            yield entry.key, entry, params
            continue
        for perturbation in CATALOG["perturbation"]:
            yield (f"{entry.key}, {perturbation.key}", entry,
                   {**params, "perturbation": {"key": perturbation.key, "params": {}}})


def seconds(chosen: Subjects, entry: Entry, params: dict[str, Any]) -> float:
    model = chosen.models["smoothed, λ = 1"]
    offered = {
        "train_data": lambda: chosen.data, "earlier": [],
        "fresh_model": lambda: build_model("mlp", {}, find("dataset", "blockmnist")).eval(),
    }
    given = {name: offered[name] for name in entry.uses}
    given |= {param.name: chosen.models["plain"] for param in entry.params if param.type == "run"}
    began = time.perf_counter()
    component("evaluation", entry.key, params).function(
        model, chosen.data, generator=torch.Generator().manual_seed(0), progress=lambda share: None,
        should_stop=lambda: False, **given,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
