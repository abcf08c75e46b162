"""Mean and worst-group accuracy of ERM, Group DRO, JTT, DFR and marginal-density smoothing with ResNet-18.

    python -m benchmarks.worst_group DATASET [--epochs 20] [--seeds 0 1 2] [--out FOLDER]
    python -m benchmarks.worst_group --npz FILE [--image-size 96]

DATASET is the key of a data set with groups that this installation has prepared or registered. FILE has the arrays
`images` (N, H, W, C) or (N, C, H, W) uint8, `labels`, `groups`, and `splits` with 0, 1, 2 or train, validation, test.

Every method has the same optimizer, batches and epochs (two at least), starts from random weights, and keeps the
weights of the epoch with the best worst-group accuracy on validation images; nothing is tuned beyond that. Intervals
are 95 %, over seeds and images together. Writes worst_group.json after every run, then worst_group.md; runs that the
former has already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.markdown import markdown
from benchmarks.steps import hardware
from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.statistics.estimates import Estimate, estimate_proportion
from densitylab.backend.shared.store.datasets import prepared_root
from densitylab.worker.algorithms.algorithm import TrainingSamples
from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import build_model, build_optimizer, component
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import EarlyStop, TrainingConfig
from densitylab.worker.training.loop import fit
from densitylab.worker.training.precision import ComputeConfig
from densitylab.worker.training.state import TrainingState
from densitylab.worker.training.validation import predict

CATALOG = Catalog.built_in()
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Method:
    """A row of the table."""

    label: str
    algorithm: str = "erm"
    params: dict[str, Any] | None = None
    lambda_: float = 0.0  # of marginal-density smoothing


@dataclass(frozen=True)
class Outcome:
    """The test accuracies of one run."""

    method: str
    seed: int
    accuracy: float
    of_groups: list[float | None]  # None: the group has no test image
    best_epoch: int
    seconds: float


def methods(epochs: int, lambda_: float) -> list[Method]:
    """Return the rows of the table; JTT's first stage has a fifth of the epochs."""
    return [
        Method("ERM"),
        Method("Group DRO", "group_dro", {"step_size": 0.01}),
        Method("JTT", "jtt", {"first_epochs": max(1, epochs // 5), "upweight": 20.0}),
        Method("DFR", "dfr", {"repeats": 10}),
        Method(f"Marginal density, λ = {lambda_:g}", lambda_=lambda_),
    ]


def from_file(path: Path) -> dict[str, Dataset]:
    """Return the splits of a file of arrays."""
    with np.load(path, allow_pickle=False) as file:
        images, labels, groups, splits = (file[name] for name in ("images", "labels", "groups", "splits"))
    if images.shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    parts = {}
    for number, split in enumerate(SPLITS):
        chosen = splits == (number if splits.dtype.kind in "iu" else split)
        if not chosen.any():
            raise SystemExit(f"{path} has no image of the {split} split")
        tensors = (torch.from_numpy(np.ascontiguousarray(array[chosen])) for array in (images, labels, groups))
        own_images, own_labels, own_groups = tensors
        parts[split] = Dataset(own_images, own_labels.long(), None, own_groups.long())
    return parts


def prepared(key: str) -> dict[str, Dataset]:
    """Return the splits of the newest prepared variant of a data set."""
    variants = [path for path in prepared_root(Settings().data_dir, key).glob("*") if npy_store.read_info(path)]
    if not variants:
        raise SystemExit(f"{key} is not prepared here: prepare or register it first")
    newest = max(variants, key=lambda path: path.stat().st_mtime)
    parts = {split: npy_store.load(newest, split) for split in SPLITS}
    if parts["train"].groups is None:
        raise SystemExit(f"{key} has no groups")
    return parts


def resized(data: Dataset, side: int) -> Dataset:
    """Return the images with both sides of this length (bilinear, antialiased)."""
    if data.images.shape[-2:] == (side, side):
        return data
    blocks = [
        F.interpolate(block.float(), (side, side), mode="bilinear", antialias=True).round().to(torch.uint8)
        for block in data.images.split(500)
    ]
    return Dataset(torch.cat(blocks), data.labels, None, data.groups)


def train(method: Method, seed: int, parts: dict[str, Dataset], given: argparse.Namespace) -> Outcome:
    """Train one run and return its accuracies on the test images."""
    began = time.perf_counter()
    device = torch.device(given.device)
    train_data, validation, test = (parts[split] for split in SPLITS)
    entry = _entry(train_data)
    samples = TrainingSamples(train_data.labels, train_data.groups, entry.num_classes or 2, device)
    state = TrainingState.new(
        seed=seed,
        device=device,
        build_model=lambda: build_model(CATALOG, "resnet18", {}, entry),
        build_optimizer=lambda parameters: build_optimizer(
            CATALOG, "sgd", {"lr": given.lr, "momentum": 0.9, "weight_decay": given.weight_decay}, parameters
        ),
        algorithm=component(CATALOG, "algorithm", method.algorithm, method.params).function(samples),
    )
    compute = ComputeConfig(given.precision)
    config = TrainingConfig(
        regularizer=component(CATALOG, "regularizer", "marginal_density").function,
        lambda_=method.lambda_,
        schedule=component(CATALOG, "schedule", "constant").function,
        epochs=given.epochs,
        early_stop=EarlyStop(given.epochs, "validation_worst_group"),
        compute=compute,
    )
    flip = component(CATALOG, "augmentation", "horizontal_flip").function
    with closing(Batches(train_data, batch_size=given.batch, seed=seed, device=device, augmentation=flip)) as batches:
        fit(state, batches, validation, config, on_step=lambda report: None, should_stop=lambda: False)
    state.model.load_state_dict(state.kept_weights())
    with compute.applied(device) as autocast:
        predicted = predict(state.model, test, device, autocast, lambda: False)
    assert predicted is not None and test.groups is not None and state.best is not None
    correct = (predicted == test.labels).double()
    count = int(test.groups.max()) + 1
    of_groups = [correct[test.groups == group] for group in range(count)]
    return Outcome(
        method.label,
        seed,
        float(correct.mean()),
        [float(own.mean()) if len(own) else None for own in of_groups],
        state.best.epoch,
        time.perf_counter() - began,
    )


def _entry(data: Dataset) -> DatasetEntry:
    """Return what the model's builder reads of a data set: shape, classes, mean and deviation."""
    pixels = data.images.float() / 255
    height, width = data.images.shape[-2:]
    return DatasetEntry(
        "benchmark",
        "Benchmark",
        "",
        "",
        num_classes=int(data.labels.max()) + 1,
        channels=data.images.shape[1],
        image_size=(height, width),
        mean=tuple(pixels.mean(dim=(0, 2, 3)).tolist()),
        std=tuple(pixels.std(dim=(0, 2, 3)).tolist()),
    )


def table(outcomes: list[Outcome], test: Dataset) -> str:
    """Return the markdown table: means over seeds with 95 % intervals."""
    assert test.groups is not None
    sizes = torch.bincount(test.groups).tolist()
    rows = []
    for label in dict.fromkeys(outcome.method for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.method == label]
        mean = estimate_proportion([outcome.accuracy for outcome in own], [len(test)] * len(own))
        worst = [min((value, size) for value, size in zip(run.of_groups, sizes, strict=True) if size) for run in own]
        lowest = estimate_proportion([value for value, _ in worst], [size for _, size in worst])
        groups = [_mean([run.of_groups[group] for run in own]) for group, size in enumerate(sizes) if size]
        seconds = f"{sum(run.seconds for run in own) / len(own):,.0f}"
        rows.append((label, str(len(own)), _cell(mean), _cell(lowest), " ".join(groups), seconds))
    return markdown(("method", "seeds", "accuracy", "worst group", "each group", "seconds per run"), rows)


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.2f}"


def _cell(mean: Estimate | None) -> str:
    if mean is None or mean.low is None or mean.high is None:
        return "" if mean is None else f"{mean.mean:.3f}"
    return f"{mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare worst-group accuracies.")
    parser.add_argument("dataset", nargs="?", help="key of a prepared or registered data set")
    parser.add_argument("--npz", type=Path, help="file of arrays instead")
    parser.add_argument("--image-size", type=int, help="pixels a side (default: as stored)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--lambda", dest="lambda_", type=float, default=0.01, help="of marginal-density smoothing")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    if (given.dataset is None) == (given.npz is None):
        parser.error("expected the key of a data set, or --npz")
    if given.epochs < 2:
        parser.error("expected at least 2 epochs, since JTT trains twice")
    torch.set_num_threads(given.threads)
    load: Callable[[], dict[str, Dataset]] = (
        (lambda: from_file(given.npz)) if given.npz else (lambda: prepared(given.dataset))
    )
    parts = load()
    if given.image_size:
        parts = {split: resized(data, given.image_size) for split, data in parts.items()}
    given.out.mkdir(parents=True, exist_ok=True)
    settings, kept = _settings(given, parts), given.out / "worst_group.json"
    outcomes = [Outcome(**run) for run in json.loads(kept.read_text())["runs"]] if kept.exists() else []
    for seed in given.seeds:  # all methods of a seed first, so that a shorter table is whole
        for method in methods(given.epochs, given.lambda_):
            if any((outcome.method, outcome.seed) == (method.label, seed) for outcome in outcomes):
                continue
            outcomes.append(train(method, seed, parts, given))
            print(outcomes[-1], flush=True)
            content = {"settings": settings, "runs": [asdict(outcome) for outcome in outcomes]}
            kept.write_text(json.dumps(content, indent=1) + "\n")
    text = f"{settings}\n\n{table(outcomes, parts['test'])}\n"
    (given.out / "worst_group.md").write_text(text)
    print(text)


def _settings(given: argparse.Namespace, parts: dict[str, Dataset]) -> str:
    height, width = parts["train"].images.shape[-2:]
    sizes = "; ".join(
        f"{split} {len(data):,} images, groups {torch.bincount(data.groups).tolist()}"
        for split, data in parts.items()
        if data.groups is not None
    )
    return (
        f"ResNet-18 from random weights, {height}×{width} pixels, flips; SGD, learning rate {given.lr:g}, momentum "
        f"0.9, weight decay {given.weight_decay:g}, batch {given.batch}, {given.epochs} epochs, precision "
        f"{given.precision}. {sizes}. {hardware(torch.device(given.device))}; torch {torch.__version__}; "
        f"{time.strftime('%Y-%m-%d')}"
    )


if __name__ == "__main__":
    main()
