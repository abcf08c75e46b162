"""The Compare page against a real API: its view is its link, and what is missing is said."""

import html
import json

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from densitylab.backend.shared.contracts import RunPatch, Value
from densitylab.backend.shared.tables import RunRow
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.paper.comparison import collect_experiment
from densitylab.frontend.report import experiment_report
from densitylab.frontend.report.experiment_report import report
from densitylab.frontend.ui.comparison import live_choice
from tests.frontend.constrained_runs import constrained_runs
from tests.frontend.page_text import button, linked, page_text, pictures, plain

pytestmark = pytest.mark.timeout(120)


def table(app: AppTest, *columns: str):
    """Return the first table with these columns, without the escapes of Markdown."""
    tables = [item.value for item in app.dataframe]
    tables += [item.value.rename(columns=plain).map(plain) for item in app.table]
    return next(item for item in tables if set(columns) <= set(item.columns))


@pytest.fixture
def impatient(monkeypatch) -> None:
    """No worker draws maps in these tests."""
    monkeypatch.setattr(experiment_report, "MAP_PATIENCE", 0.0)


@pytest.fixture
def experiment(live_api) -> int:
    """λ 0, 0.1 and 1 with two seeds each: accuracy falls with λ, cross-entropy too."""
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 0.1, 1], "seed": [0, 1]})
    for run_id, accuracy in zip(run_ids, (0.90, 0.92, 0.89, 0.91, 0.70, 0.72), strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy, accuracy__cross_entropy=accuracy / 2)
    return live_api.client.run(run_ids[0]).experiment


def test_every_section_stands_and_shows_its_numbers(page, experiment):
    app = page.open("compare", experiment=str(experiment))
    text = page_text(app)
    for words in ("Over λ", "Trade-offs", "Parallel coordinates", "Training curves", "best mean"):
        assert words in text
    shown = table(app, "λ", "mean", "low", "high")
    assert list(shown["λ"]) == [0, 0.1, 1] and list(shown["mean"]) == pytest.approx([0.91, 0.90, 0.71])
    # t(1) · s / √2 with s = 0.02 / √2; the interval of an accuracy ends at 1
    assert shown["mean"][0] - shown["low"][0] == pytest.approx(12.7062 * 0.01, rel=1e-4)
    assert shown["high"][0] == 1.0
    assert len(table(app, "run", "group", "seed")) == 6
    links = [link.proto.query_string for link in app.get("page_link") if link.proto.query_string.startswith("run=")]
    assert len(links) == 6 and not any(item.label.startswith("All ") for item in app.expander)
    assert not any("identical" in column for column in app.dataframe[0].value.columns)


def test_seeds_are_added_to_the_selected_lambda_alone(page, live_api):
    run_ids = constrained_runs(live_api)  # of λ 0, 1 and 10 with two seeds; λ 10 is selected
    experiment = live_api.client.run(run_ids[0]).experiment
    app = page.open("compare", experiment=str(experiment))
    app.session_state["adding-seeds"] = True  # the popover is open
    app = app.run()
    text = page_text(app)
    assert "λ = 0: seeds 2, 3 (2 runs)" in text and "λ = 10: seeds 2, 3 (2 runs)" in text and "λ = 1:" not in text
    page_text(app.button(key="adding-seeds/add").click().run())
    added = [(run.spec.lambda_, run.spec.seed) for run in live_api.client.runs_of(experiment) if run.spec.seed > 1]
    assert added == [(0, 2), (0, 3), (10, 2), (10, 3)]


def test_no_seeds_are_added_from_several_experiments(page, live_api):
    one, other = (str(live_api.client.run(constrained_runs(live_api)[0]).experiment) for _ in range(2))

    def labels(experiment: str) -> list[str]:
        return [item.proto.popover.label for item in page.open("compare", experiment=experiment).get("popover")]

    assert "Add seeds to these λ" in labels(one) and "Add seeds to these λ" not in labels(f"{one},{other}")


def test_groups_whose_runs_were_cancelled_are_left_out(page, live_api, impatient):
    """λ 0 and 0.1 are evaluated, λ 1 and λ 10 cancelled."""
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 0.1, 1, 10], "seed": [0, 1]})
    for run_id in run_ids[:4]:
        live_api.finish(run_id, accuracy__accuracy=0.9)
    for run_id in run_ids[4:]:
        live_api.client.cancel_run(run_id)
    experiment = live_api.client.run(run_ids[0]).experiment
    app = page.open("compare", experiment=str(experiment))
    words = "2 groups have no results: all their runs were cancelled or failed (λ 1; λ 10)."
    assert escaped(words) in page_text(app)
    assert list(table(app, "λ", "seeds done")["λ"]) == ["0", "0.1"]
    assert words in report(live_api.client, experiment)
    (means,) = collect_experiment(live_api.client, experiment).tables[:1]
    assert [row.lambda_ for row in means.rows] == [0, 0.1] and words in means.notes


def test_the_link_restores_the_view(page, experiment):
    app = page.open(
        "compare",
        experiment=str(experiment),
        baseline="λ 0.1",
        deltas="true",
        smoothing="0.5",
        results="accuracy: cross entropy",
        over="epoch",
        identical="true",
        means="true",
        left="gradient_norm",
    )
    page_text(app)
    shown = app.dataframe[0].value
    assert list(shown["λ"]) == ["0.1", "0", "1"]  # the chosen baseline first
    assert shown["Δ Test cross-entropy"].iloc[0] == "baseline" and "Test accuracy" not in shown
    assert set(shown["epochs"]) == {"15"}  # the same everywhere, and asked for
    assert next(item for item in app.slider if item.label == "Smoothing").value == 0.5
    curve = table(app, "group", "step", "mean", "n")
    assert set(curve["n"]) == {2} and set(curve["group"]) == {"λ 0", "λ 0.1", "λ 1"}


def test_the_selected_lambda_says_what_it_was_selected_on(page, live_api):
    run_ids = live_api.launch({"evaluations": [{"key": "leakage"}]}, {"lambda_": [0, 0.1, 1], "seed": [0]})
    for run_id, accuracy, share in zip(run_ids, (0.90, 0.89, 0.70), (0.1, 0.5, 0.9), strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy, leakage__share=share)
    app = page.open("compare", experiment=str(live_api.client.run(run_ids[0]).experiment), loss="5.0")
    assert "not every run has a validation accuracy" in page_text(app)
    row = table(app, "λ within budget", "Δ accuracy").iloc[0]
    cut = [set(item.value.columns) for item in app.dataframe]  # a dataframe cuts long cells
    assert not any({"λ within budget", "question"} & columns for columns in cut)
    assert (row["λ"], row["λ within budget"], row["Δ accuracy"]) == ("0.1", "1 of 2", "-1.0 points")
    assert row["note"] == "the lowest λ tried: a smaller one may be better"
    assert row["Leakage, share"] == "0.500 (1 seed)" and row["Test accuracy"] == "0.890 (1 seed)"
    assert row["baseline accuracy, test"] == "0.900 (1 seed)"


def test_a_claim_about_two_groups_is_answered(page, live_api):
    run_ids = live_api.launch({"evaluations": [{"key": "pgd_linf"}]}, {"lambda_": [0, 1], "seed": [0, 1, 2]})
    for index, run_id in enumerate(run_ids):
        with_penalty = live_api.client.run(run_id).spec.lambda_ > 0
        pgd = (0.5 if with_penalty else 0.1) + index / 100
        live_api.finish(run_id, accuracy__accuracy=0.9 + (index % 3) / 1000, pgd_linf__accuracy=pgd)
    experiment = str(live_api.client.run(run_ids[0]).experiment)
    app = page.open("compare", experiment=experiment, loss="5.0")
    (answer,) = app.success
    assert answer.value.startswith("Yes, over 3 seeds. This is one claim by itself; as one of the ")
    rows = table(app, "question", "answer")
    assert list(rows["answer"]) == ["yes", "yes"] and list(rows["seeds"]) == ["3", "3"]
    assert list(rows["threshold"]) == ["0", "-0.05"] and rows["over images"].iloc[0] == "—"
    groups = {item.label: item for item in app.selectbox}
    groups["Group A"].set_value("λ 0")
    groups["Group B"].set_value("λ 1")
    app.run()
    assert [item.value.partition(". ")[0] for item in app.error] == ["No: its result is worse, over 3 seeds"]
    answer = live_api.client.comparison("pgd_linf.accuracy", experiment=int(experiment))
    assert [row.lambda_ for row in answer.selection] == [1] and [group.best for group in answer.groups] == [False, True]


def test_a_failed_run_and_missing_results_among_good_ones(page, live_api):
    good, bad, waiting = live_api.launch({"evaluations": []}, {"seed": [0, 1, 2]})
    live_api.finish(good, accuracy__accuracy=0.9)
    live_api.fail(bad, "RuntimeError: the disk is full")
    live_api.client.cancel_run(waiting)
    app = page.open("compare", experiment=str(live_api.client.run(good).experiment))
    text = page_text(app)
    assert "✕ failed: RuntimeError\\: the disk is full" in text
    assert "3 runs: ✓ succeeded 1 · ✕ failed 1 · ⊘ cancelled 1" in text
    row = app.dataframe[0].value.iloc[0]
    assert (row["seeds done"], row["Test accuracy"]) == ("1 of 3", "0.900 (1 seed)")


def test_names_of_runs_are_no_markdown(page, live_api):
    (run_id,) = live_api.train({"evaluations": []})
    live_api.client.change_run(run_id, RunPatch(name="**a** :red[b] $x$"))
    name = r"\*\*a\*\* \:red\[b\] \$x\$"
    experiment = str(live_api.client.run(run_id).experiment)
    for app in (page.open("compare", experiment=experiment), page.open("home")):
        labels = [link.proto.label for link in app.get("page_link")]
        assert any(label.endswith(name) for label in labels) and not any("**a**" in label for label in labels)


def test_a_run_deleted_in_another_window_is_said(page, live_api, experiment):
    first, second, *_ = (run.id for run in live_api.client.runs_of(experiment))
    live_api.client.delete_run(first)
    app = page.open("compare", runs=f"{first},{second}")
    assert f"Not found: run {first}" in page_text(app)
    assert list(app.dataframe[0].value["seeds done"]) == ["1 of 1"]


def test_five_hundred_runs(page, live_api):
    body = {"name": "many", "sweep": {"lambda_": [0, 0.01, 0.1, 1, 10], "seed": list(range(100))}}
    number = httpx.post(f"{live_api.url}/api/v1/experiments", json=body, timeout=60).raise_for_status().json()["id"]
    app = page.open("compare", experiment=str(number))
    assert "The first 60 of 500 runs are shown" in page_text(app)
    assert list(app.dataframe[0].value["seeds done"]) == ["0 of 100"] * 5
    httpx.post(
        f"{live_api.url}/api/v1/bulk/runs",
        timeout=60,
        json={"action": "cancel", "runs": live_api.client.experiment(number).runs},
    ).raise_for_status()


def test_the_report_is_made_on_request(page, experiment, impatient):
    app = page.open("compare", experiment=str(experiment))
    app = next(item for item in app.button if item.label == "Make a report").click().run()
    page_text(app)
    made = html.unescape(app.session_state["report"][1])
    assert made.startswith("<!doctype html>") and json.dumps({"lambda_": [0, 0.1, 1]})[1:-1] in made
    assert any(item.label == "Download the report" for item in app.get("download_button"))


def test_the_chosen_groups_stand_on_the_page_and_in_its_report(page, live_api, experiment, impatient):
    app = page.open("compare", experiment=str(experiment), only=["λ 0", "λ 0.1"])
    page_text(app)
    assert list(table(app, "λ", "seeds done")["λ"]) == ["0", "0.1"]
    app = button(app, "Make a report").click().run()
    page_text(app)
    runs = live_api.client.experiment(experiment).runs
    assert app.session_state["report"][0][0] == tuple(runs[:4])
    assert "2 groups of 4 runs" in app.session_state["report"][1]


def test_chosen_runs_have_a_report_too(page, live_api, experiment, impatient):
    runs = live_api.client.experiment(experiment).runs
    app = button(page.open("compare", runs=f"{runs[0]},{runs[5]}"), "Make a report").click().run()
    page_text(app)
    assert "2 groups of 2 runs" in app.session_state["report"][1]


def test_runs_under_other_conditions_stand_together_with_a_sentence(page, live_api, experiment, impatient):
    first, *_, last = live_api.client.experiment(experiment).runs
    with live_api.database.write() as session:
        for run_id, version in ((first, 2), (last, 3)):
            row = session.get_one(RunRow, run_id)
            row.provenance = {**row.provenance, "evaluated": {"accuracy": {"version": version}}}
    sentence = f"version of the evaluation accuracy (2: run {first}; 3: run {last})"
    shown = page_text(page.open("compare", experiment=str(experiment)))
    assert sentence in shown.replace("\\", "")
    assert sentence in report(live_api.client, experiment)


def test_a_summary_stands_first_and_stars_no_single_seed(page, live_api, experiment):
    app = page.open("compare", experiment=str(experiment))
    assert "- **Test accuracy:** the differences from the baseline are the same for all seeds" in page_text(app)
    alone = live_api.launch({"evaluations": []}, {"lambda_": [0, 1], "seed": [0]})
    for run_id, accuracy in zip(alone, (0.9, 0.1), strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy)
    app = page.open("compare", experiment=str(live_api.client.run(alone[0]).experiment))
    assert "one seed in common with the baseline says nothing" in page_text(app)
    assert "★" not in pictures(app) and "★" not in app.dataframe[0].value.to_csv()


def test_each_difference_stands_under_its_own_result_and_each_group_opens_a_run(page, live_api, experiment):
    html_text = pictures(page.open("compare", experiment=str(experiment)))
    head = html_text[html_text.index("<thead>") : html_text.index("</thead>")]
    assert '<th colspan="2" scope="colgroup" class="result" title="Test accuracy">Test accuracy</th>' in head
    assert head.count(">Δ</th>") == 1 and head.count(">mean</th>") == 1
    first = min(run.id for run in live_api.client.runs_of(experiment))
    assert f'href="run?run={first}&amp;with=' in html_text
    assert "<small>± " in html_text or "<small>(" in html_text  # the interval has a line of its own
    app = page.open("compare", experiment=str(experiment))
    assert ">Δ</th>" not in pictures(app.toggle(key="deltas").set_value(False).run())


def test_several_experiments_stand_in_one_comparison(page, live_api, experiment):
    other = live_api.launch({"evaluations": [], "model": {"key": "cnn"}}, {"lambda_": [0, 1], "seed": [0, 1]})
    for run_id in other:
        live_api.finish(run_id, accuracy__accuracy=0.5)
    second = live_api.client.run(other[0]).experiment
    app = page.open("compare", experiment=f"{experiment},{second}")
    page_text(app)
    assert len(app.dataframe[0].value) == 5 and set(app.dataframe[0].value["model"]) == {"MLP", "Small CNN"}
    assert "Make a report" in [item.label for item in app.button]  # of the runs that are compared


def test_every_experiment_can_be_found(page, live_api, experiment):
    page_text(app := page.open("compare"))
    chosen = next(item for item in app.multiselect if item.label == "Experiments")
    assert len(chosen.value) == 1
    app = app.text_input(key="find").set_value(str(experiment)).run()
    options = next(item for item in app.multiselect if item.label == "Experiments").options
    assert any(option.startswith(f"{experiment}: ") for option in options)
    nothing = app.text_input(key="find").set_value("no such words").run()
    assert "No experiment matches" in page_text(nothing) and nothing.dataframe  # the chosen one stays


def test_maps_are_of_the_first_succeeded_seed_and_the_baseline(page, live_api):
    runs = live_api.launch({"evaluations": []}, {"lambda_": [0, 1], "seed": [0, 1]})
    live_api.fail(runs[0], "RuntimeError: broken")
    for run_id in runs[1:]:
        live_api.finish(run_id, accuracy__accuracy=0.9)
    experiment = str(live_api.client.run(runs[0]).experiment)
    for name in ("compare", "experiment"):
        app = button(page.open(name, experiment=experiment), "Saliency maps of 2 groups").click().run()
        assert linked(app, "runs") == f"{runs[1]},{runs[2]}"


@pytest.fixture
def constrained(live_api) -> list[int]:
    return constrained_runs(live_api)


def test_a_second_constraint_is_in_table_claim_and_report(page, live_api, constrained, impatient):
    experiment = str(live_api.client.run(constrained[0]).experiment)
    app = page.open("compare", experiment=experiment, best="PGD accuracy, L∞ ε = 0.05")
    page_text(app)
    assert table(app, "λ within budget")["λ"].tolist() == ["10"]
    app = button(app, "Make a report").click().run()
    assert any(item.label == "Download the report" for item in app.get("download_button"))
    app = app.selectbox(key="constraint").set_value("Leakage, share").run()
    app = app.number_input(key="worse").set_value(5.0).run()
    text = page_text(app)
    assert "Best at ≤ 2 points accuracy loss, with Leakage, share at most 5 points worse" in text
    row = table(app, "λ within budget").iloc[0]
    assert (row["λ"], row["λ within budget"]) == ("1", "1 of 2") and row["Leakage, share"].startswith("0.48")
    assert "2 points of accuracy, with Leakage, share at most 5 points worse" in text  # the claim
    questions = table(app, "question", "answer")
    assert questions["question"].tolist()[2] == "at most 5 points worse than B: Leakage, share"
    # The old report is of another selection
    assert not any(item.label == "Download the report" for item in app.get("download_button"))
    app = button(app, "Make a report").click().run()
    made = html.unescape(app.session_state["report"][1])
    assert "best at ≤ 2 points accuracy loss, with Leakage, share at most 5 points worse" in made


def test_results_are_preliminary_while_runs_are_unfinished(page, live_api):
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 1], "seed": [0, 1]})
    experiment = str(live_api.client.run(run_ids[0]).experiment)
    assert "Preliminary" not in page_text(page.open("compare", experiment=experiment))
    for run_id, accuracy in zip(run_ids[:3], (0.9, 0.9, 0.8), strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy)
    text = page_text(page.open("compare", experiment=experiment))
    assert "Preliminary: 3 of 4 runs are trained and evaluated." in text
    assert "so far the clearest difference from the baseline is -0.100, towards worse (λ 1, 1 seed)" in text
    assert "is established" not in text and "than the baseline" not in text and "★" not in text
    live_api.finish(run_ids[3], accuracy__accuracy=0.81)
    text = page_text(page.open("compare", experiment=experiment))
    assert "Preliminary" not in text and "so far" not in text and "★" in text


def test_a_method_without_a_selected_lambda_says_why(page, live_api):
    run_ids = live_api.launch({"evaluations": [{"key": "leakage"}]}, {"lambda_": [0, 0.1, 1], "seed": [0]})
    for run_id, accuracy, share in zip(run_ids, (0.90, 0.85, 0.70), (0.1, 0.5, 0.9), strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy, leakage__share=share)
    text = page_text(page.open("compare", experiment=str(live_api.client.run(run_ids[0]).experiment)))
    reason = "no λ is within the limits; the accuracy is at least 5 points below the baseline's (test images)."
    assert f"Marginal-density smoothing: {reason}" in text


def test_the_claim_begins_with_the_best_selected_group(page, live_api, constrained):
    experiment = str(live_api.client.run(constrained[0]).experiment)
    app = page.open("compare", experiment=experiment, best="PGD accuracy, L∞ ε = 0.05")
    assert {item.label: item.value for item in app.selectbox}["Group A"] == "λ 10"


def test_there_is_no_trade_off_of_a_result_with_itself(page, experiment, live_api):
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 1], "seed": [0, 1]})
    for run_id in run_ids:
        live_api.finish(run_id, accuracy__accuracy=0.9)
    app = page.open("compare", experiment=str(live_api.client.run(run_ids[0]).experiment))
    assert "Trade-offs" not in page_text(app)
    assert "Trade-offs" in page_text(page.open("compare", experiment=str(experiment)))


def choices(app: AppTest) -> dict[str, str]:
    return {item.key: item.value for item in app.selectbox if item.key}


@pytest.fixture
def arriving(live_api) -> list[int]:
    """Runs with λ 0, 0.1 and 1 whose PGD accuracy is not there yet; by their leakage λ 0.1 is the best."""
    spec = {"evaluations": [{"key": "pgd_linf"}, {"key": "leakage"}]}
    run_ids = live_api.launch(spec, {"lambda_": [0, 0.1, 1], "seed": [0]})
    for run_id, share in zip(run_ids, (0.4, 0.5, 0.45), strict=True):
        live_api.finish(run_id, accuracy__accuracy=0.9, leakage__share=share)
    return run_ids


def add_pgd(live_api, run_ids: list[int]) -> None:
    """By PGD accuracy λ 1 is the best."""
    for run_id, accuracy in zip(run_ids, (0.1, 0.2, 0.3), strict=True):
        value = Value(value=accuracy, low=accuracy - 0.01, high=accuracy + 0.01, n=1000, higher_is_better=True)
        live_api.measured(run_id, "pgd_linf", values={"accuracy": value})


def test_defaults_follow_the_results_as_they_come(page, live_api, arriving):
    app = page.open("compare", experiment=str(live_api.client.run(arriving[0]).experiment))
    before = choices(app)
    assert before["up1"] == before["up2"] == "Leakage, share" and before["across2"] == "Test accuracy"
    assert (before["first"], before["second"]) == ("λ 0.1", "λ 0")
    add_pgd(live_api, arriving)
    after = choices(app.run())
    assert {after["up1"], after["up2"]} == {"PGD accuracy, L∞ ε = 0.1", "Leakage, share"}
    assert after["best"] == "PGD accuracy, L∞ ε = 0.1" and (after["first"], after["second"]) == ("λ 1", "λ 0")
    assert not {"up1", "up2", "best", "first", "second"} & set(app.query_params)


def test_a_refresh_that_began_before_a_default_changed_is_no_choice(page, live_api, arriving, monkeypatch):
    monkeypatch.setattr(live_choice, "_LATE", 600.0)
    app = page.open("compare", experiment=str(live_api.client.run(arriving[0]).experiment))
    former = choices(app)["up1"]
    add_pgd(live_api, arriving)
    app = app.run()
    app = app.selectbox(key="up1").set_value(former).run()
    assert choices(app)["up1"] == "PGD accuracy, L∞ ε = 0.1"


def test_what_was_chosen_stays_as_results_come(page, live_api, arriving):
    """The trade-off in the page, by a choice that ends at the default, and Group B in the link."""
    app = page.open("compare", experiment=str(live_api.client.run(arriving[0]).experiment), second="λ 1")
    app = app.selectbox(key="up1").set_value("Test accuracy").run()
    assert choices(app)["across1"] == "Leakage, share"
    app = app.selectbox(key="up1").set_value("Leakage, share").run()
    add_pgd(live_api, arriving)
    after = choices(app.run())
    assert after["up1"] == "Leakage, share" and after["across1"] == "Test accuracy"
    assert after["second"] == "λ 1" and after["first"] == "λ 0.1"  # the best one is taken


def test_the_groups_of_a_claim_differ(page, live_api, arriving):
    app = page.open("compare", experiment=str(live_api.client.run(arriving[0]).experiment))
    app = app.selectbox(key="first").set_value("λ 0").run()
    assert choices(app)["second"] == "λ 0.1"


def test_results_are_offered_under_the_labels_of_the_table(page, live_api, constrained):
    experiment = str(live_api.client.run(constrained[0]).experiment)
    app = page.open("compare", experiment=experiment, results="pgd linf: accuracy")  # a link of before
    picker = app.multiselect(key="results")
    assert {"PGD accuracy, L∞ ε = 0.05", "Test accuracy", "Leakage, share"} <= set(picker.options)
    assert picker.value == ["pgd_linf.accuracy"]
    app = picker.set_value(["leakage.share"]).run()
    assert app.multiselect(key="results").value == ["leakage.share"]
    app = type(page)().open("compare", experiment=experiment, results="PGD accuracy, L∞ ε = 0.05")
    assert app.multiselect(key="results").value == ["pgd_linf.accuracy"]


def test_progress_leaves_out_cancelled_and_failed_runs(page, live_api):
    """Of four runs one is trained, one waits, one is cancelled and one failed."""
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0], "seed": [0, 1, 2, 3]})
    live_api.finish(run_ids[0], accuracy__accuracy=0.9)
    live_api.client.cancel_run(run_ids[1])
    live_api.fail(run_ids[2], "broken")
    number = live_api.client.run(run_ids[0]).experiment
    assert live_api.client.experiment(number).progress == 0.5
    for name in ("compare", "experiment"):
        (bar,) = page.open(name, experiment=str(number)).get("progress")
        assert bar.value == 50
    (groups,) = (table.value for table in page.app.dataframe if "Group" in table.value)
    assert list(groups["Progress"]) == [50]
