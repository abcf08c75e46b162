"""Augmentations. `(images, *, ..., generator) -> images`: a batch of stored images, changed at random."""

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
)
