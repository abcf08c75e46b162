"""CPU threads of a run: by its spec, by the machine's override, and by the rule."""

import pytest

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.specs import complete, cpu_threads, spec_hash
from densitylab.backend.shared.statistics.groups import settings
from densitylab.backend.shared.store.runs import stored_spec
from tests.backend.shared.statistics.runs_of_seeds import make_run

CATALOG = Catalog.built_in()


def threads(override: int = 0, **spec: object) -> int:
    return cpu_threads(CATALOG, complete(CATALOG, {"evaluations": [], **spec}), override)


@pytest.mark.parametrize(
    ("dataset", "model", "expected"),
    [
        ("blockmnist", {"key": "mlp"}, 1),
        ("blockmnist", {"key": "cnn"}, 1),
        ("cifar10", {"key": "vgg11"}, 2),
        ("cifar10", {"key": "resnet18"}, 2),
        ("cifar10", {"key": "timm"}, 1),  # its cost is not known
    ],
)
def test_large_networks_have_two_threads_and_all_others_one(dataset: str, model: dict[str, object], expected: int):
    assert threads(dataset={"key": dataset}, model=model, regularizer={"key": "none"}) == expected


def test_the_spec_goes_before_the_machine_and_the_machine_before_the_rule():
    large = {"dataset": {"key": "cifar10"}, "model": {"key": "resnet18"}, "regularizer": {"key": "none"}}
    assert (threads(override=3), threads(override=3, threads=5), threads(threads=2)) == (3, 5, 2)
    assert (threads(override=1, **large), threads(threads=1, **large)) == (1, 1)


def test_given_threads_are_in_the_hash_and_in_no_group():
    spec = complete(CATALOG, {"evaluations": []})
    given = spec.model_copy(update={"threads": 1})
    assert spec_hash(given) != spec_hash(spec)
    run = make_run("a", 1, 0)
    assert settings(run.model_copy(update={"spec": run.spec.model_copy(update={"threads": 4})})) == settings(run)


def test_a_stored_spec_without_threads_has_none():
    stored = RunSpec().model_dump()
    stored["augmentation"] = {"key": "none", "params": {}}
    del stored["threads"]
    assert stored_spec(stored).threads is None
