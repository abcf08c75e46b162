"""Parameters of the published scores of out-of-distribution detection."""

from densitylab.backend.shared.catalog.params import Param

OOD_PARAMS = (
    Param(
        name="train_samples",
        type="int",
        default=5000,
        optional=True,
        minimum=2,
        maximum=1_000_000,
        label="Training images",
        help="That the scores knn, mahalanobis and vim are fitted to, drawn by class. Empty: all of them.",
    ),
    Param(
        name="neighbours",
        type="int",
        default=50,
        minimum=1,
        maximum=10_000,
        label="Neighbours k",
        help="The score knn is the distance to the k-th nearest training image.",
    ),
    Param(
        name="temperature",
        type="float",
        default=1000.0,
        minimum=0.0,
        exclusive_minimum=True,
        maximum=1e6,
        label="Temperature",
        help="Of the softmax of the score odin.",
    ),
    Param(
        name="epsilon",
        type="float",
        default=0.0014,
        minimum=0.0,
        maximum=1.0,
        label="Step of ODIN",
        help="Towards the predicted class, on the [0, 1] pixel scale.",
    ),
    Param(
        name="dimension",
        type="int",
        default=None,
        optional=True,
        minimum=1,
        maximum=100_000,
        label="Subspace of ViM",
        help="Dimensions of the main subspace of the features. Empty: half of them.",
    ),
)
