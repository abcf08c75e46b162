"""Answers as pandas tables. pandas is imported only when a table is made."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from densitylab.backend.shared.contracts import Experiment, MetricSeries, Origin, Run

if TYPE_CHECKING:
    import pandas as pd

_TIMES = ("created_at", "started_at", "finished_at")
_COMPONENTS = ("dataset", "model", "regularizer", "algorithm")
_KNOWN_ELSEWHERE = _COMPONENTS[:2]  # of a model that was trained elsewhere
_RUN_TYPES = {
    "id": "int64",
    "experiment": "int64",
    "seed": "Int64",
    "epochs": "Int64",
    "lambda_": "float64",
    "progress": "float64",
    "archived": "bool",
    "checkpoint_step": "Int64",
}


def to_dataframe(items: Iterable[Run] | Iterable[MetricSeries] | Iterable[Experiment]) -> "pd.DataFrame":
    """Return a table of runs, of curves or of experiments.

    Args:
        items: all of one kind; an empty list gives a table without rows and columns.

    Returns:
        Runs: a row each, with `id`, `experiment`, `name`, `origin`, the key of each component (`dataset`, `model`,
        `regularizer`, `algorithm`), `lambda_`, `seed`, `epochs`, `status`, `progress`, `device`, `error`, `tags`,
        `archived`, `checkpoint_step`, the three times; `RESULT`, `RESULT.low`, `RESULT.high` and `RESULT.n` for every
        result of any run, such as `accuracy.accuracy` (float64, NaN if a run lacks it; n is Int64); and each parameter
        of the components as `model.PARAM`, .... What is not known of a model that was trained elsewhere is missing.
        Curves: a row for each point, with `run`, `name`, `step` (int64), `epoch`, `value` and `seconds` (float64).
        Experiments: a row each, with `id`, `name`, `runs` (their number), a column for each status, `progress`,
        `notes`, `tags`, `archived`, `created_at`.
        Times are UTC. Status, origin, components and names of curves are `category`.

    Raises:
        ValueError: the items are of several kinds.
        ImportError: pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError("`to_dataframe` needs pandas: pip install pandas") from error
    listed = list(items)
    kinds = {type(item) for item in listed}
    if len(kinds) > 1:
        raise ValueError(f"expected items of one kind, got {', '.join(sorted(kind.__name__ for kind in kinds))}")
    if kinds == {Run}:
        return _runs([item for item in listed if isinstance(item, Run)])
    if kinds == {MetricSeries}:
        return _curves([item for item in listed if isinstance(item, MetricSeries)])
    return _experiments([item for item in listed if isinstance(item, Experiment)])


def _runs(runs: list[Run]) -> "pd.DataFrame":
    import pandas as pd

    results = list(dict.fromkeys(name for run in runs for name in run.results))
    rows = []
    for run in runs:
        trained = run.origin is Origin.TRAINED
        components = _COMPONENTS if trained else _KNOWN_ELSEWHERE
        row: dict[str, Any] = {"id": run.id, "experiment": run.experiment, "name": run.name}
        row["origin"] = run.origin.value
        row |= {kind: getattr(run.spec, kind).key if kind in components else None for kind in _COMPONENTS}
        row |= {
            "lambda_": run.spec.lambda_ if trained else run.lambda_,
            "seed": run.spec.seed if trained else None,
            "epochs": run.spec.epochs if trained else None,
            "status": run.status.value,
            "progress": run.progress,
            "device": run.device,
            "error": run.error,
            "tags": " ".join(run.tags),
            "archived": run.archived,
            "checkpoint_step": run.checkpoint_step,
        }
        row |= {name: getattr(run, name) for name in _TIMES}
        for name in results:
            value = run.results.get(name)
            row |= {
                name: value and value.value,
                f"{name}.low": value and value.low,
                f"{name}.high": value and value.high,
                f"{name}.n": value and value.n,
            }
        for kind in components:
            row |= {f"{kind}.{name}": value for name, value in getattr(run.spec, kind).params.items()}
        rows.append(row)
    types = {**_RUN_TYPES, **dict.fromkeys(("status", "origin", *_COMPONENTS), "category")}
    for name in results:
        types |= {name: "float64", f"{name}.low": "float64", f"{name}.high": "float64", f"{name}.n": "Int64"}
    return _timed(pd.DataFrame(rows).astype(types))


def _curves(series: list[MetricSeries]) -> "pd.DataFrame":
    import pandas as pd

    points = [
        (item.run, item.name, point.step, point.epoch, point.value, point.seconds)
        for item in series
        for point in item.points
    ]
    frame = pd.DataFrame(points, columns=["run", "name", "step", "epoch", "value", "seconds"])
    return frame.astype(
        {
            "run": "int64",
            "name": "category",
            "step": "int64",
            "epoch": "float64",
            "value": "float64",
            "seconds": "float64",
        }
    )


def _experiments(experiments: list[Experiment]) -> "pd.DataFrame":
    import pandas as pd

    from densitylab.backend.shared.contracts import Status

    if not experiments:
        return pd.DataFrame()
    counts: list[Mapping[str, int]] = [
        {status.value: item.counts.get(status, 0) for status in Status} for item in experiments
    ]
    rows = [
        {
            "id": item.id,
            "name": item.name,
            "runs": len(item.runs),
            **count,
            "progress": item.progress,
            "notes": item.notes,
            "tags": " ".join(item.tags),
            "archived": item.archived,
            "created_at": item.created_at,
        }
        for item, count in zip(experiments, counts, strict=True)
    ]
    return _timed(pd.DataFrame(rows))


def _timed(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Convert times to datetime64 in UTC, including columns without any time."""
    import pandas as pd

    for name in _TIMES:
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame
