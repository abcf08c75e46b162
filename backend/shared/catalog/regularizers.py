"""Regularizers. `(model, x, logits, y, *, ..., generator) -> (N,)` penalty per sample."""

from backend.shared.catalog.entry import Caution, Entry, Param, Rule

EVERY = Param(
    name="every", type="int", default=1, minimum=1, maximum=1000, label="Apply every n steps", used_by="trainer",
    help="Lazy application: the penalty is taken at every n-th step with weight λ·n. Cheaper, but with Adam it "
         "strengthens the penalty (at λ = 1 accuracy fell from .898 to .860 at n = 4), so 1 is the default.",
)
_TAYLOR = ("finite_difference", "random_projection")

REGULARIZERS = (
    Entry("none", "None (baseline)", "Cross-entropy alone.", "worker.regularizers.none:none"),
    Entry(
        "marginal_density", "Marginal-density smoothing",
        "‖∇ₓ log p(x)‖ with log p(x) = logsumexp of the logits (Yang, Akhtar, Shah, Mian, ECCV 2024).",
        "worker.regularizers.marginal_density:marginal_density",
        params=(
            Param(name="estimator", type="str", default="double_backward",
                  choices=("double_backward", *_TAYLOR), label="Estimator",
                  help="double_backward is exact. finite_difference and random_projection agree with it on smooth "
                       "networks only (GELU, SiLU, softplus; average pooling)."),
            Param(name="p_norm", type="str", default="2", choices=("1", "2", "inf"), label="Norm p",
                  help="Over all input features of one image."),
            Param(name="power", type="int", default=2, choices=(1, 2), label="Power k",
                  help="The norm to the power 1 or 2. They reach similar points at λ₁ ≈ 2 λ₂ ‖g‖: never compare "
                       "them at equal λ."),
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
    ),
)
