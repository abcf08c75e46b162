"""The saliency page against a real API process whose maps the test draws."""

import pytest
from streamlit.testing.v1 import AppTest

pytestmark = pytest.mark.timeout(120)


def said(app: AppTest) -> str:
    assert not app.exception, app.exception[0].value
    parts = [*app.title, *app.subheader, *app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(str(part.value) for part in parts)


def pictures(app: AppTest) -> str:
    """What the page draws as HTML."""
    return "\n".join(block.proto.body for block in app.get("html"))


def button(app: AppTest, label: str):
    return next(item for item in app.button if item.label == label)


@pytest.fixture
def trained(live_api) -> list[int]:
    live_api.prepare()
    found = live_api.launch({"evaluations": []}, {"lambda_": [0, 1]})
    for run_id in found:
        live_api.finish(run_id, accuracy__accuracy=0.9)
    return found



def test_maps_of_two_runs_from_the_request_to_the_pictures(page, live_api, trained):
    app = page.open("saliency", runs=",".join(map(str, trained)), samples="3,5")
    said(app)
    assert "<figure" not in pictures(app)  # not drawn yet
    asked = live_api.draw()
    assert (asked.runs, asked.samples.indices, asked.method, asked.target) == (trained, [3, 5], "gradient", "label")
    app = app.run()
    text = said(app)
    assert "One scale for all maps: ±1.5" in text
    assert pictures(app).count("<figure") == 2 * 4  # each image with its mask and two maps
    assert "test image 3" in pictures(app) and "λ 1" in pictures(app)
    assert [item.label for item in app.get("download_button")] == ["PNG", "NPZ"]
    numbers = app.dataframe[0].value
    assert list(numbers["run"]) == [trained[0], trained[0], trained[1], trained[1]]


def test_the_whole_view_is_the_link(page, live_api, trained):
    query = {"runs": str(trained[1]), "samples": "7,2", "method": "smoothgrad", "target": "4", "zoom": "5",
             "params": '{"sigma":0.5}', "contrast": "10", "class": "2", "wrong": "all"}
    app = page.open("saliency", **query)
    said(app)
    asked = live_api.draw()
    assert (asked.runs, asked.samples.indices, asked.method, asked.target) == ([trained[1]], [7, 2], "smoothgrad", 4)
    assert asked.params["sigma"] == 0.5 and asked.params["samples"] == 16
    kept = {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}
    assert kept == {**{name: value for name, value in query.items() if name != "wrong"}}
    assert "±0.15" in said(app.run())


def test_next_and_back_go_through_the_images(page, live_api, trained):
    app = page.open("saliency", runs=str(trained[0]), samples="0,1,2")
    said(app)
    app = button(app, "Next").click().run()
    assert app.text_input(key="map_images").value == "3,4,5"
    app = button(app, "Back").click().run()
    assert app.text_input(key="map_images").value == "0,1,2"
    app = button(app, "Back").click().run()  # from the first to the last
    assert app.text_input(key="map_images").value == "17,18,19"


def test_images_by_class_and_by_mistake(page, live_api, trained):
    right = [index % 10 for index in range(20)]
    live_api.keep_predictions(trained[0], right)
    live_api.keep_predictions(trained[1], [0, *right[1:14], 0, *right[15:]])  # 14 is wrong
    app = page.open("saliency", runs=",".join(map(str, trained)))
    said(app)
    assert app.text_input(key="map_images").value == "0,1,2,3,4,5,6,7"
    app = app.selectbox(key="map_class").select("4").run()
    assert app.text_input(key="map_images").value == "4,14"
    app = app.selectbox(key="map_wrong").select(str(trained[1])).run()
    assert app.text_input(key="map_images").value == "14"
    app = app.selectbox(key="map_wrong").select("disagree").run()
    assert app.text_input(key="map_images").value == "14"
    app = app.selectbox(key="map_class").select("5").run()
    assert "No test image passes" in said(app)


def test_a_map_of_zeros_says_so(page, live_api, trained):
    app = page.open("saliency", runs=str(trained[0]), samples="1")
    live_api.draw(zero=True)
    app = app.run()
    said(app)
    assert "zero everywhere" in pictures(app)


def test_without_runs_the_page_says_what_to_do(page, trained):
    assert "Choose runs above" in said(page.open("saliency"))


@pytest.mark.parametrize(("query", "words"), [
    ({"runs": "999999"}, "No longer there: run 999999"),
    ({"runs": "x"}, "not a list of whole"),
    ({"runs": "T", "samples": "5000"}, "expected 0 to 19"),
    ({"runs": "T", "samples": "1,a"}, "not a list of whole"),
    ({"runs": "T", "samples": ",".join(map(str, range(17)))}, "at most 16 images"),
    ({"runs": "T", "method": "magic"}, "magic, which is not on offer"),
    ({"runs": "T", "target": "12"}, "there are 10"),
    ({"runs": "T", "class": "77"}, "there are 10"),
    ({"runs": "T", "params": "{"}, "cannot be read"),
    ({"runs": "T", "method": "smoothgrad", "params": '{"sigma": 7}'}, "sigma"),
])
def test_bad_links(page, trained, query, words):
    query = {name: str(trained[0]) if value == "T" else value for name, value in query.items()}
    assert words in said(page.open("saliency", **query))


def test_a_run_that_still_trains_is_said(page, live_api, trained):
    waiting, = live_api.launch()
    assert "queued" in said(page.open("saliency", runs=f"{trained[0]},{waiting}"))


def test_runs_of_different_images_are_said(page, live_api, trained):
    other, = live_api.launch({"evaluations": [], "dataset": {"key": "blockmnist", "params": {"data_seed": 5}}})
    live_api.finish(other, accuracy__accuracy=0.9)
    assert "maps of different images cannot be compared" in said(
        page.open("saliency", runs=f"{trained[0]},{other}", samples="1"))
