"""Complete specs: check every field of a request against the catalog, and fill in every default."""

from typing import Any

from pydantic import ValidationError

from densitylab.backend.shared.catalog import (
    AugmentationEntry,
    Catalog,
    DatasetEntry,
    Entry,
    EvaluationEntry,
    ModelEntry,
)
from densitylab.backend.shared.contracts import Component, EvaluationSpec, FieldError, RunSpec, violations
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.specs.compatibility import check_evaluations, check_together
from densitylab.backend.shared.specs.params import complete_params

COMPONENTS = ("dataset", "model", "regularizer", "schedule", "optimizer", "lr_schedule", "augmentation", "algorithm")


def complete(catalog: Catalog, raw: dict[str, Any], at: str = "/spec") -> RunSpec:
    """Return the spec with every default filled in. Raises InvalidRequest, which names each wrong field below `at`."""
    try:
        spec = RunSpec.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequest(violations(error, at)) from None
    errors: list[FieldError] = []
    entries: dict[str, Entry] = {}
    dataset: DatasetEntry | None = None
    for kind in COMPONENTS:
        if kind == "augmentation" and spec.augmentation is None:
            spec.augmentation = Component(key=dataset.augmentation if dataset else "none")
        part = getattr(spec, kind)
        if kind == "optimizer" and isinstance(model := entries.get("model"), ModelEntry):
            part.params = _recommended(model, part.key) | part.params
        entry, part.params = complete_params(catalog, kind, part.key, part.params, f"{at}/{kind}", errors)
        if entry:
            entries[kind] = entry
        if isinstance(entry, DatasetEntry):
            entries[kind] = dataset = entry.sized(part.params)
        if isinstance(entry, AugmentationEntry) and entry.mixes and entry.param("first"):
            _complete_first(catalog, part.params, dataset, f"{at}/{kind}/params/first", errors)
    if dataset is not None and "evaluations" not in raw and not dataset.has_mask:  # the defaults that it has images for
        spec.evaluations = [item for item in spec.evaluations if not catalog.find(EvaluationEntry, item.key).needs_mask]
    check_evaluations(catalog, spec.evaluations, dataset, spec.model, f"{at}/evaluations", errors)
    if not any((item.key, item.split) == ("accuracy", "test") for item in spec.evaluations):
        # Always evaluated; put in front after the check, so that pointers keep the request's positions
        spec.evaluations.insert(0, EvaluationSpec(key="accuracy", name="accuracy"))
    check_together(spec, entries, at, errors)
    if errors:
        raise InvalidRequest(errors)
    return spec


def _recommended(model: ModelEntry, optimizer: str) -> dict[str, Any]:
    """Return the learning rate that the model's entry recommends with the optimizer, if there is one."""
    rate = (model.learning_rates or {}).get(optimizer)
    return {} if rate is None else {"lr": rate}


def _complete_first(
    catalog: Catalog, params: dict[str, Any], dataset: DatasetEntry | None, at: str, errors: list[FieldError]
) -> None:
    """Fill in the augmentation before images are mixed, the data set's unless the spec has another; check it."""
    first = params["first"]
    if first is None:
        key = dataset.augmentation if dataset else "none"
        params["first"] = {"key": key, "params": complete_params(catalog, "augmentation", key, {}, at, errors)[1]}
    elif isinstance(first, dict) and getattr(catalog.by_kind["augmentation"].get(first["key"]), "mixes", False):
        detail = f"expected an augmentation of single images, got {first['key']}, which mixes them itself"
        errors.append(FieldError(pointer=f"{at}/key", detail=detail))
