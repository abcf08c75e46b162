"""Models. `build(channels, image_size, num_classes, *, ...) -> Module` that gives logits (N, K)."""

from backend.shared.catalog.entry import Entry, Param, Rule

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
NORM_HELP = ("Batch norm mixes the samples of a batch while training, so the penalty of one image depends on the "
             "others; group norm and none do not.")
PRETRAINED = Param(
    name="pretrained", type="bool", default=False, label="Pretrained on ImageNet",
    first_weights=True,
    help="Begins with torchvision's weights, downloaded once; the head stays random, and so does the first "
         "convolution where its shape differs. They were trained on images standardised by ImageNet's statistics.",
)


def norm(default: str) -> Param:
    return Param(name="norm", type="str", default=default, choices=("none", "batch", "group"), label="Normalisation",
                 help=NORM_HELP)


def as_published(norms: tuple[str, ...]) -> Rule:
    return Rule(
        when={"pretrained": (True,)}, allowed={"activation": ("relu",), "pooling": ("max",), "norm": norms},
        why=f"the pretrained weights belong to activation 'relu', pooling 'max' and norm {' or '.join(norms)}",
    )


def resnet(depth: int) -> Entry:
    return Entry(
        f"resnet{depth}", f"ResNet-{depth}",
        "Residual network (He et al. 2016). The stem is a 3×3 convolution below 96 pixels a side, else 7×7 with "
        "stride and pooling.",
        f"worker.models.resnet:resnet{depth}",
        params=(
            ACTIVATION,
            Param(name="pooling", type="str", default="average", choices=POOLING.choices, label="Pooling",
                  help="In the stem for images from 96 pixels a side on; smaller ones have none. The paper's is max."),
            norm("batch"),
            PRETRAINED,
        ),
        rules=(as_published(("batch",)),),
        min_image_size=8, has_convolutions=True,
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
            norm("none"),
            DROPOUT,
        ),
        min_image_size=8, has_convolutions=True,
    ),
    Entry(
        "vgg11", "VGG11", "Eight 3×3 convolutions in five stages, each pooled (Simonyan & Zisserman 2015), and one "
        "linear layer on the averaged features.",
        "worker.models.vgg:vgg11",
        params=(ACTIVATION, POOLING, norm("none"), DROPOUT, PRETRAINED),
        rules=(as_published(("none", "batch")),),
        min_image_size=16, has_convolutions=True,
    ),
    resnet(18),
    resnet(34),
    Entry(
        "vit", "Small vision transformer",
        "Patches as tokens, heads of 32 features, the mean over tokens (after Dosovitskiy et al. 2021).",
        "worker.models.vit:build",
        params=(
            Param(name="patch_size", type="int", default=4, minimum=1, maximum=64, label="Patch size",
                  help="Side of a patch in pixels; it must divide the image's sides."),
            Param(name="width", type="int", default=128, choices=(32, 64, 128, 192, 256, 384), label="Width",
                  help="Features of a token."),
            Param(name="depth", type="int", default=6, minimum=1, maximum=24, label="Blocks"),
            Param(name="activation", type="str", default="gelu", choices=ACTIVATION.choices, label="Activation",
                  help=ACTIVATION.help),
            DROPOUT,
        ),
        side_multiple_of="patch_size",
    ),
    Entry(
        "timm", "A timm model", "Any network of the package timm, by its name there. The package must be installed "
        "where the workers run.",
        "worker.models.timm:build",
        params=(
            Param(name="name", type="str", default="resnet18", label="Name",
                  help="As in timm.list_models(). What activation and pooling it has belongs to every result."),
            Param(name="pretrained", type="bool", default=False, label="Pretrained", first_weights=True,
                  help="Begins with the weights that timm publishes, downloaded once."),
        ),
        package="timm", has_convolutions=True,  # most have; one that has not is refused by the worker
    ),
)
