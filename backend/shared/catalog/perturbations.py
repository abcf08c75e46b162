"""Perturbations. `(model, x, target, *, ..., generator) -> Perturbed(images, align)`; target (N,) class indices.

The first parameter is the strength.
"""

from densitylab.backend.shared.catalog.entries import PerturbationEntry
from densitylab.backend.shared.catalog.params import Param

STEP = Param(
    name="epsilon",
    type="float",
    default=0.5,
    minimum=-100.0,
    maximum=100.0,
    label="Step",
    help="L2 length in [0, 1] pixel units; below 0 steps down.",
)

PERTURBATIONS = (
    PerturbationEntry(
        "noise",
        "Gaussian noise",
        "Independent noise at every pixel, clamped to [0, 1].",
        "densitylab.worker.perturbations.noise:noise",
        params=(
            Param(
                name="sigma",
                type="float",
                default=0.05,
                minimum=0.0,
                maximum=1.0,
                label="Noise σ",
                help="Standard deviation on the [0, 1] pixel scale.",
            ),
        ),
    ),
    PerturbationEntry(
        "attack",
        "Adversarial attack",
        "Projected gradient descent in L∞ away from the explained class, with all its steps, so that every image is "
        "moved equally far.",
        "densitylab.worker.perturbations.attack:attack",
        version=2,
        params=(
            Param(
                name="epsilon",
                type="float",
                default=0.03,
                minimum=0.0,
                maximum=1.0,
                label="Epsilon",
                help="Largest change of any pixel, on the [0, 1] scale.",
            ),
            Param(name="steps", type="int", default=10, minimum=1, maximum=1000, label="Steps"),
        ),
        work=("steps",),
    ),
    PerturbationEntry(
        "shift",
        "Shift",
        "Moved by whole pixels; maps are moved back and compared where both show the same part.",
        "densitylab.worker.perturbations.shift:shift",
        params=(
            Param(
                name="right",
                type="int",
                default=2,
                minimum=-64,
                maximum=64,
                label="Right",
                help="Pixels; below 0 to the left.",
            ),
            Param(
                name="down", type="int", default=0, minimum=-64, maximum=64, label="Down", help="Pixels; below 0 up."
            ),
        ),
    ),
    PerturbationEntry(
        "brightness",
        "Brightness",
        "The same amount added to every pixel, clamped to [0, 1].",
        "densitylab.worker.perturbations.brightness:brightness",
        params=(
            Param(
                name="amount",
                type="float",
                default=0.1,
                minimum=-1.0,
                maximum=1.0,
                label="Amount",
                help="On the [0, 1] pixel scale; below 0 darkens.",
            ),
        ),
    ),
    PerturbationEntry(
        "density_step",
        "Step along ∇ log p",
        "One step up the marginal log density, where smoothing acts.",
        "densitylab.worker.perturbations.gradient_step:density_step",
        params=(STEP,),
    ),
    PerturbationEntry(
        "logit_step",
        "Step along ∇ f",
        "One step up the logit of the explained class.",
        "densitylab.worker.perturbations.gradient_step:logit_step",
        params=(STEP,),
    ),
)
