"""`python -m frontend.report EXPERIMENT > report.html`: an experiment as one HTML file that needs no network."""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from backend.shared.contracts import Attribution, AttributionRequest, Samples, Status
from frontend.catalog import Catalog
from frontend.client import ApiClient, ApiError, connect
from frontend.comparison import Comparison, compare
from frontend.maps import read_maps
from frontend.measured_spreads import MAX_VIOLINS, measured_spreads
from frontend.panels import RunColumn, View
from frontend.per_image import fetch
from frontend.report_html import Evidence, Maps, render

DEFAULT_API = "http://127.0.0.1:8000"
CURVES = ("loss", "validation_accuracy", "penalty", "gradient_norm")
MAX_CURVE_POINTS = 300
MAX_MAP_RUNS, MAP_IMAGES = 6, 4
MAP_PATIENCE = 60.0  # seconds
POLL_SECONDS = 0.25


def collect(client: ApiClient, experiment_id: int, *, url: str = DEFAULT_API) -> Evidence:
    """Asks the API for all that a report shows; maps that it does not have yet are made, if a worker is there."""
    experiment = client.experiment(experiment_id)
    runs = client.runs_of(experiment_id)
    if not runs:
        raise ApiError(404, f"Experiment {experiment_id} has no runs any more: there is nothing to report.")
    offered = client.catalog()
    series = client.metrics_of([run.id for run in runs], CURVES, max_points=MAX_CURVE_POINTS)
    evaluations = {run.id: client.evaluations(run.id) for run in runs}
    found = compare(runs, offered)
    wanted = {(run.id, item.name) for chart in measured_spreads(found, evaluations, offered)
              for run, item in chart.members[:MAX_VIOLINS]}
    arrays = {(run_id, name): fetch(client, run_id, name) for run_id, name in wanted}
    return Evidence(experiment, runs, evaluations, arrays, series, _maps(client, found, offered), offered, url)


def _maps(client: ApiClient, found: Comparison, offered: Catalog) -> Maps:
    """Input gradients of the first test images under one trained run of each group of the same data."""
    trained = [(label, color, run) for label, color, group in zip(found.labels, found.colors, found.groups, strict=True)
               for run in [run for run in group.runs if run.status is Status.SUCCEEDED][:1]]
    if not trained:
        return Maps(None, None, "No run of this experiment is trained yet: there is nothing to make maps of.")
    first = trained[0][2]
    same = [item for item in trained if item[2].spec.dataset == first.spec.dataset
            and item[2].provenance.get("data_hash") == first.provenance.get("data_hash")][:MAX_MAP_RUNS]
    request = AttributionRequest(runs=[run.id for _, _, run in same],
                                 samples=Samples(indices=list(range(MAP_IMAGES))))
    try:
        answer = _awaited(client, client.attribute(request))
        if answer.status is not Status.SUCCEEDED:
            why = answer.error or "no worker has made them yet"
            return Maps(request, None, f"The maps are {answer.status.value}: {why}.")
        arrays = read_maps(client.attribution_arrays(answer.id))
    except ApiError as error:
        return Maps(request, None, f"The maps could not be had: {error}")
    entry, dataset = offered.entry("attribution", request.method), offered.entry("dataset", first.spec.dataset.key)
    columns = [RunColumn(run.id, f"{label}, seed {run.spec.seed}", color) for label, color, run in same]
    view = View(answer, arrays, columns, dataset.class_names if dataset else [], bool(entry and entry.signed),
                offered.label("attribution", request.method))
    return Maps(request, view)


def _awaited(client: ApiClient, answer: Attribution) -> Attribution:
    deadline = time.monotonic() + MAP_PATIENCE
    while not answer.status.final and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        answer = client.attribution(answer.id)
    return answer


def report(client: ApiClient, experiment_id: int, *, url: str = DEFAULT_API) -> str:
    """The report as one HTML document."""
    return render(collect(client, experiment_id, url=url))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m frontend.report", description=__doc__)
    parser.add_argument("experiment", type=int, help="the experiment's number")
    url = os.environ.get("DENSITYLAB_API_URL") or DEFAULT_API
    client = connect(url, os.environ.get("DENSITYLAB_API_TOKEN"))
    try:
        document = report(client, parser.parse_args(arguments).experiment, url=url)
    except ApiError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
