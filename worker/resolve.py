"""From the catalog to callables: the only place that imports a component by its dotted path.

component(catalog, kind, key, params=None) -> Component(entry, function, trainer)
build_model(catalog, key, params, dataset, *, interface=None, weights_follow=False) -> nn.Module
                                                                 Normalise in front, head checked
build_optimizer(catalog, key, params, parameters) -> Optimizer
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import torch

from densitylab.backend.shared.catalog import Catalog, DatasetEntry, Entry, ModelEntry, OptimizerEntry
from densitylab.backend.shared.contracts import ModelInterface
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.models.interface import InputAdapter, SelectClasses
from densitylab.worker.models.normalise import Normalise

E = TypeVar("E", bound=Entry)


class NormalisedLogits(ValueError):
    """The model's head gives normalised logits, so log p(x) is the same for every image."""


@dataclass(frozen=True)
class Component(Generic[E]):
    """A catalog entry made ready to call.

    `function` holds its own parameters; what its kind's signature passes (model, x, generator, ...) is left to the
    caller. `trainer` holds the parameters that the training loop reads, such as `every`.
    """

    entry: E
    function: Callable[..., Any]
    trainer: dict[str, Any]


@overload
def component(catalog: Catalog, kind: type[E], key: str, params: Mapping[str, Any] | None = None) -> Component[E]: ...
@overload
def component(catalog: Catalog, kind: str, key: str, params: Mapping[str, Any] | None = None) -> Component[Entry]: ...
def component(
    catalog: Catalog, kind: type[Entry] | str, key: str, params: Mapping[str, Any] | None = None
) -> Component[Any]:
    """The component `key` of `kind` with `params` bound; parameters not given take the catalog's defaults.

    A parameter of type "component" ({"key", "params"}) arrives as a callable bound in the same way; a data set and a
    run are opened by the job, which passes them in their place.

    Raises:
        UnknownKey: there is no such entry.
        ValueError: a parameter is unknown to the entry.
    """
    entry = catalog.find(kind, key)
    given = dict(params or {})
    unknown = sorted(given.keys() - {param.name for param in entry.params})
    if unknown:
        offered = ", ".join(param.name for param in entry.params) or "none"
        raise ValueError(f"{entry.kind} {key!r} has no parameter {', '.join(unknown)}; it has: {offered}")
    own: dict[str, Any] = {}
    trainer: dict[str, Any] = {}
    for param in entry.params:
        value = given.get(param.name, param.default)
        if param.type == "component" and value is not None:
            value = component(catalog, param.kind or "", value["key"], value.get("params")).function
        (trainer if param.used_by == "trainer" else own)[param.name] = value
    function = load(entry)
    if entry.plugin is not None and entry.kind in _SHAPES and not getattr(entry, "mixes", False):
        function = _shape_checked(function, entry)
    return Component(entry, partial(function, **own), trainer)


# The shape of the answer, from the positional arguments; a wrong one may broadcast and give false numbers
_SHAPES: dict[str, Callable[[tuple[Any, ...]], tuple[int, ...]]] = {
    "attribution": lambda given: tuple(given[1].shape),
    "attack": lambda given: tuple(given[1].shape),
    "regularizer": lambda given: (len(given[1]),),
    "augmentation": lambda given: tuple(given[0].shape),
}


def _shape_checked(function: Callable[..., Any], entry: Entry) -> Callable[..., Any]:
    """Return the function of a plug-in with a check of its answer's shape."""

    def checked(*given: Any, **params: Any) -> Any:
        answer, expected = function(*given, **params), _SHAPES[entry.kind](given)
        if tuple(answer.shape) != expected:
            raise ValueError(f"{entry.kind} {entry.key!r} returned shape {tuple(answer.shape)}; expected {expected}")
        return answer

    return checked


def load_split(entry: DatasetEntry, root: Path, split: str) -> Dataset:
    """Return a split of a prepared data set: by its module's own `load(root, split)` where it has one."""
    from densitylab.worker.datasets import npy_store  # needs NumPy, which models do not

    module = importlib.import_module(entry.path.partition(":")[0])
    return getattr(module, "load", npy_store.load)(root, split)


def load(entry: Entry) -> Callable[..., Any]:
    """The bare callable that an entry's path names."""
    module, _, name = entry.path.partition(":")
    return getattr(importlib.import_module(module), name)


def report(catalog: Catalog) -> dict[str, str | None]:
    """Import every entry's callable; return the entries that another worker may have and this one may lack.

    Returns:
        "kind key" of each entry of a plug-in, each that needs an optional package, and each that cannot be used here:
        with the reason in a sentence, or None where it can be used.
    """
    reasons = {}
    for kind in catalog.by_kind:
        for entry in catalog.all(kind):
            if not entry.has_callable:
                continue
            reason = _why_not(entry)
            if reason is not None or entry.plugin is not None or entry.package is not None:
                reasons[f"{kind} {entry.key}"] = reason
    return reasons


def _why_not(entry: Entry) -> str | None:
    try:
        function = load(entry)
        if not callable(function):
            return f"{entry.path} is not callable"
        if entry.plugin is not None and (reason := _wrong_signature(function, entry)) is not None:
            return reason
        if entry.package is not None and importlib.util.find_spec(entry.package) is None:
            return f"the package {entry.package} is not installed on the worker"
    except (Exception, SystemExit) as error:  # a plug-in's module may fail in any way
        return f"{entry.path} cannot be imported ({type(error).__name__}: {error})"
    return None


def _wrong_signature(function: Callable[..., Any], entry: Entry) -> str | None:
    try:
        accepted = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None  # of a builtin without a signature
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted):
        return None
    names = {parameter.name for parameter in accepted if parameter.kind is not parameter.POSITIONAL_ONLY}
    unknown = [param.name for param in entry.params if param.used_by == "component" and param.name not in names]
    return f"{entry.path} does not take the entry's parameter {unknown[0]!r}" if unknown else None


def build_model(
    catalog: Catalog,
    key: str,
    params: Mapping[str, Any] | None,
    dataset: DatasetEntry,
    *,
    interface: ModelInterface | None = None,
    weights_follow: bool = False,
) -> torch.nn.Module:
    """A new model for a data set's channels, size and classes, with Normalise(mean, std) of the data set in front, or
    with the layers that its interface describes.

    Weights are drawn from torch's global generator: seed it before.

    Args:
        catalog: that has the model.
        key: of the model.
        params: of that model.
        dataset: the data set's catalog entry.
        interface: how images and logits pass between the data set and the network; None: unchanged.
        weights_follow: a checkpoint's weights are loaded next, so none are fetched to begin with.

    Returns:
        A module (N, C, H, W) in [0, 1] -> logits (N, K), on the CPU, in training mode.

    Raises:
        NormalisedLogits: see `check_head`.
        ValueError: the entry does not state the shape of the images.
    """
    if weights_follow:
        first = {param.name for param in catalog.find(ModelEntry, key).params if param.first_weights}
        params = {name: value for name, value in (params or {}).items() if name not in first}
    build = component(catalog, ModelEntry, key, params).function
    if dataset.channels is None or dataset.image_size is None or dataset.num_classes is None:
        raise ValueError(f"the shape of the images of {dataset.label}, or the number of its classes, is not known")
    mean, std = dataset.mean or (0.0,) * dataset.channels, dataset.std or (1.0,) * dataset.channels
    size, outputs = dataset.image_size, dataset.num_classes
    if interface is None:
        model = torch.nn.Sequential(Normalise(mean, std), build(dataset.channels, size, outputs))
    else:
        height, width = interface.image_size or size
        adapter = InputAdapter(
            interface.mean or mean,
            interface.std or std,
            reverse_channels=interface.channel_order == "bgr",
            scale=255 if interface.value_range == "byte" else 1,
            image_size=interface.image_size,
        )
        model = torch.nn.Sequential(adapter, build(dataset.channels, (height, width), interface.outputs or outputs))
        if interface.class_order is not None:
            model.append(SelectClasses(interface.class_order))
    check_head(model, dataset.channels, dataset.image_size)
    return model


def build_optimizer(
    catalog: Catalog, key: str, params: Mapping[str, Any] | None, parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """A new optimizer of the catalog over `parameters`."""
    return component(catalog, OptimizerEntry, key, params).function(parameters)


def check_head(model: torch.nn.Module, channels: int, image_size: tuple[int, int]) -> None:
    """Refuse a head whose logits are normalised, where the marginal-density penalty means nothing.

    After log_softmax logsumexp f(x) = 0 for every x, so ∇ log p(x) = 0 without any robustness; after softmax the
    outputs sum to 1. Both are seen on a few noise images: the sum stays while the outputs differ.

    Raises:
        NormalisedLogits: with what to do.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        return  # without weights it computes nothing
    probe = torch.rand(8, channels, *image_size, generator=torch.Generator().manual_seed(0))
    training = model.training
    model.eval()
    with torch.no_grad():
        outputs = model(probe).double()
    model.train(training)
    spread = (outputs - outputs.mean(dim=0)).abs().max()
    log_sums = torch.logsumexp(outputs, dim=1)
    sums = outputs.sum(dim=1)
    # a relative bound: in float32 the sums of a log_softmax scatter by about 1e-7
    constant_density = spread > 0 and log_sums.std() < 1e-4 * spread
    probabilities = bool((outputs >= 0).all()) and (sums - 1).abs().max() < 1e-4
    if constant_density or probabilities:
        what = "probabilities (a softmax)" if probabilities else "log-probabilities (a log_softmax)"
        raise NormalisedLogits(
            f"the model's head gives {what}: its log density is the same for every image, so its gradient can't be "
            "regularized. Let the model end in a plain linear layer; the loss applies the softmax"
        )
