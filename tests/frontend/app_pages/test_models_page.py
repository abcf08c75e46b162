"""The form that imports a model, against a real API process; the tests write what a worker would."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from densitylab.backend.shared.contracts import Misfit, Misfits, Status, TaskKind
from densitylab.backend.shared.store.tasks import Claim
from tests.frontend.conftest import INSPECTION
from tests.frontend.page_text import button, page_text

pytestmark = pytest.mark.timeout(120)
MODELS: Any = INSPECTION["models"]


def widget(app: AppTest, label: str) -> Any:
    """Return the input with this label."""
    kinds = (app.text_input, app.text_area, app.number_input, app.selectbox, app.radio, app.checkbox, app.multiselect)
    return next(item for kind in kinds for item in kind if item.label == label)


def inspected(page, live_api, **found: object) -> AppTest:
    """Upload a file and have it inspected."""
    app = page.open("models")
    page_text(app)
    assert button(app, "Inspect the file").disabled
    app = app.file_uploader[0].set_value(("stranger.pt", b"weights", "application/octet-stream")).run()
    app = button(app, "Inspect the file").click().run()
    assert page_text(app).count("Import a model") == 1 and "inspection" in app.query_params
    live_api.inspect(**found)
    app = app.run()
    page_text(app)
    return app


def sent(live_api, app: AppTest) -> tuple[AppTest, Claim, dict[str, Any]]:
    """Click on Import; return the page, the import's claim and the request as the API stored it."""
    app = button(app, "Import").click().run()
    page_text(app)
    assert "import" in app.query_params, page_text(app)
    held = live_api.newest_task(TaskKind.IMPORT)
    return app, held, held.payload["request"]


def test_from_the_file_to_the_accuracy(page, live_api):
    live_api.prepare()
    app = inspected(page, live_api)
    text = page_text(app)
    for part in (
        "PyTorch checkpoint, read without running code",
        "12 tensors with 1,500,000 numbers, under state\\_dict",
        "removed: module.",
        "half precision; converted to single precision",
        "Outputs: 10",
        "none in the file",
    ):
        assert part in text
    fits = widget(app, "Networks that fit")
    assert fits.options == ["Small CNN (width = 16): every weight fits", "MLP: 1 of 6 weights fit", "another network"]
    assert widget(app, "Width (channels)").value == 16
    assert not any(item.label == "Load what fits" for item in app.checkbox)
    widget(app, "Source").set_value("a colleague")
    app, held, request = sent(live_api, app.run())
    assert request["model"]["key"] == "cnn" and request["model"]["params"]["width"] == 16
    assert request["normalization"] is None and request["class_order"] is None and request["lambda_"] is None
    assert request["source"] == "a colleague" and not request["partial"]
    assert request["upload"] == held.payload["inspection"]
    assert request["evaluations"] == []  # accuracy alone, unless more is chosen
    run = live_api.import_model("stranger.pt", held=held)
    text = page_text(app.run())
    assert f"Run {run}: imported model stranger.pt" in text.replace("\\", "")
    live_api.measure(run, accuracy__accuracy=0.9173)
    app = app.run()
    page_text(app)
    assert app.metric[0].value == "0.9173" and "95 % interval 0.9073 to 0.9273, n = 1,000" in page_text(app)


def test_a_failed_import_says_what_does_not_fit_and_keeps_the_way_back(page, live_api):
    live_api.prepare()
    app, held, _ = sent(live_api, inspected(page, live_api))
    error = "stranger.pt was not imported. 1 weight missing in the file: head.bias (nearest: fc.bias)."
    misfit = Misfit(problem="missing", name="head.bias", network_shape=[10], nearest="fc.bias", nearest_shape=[1000])
    live_api.fail_import(held, error, Misfits(total=1, items=[misfit]))
    app = app.run()
    page_text(app)
    assert "head.bias (nearest\\: fc.bias)" in app.error[0].value
    table = next(item.value for item in app.dataframe if "Problem" in item.value)
    assert table.values.tolist() == [["missing in the file", "head.bias", "—", "10", "fc.bias (1000)"]]
    app = button(app, "Import another").click().run()
    assert not app.error and "import" not in app.query_params


def test_a_refused_file_is_a_sentence(page, live_api):
    app = page.open("models")
    app = app.file_uploader[0].set_value(("page.pt", b"<html>", "application/octet-stream")).run()
    app = button(app, "Inspect the file").click().run()
    live_api.end(live_api.newest_task(TaskKind.INSPECT), Status.FAILED, "The file is a web page (HTML), not a model.")
    app = app.run()
    page_text(app)
    assert "The file is a web page (HTML), not a model." in app.error[0].value
    assert not any(item.label == "Import" for item in app.button)


def test_another_network_and_a_partial_load(page, live_api):
    live_api.prepare()
    misfit = Misfit(problem="wrong_shape", name="fc.weight", file_shape=[1000, 4], network_shape=[10, 4])
    mlp = MODELS[1] | {"misfits": Misfits(total=9, items=[misfit]).model_dump()}
    app = inspected(page, live_api, models=[MODELS[0], mlp])
    assert not any("Problem" in item.value for item in app.dataframe)  # the first one fits
    app = widget(app, "Networks that fit").set_value(1).run()
    table = next(item.value for item in app.dataframe if "Problem" in item.value)
    assert table.values.tolist() == [["another shape", "fc.weight", "1000 × 4", "10 × 4", ""]]
    assert "8 further weights not listed." in page_text(app)
    app = widget(app, "Load what fits").set_value(True).run()
    _, _, request = sent(live_api, app)
    assert request["model"]["key"] == "mlp" and request["partial"]


def test_classes_by_their_names(page, live_api):
    live_api.prepare()
    names = [f"digit {label}" for label in range(12)]
    app = inspected(page, live_api, outputs=12, class_names=names, class_order=list(range(2, 12)))
    assert widget(app, "Order of the classes").options == ["by the names of the outputs", "by a table"]
    area = next(item for item in app.text_area if item.label.startswith("Names of the 12 outputs"))
    assert area.value.splitlines() == names
    app = area.set_value("one").run()
    assert "Write the name of each output on a line of its own" in page_text(app) and button(app, "Import").disabled
    app = next(item for item in app.text_area if item.label.startswith("Names")).set_value("cat\ndog").run()
    app = button(app, "Import").click().run()
    assert "import" not in app.query_params and "give class\\_order instead" in page_text(app)


def test_classes_by_a_table(page, live_api):
    live_api.prepare()
    app = inspected(page, live_api, outputs=12)
    table = app.data_editor[0].value
    assert list(table["Class"])[:2] == ["0", "1"] and list(table["Output"])[9] == "9"
    _, _, request = sent(live_api, app)
    assert request["outputs"] == 12 and request["class_order"] == list(range(10))


def test_a_declared_normalisation_and_what_cannot_be_read(page, live_api):
    live_api.prepare()
    app = inspected(page, live_api)
    app = widget(app, "Image normalisation").set_value("given").run()
    app = widget(app, "Mean of each channel").set_value("half").run()
    assert "Write a number for each channel" in page_text(app) and button(app, "Import").disabled
    app = widget(app, "Mean of each channel").set_value("0.13").run()
    app = widget(app, "Input height").set_value(32).run()
    assert "Give both height and width, or neither" in page_text(app) and button(app, "Import").disabled
    app = widget(app, "Input width").set_value(32).run()
    app = widget(app, "λ (penalty weight)").set_value(0.1).run()
    _, _, request = sent(live_api, app)
    assert request["mean"] == [0.13] and request["std"] == [0.25] and request["image_size"] == [32, 32]
    assert request["lambda_"] == 0.1 and request["regularizer"] is not None


def test_a_wrong_parameter_is_said_at_its_field(page, live_api):
    live_api.prepare()
    app = inspected(page, live_api)
    app = widget(app, "Networks that fit").set_value(2).run()
    app = (
        widget(app, "Network")
        .set_value(next(entry for entry in live_api.client.catalog().entries("model") if entry.key == "timm"))
        .run()
    )
    app = widget(app, "Name").set_value("").run()
    app = button(app, "Import").click().run()
    assert "import" not in app.query_params
    errors = [item.value for item in app.markdown if ":red[" in item.value]
    assert errors == [":red[:material/error: Expected a text of 1 to 200 printable characters, got ''.]"]
    assert widget(app, "Name").value == "" and widget(app, "Networks that fit").value == 2


def test_published_weights_need_no_file(page, live_api):
    live_api.prepare()
    app = page.open("models")
    app = app.segmented_control(key="source").set_value("published weights").run()
    page_text(app)
    assert "Network" in {item.label for item in app.selectbox} and not app.file_uploader
    _, held, request = sent(live_api, app)
    assert request["model"]["params"]["pretrained"] and request["upload"] is None and held.payload["upload"] is None
