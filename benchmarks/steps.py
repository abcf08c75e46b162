"""Cost of a training step: each regularizer and estimator against plain cross-entropy, interleaved in one run.

    python -m benchmarks.steps [--models vgg11 resnet18] [--repeats 15] [--batch N] [--threads 2] [--device auto]
                               [--only NAME ...] [--out FOLDER] [--profile]

In every round each variant makes one step (the lazy one as many as its period), in alternating order, so that a slow
phase of the machine affects all of them. A ratio is the median over rounds of the step's time divided by the plain
step's time *of the same round*. Passes are counted multiplications, where a plain step is 3. Peak memory is the memory
of a step beyond the memory before it. Writes steps-DEVICE.json and steps-DEVICE.md. With --profile it times nothing and
prints the most expensive operators of each step.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from densitylab.backend.shared.catalog import Catalog, RegularizerEntry
from densitylab.worker.resolve import component
from densitylab.worker.training.objective import objective
from densitylab.worker.training.precision import DEFAULT

CATALOG = Catalog.built_in()

LAMBDA = 0.1
SIDE, CHANNELS, CLASSES = 32, 3, 10
PLAIN = "none"
ESTIMATOR = "marginal_density"


@dataclass(frozen=True)
class Variant:
    """A kind of training step; `period` steps are timed together."""

    name: str
    step: Callable[[int], None]
    period: int = 1


@dataclass(frozen=True)
class Row:
    """Figures of one variant on one network."""

    model: str
    variant: str
    seconds: float  # median per step
    ratio: float  # median ratio to the plain step
    ratio_low: float  # quartiles of the ratio
    ratio_high: float
    passes: float  # counted; a plain step is 3
    peak_mib: float | None  # beyond the memory before the step; None where it cannot be measured


class Multiplications(TorchDispatchMode):
    """Counts the multiplications of matrix products and convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def variants(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[Variant]:
    """Return the plain and the straightforward step, every regularizer and estimator, and lazy application."""
    plain = copy.deepcopy(model)
    model.to(memory_format=DEFAULT.memory_format(x.device))
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9)
    others = torch.optim.SGD(plain.parameters(), lr=1e-6, momentum=0.9)
    generator = torch.Generator(x.device).manual_seed(0)

    def ours(key: str, params: dict[str, object], every: int = 1) -> Callable[[int], None]:
        regularizer = component(CATALOG, RegularizerEntry, key, params)
        masks = torch.ones_like(x[:, :1], dtype=torch.bool)

        def step(number: int) -> None:
            optimizer.zero_grad()
            with DEFAULT.applied(x.device) as autocast:
                with autocast():
                    terms = objective(
                        model,
                        x.detach().clone(),
                        y,
                        regularizer=regularizer.function,
                        uses=regularizer.entry.uses,
                        masks=masks,
                        lambda_=LAMBDA,
                        step=number,
                        every=every,
                        generator=generator,
                    )
                terms.loss.backward(inputs=parameters)
            optimizer.step()

        return step

    def straightforward(number: int) -> None:
        """Make the simplest correct step: a separate forward pass for the penalty, and a plain backward()."""
        others.zero_grad()
        half = DEFAULT.half(x.device)
        with torch.autocast(x.device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            cross_entropy = torch.nn.functional.cross_entropy(plain(x), y)
            image = x.detach().clone().requires_grad_(True)
            density = torch.logsumexp(plain(image), dim=1).sum()
            (gradient,) = torch.autograd.grad(density, image, create_graph=True)
            loss = cross_entropy + LAMBDA * gradient.flatten(1).norm(dim=1).square().mean()
        loss.backward()
        others.step()

    estimator = CATALOG.find("regularizer", ESTIMATOR).param("estimator")
    steps = [Variant(PLAIN, ours(PLAIN, {})), Variant("straightforward", straightforward)]
    steps += [Variant(f"{ESTIMATOR}, {name}", ours(ESTIMATOR, {"estimator": name})) for name in estimator.choices]
    steps.append(Variant(f"{ESTIMATOR}, {estimator.default}, every 4", ours(ESTIMATOR, {}, every=4), period=4))
    for entry in CATALOG.all("regularizer"):
        if entry.key not in (PLAIN, ESTIMATOR):
            steps.append(Variant(entry.key, ours(entry.key, {})))
    return steps


def prepared(name: str, device: torch.device, batch: int, only: list[str]) -> list[Variant]:
    """Return the plain step and those named in `only` (or all), on a network with random weights and images."""
    torch.manual_seed(0)
    model = component(CATALOG, "model", name).function(CHANNELS, (SIDE, SIDE), CLASSES).to(device).train()
    x = torch.rand(batch, CHANNELS, SIDE, SIDE, device=device)
    y = torch.randint(CLASSES, (batch,), device=device)
    return [variant for variant in variants(model, x, y) if not only or variant.name in (PLAIN, *only)]


def measure(name: str, device: torch.device, batch: int, repeats: int, only: list[str]) -> list[Row]:
    """Measure all variants on one network, interleaved."""
    chosen = prepared(name, device, batch, only)
    passes, peaks = {}, {}
    for variant in chosen:  # also warms up
        with Multiplications() as counter:
            for number in range(1, variant.period + 1):
                variant.step(number)
        passes[variant.name] = counter.total / variant.period
        peaks[variant.name] = peak(variant, device)
    times: dict[str, list[float]] = {variant.name: [] for variant in chosen}
    for round_ in range(repeats):
        for variant in chosen if round_ % 2 == 0 else reversed(chosen):
            times[variant.name].append(timed(variant, device))
        print(f"{name}: round {round_ + 1} of {repeats}", end="\r", flush=True)
    print()
    rows = []
    for variant in chosen:
        own = times[variant.name]
        ratios = [mine / plain for mine, plain in zip(own, times[PLAIN], strict=True)]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        rows.append(
            Row(
                name,
                variant.name,
                median(own),
                median(ratios),
                low,
                high,
                3 * passes[variant.name] / passes[PLAIN],
                peaks[variant.name],
            )
        )
    return rows


def profiled(name: str, device: torch.device, batch: int, only: list[str]) -> str:
    """Return the most expensive operators of each variant on one network."""
    tables, order = [], f"self_{'device' if device.type == 'cuda' else 'cpu'}_time_total"
    for variant in prepared(name, device, batch, only):
        variant.step(1)  # warms up
        with torch.profiler.profile() as profile:
            for number in range(1, 4):
                variant.step(number)
        spent = profile.key_averages().table(sort_by=order, row_limit=8, max_name_column_width=60)
        tables.append(f"{name}, {variant.name}, three steps\n{spent}")
    return "\n".join(tables)


def timed(variant: Variant, device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    for number in range(1, variant.period + 1):
        variant.step(number)
    _wait(device)
    return (time.perf_counter() - began) / variant.period


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(variant: Variant, device: torch.device) -> float | None:
    """Return the peak memory of the variant's steps in MiB, beyond the memory before them."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        timed(variant, device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory kept by the allocator would hide this step's peak
        Path("/proc/self/clear_refs").write_text("5")  # Linux: reset the peak
    except (AttributeError, OSError):
        return None
    before = _status("VmRSS")
    timed(variant, device)
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """Return a memory field of this process in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def table(rows: list[Row], heading: str) -> str:
    """Return the rows as a markdown table."""
    lines = [
        heading,
        "",
        "| model | step | seconds | × plain (quartiles) | counted passes | peak MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        peak = "–" if row.peak_mib is None else f"{row.peak_mib:,.0f}"
        lines.append(
            f"| {row.model} | {row.variant} | {row.seconds:.4f} | {row.ratio:.2f} "
            f"({row.ratio_low:.2f} to {row.ratio_high:.2f}) | {row.passes:.1f} | {peak} |"
        )
    return "\n".join(lines) + "\n"


def hardware(device: torch.device) -> str:
    """Return the name of the processor or GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the cost of a training step of each regularizer.")
    parser.add_argument("--models", nargs="+", default=["vgg11", "resnet18"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch", type=int, help="images per step (32 on the CPU, 512 on a GPU)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--only", nargs="+", default=[], help="names of the variants to measure beside the plain step")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--profile", action="store_true", help="print the operators of each step instead")
    given = parser.parse_args()
    if given.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {given.repeats}")
    names = [variant.name for variant in variants(torch.nn.Linear(1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1))]
    if unknown := [name for name in given.only if name not in names]:
        parser.error(f"--only: unknown {', '.join(unknown)}; there are: {'; '.join(names)}")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU; leave the option out to measure on the CPU")
    torch.set_num_threads(given.threads)
    wanted = "cuda" if given.device == "auto" and torch.cuda.is_available() else given.device
    device = torch.device("cpu" if wanted == "auto" else wanted)
    batch = given.batch or (512 if device.type == "cuda" else 32)
    if given.profile:
        print("\n".join(profiled(name, device, batch, given.only) for name in given.models))
        return
    rows = [row for name in given.models for row in measure(name, device, batch, given.repeats, given.only)]
    precision = "float32" if DEFAULT.half(device) is None else "bfloat16 autocast"
    heading = (
        f"{hardware(device)}; torch {torch.__version__}, {precision}; {SIDE}×{SIDE} images, batch {batch}; "
        f"{given.repeats} interleaved rounds; {time.strftime('%Y-%m-%d')}"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    text = table(rows, heading)
    content = {"heading": heading, "rows": [asdict(row) for row in rows]}
    (given.out / f"steps-{device.type}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    (given.out / f"steps-{device.type}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
