"""Schedules of λ. `(lambda_, step, total_steps, seen, *, ...) -> float`: the λ in force at a step."""

from densitylab.backend.shared.catalog.entries import ScheduleEntry
from densitylab.backend.shared.catalog.params import Param

SCHEDULES = (
    ScheduleEntry(
        "constant",
        "Constant",
        "The same λ from the first step to the last.",
        "densitylab.worker.schedules.constant:constant",
        stretched_by=(),
    ),
    ScheduleEntry(
        "linear_warm_up",
        "Linear warm-up",
        "λ grows linearly from nothing, then stays.",
        "densitylab.worker.schedules.linear_warm_up:linear_warm_up",
        params=(
            Param(
                name="warm_up",
                type="float",
                default=0.2,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=1.0,
                label="Warm-up",
                help="Share of the run's steps until λ is reached.",
            ),
        ),
    ),
    ScheduleEntry(
        "cosine",
        "Cosine",
        "λ goes from its first to its last value along half a cosine.",
        "densitylab.worker.schedules.cosine:cosine",
        params=(
            Param(
                name="start",
                type="float",
                default=1.0,
                minimum=0.0,
                maximum=1000.0,
                label="Start",
                help="λ at the first step, as a multiple of λ.",
            ),
            Param(
                name="end",
                type="float",
                default=0.0,
                minimum=0.0,
                maximum=1000.0,
                label="End",
                help="λ at the last step, as a multiple of λ.",
            ),
        ),
    ),
    ScheduleEntry(
        "step",
        "Step",
        "λ is multiplied by a factor at stated points of the run.",
        "densitylab.worker.schedules.step:step",
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
                maximum=1000.0,
                label="Factor",
                help="Multiplier of λ at each point.",
            ),
        ),
    ),
    ScheduleEntry(
        "target",
        "Controller: gradient norm",
        "λ is steered until the root mean square of ‖∇ₓ log p(x)‖₂ reaches the given norm; the run's λ is the"
        " start value.",
        "densitylab.worker.schedules.target:target",
        params=(
            Param(
                name="gradient_norm",
                type="float",
                default=0.4,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=1e6,
                label="Gradient norm",
                help="Of log p(x), per unit of [0, 1] pixels. Costs one more input gradient at each step.",
            ),
        ),
        observes=("gradient_norm",),
        stretched_by=(),
    ),
    ScheduleEntry(
        "budget",
        "Controller: cross-entropy budget",
        "λ grows while the training cross-entropy stays below the budget and falls while it is above; it "
        "starts at the run's λ and stays there until the budget is first met, for at most a fifth of the run.",
        "densitylab.worker.schedules.budget:budget",
        params=(
            Param(
                name="cross_entropy",
                type="float",
                default=0.3,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=100.0,
                label="Cross-entropy",
                help="Target of the running mean over training batches, in nats.",
            ),
            Param(
                name="wait",
                type="float",
                default=0.2,
                minimum=0.0,
                maximum=1.0,
                label="Longest wait",
                help="Share of the run after which λ is steered even if the budget has not been met; 1: no limit.",
            ),
        ),
        observes=("cross_entropy",),
        stretched_by=("wait",),
    ),
)
