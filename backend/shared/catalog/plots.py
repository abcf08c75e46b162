"""Plots of evaluations that take more than a line."""

from densitylab.backend.shared.catalog.entries import Images, Plot


def attacked(norm: str, perturbation: str = "") -> tuple[Plot, ...]:
    """Accuracy over epsilon; all attacks in one norm share the chart.

    Args:
        norm: in words.
        perturbation: the key of the perturbation that does the same to an image; empty where none does, so that no page
            shows the images under another attack.
    """
    return (
        Plot(
            title=f"Accuracy under attack, {norm}",
            names=("accuracy",),
            images=Images(
                array="broken_at", pick="x", words="whose prediction breaks at epsilon {x}", perturbation=perturbation
            ),
        ),
    )


CONTROLS = ("chance", "random_map", "random_weights")
REMOVED_METRICS = {
    "accuracy": "accuracy",
    "probability": "probability",
    "relative_probability": "probability relative to the whole image's",
}
REMOVED = tuple(
    Plot(
        title=f"{label.capitalize()} as the most or least important pixels go",
        names=(f"most_first_{what}", f"least_first_{what}", f"random_{what}"),
        images=Images(array="{name}", pick="lowest", words="with the least area under their curve"),
    )
    for what, label in REMOVED_METRICS.items()
)
STEPPED = (
    Plot(
        title="Predictions that a step changes",
        names=("up_changed", "down_changed"),
        images=Images(array="{name}_at", pick="x", words="whose prediction changes at a step of length {x}"),
    ),
    Plot(title="Log p(x) after a step", names=("up_log_density", "down_log_density")),
    Plot(
        title="Attribution after a step",
        names=("up_attribution", "down_attribution", "attribution_random_map", "attribution_random_weights"),
        controls=("attribution_random_map", "attribution_random_weights"),
    ),
)
SETS = ("train", "test", "noise", "other")
DENSITIES = (
    Plot(
        title="Log p(x)",
        mark="steps",
        names=tuple(f"log_density_{part}" for part in SETS),
        images=Images(array="log_density", pick="lowest", words="with the lowest log p(x)"),
    ),
    Plot(
        title="Size of ∇ log p(x)",
        mark="steps",
        names=tuple(f"gradient_norm_{part}" for part in SETS),
        images=Images(array="gradient_norm", pick="highest", words="with the largest gradient of log p(x)"),
    ),
)
SCORES = {
    "msp": "largest probability",
    "max_logit": "largest logit",
    "energy": "negative energy",
    "density_gradient": "size of the density's gradient",
    "odin": "ODIN",
    "knn": "distance to the nearest neighbours",
    "mahalanobis": "Mahalanobis distance",
    "vim": "virtual logit (ViM)",
}
DETECTED = (
    Plot(title="ROC: test images against others", names=tuple(f"{score}_roc" for score in SCORES), diagonal="chance"),
    *(
        Plot(
            title=f"Score: {words}",
            mark="steps",
            names=(f"{score}_in", f"{score}_out"),
            images=Images(array=score, pick="lowest", words="that this score takes for others most"),
        )
        for score, words in SCORES.items()
    ),
)
ALIKE = (
    Plot(
        title="Likeness of the maps (1: the same)",
        mark="violins",
        names=("cosine", "spearman", "ssim", "top_k"),
        controls=("random_map", "random_weights"),
        images=Images(array="{name}", pick="lowest", words="that are the least stable by {name}"),
    ),
    *(
        Plot(
            title=title,
            mark="violins",
            names=(name,),
            controls=("random_map", "random_weights"),
            images=Images(array=name, pick="highest", words="that are the least stable by {name}"),
        )
        for name, title in (("relative_l2", "Change of the maps, relative"), ("l2", "Change of the maps, L2"))
    ),
)
RANDOMISED = {"spearman": "rank correlation", "cosine": "cosine", "ssim": "SSIM", "top_k": "top-10 % overlap"}
CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
