"""Training curves in words."""

METRIC_LABELS = {
    "loss": "loss",
    "cross_entropy": "cross-entropy",
    "validation_cross_entropy": "cross-entropy, validation",
    "penalty": "penalty",
    "train_accuracy": "accuracy, training",
    "validation_accuracy": "accuracy, validation",
    "validation_worst_group": "worst-group accuracy, validation",
    "validation_fgsm_accuracy": "FGSM accuracy, validation",
    "validation_pgd_accuracy": "PGD accuracy, validation",
    "validation_robust_share": "robust share, validation",
    "gradient_norm": "‖∇ log p(x)‖",
    "gradient_norm_log_prob": "‖∇ log p(y|x)‖",
    "gradient_norm_margin": "‖∇ margin‖",
    "lambda_": "current λ",
    "learning_rate": "learning rate",
    "weight_gradient_norm": "‖∇ loss‖ of the weights",
    "throughput": "images per second",
}


def metric_label(name: str) -> str:
    """Return the metric in words."""
    return METRIC_LABELS.get(name, name.replace("_", " "))
