"""Schedules of the learning rate. `(step, total_steps, *, ...) -> float`: the factor in force at a step."""

from densitylab.backend.shared.catalog.entries import LrScheduleEntry
from densitylab.backend.shared.catalog.params import Param

WARM_UP = Param(
    name="warm_up",
    type="float",
    default=0.0,
    minimum=0.0,
    maximum=1.0,
    label="Warm-up",
    help="Share of the run's steps over which the learning rate first grows linearly; 0 for none.",
)

LR_SCHEDULES = (
    LrScheduleEntry(
        "constant",
        "Constant",
        "The optimizer's learning rate throughout.",
        "densitylab.worker.lr_schedules.constant:constant",
        params=(WARM_UP,),
        stretched_by=("warm_up",),
    ),
    LrScheduleEntry(
        "cosine",
        "Cosine",
        "The learning rate falls along half a cosine (Loshchilov & Hutter 2017, no restarts).",
        "densitylab.worker.lr_schedules.cosine:cosine",
        params=(
            Param(
                name="end",
                type="float",
                default=0.0,
                minimum=0.0,
                maximum=1.0,
                label="End",
                help="The rate at the last step, as a share of the optimizer's.",
            ),
            WARM_UP,
        ),
    ),
    LrScheduleEntry(
        "step",
        "Step",
        "The learning rate is multiplied by a factor at stated points of the run.",
        "densitylab.worker.lr_schedules.step:step",
        params=(
            Param(
                name="at",
                type="floats",
                default=[0.5, 0.75],
                minimum=0.0,
                maximum=1.0,
                label="Points",
                help="Shares of the run's steps.",
            ),
            Param(
                name="factor",
                type="float",
                default=0.1,
                minimum=0.0,
                maximum=1.0,
                label="Factor",
                help="Multiplier of the rate at each point.",
            ),
            WARM_UP,
        ),
    ),
)
