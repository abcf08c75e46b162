"""Compare ODIN and the scores of features with pytorch-ood's detectors."""

from collections.abc import Iterator

import numpy as np
import torch
from pytorch_ood.detector import KNN, ODIN, Mahalanobis, ViM
from pytorch_ood.metrics import OODMetrics
from torch import Tensor, nn

from benchmarks.crosschecks.subjects import Subjects
from benchmarks.crosschecks.table import Row
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.result import Result

FITTED_TO = 5000
DIMENSION = 32  # of the main subspace of ViM; beyond it the variances are rounding noise in single precision


def rows(name: str, model: nn.Module, subjects: Subjects, others: Dataset, measured: Result) -> Iterator[Row]:
    """Compare our figures and scores with those of pytorch-ood, which computes in double precision here, but for ViM.

    Args:
        name: of the model.
        model: an MLP whose last layer is linear.
        subjects: training and test images.
        others: the out-of-distribution images, floats in [0, 1].
        measured: our evaluation of both.
    """
    wide = model.double()
    body, last = wide[1][:-1], wide[1][-1]
    torch.set_default_dtype(torch.float64)
    try:
        train = subjects.train.images[:FITTED_TO].double() / 255
        labels = subjects.train.labels[: len(train)]
        with torch.no_grad():
            z_train, z_here, z_there = (body(wide[0](x)) for x in (train, subjects.x.double(), others.images.double()))
        vim = ViM(None, DIMENSION, last.weight, last.bias)
        fitted = {"knn": KNN(None, k=50), "mahalanobis": Mahalanobis(None), "vim": vim}
        scored = {"odin": _scores(ODIN(wide), subjects.x.double(), others.images.double())}
        for score, detector in fitted.items():
            detector.fit_features(z_train, labels)
            scored[score] = tuple(detector.predict_features(z).numpy() for z in (z_here, z_there))
    finally:
        torch.set_default_dtype(torch.float32)
        model.float()
    # their Mahalanobis score is half of the distance by the sum of squares instead of their mean
    scored["mahalanobis"] = tuple(2 * len(train) * part for part in scored["mahalanobis"])
    for score, (here, there) in scored.items():
        detection = OODMetrics()  # as everywhere here: in-distribution is positive, with label −1 and a higher score
        detection.update(
            torch.from_numpy(-np.concatenate([here, there])),
            torch.from_numpy(np.where(np.arange(len(here) + len(there)) < len(here), -1, 1)),
        )
        theirs = detection.compute()
        for figure, key in (("auroc", "AUROC"), ("fpr95", "FPR95TPR")):
            ours = measured.values[f"{score}_{figure}"].value
            yield Row(
                f"{score} {figure}", name, "pytorch-ood", ours, float(theirs[key]), 1e-4, f"fitted to {len(train)}"
            )
        scale = float(np.abs(here).mean())
        yield Row(
            f"{score}, mean score of test images, scaled",
            name,
            "pytorch-ood",
            float(measured.arrays[score].astype(float).mean()) / scale,
            float(-here.mean()) / scale,
            1e-3 if score == "vim" else 1e-4,  # theirs computes in single precision
            f"largest difference of an image {np.abs(measured.arrays[score] + here).max() / scale:.1g}",
        )


def _scores(detector: ODIN, here: Tensor, there: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(torch.cat([detector.predict(part) for part in images.split(250)]).numpy() for images in (here, there))
