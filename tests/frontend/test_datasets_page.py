"""The page of data sets, against a real API process."""

import pytest
from sqlalchemy import delete

from backend.shared.tables import DatasetRow

pytestmark = pytest.mark.timeout(120)


def said(app) -> str:
    """Everything that the page says, as one text."""
    assert not app.exception, app.exception[0].value
    return "\n".join(str(part.value) for part in [*app.title, *app.markdown, *app.caption, *app.info, *app.error])


def images(app) -> str:
    return next(item.proto.body for item in app.get("html") if "<figure" in item.proto.body)


def test_what_is_ready_is_told_from_what_is_not_and_images_are_shown(page, live_api):
    live_api.prepare()
    app = page.open("datasets")
    text = said(app)
    assert "ready]" in text and "20 train, 20 validation, 20 test" in text
    assert "20 images" in text
    shown = images(app)
    assert shown.count("<img") == 20 and shown.count("data:image/png") == 20 and 'alt="image 3, 3' in shown


def test_images_of_one_class_and_of_none(page, live_api):
    live_api.prepare()
    app = page.open("datasets")
    chooser = next(item for item in app.selectbox if item.label == "Class")
    app = chooser.set_value(4).run()
    assert "2 images" in said(app)
    assert images(app).count("<img") == 2
    app = next(item for item in app.number_input if item.label == "From image").set_value(1000).run()
    assert "No image from there on" in said(app)


def test_preparing_is_asked_for_and_its_progress_shown(page, live_api):
    with live_api.database.write() as session:
        session.execute(delete(DatasetRow))
    app = page.open("datasets")
    assert "not prepared]" in said(app) and "No data set is ready yet" in said(app)
    app = next(item for item in app.button if item.key == "prepare-blockmnist").click().run()
    assert "is being prepared]" in said(app)
    assert live_api.client.dataset("blockmnist").status == "preparing"
    said(next(item for item in app.button if item.key == "cancel-blockmnist").click().run())
    assert live_api.client.dataset("blockmnist").status == "absent"
    live_api.prepare()
