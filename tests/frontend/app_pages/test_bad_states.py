"""Pages with something missing: the API, every run, one run, or some of the results."""

import httpx
import pytest

from densitylab.backend.shared.contracts import Status
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(120)
PAGES = (
    "home",
    "launch",
    "experiments",
    "experiment",
    "runs",
    "run",
    "models",
    "compare",
    "saliency",
    "datasets",
    "system",
)
LINKS = {"experiment": {"experiment": "1"}, "run": {"run": "1"}, "saliency": {"runs": "1"}}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.few(4)
def test_a_dead_api_is_a_sentence_on_every_page(page, dead_api, name):
    assert "does not answer" in page_text(page.open(name, **LINKS.get(name, {})))


@pytest.mark.parametrize("name", ["home", "system"])
def test_a_broker_that_is_down_is_said_and_what_is_launched_waits_for_it(page, live_api, name):
    assert live_api.client.readiness().broker != "ok"  # the API of these tests has none
    text = page_text(page.open(name))
    assert "The broker is not available" in text and "start when it is back" in text
    (run,) = live_api.launch({"evaluations": []})
    assert live_api.client.run(run).status is Status.QUEUED
    assert "queued" in page_text(page.open("run", run=str(run)))
    live_api.client.cancel_run(run)


def test_without_a_run_every_page_shows_the_way(page, empty_api):
    words = {
        "home": "No runs yet",
        "experiments": "No experiments yet",
        "runs": "No runs yet",
        "models": "No imported models yet",
        "run": "Choose a run",
        "experiment": "Choose an experiment",
        "compare": "Nothing to compare yet",
        "saliency": "No trained run yet",
        "launch": "",
        "datasets": "",
        "system": "No worker is running",
    }
    assert words.keys() == set(PAGES)
    for name, expected in words.items():
        assert expected in page_text(page.open(name)), name


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.few(4)
def test_a_run_that_was_deleted_elsewhere_is_said(page, live_api, name):
    gone, kept = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    experiment = live_api.client.run(kept).experiment
    for run_id in (gone, kept):
        live_api.finish(run_id, accuracy__accuracy=0.9)
    links = {
        "run": {"run": str(gone)},
        "compare": {"runs": f"{gone},{kept}"},
        "saliency": {"runs": f"{gone},{kept}"},
        "experiment": {"experiment": str(experiment)},
        "launch": {"clone": str(gone)},
        "runs": {"experiment": str(experiment)},
    }
    app = page.open(name, **links.get(name, {}))
    page_text(app)
    live_api.client.delete_run(gone)
    text = page_text(app.run())
    if name in ("run", "saliency", "compare"):
        assert str(gone) in text and ("deleted" in text or "Not found" in text or "no run" in text)
    if name == "experiment":
        assert "1 run " in text


def test_five_hundred_runs_of_one_experiment(page, live_api):
    body = {"name": "many", "sweep": {"lambda_": [0, 0.01, 0.1, 1, 10], "seed": list(range(100))}}
    number = httpx.post(f"{live_api.url}/api/v1/experiments", json=body, timeout=60).raise_for_status().json()["id"]
    app = page.open("experiment", experiment=str(number))
    assert "500 runs" in page_text(app)
    assert [len(table.value) for table in app.dataframe] == [5, 500]  # the groups, and every run
    app = page.open("runs", experiment=str(number))
    page_text(app)
    assert len(app.dataframe[0].value) == 50 and "Show more" in [item.label for item in app.button]
    app = page.open("experiments")
    assert "500 queued" in page_text(app)
    httpx.post(
        f"{live_api.url}/api/v1/bulk/runs",
        timeout=60,
        json={"action": "cancel", "runs": live_api.client.experiment(number).runs},
    ).raise_for_status()


def test_results_that_some_runs_lack(page, live_api):
    whole, part = live_api.launch({"evaluations": [{"key": "leakage"}]}, {"lambda_": [0, 1]})
    live_api.finish(whole, accuracy__accuracy=0.9, leakage__share=0.5)
    live_api.finish(part, accuracy__accuracy=0.8)
    app = page.open("compare", experiment=str(live_api.client.run(whole).experiment))
    assert "1 run without some of these results" in page_text(app)
    table = app.dataframe[0].value
    assert list(table["Test accuracy"]) == ["0.900 (1 seed)", "0.800 (1 seed)"]
    assert list(table["Leakage, share"]) == ["0.500 (1 seed)", "—"]


def test_a_measure_that_was_added_with_other_parameters_has_a_column_of_its_own(page, live_api):
    strong = {"key": "pgd_linf", "params": {"steps": 40}}
    weak, other = (
        live_api.launch({"evaluations": measures})[0]
        for measures in ([{"key": "pgd_linf", "params": {"steps": 5}}], [])
    )
    live_api.finish(weak, accuracy__accuracy=0.9, pgd_linf__accuracy=0.3)
    live_api.finish(other, accuracy__accuracy=0.9)
    httpx.post(f"{live_api.url}/api/v1/runs/{other}/evaluations", json=strong).raise_for_status()
    live_api.measure(other, pgd_linf__accuracy=0.1)
    app = page.open("compare", runs=f"{weak},{other}")
    assert r"pgd\_linf.accuracy was evaluated with different parameters" in page_text(app)
    names = [name for name in app.dataframe[0].value.columns if "PGD" in name and not name.startswith("Δ")]
    assert len(names) == 2 and any("steps 5" in name for name in names) and any("steps 40" in name for name in names)
