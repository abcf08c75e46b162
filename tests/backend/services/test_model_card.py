"""The model card of runs of every origin."""

from datetime import UTC, datetime
from typing import Any

import pytest

from densitylab.backend.services.model_card import model_card
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import (
    Evaluation,
    ModelPlugin,
    Origin,
    Run,
    RunSource,
    Status,
    Value,
)
from densitylab.backend.shared.model_config import model_config

CATALOG = Catalog.built_in()
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def run_of(origin: Origin, step: int, **fields: Any) -> Run:
    (planned,) = specs.plan(CATALOG, {"evaluations": [{"key": "pgd_linf"}]}, None)
    return Run(
        id=7,
        experiment=1,
        spec=planned.spec,
        origin=origin,
        status=Status.SUCCEEDED,
        checkpoint_step=step,
        task=1,
        created_at=NOW,
        **fields,
    )


def card_of(run: Run, plugin: ModelPlugin | None = None) -> str:
    pgd = Evaluation(
        id=1,
        run=run.id,
        name="pgd_linf",
        key="pgd_linf",
        params=run.spec.evaluations[-1].params,
        status=Status.SUCCEEDED,
        values={"accuracy": Value(value=0.25, low=0.2, high=0.3, n=500, higher_is_better=True)},
        task=2,
        created_at=NOW,
    )
    config = model_config(CATALOG, run, None).model_copy(update={"plugin": plugin})
    return model_card(CATALOG, run, [pgd], config, hashes={}, checkpoint=None)


def test_robust_accuracy_is_with_its_epsilon_and_all_parameters_of_the_attack():
    card = card_of(run_of(Origin.TRAINED, 90))
    assert "| PGD accuracy, L∞ ε = 0.1 | 0.25 | 0.2 to 0.3 | 500 |" in card
    assert "(`pgd_linf`): epsilons 0.1, steps 40, restarts 1, random_start True, loss worst" in card
    assert "Its weights are those after 90 steps." in card


@pytest.mark.parametrize("origin", [Origin.IMPORTED, Origin.LOGGED])
def test_a_model_from_elsewhere_is_not_said_to_be_trained_here(origin: Origin):
    source = RunSource(file_name="stranger.pt", format="PyTorch checkpoint")
    opening = card_of(run_of(origin, 0, source=source)).split("---\n")[-1].split("## Use")[0]
    assert "after 0 steps" not in opening and "seed" not in opening
    assert (
        "imported, not trained here" if origin is Origin.IMPORTED else "trained by a loop of its author's"
    ) in opening


def test_the_plug_in_of_a_network_is_named_with_its_version():
    card = card_of(run_of(Origin.TRAINED, 90), ModelPlugin(package="densitylab-example", version="0.1.0"))
    assert "Its network is of the plug-in densitylab-example 0.1.0, which loading it needs." in card
