"""Time of loading and augmentation relative to a training step: batches of CIFAR-10's shape and ResNet-18, or
photographs of 224 pixels and ResNet-50.

    python -m benchmarks.loading [--case cifar] [--repeats 15] [--batch N] [--threads 2] [--device auto] [--out FOLDER]

The images are 50,000 random ones of 3×32×32 bytes. In every round each way of loading gives one batch, flipped and
cropped, and the network makes one plain step, so that a slow phase of the machine affects all of them. `resident` keeps
the images on the device; `streamed` reads them from a mapped file. A share is the median over rounds of the batch's
time divided by the step's time of the same round; the target is below 5 %. `streamed` has two times: `alone` without
reading ahead, and `waited`, the wait that remains when the reader works while the device computes. Writes
loading-DEVICE.json and prints a table.

With `--case photographs` a small set of JPEG files in the layout of Waterbirds is generated and prepared at 224 pixels,
and ResNet-50 makes steps in their order, as in a run: streamed from the prepared variant, with random resized crops.
The heading also has the largest memory of the process's own, mapped files left out, in each half of the steps. Writes
loading-photographs-DEVICE.json.
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
from PIL import Image

from benchmarks.markdown import markdown
from benchmarks.steps import CHANNELS, CLASSES, SIDE, hardware
from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.datasets.source import Source
from densitylab.worker.resolve import component
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.objective import objective

CATALOG = Catalog.built_in()

IMAGES, TARGET = 50_000, 0.05
PHOTOGRAPHS, LARGE_SIDE = 240, 224


def images(folder: Path) -> torch.Tensor:
    """Return random bytes of CIFAR-10's shape in a mapped file."""
    shape = (IMAGES, CHANNELS, SIDE, SIDE)
    stored = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    stored[:] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return torch.from_numpy(stored)


def plain_step(
    batch: int, device: torch.device, model_key: str = "resnet18", side: int = SIDE
) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """Return a step of a network with cross-entropy alone: the cheapest step, so the largest shares."""
    torch.manual_seed(0)
    model = component(CATALOG, "model", model_key).function(CHANNELS, (side, side), CLASSES).to(device).train()
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


def photographs(folder: Path) -> Dataset:
    """Return the training images of generated JPEG files in the layout of Waterbirds, prepared at 224 pixels."""
    placed = folder / "placed" / "waterbird_complete95_forest2water2"
    (placed / "001.Bird").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), ["img_id,img_filename,y,split,place,place_filename"]
    for number in range(PHOTOGRAPHS):
        name = f"001.Bird/{number}.jpg"
        rows.append(
            f"{number},{name},{number % 2},{2 * (number % 10 == 0) or int(number % 10 == 1)},{number // 2 % 2},-"
        )
        coarse = Image.fromarray(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8))
        coarse.resize((400, 300), Image.Resampling.BICUBIC).save(placed / name, quality=90)
    (placed / "metadata.csv").write_text("\n".join(rows))
    prepare = component(CATALOG, "dataset", "waterbirds", {"image_size": LARGE_SIDE, "check_sums": False}).function
    source = Source(placed=placed.parent, downloads=folder / "downloads")
    prepare(folder / "prepared", source, progress=lambda share: None, should_stop=lambda: False)
    return npy_store.load(folder / "prepared", "train")


def measure_photographs(batch: int, device: torch.device, repeats: int) -> tuple[list[dict[str, object]], str]:
    """Return the median seconds of ResNet-50's step and of the wait for its batch, and the memory in words."""
    augmentation = component(CATALOG, "augmentation", "random_resized_crop").function
    times: dict[str, list[float]] = {}
    memory: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        data = photographs(Path(folder))
        step = plain_step(batch, device, "resnet50", LARGE_SIDE)
        with closing(
            Batches(data, batch_size=batch, seed=0, device=device, augmentation=augmentation, resident=False)
        ) as batches:
            for number in range(1, repeats + 2):
                if number == 2:  # the first warms up
                    times.clear()
                    memory.clear()
                x, y = _timed(times, "wait", device, batches.at, number)
                _timed(times, "step", device, step, x, y)
                memory.append(own_memory())
    model = median(whole / (whole + wait) for wait, whole in zip(times["wait"], times["step"], strict=True))
    return [
        {"way": "plain step", "seconds": median(times["step"]), "share": model},
        {"way": "wait for the batch", "seconds": median(times["wait"]), "share": 1 - model},
    ], "own memory at most {:.0f} MB in the first half and {:.0f} MB in the second".format(
        *(max(half) / 1e6 for half in (memory[: repeats // 2], memory[repeats // 2 :]))
    )


def own_memory() -> int:
    """Return the bytes of this process that are not of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


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
    parser.add_argument("--case", default="cifar", choices=("cifar", "photographs"))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch", type=int, help="images per step (32 on the CPU, 512 on a GPU)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device("cuda" if given.device != "cpu" and torch.cuda.is_available() else "cpu")
    large = given.case == "photographs"
    batch = given.batch or ((128 if large else 512) if device.type == "cuda" else (8 if large else 32))
    rows, memory = (
        measure_photographs(batch, device, given.repeats) if large else (measure(batch, device, given.repeats), "")
    )
    side, network, changed = (
        (LARGE_SIDE, "ResNet-50", "random resized crop, streamed from the prepared variant")
        if large
        else (SIDE, "ResNet-18", "flip and crop")
    )
    heading = (
        f"{hardware(device)}; torch {torch.__version__}; {network}, {side}×{side} images, batch {batch}, {changed}; "
        f"{given.repeats} {'steps' if large else 'interleaved rounds'}; {time.strftime('%Y-%m-%d')}"
        + (f"; {memory}" if memory else "")
    )
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"heading": heading, "target": TARGET, "rows": rows}
    name = f"loading-{'photographs-' if large else ''}{device.type}.json"
    (given.out / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    cells = [(str(row["way"]), f"{row['seconds']:.5f}", f"{row['share']:.2%}") for row in rows]
    print(heading, markdown(("way", "seconds", "share of the step"), cells), sep="\n\n")


if __name__ == "__main__":
    main()
