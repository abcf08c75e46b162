"""Small training runs that several tests make: 105 images with a bright row for a label, six steps an epoch."""

from contextlib import closing

import torch

from backend.shared.catalog import find
from worker.batches import Batches
from worker.datasets.dataset import Dataset
from worker.resolve import build_model, build_optimizer, component
from worker.training import StepReport, TrainingState, fit

BLOCKMNIST = find("dataset", "blockmnist")
MODEL = {"hidden": 16, "dropout": 0.2, "activation": "gelu"}


def data(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (n,), generator=generator)
    images = torch.randint(0, 60, (n, 1, 56, 28), generator=generator, dtype=torch.uint8)
    images[torch.arange(n), 0, labels * 5, :] = 255  # the label is a bright row
    return Dataset(images, labels)


TRAIN, VALIDATION = data(105), data(30, seed=1)


def new_state(seed=0, model=("mlp", MODEL), optimizer=("sgd", {"lr": 0.05}), ema_decay=None):
    return TrainingState.new(
        seed=seed, device="cpu", build_model=lambda: build_model(*model, BLOCKMNIST),
        build_optimizer=lambda parameters: build_optimizer(*optimizer, parameters), threads=1,
        ema_decay=ema_decay,
    )  # fmt: skip


def batches(seed=0, data=None, **options):
    return Batches(TRAIN if data is None else data, batch_size=20, seed=seed, device="cpu", **options)


def run(
    state, *, params=None, every=1, lambda_=0.1, epochs=5, validation=VALIDATION, stop_at=None, drawn=None, **options
):
    """(finished, reports), up to step `stop_at` if given; `drawn` are options of the batches."""
    reports: list[StepReport] = []
    regularizer = component("regularizer", "marginal_density", params or {}).function
    with closing(batches(state.seed, **(drawn or {}))) as training:
        finished = fit(
            state, training, validation, regularizer=regularizer, every=every, lambda_=lambda_,
            schedule=component("schedule", "constant").function, epochs=epochs, on_step=reports.append,
            should_stop=lambda: state.step == stop_at, **options,
        )  # fmt: skip
    return finished, reports


def rows(reports):
    """Metric rows, without the one that is a matter of speed."""
    return [
        (report.step, report.epoch, {name: value for name, value in report.values.items() if name != "throughput"})
        for report in reports
    ]


def weights(state):
    return {name: value.clone() for name, value in state.model.state_dict().items()}
