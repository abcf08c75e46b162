"""The warnings of the Compare page: what they are about, in which order, and where they stand."""

import pytest

from densitylab.backend.shared.store import evaluations
from densitylab.backend.shared.tables import EvaluationRow, RunRow
from tests.frontend.constrained_runs import constrained_runs
from tests.frontend.page_text import page_text, plain

pytestmark = pytest.mark.timeout(120)


def test_warnings_are_one_line_above_the_table(page, live_api):
    (run,) = live_api.launch({"epochs": 2, "evaluations": [], "lambda_": 1e-40})
    live_api.finish(run, accuracy__accuracy=0.9)
    app = page.open("compare", experiment=str(live_api.client.run(run).experiment))
    assert f"λ without effect in 1 of 1 run (run {run})." in plain(page_text(app))
    assert not app.warning and any(item.label.startswith("1 warning: ") for item in app.expander)


def test_few_images_are_said_in_full_above_the_tables_of_their_result(page, live_api):
    constrained = constrained_runs(live_api)
    text = "Evaluated on 100 images only: the interval is wide. Next: the data set has no more."
    with live_api.database.write() as session:
        for run_id in constrained[:2]:
            evaluation = evaluations.named(session, run_id, "pgd_linf")
            row = session.get_one(EvaluationRow, evaluation.id)
            row.flags = [{"key": "few_samples", "text": text}]
    experiment = str(live_api.client.run(constrained[0]).experiment)
    app = page.open("compare", experiment=experiment)
    words = f"PGD accuracy, L∞ ε = 0.05: {text} (runs {constrained[0]}–{constrained[1]})"
    assert plain(page_text(app)).count(words) >= 2  # above the groups, and above the selected λ
    assert [plain(item.label) for item in app.expander].count(f"1 warning: {words}") == 2
    app.multiselect(key="results").set_value(["accuracy.accuracy"])
    app = app.selectbox(key="best").set_value("Leakage, share").run()
    assert words not in plain(page_text(app))


def test_few_images_of_the_smallest_group_are_said_of_its_result_once_and_after_what_went_wrong(page, live_api):
    spec = {"dataset": {"key": "textured_digits"}, "evaluations": [{"key": "groups"}, {"key": "pgd_linf"}]}
    runs = live_api.launch(spec, {"lambda_": [0, 1], "seed": [0, 1]})
    text = "Evaluated on 90 images of the smallest group only: the interval is wide."
    for run_id in runs:
        attacked = {"pgd_linf__accuracy": 0.5, "pgd_linf__worst_group": 0.4}
        live_api.finish(run_id, accuracy__accuracy=0.9, groups__worst=0.8, **attacked)
    with live_api.database.write() as session:
        for run_id in runs:
            for name in ("groups", "pgd_linf"):
                row = session.get_one(EvaluationRow, evaluations.named(session, run_id, name).id)
                row.flags = [{"key": "few_of_group", "text": text}]
        session.get_one(RunRow, runs[3]).flags = [{"key": "at_chance", "text": "Accuracy at chance."}]
    app = page.open("compare", experiment=str(live_api.client.run(runs[0]).experiment))
    told = plain(page_text(app))
    assert f"Worst-group accuracy; Worst-group PGD accuracy, L∞ ε = 0.1: {text}" in told
    assert f"\n- PGD accuracy, L∞ ε = 0.1: {text}" not in told
    lines = [plain(item.label) for item in app.expander if "warnings, the first" in item.label]
    assert len(lines) == 2  # above the groups, and above the selected λ
    assert all(f"at chance in 1 of 2 runs (run {runs[3]})" in line for line in lines)
