"""A sentence on the parameter of the model that takes most of the training."""

from collections.abc import Iterator

from densitylab.backend.shared.contracts import CatalogEntry, ExperimentRequest, Preflight, RunSpec
from densitylab.frontend.analysis.formatting import escaped, title
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.durations import duration
from densitylab.frontend.launch_form.cost import price, with_values

_LONG_SECONDS = 300.0  # a shorter training needs no advice
_SHARE = 0.6  # of the training that a cheaper model takes at most


def cheaper_model(request: ExperimentRequest, cost: Preflight, catalog: Catalog) -> str:
    """Return which whole number of the model, halved, makes a long training shortest, by the same estimate; empty where
    none makes it much shorter."""
    spec = RunSpec.model_validate(request.spec)
    entry = catalog.entry("model", spec.model.key)
    if cost.seconds is None or cost.seconds < _LONG_SECONDS or entry is None:
        return ""
    cheaper = min(_halved(request, spec, entry), default=None)
    if cheaper is None or cheaper[0] > _SHARE * cost.seconds:
        return ""
    seconds, change = cheaper
    return f"{change} the training would take ≈ {duration(seconds)}."


def _halved(request: ExperimentRequest, spec: RunSpec, entry: CatalogEntry) -> Iterator[tuple[float, str]]:
    """Yield the seconds of the training with each whole number of the model halved, and the change in words."""
    for param in entry.params:
        value = spec.model.params.get(param.name, param.default)
        if param.type != "int" or param.choices or value is None or value // 2 < max(param.minimum or 1, 1):
            continue
        try:
            cost = price(with_values(request, {f"model.params.{param.name}": value // 2}))
        except ApiError:  # the model has no such size
            continue
        if cost.seconds is not None:
            yield cost.seconds, f"With {escaped(title(param))} {value // 2} instead of {value}"
