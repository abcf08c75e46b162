"""The launch page's summary: what is shown is what is launched, name and tags that follow, copies and reloads."""

import json
import random
import re
import string
from typing import Any

import pytest

from densitylab.backend.shared.contracts import ExperimentPatch, ExperimentRequest
from densitylab.frontend.launch_form.saved_draft import encoded
from tests.frontend.app_pages.test_launch_page import ending, launched
from tests.frontend.app_pages.test_refused_inputs import below
from tests.frontend.conftest import Page
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(240)


def launch_button(app):
    return ending(app.button, "launch-button")


@pytest.mark.parametrize(
    ("kind", "field", "value", "sentence"),
    [
        ("number_input", "/epochs", 0, "Expected a number of at least 1; got 0"),
        ("number_input", "/epochs", 1.5, "whole number"),
        ("number_input", "/batch", 99_999_999, "Expected a number of at most 65536"),
        ("number_input", "/optimizer/adam/lr", -1, "Expected a number above 0"),
        ("number_input", "/label_smoothing", 1, "Expected a number below 1"),
        ("number_input", "/gradient_accumulation", 0, "Expected a number of at least 1"),
        ("number_input", "/evaluations/pgd_linf/samples", 0, "Expected a whole number of at least 1"),
        ("number_input", "/evaluations/pgd_linf/steps", 0, "Expected a whole number of at least 1"),
        ("number_input", "/evaluations/leakage/variants", 10, "Expected a whole number from 1 to 9"),
        ("text_input", "/evaluations/pgd_linf/epsilons", "0.1, 2", "Expected numbers of at least 0 and at most 1"),
        ("text_input", "/evaluations/pgd_linf/epsilons", "0.1 0,2", "'0,2' may be 0.2"),
        ("text_input", "/lambda", "-1", "Expected a number of at least 0; got -1"),
        ("text_input", "/lambda", "0.1, 1e", "'1e' is not a number"),
        ("text_input", "/lambda", "1,5 2", "'1,5' may be 1.5"),
        ("text_input", "/lambda", "1e-400", "rounds to 0"),
        ("text_input", "/seeds", "0, 1.5", "'1.5' is not a whole number"),
        ("text_input", "/seeds", "-1", "Expected a number of at least 0; got -1"),
    ],
)
def test_what_cannot_be_launched_is_said_beside_its_field_and_in_the_summary(page, kind, field, value, sentence):
    app = page.open("launch")
    assert not launch_button(app).disabled
    app = ending(getattr(app, kind), field).set_value(value).run()
    text = page_text(app)
    assert sentence in below(app, field), text
    summary = [item.value for item in app.markdown if ":red[:material/error:] [" in item.value]
    assert len(summary) == 1 and "](#field-" in summary[0]
    assert sentence[1:] in summary[0].replace("\\", "")  # after the field's name
    assert launch_button(app).disabled
    assert ending(getattr(app, kind), field).value == value


def test_an_image_size_is_checked_too(page):
    app = page.open("launch")
    app = ending(app.selectbox, "/dataset/key").set_value("Waterbirds").run()
    app = ending(app.number_input, "/dataset/waterbirds/image_size").set_value(7).run()
    assert "of at least 16" in page_text(app) and launch_button(app).disabled


def test_a_list_of_weights_is_shown_as_it_is_read(page):
    app = page.open("launch")
    app = ending(app.text_input, "/lambda").set_value("0.1;1").run()
    assert "Read as 0.1, 1." in page_text(app) and launch_button(app).label == "Launch 2 runs"
    app = ending(app.text_input, "/lambda").set_value("0.1, 1").run()
    assert "Read as" not in page_text(app)


def test_the_baseline_of_several_regularizers_is_launched_once(page, live_api):
    app = page.open("launch")
    ending(app.number_input, "/epochs").set_value(2)
    ending(app.text_input, "/lambda").set_value("0, 1")
    methods = ending(app.multiselect, "/methods")
    app = methods.set_value([name for name in methods.options if "acobian" in name]).run()
    own = ending(app.text_input, "/methods/jacobian/lambda")
    assert own.value == "0.1, 1" and "first sweep with Jacobian" in own.help
    app = own.set_value("0, 1").run()
    assert launch_button(app).label == "Launch 3 runs" and "λ = 0 is trained once" in page_text(app)
    app = launch_button(app).click().run()
    page_text(app)
    runs = live_api.client.runs_of(launched(app, live_api).id)
    found = sorted((run.spec.regularizer.key, run.spec.lambda_) for run in runs)
    assert found == [("jacobian", 1), ("marginal_density", 0), ("marginal_density", 1)]


def test_a_batch_larger_than_the_training_set_is_said_at_its_field(page):
    app = page.open("launch")
    app = ending(app.number_input, "/batch").set_value(5000).run()
    assert "each step takes all 3,600 images" in below(app, "/batch")
    assert not launch_button(app).disabled


def test_training_against_attacks_begins_with_the_radius_of_the_evaluated_attack(page):
    app = page.open("launch")
    regularizer = ending(app.selectbox, "/regularizer/key")
    app = regularizer.set_value(next(name for name in regularizer.options if name.startswith("Adversarial"))).run()

    def radii():
        trained = next(item for item in app.number_input if "/regularizer/adversarial_training/epsilon" in item.key)
        evaluated = next(item for item in app.text_input if "/evaluations/pgd_linf/epsilons" in item.key)
        return trained.value, evaluated

    assert radii()[0] == 0.1 and radii()[1].value == "0.1"
    app = radii()[1].set_value("0.2, 0.3").run()
    assert radii()[0] == 0.2
    app = ending(app.selectbox, "/dataset/key").set_value("CIFAR-10").run()
    assert radii()[0] == 8 / 255 and float(radii()[1].value) == 8 / 255


def test_all_attacks_follow_the_radius_of_the_first_evaluated_one_until_they_are_given_another(page, live_api):
    app = page.open("launch")
    picked = ending(app.multiselect, "/evaluations")
    app = picked.set_value([entry for entry in picked.options if "L∞" in entry or "leakage" in entry.lower()]).run()
    regularizer = ending(app.selectbox, "/regularizer/key")
    app = regularizer.set_value(next(name for name in regularizer.options if name.startswith("Adversarial"))).run()
    schedule = ending(app.selectbox, "/schedule/key")
    app = schedule.set_value(next(name for name in schedule.options if "robustness" in name)).run()

    def radii():
        evaluated = [item.value for item in app.text_input if "/epsilons" in (item.key or "")]
        trained = [
            item.value
            for item in app.number_input
            if "/epsilon" in (item.key or "") and ("/regularizer/" in item.key or "/schedule/" in item.key)
        ]
        return evaluated, trained

    evaluated, trained = radii()
    assert len(evaluated) > 1 and set(evaluated) == {"0.1"} and trained == [0.1, 0.1]
    first = next(item for item in app.text_input if "/epsilons" in (item.key or ""))
    app = first.set_value("0.2").run()
    assert set(radii()[0]) == {"0.2"} and radii()[1] == [0.2, 0.2]
    assert "in training, " not in page_text(app)
    trained = next(item for item in app.number_input if "/regularizer/" in item.key and "/epsilon" in item.key)
    app = trained.set_value(0.03).run()
    text = page_text(app)
    assert "ε = 0.03 in training, 0.2 in evaluations" in text.replace("\\", "") and radii()[1] == [0.03, 0.2]
    app = next(item for item in app.button if item.label == "Use epsilon 0.2").click().run()
    assert radii()[1] == [0.2, 0.2] and "in training, " not in page_text(app)


@pytest.mark.parametrize("label", ["Adversarial training", "Fast adversarial training", "TRADES"])
def test_every_training_against_attacks_follows_the_evaluated_radius_until_it_is_edited(page, label):
    app = page.open("launch")
    regularizer = ending(app.selectbox, "/regularizer/key")
    app = regularizer.set_value("Fast adversarial training" if label == "TRADES" else "TRADES").run()
    app = ending(app.multiselect, "/methods").set_value([label]).run()

    def trained():
        return [item for item in app.number_input if "/epsilon" in item.key]

    def evaluate_at(radius: str):
        return next(item for item in app.text_input if "/epsilons" in (item.key or "")).set_value(radius).run()

    app = evaluate_at("0.05")
    assert [item.value for item in trained()] == [0.05, 0.05]
    app = trained()[1].set_value(0.03).run()
    app = evaluate_at("0.07")
    assert [item.value for item in trained()] == [0.07, 0.03]
    assert f"ε = 0.03 in training, 0.07 in evaluations: {label}" in page_text(app).replace("\\", "")
    app = trained()[1].set_value(0.05).run()  # the value that it began with
    assert [item.value for item in trained()] == [0.07, 0.05]


def test_further_regularizers_of_a_copy_follow_the_evaluated_radius(page, live_api):
    attack = {"key": "pgd_linf", "params": {"epsilons": [0.05]}}
    fast = {"key": "fast_adversarial_training", "params": {"epsilon": 0.05}}
    l2 = {"key": "adversarial_training", "params": {"epsilon": 0.05, "p_norm": "2"}}
    spec, others = {"epochs": 2, "evaluations": [attack]}, [{"regularizer": [item]} for item in (fast, l2)]
    runs = live_api.launch(spec, [{"lambda_": [0.1]}, *others])
    app = page.open("launch", **{"from": str(live_api.client.run(runs[0]).experiment)})
    app = next(item for item in app.text_input if "/epsilons" in (item.key or "")).set_value("0.3").run()
    radii = {item.key.split("/")[2]: item.value for item in app.number_input if "/epsilon" in item.key}
    assert radii == {"fast_adversarial_training": 0.3, "adversarial_training": 0.05}


def test_in_a_copy_the_training_follows_the_evaluated_radius_too(page, live_api):
    attack = {"key": "pgd_linf", "params": {"epsilons": [0.05]}}
    adversarial = {"key": "adversarial_training", "params": {"epsilon": 0.05}}
    (run,) = live_api.launch({"epochs": 2, "evaluations": [attack], "regularizer": adversarial})
    app = page.open("launch", clone=str(run))
    assert "nothing is changed yet" in page_text(app) and "PGD L∞ at ε = 0.05." in page_text(app)
    app = next(item for item in app.text_input if "/epsilons" in (item.key or "")).set_value("0.3").run()
    assert [item.value for item in app.number_input if "/adversarial_training/epsilon" in item.key] == [0.3]
    assert "PGD L∞ at ε = 0.3." in page_text(app)  # in view while the settings are folded


@pytest.mark.parametrize(
    "evaluations",
    [
        pytest.param([("square_linf", "test", [0.3]), ("pgd_linf", "test", [0.3])], id="in another order"),
        pytest.param([("pgd_linf", "test", [0.1, 0.2]), ("square_linf", "test", [0.1, 0.2])], id="several radii"),
        pytest.param([("pgd_linf", "test", [0.2]), ("pgd_linf", "validation", [0.2])], id="on validation images too"),
    ],
)
def test_a_copy_has_the_radii_of_its_run(evaluations, page, live_api):
    attacks = [
        {"key": key, "split": split, "params": {"epsilons": radii}, **({"name": "again"} if split != "test" else {})}
        for key, split, radii in evaluations
    ]
    (run,) = live_api.launch({"epochs": 2, "evaluations": attacks})
    copied = ExperimentRequest.model_validate(shown(page.open("launch", clone=str(run))))
    drawn = [
        (item["key"], item.get("split", "test"), item["params"]["epsilons"])
        for item in copied.spec["evaluations"]
        if item["key"] != "accuracy"
    ]
    assert sorted(drawn) == sorted(evaluations)


@pytest.mark.parametrize(("length", "said"), [(4_500, False), (12_000, True)])
def test_a_form_that_is_too_long_for_the_link_says_so(page, length, said):
    app = page.open("launch")
    notes = "".join(random.Random(0).choices(string.ascii_letters, k=length))
    app = next(item for item in app.text_area if item.label == "Notes").set_value(notes).run()
    assert (len(encoded(ExperimentRequest.model_validate(shown(app)))) > 7_000) is said
    assert ("too long for the page's link" in page_text(app)) is said


def test_the_weights_of_a_first_sweep_are_one_click_away(page):
    app = page.open("launch")
    assert "For a first sweep with Marginal-density smoothing: 1, 10." in ending(app.text_input, "/lambda").help
    offer = ending(app.button, "/lambda/first")
    assert offer.label == "First sweep: 0, 1, 10"
    app = offer.click().run()
    assert ending(app.text_input, "/lambda").value == "0, 1, 10" and launch_button(app).label == "Launch 3 runs"
    assert not any((item.key or "").endswith("/lambda/first") for item in app.button)
    app = ending(app.selectbox, "/regularizer/key").set_value("Input-gradient regularization").run()
    assert ending(app.button, "/lambda/first").label == "First sweep: 0, 0.3, 3"


def test_a_long_training_names_the_size_of_the_model_that_shortens_it(page):
    app = page.open("launch")
    ending(app.selectbox, "/model/key").set_value("Small CNN")
    app = ending(app.number_input, "/epochs").set_value(500).run()
    text = page_text(app)
    assert re.search(r"With Width \(channels\) 16 instead of 32 the training would take ≈ \d+ ", text)
    (low, high, unit) = re.search(r"in all ([\d.]+) to ([\d.]+) (s|min|h)", text).groups()
    assert float(high) == pytest.approx(4 * float(low), rel=0.2) and unit in ("min", "h")
    app = ending(app.number_input, "/epochs").set_value(1).run()
    assert "the training would take" not in page_text(app)


def test_name_and_tags_follow_the_settings_until_they_are_edited(page):
    app = page.open("launch")

    def labels():
        return ending(app.text_input, "/name").value, ending(app.multiselect, "/tags").value

    assert labels() == ("Quick look", ["quick"])
    app = ending(app.text_input, "/lambda").set_value("0, 1").run()
    name, tags = labels()
    assert "λ = 0, 1" in name and tags == ["blockmnist", "mlp", "marginal_density"]
    ending(app.text_input, "/name").set_value("mine")
    app = ending(app.text_input, "/lambda").set_value("0, 2").run()
    assert labels() == ("mine", tags)
    app = ending(app.text_input, "/name").set_value("").run()
    assert "λ = 0, 2" in labels()[0]
    app = ending(app.text_input, "/lambda").set_value("0.1").run()
    assert labels() == ("Quick look", ["quick"])


def test_labels_of_a_copied_experiment_follow_where_the_form_had_given_them(page, live_api):
    def labels(app):
        return ending(app.text_input, "/name").value, ending(app.multiselect, "/tags").value

    form = page.open("launch")
    form = ending(form.multiselect, "/methods").set_value(["Input-gradient regularization"]).run()
    automatic = launched(launch_button(form).click().run(), live_api)
    assert automatic.tags[2:] == ["marginal_density", "input_gradient"]
    copied = {"from": str(automatic.id)}
    app = page.open("launch", **copied)
    assert labels(app) == (f"Copy of {automatic.name}", automatic.tags)
    app = ending(app.multiselect, "/methods").set_value([]).run()
    name, tags = labels(app)
    assert tags == automatic.tags[:3] and "Input" not in name and "Copy" not in name

    live_api.client.change_experiment(automatic.id, ExperimentPatch(name="Mine"))
    app = ending(Page().open("launch", **copied).multiselect, "/methods").set_value([]).run()
    name, tags = labels(app)
    assert name.startswith("Copy of Mine: ") and tags == automatic.tags[:3]
    live_api.client.change_experiment(automatic.id, ExperimentPatch(tags=["mine"]))
    app = ending(Page().open("launch", **copied).multiselect, "/methods").set_value([]).run()
    assert labels(app)[1] == ["mine"]


def test_a_copy_and_its_changes_survive_a_reload_and_stand_first(page, live_api):
    (run,) = live_api.launch({"epochs": 2, "evaluations": [], "lambda_": 0.1234567})
    app = page.open("launch", clone=str(run))
    assert f"Copy of run {run}" in page_text(app) and "nothing is changed yet" in page_text(app)
    assert ending(app.text_input, "/lambda").value == "0.1234567"
    app = ending(app.number_input, "/epochs").set_value(5).run()
    assert "Epochs: ~~2~~ → **5**" in page_text(app)
    draft = encoded(ExperimentRequest.model_validate(shown(app)))

    again = Page().open("launch", clone=str(run), draft=draft)
    assert ending(again.number_input, "/epochs").value == 5 and "Epochs: ~~2~~ → **5**" in page_text(again)
    assert shown(again) == shown(app)
    ending(again.text_input, "/lambda").set_value("1").run()
    assert "Epochs 2 → 5, λ 0.1234567 → 1" in ending(again.text_input, "/name").value


def shown(app) -> dict[str, Any]:
    """Return the request that the form shows, from the command for other tools."""
    return json.loads(app.code[0].value.partition("-d '")[2].removesuffix("'"))


def test_a_link_with_a_damaged_draft_fills_the_form_without_it(page):
    app = page.open("launch", unfold=False, preset="demo", draft="not a draft")
    assert "cannot be read" in " ".join(item.value for item in app.warning)
    assert launch_button(app).label == "Launch 9 runs"


@pytest.mark.parametrize("other,said", [("adversarial_training", True), ("input_gradient", False)])
def test_the_regularizer_that_takes_most_of_the_training_is_named(page, other, said):
    """A step with an attack of ten steps takes many passes; both gradient penalties take equally many."""
    sweep = [{"lambda_": [0.1, 1], "seed": [0]}, {"regularizer": [{"key": other}], "lambda_": [1], "seed": [0]}]
    draft = encoded(
        ExperimentRequest(name="two", spec={"evaluations": [], "regularizer": {"key": "marginal_density"}}, sweep=sweep)
    )
    text = page_text(page.open("launch", draft=draft)).replace("\\", "")
    assert ("Adversarial training takes" in text) is said and (" % of the training." in text) is said
