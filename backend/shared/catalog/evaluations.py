"""Evaluations. `(model, data, *, ..., generator, progress, should_stop) -> Result`; docs/evaluations.md names what each
gives."""

from dataclasses import replace

from densitylab.backend.shared.catalog import evaluation_costs
from densitylab.backend.shared.catalog.attacks import PGD_PARAMS, QUERIES, STEPS, robust_accuracies
from densitylab.backend.shared.catalog.cost import EvaluationCost
from densitylab.backend.shared.catalog.entries import EvaluationEntry, Images, Metric, Plot, Rule
from densitylab.backend.shared.catalog.evaluation_params import (
    ATTRIBUTION,
    L2,
    LINF,
    RESIZE,
    SAMPLES,
    SAMPLES_500,
    SAMPLES_1000,
    against,
)
from densitylab.backend.shared.catalog.map_evaluations import MAP_EVALUATIONS
from densitylab.backend.shared.catalog.ood_params import OOD_PARAMS
from densitylab.backend.shared.catalog.params import Param
from densitylab.backend.shared.catalog.plots import CONTROLS, CORRUPTIONS, DENSITIES, DETECTED, attacked
from densitylab.backend.shared.catalog.value_ranges import SHARES, at_least_zero

_DETECTORS = {
    "msp": "MSP",
    "max_logit": "largest logit",
    "energy": "energy",
    "density_gradient": "−‖∇ log p‖",
    "odin": "ODIN",
    "knn": "KNN",
    "mahalanobis": "Mahalanobis",
    "vim": "ViM",
}
_DETECTION = {"auroc": "AUROC", "aupr_in": "AUPR-In", "aupr_out": "AUPR-Out", "fpr95": "FPR at 95 % TPR"}
EVALUATIONS = (
    EvaluationEntry(
        "accuracy",
        "Accuracy",
        "Share of test images classified correctly, with its Wilson interval, the "
        "mean cross-entropy, and the calibration error over 15 bins, which is biased upward.",
        "densitylab.worker.evaluations.accuracy:accuracy",
        cost=evaluation_costs.always(EvaluationCost(1)),
        plots=(
            Plot(
                title="Reliability",
                names=("reliability",),
                diagonal="calibrated",
                images=Images(array="cross_entropy", pick="highest", words="with the largest cross-entropy"),
            ),
        ),
        ranges=(at_least_zero("cross_entropy"), SHARES),
        metrics=(
            Metric(name="accuracy", label="Test accuracy", higher_is_better=True, headline=1),
            Metric(name="cross_entropy", label="Test cross-entropy", higher_is_better=False),
            Metric(name="calibration_error", label="Calibration error", higher_is_better=False),
        ),
    ),
    EvaluationEntry(
        "confusion",
        "Accuracy by class",
        "Accuracy of each class, their mean and the worst, and the confusion matrix: which classes the images of each "
        "class are taken for.",
        "densitylab.worker.evaluations.confusion:confusion",
        cost=evaluation_costs.always(EvaluationCost(1)),
        version=2,
        params=(SAMPLES,),
        plots=(
            Plot(
                title="Accuracy of each class",
                mark="bars",
                names=("accuracy",),
                images=Images(array="label", pick="x", words="of class {x}"),
            ),
        ),
        ranges=(SHARES,),
        metrics=(
            Metric(name="mean", label="Balanced accuracy", higher_is_better=True),
            Metric(name="worst", label="Worst-class accuracy", higher_is_better=True),
        ),
    ),
    EvaluationEntry(
        "groups",
        "Group accuracy",
        "Accuracy of each group, the mean as the test set weighs them and as the training set does, the worst, and "
        "the gap between best and worst.",
        "densitylab.worker.evaluations.groups:groups",
        cost=evaluation_costs.always(EvaluationCost(1)),
        params=(
            Param(
                name="attributes",
                type="attributes",
                default=None,
                optional=True,
                label="Groups by",
                help="Attributes of the data set; each combination of the label and their values is a group. Empty: "
                "the groups of the data set.",
            ),
        ),
        needs_groups=True,
        uses=("train_data",),
        plots=(
            Plot(
                title="Accuracy of each group",
                mark="bars",
                names=("accuracy",),
                images=Images(array="group", pick="x", words="of group {x}"),
            ),
        ),
        ranges=(SHARES,),
        metrics=(
            Metric(name="worst", label="Worst-group accuracy", higher_is_better=True, headline=2),
            Metric(name="mean", label="Mean group accuracy", higher_is_better=True),
            Metric(name="mean_train", label="Mean group accuracy, weighted as in training", higher_is_better=True),
            Metric(name="gap", label="Accuracy gap, best − worst group", higher_is_better=False),
        ),
    ),
    EvaluationEntry(
        "corruptions",
        "Accuracy under corruptions",
        "Accuracy on the published corrupted test images of CIFAR-10, CIFAR-100 and Tiny ImageNet (Hendrycks, "
        "Dietterich 2019): fifteen corruptions at five severities, and the mean corruption error.",
        "densitylab.worker.evaluations.corruptions:corruptions",
        cost=evaluation_costs.corruptions,
        version=2,
        params=(
            SAMPLES_1000,
            Param(
                name="reference",
                type="run",
                default=None,
                optional=True,
                minimum=1,
                maximum=2**31 - 1,
                label="Reference run",
                help="A run on the same data set, whose errors divide those of this one in the mean corruption error. "
                "Empty: they are not divided.",
            ),
        ),
        needs_corruptions=True,
        uses=("corruptions",),
        plots=(
            Plot(title="Accuracy over the severity of corruptions", names=("accuracy",)),
            Plot(title="Accuracy by corruption", names=CORRUPTIONS),
        ),
        ranges=(at_least_zero("mce"), SHARES),
        metrics=(
            Metric(name="mean", label="Accuracy under corruptions", higher_is_better=True),
            Metric(name="mce", label="Mean corruption error", higher_is_better=False),
        ),
    ),
    EvaluationEntry(
        "leakage",
        "Feature leakage",
        "How much of the attribution lies where the data set's mask says that the image has no information about the "
        "label: the mean L2 norm there, and its share ‖a·m‖² / ‖a‖² of the whole, which by chance is the mask's share "
        "of the pixels.",
        "densitylab.worker.evaluations.leakage:leakage",
        cost=evaluation_costs.always(EvaluationCost(maps=2)),
        version=2,
        params=(
            ATTRIBUTION,
            Param(
                name="target",
                type="str",
                default="logit",
                choices=("logit", "log_prob", "margin"),
                label="Target",
                help="What of the labelled class is differentiated: its logit, its log-probability, or its margin "
                "over the best other class. The logit contains the penalised term, so its leakage falls "
                "partly by construction.",
            ),
            SAMPLES,
        ),
        rules=(
            Rule(
                when={"attribution.key": ("log_density",)},
                allowed={"target": ("logit",)},
                why="log p of log-probabilities is 0 everywhere and no class is differentiated: with the attribution "
                "log_density the target must be 'logit'",
            ),
            Rule(
                when={"attribution.key": ("deeplift",)},
                allowed={"target": ("logit",)},
                why="DeepLIFT has no rule for a softmax or a maximum over classes: with the attribution deeplift the "
                "target must be 'logit'",
            ),
        ),
        needs_mask=True,
        uses=("fresh_model",),
        plots=(
            Plot(
                title="Share of the attribution on the mask",
                mark="violins",
                names=("share",),
                controls=CONTROLS,
                images=Images(array="share", pick="highest", words="that leak the most"),
            ),
        ),
        ranges=(at_least_zero("l2*"), SHARES),
        metrics=(
            Metric(name="l2", label="Leakage, L2 norm", higher_is_better=False, headline=7),
            Metric(name="share", label="Leakage, share", higher_is_better=False, headline=8),
            Metric(name="ratio", label="Leakage, ratio of norms", higher_is_better=False),
            Metric(name="mass", label="Leakage, share of absolute values", higher_is_better=False),
        ),
    ),
    EvaluationEntry(
        "pgd_linf",
        "Adversarial accuracy, PGD L∞",
        "Accuracy under projected gradient descent in the L∞ ball, over a curve of epsilon.",
        "densitylab.worker.evaluations.adversarial:pgd_linf_accuracy",
        cost=evaluation_costs.pgd,
        params=(LINF, *PGD_PARAMS, SAMPLES),
        uses=("prior_results",),
        version=3,
        plots=attacked("L∞", "attack"),
        ranges=(SHARES,),
        metrics=robust_accuracies("PGD", "L∞", headline=3),
    ),
    EvaluationEntry(
        "pgd_l2",
        "Adversarial accuracy, PGD L2",
        "Accuracy under projected gradient descent in the L2 ball, over a curve of epsilon.",
        "densitylab.worker.evaluations.adversarial:pgd_l2_accuracy",
        cost=evaluation_costs.pgd,
        params=(
            L2,
            *PGD_PARAMS,
            SAMPLES,
        ),
        uses=("prior_results",),
        version=3,
        plots=attacked("L2"),
        ranges=(SHARES,),
        metrics=robust_accuracies("PGD", "L2", headline=5),
    ),
    EvaluationEntry(
        "square_linf",
        "Adversarial accuracy, Square L∞",
        "Accuracy under the Square attack, which needs no gradient, beside PGD's on the same images: where it is "
        "lower, the gradients are masked.",
        "densitylab.worker.evaluations.square:square_accuracy",
        cost=evaluation_costs.square,
        version=2,
        params=(LINF, QUERIES, SAMPLES_500),
        plots=attacked("L∞"),
        ranges=(SHARES,),
        metrics=robust_accuracies("Square", "L∞"),
    ),
    EvaluationEntry(
        "transfer_linf",
        "Adversarial accuracy, transferred L∞",
        "Accuracy under PGD on another run's model, beside PGD's on this one's on the same images: where it is lower, "
        "the gradients are masked.",
        "densitylab.worker.evaluations.transfer:transfer_accuracy",
        cost=evaluation_costs.transfer,
        version=2,
        params=(
            Param(
                name="source",
                type="run",
                default=None,
                minimum=1,
                maximum=2**31 - 1,
                label="Source run",
                help="A run on the same data set that has a checkpoint. Best: a plain one of the same network.",
            ),
            LINF,
            STEPS,
            SAMPLES,
        ),
        plots=attacked("L∞"),
        ranges=(SHARES,),
        metrics=robust_accuracies("Transfer", "L∞"),
    ),
    *(
        EvaluationEntry(
            f"autoattack_{key}",
            f"Adversarial accuracy, AutoAttack {norm}",
            "Accuracy under the standard AutoAttack (Croce & Hein 2020), slow and strong: APGD on the cross-entropy, "
            "targeted APGD on the difference of logits ratio, FAB-T and Square.",
            f"densitylab.worker.evaluations.autoattack:autoattack_{key}_accuracy",
            cost=evaluation_costs.autoattack,
            params=(sizes, replace(SAMPLES, default=200)),
            version=version,
            plots=attacked(norm),
            ranges=(SHARES,),
            metrics=robust_accuracies("AutoAttack", norm),
        )
        for key, norm, sizes, version in (("linf", "L∞", LINF, 2), ("l2", "L2", L2, 1))
    ),
    EvaluationEntry(
        "density",
        "Density",
        "Histograms of log p(x), comparable within one model only, and of the size of its gradient, on training and "
        "test images, noise and another data set.",
        "densitylab.worker.evaluations.density:density",
        cost=evaluation_costs.density,
        version=2,
        params=(against("Empty: none."), RESIZE, SAMPLES_1000),
        uses=("train_data",),
        ranges=(at_least_zero("gradient_norm_*"),),
        plots=DENSITIES,
    ),
    EvaluationEntry(
        "ood",
        "Out-of-distribution detection",
        "How eight scores tell test images (the positive class, which should score higher) from noise or another data "
        "set: AUROC, AUPR-In, AUPR-Out and FPR at 95 % TPR.",
        "densitylab.worker.evaluations.ood:ood",
        cost=evaluation_costs.always(EvaluationCost(13, operations=50)),
        uses=("train_data",),
        version=3,
        params=(
            against("Empty: noise."),
            Param(
                name="noise",
                type="str",
                default="uniform",
                choices=("uniform", "gaussian"),
                label="Noise",
                help="Where there is no other data set.",
            ),
            RESIZE,
            SAMPLES_1000,
            *OOD_PARAMS,
        ),
        metrics=tuple(
            Metric(name=f"{score}_{measure}", label=f"{label}, {words}", higher_is_better=measure != "fpr95")
            for score, words in _DETECTORS.items()
            for measure, label in _DETECTION.items()
        ),
        ranges=(at_least_zero("*_images"), SHARES),
        plots=DETECTED,
    ),
    *MAP_EVALUATIONS,
)
