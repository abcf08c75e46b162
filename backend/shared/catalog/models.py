"""Models. `build(channels, image_size, num_classes, *, ...) -> Module` that gives logits (N, K).

`learning_rates` are those at which a network with its default parameters leaves chance in a short run, activations ReLU
and GELU included (`benchmarks/learning_rates.py`); of an optimizer that is not listed, its own default does.
"""

from dataclasses import replace

from densitylab.backend.shared.catalog.entries import ModelEntry, Rule
from densitylab.backend.shared.catalog.model_costs import (
    Cost,
    cnn_cost,
    convolutional_cost,
    mlp_cost,
    vgg11_cost,
    vit_b_cost,
    vit_cost,
)
from densitylab.backend.shared.catalog.params import Param
from densitylab.backend.shared.catalog.torchvision_models import TORCHVISION

ACTIVATION = Param(
    name="activation",
    type="str",
    default="relu",
    choices=("relu", "gelu", "silu", "softplus"),
    label="Activation",
    help="Report it with every result: smooth activations (GELU, SiLU, softplus) and ReLU respond differently "
    "to smoothing.",
)
POOLING = Param(
    name="pooling",
    type="str",
    default="max",
    choices=("max", "average"),
    label="Pooling",
    help="With max pooling flat image regions are exact ties, where the estimators of the penalty disagree.",
)
DROPOUT = Param(
    name="dropout",
    type="float",
    default=0.0,
    minimum=0.0,
    maximum=0.9,
    label="Dropout",
    help="Share of hidden units set to zero while training.",
)
NORM_HELP = (
    "Batch norm mixes the samples of a batch while training, so the penalty of one image depends on the "
    "others; group norm and none do not."
)
PRETRAINED = Param(
    name="pretrained",
    type="bool",
    default=False,
    label="Pretrained on ImageNet",
    first_weights=True,
    help="Begins with torchvision's weights, downloaded once; the head stays random, and so does the first "
    "convolution where its shape differs. They were trained on images standardised by ImageNet's statistics.",
)


def norm(default: str) -> Param:
    return Param(
        name="norm",
        type="str",
        default=default,
        choices=("none", "batch", "group"),
        label="Normalisation",
        help=NORM_HELP,
    )


GROUP_NORM = {"norm": ("group",)}  # divides each value by a deviation of many


def as_published(norms: tuple[str, ...]) -> Rule:
    return Rule(
        when={"pretrained": (True,)},
        allowed={"activation": ("relu",), "pooling": ("max",), "norm": norms},
        why=f"the pretrained weights belong to activation 'relu', pooling 'max' and norm {' or '.join(norms)}",
    )


def resnet(depth: int, cost: Cost) -> ModelEntry:
    return ModelEntry(
        f"resnet{depth}",
        f"ResNet-{depth}",
        "Residual network (He et al. 2016). The stem is a 3×3 convolution below 96 pixels a side, else 7×7 with "
        "stride and pooling.",
        f"densitylab.worker.models.resnet:resnet{depth}",
        params=(
            ACTIVATION,
            Param(
                name="pooling",
                type="str",
                default="average",
                choices=POOLING.choices,
                label="Pooling",
                help="In the stem for images from 96 pixels a side on; smaller ones have none. The paper's is max.",
            ),
            norm("batch"),
            PRETRAINED,
        ),
        rules=(as_published(("batch",)),),
        min_image_size=8,
        pretrained_image_size=96,
        has_convolutions=True,
        multivariate=GROUP_NORM,
        cost=cost,
        learning_rates={"sgd": 0.03},
    )


MODELS = (
    ModelEntry(
        "mlp",
        "MLP",
        "Fully connected, by default with two hidden layers of 512 units.",
        "densitylab.worker.models.mlp:build",
        params=(
            Param(
                name="hidden",
                type="int",
                default=512,
                minimum=1,
                maximum=8192,
                label="Hidden units",
                help="Units in each hidden layer.",
            ),
            Param(
                name="layers",
                type="int",
                default=2,
                minimum=1,
                maximum=16,
                label="Hidden layers",
                help="Number of hidden layers.",
            ),
            ACTIVATION,
            DROPOUT,
        ),
        min_image_size=1,
        cost=mlp_cost,
        learning_rates={"sgd": 0.03},
    ),
    ModelEntry(
        "cnn",
        "Small CNN",
        "Two stages of two 3×3 convolutions, pooled, then one hidden layer.",
        "densitylab.worker.models.cnn:build",
        params=(
            Param(
                name="width",
                type="int",
                default=32,
                minimum=1,
                maximum=512,
                label="Width (channels)",
                help="Channels of the first stage; the second has twice as many.",
            ),
            ACTIVATION,
            POOLING,
            norm("none"),
            DROPOUT,
        ),
        min_image_size=8,
        has_convolutions=True,
        multivariate=GROUP_NORM,
        cost=cnn_cost,
        learning_rates={"sgd": 0.03},
    ),
    ModelEntry(
        "vgg11",
        "VGG11",
        "Eight 3×3 convolutions in five stages, each pooled (Simonyan & Zisserman 2015), and one "
        "linear layer on the averaged features.",
        "densitylab.worker.models.vgg:vgg11",
        params=(
            Param(
                name="width",
                type="int",
                default=64,
                minimum=1,
                maximum=512,
                label="Width (channels)",
                help="Channels of the first stage; the last has eight times as many.",
            ),
            ACTIVATION,
            POOLING,
            norm("none"),
            DROPOUT,
            PRETRAINED,
        ),
        rules=(
            as_published(("none", "batch")),
            Rule(
                when={"pretrained": (True,)},
                allowed={"width": (64,)},
                why="the pretrained weights belong to width 64",
            ),
        ),
        min_image_size=16,
        has_convolutions=True,
        multivariate=GROUP_NORM,
        cost=vgg11_cost,
        learning_rates={"adam": 3e-4, "adamw": 3e-4, "sgd": 0.01},
    ),
    resnet(18, convolutional_cost(11.2e6, 550e3, 1155, large=(36.1e3, 103))),
    resnet(34, convolutional_cost(21.3e6, 1135e3, 1955, large=(73e3, 175))),
    resnet(50, convolutional_cost(23.5e6, 1267e3, 6290, large=(82e3, 400))),
    ModelEntry(
        "preact_resnet18",
        "PreAct-ResNet-18",
        "Residual network with norm and activation before each convolution (He et al. 2016), for small images. It has "
        "no published weights.",
        "densitylab.worker.models.preactivation:preact_resnet18",
        params=(ACTIVATION, norm("batch")),
        min_image_size=8,
        has_convolutions=True,
        multivariate=GROUP_NORM,
        cost=convolutional_cost(11.2e6, 542e3, 1101),
        learning_rates={"sgd": 0.03},
    ),
    ModelEntry(
        "wide_resnet28_10",
        "WideResNet-28-10",
        "Residual network of 28 layers, ten times as wide (Zagoruyko & Komodakis 2016), for small images: 36 million "
        "parameters. It has no published weights.",
        "densitylab.worker.models.preactivation:wide_resnet28_10",
        params=(ACTIVATION, norm("batch"), DROPOUT),
        min_image_size=8,
        has_convolutions=True,
        multivariate=GROUP_NORM,
        cost=convolutional_cost(36.5e6, 5120e3, 4530),
        learning_rates={"sgd": 0.03},
    ),
    ModelEntry(
        "convnext_tiny",
        "ConvNeXt-Tiny",
        "Convolutional network of torchvision with layer norm and GELU (Liu et al. 2022). Its stem takes patches of "
        "4×4 pixels, so that small images leave few positions.",
        "densitylab.worker.models.convnext:convnext_tiny",
        params=(PRETRAINED,),
        min_image_size=32,
        has_convolutions=True,
        multivariate={},
        cost=convolutional_cost(27.8e6, 89e3, 530),
        learning_rates={"adam": 3e-4, "adamw": 3e-4, "sgd": 0.003},
    ),
    ModelEntry(
        "vit",
        "Small vision transformer",
        "Patches as tokens, heads of 32 features, the mean over tokens (after Dosovitskiy et al. 2021).",
        "densitylab.worker.models.vit:build",
        params=(
            Param(
                name="patch_size",
                type="int",
                default=4,
                minimum=1,
                maximum=64,
                label="Patch size",
                help="Side of a patch in pixels; it must divide the image's sides.",
            ),
            Param(
                name="width",
                type="int",
                default=128,
                choices=(32, 64, 128, 192, 256, 384),
                label="Width",
                help="Features of a token.",
            ),
            Param(name="depth", type="int", default=6, minimum=1, maximum=24, label="Blocks"),
            Param(
                name="activation",
                type="str",
                default="gelu",
                choices=ACTIVATION.choices,
                label="Activation",
                help=ACTIVATION.help,
            ),
            DROPOUT,
        ),
        side_multiple_of="patch_size",
        multivariate={},
        cost=vit_cost,
        learning_rates={"adam": 3e-4, "adamw": 3e-4, "sgd": 0.01},
    ),
    ModelEntry(
        "vit_b16",
        "ViT-B/16",
        "Vision transformer of torchvision, with twelve blocks of 768 features (Dosovitskiy et al. 2021): 86 million "
        "parameters.",
        "densitylab.worker.models.vit_b16:vit_b16",
        params=(
            Param(
                name="patch_size",
                type="int",
                default=16,
                choices=(4, 8, 16),
                label="Patch size",
                help="Side of a patch in pixels; it must divide the image's sides.",
            ),
            replace(
                PRETRAINED,
                help="Begins with torchvision's weights, downloaded once; the head stays random, and positions of "
                "another image size than 224×224 are interpolated.",
            ),
        ),
        rules=(
            Rule(
                when={"pretrained": (True,)},
                allowed={"patch_size": (16,)},
                why="the pretrained weights belong to patch_size 16",
            ),
        ),
        side_multiple_of="patch_size",
        multivariate={},
        cost=vit_b_cost,
        learning_rates={"adam": 1e-4, "adamw": 1e-4, "sgd": 0.003},
    ),
    TORCHVISION,
    ModelEntry(
        "timm",
        "A timm model",
        "Any network of the package timm, by its name there. The package must be installed where the workers run.",
        "densitylab.worker.models.timm:build",
        params=(
            Param(
                name="name",
                type="str",
                default="resnet18",
                label="Name",
                help="As in timm.list_models(). Report its activation and pooling with every result.",
            ),
            Param(
                name="pretrained",
                type="bool",
                default=False,
                label="Pretrained",
                first_weights=True,
                help="Begins with the weights that timm publishes, downloaded once.",
            ),
        ),
        package="timm",
        has_convolutions=True,  # most have; one that has not is refused by the worker
    ),
)
