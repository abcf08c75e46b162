"""Actions on many runs against a real API process, and short results."""

import pytest

from densitylab.backend.shared.contracts import BulkAction, BulkRequest, RunPatch, Value
from densitylab.frontend.analysis.formatting import plus_minus
from densitylab.frontend.ui.bulk_actions import outcome

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(value=0.91234, low=0.90, high=0.92), "0.912 ± 0.010"),
        (Value(value=3.8, low=3.5, high=4.1), "3.80 ± 0.30"),
        (Value(value=0.5), "0.500"),
        (Value(value=1.0, low=1.0, high=1.0), "1"),
        (Value(value=None), ""),
    ],
)
def test_a_result_is_shown_with_half_of_its_interval(value, text):
    assert plus_minus(value) == text


def test_a_share_near_its_bound_has_both_ends():
    value = Value(value=0.998, low=0.9927, high=0.9995)
    assert plus_minus(value, (0.0, 1.0)) == "0.9980 (0.9927 to 0.9995)"
    assert plus_minus(value) == "0.9980 ± 0.0034"


def test_the_outcome_says_what_was_done_what_was_freed_and_what_was_refused(live_api):
    done, queued = live_api.launch({"epochs": 2, "evaluations": []}, {"seed": [0, 1]})
    live_api.finish(done)
    asked = BulkRequest(action=BulkAction.DELETE, runs=[done, queued])
    text = outcome(live_api.client.act_on_runs(asked))
    assert text.startswith("Deleted 1 of 2 runs. 7 B freed.") and f"Run {queued}: " in text


def test_runs_show_short_results_and_no_none(page, live_api):
    measured, unmeasured = live_api.launch({"epochs": 2, "evaluations": []}, {"seed": [0, 1]})
    live_api.finish(measured, accuracy__accuracy=0.9)
    experiment = live_api.client.run(measured).experiment
    app = page.open("runs", experiment=str(experiment))
    assert not app.exception
    table = app.dataframe[0].value.set_index("Run")
    assert table["Test accuracy"].to_dict() == {measured: "0.900 ± 0.010", unmeasured: ""}


def test_archived_runs_are_kept_apart_and_runs_are_ordered_by_a_result(page, live_api):
    runs = live_api.launch({"epochs": 2, "evaluations": []}, {"seed": [0, 1, 2]})
    for run, accuracy in zip(runs, (0.5, 0.9, 0.7), strict=True):
        live_api.finish(run, accuracy__accuracy=accuracy)
    experiment = live_api.client.run(runs[0]).experiment
    app = page.open("runs", experiment=str(experiment))
    app = app.selectbox(key="sort").set_value("-results.accuracy.accuracy").run()
    assert list(app.dataframe[0].value["Run"]) == [runs[1], runs[2], runs[0]]
    live_api.client.change_run(runs[0], RunPatch(archived=True))
    app = app.toggle(key="archived").set_value(True).run()
    assert not app.exception and list(app.dataframe[0].value["Run"]) == [runs[0]]
