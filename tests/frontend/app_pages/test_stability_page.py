"""The stability and density pages against a real API process whose maps the test draws."""

import pytest

from tests.frontend.page_text import page_text, pictures

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def trained(live_api) -> list[int]:
    live_api.prepare()
    return live_api.train({"evaluations": []}, {"lambda_": [0, 1]})


def test_a_perturbation_is_asked_for_and_shown_run_by_run(page, live_api, trained):
    runs = ",".join(map(str, trained))
    app = page.open(
        "stability", runs=runs, samples="3,5", perturbation="attack", strength="0.06", perturbation_params='{"steps":4}'
    )
    page_text(app)
    asked = live_api.draw()
    assert asked.perturbation.model_dump() == {"key": "attack", "params": {"epsilon": 0.06, "steps": 4}}
    assert (asked.runs, asked.samples.indices, asked.target) == (trained, [3, 5], "predicted")
    app = app.run()
    text, drawn = page_text(app), pictures(app)
    assert "One scale for all maps and differences" in text
    said = [str(item.value) for item in app.main if item.type in ("markdown", "info")]
    maps = next(index for index, words in enumerate(said) if "On these 2 images" in words)
    assert any("No evaluations of this method" in words for words in said[maps:])  # without curves the maps come first
    assert drawn.count("<figure") == 2 * (1 + 2 * 5)  # each image, and five pictures for each run
    assert "cosine 0.250" in drawn and "another prediction" in drawn and "L2 3.96" in drawn
    assert "On these 2 images the mean cosine of the maps before and after is 0.250 under λ 0" in text
    kept = {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}
    assert (kept["perturbation"], kept["strength"], kept["target"]) == ("attack", "0.06", "predicted")


def test_two_images_are_shown_and_more_on_demand(page, live_api, trained):
    app = page.open("stability", runs=str(trained[0]), perturbation="noise")
    assert live_api.draw().samples.indices == [0, 1]
    app = app.run()
    app = next(item for item in app.button if item.label == "Show more images").click().run()
    page_text(app)
    assert live_api.draw().samples.indices == [0, 1, 2, 3]


def test_measuring_asks_for_an_evaluation_at_each_strength_of_each_run(page, live_api, trained):
    app = page.open("stability", runs=str(trained[0]), samples="3", perturbation="noise")
    page_text(app)
    app.text_input(key="lab_strengths/noise").set_value("0.02, 0.1").run()
    next(item for item in app.button if item.label == "Evaluate 1 run").click().run()
    asked = [item.params for item in live_api.client.evaluations(trained[0]) if item.key == "stability"]
    assert [params["perturbation"]["params"]["sigma"] for params in asked] == [0.02, 0.1]
    assert {params["samples"] for params in asked} == {100}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"perturbation": "magic"}, "magic, which does not"),
        ({"strength": "99"}, "the page allows 0"),
        ({"strength": "x"}, "not a number"),
        ({"runs": "999999"}, "Not found"),
    ],
)
def test_bad_links(page, trained, query, words):
    assert words in page_text(page.open("stability", **{"runs": str(trained[0]), "samples": "1", **query}))


def test_the_density_page_asks_for_slices(page, live_api, trained):
    app = page.open("density", runs=str(trained[0]), samples="4", direction="random", extent="2")
    text = page_text(app)
    assert "Around test image 4" in text
    app = page.open("density", runs=str(trained[0]), samples="4", direction="image")
    assert "Choose the other image" in page_text(app)
    app = page.open("density", runs=str(trained[0]), samples="4", direction="image", towards="4")
    assert "another image" in page_text(app)
