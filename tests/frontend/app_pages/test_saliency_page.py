"""The saliency page against a real API process whose maps the test draws."""

import re

import pytest

from densitylab.backend.shared.contracts import RunPatch
from tests.frontend.page_text import button, linked, page_text, pictures

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def trained(live_api) -> list[int]:
    live_api.prepare()
    return live_api.train({"evaluations": []}, {"lambda_": [0, 1]})


def test_maps_of_two_runs_from_the_request_to_the_pictures(page, live_api, trained):
    app = page.open("saliency", runs=",".join(map(str, trained)), samples="3,5")
    page_text(app)
    assert "<figure" not in pictures(app)  # not drawn yet
    asked = live_api.draw()
    assert (asked.runs, asked.samples.indices, asked.method, asked.target) == (trained, [3, 5], "gradient", "label")
    app.session_state["saliency-table"] = True
    app = app.run()
    text = page_text(app)
    assert "One scale for all maps: ±1.5" in text
    assert pictures(app).count("<figure") == 2 * 3  # each image and its two maps
    assert "dashed: null region" in pictures(app) and "Red raises the class score, blue lowers it" in text
    assert "test image 3" in pictures(app) and "λ 1" in pictures(app)
    assert [item.label for item in app.sidebar.get("download_button")] == ["PNG", "SVG", "NPZ"]
    assert [item.label for item in app.main.get("download_button")] == ["CSV", "JSON"]
    numbers = app.dataframe[0].value
    assert list(numbers["run"]) == [trained[0], trained[0], trained[1], trained[1]]


def test_the_pictures_of_an_image_share_the_rows_of_their_card(page, live_api, trained):
    app = page.open("saliency", runs=",".join(map(str, trained)), samples="3,5")
    page_text(app)
    live_api.draw()
    rows = re.findall(r'class="dl-row" style="--cell:(\d+)px;--count:(\d+)"', pictures(app.run()))
    assert len(rows) == 2 and {count for _, count in rows} == {"3"}  # the image and its two maps


def test_the_whole_view_is_the_link(page, live_api, trained):
    query = {
        "runs": str(trained[1]),
        "samples": "7,2",
        "method": "smoothgrad",
        "target": "4",
        "zoom": "5",
        "params": '{"sigma":0.5}',
        "clip": "50.0",
        "class": "2",
        "pin": "9",
        "starred": "2,11",
        "set": "odd ones",
        "sign": "positive",
        "palette": "grey",
        "opacity": "0.5",
        "outline": "False",
    }
    app = page.open("saliency", **query)
    page_text(app)
    asked = live_api.draw()
    assert (asked.runs, asked.method, asked.target) == ([trained[1]], "smoothgrad", 4)
    assert asked.samples.indices == [9, 7, 2]  # the pinned one in front
    assert asked.params["sigma"] == 0.5 and asked.params["samples"] == 16
    app = app.run()
    text = page_text(app)
    kept = {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}
    assert kept == query
    assert "One scale for all maps: 0 to 0." in text and "50th percentile" in text
    assert "test image 9 · pinned" in pictures(app)


@pytest.mark.parametrize("name", ["saliency", "stability", "density"])
def test_the_controls_are_in_the_sidebar_and_the_results_on_the_page(page, live_api, trained, name):
    app = page.open(name, runs=str(trained[0]), samples="3")
    if name != "density":
        live_api.draw()
        app = app.run()
    page_text(app)
    groups = [item.label for item in app.sidebar.expander]
    assert (
        groups
        == {
            "saliency": ["Runs", "Images", "Method", "Display"],
            "stability": ["Runs", "Images", "Method", "Perturbation", "Display"],
            "density": ["Runs", "Images", "Direction"],
        }[name]
    )
    assert "lab_samples" in [item.key for item in app.sidebar.text_input]
    left = [*app.main.selectbox, *app.main.slider, *app.main.multiselect, *app.main.checkbox]
    assert [item.key for item in left] == (["lab_measure", "lab_curve_images"] if name == "stability" else [])


def test_next_and_back_go_through_the_images(page, live_api, trained):
    app = page.open("saliency", runs=str(trained[0]), samples="0,1,2")
    page_text(app)
    app = button(app, "Next").click().run()
    assert app.text_input(key="lab_samples").value == "3,4,5"
    app = button(app, "Back").click().run()
    assert app.text_input(key="lab_samples").value == "0,1,2"
    app = button(app, "Back").click().run()  # from the first to the last
    assert app.text_input(key="lab_samples").value == "17,18,19"


def test_images_by_class_and_by_mistake(page, live_api, trained):
    right = [index % 10 for index in range(20)]
    live_api.keep_predictions(trained[0], right)
    live_api.keep_predictions(trained[1], [0, *right[1:14], 0, *right[15:]])  # 14 is wrong
    app = page.open("saliency", runs=",".join(map(str, trained)))
    page_text(app)
    assert app.text_input(key="lab_samples").value == "0,1,2,3,4,5,6,7"
    app = app.selectbox(key="lab_class").select("4").run()
    assert app.text_input(key="lab_samples").value == "4,14"
    app = app.selectbox(key="lab_only").select(f"wrong_{trained[1]}").run()
    assert app.text_input(key="lab_samples").value == "14"
    app = app.selectbox(key="lab_only").select("disagree").run()
    assert app.text_input(key="lab_samples").value == "14"
    app = app.selectbox(key="lab_class").select("5").run()
    assert "No test image matches" in page_text(app)


def test_images_by_group_alone_and_with_other_filters(page, live_api):
    live_api.prepare("textured_digits")  # image i is of group i % 9 and of class i % 10
    runs = live_api.train({"evaluations": [], "dataset": {"key": "textured_digits"}}, {"lambda_": [0, 1]})
    right = [index % 10 for index in range(20)]
    live_api.keep_predictions(runs[0], right)
    live_api.keep_predictions(runs[1], [*right[:10], 5, *right[11:]])  # 10 is wrong
    app = page.open("saliency", runs=",".join(map(str, runs)))
    page_text(app)
    group = app.selectbox(key="lab_group")
    names = live_api.client.dataset("textured_digits").group_names
    assert (group.value, group.options) == ("all", ["all", *names]) and len(names) == 9
    app = group.select("1").run()
    assert app.text_input(key="lab_samples").value == "1,10,19" and list(app.query_params["group"]) == ["1"]
    app = app.selectbox(key="lab_only").select("disagree").run()
    assert app.text_input(key="lab_samples").value == "10"
    app = app.selectbox(key="lab_only").select("all").run()
    app = app.selectbox(key="lab_class").select("9").run()
    assert app.text_input(key="lab_samples").value == "19"
    app = app.selectbox(key="lab_group").select("2").run()
    assert "No test image matches" in page_text(app)


def test_the_link_names_the_group(page, live_api):
    live_api.prepare("textured_digits")
    (run,) = live_api.train({"evaluations": [], "dataset": {"key": "textured_digits"}})
    page_text(app := page.open("saliency", runs=str(run), group="8"))
    assert app.text_input(key="lab_samples").value == "8,17"
    app = page.open("saliency", runs=str(run), group="9")
    assert "group = 9, which is not one of all, 0, 1" in page_text(app)
    assert app.selectbox(key="lab_group").value == "all"


def test_one_run_at_a_time_on_the_scale_of_all(page, live_api, trained):
    runs = ",".join(map(str, trained))
    app = page.open("saliency", runs=runs, samples="3", layout="one run at a time", at=str(trained[1]))
    live_api.draw()
    app = app.run()
    assert "One scale for all maps: ±1.5" in page_text(app)
    assert pictures(app).count("<figure") == 2 and "λ 1" in pictures(app)  # image, one map
    app = app.select_slider(key="lab_at").set_value(trained[0]).run()
    assert pictures(app).count("<figure") == 2 and "λ 0" in pictures(app)


def test_a_set_of_starred_images_is_shown_again(page, live_api, trained):
    app = page.open("saliency", runs=str(trained[0]), starred="5,11", set="odd ones", samples="0,1")
    page_text(app)
    app = button(app, "Show the set").click().run()
    assert app.text_input(key="lab_samples").value == "5,11"
    assert app.text_input(key="lab_set").value == "odd ones"


def test_an_experiments_runs_are_taken_one_for_each_setting(page, live_api, trained):
    members = live_api.train({"evaluations": []}, {"lambda_": [1, 0], "seed": [1, 0]})
    app = page.open("saliency")
    experiment = live_api.client.run(members[0]).experiment
    app = app.selectbox(key="lab_experiment").select(experiment).run()
    page_text(app)
    assert app.multiselect(key="lab_runs").value == [members[3], members[1]]  # λ 0 and 1, seed 0


def test_runs_and_experiments_are_found_by_their_words(page, live_api, trained):
    live_api.client.change_run(trained[0], RunPatch(tags=["sought"]))
    app = page.open("saliency").multiselect(key="lab_runs").set_value([]).run()
    app = next(item for item in app.sidebar.text_input if item.label.startswith("Find")).set_value("sought").run()
    page_text(app)
    offered = next(item for item in app.sidebar.multiselect if item.label.startswith("Runs")).options
    assert len(offered) == 1 and f"{trained[0]}:" in offered[0]
    assert not next(item for item in app.sidebar.selectbox if "experiment" in item.label).options


def test_slow_maps_wait_for_a_click(page, live_api, trained, monkeypatch):
    monkeypatch.setattr("densitylab.frontend.explore.drawing.QUICK_SECONDS", 0.0)  # so that every machine is slow
    app = page.open(
        "saliency",
        runs=",".join(map(str, trained)),
        samples=",".join(map(str, range(16))),
        method="smoothgrad",
        params='{"samples":256}',
    )
    assert "These maps need" in page_text(app) and "forward and backward passes" in page_text(app)
    button(app, "Compute").click().run()
    assert live_api.draw().params["samples"] == 256


def test_a_method_that_does_not_suit_a_model_is_said_before_it_is_asked_for(page, trained):
    assert "needs a model with convolutions" in page_text(
        page.open("saliency", runs=str(trained[0]), method="grad_cam")
    )


def test_six_runs_of_different_data_are_said_once_and_nothing_is_drawn(page, live_api, trained):
    others = []
    for data_seed in range(1, 6):
        others += live_api.train(
            {"evaluations": [], "dataset": {"key": "blockmnist", "params": {"data_seed": data_seed}}}
        )
    for name in ("saliency", "stability", "density"):
        app = page.open(name, runs=",".join(map(str, [trained[0], *others])), samples="1")
        assert page_text(app).count("maps of different images cannot be compared") == 1, name
        assert "<figure" not in pictures(app)


def test_a_map_of_zeros_says_so(page, live_api, trained):
    app = page.open("saliency", runs=str(trained[0]), samples="1")
    live_api.draw(zero=True)
    app = app.run()
    page_text(app)
    assert "zero everywhere" in pictures(app)


@pytest.mark.parametrize("name", ["saliency", "stability", "density"])
def test_without_runs_the_page_begins_with_the_newest_experiment_with_a_model(page, live_api, trained, name):
    live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    for run in live_api.launch({"evaluations": []}, {"lambda_": [0, 1]}):
        live_api.client.cancel_run(run)
    app = page.open(name)
    page_text(app)
    assert app.multiselect(key="lab_runs").value == trained
    app = app.multiselect(key="lab_runs").set_value([]).run()
    assert "Choose runs in the sidebar" in page_text(app)
    experiment = live_api.client.run(trained[0]).experiment
    offer = next(item for item in app.button if item.label.startswith("Show experiment "))
    assert offer.label.startswith(f"Show experiment {experiment}: ")
    assert offer.click().run().multiselect(key="lab_runs").value == trained


@pytest.mark.parametrize("name", ["saliency", "stability", "density"])
def test_a_link_may_name_an_experiment(page, live_api, trained, name):
    (newer,) = live_api.launch({"evaluations": []}, {"seed": [3]})
    live_api.finish(newer)
    experiment = live_api.client.run(trained[0]).experiment
    app = page.open(name, experiment=str(experiment))
    page_text(app)
    assert app.multiselect(key="lab_runs").value == trained
    assert "Experiment 999 does not exist" in page_text(page.open(name, experiment="999"))


def test_the_runs_stay_where_a_link_names_none(page, live_api, trained):
    app = page.open("saliency", runs=str(trained[1]))
    live_api.draw()
    app = app.run()
    app.query_params.clear()  # as the link of another inspection page does
    app = app.run()
    page_text(app)
    assert app.multiselect(key="lab_runs").value == [trained[1]]
    live_api.client.delete_run(trained[1])  # what is gone gives way to the newest experiment
    app.query_params.clear()
    assert "Not found" not in page_text(app.run())
    assert app.multiselect(key="lab_runs").value == [trained[0]]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"runs": "999999"}, "Not found: run 999999"),
        ({"runs": "x"}, "not a list of whole"),
        ({"runs": "T", "samples": "5000"}, "Expected 0 to 19"),
        ({"runs": "T", "samples": "1,a"}, "not a list of whole"),
        ({"runs": "T", "samples": ",".join(map(str, range(17)))}, "at most 16 images"),
        ({"runs": "T", "method": "magic"}, "magic, which does not exist"),
        ({"runs": "T", "target": "12"}, "there are 10"),
        ({"runs": "T", "class": "77"}, "class = 77, which is not one of"),
        ({"runs": "T", "group": "0"}, "group = 0, which is not one of all"),  # these data have none
        ({"runs": "T", "params": "{"}, "not a JSON object"),
        ({"runs": "T", "opacity": "9"}, "not a number from 0 to 1"),
        ({"runs": "T", "worst": "leakage.none"}, "worst = leakage.none"),
        ({"runs": "T", "split": "upload", "samples": "77", "target": "predicted"}, "upload 77 does not exist"),
        ({"runs": "T", "method": "smoothgrad", "params": '{"sigma": 7}'}, "sigma"),
    ],
)
@pytest.mark.few(5)
def test_bad_links(page, trained, query, words):
    query = {name: str(trained[0]) if value == "T" else value for name, value in query.items()}
    assert words in page_text(page.open("saliency", **query))


def test_a_run_that_still_trains_is_said(page, live_api, trained):
    (waiting,) = live_api.launch()
    app = page.open("saliency", runs=f"{trained[0]},{waiting}", samples="1")
    assert page_text(app).count("queued") == 1
    assert live_api.draw().runs == [trained[0]]
    assert page_text(page.open("density", runs=f"{waiting}")).count("queued") == 1


def test_runs_of_different_images_are_said(page, live_api, trained):
    (other,) = live_api.train({"evaluations": [], "dataset": {"key": "blockmnist", "params": {"data_seed": 5}}})
    assert "maps of different images cannot be compared" in page_text(
        page.open("saliency", runs=f"{trained[0]},{other}", samples="1")
    )


@pytest.mark.parametrize("name", ["saliency", "stability", "density"])
def test_validation_images_are_chosen_and_named_so(page, live_api, trained, name):
    app = page.open(name, runs=str(trained[0]), split="validation", samples="3")
    page_text(app)
    assert any(item.label.startswith("Validation image") for item in app.text_input)
    assert "Prediction" not in [item.label for item in app.selectbox]  # filters are of test images
    assert linked(app, "split") == "validation"
    if name == "density":
        assert "Around validation image 3" in page_text(app)
    else:
        assert live_api.draw().samples.model_dump() == {"split": "validation", "indices": [3]}
        assert "validation image 3" in pictures(app.run())
