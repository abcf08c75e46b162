"""A data set from code: stripes in noise."""

import numpy as np

from densitylab.worker.datasets.arrays import store


def prepare(root, *, data_seed=0, noise=0.2, progress, should_stop):
    """Draw the images and store them below `root`.

    Args:
        root: folder of this data set for these parameters.
        data_seed: draws the images and the validation split.
        noise: standard deviation on the [0, 1] pixel scale.
        progress: called with the fraction done.
        should_stop: asked between portions; where it answers True the preparation ends.

    Returns:
        The sizes, counts and hash of what was stored.
    """
    rng = np.random.default_rng(data_seed)
    train, test = (_draw(rng, count, noise) for count in (1000, 500))
    return store(root, train, test, num_classes=2, data_seed=data_seed, progress=progress, should_stop=should_stop)


def _draw(rng, count, noise):
    labels = np.arange(count, dtype=np.int64) % 2
    waves = 0.5 + 0.5 * np.sin(
        np.arange(16) * 2 * np.pi / rng.integers(4, 9, (count, 1)) + rng.uniform(0, 6, (count, 1))
    )
    images = np.repeat(waves[:, None, :], 16, axis=1)  # the wave runs along the width: vertical stripes
    images[labels == 0] = images[labels == 0].transpose(0, 2, 1)
    noisy = np.clip(images + rng.normal(0, noise, images.shape), 0, 1)
    return (noisy[:, None] * 255).round().astype(np.uint8), labels
