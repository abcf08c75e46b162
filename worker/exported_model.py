"""Networks of exported models: built from config.json, filled from model.safetensors. No code of a file is run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file

from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, ModelEntry, UnknownKey
from densitylab.backend.shared.contracts import FieldError, ModelConfig
from densitylab.worker import resolve
from densitylab.worker.errors import out_of_memory
from densitylab.worker.importing.errors import BadModelFile
from densitylab.worker.importing.weights import require_numbers, require_types

Shapes = Mapping[str, tuple[int, ...]]
MAX_SIDE = 4096  # pixels
_NAMED = 3  # weights in a sentence
_HEADER_BYTES = 2**20  # of model.safetensors, beside the weights


class UnusableModel(ValueError):
    """An exported model that cannot be loaded; the message says why, and what to do."""


def build(config: ModelConfig) -> torch.nn.Module:
    """Return the network of a config.json with new weights, in training mode on the CPU.

    Raises:
        UnusableModel: the catalog has no such network or parameters, its plug-in is not installed, or it can't be
            built.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        return _build(config)


def shapes(config: ModelConfig) -> Shapes:
    """Return the names and shapes of the network's weights and buffers, without memory for them where it can be built
    so. Raises UnusableModel as `build` does."""
    try:
        with torch.device("meta"):
            model = _build(config)
    except (NotImplementedError, RuntimeError):  # a network that computes with its weights while it is built
        model = build(config)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def largest_file(expected: Shapes) -> int:
    """Return the bytes that model.safetensors can have for these weights."""
    return _HEADER_BYTES + sum(8 * torch.Size(shape).numel() + 200 for shape in expected.values())


def read(config: ModelConfig, weights: Path) -> torch.nn.Module:
    """Return the network with the weights of a safetensors file, in eval mode on the CPU.

    Raises:
        UnusableModel: as `build` does, or the file is damaged or belongs to another network.
    """
    expected = shapes(config)
    if weights.stat().st_size > largest_file(expected):
        raise UnusableModel("model.safetensors is larger than the network of config.json can be")
    _require_same(expected, _shapes_in(weights))
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if config.weights_sha256 not in (None, digest):
        raise UnusableModel(
            "model.safetensors does not agree with the SHA-256 in config.json: one of them was changed or damaged"
        )
    model = build(config)
    try:
        tensors = load_file(weights)
    except Exception as error:
        if out_of_memory(error):
            raise
        raise UnusableModel(f"model.safetensors is damaged or not a safetensors file: {error}") from error
    try:
        require_numbers(tensors.items())
        require_types(tensors, model.state_dict())
    except BadModelFile as error:
        raise UnusableModel(f"model.safetensors can't be loaded: {error}") from error
    model.load_state_dict(tensors)
    return model.eval()


def _build(config: ModelConfig) -> torch.nn.Module:
    catalog = Catalog.installed()
    errors: list[FieldError] = []
    params = specs.complete_params(
        catalog, ModelEntry.kind, _entry(catalog, config).key, config.model.params, "/model", errors
    )[1]
    if errors:
        raise UnusableModel(f"config.json, {errors[0].pointer}: {errors[0].detail}")
    if not all(1 <= side <= MAX_SIDE for side in config.image_size):
        raise UnusableModel(f"config.json, /image_size: expected two sides of 1 to {MAX_SIDE} pixels")
    dataset = DatasetEntry(
        "images",
        "the exported model",
        "",
        path="",  # of the data, which is not read
        num_classes=config.num_classes,
        channels=config.channels,
        image_size=(config.image_size[0], config.image_size[1]),
        mean=tuple(config.mean),
        std=tuple(config.std),
    )
    try:
        return resolve.build_model(
            catalog, config.model.key, params, dataset, interface=config.interface, weights_follow=True
        )
    except (ValueError, ImportError) as error:
        raise UnusableModel(f"the network of config.json can't be built: {error}") from error
    except RuntimeError as error:
        if out_of_memory(error):
            raise UnusableModel("the network of config.json does not fit into memory") from error
        raise


def _entry(catalog: Catalog, config: ModelConfig) -> ModelEntry:
    """Return the catalog's entry of the network, of the plug-in that config.json names."""
    wanted = None if config.plugin is None else config.plugin.package
    try:
        entry = catalog.find(ModelEntry, config.model.key)
    except UnknownKey as error:
        if config.plugin is None:
            raise UnusableModel(f"config.json, /model/key: {error}") from None
        raise UnusableModel(
            f"the network {config.model.key!r} is of the plug-in {wanted} {config.plugin.version}, which is not "
            "installed here: install that package if you trust it, then load the model again"
        ) from None
    installed = None if entry.plugin is None else entry.plugin.package
    if installed != wanted:
        raise UnusableModel(
            f"the network {config.model.key!r} is here of {installed or 'DensityLab itself'}, and the exported model's "
            f"of {wanted or 'DensityLab itself'}"
        )
    return entry


def _shapes_in(weights: Path) -> Shapes:
    """Return the names and shapes of a safetensors file, whose header is checked and whose weights are not read."""
    try:
        with safetensors.safe_open(weights, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise UnusableModel(f"model.safetensors is damaged or not a safetensors file: {error}") from error


def _require_same(expected: Shapes, present: Shapes) -> None:
    missing = [name for name in expected if name not in present]
    unexpected = [name for name in present if name not in expected]
    other = [
        f"{name} {_shape(present[name])} instead of {_shape(expected[name])}"
        for name in expected
        if name in present and present[name] != expected[name]
    ]
    for what, names in (("lacks", missing), ("also has", unexpected), ("has", other)):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            raise UnusableModel(
                f"model.safetensors does not fit the network of config.json: it {what} "
                f"{', '.join(names[:_NAMED])}{more}"
            )


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"
