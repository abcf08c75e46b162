"""Regularizers. `(model, x, logits, y, *, ..., generator) -> (N,)` penalty per sample."""

from backend.shared.catalog.entry import Caution, Entry, Param, Rule

EVERY = Param(
    name="every", type="int", default=1, minimum=1, maximum=1000, label="Apply every n steps", used_by="trainer",
    help="Lazy application: the penalty is taken at every n-th step with weight λ·n. Cheaper, but with Adam it "
         "strengthens the penalty (at λ = 1 accuracy fell from .898 to .860 at n = 4), so 1 is the default.",
)
P_NORM = Param(name="p_norm", type="str", default="2", choices=("1", "2", "inf"), label="Norm p",
               help="Over all input features of one image.")
POWER = Param(name="power", type="int", default=2, choices=(1, 2), label="Power k",
              help="The norm to the power 1 or 2. They reach similar points at λ₁ ≈ 2 λ₂ ‖g‖: never compare "
                   "them at equal λ.")
BALL = (
    Param(name="p_norm", type="str", default="inf", choices=("2", "inf"), label="Norm of the ball",
          help="Of the change that the attack may make."),
    Param(name="epsilon", type="float", default=0.1, minimum=0.0, maximum=100.0, label="Epsilon",
          help="Radius of the ball in [0, 1] pixel units: 0.1 in L∞ suits digits, 8/255 = 0.0314 photographs; "
               "in L2 take 0.5 to 2."),
    Param(name="steps", type="int", default=10, minimum=1, maximum=1000, label="Attack steps",
          help="Each costs about two thirds of a plain training step."),
    Param(name="step_size", type="float", default=None, optional=True, minimum=0.0, exclusive_minimum=True,
          maximum=100.0, label="Step size", help="In the ball's norm. Empty: 2.5 · epsilon / steps."),
)
_TAYLOR = ("finite_difference", "random_projection")

REGULARIZERS = (
    Entry("none", "None (baseline)", "Cross-entropy alone.", "worker.regularizers.none:none", penalises=False),
    Entry(
        "marginal_density", "Marginal-density smoothing",
        "‖∇ₓ log p(x)‖ with log p(x) = logsumexp of the logits (Yang, Akhtar, Shah, Mian, ECCV 2024).",
        "worker.regularizers.marginal_density:marginal_density",
        params=(
            Param(name="estimator", type="str", default="double_backward",
                  choices=("double_backward", *_TAYLOR), label="Estimator",
                  help="double_backward is exact. finite_difference and random_projection agree with it on smooth "
                       "networks only (GELU, SiLU, softplus; average pooling)."),
            P_NORM,
            POWER,
            EVERY,
            Param(name="h", type="float", default=0.01, minimum=0.0, exclusive_minimum=True, maximum=10.0,
                  label="Step h", help="Length of the step in image space, as an L2 displacement in [0, 1] pixel "
                                       "units; used by finite_difference and random_projection."),
        ),
        rules=(
            Rule(when={"estimator": ("random_projection",)}, allowed={"p_norm": ("2",), "power": (2,)},
                 why="random_projection estimates the squared 2-norm alone: p_norm must be '2' and power 2"),
        ),
        cautions=(
            Caution(when={"regularizer.params.estimator": _TAYLOR, "model.params.activation": ("relu",)},
                    flag="estimator_on_relu",
                    text="This estimator and double_backward disagree on ReLU networks: finite differences see the "
                         "change of ReLU masks, double backward does not, and the trained models differ. "
                         "Compare with a double_backward run before you trust it."),
            Caution(when={"regularizer.params.estimator": _TAYLOR, "model.params.pooling": ("max",)},
                    flag="estimator_on_max_pooling",
                    text="With max pooling even the values of this estimator differ from double_backward, since "
                         "flat image regions are exact ties. Use average pooling or double_backward."),
        ),
        double_backward={"estimator": ("double_backward",)},
    ),
    Entry(
        "input_gradient", "Input-gradient regularization",
        "‖∇ₓ f_y(x)‖, which smooths the log joint density, or ‖∇ₓ log softmax_y f(x)‖, which smooths the log "
        "conditional density (Drucker & LeCun 1992, Ross & Doshi-Velez 2018).",
        "worker.regularizers.input_gradient:input_gradient",
        params=(
            Param(name="target", type="str", default="logit", choices=("logit", "log_prob"), label="Target",
                  help="logit: the labelled class's logit. log_prob: its log-probability."),
            P_NORM,
            POWER,
            EVERY,
        ),
        double_backward={},
    ),
    Entry(
        "jacobian", "Jacobian regularization",
        "‖∂f/∂x‖² over all logits, estimated with one random projection per image (Hoffman, Roberts, Yaida 2019; "
        "their λ/2 is this λ).",
        "worker.regularizers.jacobian:jacobian",
        params=(EVERY,),
        double_backward={},
    ),
    Entry(
        "curvature", "Curvature regularization (CURE)",
        "‖∇ℓ(x + h z) − ∇ℓ(x)‖², z along the sign of the loss gradient (Moosavi-Dezfooli et al. 2019).",
        "worker.regularizers.curvature:curvature",
        params=(
            Param(name="h", type="float", default=1.5, minimum=0.0, exclusive_minimum=True, maximum=100.0,
                  label="Step h", help="Length of the step in image space, as an L2 displacement in [0, 1] pixel "
                                       "units."),
            EVERY,
        ),
        double_backward={},
    ),
    Entry(
        "gaussian_noise", "Gaussian noise",
        "Cross-entropy on noisy images less that on the clean ones: λ = 1 trains on noisy images alone.",
        "worker.regularizers.gaussian_noise:gaussian_noise",
        params=(
            Param(name="sigma", type="float", default=0.1, minimum=0.0, maximum=10.0, label="Noise σ",
                  help="Standard deviation on the [0, 1] pixel scale."),
            EVERY,
        ),
    ),
    Entry(
        "adversarial_training", "Adversarial training",
        "Cross-entropy on images attacked by PGD less that on the clean ones: λ = 1 is Madry et al. 2018.",
        "worker.regularizers.adversarial_training:adversarial_training",
        params=(*BALL, EVERY),
    ),
    Entry(
        "trades", "TRADES",
        "KL divergence between the predictions on the image and on its worst neighbour (Zhang et al. 2019; λ is "
        "their β, 6 in the paper).",
        "worker.regularizers.trades:trades",
        params=(*BALL, EVERY),
    ),
)
