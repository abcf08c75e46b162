"""Cost of a network on the images of a data set, by their entries."""

import math
from contextlib import suppress
from typing import Any

from densitylab.backend.shared.catalog.cost import NetworkCost
from densitylab.backend.shared.catalog.entries import DatasetEntry, ModelEntry


def network_cost(model: ModelEntry, params: dict[str, Any], dataset: DatasetEntry) -> NetworkCost | None:
    """Return the cost of one image of the data set; None where the model or the image's shape is not known."""
    if model.cost is None or dataset.shape is None or dataset.num_classes is None:
        return None
    with suppress(Exception):  # the cost function of a plug-in may fail in any way
        cost = model.cost(params, dataset.shape, dataset.num_classes)
        if all(
            math.isfinite(number) and number > 0 for number in (cost.parameters, cost.multiplications, cost.activations)
        ):
            return cost
    return None
