"""Patterns of layers to freeze, checked before a launch where the names of the network's parameters are known."""

from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.shared import parameter_patterns
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, ModelEntry
from densitylab.backend.shared.contracts import Run, RunSpec
from densitylab.backend.shared.store import runs


def parameter_names(session: Session, catalog: Catalog, spec: RunSpec, source: Run) -> list[str] | None:
    """Return the names of the parameters of a run's network; None if they are not known.

    They are those of the run that it starts from, if both have the same network, which gets images of the same shape:
    some networks have fewer layers for small images.

    Args:
        session: of the database.
        catalog: that has the runs' entries.
        spec: of the run.
        source: the run that it starts from.
    """
    if _network(catalog, spec) != _network(catalog, source.spec):
        return None
    return runs.parameter_names(session, source.id)


def problem(names: list[str] | None, patterns: list[str]) -> str | None:
    """Return why these patterns can't be used; None if they can, or if the names are not known."""
    return None if names is None else parameter_patterns.problem(names, patterns)


def _network(catalog: Catalog, spec: RunSpec) -> tuple[Any, ...]:
    """Return what the names of a network's parameters depend on."""
    model = catalog.by_kind[ModelEntry.kind].get(spec.model.key)
    weights = {param.name for param in model.params if param.first_weights} if model is not None else set()
    params = {name: value for name, value in spec.model.params.items() if name not in weights}
    data = catalog.by_kind[DatasetEntry.kind].get(spec.dataset.key)
    size = spec.interface.image_size if spec.interface is not None else None
    if not isinstance(data, DatasetEntry):
        return spec.model.key, params, spec.dataset.key, size
    data = data.sized(spec.dataset.params)
    return spec.model.key, params, data.channels, size or data.image_size
