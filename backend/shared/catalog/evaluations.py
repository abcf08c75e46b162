"""Evaluations. `(model, data, *, ..., generator, progress, should_stop) -> Result`."""

from backend.shared.catalog.attacks import PGD_PARAMS
from backend.shared.catalog.entry import Entry, Param, Rule

SAMPLES = Param(name="samples", type="int", default=None, optional=True, minimum=1, maximum=1_000_000,
                label="Test images", help="How many test images, the first in order. Empty: all of them.")


def _epsilons(maximum: float, default: list[float], help: str) -> Param:
    return Param(name="epsilons", type="floats", default=default, minimum=0.0, maximum=maximum, label="Epsilons",
                 help=help)


EVALUATIONS = (
    Entry("accuracy", "Accuracy", "Share of test images classified rightly, with its Wilson interval, and the "
          "mean cross-entropy.", "worker.evaluations.accuracy:accuracy"),
    Entry(
        "groups", "Group accuracy",
        "Accuracy of each group, the mean as the test set weighs them and as the training set does, the worst, and "
        "the gap between best and worst.",
        "worker.evaluations.groups:groups", needs_groups=True, uses=("train_data",),
    ),
    Entry(
        "leakage", "Feature leakage",
        "How much of the attribution lies on the null block, which says nothing about the label: the mean L2 norm "
        "there, and its share ‖a·m‖² / ‖a‖² of the whole (chance 0.5).",
        "worker.evaluations.leakage:leakage",
        params=(
            Param(name="attribution", type="component", kind="attribution", default={"key": "gradient", "params": {}},
                  label="Attribution method"),
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
    ),
    Entry(
        "pgd_linf", "Adversarial accuracy, PGD L∞",
        "Accuracy under projected gradient descent in the L∞ ball, over a curve of epsilon.",
        "worker.evaluations.adversarial:pgd_linf_accuracy",
        params=(_epsilons(1.0, [0.1], "Largest change of any pixel, on the [0, 1] scale; the first is the headline."),
                *PGD_PARAMS, SAMPLES),
    ),
    Entry(
        "pgd_l2", "Adversarial accuracy, PGD L2",
        "Accuracy under projected gradient descent in the L2 ball, over a curve of epsilon.",
        "worker.evaluations.adversarial:pgd_l2_accuracy",
        params=(_epsilons(100.0, [1.0], "L2 norm of the change, in [0, 1] pixel units; the first is the headline."),
                *PGD_PARAMS, SAMPLES),
    ),
)
