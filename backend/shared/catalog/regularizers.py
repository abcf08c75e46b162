"""Regularizers. `(model, x, logits, y, *, ..., generator) -> (N,)` penalty per sample."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from densitylab.backend.shared.catalog.cost import (
    DOUBLE_BACKWARD,
    FORWARD_MODE,
    PLAIN_COPIES,
    PLAIN_PASSES,
    PenaltyCost,
)
from densitylab.backend.shared.catalog.entries import Caution, RegularizerEntry, Rule
from densitylab.backend.shared.catalog.params import Param

EVERY = Param(
    name="every",
    type="int",
    default=1,
    minimum=1,
    maximum=1000,
    label="Apply every n steps",
    used_by="trainer",
    help="Lazy application: the penalty is taken at every n-th step with weight λ·n. Cheaper, but with Adam it "
    "strengthens the penalty (at λ = 1 accuracy fell from .898 to .860 at n = 4), so 1 is the default.",
)
P_NORM = Param(
    name="p_norm",
    type="str",
    default="2",
    choices=("1", "2", "inf"),
    numbers_from=1.0,
    label="Norm p",
    rescales="size",
    help="Over all input features of one image: 1, 2, inf or another number from 1 on, such as 1.5. λ of different p "
    "are not comparable: on a trained MLP the squared 1-norm was 526 times, and the squared ∞-norm 0.022 times the "
    "squared 2-norm.",
)
POWER = Param(
    name="power",
    type="int",
    default=2,
    choices=(1, 2),
    label="Power k",
    rescales="exponent",
    help="The norm to the power 1 or 2. They reach similar points at λ₁ ≈ 2 λ₂ ‖g‖: never compare them at equal λ.",
)
BALL = (
    Param(
        name="p_norm",
        type="str",
        default="inf",
        choices=("2", "inf"),
        label="Threat model",
        help="Norm that bounds the attack's change.",
    ),
    Param(
        name="epsilon",
        type="float",
        default=0.1,
        minimum=0.0,
        maximum=100.0,
        label="Epsilon",
        help="Radius of the ball in [0, 1] pixel units: 0.1 in L∞ suits digits, 8/255 = 0.0314 photographs; "
        "in L2 take 0.5 to 2.",
    ),
    Param(
        name="steps",
        type="int",
        default=10,
        minimum=1,
        maximum=1000,
        label="Attack steps",
        help="Each costs about two thirds of a plain training step.",
    ),
    Param(
        name="step_size",
        type="float",
        default=None,
        optional=True,
        minimum=0.0,
        exclusive_minimum=True,
        maximum=100.0,
        label="Step size",
        help="In the ball's norm. Empty: 2.5 · epsilon / steps.",
    ),
)
_EXACT = ("double_backward", "forward_mode")
_TAYLOR = ("finite_difference", "random_projection")
_ESTIMATOR_COST = {
    "double_backward": DOUBLE_BACKWARD,
    "forward_mode": FORWARD_MODE,
    "finite_difference": PenaltyCost(7, 3),
    "random_projection": PenaltyCost(6, 3),
}


def always(cost: PenaltyCost) -> Callable[[dict[str, Any]], PenaltyCost]:
    """Return a cost that no parameter changes."""
    return lambda _params: cost


def attack_cost(passes: float) -> Callable[[dict[str, Any]], PenaltyCost]:
    """Return the cost of a penalty that attacks first: two passes a step, and `passes` besides."""
    return lambda params: PenaltyCost(passes + 2 * params["steps"], 3)


# First λ: marginal_density to adversarial_training as docs/comparison.md selected them on three networks, TRADES by
# Zhang et al. 2019
REGULARIZERS = (
    RegularizerEntry(
        "none",
        "None (baseline)",
        "Cross-entropy alone.",
        "densitylab.worker.regularizers.none:none",
        penalises=False,
        cost=always(PenaltyCost(PLAIN_PASSES, PLAIN_COPIES)),
    ),
    RegularizerEntry(
        "marginal_density",
        "Marginal-density smoothing",
        "‖∇ₓ log p(x)‖ with log p(x) = logsumexp of the logits (Yang, Akhtar, Shah, Mian, ECCV 2024).",
        "densitylab.worker.regularizers.marginal_density:marginal_density",
        first_lambdas=(1.0, 10.0),
        params=(
            Param(
                name="estimator",
                type="str",
                default="double_backward",
                choices=(*_EXACT, *_TAYLOR),
                label="Estimator",
                help="double_backward and forward_mode are both exact; forward_mode can be compiled, and takes more "
                "passes (8, not 6). finite_difference and random_projection agree with them on smooth networks only "
                "(GELU, SiLU, softplus; average pooling).",
            ),
            P_NORM,
            POWER,
            EVERY,
            Param(
                name="h",
                type="float",
                default=0.01,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=10.0,
                label="Step h",
                help="Length of the step in image space, as an L2 displacement in [0, 1] pixel "
                "units; used by finite_difference and random_projection.",
            ),
        ),
        rules=(
            Rule(
                when={"estimator": ("random_projection",)},
                allowed={"p_norm": ("2",), "power": (2,)},
                why="random_projection estimates the squared 2-norm alone: p_norm must be '2' and power 2",
            ),
        ),
        cautions=(
            Caution(
                when={"regularizer.params.estimator": _TAYLOR, "model.params.activation": ("relu",)},
                flag="estimator_on_relu",
                text="This estimator and double_backward disagree on ReLU networks: finite differences see the "
                "change of ReLU masks, double backward does not, and the trained models differ. "
                "Compare with a double_backward run before you trust it.",
            ),
            Caution(
                when={"regularizer.params.estimator": _TAYLOR, "model.params.pooling": ("max",)},
                flag="estimator_on_max_pooling",
                text="With max pooling even the values of this estimator differ from double_backward, since "
                "flat image regions are exact ties. Use average pooling or double_backward.",
            ),
        ),
        double_backward={"estimator": ("double_backward",)},
        forward_mode={"estimator": ("forward_mode",)},
        draws={"estimator": ("random_projection",)},
        uses=("replace_logits",),
        cost=lambda params: _ESTIMATOR_COST[params["estimator"]],
    ),
    RegularizerEntry(
        "input_gradient",
        "Input-gradient regularization",
        "‖∇ₓ f_y(x)‖, which smooths the log joint density, or ‖∇ₓ log softmax_y f(x)‖, which smooths the log "
        "conditional density (Drucker & LeCun 1992, Ross & Doshi-Velez 2018).",
        "densitylab.worker.regularizers.input_gradient:input_gradient",
        first_lambdas=(0.3, 3.0),
        params=(
            Param(
                name="target",
                type="str",
                default="logit",
                choices=("logit", "log_prob"),
                label="Target",
                rescales="size",
                help="logit: the labelled class's logit. log_prob: its log-probability. λ of the two are not "
                "comparable.",
            ),
            P_NORM,
            POWER,
            Param(
                name="estimator",
                type="str",
                default="double_backward",
                choices=_EXACT,
                label="Estimator",
                help="Both are exact; forward_mode can be compiled, and takes more passes (8, not 6).",
            ),
            EVERY,
        ),
        double_backward={"estimator": ("double_backward",)},
        forward_mode={"estimator": ("forward_mode",)},
        uses=("replace_logits",),
        cost=lambda params: _ESTIMATOR_COST[params.get("estimator", "double_backward")],
    ),
    RegularizerEntry(
        "right_reasons",
        "Right for the right reasons",
        "‖m · ∇ₓ Σₖ log softmaxₖ f(x)‖² on the null part m of the image, for data sets with masks (Ross, Hughes, "
        "Doshi-Velez 2017).",
        "densitylab.worker.regularizers.right_reasons:right_reasons",
        params=(
            Param(
                name="target",
                type="str",
                default="all_log_probs",
                choices=("all_log_probs", "log_prob", "logit"),
                label="Target",
                rescales="size",
                help="all_log_probs: the sum over classes, as in the paper. log_prob and logit: of the labelled class. "
                "λ of different targets are not comparable.",
            ),
            EVERY,
        ),
        double_backward={},
        uses=("masks",),
        cost=always(DOUBLE_BACKWARD),
    ),
    RegularizerEntry(
        "jacobian",
        "Jacobian regularization",
        "‖∂f/∂x‖² over all logits, estimated with one random projection per image (Hoffman, Roberts, Yaida 2019; "
        "their λ/2 is this λ).",
        "densitylab.worker.regularizers.jacobian:jacobian",
        first_lambdas=(0.1, 1.0),
        params=(EVERY,),
        double_backward={},
        draws={},
        cost=always(DOUBLE_BACKWARD),
    ),
    RegularizerEntry(
        "curvature",
        "Curvature regularization (CURE)",
        "‖∇ℓ(x + h z) − ∇ℓ(x)‖², z along the sign of the loss gradient (Moosavi-Dezfooli et al. 2019).",
        "densitylab.worker.regularizers.curvature:curvature",
        first_lambdas=(3.0, 30.0),
        params=(
            Param(
                name="h",
                type="float",
                default=1.5,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=100.0,
                label="Step h",
                help="Length of the step in image space, as an L2 displacement in [0, 1] pixel units.",
            ),
            EVERY,
        ),
        double_backward={},
        draws={},
        cost=always(PenaltyCost(12, 6)),
    ),
    RegularizerEntry(
        "gaussian_noise",
        "Gaussian noise",
        "Cross-entropy on noisy images less that on the clean ones: λ = 1 trains on noisy images only.",
        "densitylab.worker.regularizers.gaussian_noise:gaussian_noise",
        first_lambdas=(0.5, 1.0),
        params=(
            Param(
                name="sigma",
                type="float",
                default=0.1,
                minimum=0.0,
                maximum=10.0,
                label="Noise σ",
                help="Standard deviation on the [0, 1] pixel scale.",
            ),
            EVERY,
        ),
        draws={},
        uses=("cross_entropy",),
        largest_lambda=1.0,
        cost=always(PenaltyCost(6, 3)),
    ),
    RegularizerEntry(
        "adversarial_training",
        "Adversarial training",
        "Cross-entropy on images attacked by PGD less that on the clean ones: λ = 1 is Madry et al. 2018.",
        "densitylab.worker.regularizers.adversarial_training:adversarial_training",
        first_lambdas=(0.5, 1.0),
        params=(*BALL, EVERY),
        draws={},
        uses=("cross_entropy",),
        largest_lambda=1.0,
        cost=attack_cost(6),
    ),
    RegularizerEntry(
        "fast_adversarial_training",
        "Fast adversarial training",
        "Cross-entropy on images attacked by one sign step from a random start less that on the clean ones: λ = 1 is "
        "Wong et al. 2020. It may overfit to its attack, which each epoch is checked for with PGD.",
        "densitylab.worker.regularizers.fast_adversarial_training:fast_adversarial_training",
        first_lambdas=(0.5, 1.0),
        params=(
            replace(
                BALL[1], maximum=1.0, help="Largest change of a pixel: 0.1 suits digits, 8/255 = 0.0314 photographs."
            ),
            Param(
                name="step_factor",
                type="float",
                default=1.25,
                minimum=0.0,
                exclusive_minimum=True,
                maximum=4.0,
                label="Step over epsilon",
                help="Length of the step; the paper's is 1.25, and 2 often overfits.",
            ),
            EVERY,
        ),
        draws={},
        uses=("cross_entropy",),
        monitor="densitylab.worker.regularizers.fast_adversarial_training:attacked_accuracy",
        largest_lambda=1.0,
        cost=always(PenaltyCost(8, 3)),
    ),
    RegularizerEntry(
        "trades",
        "TRADES",
        "KL divergence between the predictions on the image and on its worst neighbour (Zhang et al. 2019; λ is "
        "their β, 6 in the paper).",
        "densitylab.worker.regularizers.trades:trades",
        first_lambdas=(1.0, 6.0),
        params=(*BALL, EVERY),
        draws={},
        cost=attack_cost(7),
    ),
)
