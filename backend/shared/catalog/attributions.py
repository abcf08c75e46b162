"""Attribution methods. `(model, x, target, *, ...) -> attributions` shaped like x; target (N,) class indices."""

from backend.shared.catalog.entry import Entry, Param

ATTRIBUTIONS = (
    Entry("gradient", "Gradient", "∇ₓ f_t(x): the gradient of the target's logit, signed (Simonyan et al. 2014).",
          "worker.attributions.gradient:gradient"),
    Entry(
        "integrated_gradients", "Integrated gradients",
        "The gradient integrated from a black image to x, times x (Sundararajan et al. 2017). "
        "Zero on black pixels by construction.",
        "worker.attributions.integrated_gradients:integrated_gradients",
        params=(Param(name="steps", type="int", default=32, minimum=2, maximum=512, label="Steps",
                      help="Points of the Gauss-Legendre quadrature."),),
    ),
    Entry(
        "smoothgrad", "SmoothGrad", "Mean gradient over noisy copies of x (Smilkov et al. 2017).",
        "worker.attributions.smoothgrad:smoothgrad",
        params=(
            Param(name="samples", type="int", default=16, minimum=1, maximum=256, label="Noisy copies"),
            Param(name="sigma", type="float", default=0.1, minimum=0.0, maximum=1.0, label="Noise σ",
                  help="Standard deviation on the [0, 1] pixel scale."),
            Param(name="seed", type="int", default=0, minimum=0, maximum=2**31 - 1, label="Noise seed"),
        ),
    ),
    Entry("log_density", "∇ log p(x)", "The gradient of the input marginal log density: what smoothing penalises. "
          "It has no target class.",
          "worker.attributions.log_density:log_density", needs_target=False),
)
