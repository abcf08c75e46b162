"""Optimizers. `build(parameters, *, ...) -> torch.optim.Optimizer`."""

from backend.shared.catalog.entry import Entry, Param

WEIGHT_DECAY = Param(name="weight_decay", type="float", default=0.0, minimum=0.0, maximum=1.0, label="Weight decay",
                     help="L2 penalty on the weights.")

OPTIMIZERS = (
    Entry(
        "adam", "Adam", "Adaptive moments (Kingma & Ba 2015).", "worker.optimizers:adam",
        params=(
            Param(name="lr", type="float", default=0.001, minimum=0.0, exclusive_minimum=True, maximum=10.0,
                  label="Learning rate"),
            WEIGHT_DECAY,
        ),
    ),
    Entry(
        "sgd", "SGD with momentum", "Stochastic gradient descent.", "worker.optimizers:sgd",
        params=(
            Param(name="lr", type="float", default=0.1, minimum=0.0, exclusive_minimum=True, maximum=10.0,
                  label="Learning rate"),
            Param(name="momentum", type="float", default=0.9, minimum=0.0, maximum=0.9999, label="Momentum"),
            WEIGHT_DECAY,
        ),
    ),
)
