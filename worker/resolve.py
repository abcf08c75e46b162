"""From the catalog to callables: the only place that imports a component by its dotted path.

    component(kind, key, params=None) -> Component(entry, function, trainer)
    build_model(key, params, dataset: Entry, *, weights_follow=False) -> nn.Module    Normalise in front, head checked
    build_optimizer(key, params, parameters) -> Optimizer
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from backend.shared.catalog import Entry, find
from worker.models.normalise import Normalise


class NormalisedLogits(ValueError):
    """The model's head gives normalised logits, so log p(x) is the same for every image."""


@dataclass(frozen=True)
class Component:
    """A catalog entry made ready to call.

    `function` holds its own parameters; what its kind's signature passes (model, x, generator, ...) is left to the
    caller. `trainer` holds the parameters that the training loop reads, such as `every`.
    """

    entry: Entry
    function: Callable[..., Any]
    trainer: dict[str, Any]


def component(kind: str, key: str, params: Mapping[str, Any] | None = None) -> Component:
    """The component `key` of `kind` with `params` bound; parameters not given take the catalog's defaults.

    A parameter of type "component" ({"key", "params"}) arrives as a callable bound in the same way; a data set and a
    run are opened by the job, which passes them in their place.

    Raises:
        UnknownKey: there is no such entry.
        ValueError: a parameter is unknown to the entry.
    """
    entry = find(kind, key)
    given = dict(params or {})
    unknown = sorted(given.keys() - {param.name for param in entry.params})
    if unknown:
        offered = ", ".join(param.name for param in entry.params) or "none"
        raise ValueError(f"{kind} {key!r} has no parameter {', '.join(unknown)}; it has: {offered}")
    own: dict[str, Any] = {}
    trainer: dict[str, Any] = {}
    for param in entry.params:
        value = given.get(param.name, param.default)
        if param.type == "component" and value is not None:
            value = component(param.kind, value["key"], value.get("params")).function
        (trainer if param.used_by == "trainer" else own)[param.name] = value
    return Component(entry, partial(load(entry), **own), trainer)


def load(entry: Entry) -> Callable[..., Any]:
    """The bare callable that an entry's path names."""
    module, _, name = entry.path.partition(":")
    return getattr(importlib.import_module(module), name)


def build_model(
    key: str, params: Mapping[str, Any] | None, dataset: Entry, *, weights_follow: bool = False
) -> torch.nn.Module:
    """A new model for a data set's channels, size and classes, with Normalise(mean, std) of the data set in front.

    Weights are drawn from torch's global generator: seed it before.

    Args:
        key: of a model in the catalog.
        params: of that model.
        dataset: the data set's catalog entry.
        weights_follow: a checkpoint's weights are loaded next, so none are fetched to begin with.

    Returns:
        A module (N, C, H, W) in [0, 1] -> logits (N, K), on the CPU, in training mode.

    Raises:
        NormalisedLogits: see `check_head`.
    """
    if weights_follow:
        first = {param.name for param in find("model", key).params if param.first_weights}
        params = {name: value for name, value in (params or {}).items() if name not in first}
    build = component("model", key, params).function
    body = build(dataset.channels, dataset.image_size, dataset.num_classes)
    model = torch.nn.Sequential(Normalise(dataset.mean, dataset.std), body)
    check_head(model, dataset.channels, dataset.image_size)
    return model


def build_optimizer(
    key: str, params: Mapping[str, Any] | None, parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """A new optimizer of the catalog over `parameters`."""
    return component("optimizer", key, params).function(parameters)


def check_head(model: torch.nn.Module, channels: int, image_size: tuple[int, int]) -> None:
    """Refuse a head whose logits are normalised, where the marginal-density penalty means nothing.

    After log_softmax logsumexp f(x) = 0 for every x, so ∇ log p(x) = 0 without any robustness; after softmax the
    outputs sum to 1. Both are seen on a few noise images: the sum stays while the outputs differ.

    Raises:
        NormalisedLogits: with what to do.
    """
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
