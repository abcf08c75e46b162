"""Complete specs: check every field of a request against the catalog, and fill in every default."""

from typing import Any

from pydantic import ValidationError

from densitylab.backend.shared.catalog import AugmentationEntry, Catalog, DatasetEntry, Entry, ModelEntry
from densitylab.backend.shared.contracts import Component, EvaluationSpec, FieldError, Flag, RunSpec, violations
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.specs.compatibility import check_evaluations, check_together
from densitylab.backend.shared.specs.params import complete_params, lookup

SMALLEST_WEIGHT = 2.0**-126  # normal numbers of float32, in which penalties are computed
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
        entry, part.params = complete_params(catalog, kind, part.key, part.params, f"{at}/{kind}", errors)
        if entry:
            entries[kind] = entry
        if isinstance(entry, DatasetEntry):
            entries[kind] = dataset = entry.sized(part.params)
        if isinstance(entry, AugmentationEntry) and entry.mixes and entry.param("first"):
            _complete_first(catalog, part.params, dataset, f"{at}/{kind}/params/first", errors)
    check_evaluations(catalog, spec.evaluations, dataset, spec.model, f"{at}/evaluations", errors)
    if not any((item.key, item.split) == ("accuracy", "test") for item in spec.evaluations):
        # Always evaluated; put in front after the check, so that pointers keep the request's positions
        spec.evaluations.insert(0, EvaluationSpec(key="accuracy", name="accuracy"))
    check_together(spec, entries, at, errors)
    if errors:
        raise InvalidRequest(errors)
    return spec


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


def _lost_layers(catalog: Catalog, spec: RunSpec) -> list[Flag]:
    """Return a warning if pretrained weights do not fill the whole network at this image size."""
    model, dataset = catalog.find(ModelEntry, spec.model.key), catalog.dataset(spec.dataset.key, spec.dataset.params)
    size = (spec.interface and spec.interface.image_size) or dataset.image_size
    wanted = model.pretrained_image_size
    begins = any(param.first_weights and spec.model.params.get(param.name) for param in model.params)
    if not begins or wanted is None or size is None or min(size) >= wanted:
        return []
    text = (
        f"At {size[0]}×{size[1]} pixels the first layer of {model.label} is another than the pretrained one and begins "
        f"at random; the pretrained one is kept from {wanted} pixels a side. Next: images of at least {wanted}×{wanted}"
        f" pixels, such as by the spec's interface.image_size = [{wanted}, {wanted}], or pretrained off."
    )
    return [Flag(key="pretrained_layers_lost", text=text)]


def _tiny_weight(lambda_: float) -> list[Flag]:
    if lambda_ == 0 or lambda_ >= SMALLEST_WEIGHT:
        return []
    text = (
        f"λ = {lambda_:g} is below {SMALLEST_WEIGHT:.2g}, the smallest normal number in single precision: the penalty "
        "has no effect, and the run trains as one without regularization. Next: λ = 0, or a larger λ."
    )
    return [Flag(key="lambda_without_effect", text=text)]


def cautions(catalog: Catalog, spec: RunSpec) -> list[Flag]:
    """Return the warnings that a run of this spec carries."""
    data = spec.model_dump()
    return [*_tiny_weight(spec.lambda_), *_lost_layers(catalog, spec)] + [
        Flag(key=caution.flag, text=caution.text)
        for kind in COMPONENTS
        for caution in catalog.find(kind, data[kind]["key"]).cautions
        if all(lookup(data, path) in values for path, values in caution.when.items())
    ]
