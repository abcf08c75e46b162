"""Every input of the pages with a value that the API or a contract refuses: a sentence beside it, and nothing lost."""

import re
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.frontend.page_text import button, page_text

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": []}
TAG = "A tag has letters, digits"
LONG = "x" * 20_001


def widget(app: AppTest, label: str) -> Any:
    """The input with this label, or with a key that ends so."""
    kinds = (app.text_input, app.text_area, app.multiselect, app.number_input)
    found = [item for kind in kinds for item in kind if item.label == label or (item.key or "").endswith(label)]
    assert found, f"no input {label}"
    return found[0]


def below(app: AppTest, label: str) -> str:
    """The text of the element that follows the input."""
    elements = [item for item in app.main if item.type not in ("empty", "unknown") and not hasattr(item, "children")]
    ids = [getattr(item, "id", None) for item in elements]
    following = elements[ids.index(widget(app, label).id) + 1]
    return str(getattr(following, "value", ""))


def refused(app: AppTest, label: str, value: Any, click: str | None, sentence: str) -> AppTest:
    """The input takes the value, and after the click says below itself why it is refused."""
    widget(app, label).set_value(value)
    app = app.run() if click is None else button(app, click).click().run()
    text = page_text(app)
    assert sentence.replace(":", "\\:") in below(app, label), text
    assert not re.search(r"pydantic|Traceback|string_|Input should", text)
    assert widget(app, label).value == value
    return app


@pytest.fixture(scope="module")
def run(live_api) -> int:
    live_api.prepare()
    (number,) = live_api.launch(SMALL)
    live_api.finish(number, accuracy__accuracy=0.9)
    live_api.keep_predictions(number, [0] * 20)
    return number


@pytest.mark.parametrize(
    ("label", "value", "click", "sentence"),
    [
        ("Tags", ["my tag!"], "Save", TAG),
        ("evaluation/name", "My name", "Evaluate", "Expected lower-case letters, digits and"),
    ],
)
def test_inputs_of_a_run(page, live_api, run, label, value, click, sentence):
    refused(page.open("run", run=str(run)), label, value, click, sentence)
    assert live_api.client.run(run).tags == []


@pytest.mark.parametrize(
    ("label", "value", "click", "sentence"),
    [
        ("Tags", ["fine", "=1+1"], "Save", TAG),
        ("Name", "   ", "Save", "Must have a character that is not a space"),
    ],
)
@pytest.mark.few(4)
def test_inputs_of_an_experiment(page, live_api, run, label, value, click, sentence):
    experiment = live_api.client.run(run).experiment
    refused(page.open("experiment", experiment=str(experiment)), label, value, click, sentence)
    assert len(live_api.client.experiment(experiment).runs) == 1


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        ("λ", "-1", "Expected a number of at least 0; got -1"),
        ("λ", "1e+07", "Expected a number of at most 1000000"),
        ("λ", "nan", "'nan' is not a finite number"),
        ("λ", "1e-400", "rounds to 0"),
        ("Seeds", "-3", "Expected a number of at least 0; got -3"),
        ("Seeds", "0.5", "'0.5' is not a whole number"),
        ("Seeds", "4294967296", "Expected a number of at most 2147483647"),
    ],
)
@pytest.mark.few(4)
def test_seeds_and_weights_to_add(page, live_api, run, kind, value, sentence):
    experiment = live_api.client.run(run).experiment
    app = page.open("experiment", experiment=str(experiment))
    app.session_state["adding"] = True  # the popover is open
    app = app.run().segmented_control(key="adding/kind").set_value(kind).run()
    app = refused(app, "More λ" if kind == "λ" else "More seeds", value, None, sentence)
    assert not [item for item in app.button if item.label.startswith("Add ")]
    assert len(live_api.client.experiment(experiment).runs) == 1


@pytest.mark.parametrize(
    ("label", "value", "sentence"),
    [
        ("/lambda", "0, -1", "Expected a number of at least 0; got -1"),
        ("/seeds", "-1", "Expected a number of at least 0; got -1"),
        ("/device", "gpu", "Expected auto, cpu, cuda, or a numbered GPU"),
    ],
)
def test_inputs_of_a_launch_that_the_api_refuses(page, live_api, label, value, sentence):
    count = len(live_api.client.experiments(limit=200).items)
    app = refused(page.open("launch"), label, value, None, sentence)
    assert next(item for item in app.button if item.key == "launch-button").disabled
    assert len(live_api.client.experiments(limit=200).items) == count


@pytest.mark.parametrize(
    ("label", "value", "sentence"),
    [
        ("/tags", ["my tag!"], TAG),
        ("/name", "  ", "Must have a character that is not a space"),
        ("/notes", LONG, "Expected at most 20,000 characters"),
        ("/lambda", "1e-400", "rounds to 0"),
        ("/seeds", "a", "'a' is not a whole number"),
    ],
)
def test_inputs_of_a_launch_that_the_page_refuses(page, label, value, sentence):
    app = refused(page.open("launch"), label, value, None, sentence)
    assert next(item for item in app.button if item.key == "launch-button").disabled


@pytest.mark.parametrize(
    ("label", "value", "sentence"),
    [
        ("register-label", "ü", "Must be printable, with a letter from a to z or a digit"),
        ("register-label", "", "Expected 1 character or more"),
        ("register-path", "../birds", "Must be a path below the data folder"),
    ],
)
def test_inputs_of_a_registration(page, label, value, sentence):
    app = page.open("datasets")
    others = {"register-label": "birds", "register-path": "birds"} | {label: value}
    for name, text in others.items():
        widget(app, name).set_value(text)
    refused(app, label, value, "Register", sentence)


@pytest.mark.parametrize("name", ["saliency", "stability", "density"])
@pytest.mark.parametrize(
    ("value", "sentence"), [("99999", "image 99999"), ("some", "'some' is not a whole number"), ("-1", "-1")]
)
@pytest.mark.few(4)
def test_the_indices_of_images(page, run, name, value, sentence):
    app = page.open(name, runs=str(run))
    widget(app, "lab_samples").set_value(value)
    app = app.run()
    text = page_text(app)
    assert sentence in text or "0 to 19" in text
    assert widget(app, "lab_samples").value == value


@pytest.mark.parametrize(("name", "label"), [("runs", "q"), ("experiments", "search"), ("run", "log")])
def test_a_search_of_a_link_that_is_too_long(page, run, name, label):
    page_text(page.open(name, **{label: "x" * 201}, **({"run": str(run)} if name == "run" else {})))
