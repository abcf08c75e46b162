"""Schedules of λ. `(lambda_, step, total_steps, seen, *, ...) -> float`: the λ in force at a step."""

from backend.shared.catalog.entry import Entry, Param

SCHEDULES = (
    Entry("constant", "Constant", "The same λ from the first step to the last.", "worker.schedules.constant:constant"),
    Entry(
        "linear_warm_up", "Linear warm-up", "λ grows linearly from nothing, then stays.",
        "worker.schedules.linear_warm_up:linear_warm_up",
        params=(Param(name="warm_up", type="float", default=0.2, minimum=0.0, exclusive_minimum=True, maximum=1.0,
                      label="Warm-up", help="Share of the run's steps until λ is reached."),),
    ),
    Entry(
        "cosine", "Cosine", "λ goes from its first to its last value along half a cosine.",
        "worker.schedules.cosine:cosine",
        params=(
            Param(name="start", type="float", default=1.0, minimum=0.0, maximum=1000.0, label="Start",
                  help="λ at the first step, as a multiple of λ."),
            Param(name="end", type="float", default=0.0, minimum=0.0, maximum=1000.0, label="End",
                  help="λ at the last step, as a multiple of λ."),
        ),
    ),
    Entry(
        "step", "Step", "λ is multiplied by a factor at stated points of the run.", "worker.schedules.step:step",
        params=(
            Param(name="at", type="floats", default=[0.5, 0.75], minimum=0.0, maximum=1.0, label="Points",
                  help="Shares of the run's steps."),
            Param(name="factor", type="float", default=0.1, minimum=0.0, maximum=1000.0, label="Factor",
                  help="What λ is multiplied by at each point."),
        ),
    ),
    Entry(
        "target", "Controller: gradient norm",
        "λ is steered until the root mean square of ‖∇ₓ log p(x)‖₂ is the norm asked for; λ is only where it begins.",
        "worker.schedules.target:target",
        params=(Param(name="gradient_norm", type="float", default=0.4, minimum=0.0, exclusive_minimum=True,
                      maximum=1e6, label="Gradient norm",
                      help="Of log p(x), per unit of [0, 1] pixels. Costs one more input gradient at each step."),),
        observes=("gradient_norm",),
    ),
    Entry(
        "budget", "Controller: cross-entropy budget",
        "λ grows while the training cross-entropy stays below the budget and falls while it is above; λ is where it "
        "begins, and it waits there until the budget has been met once, for a fifth of the run at most.",
        "worker.schedules.budget:budget",
        params=(Param(name="cross_entropy", type="float", default=0.3, minimum=0.0, exclusive_minimum=True,
                      maximum=100.0, label="Cross-entropy",
                      help="The running mean over training batches that is to be held, in nats."),
                Param(name="wait", type="float", default=0.2, minimum=0.0, maximum=1.0, label="Longest wait",
                      help="Share of the run after which λ is steered even if the budget has not been met; "
                           "1 waits for ever.")),
        observes=("cross_entropy",),
    ),
)
