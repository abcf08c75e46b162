"""Evaluations. `(model, data, *, ..., generator, progress, should_stop) -> Result`; docs/measures.md names what each
gives."""

from dataclasses import replace

from backend.shared.catalog.attacks import PGD_PARAMS, QUERIES, STEPS
from backend.shared.catalog.entry import Entry, Images, Param, Plot, Rule
from backend.shared.catalog.plots import ALIKE, DENSITIES, DETECTED, REMOVED, STEPPED, attacked

SAMPLES = Param(name="samples", type="int", default=None, optional=True, minimum=1, maximum=1_000_000,
                label="Test images", help="How many test images, the first in order. Empty: all of them.")

FIRST_500 = replace(SAMPLES, default=500)
FIRST_1000 = replace(SAMPLES, default=1000)
ATTRIBUTION = Param(name="attribution", type="component", kind="attribution",
                    default={"key": "gradient", "params": {}}, label="Attribution method")
RESIZE = Param(name="resize", type="str", default=None, optional=True, choices=("bilinear", "nearest"), label="Resize",
               help="How images of another size are brought to the model's: they then differ by their sharpness too. "
                    "Grey is repeated over channels, colour averaged. Empty: they must have the model's size.")


def _against(help: str) -> Param:
    return Param(name="against", type="component", kind="dataset", default=None, optional=True, resized_by="resize",
                 label="Other data set", help=help)


def _epsilons(maximum: float, default: list[float], help: str) -> Param:
    return Param(name="epsilons", type="floats", default=default, minimum=0.0, maximum=maximum, label="Epsilons",
                 help=help)


LINF = _epsilons(1.0, [0.1], "Largest change of any pixel, on the [0, 1] scale; the first is the headline.")
STEP_LENGTHS = _epsilons(100.0, [1.0, 0.25, 0.5, 2.0], "L2 lengths of the step, in [0, 1] pixel units; the first is "
                         "the headline.")

EVALUATIONS = (
    Entry("accuracy", "Accuracy", "Share of test images classified rightly, with its Wilson interval, the "
          "mean cross-entropy, and the calibration error over 15 bins, which is biased upward.",
          "worker.evaluations.accuracy:accuracy",
          plots=(Plot(title="Reliability", names=("reliability",), diagonal="calibrated",
                      images=Images(array="cross_entropy", pick="highest", words="with the largest cross-entropy")),)),
    Entry(
        "groups", "Group accuracy",
        "Accuracy of each group, the mean as the test set weighs them and as the training set does, the worst, and "
        "the gap between best and worst.",
        "worker.evaluations.groups:groups", needs_groups=True, uses=("train_data",),
        plots=(Plot(title="Accuracy of each group", mark="bars", names=("accuracy",),
                    images=Images(array="group", pick="x", words="of group {x}")),),
    ),
    Entry(
        "leakage", "Feature leakage",
        "How much of the attribution lies on the null block, which says nothing about the label: the mean L2 norm "
        "there, and its share ‖a·m‖² / ‖a‖² of the whole (chance 0.5).",
        "worker.evaluations.leakage:leakage",
        params=(
            ATTRIBUTION,
            Param(name="target", type="str", default="logit", choices=("logit", "log_prob", "margin"), label="Target",
                  help="What of the labelled class is differentiated: its logit, its log-probability, or its margin "
                       "over the best other class. The logit contains the penalised term, so its leakage falls "
                       "partly by construction."),
            SAMPLES,
        ),
        rules=(
            Rule(when={"attribution.key": ("log_density",)}, allowed={"target": ("logit",)},
                 why="log p of log-probabilities is 0 everywhere and no class is differentiated: with the attribution "
                     "log_density the target must be 'logit'"),
        ),
        needs_mask=True,
        plots=(Plot(title="Share of the attribution on the null block", mark="violins", names=("share",),
                    images=Images(array="share", pick="highest", words="that leak the most")),),
    ),
    Entry(
        "pgd_linf", "Adversarial accuracy, PGD L∞",
        "Accuracy under projected gradient descent in the L∞ ball, over a curve of epsilon.",
        "worker.evaluations.adversarial:pgd_linf_accuracy",
        params=(LINF, *PGD_PARAMS, SAMPLES),
        uses=("earlier",), version=2, plots=attacked("L∞", "attack"),
    ),
    Entry(
        "pgd_l2", "Adversarial accuracy, PGD L2",
        "Accuracy under projected gradient descent in the L2 ball, over a curve of epsilon.",
        "worker.evaluations.adversarial:pgd_l2_accuracy",
        params=(_epsilons(100.0, [1.0], "L2 norm of the change, in [0, 1] pixel units; the first is the headline."),
                *PGD_PARAMS, SAMPLES),
        uses=("earlier",), version=2, plots=attacked("L2"),
    ),
    Entry(
        "square_linf", "Adversarial accuracy, Square L∞",
        "Accuracy under the Square attack, which needs no gradient, beside PGD's on the same images: where it is "
        "lower, the gradients are masked.",
        "worker.evaluations.square:square_accuracy", params=(LINF, QUERIES, FIRST_500),
        plots=attacked("L∞"),
    ),
    Entry(
        "transfer_linf", "Adversarial accuracy, transferred L∞",
        "Accuracy under PGD on another run's model, beside PGD's on this one's on the same images: where it is lower, "
        "the gradients are masked.",
        "worker.evaluations.transfer:transfer_accuracy",
        params=(
            Param(name="source", type="run", default=None, minimum=1, maximum=2**31 - 1, label="Source run",
                  help="A run on the same data set that has a checkpoint. Best: a plain one of the same network."),
            LINF, STEPS, SAMPLES,
        ),
        plots=attacked("L∞"),
    ),
    Entry(
        "autoattack_linf", "Adversarial accuracy, AutoAttack L∞",
        "Accuracy under AutoAttack (Croce & Hein 2020), slow and strong. The package adversarial-robustness-toolbox "
        "must be installed where the workers run.",
        "worker.evaluations.autoattack:autoattack_accuracy", params=(LINF, replace(SAMPLES, default=200)),
        package="art", plots=attacked("L∞"),
    ),
    Entry(
        "pixel_perturbation", "Pixel perturbation",
        "Accuracy and probability as pixels are removed in order of attribution: most important first (a low area is "
        "good) and least important first (a high one is).",
        "worker.evaluations.pixel_perturbation:pixel_perturbation",
        params=(
            ATTRIBUTION,
            Param(name="ranking", type="str", default="absolute", choices=("absolute", "signed"), label="Ranking",
                  help="Of Σ |a| or Σ a over the channels of a pixel."),
            Param(name="fill", type="str", default="zero", choices=("zero", "mean", "blur"), label="Fill",
                  help="What a removed pixel becomes: black, the image's mean, or the blurred image."),
            Param(name="fractions", type="floats", default=[0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0], minimum=0.0,
                  exclusive_minimum=True, maximum=1.0, label="Fractions", help="Shares of the pixels removed."),
            FIRST_1000,
        ),
        plots=REMOVED,
    ),
    Entry(
        "input_gradient_perturbation", "Input-gradient perturbation",
        "One step up and down the gradient of the predicted class's logit: what it changes in the prediction, log p(x) "
        "and the attribution.",
        "worker.evaluations.gradient_steps:input_gradient_perturbation", params=(ATTRIBUTION, STEP_LENGTHS, FIRST_1000),
        plots=STEPPED,
    ),
    Entry(
        "density_perturbation", "Density perturbation",
        "One step up and down ∇ log p(x): what it changes in the prediction, log p(x) and the attribution.",
        "worker.evaluations.gradient_steps:density_perturbation", params=(ATTRIBUTION, STEP_LENGTHS, FIRST_1000),
        plots=STEPPED,
    ),
    Entry(
        "density", "Density",
        "Histograms of log p(x), comparable within one model only, and of the size of its gradient, on training and "
        "test images, noise and another data set.",
        "worker.evaluations.density:density",
        params=(_against("Empty: none."), RESIZE, FIRST_1000), uses=("train_data",), plots=DENSITIES,
    ),
    Entry(
        "ood", "Out-of-distribution detection",
        "How four scores tell test images (the positive class, which should score higher) from noise or another data "
        "set: AUROC, AUPR-In, AUPR-Out and FPR at 95 % TPR.",
        "worker.evaluations.ood:ood",
        params=(
            _against("Empty: noise."),
            Param(name="noise", type="str", default="uniform", choices=("uniform", "gaussian"), label="Noise",
                  help="Where there is no other data set."),
            RESIZE, FIRST_1000,
        ),
        plots=DETECTED,
    ),
    Entry(
        "stability", "Attribution stability",
        "The attribution of x against that of a perturbed x by six measures of likeness, between two controls: a "
        "random map and a model with random weights.",
        "worker.evaluations.stability:stability",
        params=(
            ATTRIBUTION,
            Param(name="perturbation", type="component", kind="perturbation", default={"key": "noise", "params": {}},
                  label="Perturbation"),
            FIRST_500,
        ),
        uses=("fresh_model",), plots=ALIKE,
    ),
    Entry(
        "sensitivity", "Largest sensitivity",
        "The largest relative change of the attribution among noisy copies of x (Yeh et al. 2019).",
        "worker.evaluations.sensitivity:sensitivity",
        params=(
            ATTRIBUTION,
            Param(name="radius", type="float", default=0.02, minimum=0.0, exclusive_minimum=True, maximum=1.0,
                  label="Radius", help="The noise is uniform within it, on the [0, 1] pixel scale."),
            Param(name="draws", type="int", default=10, minimum=1, maximum=1000, label="Draws",
                  help="Noisy copies of each image; the maximum grows with them."),
            FIRST_500,
        ),
        plots=(Plot(title="Largest sensitivity", mark="violins", names=("sensitivity_max",),
                    images=Images(array="sensitivity_max", pick="highest", words="that are the most sensitive")),),
    ),
)
