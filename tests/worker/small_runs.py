"""Small training runs for several tests: 105 images with a bright row for a label, six steps an epoch."""

from contextlib import closing

import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import build_model, build_optimizer, component
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.loop import StepReport, fit
from densitylab.worker.training.state import TrainingState

CATALOG = Catalog.built_in()

BLOCKMNIST = CATALOG.find("dataset", "blockmnist")
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
        seed=seed,
        device="cpu",
        build_model=lambda: build_model(CATALOG, *model, BLOCKMNIST),
        build_optimizer=lambda parameters: build_optimizer(CATALOG, *optimizer, parameters),
        threads=1,
        ema_decay=ema_decay,
    )


def batches(seed=0, data=None, **options):
    return Batches(TRAIN if data is None else data, batch_size=20, seed=seed, device="cpu", **options)


def run(
    state,
    *,
    key="marginal_density",
    params=None,
    every=1,
    lambda_=0.1,
    epochs=5,
    validation=VALIDATION,
    stop_at=None,
    drawn=None,
    **options,
):
    """(finished, reports), up to step `stop_at` if given; `drawn` are options of the batches."""
    reports: list[StepReport] = []
    regularizer = component(CATALOG, "regularizer", key, params or {}).function
    with closing(batches(state.seed, **(drawn or {}))) as training:
        finished = fit(
            state,
            training,
            validation,
            TrainingConfig(
                regularizer=regularizer,
                every=every,
                lambda_=lambda_,
                schedule=component(CATALOG, "schedule", "constant").function,
                epochs=epochs,
                **options,
            ),
            on_step=reports.append,
            should_stop=lambda: state.step == stop_at,
        )
    return finished, reports


def rows(reports):
    """Metric rows, without the throughput."""
    return [
        (report.step, report.epoch, {name: value for name, value in report.values.items() if name != "throughput"})
        for report in reports
    ]


def weights(state):
    return {name: value.clone() for name, value in state.model.state_dict().items()}
