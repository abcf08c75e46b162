"""Compare OOD detection with scikit-learn and pytorch-ood, and calibration with torchmetrics."""

from collections.abc import Iterator

import numpy as np
import torch
from pytorch_ood.metrics import OODMetrics
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve
from torchmetrics.classification import MulticlassCalibrationError

from benchmarks.crosschecks import detectors
from benchmarks.crosschecks.subjects import Subjects
from benchmarks.crosschecks.table import Row
from densitylab.worker.evaluations.accuracy import accuracy
from densitylab.worker.evaluations.density_scores import density_scores
from densitylab.worker.evaluations.ood import ood
from densitylab.worker.evaluations.ood_data import noise_like

QUIET = {"progress": lambda share: None, "should_stop": lambda: False}
NOTE = "positive: in-distribution, higher score"


def rows(subjects: Subjects) -> Iterator[Row]:
    noise = noise_like(subjects.data, "gaussian", len(subjects.data), torch.Generator().manual_seed(0))
    for name, model in subjects.models.items():
        measured = ood(
            model,
            subjects.data,
            noise="gaussian",
            samples=None,
            train_data=lambda: subjects.train,
            dimension=detectors.DIMENSION,
            generator=torch.Generator().manual_seed(0),
            **QUIET,
        )
        here, there = (density_scores(model, data, None, **QUIET) for data in (subjects.data, noise))
        yield from detectors.rows(name, model, subjects, noise, measured)
        inside = np.arange(len(subjects.data) + len(noise)) < len(subjects.data)
        for score, column, sign in (
            ("msp", "msp", 1),
            ("max_logit", "max_logit", 1),
            ("energy", "energy", 1),
            ("density_gradient", "gradient_norm", -1),
        ):
            scores = sign * np.concatenate([here[column], there[column]])
            fpr, tpr, _ = roc_curve(inside, scores, drop_intermediate=False)
            sklearn = {
                "auroc": roc_auc_score(inside, scores),
                "aupr_in": average_precision_score(inside, scores),
                "aupr_out": average_precision_score(~inside, -scores),
                "fpr95": fpr[np.argmax(tpr >= 0.95)],
            }
            # pytorch-ood takes negative labels as in-distribution
            detector = OODMetrics()
            detector.update(torch.from_numpy(scores), torch.from_numpy(np.where(inside, -1, 1)))
            other = detector.compute()
            pytorch_ood = {"auroc": other["AUROC"], "fpr95": other["FPR95TPR"]}
            for package, figures in (("scikit-learn", sklearn), ("pytorch-ood", pytorch_ood)):
                for figure, theirs in figures.items():
                    ours = measured.values[f"{score}_{figure}"].value
                    yield Row(f"{score} {figure}", name, package, ours, float(theirs), 1e-4, NOTE)
            # pytorch-ood interpolates the curve linearly, and ours is the average precision: both are shown, and its
            # figure is compared with linear interpolation of the same points
            for figure, theirs, positive, sign_of in (
                ("aupr_in", other["AUPR-OUT"], inside, 1),
                ("aupr_out", other["AUPR-IN"], ~inside, -1),
            ):
                precision, recall, _ = precision_recall_curve(positive, sign_of * scores)
                yield Row(
                    f"{score} {figure}",
                    name,
                    "pytorch-ood",
                    measured.values[f"{score}_{figure}"].value,
                    float(theirs),
                    None,
                    "theirs by linear interpolation, ours average precision",
                )
                yield Row(
                    f"{score} {figure} by linear interpolation",
                    name,
                    "pytorch-ood",
                    auc(recall, precision),
                    float(theirs),
                    1e-4,
                    NOTE,
                )
        with torch.no_grad():
            probabilities = model(subjects.x).double().softmax(1)
        theirs = MulticlassCalibrationError(10, n_bins=15, norm="l1")(probabilities, subjects.y)
        ours = accuracy(model, subjects.data, generator=torch.Generator(), **QUIET).values["calibration_error"].value
        yield Row("calibration error, 15 bins", name, "torchmetrics", ours, float(theirs), 1e-4, "biased upward")
