"""Augmentations. `(images, *, ..., generator) -> images`: a batch of stored images, changed at random."""

from dataclasses import replace

from densitylab.backend.shared.catalog.entries import AugmentationEntry
from densitylab.backend.shared.catalog.params import Param

PADDING = Param(
    name="padding",
    type="int",
    default=4,
    minimum=0,
    maximum=64,
    label="Padding",
    help="Pixels by which the content may move in each direction; black comes in from outside.",
)

ALPHA = Param(
    name="alpha",
    type="float",
    default=1.0,
    minimum=0.01,
    maximum=10.0,
    label="Alpha",
    help="The share of an image is drawn from Beta(alpha, alpha): 1 is uniform, small values leave most images nearly "
    "as they are.",
)
FIRST = Param(
    name="first",
    type="component",
    kind="augmentation",
    default=None,
    optional=True,
    used_by="trainer",
    label="Augmentation before mixing",
    help="Applied to each image before two are mixed. Unset: the data set's default.",
)

AUGMENTATIONS = (
    AugmentationEntry("none", "None", "Every image as it is.", "densitylab.worker.augmentations.none:none"),
    AugmentationEntry(
        "horizontal_flip",
        "Flip",
        "Each image is mirrored left to right with probability 1/2. Not for digits and letters.",
        "densitylab.worker.augmentations.horizontal_flip:horizontal_flip",
    ),
    AugmentationEntry(
        "random_crop",
        "Crop",
        "A random crop of the image with a black frame around it.",
        "densitylab.worker.augmentations.random_crop:random_crop",
        params=(PADDING,),
    ),
    AugmentationEntry(
        "flip_and_crop",
        "Flip and crop",
        "Both; the usual choice for CIFAR and other small photographs.",
        "densitylab.worker.augmentations.flip_and_crop:flip_and_crop",
        params=(PADDING,),
    ),
    AugmentationEntry(
        "random_resized_crop",
        "Random resized crop",
        "A random part of each image, scaled to the size of the whole (Szegedy et al. 2015), and flipped; the usual "
        "choice for photographs of 96 pixels and more.",
        "densitylab.worker.augmentations.random_resized_crop:random_resized_crop",
        params=(
            Param(
                name="smallest_area",
                type="float",
                default=0.08,
                minimum=0.01,
                maximum=1.0,
                label="Smallest area",
                help="Smallest share of the image that a part has. 0.08 is usual for ImageNet; take 0.25 or more for "
                "images below 96 pixels.",
            ),
            Param(
                name="flip",
                type="bool",
                default=True,
                label="Flip",
                help="Also mirrors each image left to right with probability 1/2. Not for digits and letters.",
            ),
        ),
    ),
    AugmentationEntry(
        "color_jitter",
        "Colour jitter",
        "Random changes of brightness, contrast, saturation and hue. Grey images change in the first two alone.",
        "densitylab.worker.augmentations.color_jitter:color_jitter",
        params=(
            *(
                Param(
                    name=name,
                    type="float",
                    default=0.4,
                    minimum=0.0,
                    maximum=1.0,
                    label=name.capitalize(),
                    help=f"The {name} is multiplied by a factor between 1 less this value and 1 more.",
                )
                for name in ("brightness", "contrast", "saturation")
            ),
            Param(
                name="hue",
                type="float",
                default=0.1,
                minimum=0.0,
                maximum=0.5,
                label="Hue",
                help="The hue is turned by up to this share of the colour circle in each direction.",
            ),
        ),
    ),
    AugmentationEntry(
        "rand_augment",
        "RandAugment",
        "A few random operations of one strength on each image: moves, colours, contrasts (Cubuk et al. 2020).",
        "densitylab.worker.augmentations.rand_augment:rand_augment",
        params=(
            Param(
                name="operations",
                type="int",
                default=2,
                minimum=0,
                maximum=8,
                label="Operations",
                help="On each image, one after the other.",
            ),
            Param(
                name="magnitude",
                type="int",
                default=9,
                minimum=0,
                maximum=30,
                label="Magnitude",
                help="Strength of the operations, from 0 to 30.",
            ),
        ),
    ),
    AugmentationEntry(
        "mixup",
        "Mixup",
        "Each image is mixed with another of its batch, and so are their labels (Zhang et al. 2018). Penalties get the "
        "mixed images, and the label with the larger share.",
        "densitylab.worker.augmentations.mixup:mixup",
        params=(replace(ALPHA, default=0.2), FIRST),
        mixes=True,
    ),
    AugmentationEntry(
        "cutmix",
        "CutMix",
        "A rectangle of another image of its batch is pasted into each image; labels are mixed by area (Yun et al. "
        "2019). Penalties get the mixed images, and the label with the larger share.",
        "densitylab.worker.augmentations.cutmix:cutmix",
        params=(ALPHA, FIRST),
        mixes=True,
    ),
)
