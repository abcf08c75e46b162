"""The training loop of runs that train together, each step of all of them computed as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import isfinite
from time import perf_counter
from typing import Self

import torch

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training.cross_entropy import CrossEntropy
from densitylab.worker.training.epoch_end import end_epoch, stops_early
from densitylab.worker.training.freezing import train_mode
from densitylab.worker.training.gradient_norms import density_gradient_norm, gradient_norms
from densitylab.worker.training.loop import (
    OBSERVE_EVERY,
    StepReport,
    TrainingDiverged,
    check_finite,
    log_every,
    set_learning_rate,
)
from densitylab.worker.training.stacked.member import Member
from densitylab.worker.training.stacked.model import StackedModel
from densitylab.worker.training.stacked.objective import StackedTerms, stacked_objective
from densitylab.worker.training.stacked.optimizer import StackedOptimizer


class StackedTraining:
    """Runs that train together, inside `with`. Each makes the steps that `fit` would make with it alone.

        with StackedTraining(members, validation) as training:
            while ...:
                training.leave([member for member in training.members if training.ended(member)])
                reports = training.step()

    Args:
        members: at the same step, none with an obstacle (see `eligibility`), which differ in λ, seed, learning rate and
            weight decay alone.
        validation: images held out of training, or None.
    """

    def __init__(self, members: Sequence[Member], validation: Dataset | None) -> None:
        if len({member.state.step for member in members}) != 1:
            raise ValueError("expected members at the same step")
        self.members = list(members)
        self._validation = validation
        first = members[0]
        self._config, self._device = first.config, first.state.device
        self._steps_per_epoch = first.batches.steps_per_epoch
        self._total = self._config.epochs * self._steps_per_epoch
        for member in members:
            train_mode(member.state.model)
        self._model = StackedModel([member.state.model for member in members])
        self._optimizer = StackedOptimizer(self._model.weights, [member.state.optimizer for member in members])
        self._written = True  # whether the members' states have the present weights
        self._images, self._since = 0, perf_counter()
        self._stack = ExitStack()
        self._autocast: Callable[[], torch.autocast]

    def __enter__(self) -> Self:
        self._autocast = self._stack.enter_context(self._config.compute.applied(self._device))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ended(self, member: Member) -> bool:
        """Return whether the member's training is done, at its last step or early."""
        state = member.state
        return state.step >= self._total or stops_early(state, member.config.early_stop, self._steps_per_epoch)

    def write_back(self) -> None:
        """Give each member's state its present weights, and its optimizer's state, so that it can be saved."""
        if not self._written:
            for index, member in enumerate(self.members):
                self._model.write_to(member.state.model, index)
                self._optimizer.write_to(member.state.optimizer, index)
        self._written = True

    def leave(self, members: Sequence[Member]) -> None:
        """Let members go, with their present weights; the others go on without them."""
        if not members:
            return
        self.write_back()
        kept = [index for index, member in enumerate(self.members) if member not in members]
        self._model.keep(kept)
        self._optimizer.keep(kept)
        self.members = [self.members[index] for index in kept]

    def step(self) -> dict[Member, StepReport | TrainingDiverged]:
        """Make one optimizer step of all members; return the report of each, or the error of one whose loss is not a
        finite number."""
        step = self.members[0].state.step + 1
        logged = step % log_every(self._total) == 0 or step == self._total
        observe = step == 1 or step % OBSERVE_EVERY == 0
        each = self._update(step, logged=logged, observe=observe)
        self._written = False
        if step % OBSERVE_EVERY == 0:
            throughput = self._images / max(perf_counter() - self._since, 1e-9)
            for values in each:
                values["throughput"] = throughput
        reports: dict[Member, StepReport | TrainingDiverged] = {}
        for member, values in zip(self.members, each, strict=True):
            try:
                if logged:
                    check_finite(values, step)
            except TrainingDiverged as error:
                reports[member] = error
            else:
                reports[member] = StepReport(step, self._total, step / self._steps_per_epoch, values)
        if step % self._steps_per_epoch == 0 and self._validation:
            self.write_back()
            for member, report in reports.items():
                if isinstance(report, StepReport):
                    epoch = step // self._steps_per_epoch
                    ended = end_epoch(member.state, member.config, self._validation, epoch, self._autocast)
                    report.values.update(ended)
        if step % OBSERVE_EVERY == 0:
            self._images, self._since = 0, perf_counter()
        return reports

    def _update(self, step: int, *, logged: bool, observe: bool) -> list[dict[str, float]]:
        """Update the weights; return the metrics of each member."""
        config, states = self._config, [member.state for member in self.members]
        lambdas = [
            member.config.schedule(member.config.lambda_, step, self._total, member.state.controller)
            for member in self.members
        ]
        rates = [
            set_learning_rate(member.state.optimizer, member.config.lr_schedule(step, self._total))
            for member in self.members
        ]
        x, y, masks, cross_entropy = self._batch(step)
        self._images += len(y) // len(states)
        with self._autocast():
            terms = stacked_objective(
                self._model,
                x,
                y,
                regularizer=config.regularizer,
                lambdas=lambdas,
                step=step,
                every=config.every,
                generators=[state.penalty_generator for state in states],
                observe=observe,
                cross_entropy=cross_entropy,
                masks=masks,
                uses=config.uses,
            )
            metrics = _metrics(terms, x, y, logged=logged, observe=observe)
            observed = self._controller_inputs(terms, x)
        weights = self._model.weights
        (gradient,) = torch.autograd.grad(terms.loss.sum(), weights)
        if config.gradient_clip is not None:
            norm = torch.linalg.vector_norm(gradient, dim=1)
            gradient = gradient * (config.gradient_clip / (norm + 1e-6)).clamp(max=1.0).unsqueeze(1)
            if logged:
                metrics["weight_gradient_norm"] = norm
        self._optimizer.step(weights.data, gradient)
        each = _to_floats(metrics, len(states))
        inputs = _to_floats(observed, len(states))
        for index, (state, values) in enumerate(zip(states, each, strict=True)):
            state.step += 1
            state.controller = state.controller.after(lambdas[index], **inputs[index])
            if not terms.penalised[index]:
                values.pop("penalty", None)
            if logged:
                values |= {"lambda_": lambdas[index], "learning_rate": rates[index]}
                if not isfinite(values.get("weight_gradient_norm", 0)):
                    del values["weight_gradient_norm"]
        return each

    def _batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, CrossEntropy]:
        """Return the images, labels and masks of all members, each in its own order, and their cross-entropy."""
        config, masked = self._config, "masks" in self._config.uses
        drawn = {
            batches: (*batches.at(step), batches.masks(step) if masked else None)
            for batches in dict.fromkeys(member.batches for member in self.members)
        }
        parts = [drawn[member.batches] for member in self.members]
        x, y = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        masks = [part[2] for part in parts if part[2] is not None]
        cross_entropy = config.cross_entropy
        if cross_entropy.weights is not None:
            scales = [torch.as_tensor(cross_entropy.of_batch(part[1]).scale).expand(len(part[1])) for part in parts]
            cross_entropy = replace(cross_entropy, scale=torch.cat(scales))
        return x, y, torch.cat(masks) if masks else None, cross_entropy

    def _controller_inputs(self, terms: StackedTerms, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the arguments of `ControllerState.after` that the schedule of λ observes, (M,) each."""
        inputs: dict[str, torch.Tensor] = {}
        if "cross_entropy" in self._config.observes:
            inputs["cross_entropy"] = terms.cross_entropy.detach()
        if "gradient_norm" in self._config.observes:
            norms = density_gradient_norm(x, terms.logits).square()
            inputs["squared_gradient_norm"] = norms.view(len(self.members), -1).mean(dim=1)
        return inputs


def _metrics(
    terms: StackedTerms, x: torch.Tensor, y: torch.Tensor, *, logged: bool, observe: bool
) -> dict[str, torch.Tensor]:
    """Return the metrics (M,) of a step by name."""
    metrics: dict[str, torch.Tensor] = {}
    members = len(terms.loss)
    if logged:
        metrics |= {"loss": terms.loss.detach(), "cross_entropy": terms.cross_entropy.detach()}
        metrics["train_accuracy"] = (terms.logits.argmax(dim=1) == y).double().view(members, -1).mean(dim=1)
        if terms.penalty is not None:
            metrics["penalty"] = terms.penalty
    if observe:
        norms = gradient_norms(x, terms.logits, y)
        for name, values in (
            ("gradient_norm", norms.log_density),
            ("gradient_norm_log_prob", norms.log_prob),
            ("gradient_norm_margin", norms.margin),
        ):
            metrics[name] = values.view(members, -1).mean(dim=1)
    return metrics


def _to_floats(tensors: dict[str, torch.Tensor], members: int) -> list[dict[str, float]]:
    """Return the numbers of each member by name, in one transfer."""
    if not tensors:
        return [{} for _ in range(members)]
    columns = torch.stack([values.double() for values in tensors.values()], dim=1).tolist()
    return [dict(zip(tensors, row, strict=True)) for row in columns]
