"""Costs of networks and penalties, as facts of their entries: the estimates of time and memory are made from them."""

from dataclasses import dataclass

Shape = tuple[int, int, int]  # channels, height, width
PLAIN_PASSES, PLAIN_COPIES = 3.0, 1.5  # of a step without a penalty


@dataclass(frozen=True)
class NetworkCost:
    """Cost of one image of a given shape.

    Args:
        parameters: of the whole network.
        multiplications: of a forward pass.
        activations: numbers that a backward pass needs.
    """

    parameters: float
    multiplications: float
    activations: float


@dataclass(frozen=True)
class PenaltyCost:
    """Cost of one step with the penalty.

    Args:
        passes: through the network; forward, and backward by activations and by weights, count one each.
        copies: how often the activations are held at the peak. The graph of the gradients that a double backward
            differentiates holds them again. Measured peaks, on cnn with 200 images and vgg11 with 64: plain 1.8 and
            1.3, double backward 3.8 and 2.9, finite differences 3.1, curvature 5.7; forward mode 0.9 times those of
            double backward on cnn, and 1.3 times on resnet18, whose batch norms hold more.
    """

    passes: float
    copies: float


@dataclass(frozen=True)
class EvaluationCost:
    """Cost of an evaluation for one image.

    Args:
        passes: through the network; forward, and backward to the image, count one each.
        maps: attributions that are computed besides; what one takes follows from its method.
        perturbations: perturbed images that are computed besides, likewise.
        operations: on each number of the image, such as those of measures of likeness, in nanoseconds of a CPU core.
    """

    passes: float = 0.0
    maps: float = 0.0
    perturbations: float = 0.0
    operations: float = 0.0


DOUBLE_BACKWARD = PenaltyCost(6, 3.5)
FORWARD_MODE = PenaltyCost(8, 5)
