"""Cost of a step with the exact penalty by double backward and by forward mode, in each way in which a GPU can run it.

    python -m benchmarks.exact_penalties [--models resnet18 vgg11 resnet50 vit_b16] [--ways eager compiled]
                                         [--seconds 540] [--repeats 15] [--batch N] [--device auto] [--out FOLDER]

A case is a network, a precision, a memory format, and whether it is compiled. Its steps alternate in rounds: plain,
double backward (which torch.compile refuses) and forward mode, each launched from Python and, on a GPU, as a CUDA
graph. A compiled case has the eager plain step and the eager double backward beside them. Ratios are medians over
rounds: to the plain step of the same way, to the eager plain step, and to the eager double backward.

exact_penalties-DEVICE.json is written after each case. Another call goes on with the cases that it lacks, so the
measurement may be divided; within `--seconds` a call begins no case that would end later if it took as long as the
longest before. A case that fails keeps its errors. Delete the file to measure again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.markdown import markdown
from benchmarks.steps import CATALOG, CHANNELS, CLASSES, LAMBDA, Variant, hardware, peak, timed
from densitylab.worker.forward_mode import forward_mode_penalty
from densitylab.worker.regularizers.marginal_density import log_density, marginal_density
from densitylab.worker.resolve import component
from densitylab.worker.training.precision import ComputeConfig

SIZES = {"resnet50": (224, 64), "vit_b16": (224, 64)}  # side of the images and batch; others have 32 pixels
WAYS = ("eager", "compiled")
BLOCK = 5  # steps that are timed together
PLAIN, DOUBLE, FORWARD = "plain", "double_backward", "forward_mode"
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


@dataclass(frozen=True)
class Case:
    """Cases that are measured in the same rounds."""

    model: str
    precision: str
    memory_format: str
    compiled: bool

    @property
    def name(self) -> str:
        return f"{self.model}, {self.precision}, {self.memory_format}, {'compiled' if self.compiled else 'eager'}"


@dataclass(frozen=True)
class Row:
    """Figures of one kind of step in one case."""

    step: str
    milliseconds: float
    to_plain: float  # ratio to the plain step of the same way
    to_eager_plain: float
    to_eager_double: float
    peak_mib: float | None  # of the memory of a step; None of a CUDA graph, whose memory is held between steps


def cases(models: list[str], ways: list[str], device: torch.device) -> list[Case]:
    """Return all cases, the most important ones first."""
    compiled = [way == "compiled" for way in ways]
    if device.type != "cuda":
        return [Case(model, "float32", "contiguous", each) for each in compiled for model in models]
    first = [Case(model, "bfloat16", "channels last", each) for model in models for each in compiled]
    layout = [Case(model, "bfloat16", "contiguous", False) for model in models if False in compiled]
    exact = [Case(model, "float32", "contiguous", each) for each in compiled for model in models]
    return [*first, *layout, *exact]


def score(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return log p(x) of each sample."""
    return log_density(logits)


Step = Callable[[Callable[[], torch.autocast]], None]


class Subject:
    """A network with random weights and one batch of random images."""

    def __init__(self, case: Case, batch: int | None, device: torch.device) -> None:
        torch.manual_seed(0)
        side, images = SIZES.get(case.model, (32, 512))
        images = batch or images
        layout = FORMATS[case.memory_format]
        model = component(CATALOG, "model", case.model).function(CHANNELS, (side, side), CLASSES)
        self.model: torch.nn.Module = model.to(device=device, memory_format=layout).train()
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.SGD(self.parameters, lr=1e-6, momentum=0.9)
        self.x = torch.rand(images, CHANNELS, side, side, device=device).contiguous(memory_format=layout)
        self.y = torch.randint(CLASSES, (images,), device=device)

    def step(self, kind: str, forward: torch.nn.Module, autocast: Callable[[], torch.autocast]) -> None:
        """Make one step; `forward` is the model or a compiled one."""
        self.optimizer.zero_grad()
        x = self.x.detach().clone().requires_grad_(True)
        with autocast():
            logits = forward(x)
            penalty = None
            if kind == DOUBLE:
                penalty = marginal_density(self.model, x, logits, self.y)
            elif kind == FORWARD:
                penalty, logits = forward_mode_penalty(forward, x, logits, self.y, score=score, p_norm="2", power=2)
            loss = F.cross_entropy(logits, self.y)
            if penalty is not None:
                loss = loss + LAMBDA * penalty.mean()
        loss.backward(inputs=self.parameters)
        self.optimizer.step()


def measure(case: Case, batch: int | None, repeats: int, device: torch.device) -> tuple[list[Row], list[str]]:
    """Measure all steps of a case in alternating rounds; return errors of steps that are no CUDA graph besides."""
    subject = Subject(case, batch, device)
    eager, compute = ComputeConfig(case.precision), ComputeConfig(case.precision, compiled=case.compiled)
    steps: dict[str, tuple[ComputeConfig, Step]] = {
        kind: (eager, partial(subject.step, kind, subject.model)) for kind in (PLAIN, DOUBLE)
    }
    forward, prefix = compute.forward(subject.model), "compiled " if case.compiled else ""
    for kind in (PLAIN, FORWARD):
        steps[prefix + kind] = compute, partial(subject.step, kind, forward)
    peaks: dict[str, float | None] = {}
    errors = []
    for name, (config, step) in list(steps.items()):
        with config.applied(device) as autocast:
            for _ in range(2):  # warms up, or compiles
                step(autocast)
            peaks[name] = peak(_variant(name, step, autocast), device)
            if device.type == "cuda" and config == compute:
                try:
                    replay = _captured(partial(step, autocast), subject)
                    steps[f"{name}, CUDA graph"] = compute, lambda _autocast, replay=replay: replay()
                except RuntimeError as error:
                    errors.append(f"{name}, CUDA graph: {_in_words(error)}")
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(repeats):
        for name in steps if round_ % 2 == 0 else reversed(steps):
            config, step = steps[name]
            with config.applied(device) as autocast:
                times[name].append(timed(_variant(name, step, autocast), device))
    return [_row(name, times, peaks.get(name)) for name in steps], errors


def _variant(name: str, step: Step, autocast: Callable[[], torch.autocast]) -> Variant:
    return Variant(name, lambda _number: step(autocast), BLOCK)


def _captured(step: Callable[[], None], subject: Subject) -> Callable[[], None]:
    """Return the step as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    subject.optimizer.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _row(name: str, times: dict[str, list[float]], peak_mib: float | None) -> Row:
    def ratio(other: str) -> float:
        return median(mine / theirs for mine, theirs in zip(times[name], times[other], strict=True))

    plain = name.replace(DOUBLE, PLAIN).replace(FORWARD, PLAIN)  # of the same way
    return Row(name, 1000 * median(times[name]), ratio(plain), ratio(PLAIN), ratio(DOUBLE), peak_mib)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def table(results: dict[str, Any]) -> str:
    """Return the measured cases as a markdown table, and the errors of the others below it."""
    header = ("case", "step", "ms", "× plain", "× eager plain", "× eager double", "peak MiB")
    lines = []
    for name, result in results.items():
        for row in result["rows"]:
            held = row["peak_mib"]
            ratios = (f"{row[key]:.2f}" for key in ("to_plain", "to_eager_plain", "to_eager_double"))
            memory = "–" if held is None else f"{held:,.0f}"
            lines.append((name, row["step"], f"{row['milliseconds']:.2f}", *ratios, memory))
    failed = [f"{name}: {error}" for name, result in results.items() for error in result["errors"]]
    return "\n\n".join([markdown(header, lines), *failed])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure both forms of the exact penalty in each way to run them.")
    parser.add_argument("--models", nargs="+", default=["resnet18", "vgg11", "resnet50", "vit_b16"])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--seconds", type=float, default=540, help="the longest time of this call")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch", type=int, help="images per step (512 of 32 pixels, 64 of 224)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2, help="on the CPU")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    if given.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {given.repeats}")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU; leave the option out to measure on the CPU")
    cuda = torch.cuda.is_available() and given.device != "cpu"
    device = torch.device("cuda" if cuda else "cpu")
    torch.set_num_threads(given.threads)
    file = given.out / f"exact_penalties-{device.type}.json"
    batch = "" if given.batch is None else f"batch {given.batch}; "
    heading = f"{hardware(device)}; torch {torch.__version__}; {batch}{given.repeats} rounds of {BLOCK} steps"
    content = json.loads(file.read_text()) if file.exists() else {"heading": heading, "cases": {}}
    if content["heading"] != heading:
        parser.error(f"{file} is of {content['heading']!r}, not of {heading!r}: delete it or take another --out")
    given.out.mkdir(parents=True, exist_ok=True)
    began, longest, left = time.monotonic(), {False: 0.0, True: 0.0}, 0
    for case in cases(given.models, given.ways, device):
        since = time.monotonic()
        if case.name in content["cases"]:
            continue
        if since - began + longest[case.compiled] > given.seconds:
            left += 1
            continue
        rows: list[Row] = []
        try:
            rows, errors = measure(case, given.batch, given.repeats, device)
        except Exception as error:  # any case may lack memory, a compiler or a kernel, and the others go on
            errors = [_in_words(error)]
        torch.compiler.reset()
        seconds = round(time.monotonic() - since, 1)
        longest[case.compiled] = max(longest[case.compiled], seconds)
        content["cases"][case.name] = {
            "date": time.strftime("%Y-%m-%d"),
            "seconds": seconds,
            "rows": [asdict(row) for row in rows],
            "errors": errors,
        }
        partial_file = file.with_suffix(".part")
        partial_file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        partial_file.replace(file)
        print(f"{case.name}: {seconds} s", flush=True)
    print(heading, table(content["cases"]), f"{left} cases left", sep="\n\n")


if __name__ == "__main__":
    main()
