"""The page of studies: what is on offer and its price, a launch, and what a study says."""

from urllib.parse import unquote

import pytest

from densitylab.frontend.analysis.formatting import joined
from tests.frontend.page_text import button, page_text, plain

pytestmark = pytest.mark.timeout(240)
CLAIM = "Marginal-density smoothing has a smaller share of leakage than no penalty"


@pytest.fixture
def finished(leakage_study) -> int:
    return leakage_study.id


def opened(page, study: int):
    return page.open("studies", study=str(study))


def test_every_study_is_offered_with_its_question_and_the_price_of_each_size(page, live_api):
    app = page.open("studies")
    text = page_text(app)
    links = [link.proto.label for link in app.get("page_link")]
    for entry in live_api.client.catalog().entries("study"):
        assert entry.question in plain(text)
    assert "Minutes: about 9 min on two CPU cores" in links
    assert "Hours: about 2 h on two CPU cores" in links
    assert "GPU: about 10 h on one data-centre GPU" in links


def test_the_price_is_shown_and_the_launch_leads_to_the_study(page, live_api):
    live_api.prepare()
    app = page.open("studies", key="leakage", size="minutes")
    metrics = {item.label: item.value for item in app.metric}
    assert metrics["Runs"] == "45"
    assert all(metrics[name].startswith("≈ ") for name in ("Training", "Evaluations", "In all"))
    app = button(app, "Launch 45 runs").click().run()
    text = page_text(app)
    newest = live_api.client.studies().items[0]
    assert (newest.key, newest.size) == ("leakage", "minutes")
    assert app.title[0].value == "Feature leakage" and "45 queued" in text
    assert "The study has not finished" in text


def test_what_a_study_would_launch_is_listed(page):
    app = page.open("studies", key="robustness", size="minutes")
    text = plain(page_text(app))
    plan = app.table[0].value.map(plain)
    methods = dict(zip(plan["methods"], plan["λ"], strict=False))
    assert list(plan["part"]) == ["Digits, MLP, GELU"] * 2 + ["Digits, CNN, GELU"] * 2
    assert plan["network"][0] == "MLP, activation gelu" and set(plan["seeds"]) == {"0, 1, 2"}
    assert methods["None (baseline)"] == "0"
    assert list(plan["λ"]) == ["0", "3, 30", "0", "0.3, 3"]
    assert "Marginal-density smoothing; Input-gradient regularization, target logit; " in plan["methods"][1]
    assert "PGD L∞ (ε 0.1, images 300) on test and validation images" in text
    assert "At the selected λ alone: Adversarial accuracy, PGD L2 (ε 1, images 300)" in text
    assert "This estimate is for this machine; it leaves out the evaluations at the selected λ alone" in text
    assert "The study states about 9 min on two CPU cores" in text


def test_a_search_and_a_launch_that_is_not_possible_are_listed_too(page):
    app = page.open("studies", key="robustness", size="hours")
    text = plain(page_text(app))
    plan = app.table[0].value.map(plain)
    assert plan["λ"][0] == "searched by half decades from 0.3, at most 5 of each method"
    assert "AutoAttack L∞ (ε 2/255, images 200)" in text
    assert "The study states about 1.3 h on two CPU cores" in text


def test_a_missing_data_set_is_named_with_what_to_do_and_nothing_can_be_launched(page):
    app = page.open("studies", key="ood", size="hours")
    text = page_text(app)
    assert "would be left out: The data set CIFAR-10 is not prepared: prepare it on the page Data" in plain(text)
    assert "Prepare data sets" in [link.proto.label for link in app.get("page_link")]
    assert button(app, "Launch 0 runs").disabled


def test_another_data_set_takes_the_place_of_the_studys_own(page, live_api):
    app = page.open("studies", key="robustness", size="minutes")
    own = live_api.client.catalog().label("dataset", "blockmnist")
    app = next(item for item in app.selectbox if item.label == own).set_value("textured_digits").run()
    page_text(app)
    (launch,) = [item for item in app.button if item.key == "launch-study"]
    assert not launch.disabled
    page_text(launch.click().run())
    assert live_api.client.studies().items[0].datasets == {"blockmnist": "textured_digits"}


def test_a_study_of_which_something_was_left_out_is_continued(page, live_api):
    study = live_api.client.launch_study("ood", "hours")
    assert study.launches[0].experiment is None
    app = opened(page, study.id)
    assert "Left out: The data set" in page_text(app)
    app = button(app, "Continue").click().run()
    assert "Left out: The data set" in page_text(app)


def test_claims_name_their_answer_their_tests_and_both_groups(page, live_api, finished):
    app = opened(page, finished)
    text = page_text(app)
    report = live_api.client.study_report(finished)
    first = next(claim for claim in report.claims if claim.text == CLAIM)
    assert first.verdict == "yes"
    assert f"**{CLAIM}**" in plain(text)
    assert text.count(": yes]") == sum(claim.verdict == "yes" for claim in report.claims)
    links = [link.proto.query_string for link in app.get("page_link")]
    for runs in (first.first, first.second, first.first + first.second):
        assert any(unquote(link).endswith(f"runs={joined(runs)}") for link in links)
    assert any("p (t test)" in table.value for table in app.table)


def test_tables_have_a_row_for_each_method_at_its_selected_weight(page, finished):
    app = opened(page, finished)
    page_text(app)
    tables = [table.value for table in app.dataframe if "method" in table.value]
    assert list(tables[0]["method"]) == [
        "None (baseline)",
        "Input-gradient regularization",
        "Marginal-density smoothing",
    ]
    assert list(tables[0]["λ"]) == ["0", "1 †", "1 †"]
    assert all("±" in value for value in tables[0]["Leakage, share ↓"])


def test_settings_stand_beside_the_papers(page, finished):
    app = opened(page, finished)
    (settings,) = [table.value for table in app.table if "the paper" in table.value]
    assert settings["the paper"]["λ"] == "not stated"


def test_a_study_that_does_not_exist(page):
    assert "There is no study 4711" in page_text(opened(page, 4711))


def test_deleting_a_study_asks_first(page, live_api, finished):
    app = button(opened(page, finished), "Delete").click().run()
    assert "Its experiments and runs stay" in page_text(app)
    assert live_api.client.study(finished).id == finished
