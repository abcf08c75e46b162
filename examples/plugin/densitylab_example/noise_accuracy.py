"""Accuracy on images with Gaussian noise."""

import torch

from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import Curve, Result, proportion


def noise_accuracy(model, data, *, sigmas=(0.1, 0.2, 0.4), generator, progress, should_stop):
    """Return the accuracy at each σ, with Wilson intervals; the value is that of the first σ.

    Args:
        model: gives logits, in eval mode.
        data: the test images.
        sigmas: standard deviations on the [0, 1] pixel scale.
        generator: draws the noise, on the model's device.
        progress: called with the fraction done.
        should_stop: asked before each batch.
    """
    right = [0] * len(sigmas)
    for _, x, y in batches(model, data, None, progress=progress, should_stop=should_stop):
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        for index, sigma in enumerate(sigmas):
            with torch.no_grad():
                predicted = model((x + sigma * noise).clamp(0, 1)).argmax(dim=1)
            right[index] += int((predicted == y).sum())
    points = [proportion(count, len(data), higher_is_better=True) for count in right]
    curve = Curve(
        x=list(sigmas),
        y=[point.value for point in points],
        low=[point.low for point in points],
        high=[point.high for point in points],
        x_label="noise σ",
        y_label="accuracy",
    )
    return Result(values={"accuracy": points[0]}, curves={"accuracy": curve})
