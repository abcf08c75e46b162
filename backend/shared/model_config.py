"""The config.json of an exported model: how to build the network of a run again."""

from importlib import metadata

from densitylab.backend.shared.catalog import Catalog, UnknownKey
from densitylab.backend.shared.contracts import ModelConfig, ModelPlugin, Run


class UnknownImages(ValueError):
    """The images of a run's data set are not known, so its network can't be built."""


def model_config(catalog: Catalog, run: Run, weights_sha256: str | None = None) -> ModelConfig:
    """Return the config of a run's model.

    Args:
        catalog: with the registered data sets.
        run: whose model it is.
        weights_sha256: hash of its model.safetensors; None: it is not exported.

    Raises:
        UnknownImages: the data set is not in the catalog any more, or does not state the shape of its images.
    """
    try:
        dataset = catalog.dataset(run.spec.dataset.key, run.spec.dataset.params)
    except UnknownKey:
        raise UnknownImages(
            f"the data set {run.spec.dataset.key!r} of run {run.id} was removed, so the shape of the network's images "
            "is not known: register or install it again under this name"
        ) from None
    if dataset.channels is None or dataset.image_size is None or dataset.num_classes is None:
        raise UnknownImages(f"the data set {dataset.label} does not state the shape of its images and its classes")
    return ModelConfig(
        densitylab_version=metadata.version("densitylab"),
        run=run.id,
        spec_hash=run.provenance.get("spec_hash", ""),
        model=run.spec.model,
        plugin=_plugin(catalog, run),
        channels=dataset.channels,
        image_size=list(dataset.image_size),
        num_classes=dataset.num_classes,
        class_names=list(dataset.class_names),
        mean=list(dataset.mean),
        std=list(dataset.std),
        interface=run.spec.interface,
        weights_sha256=weights_sha256,
    )


def _plugin(catalog: Catalog, run: Run) -> ModelPlugin | None:
    """Return the package of the run's network, with its version at the launch, or else the installed one."""
    name = f"model {run.spec.model.key}"
    for package, used in run.provenance.get("plugins", {}).items():
        if name in used["entries"]:
            return ModelPlugin(package=package, version=used["version"])
    entry = catalog.by_kind["model"].get(run.spec.model.key)
    return None if entry is None or entry.plugin is None else ModelPlugin(**vars(entry.plugin))
