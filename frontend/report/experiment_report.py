"""The report of an experiment: collected from the API, and rendered as one HTML file."""

from densitylab.backend.shared.contracts import AttributionRequest, Samples, Status
from densitylab.frontend.analysis.comparison import Comparison, compare
from densitylab.frontend.analysis.sample_arrays import fetch
from densitylab.frontend.charts.evaluation_spreads import MAX_VIOLINS, evaluation_spreads
from densitylab.frontend.client import ApiClient, ApiError
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.maps.render import read_maps
from densitylab.frontend.maps.view import MapView, RunColumn
from densitylab.frontend.report.evidence import Evidence, Maps
from densitylab.frontend.report.html import render

CURVES = ("loss", "validation_accuracy", "penalty", "gradient_norm")
MAX_CURVE_POINTS = 300
MAX_MAP_RUNS, MAP_IMAGES = 6, 4
MAP_PATIENCE = 60.0  # seconds


def collect(client: ApiClient, experiment_id: int) -> Evidence:
    """Collect the contents of a report from the API; maps are computed if they do not exist yet."""
    experiment = client.experiment(experiment_id)
    runs = client.runs_of(experiment_id)
    if not runs:
        raise ApiError(404, f"Experiment {experiment_id} has no runs any more; nothing to report.")
    catalog = client.catalog()
    series = client.metrics_of([run.id for run in runs], CURVES, max_points=MAX_CURVE_POINTS)
    evaluations = {run.id: client.evaluations(run.id) for run in runs}
    comparison = compare(runs, catalog)
    wanted = {
        (run.id, item.name)
        for chart in evaluation_spreads(comparison, evaluations, catalog)
        for run, item in chart.members[:MAX_VIOLINS]
    }
    arrays = {(run_id, name): fetch(client, run_id, name) for run_id, name in wanted}
    maps = _maps(client, comparison, catalog)
    return Evidence(experiment, runs, evaluations, arrays, series, maps, catalog, client.public_url)


def _maps(client: ApiClient, comparison: Comparison, catalog: Catalog) -> Maps:
    """Return input gradients of the first test images for one trained run of each group on the same data."""
    trained = [
        (comparison.label_of(run), color, run)
        for color, group in zip(comparison.colors, comparison.groups, strict=True)
        for run in [run for run in group.runs if run.status is Status.SUCCEEDED][:1]
    ]
    if not trained:
        return Maps(None, None, "No run of this experiment is trained yet, so there are no maps.")
    first = trained[0][2]
    same = [
        item
        for item in trained
        if item[2].spec.dataset == first.spec.dataset
        and item[2].provenance.get("data_hash") == first.provenance.get("data_hash")
    ][:MAX_MAP_RUNS]
    request = AttributionRequest(runs=[run.id for _, _, run in same], samples=Samples(indices=list(range(MAP_IMAGES))))
    try:
        answer = client.draw(request, timeout=MAP_PATIENCE)
        if answer.status is not Status.SUCCEEDED:
            reason = answer.error or "no worker has computed them yet"
            return Maps(request, None, f"The maps are {answer.status.value}: {reason}.")
        arrays = read_maps(client.attribution_file(answer.id))
    except ApiError as error:
        return Maps(request, None, f"The maps are not available: {error}")
    entry, dataset = catalog.entry("attribution", request.method), catalog.entry("dataset", first.spec.dataset.key)
    columns = [RunColumn(run.id, label, color) for label, color, run in same]
    view = MapView(
        answer,
        arrays,
        columns,
        dataset.class_names if dataset else [],
        bool(entry and entry.signed),
        catalog.label("attribution", request.method),
    )
    return Maps(request, view)


def report(client: ApiClient, experiment_id: int) -> str:
    """Return the report as one HTML document."""
    return render(collect(client, experiment_id))
