"""The page of data sets, against a real API process."""

import io

import numpy as np
import pytest
from sqlalchemy import delete

from densitylab.backend.shared.contracts import (
    Attribute,
    PreviewColumn,
    PreviewCount,
    RegistrationPreview,
    Status,
    TaskKind,
)
from densitylab.backend.shared.store import datasets, registered_datasets, registration_previews
from densitylab.backend.shared.tables import DatasetRow
from densitylab.frontend.launch_form.register_form import sides_of
from tests.frontend.page_text import linked, page_text

pytestmark = pytest.mark.timeout(120)


def images(app) -> str:
    return next(item.proto.body for item in app.get("html") if "<figure" in item.proto.body)


def test_what_is_ready_is_told_from_what_is_not_and_images_are_shown(page, live_api):
    live_api.prepare()
    app = page.open("datasets")
    text = page_text(app)
    assert "ready]" in text and "20 train, 20 validation, 20 test" in text
    assert "20 images" in text
    shown = images(app)
    assert shown.count("<img") == 20 and shown.count("data:image/png") == 20 and 'alt="image 3, 3' in shown


def test_images_of_one_class_and_of_none(page, live_api):
    live_api.prepare()
    app = page.open("datasets")
    chooser = next(item for item in app.selectbox if item.label == "Class")
    app = chooser.set_value(4).run()
    assert "2 images" in page_text(app)
    assert images(app).count("<img") == 2
    app = next(item for item in app.number_input if item.label == "From index").set_value(1000).run()
    assert "No images from this index on" in page_text(app)


def test_images_are_shown_after_the_runs_page_too(page, live_api):
    live_api.prepare()
    live_api.launch({"evaluations": []})
    page_text(page.open("runs"))
    assert images(page.open("datasets")).count("<img") == 20


def test_preparing_is_asked_for_and_its_progress_shown(page, live_api):
    with live_api.database.write() as session:
        session.execute(delete(DatasetRow))
    app = page.open("datasets")
    assert "not prepared]" in page_text(app) and "No data set is ready yet" in page_text(app)
    app = next(item for item in app.button if item.key == "prepare-blockmnist").click().run()
    assert "preparing]" in page_text(app)
    assert live_api.client.dataset("blockmnist").status == "preparing"
    page_text(next(item for item in app.button if item.key == "cancel-blockmnist").click().run())
    assert live_api.client.dataset("blockmnist").status == "absent"
    live_api.prepare()


def submit(app, button="Register", **typed):
    """Fill the form and press its button."""
    for name, value in typed.items():
        field = app.selectbox if name == "size" else app.text_input
        field(key=f"register-{name}").set_value(value)
    return next(item for item in app.button if item.label == button).click().run()


def test_a_folder_is_registered_and_its_progress_followed(page, live_api):
    app = submit(page.open("datasets"), label="Page birds", path="birds")
    task = live_api.client.task(int(linked(app, "registering")))
    assert task.kind == "register" and task.status == "queued"
    app = next(item for item in app.button if item.key == "cancel-register").click().run()
    assert "The registration was cancelled; nothing was stored." in page_text(app)


def test_what_is_wrong_with_a_registration_is_said_beside_the_form(page, live_api):
    app = submit(page.open("datasets"), label="Page birds", path="../birds")
    assert "Must be a path below the data folder" in page_text(app)


@pytest.mark.parametrize(
    ("text", "sides"), [("unchanged", None), ("120", [120, 120]), ("96×128", [96, 128]), ("96 x 128", [96, 128])]
)
def test_an_image_size_is_one_number_or_two(text, sides):
    assert sides_of(text) == sides
    with pytest.raises(ValueError, match="expected one number of pixels, or height×width, got 'large'"):
        sides_of("large")


def test_a_preview_shows_what_was_recognised_and_its_columns_are_registered(page, live_api):
    app = submit(page.open("datasets"), "Preview", path="birds", size="64")
    claim = live_api.newest_task(TaskKind.PREVIEW)
    task_id = claim.task_id
    assert claim.payload["path"] == "birds" and claim.payload["image_size"] == [64, 64]
    roles = {"file": "image", "y": "label", "place": "attribute", "id": None}
    columns = [PreviewColumn(name=n, role=r, distinct=2, examples=["0"], reason="") for n, r in roles.items()]
    found = RegistrationPreview(
        id=task_id,
        layout="table",
        problems=["metadata.csv, line 4, column y: there is no label"],
        columns=columns,
        class_names=["0", "1"],
        attributes=[Attribute(name="place", values=["land", "water"])],
        group_names=["0, land", "0, water", "1, land", "1, water"],
        grouped_by=["place"],
        counts=[PreviewCount(label=1, group=2, train=3, validation=1, test=2)],
        sizes=[],
        sized=0,
        has_mask=False,
        images=[],
        passed_over=["README"],
        passed_over_count=1,
        notes=[],
    )
    with live_api.database.write() as session:
        registration_previews.keep(session, task_id, found)
    live_api.end(claim, Status.SUCCEEDED)
    app = app.run()
    text = page_text(app)
    assert "a table of images, 6 images" in text and "metadata.csv, line 4, column y\\: there is no label" in text
    assert any(list(table.value.get("Group", [])) == ["1, land"] for table in app.dataframe)
    app.selectbox(key=f"register-{task_id}-label").set_value("id")
    app = submit(app, label="Page table")
    assert "registering" in app.query_params, page_text(app)
    payload = live_api.newest_task(TaskKind.REGISTER).payload
    assert payload["columns"] == {
        "image": "file",
        "label": "id",
        "split": "",
        "mask": "",
        "group": "",
        "attributes": ["place"],
    }
    assert payload["group_by"] == ["place"] and payload["image_size"] == [64, 64]


def test_a_data_set_with_groups_shows_their_counts_and_is_removed(page, live_api):
    facts = {
        "num_classes": 2,
        "class_names": ["a", "b"],
        "group_names": ["x", "y"],
        "channels": 3,
        "image_size": [8, 8],
        "mean": [0.5] * 3,
        "std": [0.2] * 3,
        "train_size": 4,
        "has_mask": False,
        "has_groups": True,
    }
    content = io.BytesIO()
    np.savez(
        content,
        **{
            f"{split}_{name}": array
            for split in ("train", "validation", "test")
            for name, array in (
                ("images", np.zeros((4, 3, 8, 8), np.uint8)),
                ("labels", np.arange(4) % 2),
                ("groups", np.arange(4) // 2),
            )
        },
    )
    live_api.store.write("datasets/mine/x.npz", content.getvalue())
    with live_api.database.write() as session:
        registered_datasets.add(session, "mine", label="Mine", summary="Own images.", facts=facts)
        datasets.set_ready(
            session,
            "mine",
            {},
            size=10,
            data_hash="d" * 64,
            sizes={"train": 4, "test": 4},
            class_counts={"train": [2, 2]},
            group_counts={"train": [3, 1]},
            samples_location="datasets/mine/x.npz",
        )
    app = page.open("datasets")
    app = next(item for item in app.selectbox if item.label == "Data set").set_value("mine").run()
    assert "2 groups" in page_text(app) and "image 2, a, y" in images(app)
    assert "**Images per group**" in page_text(app)  # beside the images, not folded
    assert any(list(table.value["train"]) == [3, 1] for table in app.dataframe)
    app = next(item for item in app.button if item.key == "remove-mine").click().run()
    assert "**Mine**, 10 B, is removed from the disk" in page_text(app)  # a dialog's own button needs a real browser
    assert live_api.client.remove_dataset("mine").bytes > 10
    assert "Mine" not in page_text(page.open("datasets"))
