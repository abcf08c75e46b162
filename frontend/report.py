"""An experiment as one HTML file that needs no network."""

from backend.shared.contracts import AttributionRequest, Samples, Status
from frontend.catalog import Catalog
from frontend.client import ApiClient, ApiError
from frontend.comparison import Comparison, compare
from frontend.maps import read_maps
from frontend.measured_spreads import MAX_VIOLINS, measured_spreads
from frontend.panels import RunColumn, View
from frontend.per_image import fetch
from frontend.report_html import Evidence, Maps, render

CURVES = ("loss", "validation_accuracy", "penalty", "gradient_norm")
MAX_CURVE_POINTS = 300
MAX_MAP_RUNS, MAP_IMAGES = 6, 4
MAP_PATIENCE = 60.0  # seconds


def collect(client: ApiClient, experiment_id: int) -> Evidence:
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
    maps = _maps(client, found, offered)
    return Evidence(experiment, runs, evaluations, arrays, series, maps, offered, client.url)


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
        answer = client.draw(request, timeout=MAP_PATIENCE)
        if answer.status is not Status.SUCCEEDED:
            why = answer.error or "no worker has made them yet"
            return Maps(request, None, f"The maps are {answer.status.value}: {why}.")
        arrays = read_maps(client.attribution_file(answer.id))
    except ApiError as error:
        return Maps(request, None, f"The maps could not be had: {error}")
    entry, dataset = offered.entry("attribution", request.method), offered.entry("dataset", first.spec.dataset.key)
    columns = [RunColumn(run.id, f"{label}, seed {run.spec.seed}", color) for label, color, run in same]
    view = View(answer, arrays, columns, dataset.class_names if dataset else [], bool(entry and entry.signed),
                offered.label("attribution", request.method))
    return Maps(request, view)


def report(client: ApiClient, experiment_id: int) -> str:
    """The report as one HTML document."""
    return render(collect(client, experiment_id))
