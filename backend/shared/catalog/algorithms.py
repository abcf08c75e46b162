"""Algorithms. `build(samples, *, ...) -> Algorithm`: how a training weighs and draws its images."""

from densitylab.backend.shared.catalog.entries import AlgorithmEntry, Caution
from densitylab.backend.shared.catalog.params import Param

ALGORITHMS = (
    AlgorithmEntry(
        "erm",
        "ERM",
        "Empirical risk minimisation: every image counts the same.",
        "densitylab.worker.algorithms.erm:erm",
    ),
    AlgorithmEntry(
        "reweighting",
        "Reweighting",
        "Groups, or classes, count the same, however many images they have.",
        "densitylab.worker.algorithms.reweighting:reweighting",
        params=(
            Param(
                name="by",
                type="str",
                default="group",
                choices=("group", "class"),
                label="Balance",
                help="What counts the same: every group, which needs a data set with groups, or every class.",
            ),
            Param(
                name="balance",
                type="str",
                default="loss",
                choices=("loss", "sampling"),
                label="By",
                help="loss: the loss of an image has the weight N / (G · n), with n of the N images in its group and G "
                "groups. sampling: an epoch draws N images with replacement, with these weights.",
            ),
        ),
        needs_groups_if={"by": ("group",)},
        draws={"balance": ("sampling",)},
        cautions=(
            Caution(
                when={"algorithm.params.by": ("class",), "class_weights": ("balanced",)},
                flag="classes_weighted_twice",
                text="Reweighting by class and balanced class weights together give rare classes more weight than "
                "frequent ones. Next: one of the two.",
            ),
            Caution(
                when={"algorithm.params.balance": ("loss",), "sampling": ("class_balanced", "group_balanced")},
                flag="weighted_and_drawn",
                text="Reweighting by the loss and balanced sampling are both in force: where they balance the same, "
                "rare images count more than frequent ones. Next: sampling shuffled.",
            ),
        ),
        note="Reweighting: every {by} counts the same, by {balance}.",
    ),
    AlgorithmEntry(
        "group_dro",
        "Group DRO",
        "Lowers the loss of the worst group: weights of groups rise with their loss (Sagawa et al. 2020).",
        "densitylab.worker.algorithms.group_dro:group_dro",
        params=(
            Param(
                name="step_size",
                type="float",
                default=0.01,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=100.0,
                label="Step size η",
                help="At each step the weight of a group is multiplied by exp(η · its loss). The paper takes 0.01.",
            ),
            Param(
                name="adjustment",
                type="float",
                default=0.0,
                minimum=0.0,
                maximum=100.0,
                label="Adjustment C",
                help="Generalization adjustment: C / √n is added to the loss of a group with n training images, where "
                "its weight is updated. The paper tries 0 to 5.",
            ),
            Param(
                name="balanced",
                type="bool",
                default=True,
                label="Draw groups equally",
                help="Images are drawn with replacement so that all groups are equally likely, as in the paper's "
                "algorithm. Off: the spec's sampling decides.",
            ),
        ),
        needs_groups_if={},
        draws={"balanced": (True,)},
        note="Group DRO: the weights of the groups rise with their losses, so the logged loss is that of weighted "
        "groups. With gradient accumulation a step takes one more forward pass.",
    ),
    AlgorithmEntry(
        "jtt",
        "Just train twice (JTT)",
        "Trains twice: the images that a first network gets wrong are drawn more often for the second (Liu et al. "
        "2021). Needs no groups in training.",
        "densitylab.worker.algorithms.jtt:jtt",
        params=(
            Param(
                name="first_epochs",
                type="int",
                default=1,
                minimum=1,
                maximum=10_000,
                label="Epochs of the first stage",
                help="They count among the epochs of the run. The paper takes 1 (CelebA) to 60 (Waterbirds).",
            ),
            Param(
                name="upweight",
                type="float",
                default=20.0,
                minimum=1.0,
                maximum=10_000.0,
                label="Upweight",
                help="How many times as often an image of the error set is drawn. The paper takes 6 to 100.",
            ),
        ),
        draws={},
        first_stage="first_epochs",
        note="JTT: after {first_epochs} of {epochs} epochs the training images that the network gets wrong are the "
        "error set, which the run keeps as a file. Then training starts over from the first weights, and draws them "
        "{upweight:g} times as often; schedules begin anew.",
    ),
    AlgorithmEntry(
        "dfr",
        "Deep feature reweighting (DFR)",
        "Trains as ERM, then retrains the last layer on group-balanced validation images: logistic regression with an "
        "L1 penalty (Kirichenko et al. 2023).",
        "densitylab.worker.algorithms.dfr:dfr",
        params=(
            Param(
                name="c",
                type="float",
                default=None,
                optional=True,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=1e6,
                label="Inverse penalty C",
                help="As in scikit-learn: smaller values leave fewer features. Empty: of 1, 0.7, 0.3, 0.1, 0.07, 0.03 "
                "and 0.01 the best worst-group accuracy on half of the validation images.",
            ),
            Param(
                name="repeats",
                type="int",
                default=10,
                minimum=1,
                maximum=1000,
                label="Repeats",
                help="Fits on different group-balanced subsets, of which the mean is kept.",
            ),
        ),
        needs_groups_if={},
        fits_validation=True,
        cautions=(
            Caution(
                when={},
                flag="fitted_to_validation",
                text="The last layer is fitted to the validation images after the training: evaluations on them are "
                "optimistic for this run, and the curves are those before. Compare runs on test images.",
            ),
        ),
        note="DFR: after the training the last layer is fitted to group-balanced validation images. The curves are "
        "those before.",
    ),
)
