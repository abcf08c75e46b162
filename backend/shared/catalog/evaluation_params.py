"""Parameters that evaluations share."""

from dataclasses import replace

from densitylab.backend.shared.catalog.params import Param

SAMPLES = Param(
    name="samples",
    type="int",
    default=None,
    optional=True,
    minimum=1,
    maximum=1_000_000,
    label="Test images",
    help="How many images: a subset with the shares of the classes and groups, the same for every run. Empty: all of "
    "them.",
)

SAMPLES_500 = replace(SAMPLES, default=500)
SAMPLES_1000 = replace(SAMPLES, default=1000)
ATTRIBUTION = Param(
    name="attribution",
    type="component",
    kind="attribution",
    default={"key": "gradient", "params": {}},
    label="Attribution method",
)
RESIZE = Param(
    name="resize",
    type="str",
    default=None,
    optional=True,
    choices=("bilinear", "nearest"),
    label="Resize",
    help="How images of another size are brought to the model's: they then differ by their sharpness too. "
    "Grey is repeated over channels, colour averaged. Empty: they must have the model's size.",
)


def against(help: str) -> Param:
    return Param(
        name="against",
        type="component",
        kind="dataset",
        default=None,
        optional=True,
        resized_by="resize",
        label="Other data set",
        help=help,
    )


def epsilons(maximum: float, default: list[float], help: str) -> Param:
    return Param(
        name="epsilons", type="floats", default=default, minimum=0.0, maximum=maximum, label="Epsilons", help=help
    )


LINF = epsilons(1.0, [0.1], "Largest change of any pixel, on the [0, 1] scale; the first is the headline.")
L2 = epsilons(100.0, [1.0], "L2 norm of the change, in [0, 1] pixel units; the first is the headline.")
STEP_LENGTHS = epsilons(
    100.0, [1.0, 0.25, 0.5, 2.0], "L2 lengths of the step, in [0, 1] pixel units; the first is the headline."
)
