"""The training loop. It depends on no database: it reports to `on_step` and asks `should_stop`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import ceil, isfinite
from time import perf_counter

import torch

from densitylab.worker.algorithms.algorithm import Algorithm
from densitylab.worker.autograd import frozen_running_statistics, random_state, replay, set_random_state
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training import ema
from densitylab.worker.training.activation_checkpointing import checkpointed
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.cross_entropy import CrossEntropy
from densitylab.worker.training.epoch_end import end_epoch, stops_early
from densitylab.worker.training.freezing import train_mode
from densitylab.worker.training.gradient_norms import density_gradient_norm, gradient_norms
from densitylab.worker.training.head import retrained_weights
from densitylab.worker.training.mixture import Mixture
from densitylab.worker.training.objective import Terms, objective
from densitylab.worker.training.robust_share import RobustShare
from densitylab.worker.training.state import TrainingState
from densitylab.worker.training.validation import predict

LOGGED_STEPS = 2000  # a longer run logs every ceil(total / 2000)-th step
LOGGED = (  # metrics of logged steps alone
    "loss",
    "cross_entropy",
    "penalty",
    "lambda_",
    "learning_rate",
    "train_accuracy",
    "weight_gradient_norm",
)
OBSERVE_EVERY = 20


class TrainingDiverged(ArithmeticError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class StepReport:
    """Metrics of one optimizer step."""

    step: int  # from 1
    total_steps: int
    epoch: float  # epochs done: 1.5 is the middle of the second
    values: dict[str, float]  # the metrics of this step, by name


def total_steps(images: int, batch_size: int, epochs: int) -> int:
    """Return the optimizer steps of a run; an epoch's last batch may be smaller."""
    return epochs * ceil(images / batch_size)


def log_every(total: int) -> int:
    """Return the distance of the logged steps of a run of `total` steps."""
    return ceil(total / LOGGED_STEPS)


def fit(
    state: TrainingState,
    batches: Batches,
    validation: Dataset | None,
    config: TrainingConfig,
    *,
    on_step: Callable[[StepReport], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Train from `state.step` to the last step, in place.

    Metrics by name:

    - at each logged step (the first 2000, or 2000 at even distances, and the last): `loss, cross_entropy, lambda_,
      learning_rate, train_accuracy`, `penalty` if it was computed, and with gradient clipping
      `weight_gradient_norm`, before the clipping;
    - at step 1 and every 20: `gradient_norm, gradient_norm_log_prob, gradient_norm_margin`, batch means of norms of
      input gradients;
    - at the end of each epoch: `validation_accuracy, validation_cross_entropy`, with groups `validation_worst_group`
      too, with the averaged weights if the run averages them, and those of the regularizer's monitor;
    - at step 1 and every 20: those of the algorithm, such as the weights of groups;
    - where the schedule of λ observes it: `validation_robust_share`, see `RobustShare`;
    - every 20 steps: `throughput` in images per second, the only metric that differs between repeats.

    Args:
        state: where to begin; changed in place.
        batches: training images, by step.
        validation: images held out of training, or None.
        config: settings of the run.
        on_step: called after each optimizer step; `state` then contains that step, so it may be saved.
        should_stop: asked before each step.

    Returns:
        True once training is done, at the last step or early, and the last layer is retrained if the algorithm does so;
        False if `should_stop` ended it.

    Raises:
        TrainingDiverged: the loss of a logged step is not finite.
        ValueError: validation images or what the algorithm needs, such as groups, are lacking.
    """
    for name, option in (("early stopping", config.early_stop), ("this schedule of λ", config.robust_share)):
        if option is not None and not validation:
            raise ValueError(f"{name} needs validation images, and there are none: leave it out")
    steps_per_epoch = batches.steps_per_epoch
    total = config.epochs * steps_per_epoch
    every = log_every(total)
    algorithm = state.algorithm
    first_stage = min(algorithm.first_stage * steps_per_epoch, total)
    if first_stage and state.step == 0:
        state.keep_first()
    _draw_by(algorithm, batches)
    images, since = 0, perf_counter()
    state.model.to(memory_format=config.compute.memory_format(state.device))
    train_mode(state.model)
    recomputed = checkpointed(state.model) if config.activation_checkpointing else nullcontext()
    with config.compute.applied(state.device) as autocast, recomputed:
        trainer = _Trainer(state, config, config.compute.forward(state.model), autocast)
        while state.step < total and not stops_early(state, config.early_stop, steps_per_epoch):
            if should_stop():
                return False
            if state.first is not None and state.step == first_stage:
                predicted = predict(state.evaluated, batches.data, state.device, autocast, should_stop)
                if predicted is None:
                    return False
                state.start_over(predicted)
                train_mode(state.model)
                _draw_by(algorithm, batches)
            step = state.step + 1
            stage = Stage(0, first_stage) if state.first is not None else Stage(first_stage, total)
            x, y = batches.at(step)
            logged = step % every == 0 or step == total
            masks = batches.masks(step) if "masks" in config.uses else None
            groups = batches.groups(step) if algorithm.weighs_losses else None
            observe = step == 1 or step % OBSERVE_EVERY == 0
            values = trainer.step(
                x, y, masks, groups, stage, mixture=batches.mixture(step), logged=logged, observe=observe
            )
            images += len(y)
            if step % OBSERVE_EVERY == 0:
                values["throughput"] = images / max(perf_counter() - since, 1e-9)
            if config.robust_share is not None and validation and step % config.robust_share.every == 0:
                values |= trainer.observe_robust_share(validation, config.robust_share)
            if step % steps_per_epoch == 0 and validation:
                values |= end_epoch(state, config, validation, step // steps_per_epoch, autocast)
            on_step(StepReport(step, total, step / steps_per_epoch, values))
            if step % OBSERVE_EVERY == 0:
                images, since = 0, perf_counter()
        if algorithm.retrains_head and state.retrained is None:
            state.retrained = retrained_weights(state, validation, autocast, should_stop)
            return state.retrained is not None
    return True


@dataclass(frozen=True)
class Stage:
    """The steps of a training, or of one of its two stages, over which schedules and averages extend."""

    before: int  # steps done when it begins
    end: int  # the last step


def _draw_by(algorithm: Algorithm, batches: Batches) -> None:
    weights = algorithm.sampling_weights()
    if weights is not None:
        batches.sample_by(weights)


class _Trainer:
    """One optimizer step after the other, with what they share."""

    def __init__(
        self,
        state: TrainingState,
        config: TrainingConfig,
        forward: torch.nn.Module,
        autocast: Callable[[], torch.autocast],
    ) -> None:
        self._state, self._config, self._forward, self._autocast = state, config, forward, autocast
        self._parameters = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
        self._scaler = state.scaler
        if config.compute.half(state.device) is not torch.float16:
            self._scaler = torch.amp.GradScaler(state.device.type, enabled=False)  # changes nothing

    def step(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        masks: torch.Tensor | None,
        groups: torch.Tensor | None,
        stage: Stage,
        *,
        mixture: Mixture | None,
        logged: bool,
        observe: bool,
    ) -> dict[str, float]:
        """Make one optimizer step of a stage; return its metrics, means over the whole batch."""
        state, config = self._state, self._config
        step, total = state.step + 1 - stage.before, stage.end - stage.before
        lambda_ = config.schedule(config.lambda_, step, total, state.controller)
        learning_rate = set_learning_rate(state.optimizer, config.lr_schedule(step, total))
        set_random_state(state.random)  # undoes draws between two steps
        state.optimizer.zero_grad()
        cross_entropy = config.cross_entropy.of_batch(y, mixture)
        weights = self._weights_in_parts(x, y, groups, cross_entropy)
        metrics: dict[str, torch.Tensor] = {}
        observed: dict[str, torch.Tensor] = {}
        for rows in _parts(len(y), config.parts):
            share = (rows.stop - rows.start) / len(y)
            part_x, part_y = (x, y) if share == 1 else (x[rows].clone(), y[rows])
            weigh = self._weigh(part_y, groups, None if weights is None else weights[rows])
            with self._autocast():
                terms = objective(
                    self._forward,
                    part_x,
                    part_y,
                    regularizer=config.regularizer,
                    lambda_=lambda_,
                    step=step,
                    every=config.every,
                    generator=state.penalty_generator,
                    observe=observe,
                    cross_entropy=cross_entropy.part(rows),
                    masks=None if masks is None else masks[rows],
                    uses=config.uses,
                    share=share,
                    weigh=weigh,
                )
                part_mixture = cross_entropy.part(rows).mixture
                part_metrics = _metrics(terms, part_x, part_y, part_mixture, logged=logged, observe=observe)
                _add(metrics, part_metrics, share)
                _add(observed, _controller_inputs(terms, part_x, config.observes), share)
            # inputs=: without it autograd also computes the gradient by x
            self._scaler.scale(terms.loss).backward(inputs=self._parameters)
        norm = self._update_weights()
        if norm is not None and logged:
            metrics["weight_gradient_norm"] = norm
        if state.average is not None and state.ema_decay is not None:
            ema.update(state.average, state.model, decay=state.ema_decay, step=step)
        state.step, state.random = state.step + 1, random_state(state.device)
        state.controller = state.controller.after(lambda_, **_to_floats(observed))

        values = _to_floats(metrics)
        if logged:
            values |= {"lambda_": lambda_, "learning_rate": learning_rate}
            check_finite(values, state.step)
            if not isfinite(values.get("weight_gradient_norm", 0)):
                del values["weight_gradient_norm"]  # overflow in float16: the scaler skipped this step
        return values | (state.algorithm.metrics() if observe else {})

    def _weights_in_parts(
        self, x: torch.Tensor, y: torch.Tensor, groups: torch.Tensor | None, cross_entropy: CrossEntropy
    ) -> torch.Tensor | None:
        """Return the algorithm's weights (N,) of a batch that is divided; None if it is whole, or the algorithm weighs
        nothing. Losses come from a forward pass of its own, with the random draws of that which follows."""
        algorithm = self._state.algorithm
        if not algorithm.weighs_losses or self._config.parts == 1:
            return None
        losses = None
        if algorithm.needs_losses:
            own = frozen_running_statistics(self._state.model)
            with torch.no_grad(), self._autocast(), own, replay(self._state.random):
                parts = _parts(len(y), self._config.parts)
                losses = torch.cat(
                    [cross_entropy.part(rows).per_sample(self._forward(x[rows]), y[rows]) for rows in parts]
                )
        return algorithm.loss_weights(losses, y, groups)

    def _weigh(
        self, y: torch.Tensor, groups: torch.Tensor | None, known: torch.Tensor | None
    ) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Return what `objective` weighs a part's samples with: the weights of its batch, or those of a whole batch."""
        algorithm = self._state.algorithm
        if known is not None:
            return lambda losses: known
        return (lambda losses: algorithm.loss_weights(losses, y, groups)) if algorithm.weighs_losses else None

    def _update_weights(self) -> torch.Tensor | None:
        """Return the norm of the gradient before it was clipped, None without clipping."""
        norm = None
        if self._config.gradient_clip is not None:
            self._scaler.unscale_(self._state.optimizer)
            norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._config.gradient_clip)
        self._scaler.step(self._state.optimizer)
        self._scaler.update()
        return norm

    def observe_robust_share(self, data: Dataset, measure: RobustShare) -> dict[str, float]:
        """Give the schedule of λ the share of validation images; return it as a metric."""
        share = measure.of(self._state.evaluated, data, self._state.device, self._state.seed)
        train_mode(self._state.model)
        self._state.controller = replace(self._state.controller, robust_share=share)
        return {} if share is None else {"validation_robust_share": share}


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Return the rate of the first group. The initial rate is stored beside it, as torch's schedulers do."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
    return optimizer.param_groups[0]["lr"]


def _parts(images: int, parts: int) -> list[slice]:
    return [slice(int(part[0]), int(part[-1]) + 1) for part in torch.arange(images).chunk(parts)]


def _add(total: dict[str, torch.Tensor], part: dict[str, torch.Tensor], share: float) -> None:
    """Add a part's metrics to those of the batch; its loss is a share already."""
    for name, value in part.items():
        added = value if share == 1 or name == "loss" else share * value
        total[name] = total[name] + added if name in total else added


def _metrics(
    terms: Terms, x: torch.Tensor, y: torch.Tensor, mixture: Mixture | None, *, logged: bool, observe: bool
) -> dict[str, torch.Tensor]:
    metrics: dict[str, torch.Tensor] = {}
    if logged:
        metrics |= {"loss": terms.loss.detach(), "cross_entropy": terms.cross_entropy.detach()}
        predicted = terms.logits.argmax(dim=1)
        right = (predicted == y).double()
        if mixture is not None:  # a right answer counts by the share of its label
            right = mixture.of(right, (predicted == mixture.other).double())
        metrics["train_accuracy"] = right.mean()
        if terms.penalty is not None:
            metrics["penalty"] = terms.penalty
    if observe:
        norms = gradient_norms(x, terms.logits, y)
        metrics["gradient_norm"] = norms.log_density.mean()
        metrics["gradient_norm_log_prob"] = norms.log_prob.mean()
        metrics["gradient_norm_margin"] = norms.margin.mean()
    return metrics


def _controller_inputs(terms: Terms, x: torch.Tensor, observes: Collection[str]) -> dict[str, torch.Tensor]:
    """Return the arguments of `ControllerState.after` that the schedule of λ observes."""
    inputs: dict[str, torch.Tensor] = {}
    if "cross_entropy" in observes:
        inputs["cross_entropy"] = terms.cross_entropy.detach()
    if "gradient_norm" in observes:
        inputs["squared_gradient_norm"] = density_gradient_norm(x, terms.logits).square().mean()
    return inputs


def _to_floats(tensors: dict[str, torch.Tensor]) -> dict[str, float]:
    if not tensors:
        return {}
    # one transfer, so that a step waits for the GPU once, and only if it reports
    return dict(zip(tensors, torch.stack([value.double() for value in tensors.values()]).tolist(), strict=True))


def check_finite(values: dict[str, float], step: int) -> None:
    """Raise TrainingDiverged if the loss of a logged step is not a finite number."""
    if not isfinite(values["loss"]):
        parts = ", ".join(f"{name} {values[name]:g}" for name in ("cross_entropy", "penalty") if name in values)
        raise TrainingDiverged(
            f"the loss at step {step} is {values['loss']:g} ({parts}, λ {values['lambda_']:g}), not a finite number: "
            "try a smaller learning rate or a smaller λ, or precision float32"
        )
