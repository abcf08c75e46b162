"""Measure how well λ carries over to another norm, power or target of a regularizer, from three kinds of weights.

    python -m benchmarks.lambda_ratios [--activation relu] [--lambda 1] [--seeds 2] [--epochs 10] [--out FOLDER]

Trains the MLP (512-512) on the embedded BlockMNIST: without a penalty, with the reference parameters (the
regularizer's defaults) at λ₀, and with other parameters at λ₀ · k₀ R₀ / (k R), where R and R₀ are the mean penalties of
the chosen and the reference parameters on 256 training images, and k and k₀ their powers. R and R₀ come from new
weights, from those of the run without a penalty, or from those of the reference run. Last, a run at the unchanged λ₀
shows what happens without a suggestion. A suggestion is good if the run ends at the reference run's gradient norms and
accuracy, on all 1,000 test images. Each seed uses its own weights. Writes lambda-ratios-ACTIVATION.json and prints a
table of means over seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.markdown import markdown
from benchmarks.steps import hardware
from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import build_model, build_optimizer, component
from densitylab.worker.training.batches import Batches, as_pixels
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.gradient_norms import gradient_norms
from densitylab.worker.training.loop import fit
from densitylab.worker.training.penalties import mean_penalty
from densitylab.worker.training.state import TrainingState

CATALOG = Catalog.built_in()
IMAGES, BATCH = 256, 100
CASES: dict[str, list[dict[str, Any]]] = {
    "marginal_density": [{"p_norm": "1"}, {"p_norm": "1.5"}, {"p_norm": "inf"}, {"power": 1}],
    "input_gradient": [{"target": "log_prob"}, {"p_norm": "1", "power": 1}],
}


@dataclass(frozen=True)
class End:
    """One trained run, measured on all test images."""

    regularizer: str
    params: dict[str, Any]
    weights: str  # that gave the suggestion: "start", "baseline", "reference"; "unchanged" λ; "" of the runs before
    seed: int
    lambda_: float
    log_density: float  # mean ‖∇ log p(x)‖₂
    log_prob: float  # mean ‖∇ log p(y|x)‖₂
    accuracy: float


class Trainer:
    """Runs of one network and data set with one seed."""

    def __init__(self, train: Dataset, test: Dataset, activation: str, epochs: int, seed: int) -> None:
        self._train, self._test, self._epochs, self._seed = train, test, epochs, seed
        model = partial(
            build_model, CATALOG, "mlp", {"activation": activation}, CATALOG.find(DatasetEntry, "blockmnist")
        )
        self.new = partial(
            TrainingState.new,
            seed=seed,
            device="cpu",
            threads=1,
            build_model=model,
            build_optimizer=lambda parameters: build_optimizer(CATALOG, "adam", {"lr": 1e-3}, parameters),
        )

    def run(self, key: str, params: dict[str, Any], lambda_: float, weights: str = "") -> tuple[torch.nn.Module, End]:
        """Train from new weights; return the model and its measures."""
        state = self.new()
        config = TrainingConfig(
            regularizer=component(CATALOG, "regularizer", key, params).function,
            lambda_=lambda_,
            schedule=component(CATALOG, "schedule", "constant").function,
            epochs=self._epochs,
        )
        with closing(Batches(self._train, batch_size=BATCH, seed=self._seed, device="cpu")) as batches:
            fit(state, batches, None, config, on_step=lambda _: None, should_stop=lambda: False)
        model = state.model.eval()
        x, y = as_pixels(self._test.images).requires_grad_(True), self._test.labels
        logits = model(x)
        norms = gradient_norms(x, logits, y)
        accuracy = float((logits.argmax(dim=1) == y).double().mean())
        means = float(norms.log_density.mean()), float(norms.log_prob.mean())
        return model, End(key, params, weights, self._seed, lambda_, *means, accuracy)

    def penalty(self, model: torch.nn.Module, key: str, params: dict[str, Any]) -> float:
        """Return the mean penalty on the first training images."""
        data = Dataset(self._train.images[:IMAGES], self._train.labels[:IMAGES])
        value = mean_penalty(
            model,
            data,
            regularizer=component(CATALOG, "regularizer", key, params).function,
            uses=(),
            generator=torch.Generator().manual_seed(0),
            device=torch.device("cpu"),
        )
        assert value is not None  # nothing stops it
        return value


def of_seed(trainer: Trainer, lambda_: float, report: Callable[[End], None]) -> list[End]:
    """Return all runs of a seed."""
    ends: list[End] = []

    def run(*given: Any) -> torch.nn.Module:
        model, end = trainer.run(*given)
        ends.append(end)
        report(end)
        return model

    baseline = run("none", {}, 0.0)
    for key, cases in CASES.items():
        sources = {"start": trainer.new().model, "baseline": baseline, "reference": run(key, {}, lambda_)}
        for params in cases:
            for name, model in sources.items():
                ratio = trainer.penalty(model, key, {}) / trainer.penalty(model, key, params)
                run(key, params, lambda_ * ratio * 2 / params.get("power", 2), name)
            run(key, params, lambda_, "unchanged")
    return ends


def table(ends: list[End]) -> str:
    """Return means over seeds as Markdown, one row for each regularizer, parameters and weights."""
    groups: dict[tuple[str, str, str], list[End]] = {}
    for end in ends:
        params = ", ".join(f"{name} {value}" for name, value in end.params.items())
        groups.setdefault((end.regularizer, params, end.weights), []).append(end)
    rows = []
    for (regularizer, params, weights), runs in groups.items():
        shown = " · ".join(f"{run.lambda_:.3g}" for run in runs)
        means = [fmean(getattr(run, name) for run in runs) for name in ("log_density", "log_prob", "accuracy")]
        rows.append([regularizer, params or "defaults", weights, shown, *(f"{mean:.3g}" for mean in means)])
    header = ["regularizer", "parameters", "weights of the ratio", "λ by seed"]
    return markdown([*header, "‖∇ log p(x)‖₂", "‖∇ log p(y|x)‖₂", "accuracy"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--lambda", type=float, default=1.0, dest="lambda_")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "blockmnist"
        prepare = component(CATALOG, "dataset", "blockmnist").function
        prepare(root, progress=lambda _: None, should_stop=lambda: False)
        train, test = (npy_store.load(root, split) for split in ("train", "test"))
        ends = []
        for seed in range(given.seeds):
            trainer = Trainer(train, test, given.activation, given.epochs, seed)
            ends += of_seed(trainer, given.lambda_, lambda end: print(end, flush=True))
    file = given.out / f"lambda-ratios-{given.activation}.json"
    result = {
        "arguments": vars(given) | {"out": ""},
        "hardware": hardware(torch.device("cpu")),
        "ends": [*map(asdict, ends)],
    }
    file.write_text(json.dumps(result, indent=1))
    print(table(ends))


if __name__ == "__main__":
    main()
