"""Models. `build(channels, image_size, num_classes, *, ...) -> Module` that gives logits (N, K)."""

from backend.shared.catalog.entry import Entry, Param

ACTIVATION = Param(
    name="activation", type="str", default="relu", choices=("relu", "gelu", "silu", "softplus"), label="Activation",
    help="Belongs to every result: smooth activations (GELU, SiLU, softplus) and ReLU answer differently to smoothing.",
)
POOLING = Param(
    name="pooling", type="str", default="max", choices=("max", "average"), label="Pooling",
    help="With max pooling flat image regions are exact ties, where the estimators of the penalty disagree.",
)
DROPOUT = Param(
    name="dropout", type="float", default=0.0, minimum=0.0, maximum=0.9, label="Dropout",
    help="Share of hidden units set to zero while training.",
)

MODELS = (
    Entry(
        "mlp", "MLP", "Fully connected: two hidden layers of 512 units unless you say otherwise.",
        "worker.models.mlp:build",
        params=(
            Param(name="hidden", type="int", default=512, minimum=1, maximum=8192, label="Hidden units",
                  help="Units in each hidden layer."),
            Param(name="layers", type="int", default=2, minimum=1, maximum=16, label="Hidden layers",
                  help="Number of hidden layers."),
            ACTIVATION,
            DROPOUT,
        ),
        min_image_size=1,
    ),
    Entry(
        "cnn", "Small CNN", "Two stages of two 3×3 convolutions, pooled, then one hidden layer.",
        "worker.models.cnn:build",
        params=(
            Param(name="width", type="int", default=32, minimum=1, maximum=512, label="Channels",
                  help="Channels of the first stage; the second has twice as many."),
            ACTIVATION,
            POOLING,
            Param(name="norm", type="str", default="none", choices=("none", "batch", "group"), label="Normalisation",
                  help="Batch norm mixes the samples of a batch while training, so the penalty of one image "
                       "depends on the others; group norm and none do not."),
            DROPOUT,
        ),
        min_image_size=8,
    ),
)
