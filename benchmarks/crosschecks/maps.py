"""Compare similarity and localisation of maps with Quantus and scikit-image, as means over images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import quantus
import torch
from quantus.functions import similarity_func
from skimage.metrics import structural_similarity
from torch import nn

from benchmarks.crosschecks.subjects import Subjects
from benchmarks.crosschecks.table import Row
from densitylab.worker.attributions.gradient import gradient
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations import similarity
from densitylab.worker.evaluations.energy_pointing import energy_pointing
from densitylab.worker.evaluations.leakage import leakage
from densitylab.worker.perturbations.noise import noise

IMAGES = 200
QUIET = {"progress": lambda share: None, "should_stop": lambda: False}


def rows(subjects: Subjects) -> Iterator[Row]:
    x, y = subjects.x[:IMAGES], subjects.y[:IMAGES]
    for name, model in subjects.models.items():
        a = gradient(model, x, y)
        b = gradient(model, noise(model, x, y, sigma=0.05, generator=torch.Generator().manual_seed(0)).images, y)
        flat = [m.flatten(1).double().numpy() for m in (a, b)]
        # Quantus returns scipy's distance
        cosine = [1 - similarity_func.cosine(*pair) for pair in zip(*flat, strict=True)]
        spearman = [similarity_func.correlation_spearman(*pair) for pair in zip(*flat, strict=True)]
        euclidean = [similarity_func.distance_euclidean(*pair) for pair in zip(*flat, strict=True)]
        scaled = [(m.double() / m.double().abs().amax((1, 2, 3), keepdim=True))[:, 0].numpy() for m in (a, b)]
        ssim = [_inner_ssim(*pair) for pair in zip(*scaled, strict=True)]
        for measure, package, ours, theirs in (
            ("cosine", "quantus", similarity.cosine, cosine),
            ("Spearman", "quantus", similarity.spearman, spearman),
            ("‖a′ − a‖₂", "quantus", similarity.l2, euclidean),
            ("SSIM", "scikit-image", similarity.ssim, ssim),
        ):
            yield Row(
                f"{measure} of maps under noise",
                name,
                package,
                float(ours(a, b).mean()),
                float(np.mean(theirs)),
                1e-4,
                f"n = {IMAGES}",
            )
        measured = leakage(model, _first(subjects.data), **_given(model))
        masks = subjects.data.masks[:IMAGES].numpy()
        yield from _pointing(name, model, subjects, a)
        mass = quantus.RelevanceMassAccuracy(abs=True, normalise=False, disable_warnings=True)
        theirs = mass(model=model, x_batch=x.numpy(), y_batch=y.numpy(), a_batch=a.numpy(), s_batch=masks)
        yield Row(
            "relevance mass on the null block",
            name,
            "quantus",
            measured.values["mass"].value,
            float(np.mean(theirs)),
            1e-4,
            f"n = {IMAGES}",
        )


def _pointing(name: str, model: nn.Module, subjects: Subjects, a: torch.Tensor) -> Iterator[Row]:
    measured = energy_pointing(model, _first(subjects.data), **_given(model))
    batch = {
        "model": model,
        "x_batch": subjects.x[:IMAGES].numpy(),
        "y_batch": subjects.y[:IMAGES].numpy(),
        "a_batch": a.numpy(),
        "s_batch": ~subjects.data.masks[:IMAGES].numpy(),
    }
    options = {"abs": False, "normalise": False, "disable_warnings": True}
    for metric, value, theirs in (
        ("energy pointing game", "energy", quantus.AttributionLocalisation(positive_attributions=True, **options)),
        ("pointing game", "hits", quantus.PointingGame(**options)),
    ):
        figure = float(np.mean(theirs(**batch)))
        yield Row(metric, name, "quantus", measured.values[value].value, figure, 1e-4, f"n = {IMAGES}")


def _given(model: nn.Module) -> dict[str, Any]:
    """Return what an evaluation of maps gets beside the model and its images; controls are not compared."""
    generator = torch.Generator().manual_seed(0)
    return {"attribution": gradient, "fresh_model": lambda: model, "generator": generator, **QUIET}


def _first(data: Dataset) -> Dataset:
    masks = None if data.masks is None else data.masks[:IMAGES]
    return Dataset(data.images[:IMAGES], data.labels[:IMAGES], masks)


def _inner_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean over the windows inside the image, as our SSIM does."""
    _, full = structural_similarity(
        a, b, data_range=2.0, gaussian_weights=True, sigma=1.5, win_size=11, full=True, use_sample_covariance=False
    )
    return float(full[5:-5, 5:-5].mean())
