"""Attribution methods. `(model, x, target, *, ...) -> attributions` shaped like x; target (N,) class indices."""

from densitylab.backend.shared.catalog.entries import AttributionEntry
from densitylab.backend.shared.catalog.params import Param

ATTRIBUTIONS = (
    AttributionEntry(
        "gradient",
        "Gradient",
        "∇ₓ f_t(x): the gradient of the target's logit, signed (Simonyan et al. 2014).",
        "densitylab.worker.attributions.gradient:gradient",
    ),
    AttributionEntry(
        "integrated_gradients",
        "Integrated gradients",
        "The gradient integrated from a black image to x, times x (Sundararajan et al. 2017). "
        "Zero on black pixels by construction.",
        "densitylab.worker.attributions.integrated_gradients:integrated_gradients",
        params=(
            Param(
                name="steps",
                type="int",
                default=32,
                minimum=2,
                maximum=512,
                label="Steps",
                help="Points of the Gauss-Legendre quadrature.",
            ),
        ),
        work=("steps",),
    ),
    AttributionEntry(
        "smoothgrad",
        "SmoothGrad",
        "Mean gradient over noisy copies of x (Smilkov et al. 2017).",
        "densitylab.worker.attributions.smoothgrad:smoothgrad",
        params=(
            Param(name="samples", type="int", default=16, minimum=1, maximum=256, label="Noisy copies"),
            Param(
                name="sigma",
                type="float",
                default=0.1,
                minimum=0.0,
                maximum=1.0,
                label="Noise σ",
                help="Standard deviation on the [0, 1] pixel scale.",
            ),
            Param(name="seed", type="int", default=0, minimum=0, maximum=2**31 - 1, label="Noise seed"),
        ),
        work=("samples",),
    ),
    AttributionEntry(
        "log_density",
        "∇ log p(x)",
        "The gradient of the input marginal log density: what smoothing penalises. It has no target class.",
        "densitylab.worker.attributions.log_density:log_density",
        needs_target=False,
    ),
    AttributionEntry(
        "input_x_gradient",
        "Input × gradient",
        "x · ∇ₓ f_t(x) (Shrikumar et al. 2016). Zero on black pixels by construction.",
        "densitylab.worker.attributions.input_x_gradient:input_x_gradient",
    ),
    AttributionEntry(
        "gradient_shap",
        "GradientSHAP",
        "Gradients at random points between black and noisy copies of x, times x "
        "(Lundberg & Lee 2017). Nearly zero on black pixels by construction.",
        "densitylab.worker.attributions.gradient_shap:gradient_shap",
        params=(
            Param(name="samples", type="int", default=16, minimum=1, maximum=256, label="Draws"),
            Param(
                name="sigma",
                type="float",
                default=0.1,
                minimum=0.0,
                maximum=1.0,
                label="Noise σ",
                help="Standard deviation on the [0, 1] pixel scale.",
            ),
            Param(name="seed", type="int", default=0, minimum=0, maximum=2**31 - 1, label="Seed"),
        ),
        work=("samples",),
    ),
    AttributionEntry(
        "deeplift",
        "DeepLIFT",
        "Contributions to the difference from a black image by the rescale rule (Shrikumar et al. 2017). Zero on black "
        "pixels by construction; the rule is for ReLU and softplus, without group norm or attention.",
        "densitylab.worker.attributions.deeplift:deeplift",
        needs_activation=("relu", "softplus"),
        needs_univariate=True,
    ),
    AttributionEntry(
        "grad_cam",
        "Grad-CAM",
        "Where the last convolution answers for the class (Selvaraju et al. 2017), enlarged "
        "to the image. Never negative.",
        "densitylab.worker.attributions.grad_cam:grad_cam",
        signed=False,
        needs_convolutions=True,
    ),
    AttributionEntry(
        "occlusion",
        "Occlusion",
        "Drop of the target's logit under a black patch (Zeiler & Fergus 2014). With patch 1 and stride 1 it is the "
        "zero occlusion f(x) − f(x with the pixel 0) of every pixel.",
        "densitylab.worker.attributions.occlusion:occlusion",
        params=(
            Param(
                name="patch",
                type="int",
                default=4,
                minimum=1,
                maximum=64,
                label="Patch",
                help="Side in pixels, at most the image's shorter side.",
            ),
            Param(
                name="stride",
                type="int",
                default=2,
                minimum=1,
                maximum=64,
                label="Stride",
                help="Pixels between patches, at most the patch.",
            ),
        ),
        stride="stride",
        window="patch",
    ),
)
