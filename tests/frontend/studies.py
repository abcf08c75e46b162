"""Studies whose runs have results, without workers."""

from typing import TYPE_CHECKING

from densitylab.backend.shared.contracts import Value
from densitylab.backend.shared.contracts.studies import Study

if TYPE_CHECKING:
    from tests.frontend.conftest import LiveApi

# Of a method: accuracy and share of leakage at λ = 0; the share shrinks with λ, and the accuracy a little
_SHARES = {"none": 0.42, "marginal_density": 0.30, "input_gradient": 0.34}


def finished_leakage(live_api: "LiveApi") -> Study:
    """Launch the study of leakage in minutes and finish its runs, the penalised ones with less leakage."""
    live_api.prepare()
    study = live_api.client.launch_study("leakage", "minutes")
    for launch in study.launches:
        assert launch.experiment is not None
        for run in live_api.client.runs_of(launch.experiment):
            spec = run.spec
            wobble = 0.001 * ((7 * run.id) % 5 - 2)
            share = _SHARES[spec.regularizer.key] / (1 + 0.5 * spec.lambda_) + wobble
            live_api.finish(run.id)
            accuracy = Value(value=0.91 - 0.002 * spec.lambda_ - wobble, n=1000, higher_is_better=True)
            live_api.measured(run.id, "accuracy", values={"accuracy": accuracy})
            for name in ("leakage", "leakage_validation", "leakage_zero_occlusion"):
                values = {
                    "share": Value(value=share, n=1000, higher_is_better=False),
                    "l2": Value(value=6 * share, n=1000, higher_is_better=False),
                }
                live_api.measured(run.id, name, values=values)
    return live_api.client.study(study.id)
