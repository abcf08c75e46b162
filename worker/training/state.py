"""State of a training run: all that a checkpoint contains.

A state that is saved between two steps and loaded into a new one continues bit for bit as if nothing had happened, on
the CPU with the same number of threads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from densitylab.worker.algorithms.algorithm import Algorithm
from densitylab.worker.autograd import RandomState, random_state
from densitylab.worker.schedules.controller_state import ControllerState
from densitylab.worker.training import seeds


class OtherTraining(ValueError):
    """A saved state of another seed or another kind of device."""


@dataclass
class Best:
    """The best epoch so far, of a run that may stop early."""

    epoch: int  # from 1
    value: float  # of the metric of early stopping
    weights: dict[str, torch.Tensor]


@dataclass
class First:
    """What a training begins with, kept while an algorithm may start over."""

    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]


@dataclass
class TrainingState:
    """Everything that the rest of a training run depends on."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    seed: int
    device: torch.device
    penalty_generator: torch.Generator  # noise of the penalty alone
    random: RandomState  # of the global generators (dropout) between two steps
    scaler: torch.amp.GradScaler  # of the loss, used in float16 only
    ema_decay: float | None = None  # of the moving average of the weights; None: no average
    average: torch.nn.Module | None = None  # a copy of the model with the averaged weights
    best: Best | None = None  # with early stopping only
    step: int = 0  # optimizer steps done; with the seed it gives the position in the epoch
    controller: ControllerState = field(default_factory=ControllerState)  # memory of the schedule of λ
    algorithm: Algorithm = field(default_factory=Algorithm)
    first: First | None = None  # in the first of two stages only
    retrained: dict[str, torch.Tensor] | None = None  # the weights with the last layer that the algorithm retrained

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
        algorithm: Algorithm | None = None,
    ) -> TrainingState:
        """Return a state before its first step. Seeds torch's global generators, which draw the weights.

        Args:
            seed: of the run.
            device: of the weights.
            build_model: gives the model, on the CPU.
            build_optimizer: gives the optimizer of the parameters.
            threads: CPU threads of this process, on which the rounding of sums depends; None: unchanged.
            ema_decay: see `densitylab.worker.training.ema`; None: the weights are not averaged.
            algorithm: weighs and draws the images; None: empirical risk minimisation.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        device = torch.device(device)
        torch.manual_seed(seed)
        model = build_model().to(device)
        generator = torch.Generator(device).manual_seed(seeds.derive_seed(seed, seeds.PENALTY, 0))
        optimizer = build_optimizer(model.parameters())
        average = None if ema_decay is None else copy.deepcopy(model).eval()
        scaler = torch.amp.GradScaler(device.type)
        state = cls(model, optimizer, seed, device, generator, random_state(device), scaler, ema_decay, average)
        state.algorithm = algorithm or state.algorithm
        return state

    @property
    def evaluated(self) -> torch.nn.Module:
        """The model to evaluate at this step: the averaged one if the weights are averaged."""
        return self.model if self.average is None else self.average

    def kept_weights(self) -> dict[str, torch.Tensor]:
        """Return the weights to evaluate: those of the best epoch with early stopping, averaged if the run averages,
        and with the last layer that the algorithm has retrained."""
        if self.retrained is not None:
            return self.retrained
        return self.evaluated.state_dict() if self.best is None else self.best.weights

    def keep_first(self) -> None:
        """Keep what the training begins with, for an algorithm of two stages."""
        self.first = copy.deepcopy(
            First(self.model.state_dict(), self.optimizer.state_dict(), self.scaler.state_dict())
        )

    def start_over(self, predicted: torch.Tensor) -> None:
        """Begin the second stage: the algorithm gets the first network's predictions (N,) for the training images;
        weights, optimizer, average and the memory of λ are again what they were at first. Random numbers go on.

        Raises:
            ValueError: the training is not in its first stage.
        """
        if self.first is None:
            raise ValueError("the training is not in the first of two stages")
        self.algorithm.start_over(predicted)
        self.model.load_state_dict(self.first.model)
        self.optimizer.load_state_dict(self.first.optimizer)
        self.scaler.load_state_dict(self.first.scaler)
        if self.average is not None:
            self.average.load_state_dict(self.first.model)
        self.controller, self.best, self.first = ControllerState(), None, None

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer, generators, position and thread count, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seed": self.seed,
            "step": self.step,
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "penalty_generator": self.penalty_generator.get_state(),
            "global_generators": [generator for _, generator in self.random],
            "seen": asdict(self.controller),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "best": None if self.best is None else vars(self.best),
            "algorithm": self.algorithm.state_dict(),
            "first": None if self.first is None else vars(self.first),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state of `saved`; also sets the thread count of this process.

        Raises:
            OtherTraining: `saved` has another seed or another kind of device.
        """
        if (saved["seed"], saved["device"]) != (self.seed, self.device.type):
            raise OtherTraining(
                f"the checkpoint was written with seed {saved['seed']} on {saved['device']}, this run has seed "
                f"{self.seed} on {self.device.type}: it would not go on as it began"
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved["step"]
        self.penalty_generator.set_state(saved["penalty_generator"])
        devices = (device for device, _ in self.random)
        self.random = tuple(zip(devices, saved["global_generators"], strict=True))
        # the first checkpoints have neither controller, scaler, average nor best epoch
        self.controller = ControllerState(**saved.get("seen", {}))
        if "scaler" in saved:
            self.scaler.load_state_dict(saved["scaler"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        best = saved.get("best")
        self.best = None if best is None else Best(**best)
        first = saved.get("first")
        self.first = None if first is None else First(**first)
        self.algorithm.load_state_dict(saved.get("algorithm", {}))
        self.retrained = None
        torch.set_num_threads(saved["threads"])
