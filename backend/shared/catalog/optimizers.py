"""Optimizers. `build(parameters, *, ...) -> torch.optim.Optimizer`."""

from dataclasses import replace

from densitylab.backend.shared.catalog.entries import OptimizerEntry
from densitylab.backend.shared.catalog.params import Param

WEIGHT_DECAY = Param(
    name="weight_decay",
    type="float",
    default=0.0,
    minimum=0.0,
    maximum=1.0,
    label="Weight decay",
    help="L2 penalty on the weights.",
)

LEARNING_RATE = Param(
    name="lr",
    type="float",
    default=0.001,
    minimum=0.0,
    exclusive_minimum=True,
    maximum=10.0,
    label="Learning rate",
)

OPTIMIZERS = (
    OptimizerEntry(
        "adam",
        "Adam",
        "Adaptive moments (Kingma & Ba 2015).",
        "densitylab.worker.optimizers.adam:adam",
        params=(
            LEARNING_RATE,
            WEIGHT_DECAY,
        ),
    ),
    OptimizerEntry(
        "adamw",
        "AdamW",
        "Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019).",
        "densitylab.worker.optimizers.adamw:adamw",
        params=(
            replace(LEARNING_RATE, default=0.001),
            replace(WEIGHT_DECAY, default=0.01, help="Share of each weight taken off at a step, times the rate."),
        ),
    ),
    OptimizerEntry(
        "sgd",
        "SGD with momentum",
        "Stochastic gradient descent.",
        "densitylab.worker.optimizers.sgd:sgd",
        params=(
            replace(LEARNING_RATE, default=0.1),
            Param(name="momentum", type="float", default=0.9, minimum=0.0, maximum=0.9999, label="Momentum"),
            WEIGHT_DECAY,
        ),
    ),
)
