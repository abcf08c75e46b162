"""The training loop. It knows no database: what happens is told to `on_step`, and `should_stop` is asked.

    state = TrainingState.new(seed=, device=, build_model=() -> Module, build_optimizer=(parameters) -> Optimizer,
                              threads=None, ema_decay=None)
    fit(state, batches, validation, *, regularizer, every=1, lambda_, schedule, observes=(), epochs,
        lr_schedule=constant, gradient_clip=None, early_stop=None, arithmetic=USUAL,
        on_step=(StepReport) -> None, should_stop=() -> bool) -> bool    True: finished
    state.kept_weights()    what a trained run is evaluated with
    total_steps(images, batch_size, epochs) -> int
    StepReport(step, total_steps, epoch, values)
    EarlyStop(patience, metric), stops_early(state, early_stop)
    TrainingDiverged

A state that is saved in `on_step` and loaded into a new one goes on as if nothing had happened, bit for bit on the
CPU with the same number of threads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from math import ceil, isfinite
from time import perf_counter
from typing import Any

import torch

from worker import averaging, seeds
from worker.arithmetic import USUAL, Arithmetic
from worker.batches import Batches, as_pixels
from worker.datasets.dataset import Dataset
from worker.gradient_norms import density_gradient_norm, gradient_norms
from worker.lr_schedules.constant import constant
from worker.objective import Regularizer, Terms, objective
from worker.regularizers.marginal_density import RandomState, random_state, set_random_state
from worker.schedules.seen import Seen

LOGGED_STEPS = 2000  # a longer run logs every ceil(total / 2000)-th step
OBSERVE_EVERY = 20
VALIDATION_BATCH = 500


class TrainingDiverged(ArithmeticError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class StepReport:
    """What is known after one optimizer step."""

    step: int  # from 1
    total_steps: int
    epoch: float  # epochs done: 1.5 is the middle of the second
    values: dict[str, float]  # the metrics that exist at this step, by name


@dataclass(frozen=True)
class EarlyStop:
    """End a run once so many epochs have gone by without a better value; the weights of the best one are kept."""

    patience: int  # epochs
    metric: str = "validation_cross_entropy"  # lower is better, or "validation_accuracy": higher is


@dataclass
class Best:
    """The best epoch so far, of a run that may stop early."""

    epoch: int  # from 1
    value: float  # of the metric that early stopping watches
    weights: dict[str, torch.Tensor]


@dataclass
class TrainingState:
    """Everything that decides how training goes on."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    seed: int
    device: torch.device
    penalty_generator: torch.Generator  # noise of the penalty alone
    random: RandomState  # where the global generators (dropout) stand between two steps
    scaler: torch.amp.GradScaler  # of the loss, in float16 alone
    ema_decay: float | None = None  # of the weights' running mean; None: there is none
    average: torch.nn.Module | None = None  # the model with that mean
    best: Best | None = None  # where a run may stop early
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
        ema_decay: float | None = None,
    ) -> TrainingState:
        """A state before its first step. Seeds torch's global generators, which draw the weights.

        `threads` sets the CPU threads of this process: sums depend on their number. With `ema_decay` a running mean of
        the weights is kept (see `worker.averaging`).
        """
        if threads is not None:
            torch.set_num_threads(threads)
        device = torch.device(device)
        torch.manual_seed(seed)
        model = build_model().to(device)
        generator = torch.Generator(device).manual_seed(seeds.word(seed, seeds.PENALTY, 0))
        optimizer = build_optimizer(model.parameters())
        average = None if ema_decay is None else copy.deepcopy(model).eval()
        scaler = torch.amp.GradScaler(device.type)
        return cls(model, optimizer, seed, device, generator, random_state(device), scaler, ema_decay, average)

    @property
    def evaluated(self) -> torch.nn.Module:
        """The model as it would be evaluated now: with averaged weights where they are averaged."""
        return self.model if self.average is None else self.average

    def kept_weights(self) -> dict[str, torch.Tensor]:
        """What a trained run is evaluated with: of the best epoch where it may stop early, averaged where they are."""
        return self.evaluated.state_dict() if self.best is None else self.best.weights

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
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "best": None if self.best is None else vars(self.best),
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
        # What the first checkpoints did not have, they did not need
        self.seen = Seen(**saved.get("seen", {}))
        if "scaler" in saved:
            self.scaler.load_state_dict(saved["scaler"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        best = saved.get("best")
        self.best = None if best is None else Best(**best)
        torch.set_num_threads(saved["threads"])


def total_steps(images: int, batch_size: int, epochs: int) -> int:
    """Optimizer steps of a run; an epoch's last batch may be smaller."""
    return epochs * ceil(images / batch_size)


def fit(
    state: TrainingState,
    batches: Batches,
    validation: Dataset | None,
    *,
    regularizer: Regularizer,
    every: int = 1,
    lambda_: float,
    schedule: Callable[[float, int, int, Seen], float],
    observes: Collection[str] = (),
    epochs: int,
    lr_schedule: Callable[[int, int], float] = constant,
    gradient_clip: float | None = None,
    early_stop: EarlyStop | None = None,
    arithmetic: Arithmetic = USUAL,
    on_step: Callable[[StepReport], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Train from `state.step` to the last step, in place.

    Metrics by name: `loss, cross_entropy, penalty, lambda_, learning_rate, train_accuracy` at each logged step (each of
    the first 2000, or evenly spaced, and the last; `penalty` where it was computed), with `gradient_clip` also
    `weight_gradient_norm`, before it is clipped; `gradient_norm, gradient_norm_log_prob, gradient_norm_margin` (batch
    means, of input gradients) at step 1 and every 20; `validation_accuracy, validation_cross_entropy` at the end of an
    epoch, of the averaged weights where they are averaged; `throughput` in images per second every 20 steps, the only
    one that differs between repeats.

    Args:
        state: where to begin; changed in place.
        batches: images to learn from, by step.
        validation: images held out of training, or None.
        regularizer: (model, x, logits, y, *, generator) -> (N,).
        every: steps between two applications of the penalty.
        lambda_: weight of the penalty, at least 0.
        schedule: (lambda_, step, total_steps, seen) -> λ in force.
        observes: what of `seen` the schedule reads: "cross_entropy", "gradient_norm". Measured at every step.
        epochs: passes over the training images.
        lr_schedule: (step, total_steps) -> what the optimizer's learning rate is multiplied by.
        gradient_clip: largest L2 norm of the loss's gradient by all weights, above 0; a longer one is scaled down.
        early_stop: when to end before the last epoch; `state.best` then holds the weights of the best epoch.
        arithmetic: precision, deterministic kernels, compilation.
        on_step: told after each optimizer step; `state` then holds that step, so it may be saved.
        should_stop: asked before each step.

    Returns:
        Whether training is done, at the last step or early; False when `should_stop` said so before.

    Raises:
        TrainingDiverged: the loss of a logged step is not finite.
        ValueError: early stop without validation images.
    """
    if early_stop is not None and not validation:
        raise ValueError("early stop watches the validation images, and there are none: leave it out")
    model, optimizer, device = state.model, state.optimizer, state.device
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps_per_epoch = batches.steps_per_epoch
    total = epochs * steps_per_epoch
    log_every = ceil(total / LOGGED_STEPS)
    scaler = state.scaler
    if arithmetic.half(device) is not torch.float16:
        scaler = torch.amp.GradScaler(device.type, enabled=False)  # passes everything on as it is
    mark, seen = perf_counter(), 0

    model.to(memory_format=arithmetic.memory_format(device)).train()
    with arithmetic.applied(device) as autocast:
        forward = arithmetic.forward(model)
        while state.step < total and not stops_early(state, early_stop, steps_per_epoch):
            if should_stop():
                return False
            step = state.step + 1
            x, y = batches.at(step)
            in_force = schedule(lambda_, step, total, state.seen)
            rate = _set_learning_rate(optimizer, lr_schedule(step, total))
            logged, observe = step % log_every == 0 or step == total, step == 1 or step % OBSERVE_EVERY == 0
            set_random_state(state.random)  # whatever was drawn between two steps
            optimizer.zero_grad()
            with autocast():
                terms = objective(
                    forward, x, y, regularizer=regularizer, lambda_=in_force, step=step, every=every,
                    generator=state.penalty_generator, observe=observe,
                )  # fmt: skip
                measured = _measured(terms, x, y, logged=logged, observe=observe)
                steering = _steering(terms, x, observes)
            # inputs=: without it autograd also computes the gradient by x, which nobody reads
            scaler.scale(terms.loss).backward(inputs=parameters)
            if gradient_clip is not None:
                scaler.unscale_(optimizer)
                norm = torch.nn.utils.clip_grad_norm_(parameters, gradient_clip)
                if logged:
                    measured["weight_gradient_norm"] = norm
            scaler.step(optimizer)
            scaler.update()
            if state.average is not None and state.ema_decay is not None:
                averaging.update(state.average, model, decay=state.ema_decay, step=step)
            state.step, state.random = step, random_state(device)
            state.seen = state.seen.after(in_force, **_to_floats(steering))

            values = _to_floats(measured)
            if logged:
                values |= {"lambda_": in_force, "learning_rate": rate}
                _check_finite(values, step)
                if not isfinite(values.get("weight_gradient_norm", 0)):
                    del values["weight_gradient_norm"]  # too long for float16's scale, so this step was left out
            seen += len(y)
            if step % OBSERVE_EVERY == 0:
                values["throughput"] = seen / max(perf_counter() - mark, 1e-9)
            if step % steps_per_epoch == 0 and validation:
                values |= _validate(state.evaluated, validation, device, autocast)
                model.train()
                if early_stop is not None:
                    _keep_if_better(state, step // steps_per_epoch, values[early_stop.metric], early_stop)
            on_step(StepReport(step, total, step / steps_per_epoch, values))
            if step % OBSERVE_EVERY == 0:
                mark, seen = perf_counter(), 0
    return True


def stops_early(state: TrainingState, early_stop: EarlyStop | None, steps_per_epoch: int) -> bool:
    """Whether `patience` epochs are done since the best one."""
    if early_stop is None or state.best is None:
        return False
    return state.step // steps_per_epoch - state.best.epoch >= early_stop.patience


def _keep_if_better(state: TrainingState, epoch: int, value: float, early_stop: EarlyStop) -> None:
    if state.best is not None:
        before = state.best.value
        better = value > before if early_stop.metric == "validation_accuracy" else value < before
        if not better:
            return
    weights = {name: tensor.detach().clone() for name, tensor in state.evaluated.state_dict().items()}
    state.best = Best(epoch, value, weights)


def _set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Gives the rate of the first group; what the optimizer was built with is kept beside it, as torch does."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
    return optimizer.param_groups[0]["lr"]


def _measured(
    terms: Terms, x: torch.Tensor, y: torch.Tensor, *, logged: bool, observe: bool
) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    if logged:
        found |= {"loss": terms.loss.detach(), "cross_entropy": terms.cross_entropy.detach()}
        found["train_accuracy"] = (terms.logits.argmax(dim=1) == y).double().mean()
        if terms.penalty is not None:
            found["penalty"] = terms.penalty
    if observe:
        norms = gradient_norms(x, terms.logits, y)
        found["gradient_norm"] = norms.log_density.mean()
        found["gradient_norm_log_prob"] = norms.log_prob.mean()
        found["gradient_norm_margin"] = norms.margin.mean()
    return found


def _steering(terms: Terms, x: torch.Tensor, observes: Collection[str]) -> dict[str, torch.Tensor]:
    """What the schedule of λ steers by, for `Seen.after`."""
    found: dict[str, torch.Tensor] = {}
    if "cross_entropy" in observes:
        found["cross_entropy"] = terms.cross_entropy.detach()
    if "gradient_norm" in observes:
        found["squared_gradient_norm"] = density_gradient_norm(x, terms.logits).square().mean()
    return found


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
    """Leaves the model in eval mode."""
    model.eval()
    correct, total = torch.zeros(2, dtype=torch.float64, device=device)
    with torch.no_grad(), autocast():
        for start in range(0, len(data), VALIDATION_BATCH):
            part = slice(start, start + VALIDATION_BATCH)
            y = data.labels[part].to(device)
            logits = model(as_pixels(data.images[part].to(device)))
            correct += (logits.argmax(dim=1) == y).sum()
            total += torch.nn.functional.cross_entropy(logits, y, reduction="sum")
    return _to_floats(
        {"validation_accuracy": correct / len(data), "validation_cross_entropy": total / len(data)}
    )
