"""Checks of components against each other: data set, model, regularizer, evaluations."""

from collections.abc import Iterator
from math import prod
from typing import Any

from densitylab.backend.shared.catalog import (
    AlgorithmEntry,
    AttributionEntry,
    Catalog,
    DatasetEntry,
    Entry,
    EvaluationEntry,
    ModelEntry,
    RegularizerEntry,
    UnknownKey,
)
from densitylab.backend.shared.contracts import Component, EvaluationSpec, FieldError, ModelInterface, RunSpec
from densitylab.backend.shared.specs.params import complete_params

MAX_GROUPS = 500  # of the label crossed with attributes


def check_evaluations(
    catalog: Catalog,
    evaluations: list[EvaluationSpec],
    dataset: DatasetEntry | None,
    model: Component,
    at: str,
    errors: list[FieldError],
) -> None:
    """Check evaluations and fill in their names and parameters in place; wrong fields are added to `errors`."""
    names: set[str] = set()
    for index, item in enumerate(evaluations):
        here = f"{at}/{index}"
        entry, item.params = complete_params(catalog, "evaluation", item.key, item.params, here, errors)
        item.name = item.name or item.default_name
        if item.name in names:
            errors.append(FieldError(pointer=f"{here}/name", detail=f"{item.name!r} is named twice in this run"))
        if item.name == "accuracy" and (item.key, item.split) != ("accuracy", "test"):
            errors.append(
                FieldError(pointer=f"{here}/name", detail="'accuracy' names the accuracy on test images alone")
            )
        names.add(item.name)
        if isinstance(entry, EvaluationEntry) and dataset:
            errors.extend(_impossible(catalog, entry, item.params, dataset, model, here))
            if entry.needs_corruptions and item.split != "test":
                detail = f"{entry.label} is of test images, since corruptions are published for those alone"
                errors.append(FieldError(pointer=f"{here}/split", detail=detail))


def _impossible(
    catalog: Catalog, entry: EvaluationEntry, params: dict[str, Any], dataset: DatasetEntry, model: Component, at: str
) -> Iterator[FieldError]:
    """Yield an error for everything that the evaluation needs and this data set or model does not have."""
    needs = (
        (entry.needs_mask, dataset.has_mask, "a mask"),
        (entry.needs_groups, dataset.has_groups or _names_attributes(entry, params), "groups"),
        (entry.needs_corruptions, dataset.corruptions is not None, "published corruptions"),
    )
    for needed, given, what in needs:
        if needed and not given:
            yield FieldError(
                pointer=f"{at}/key", detail=f"{entry.label} needs {what}, which {dataset.label} does not have"
            )
    for param in entry.params:
        value = params.get(param.name)
        if param.type == "attributes" and isinstance(value, list):
            yield from _wrong_attributes(value, dataset, f"{at}/params/{param.name}")
        if param.type != "component" or value is None:
            continue
        try:
            chosen = catalog.find(param.kind or "", value["key"])
        except (LookupError, TypeError):
            continue  # said already
        if isinstance(chosen, AttributionEntry):
            given = value.get("params")
            reason = incompatibility(catalog, chosen, given if isinstance(given, dict) else {}, model, dataset)
            if reason is not None:
                yield FieldError(pointer=f"{at}/params/{param.name}/key", detail=reason)
        if not isinstance(chosen, DatasetEntry):
            continue
        chosen = chosen.sized(value.get("params", {}))
        if param.resized_by is not None and params.get(param.resized_by) is None and chosen.shape != dataset.shape:
            yield FieldError(
                pointer=f"{at}/params/{param.resized_by}",
                detail=f"{chosen.label} has images of another shape than {dataset.label} ({_shape(chosen)} against "
                f"{_shape(dataset)}): state how to resize them",
            )


def _names_attributes(entry: EvaluationEntry, params: dict[str, Any]) -> bool:
    """Return whether the request itself says which attributes make the groups."""
    return any(param.type == "attributes" and params.get(param.name) for param in entry.params)


def _wrong_attributes(names: list[Any], dataset: DatasetEntry, at: str) -> Iterator[FieldError]:
    """Yield an error for each attribute that the data set does not have, and for too many groups."""
    values = {attribute.name: len(attribute.values) for attribute in dataset.attributes}
    for index, name in enumerate(names):
        if name not in values:
            offered = ", ".join(values) or "none"
            detail = f"{dataset.label} has the attributes {offered}; got {name!r}"
            yield FieldError(pointer=f"{at}/{index}", detail=detail)
    groups = (dataset.num_classes or 1) * prod(values.get(name, 1) for name in names)
    if groups > MAX_GROUPS:
        detail = f"expected at most {MAX_GROUPS} groups, the label and these attributes give {groups:,}: cross fewer"
        yield FieldError(pointer=at, detail=detail)


def _shape(dataset: DatasetEntry) -> str:
    height, width = dataset.image_size or (0, 0)
    return f"{dataset.channels} × {height} × {width}"


def incompatibility(
    catalog: Catalog,
    attribution: AttributionEntry,
    params: dict[str, Any],
    model: Component,
    images: DatasetEntry,
) -> str | None:
    """Return why the attribution method cannot be used with the model or its images; None where it can."""
    try:
        entry = catalog.find(ModelEntry, model.key)
    except UnknownKey:
        return None  # no longer on offer
    window, stride = (params.get(name) for name in (attribution.window or "", attribution.stride or ""))
    if isinstance(window, int) and isinstance(stride, int) and images.image_size:
        side = min(images.image_size)
        if not stride <= window <= side:
            return (
                f"{attribution.label} needs {attribution.stride} ≤ {attribution.window} ≤ {side}, the shorter side of "
                f"{images.label}; got {attribution.stride} {stride} and {attribution.window} {window}"
            )
    if attribution.needs_convolutions and not entry.has_convolutions:
        return f"{attribution.label} needs a model with convolutions, which {entry.label} has not"
    mixed = entry.multivariate
    if attribution.needs_univariate and mixed is not None and _all_in(model.params, mixed):
        cause = " and ".join(f"{name} {model.params[name]}" for name in mixed)
        return (
            f"{attribution.label} is defined for activations and max pooling alone, and {entry.label} has other "
            f"non-linear operations{f' with {cause}' if cause else ''}"
        )
    activation = model.params.get("activation")
    if attribution.needs_activation and activation is not None and activation not in attribution.needs_activation:
        return (
            f"{attribution.label} needs the activation {' or '.join(attribution.needs_activation)}; the model has "
            f"{activation}"
        )
    return None


def check_together(spec: RunSpec, entries: dict[str, Entry], at: str, errors: list[FieldError]) -> None:
    """Check the parts of a spec against each other; wrong fields are added to `errors`."""
    dataset, model, regularizer = entries.get("dataset"), entries.get("model"), entries.get("regularizer")
    if isinstance(dataset, DatasetEntry):
        if dataset.shape is None or dataset.num_classes is None:
            detail = f"{dataset.label} does not state its image size, channels and number of classes"
            errors.append(FieldError(pointer=f"{at}/dataset/key", detail=detail))
        if isinstance(model, ModelEntry) and dataset.image_size:
            size = spec.interface.image_size if spec.interface else None
            height, width = size or dataset.image_size
            _check_image_size(spec, dataset, (height, width), model, at, errors)
        if spec.interface is not None:
            errors.extend(_wrong_interface(spec.interface, dataset, f"{at}/interface"))
        _check_dataset(spec, dataset, at, errors)
        errors.extend(_without_groups(spec, dataset, entries.get("algorithm"), at))
    algorithm = entries.get("algorithm")
    if isinstance(algorithm, AlgorithmEntry):
        errors.extend(_wrong_algorithm(spec, algorithm, at))
    if isinstance(regularizer, RegularizerEntry):
        if spec.compile and spec.lambda_:
            _check_compile(spec, regularizer, at, errors)
        if isinstance(dataset, DatasetEntry) and "masks" in regularizer.uses and not dataset.has_mask:
            detail = f"{regularizer.label} needs a mask, which {dataset.label} does not have"
            errors.append(FieldError(pointer=f"{at}/regularizer/key", detail=detail))
        largest = regularizer.largest_lambda
        if largest is not None and spec.lambda_ > largest:
            detail = (
                f"expected at most {largest:g} with {regularizer.label}, got {spec.lambda_:g}: the penalty is the loss "
                "on changed images less that on clean ones, so a larger λ would maximise the loss on clean images"
            )
            errors.append(FieldError(pointer=f"{at}/lambda_", detail=detail))
    if spec.compile and spec.activation_checkpointing:
        detail = "torch.compile decides itself what to compute again: leave activation_checkpointing or compile off"
        errors.append(FieldError(pointer=f"{at}/activation_checkpointing", detail=detail))
    if spec.activation_checkpointing and spec.lambda_ and isinstance(regularizer, RegularizerEntry):
        errors.extend(_wrong_checkpointing(spec, regularizer, at))
    if spec.gradient_accumulation > spec.batch_size:
        detail = f"expected at most batch_size, {spec.batch_size}; got {spec.gradient_accumulation}"
        errors.append(FieldError(pointer=f"{at}/gradient_accumulation", detail=detail))


def _check_image_size(
    spec: RunSpec, dataset: DatasetEntry, size: tuple[int, int], model: ModelEntry, at: str, errors: list[FieldError]
) -> None:
    height, width = size
    if model.min_image_size and min(size) < model.min_image_size:
        errors.append(
            FieldError(
                pointer=f"{at}/model/key",
                detail=f"{model.label} needs images of at least {model.min_image_size} pixels a side; "
                f"{dataset.label} has {height}×{width}",
            )
        )
    if model.side_multiple_of:
        divisor = spec.model.params.get(model.side_multiple_of)
        if isinstance(divisor, int) and divisor > 0 and (height % divisor or width % divisor):
            errors.append(
                FieldError(
                    pointer=f"{at}/model/params/{model.side_multiple_of}",
                    detail=f"expected a divisor of both sides of {dataset.label}, {height}×{width} pixels; "
                    f"got {divisor}",
                )
            )


def _wrong_interface(interface: ModelInterface, dataset: DatasetEntry, at: str) -> Iterator[FieldError]:
    """Yield an error for every part of an interface that does not fit the data set."""
    for name in ("mean", "std"):
        values = getattr(interface, name)
        if values is not None and dataset.channels is not None and len(values) != dataset.channels:
            detail = f"expected one number for each of {dataset.label}'s {dataset.channels} channels; got {len(values)}"
            yield FieldError(pointer=f"{at}/{name}", detail=detail)
    if interface.std is not None and min(interface.std) <= 0:
        yield FieldError(pointer=f"{at}/std", detail=f"expected numbers above 0; got {min(interface.std):g}")
    if interface.image_size is not None and not all(1 <= side <= 4096 for side in interface.image_size):
        yield FieldError(pointer=f"{at}/image_size", detail="expected a height and a width of 1 to 4096 pixels")
    classes = dataset.num_classes or 0
    outputs = interface.outputs or classes
    order = interface.class_order
    if order is None:
        if outputs != classes:
            detail = f"expected the output of each of {dataset.label}'s {classes} classes among the {outputs} outputs"
            yield FieldError(pointer=f"{at}/class_order", detail=detail)
        return
    if len(order) != classes:
        detail = f"expected one output for each of {dataset.label}'s {classes} classes; got {len(order)}"
        yield FieldError(pointer=f"{at}/class_order", detail=detail)
    elif len(set(order)) != len(order):
        yield FieldError(pointer=f"{at}/class_order", detail="expected another output for each class")
    elif max(order) >= outputs:
        detail = f"expected numbers below {outputs}, the number of the network's outputs; got {max(order)}"
        yield FieldError(pointer=f"{at}/class_order", detail=detail)


def _check_dataset(spec: RunSpec, dataset: DatasetEntry, at: str, errors: list[FieldError]) -> None:
    if dataset.train_size and spec.train_samples and spec.train_samples > dataset.train_size:
        errors.append(
            FieldError(
                pointer=f"{at}/train_samples",
                detail=f"expected at most {dataset.train_size}, the training images of {dataset.label}; "
                f"got {spec.train_samples}",
            )
        )


def _without_groups(spec: RunSpec, dataset: DatasetEntry, algorithm: Entry | None, at: str) -> Iterator[FieldError]:
    """Yield an error for every part of a spec that needs groups which the data set does not have."""
    if dataset.has_groups:
        return
    lacking = f"needs groups, which {dataset.label} does not have"
    if spec.sampling == "group_balanced":
        yield FieldError(pointer=f"{at}/sampling", detail=f"group_balanced {lacking}")
    if spec.early_stop is not None and spec.early_stop.metric == "validation_worst_group":
        yield FieldError(pointer=f"{at}/early_stop/metric", detail=f"validation_worst_group {lacking}")
    if isinstance(algorithm, AlgorithmEntry) and algorithm.needs_groups_if is not None:
        params = spec.algorithm.params
        if _all_in(params, algorithm.needs_groups_if):
            deciding = next(iter(algorithm.needs_groups_if), None)
            cause = f" with {deciding} {params[deciding]!r}" if deciding else ""
            where = f"params/{deciding}" if deciding else "key"
            yield FieldError(pointer=f"{at}/algorithm/{where}", detail=f"{algorithm.label}{cause} {lacking}")


def _wrong_algorithm(spec: RunSpec, algorithm: AlgorithmEntry, at: str) -> Iterator[FieldError]:
    """Yield an error for every part of a spec that the algorithm does not go with."""
    params = spec.algorithm.params
    if algorithm.draws is not None and _all_in(params, algorithm.draws) and spec.sampling != "shuffled":
        detail = f"{algorithm.label} draws the images itself here: expected 'shuffled', got {spec.sampling!r}"
        yield FieldError(pointer=f"{at}/sampling", detail=detail)
    first = params.get(algorithm.first_stage) if algorithm.first_stage else None
    if isinstance(first, int) and first >= spec.epochs:
        detail = (
            f"expected fewer than the {spec.epochs} epochs of the run, of which the first stage is a part; got {first}"
        )
        yield FieldError(pointer=f"{at}/algorithm/params/{algorithm.first_stage}", detail=detail)


def _check_compile(spec: RunSpec, regularizer: RegularizerEntry, at: str, errors: list[FieldError]) -> None:
    when = regularizer.double_backward
    if when is None or not _all_in(spec.regularizer.params, when):
        return
    errors.append(
        FieldError(
            pointer=f"{at}/compile",
            detail=f"torch.compile refuses double backward, by which {regularizer.label} is computed here: "
            + "; ".join([*_alternatives(regularizer, when), "or leave compile off"]),
        )
    )


def _wrong_checkpointing(spec: RunSpec, regularizer: RegularizerEntry, at: str) -> Iterator[FieldError]:
    """Yield an error for a penalty by forward mode, whose forward pass cannot be computed again."""
    when = regularizer.forward_mode
    if when is not None and _all_in(spec.regularizer.params, when):
        detail = f"{regularizer.label} takes a forward pass by forward mode here, which cannot be computed again: "
        ways = [*_alternatives(regularizer, when), "or leave activation_checkpointing off"]
        yield FieldError(pointer=f"{at}/activation_checkpointing", detail=detail + "; ".join(ways))


def _alternatives(regularizer: RegularizerEntry, when: dict[str, tuple[Any, ...]]) -> list[str]:
    """Return which other values the parameters of a fact may take, a text for each parameter."""
    return [
        f"take {name} {' or '.join(str(choice) for choice in param.choices if choice not in values)}"
        for name, values in when.items()
        if (param := regularizer.param(name))
    ]


def _all_in(params: dict[str, Any], when: dict[str, tuple[Any, ...]]) -> bool:
    return all(params.get(name) in values for name, values in when.items())
