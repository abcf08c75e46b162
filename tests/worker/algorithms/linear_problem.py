"""A linear problem with two classes and four groups of 40 images of 1×2 pixels, and its training without a penalty."""

import io
from contextlib import closing

import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import component
from densitylab.worker.training import checkpoints
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.loop import fit
from densitylab.worker.training.state import TrainingState

CATALOG = Catalog.built_in()
LEARNING_RATE = 0.5


def data(sizes, seed=0):
    """Images whose first pixel tells the label and whose second tells the group's background, both with noise."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    labels, places = groups // 2, groups % 2
    pixels = torch.stack([60 + 80 * labels, 40 + 160 * places], dim=1)
    noise = torch.randint(-40, 40, pixels.shape, generator=generator)
    order = torch.randperm(len(groups), generator=generator)
    images = (pixels + noise).clamp(0, 255).to(torch.uint8).reshape(-1, 1, 1, 2)
    return Dataset(images[order], labels[order], None, groups[order])


TRAIN, VALIDATION = data([18, 3, 3, 16]), data([12, 8, 7, 13], seed=1)


def linear_state(algorithm, **options):
    return TrainingState.new(
        seed=0,
        device="cpu",
        build_model=lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)),
        build_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=LEARNING_RATE),
        threads=1,
        algorithm=algorithm,
        **options,
    )


def batches(**options):
    return Batches(TRAIN, batch_size=10, seed=0, device="cpu", **options)


def fitted(state, *, epochs, stop_at=None, drawn=None, validation=VALIDATION, regularizer="none", **options):
    """(finished, [(step, metrics)]) of a training without a penalty, up to step `stop_at` if given."""
    rows = []

    def on_step(report):
        rows.append((report.step, {name: value for name, value in report.values.items() if name != "throughput"}))

    with closing(batches(**(drawn or {}))) as training:
        finished = fit(
            state,
            training,
            validation,
            TrainingConfig(
                **{
                    "regularizer": component(CATALOG, "regularizer", regularizer).function,
                    "lambda_": 0.0,
                    "schedule": component(CATALOG, "schedule", "constant").function,
                    "epochs": epochs,
                    **options,
                }
            ),
            on_step=on_step,
            should_stop=lambda: state.step == stop_at,
        )
    return finished, rows


def reloaded(state, new):
    """`new`, with everything that a checkpoint of `state` restores."""
    file = io.BytesIO()
    checkpoints.save(file, state)
    torch.manual_seed(99)
    checkpoints.load(file.getvalue(), new)
    return new
