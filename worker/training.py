"""The training loop. It knows no database: what happens is told to `on_step`, and `should_stop` is asked.

    state = TrainingState.new(seed=, device=, build_model=() -> Module, build_optimizer=(parameters) -> Optimizer,
                              threads=None)
    fit(state, train, validation, *, regularizer, every=1, lambda_, schedule, observes=(), epochs,
        batch_size, precision="auto", on_step=(StepReport) -> None, should_stop=() -> bool) -> bool    True: finished
    total_steps(images, batch_size, epochs) -> int
    StepReport(step, total_steps, epoch, values)
    TrainingDiverged

A state that is saved in `on_step` and loaded into a new one goes on as if nothing had happened, bit for bit on the
CPU with the same number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from math import ceil, isfinite
from time import perf_counter
from typing import Any

import numpy as np
import torch

from worker.datasets.dataset import Dataset
from worker.gradient_norms import density_gradient_norm, gradient_norms
from worker.objective import Regularizer, objective
from worker.regularizers.marginal_density import RandomState, random_state, set_random_state
from worker.schedules.seen import Seen

LOGGED_STEPS = 2000  # a longer run logs every ceil(total / 2000)-th step
OBSERVE_EVERY = 20
VALIDATION_BATCH = 500

_ORDER, _PENALTY = 0, 1  # streams of random numbers that a run's seed gives


class TrainingDiverged(ArithmeticError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class StepReport:
    """What is known after one optimizer step."""

    step: int  # from 1
    total_steps: int
    epoch: float  # epochs done: 1.5 is the middle of the second
    values: dict[str, float]  # the metrics that exist at this step, by name


@dataclass
class TrainingState:
    """Everything that decides how training goes on."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    seed: int
    device: torch.device
    penalty_generator: torch.Generator  # noise of the penalty alone
    random: RandomState  # where the global generators (dropout) stand between two steps
    step: int = 0  # optimizer steps done; with the seed it gives the place in the epoch's order
    seen: Seen = field(default_factory=Seen)  # what the schedule of λ steers by

    @classmethod
    def new(
        cls,
        *,
        seed: int,
        device: torch.device | str,
        build_model: Callable[[], torch.nn.Module],
        build_optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer],
        threads: int | None = None,
    ) -> TrainingState:
        """A state before its first step. Seeds torch's global generators, which draw the weights.

        `threads` sets the CPU threads of this process: sums depend on their number.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        device = torch.device(device)
        torch.manual_seed(seed)
        model = build_model().to(device)
        generator = torch.Generator(device).manual_seed(_word(seed, _PENALTY, 0))
        optimizer = build_optimizer(model.parameters())
        return cls(model, optimizer, seed, device, generator, random_state(device))

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer, generators, position and thread count, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seed": self.seed,
            "step": self.step,
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "penalty_generator": self.penalty_generator.get_state(),
            "global_generators": [generator for _, generator in self.random],
            "seen": asdict(self.seen),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go back to where `saved` was taken; sets the thread count of this process.

        Raises:
            ValueError: it was taken with another seed or on another kind of device.
        """
        if (saved["seed"], saved["device"]) != (self.seed, self.device.type):
            raise ValueError(
                f"the checkpoint was written with seed {saved['seed']} on {saved['device']}, this run has seed "
                f"{self.seed} on {self.device.type}: it would not go on as it began"
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved["step"]
        self.penalty_generator.set_state(saved["penalty_generator"])
        devices = (device for device, _ in self.random)
        self.random = tuple(zip(devices, saved["global_generators"], strict=True))
        self.seen = Seen(**saved.get("seen", {}))  # the first checkpoints had none, and needed none
        torch.set_num_threads(saved["threads"])


def total_steps(images: int, batch_size: int, epochs: int) -> int:
    """Optimizer steps of a run; an epoch's last batch may be smaller."""
    return epochs * ceil(images / batch_size)


def fit(
    state: TrainingState,
    train: Dataset,
    validation: Dataset | None,
    *,
    regularizer: Regularizer,
    every: int = 1,
    lambda_: float,
    schedule: Callable[[float, int, int, Seen], float],
    observes: Collection[str] = (),
    epochs: int,
    batch_size: int,
    precision: str = "auto",
    on_step: Callable[[StepReport], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Train from `state.step` to the last step, in place.

    Metrics by name: `loss, cross_entropy, penalty, lambda_, train_accuracy` at each logged step (each of the first
    2000, or evenly spaced, and the last; `penalty` where it was computed); `gradient_norm, gradient_norm_log_prob,
    gradient_norm_margin` (batch means) at step 1 and every 20; `validation_accuracy, validation_cross_entropy` at the
    end of an epoch; `throughput` in images per second every 20 steps, the only one that differs between repeats.

    Args:
        state: where to begin; changed in place.
        train: images to learn from.
        validation: images held out of training, or None.
        regularizer: (model, x, logits, y, *, generator) -> (N,).
        every: steps between two applications of the penalty.
        lambda_: weight of the penalty, at least 0.
        schedule: (lambda_, step, total_steps, seen) -> λ in force.
        observes: what of `seen` the schedule reads: "cross_entropy", "gradient_norm". Measured at every step.
        epochs: passes over `train`.
        batch_size: images per step.
        precision: "auto" (float32 on the CPU, bfloat16 autocast where the GPU has it), "float32" or "bfloat16".
        on_step: told after each optimizer step; `state` then holds that step, so it may be saved.
        should_stop: asked before each step.

    Returns:
        Whether the last step is done; False when `should_stop` said so before.

    Raises:
        TrainingDiverged: the loss of a logged step is not finite.
        ValueError: unknown precision, or no images.
    """
    if len(train) == 0:
        raise ValueError("expected training images, got none")
    model, optimizer, device = state.model, state.optimizer, state.device
    images, labels = train.images.to(device), train.labels.to(device)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps_per_epoch = ceil(len(train) / batch_size)
    total = epochs * steps_per_epoch
    log_every = ceil(total / LOGGED_STEPS)
    order = torch.empty(0)
    ordered_epoch = -1
    mark, seen = perf_counter(), 0

    model.train()
    with _precision(precision, device) as autocast:
        while state.step < total:
            if should_stop():
                return False
            epoch, place = divmod(state.step, steps_per_epoch)
            if epoch != ordered_epoch:
                order, ordered_epoch = _epoch_order(state.seed, epoch, len(train)).to(device), epoch
            step = state.step + 1
            batch = order[place * batch_size : (place + 1) * batch_size]
            x, y = as_pixels(images[batch]), labels[batch]
            in_force = schedule(lambda_, step, total, state.seen)
            observe = step == 1 or step % OBSERVE_EVERY == 0
            set_random_state(state.random)  # whatever was drawn between two steps
            optimizer.zero_grad()
            with autocast():
                terms = objective(
                    model, x, y, regularizer=regularizer, lambda_=in_force, step=step, every=every,
                    generator=state.penalty_generator, observe=observe,
                )  # fmt: skip
            measured: dict[str, torch.Tensor] = {}
            if step % log_every == 0 or step == total:
                measured |= {"loss": terms.loss.detach(), "cross_entropy": terms.cross_entropy.detach()}
                measured["train_accuracy"] = (terms.logits.argmax(dim=1) == y).double().mean()
                if terms.penalty is not None:
                    measured["penalty"] = terms.penalty
            if observe:
                norms = gradient_norms(x, terms.logits, y)
                measured["gradient_norm"] = norms.log_density.mean()
                measured["gradient_norm_log_prob"] = norms.log_prob.mean()
                measured["gradient_norm_margin"] = norms.margin.mean()
            steering: dict[str, torch.Tensor] = {}
            if "cross_entropy" in observes:
                steering["cross_entropy"] = terms.cross_entropy.detach()
            if "gradient_norm" in observes:
                norm = norms.log_density if observe else density_gradient_norm(x, terms.logits)
                steering["squared_gradient_norm"] = norm.square().mean()
            # inputs=: without it autograd also computes the gradient by x, which nobody reads
            terms.loss.backward(inputs=parameters)
            optimizer.step()
            state.step, state.random = step, random_state(device)
            state.seen = state.seen.after(in_force, **_to_floats(steering))

            values = _to_floats(measured)
            if "loss" in values:
                values["lambda_"] = in_force
                _check_finite(values, step)
            seen += len(batch)
            if step % OBSERVE_EVERY == 0:
                values["throughput"] = seen / max(perf_counter() - mark, 1e-9)
            if place + 1 == steps_per_epoch and validation is not None and len(validation) > 0:
                values |= _validate(model, validation, device, autocast)
            on_step(StepReport(step, total, step / steps_per_epoch, values))
            if step % OBSERVE_EVERY == 0:
                mark, seen = perf_counter(), 0
    return True


def as_pixels(images: torch.Tensor) -> torch.Tensor:
    """Images as float32 in [0, 1]: uint8 is divided by 255, floats stay as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def _word(seed: int, stream: int, index: int) -> int:
    """A 32-bit seed of its own for each (run seed, stream, index)."""
    return int(np.random.SeedSequence([seed, stream, index]).generate_state(1)[0])


def _epoch_order(seed: int, epoch: int, images: int) -> torch.Tensor:
    """The order of an epoch: a function of seed and epoch, so a resume in mid-epoch finds it again."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(_word(seed, _ORDER, epoch)))


def _to_floats(measured: dict[str, torch.Tensor]) -> dict[str, float]:
    if not measured:
        return {}
    # one transfer, so that a GPU is waited for once, and only at the steps that report
    return dict(zip(measured, torch.stack([value.double() for value in measured.values()]).tolist(), strict=True))


def _check_finite(values: dict[str, float], step: int) -> None:
    if not isfinite(values["loss"]):
        parts = ", ".join(f"{name} {values[name]:g}" for name in ("cross_entropy", "penalty") if name in values)
        raise TrainingDiverged(
            f"the loss at step {step} is {values['loss']:g} ({parts}, λ {values['lambda_']:g}), not a finite number: "
            "try a smaller learning rate or a smaller λ, or precision float32"
        )


def _validate(
    model: torch.nn.Module, data: Dataset, device: torch.device, autocast: Callable[[], Any]
) -> dict[str, float]:
    model.eval()
    correct, total = torch.zeros(2, dtype=torch.float64, device=device)
    with torch.no_grad(), autocast():
        for start in range(0, len(data), VALIDATION_BATCH):
            part = slice(start, start + VALIDATION_BATCH)
            y = data.labels[part].to(device)
            logits = model(as_pixels(data.images[part].to(device)))
            correct += (logits.argmax(dim=1) == y).sum()
            total += torch.nn.functional.cross_entropy(logits, y, reduction="sum")
    model.train()
    return _to_floats(
        {"validation_accuracy": correct / len(data), "validation_cross_entropy": total / len(data)}
    )


@contextmanager
def _precision(precision: str, device: torch.device) -> Iterator[Callable[[], torch.autocast]]:
    """Gives the autocast of a step; float32 is meant in full, so TF32 is off inside."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision must be auto, float32 or bfloat16, got {precision!r}")
    with ExitStack() as stack:
        cuda = device.type == "cuda"
        if cuda:
            for backend in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
                stack.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
                backend.fp32_precision = "ieee"
        half = precision == "bfloat16" or (precision == "auto" and cuda and torch.cuda.is_bf16_supported())
        yield lambda: torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)
