"""Warnings that a run carries from its launch on: each with the field that it is about, and what would avoid it."""

from densitylab.backend.shared.catalog import Catalog, ModelEntry
from densitylab.backend.shared.contracts import LaunchCaution, RunSpec, pointer
from densitylab.backend.shared.specs.complete import COMPONENTS
from densitylab.backend.shared.specs.params import lookup

SMALLEST_WEIGHT = 2.0**-126  # normal numbers of float32, in which penalties are computed


def cautions(catalog: Catalog, spec: RunSpec) -> list[LaunchCaution]:
    """Return the warnings that a run of this spec carries."""
    data = spec.model_dump()
    return [*_tiny_weight(spec.lambda_), *_lost_layers(catalog, spec)] + [
        LaunchCaution(key=caution.flag, text=caution.text, pointer=_pointer(kind, list(caution.when)))
        for kind in COMPONENTS
        for caution in catalog.find(kind, data[kind]["key"]).cautions
        if all(lookup(data, path) in values for path, values in caution.when.items())
    ]


def _pointer(kind: str, paths: list[str]) -> str:
    """Return the pointer to the first field of the component that a caution depends on; else to the component."""
    path = next((path for path in paths if path.startswith(f"{kind}.")), f"{kind}.key")
    return "/spec" + pointer(*path.split("."))


def _lost_layers(catalog: Catalog, spec: RunSpec) -> list[LaunchCaution]:
    """Return a warning if pretrained weights do not fill the whole network at this image size."""
    model, dataset = catalog.find(ModelEntry, spec.model.key), catalog.dataset(spec.dataset.key, spec.dataset.params)
    own = spec.interface.image_size if spec.interface else None
    size = own or dataset.image_size
    wanted = model.pretrained_image_size
    value: int | list[int] | None
    begins = any(param.first_weights and spec.model.params.get(param.name) for param in model.params)
    if not begins or wanted is None or size is None or min(size) >= wanted:
        return []
    if dataset.sized_by is not None and own is None:
        path, value = f"dataset.params.{dataset.sized_by}", wanted
        how = f"the data set's {dataset.sized_by} = {wanted} or more"
    else:
        path, value = "interface.image_size", [wanted, wanted]
        how = f"the spec's interface.image_size = [{wanted}, {wanted}], which enlarges them for the network"
    text = (
        f"At {size[0]}×{size[1]} pixels the first layer of {model.label} is another than the pretrained one and begins "
        f"at random; the pretrained one is kept from {wanted} pixels a side. Next: images of at least "
        f"{wanted}×{wanted} pixels, such as by {how}; or pretrained off."
    )
    return [
        LaunchCaution(
            key="pretrained_layers_lost", text=text, pointer="/spec" + pointer(*path.split(".")), remedy={path: value}
        )
    ]


def _tiny_weight(lambda_: float) -> list[LaunchCaution]:
    if lambda_ == 0 or lambda_ >= SMALLEST_WEIGHT:
        return []
    text = (
        f"λ = {lambda_:g} is below {SMALLEST_WEIGHT:.2g}, the smallest normal number in single precision: the penalty "
        "has no effect, and the run trains as one without regularization. Next: λ = 0, or a larger λ."
    )
    return [LaunchCaution(key="lambda_without_effect", text=text, pointer="/spec/lambda_", remedy={"lambda_": 0.0})]
