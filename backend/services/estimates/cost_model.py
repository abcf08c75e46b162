"""Estimates of time and memory from the costs in catalog entries, for runs whose like has not been timed yet.

A plain step is three passes through the network: forward, and backward by activations and by weights. A pass of one
image takes the network's multiplications, of which one core of a present x86 CPU makes about 60 thousand million a
second with torch (30 to 80), and the time to read and write its activations, which is most of it in narrow networks. A
step takes time for a batch of any size: each pass for its calls, and the optimizer for each parameter. So these times
are right within a factor of about two on a CPU, and do not apply to a GPU. tests/backend/services/test_cost_model.py
compares the costs with the real networks, and benchmarks/step_estimates.py the times.
"""

import math
from contextlib import suppress
from typing import Any

from densitylab.backend.shared.catalog import (
    AttributionEntry,
    Catalog,
    DatasetEntry,
    EvaluationCost,
    EvaluationEntry,
    NetworkCost,
    PenaltyCost,
    PerturbationEntry,
    RegularizerEntry,
)
from densitylab.backend.shared.catalog.cost import PLAIN_COPIES, PLAIN_PASSES, Shape

MULTIPLICATIONS_PER_SECOND = 60e9  # of one CPU core
ACTIVATION_SECONDS = 6e-9  # of a pass, for each number that the network keeps
PASS_SECONDS = 0.2e-3  # of a pass, for its calls
EVALUATION_BATCH = 250  # images of a pass of an evaluation
OPERATION_SECONDS = 1e-9  # of an evaluation's operation on a number of an image
PARAMETER_SECONDS = 6e-9  # of a step: gradients are written, and Adam reads and writes four arrays
_GRADIENT = 2  # a forward and a backward pass
FORMULA = (
    "4 bytes × (4 × parameters, once more for averaged weights and once more for those that early stop keeps, "
    "+ batch size × activations of an image × copies)"
)


def passes(regularizer: RegularizerEntry, params: dict[str, Any], lambda_: float) -> float | None:
    """Return the mean passes of a step; None where the penalty's cost is not known.

    A penalty with λ = 0 costs nothing, and one at every n-th step a share of n.
    """
    if not lambda_:
        return PLAIN_PASSES
    cost = _penalty(regularizer, params)
    return None if cost is None else PLAIN_PASSES + (cost.passes - PLAIN_PASSES) / max(1, params.get("every", 1))


def step_seconds(network: NetworkCost, passes: float, batch: int, cores: float) -> float:
    """Return the time of a step on so many cores: a part for every step, and a part for each image. A run that shares
    its cores with others has less than one."""
    fixed = passes * PASS_SECONDS + network.parameters * PARAMETER_SECONDS
    return fixed / min(1.0, cores) + batch * passes * pass_seconds(network, cores)


def pass_seconds(network: NetworkCost, cores: float) -> float:
    """Return the time that one image adds to a pass on so many cores."""
    on_one = network.multiplications / MULTIPLICATIONS_PER_SECOND + network.activations * ACTIVATION_SECONDS
    return on_one / cores


def copies(regularizer: RegularizerEntry, params: dict[str, Any], lambda_: float) -> float | None:
    """Return how often a step holds the activations at its peak; None where the penalty's cost is not known."""
    if not lambda_:
        return PLAIN_COPIES
    cost = _penalty(regularizer, params)
    return None if cost is None else cost.copies


def map_passes(catalog: Catalog, method: str, params: dict[str, Any], dataset: DatasetEntry) -> float:
    """Return the passes of the map of one image."""
    entry = catalog.find(AttributionEntry, method)
    if entry.stride is not None:
        return math.prod(math.ceil(side / params[entry.stride]) for side in dataset.image_size or (1, 1))
    return _GRADIENT * math.prod(params[name] for name in entry.work)


def perturbation_passes(catalog: Catalog, key: str, params: dict[str, Any]) -> float:
    """Return the passes that make the perturbed image of one image."""
    return _GRADIENT * math.prod(params[name] for name in catalog.find(PerturbationEntry, key).work)


def evaluation_cost(
    catalog: Catalog, entry: EvaluationEntry, params: dict[str, Any], dataset: DatasetEntry
) -> EvaluationCost | None:
    """Return passes and operations of one image, those of maps and perturbations included; None: not known."""
    if entry.cost is None:
        return None
    with suppress(Exception):  # the cost function of a plug-in may fail in any way
        cost, passes = entry.cost(params), 0.0
        if cost.maps:
            chosen = params["attribution"]
            passes += cost.maps * map_passes(catalog, chosen["key"], chosen["params"], dataset)
        if cost.perturbations:
            chosen = params["perturbation"]
            passes += cost.perturbations * perturbation_passes(catalog, chosen["key"], chosen["params"])
        whole = EvaluationCost(cost.passes + passes, operations=cost.operations)
        if all(math.isfinite(number) and number >= 0 for number in (whole.passes, whole.operations)):
            return whole
    return None


def evaluation_seconds(network: NetworkCost, cost: EvaluationCost, images: int, shape: Shape, cores: float) -> float:
    """Return the time of an evaluation of so many images on so many cores, with `cost` for each of them."""
    calls = cost.passes * math.ceil(images / EVALUATION_BATCH) * PASS_SECONDS / min(1.0, cores)
    passed = images * cost.passes * pass_seconds(network, cores)
    return calls + passed + images * math.prod(shape) * cost.operations * OPERATION_SECONDS / cores


def _penalty(regularizer: RegularizerEntry, params: dict[str, Any]) -> PenaltyCost | None:
    if regularizer.cost is None:
        return None
    with suppress(Exception):  # the cost function of a plug-in may fail in any way
        cost = regularizer.cost(params)
        if all(math.isfinite(number) and number > 0 for number in (cost.passes, cost.copies)):
            return cost
    return None
