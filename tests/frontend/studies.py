"""Studies whose runs have results, without workers."""

from typing import TYPE_CHECKING

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services.study_evaluations import request_due
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Run, Value
from densitylab.backend.shared.contracts.studies import Study

if TYPE_CHECKING:
    from tests.frontend.conftest import LiveApi

# Of a method: accuracy and share of leakage at λ = 0; the share shrinks with λ, and the accuracy a little
_SHARES = {"none": 0.42, "marginal_density": 0.30, "input_gradient": 0.34}


def finished_leakage(live_api: "LiveApi") -> Study:
    """Launch the study of leakage in minutes and finish its runs, the penalised ones with less leakage."""
    live_api.prepare()
    study = live_api.client.launch_study("leakage", "minutes")
    every = [run for launch in study.launches for run in live_api.client.runs_of(launch.experiment)]
    for run in every:
        live_api.finish(run.id)
        wobble = 0.001 * ((7 * run.id) % 5 - 2)
        accuracy = Value(value=0.91 - 0.002 * run.spec.lambda_ - wobble, n=1000, higher_is_better=True)
        live_api.measured(run.id, "accuracy", values={"accuracy": accuracy})
        for name in ("leakage", "leakage_validation"):
            live_api.measured(run.id, name, values=_leakage(run))
    queue = Queue("redis://127.0.0.1:1", live_api.database)  # no broker: what is requested is finished here
    assert request_due(live_api.database, Catalog.built_in(), queue, live_api.store, study.id)
    for run in every:
        live_api.measure(run.id)
        if "leakage_zero_occlusion" in [item.name for item in live_api.client.evaluations(run.id)]:
            live_api.measured(run.id, "leakage_zero_occlusion", values=_leakage(run))
    return live_api.client.study(study.id)


def _leakage(run: Run) -> dict[str, Value]:
    wobble = 0.001 * ((7 * run.id) % 5 - 2)
    share = _SHARES[run.spec.regularizer.key] / (1 + 0.5 * run.spec.lambda_) + wobble
    return {
        "share": Value(value=share, n=1000, higher_is_better=False),
        "l2": Value(value=6 * share, n=1000, higher_is_better=False),
    }
