"""The plug-in's entries. The API imports this module too, so it holds metadata only and does not import torch."""

from densitylab import (
    DatasetEntry,
    EvaluationEntry,
    Metric,
    ModelEntry,
    NetworkCost,
    Param,
    PenaltyCost,
    Plot,
    RegularizerEntry,
)


def entries():
    """Return everything that this package adds to the catalog."""
    return [ELASTIC, STRIPES, CIFAR_RESNET, NOISE_ACCURACY]


def cifar_resnet_cost(params, shape, classes):
    """Return the cost of one image; DensityLab estimates time and memory from it before a launch."""
    n, pixels = params["n"], shape[1] * shape[2]
    return NetworkCost(parameters=9.7e4 * n - 2e4, multiplications=1.35e4 * n * pixels, activations=120 * n * pixels)


ELASTIC = RegularizerEntry(
    "elastic_net",
    "Elastic input gradient",
    "α‖∇ₓ log p(x)‖₁ + (1 − α)‖∇ₓ log p(x)‖₂²: sparse and smooth input gradients at once.",
    "densitylab_example.elastic_net:elastic_net",
    params=(
        Param(
            name="alpha", type="float", default=0.5, minimum=0.0, maximum=1.0, label="α", help="Share of the 1-norm."
        ),
    ),
    double_backward={},
    cost=lambda params: PenaltyCost(passes=6, copies=3.5),
)

STRIPES = DatasetEntry(
    "stripes",
    "Stripes (example)",
    "Horizontal or vertical stripes in noise, drawn by code: 900 images to train on, 100 for validation, 500 to test.",
    "densitylab_example.stripes:prepare",
    params=(
        Param(name="data_seed", type="int", default=0, minimum=0, maximum=2**31 - 1, label="Data seed"),
        Param(name="noise", type="float", default=0.2, minimum=0.0, maximum=1.0, label="Noise σ"),
    ),
    num_classes=2,
    class_names=("horizontal", "vertical"),
    channels=1,
    image_size=(16, 16),
    mean=(0.5,),
    std=(0.5,),
    train_size=900,
    embedded=True,
)

CIFAR_RESNET = ModelEntry(
    "cifar_resnet",
    "CIFAR ResNet",
    "The small residual network of He et al. 2016, section 4.2: 6n + 2 layers, 16 to 64 channels.",
    "densitylab_example.cifar_resnet:build",
    params=(
        Param(name="n", type="int", default=3, minimum=1, maximum=18, label="Blocks per stage", help="3: ResNet-20."),
    ),
    min_image_size=8,
    has_convolutions=True,
    cost=cifar_resnet_cost,
)

NOISE_ACCURACY = EvaluationEntry(
    "noise_accuracy",
    "Accuracy in noise",
    "Accuracy on test images with Gaussian noise, over a curve of its standard deviation.",
    "densitylab_example.noise_accuracy:noise_accuracy",
    params=(Param(name="sigmas", type="floats", default=[0.1, 0.2, 0.4], minimum=0.0, maximum=1.0, label="Noise σ"),),
    metrics=(Metric(name="accuracy", label="Accuracy in noise, σ = {sigmas}", higher_is_better=True, headline=100),),
    plots=(Plot(title="Accuracy in noise", names=("accuracy",)),),
)
