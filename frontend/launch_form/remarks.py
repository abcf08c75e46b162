"""Warnings about a launch that the page finds itself; those of the API follow them."""

from collections.abc import Iterator
from dataclasses import dataclass

from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.launch_form.attack_epsilon import attack_defaults, attacking, in_linf, training_defaults
from densitylab.frontend.launch_form.sweeps import form_plan


@dataclass(frozen=True)
class Remark:
    """A warning of a launch, its field, and values by dotted path in the spec that avoid it."""

    text: str
    pointer: str
    remedy: dict[str, object] | None = None


def size_remarks(request: ExperimentRequest, catalog: Catalog) -> Iterator[Remark]:
    """Yield a warning for each number that is larger than the training set."""
    spec = form_plan(request).spec
    dataset = catalog.entry("dataset", spec["dataset"]["key"])
    if dataset is None or dataset.train_size is None:
        return
    size, wanted, batch = dataset.train_size, spec["train_samples"], spec["batch_size"]
    if wanted is not None and wanted > size:
        yield Remark(
            f"{wanted:,} training images are more than the {size:,} of the data set: all of these are used.",
            "/spec/train_samples",
        )
    used = size if wanted is None else min(wanted, size)
    if batch > used:
        yield Remark(
            f"A batch of {batch:,} is larger than the training set: each step takes all {used:,} images.",
            "/spec/batch_size",
        )


def radius_remarks(request: ExperimentRequest, catalog: Catalog) -> Iterator[Remark]:
    """Yield a warning for each component that attacks in training with a radius that no L∞ attack is evaluated at."""
    plan = form_plan(request)
    evaluated: dict[float, str] = {}  # labels of the attacks
    for item in plan.spec["evaluations"]:
        if (attack := catalog.entry("evaluation", item["key"])) is not None:
            for name in attack_defaults(attack, 0.0):
                evaluated |= dict.fromkeys(item["params"].get(name, ()), attack.label)
    if not evaluated:
        return
    first, radii = next(iter(evaluated)), ", ".join(f"{value:.4g}" for value in evaluated)
    for kind, component, at in attacking(plan.spec, plan.methods):
        entry, params = catalog.entry(kind, component["key"]), component["params"]
        if entry is None or not in_linf(params):
            continue
        for name in training_defaults(entry, 0.0):
            radius = params.get(name)
            if radius is not None and radius not in evaluated:
                yield Remark(
                    f"ε = {radius:.4g} in training, {radii} in evaluations: {entry.label}, {evaluated[first]}.",
                    f"{at}/params/{name}",
                    {f"{kind}.params.{name}": first} if at.startswith("/spec") else None,
                )


def shares_baseline(request: ExperimentRequest) -> bool:
    """Return whether λ = 0 is trained for several regularizers at once."""
    plan = form_plan(request)
    return bool(plan.methods) and 0 in plan.grid["lambda_"]
