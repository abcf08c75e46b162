"""Seconds per training step in both memory formats: contiguous and channels last.

    python -m benchmarks.memory_format [--repeats 9] [--threads 2] [--device auto] [--out FOLDER]

Measures VGG11, ResNet-18 and the small CNN in interleaved rounds, for a plain step and for one with the exact penalty.
The ratio is the median over rounds of channels last over contiguous: above 1, channels last is slower. Writes
memory_format-DEVICE.json and prints a table. Training uses channels last on a GPU in half precision, and the contiguous
format elsewhere: on two CPU cores channels last took 10 to 18 % longer with every penalty (docs/architecture.md).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import torch

from benchmarks.markdown import markdown
from benchmarks.steps import CHANNELS, CLASSES, LAMBDA, SIDE, hardware
from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.resolve import component
from densitylab.worker.training.objective import objective
from densitylab.worker.training.precision import DEFAULT

CATALOG = Catalog.built_in()

MODELS = ("vgg11", "resnet18", "cnn")
STEPS = {"plain": "none", "exact penalty": "marginal_density"}
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


class Step:
    """A training step of one network in one memory format."""

    def __init__(self, name: str, regularizer: str, memory_format: torch.memory_format, batch: int, device: str):
        torch.manual_seed(0)
        model = component(CATALOG, "model", name).function(CHANNELS, (SIDE, SIDE), CLASSES)
        self.model = model.to(device=device, memory_format=memory_format).train()
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.SGD(self.parameters, lr=1e-6, momentum=0.9)
        self.x = torch.rand(batch, CHANNELS, SIDE, SIDE, device=device).contiguous(memory_format=memory_format)
        self.y = torch.randint(CLASSES, (batch,), device=device)
        self.regularizer = component(CATALOG, "regularizer", regularizer).function

    def seconds(self) -> float:
        _wait(self.x.device)
        began = time.perf_counter()
        self.optimizer.zero_grad()
        with DEFAULT.applied(self.x.device) as autocast:
            with autocast():
                terms = objective(
                    self.model, self.x.detach().clone(), self.y, regularizer=self.regularizer, lambda_=LAMBDA, step=1
                )
            terms.loss.backward(inputs=self.parameters)
        self.optimizer.step()
        _wait(self.x.device)
        return time.perf_counter() - began


def measure(name: str, step: str, batch: int, device: str, repeats: int) -> dict[str, object]:
    """Return the median seconds of both formats and the median ratio, from interleaved rounds."""
    ways = {label: Step(name, STEPS[step], layout, batch, device) for label, layout in FORMATS.items()}
    for way in ways.values():
        way.seconds()  # warms up
    times: dict[str, list[float]] = {label: [] for label in ways}
    for round_ in range(repeats):
        for label in ways if round_ % 2 == 0 else reversed(ways):
            times[label].append(ways[label].seconds())
    plain, last = times["contiguous"], times["channels last"]
    return {
        "model": name,
        "step": step,
        **{label: median(own) for label, own in times.items()},
        "ratio": median(two / one for one, two in zip(plain, last, strict=True)),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a training step in both memory formats.")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cuda = torch.cuda.is_available() and given.device != "cpu"
    device, batch = ("cuda", 512) if cuda else ("cpu", 32)
    rows = [measure(name, step, batch, device, given.repeats) for name in MODELS for step in STEPS]
    heading = (
        f"{hardware(torch.device(device))}; torch {torch.__version__}; {SIDE}×{SIDE} images, batch {batch}; "
        f"{given.repeats} interleaved rounds; {time.strftime('%Y-%m-%d')}"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"heading": heading, "rows": rows}
    (given.out / f"memory_format-{device}.json").write_text(json.dumps(content, indent=1) + "\n")
    cells = [(f"{row['model']}, {row['step']}", *(f"{row[name]:.4f}" for name in (*FORMATS, "ratio"))) for row in rows]
    print(heading, markdown(("step", *FORMATS, "ratio"), cells), sep="\n\n")


if __name__ == "__main__":
    main()
