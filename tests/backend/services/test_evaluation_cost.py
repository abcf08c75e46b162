"""The costs that entries of evaluations state against the operations of real evaluations, counted by torch."""

import dataclasses
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from densitylab.backend.services.estimates import cost_model
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, EvaluationEntry, ModelEntry, network_cost
from densitylab.worker import resolve
from densitylab.worker.datasets.dataset import Dataset

CATALOG = Catalog.built_in()
DATASET = CATALOG.find(DatasetEntry, "blockmnist")
IMAGES = 60
TINY = {"epsilons": [1e-6]}  # an attack on this succeeds nowhere, so that every image takes all of it
CASES: dict[str, list[dict[str, Any]]] = {
    "pgd_linf": [TINY, {**TINY, "loss": "cross_entropy", "steps": 7, "restarts": 2}],
    "pgd_l2": [{**TINY, "loss": "targeted", "steps": 3}],
    "square_linf": [{**TINY, "queries": 300}],
    "transfer_linf": [{**TINY, "source": 1}],
    "density": [{}],
    "stability": [{}, {"perturbation": {"key": "attack", "params": {"steps": 20}}}],
    "leakage": [{}, {"attribution": {"key": "integrated_gradients", "params": {}}}],
    "pixel_perturbation": [{}, {"fractions": [0.1, 0.2]}],
    "input_gradient_perturbation": [{}, {"epsilons": [1.0]}],
    "sensitivity": [{"draws": 4}],
    "cascading_randomisation": [{"stages": 3}],
}
NOT_COUNTED = {
    "groups": "as accuracy",
    "corruptions": "needs published images",
    "autoattack_linf": "minutes",
    "autoattack_l2": "minutes",
}


class Multiplications(TorchDispatchMode):
    """Counts those of matrix products. torch's own mode cannot follow gradients by inputs alone."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        counted = flop_registry.get(func.overloadpacket)
        if counted is not None:
            self.total += counted(*args, **(kwargs or {}), out_val=out) / 2
        return out


def complete(key: str, params: dict[str, Any]) -> dict[str, Any]:
    return specs.complete_params(CATALOG, "evaluation", key, params, "", [])[1]


def passes(key: str, params: dict[str, Any]) -> float:
    """Return the counted passes of an image through an MLP that is right on every image."""
    entry = CATALOG.find(EvaluationEntry, key)
    torch.manual_seed(0)
    model = resolve.build_model(CATALOG, "mlp", {}, DATASET).eval()
    images = torch.randint(0, 256, (IMAGES, 1, 56, 28), dtype=torch.uint8)
    with torch.no_grad():
        labels = model(images.float() / 255).argmax(dim=1)
    masks = torch.zeros(IMAGES, 1, 56, 28, dtype=torch.bool)
    masks[:, :, :28] = True
    data = Dataset(images, labels, masks, groups=labels)
    given = {
        "train_data": lambda: data,
        "prior_results": [],
        "fresh_model": lambda: resolve.build_model(CATALOG, "mlp", {}, DATASET).eval(),
    }
    used = {name: given[name] for name in entry.uses}
    used |= {param.name: model for param in entry.params if param.type == "run"}
    function = resolve.component(CATALOG, "evaluation", key, params).function
    with Multiplications() as counted:
        function(
            model,
            data,
            generator=torch.Generator().manual_seed(0),
            progress=lambda share: None,
            should_stop=lambda: False,
            **used,
        )
    _, model_params = specs.complete_params(CATALOG, "model", "mlp", {}, "", [])
    network = network_cost(CATALOG.find(ModelEntry, "mlp"), model_params, DATASET)
    assert network is not None
    return counted.total / network.multiplications / IMAGES


@pytest.mark.parametrize(
    ("key", "params"),
    [
        (entry.key, params)
        for entry in CATALOG.all(EvaluationEntry)
        if entry.key not in NOT_COUNTED
        for params in CASES.get(entry.key, [{}])
    ],
    ids=str,
)
@pytest.mark.few(20)
def test_the_stated_passes_are_those_of_the_evaluation(key: str, params: dict[str, Any]):
    torch.set_num_threads(1)
    entry, given = CATALOG.find(EvaluationEntry, key), complete(key, params)
    told = cost_model.evaluation_cost(CATALOG, entry, given, DATASET)
    assert told is not None and told.passes == pytest.approx(passes(key, given), rel=0.2)


def test_a_cost_that_is_not_known_or_fails_is_none():
    entry = CATALOG.find(EvaluationEntry, "accuracy")
    for cost in (None, lambda params: params["absent"], lambda _params: "3"):
        other = dataclasses.replace(entry, cost=cost)
        assert cost_model.evaluation_cost(CATALOG, other, {}, DATASET) is None


def test_every_evaluation_states_its_cost():
    for entry in CATALOG.all(EvaluationEntry):
        params = complete(entry.key, {"source": 1} if entry.param("source") else {})
        told = cost_model.evaluation_cost(CATALOG, entry, params, DATASET)
        assert told is not None and told.passes >= 1
