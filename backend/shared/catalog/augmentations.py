"""Augmentations. `(images, *, ..., generator) -> images`: a batch of stored images, changed at random."""

from backend.shared.catalog.entry import Entry, Param

PADDING = Param(name="padding", type="int", default=4, minimum=0, maximum=64, label="Padding",
                help="Pixels by which the content may move in each direction; black comes in from outside.")

AUGMENTATIONS = (
    Entry("none", "None", "Every image as it is.", "worker.augmentations.none:none"),
    Entry(
        "horizontal_flip", "Flip", "Each image is mirrored left to right half of the time. Not for digits and letters.",
        "worker.augmentations.horizontal_flip:horizontal_flip",
    ),
    Entry(
        "random_crop", "Crop", "A random crop of the image with a black frame around it.",
        "worker.augmentations.random_crop:random_crop", params=(PADDING,),
    ),
    Entry(
        "flip_and_crop", "Flip and crop", "Both, as is usual for CIFAR and other small photographs.",
        "worker.augmentations.flip_and_crop:flip_and_crop", params=(PADDING,),
    ),
)
