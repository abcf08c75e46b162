"""The report of an experiment or of chosen runs: collected from the API, and rendered as one HTML file."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts import AttributionRequest, MetricSeries, Run, Samples, Status
from densitylab.frontend.analysis.comparison import Comparison, compare
from densitylab.frontend.analysis.map_selection import one_of_each
from densitylab.frontend.analysis.sample_arrays import fetch
from densitylab.frontend.analysis.selection_rule import SelectionRule
from densitylab.frontend.charts.evaluation_spreads import MAX_VIOLINS, evaluation_spreads
from densitylab.frontend.client import ApiClient, ApiError
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.maps.render import read_maps
from densitylab.frontend.maps.view import MapView, RunColumn
from densitylab.frontend.report.evidence import Evidence, Maps
from densitylab.frontend.report.html import render

CURVES = ("loss", "validation_accuracy", "penalty", "gradient_norm")
MAX_CURVE_POINTS = 300
MAX_CURVE_RUNS = 200  # of one answer
MAX_MAP_RUNS = 6
MAP_IMAGES = (0, 1, 2, 3)
MAP_PATIENCE = 60.0  # seconds


def collect(client: ApiClient, experiment_id: int, images: Sequence[int] = MAP_IMAGES) -> Evidence:
    """Collect the contents of an experiment's report from the API; maps of the test images are computed if they do not
    exist yet."""
    client.experiment(experiment_id)  # raises where there is none
    runs = client.runs_of(experiment_id)
    if not runs:
        raise ApiError(404, f"Experiment {experiment_id} has no runs any more; nothing to report.")
    return collect_runs(client, runs, images=images)


def collect_runs(
    client: ApiClient,
    runs: Sequence[Run],
    *,
    baseline: int | None = None,
    results: Sequence[str] = (),
    rule: SelectionRule | None = None,
    images: Sequence[int] = MAP_IMAGES,
) -> Evidence:
    """Collect the contents of a report of these runs, of any experiments.

    Args:
        client: of the API.
        runs: at least one.
        baseline: a run of the group that all others are compared with; None: each group has its own.
        results: to show; empty: the headline results.
        rule: of the selected λ; None: by the first result of known direction.
        images: indices of the test images whose maps are shown.
    """
    catalog = client.catalog()
    experiments = [client.experiment(number) for number in dict.fromkeys(run.experiment for run in runs)]
    series = fetch_curves(client, [run.id for run in runs])
    evaluations = {run.id: client.evaluations(run.id) for run in runs}
    comparison = compare(runs, catalog, baseline=baseline, leave_out=True)
    wanted = {
        (run.id, item.name)
        for chart in evaluation_spreads(comparison, evaluations, catalog)
        for run, item in chart.members[:MAX_VIOLINS]
    }
    arrays = {(run_id, name): fetch(client, run_id, name) for run_id, name in wanted}
    maps = collect_maps(client, comparison, catalog, images)
    url = client.public_url
    return Evidence(experiments, list(runs), evaluations, arrays, series, maps, catalog, url, baseline, results, rule)


def fetch_curves(client: ApiClient, runs: Sequence[int]) -> list[MetricSeries]:
    """Fetch the training curves of runs, thinned."""
    batches = [runs[start : start + MAX_CURVE_RUNS] for start in range(0, len(runs), MAX_CURVE_RUNS)]
    return [item for batch in batches for item in client.metrics_of(batch, CURVES, max_points=MAX_CURVE_POINTS)]


def collect_maps(client: ApiClient, comparison: Comparison, catalog: Catalog, images: Sequence[int]) -> Maps:
    """Return input gradients of these test images for one trained run of each group on the same data."""
    trained = [run for group in comparison.groups for run in group.runs if run.status is Status.SUCCEEDED]
    if not trained:
        return Maps(None, None, "No run is trained yet, so there are no maps.")
    first = trained[0]
    on_same_data = [group for group in comparison.groups if any(_same_data(run, first) for run in group.runs)]
    chosen = one_of_each(on_same_data, MAX_MAP_RUNS, is_baseline=comparison.is_baseline)
    request = AttributionRequest(runs=[run.id for run in chosen.runs], samples=Samples(indices=list(images)))
    try:
        answer = client.draw(request, timeout=MAP_PATIENCE)
        if answer.status is not Status.SUCCEEDED:
            reason = answer.error or "no worker has computed them yet"
            return Maps(request, None, f"The maps are {answer.status.value}: {reason}.")
        arrays = read_maps(client.attribution_file(answer.id))
    except ApiError as error:
        return Maps(request, None, f"The maps are not available: {error}")
    entry, dataset = catalog.entry("attribution", request.method), catalog.entry("dataset", first.spec.dataset.key)
    columns = [RunColumn(run.id, comparison.label_of(run), comparison.run_colors[run.id]) for run in chosen.runs]
    view = MapView(
        answer,
        arrays,
        columns,
        dataset.class_names if dataset else [],
        bool(entry and entry.signed),
        catalog.label("attribution", request.method),
    )
    return Maps(request, view, left_out=chosen.text)


def _same_data(run: Run, other: Run) -> bool:
    own, wanted = (item.provenance.get("data_hash") for item in (run, other))
    return run.spec.dataset == other.spec.dataset and own == wanted


def report(client: ApiClient, experiment_id: int) -> str:
    """Return the report of an experiment as one HTML document."""
    return render(collect(client, experiment_id))


def report_of_runs(
    client: ApiClient,
    runs: Sequence[Run],
    *,
    baseline: int | None = None,
    results: Sequence[str] = (),
    rule: SelectionRule | None = None,
) -> str:
    """Return the report of these runs as one HTML document. The arguments are those of `collect_runs`."""
    return render(collect_runs(client, runs, baseline=baseline, results=results, rule=rule))
