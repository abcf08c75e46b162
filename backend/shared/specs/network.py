"""The cost of a run's network."""

from densitylab.backend.shared.catalog import Catalog, ModelEntry, NetworkCost, network_cost
from densitylab.backend.shared.contracts import RunSpec


def network_of(catalog: Catalog, spec: RunSpec) -> NetworkCost | None:
    """Return the cost of the network on the images of the run's data set; None where it is not known.

    Raises:
        UnknownKey: the network or the data set is of a plug-in that is gone.
    """
    dataset = catalog.dataset(spec.dataset.key, spec.dataset.params)
    return network_cost(catalog.find(ModelEntry, spec.model.key), spec.model.params, dataset)
