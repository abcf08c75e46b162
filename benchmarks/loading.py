"""Time of loading and augmentation relative to a training step: batches of CIFAR-10's shape and ResNet-18.

    python -m benchmarks.loading [--repeats 15] [--batch N] [--threads 2] [--device auto] [--out FOLDER]

The images are 50,000 random ones of 3×32×32 bytes. In every round each way of loading gives one batch, flipped and
cropped, and the network makes one plain step, so that a slow phase of the machine affects all of them. `resident` keeps
the images on the device; `streamed` reads them from a mapped file. A share is the median over rounds of the batch's
time divided by the step's time of the same round; the target is below 5 %. `streamed` has two times: `alone` without
reading ahead, and `waited`, the wait that remains when the reader works while the device computes. Writes
loading-DEVICE.json and prints a table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.markdown import markdown
from benchmarks.steps import CHANNELS, CLASSES, SIDE, hardware
from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import component
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.objective import objective

CATALOG = Catalog.built_in()

IMAGES, TARGET = 50_000, 0.05


def images(folder: Path) -> torch.Tensor:
    """Return random bytes of CIFAR-10's shape in a mapped file."""
    shape = (IMAGES, CHANNELS, SIDE, SIDE)
    stored = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    stored[:] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return torch.from_numpy(stored)


def plain_step(batch: int, device: torch.device) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """Return a step of ResNet-18 with cross-entropy alone: the cheapest step, so the largest shares."""
    torch.manual_seed(0)
    model = component(CATALOG, "model", "resnet18").function(CHANNELS, (SIDE, SIDE), CLASSES).to(device).train()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9)
    regularizer = component(CATALOG, "regularizer", "none").function
    half = device.type == "cuda" and torch.cuda.is_bf16_supported()

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            terms = objective(model, x, y, regularizer=regularizer, lambda_=0.0, step=1)
        terms.loss.backward(inputs=parameters)
        optimizer.step()

    return step


def measure(batch: int, device: torch.device, repeats: int) -> list[dict[str, object]]:
    """Return the median seconds and the share of a step for each way of loading, from interleaved rounds."""
    augmentation = component(CATALOG, "augmentation", "flip_and_crop").function
    with tempfile.TemporaryDirectory() as folder:
        data = Dataset(images(Path(folder)), torch.arange(IMAGES) % CLASSES)
        how = {"batch_size": batch, "seed": 0, "device": device, "augmentation": augmentation}
        with (
            closing(Batches(data, **how, resident=True)) as resident,
            closing(Batches(data, **how, resident=False)) as streamed,
        ):
            step = plain_step(batch, device)
            times: dict[str, list[float]] = {}
            for round_ in range(repeats + 1):  # the first warms up
                if round_ == 1:
                    times.clear()
                far = 40 * round_  # far enough that nothing was read ahead
                x, y = _timed(times, "resident", device, resident.at, round_ + 1)
                _timed(times, "streamed, alone", device, streamed.at, far + 1)
                _timed(times, "step", device, step, x, y)
                _timed(times, "streamed, waited", device, streamed.at, far + 2)
    steps = times.pop("step")
    rows: list[dict[str, object]] = [{"way": "plain step", "seconds": median(steps), "share": 1.0}]
    for way, own in times.items():
        share = median(one / whole for one, whole in zip(own, steps, strict=True))
        rows.append({"way": way, "seconds": median(own), "share": share})
    return rows


def _timed(times: dict[str, list[float]], way: str, device: torch.device, call: Callable, *given: object):
    _wait(device)
    began = time.perf_counter()
    result = call(*given)
    _wait(device)
    times.setdefault(way, []).append(time.perf_counter() - began)
    return result


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the time of loading relative to a training step.")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch", type=int, help="images per step (32 on the CPU, 512 on a GPU)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device("cuda" if given.device != "cpu" and torch.cuda.is_available() else "cpu")
    batch = given.batch or (512 if device.type == "cuda" else 32)
    rows = measure(batch, device, given.repeats)
    heading = (
        f"{hardware(device)}; torch {torch.__version__}; ResNet-18, {SIDE}×{SIDE} images, batch {batch}, flip "
        f"and crop; {given.repeats} interleaved rounds; {time.strftime('%Y-%m-%d')}"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"heading": heading, "target": TARGET, "rows": rows}
    (given.out / f"loading-{device.type}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    cells = [(str(row["way"]), f"{row['seconds']:.5f}", f"{row['share']:.2%}") for row in rows]
    print(heading, markdown(("way", "seconds", "share of the step"), cells), sep="\n\n")


if __name__ == "__main__":
    main()
