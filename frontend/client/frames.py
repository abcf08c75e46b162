"""Answers as pandas tables. pandas is imported only here, and only when it is called."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from backend.shared.contracts import Experiment, MetricSeries, Run

if TYPE_CHECKING:
    import pandas as pd

_TIMES = ("created_at", "started_at", "finished_at")
_RUN_TYPES = {
    "id": "int64", "experiment": "int64", "seed": "int64", "epochs": "int64", "lambda_": "float64",
    "progress": "float64", "archived": "bool", "checkpoint_step": "Int64",
}


def to_dataframe(items: Iterable[Run] | Iterable[MetricSeries] | Iterable[Experiment]) -> "pd.DataFrame":
    """A table of runs, of curves or of experiments.

    Args:
        items: all of one kind; none at all gives a table without rows or columns.

    Returns:
        Runs: a row each, with `id`, `experiment`, `name` of each component (`dataset`, `model`, `regularizer`),
        `lambda_`, `seed`, `epochs`, `status`, `progress`, `device`, `error`, `tags`, `archived`, `checkpoint_step`, the
        three times; `RESULT`, `RESULT.low`, `RESULT.high` and `RESULT.n` for every result that a run of them has, such
        as `accuracy.accuracy` (float64, NaN where a run lacks it; n is Int64); and each parameter of the components as
        `model.PARAM`, ....
        Curves: a row for each point, with `run`, `name`, `step` (int64), `epoch`, `value` and `seconds` (float64).
        Experiments: a row each, with `id`, `name`, `runs` (how many), a column for each status, `progress`, `notes`,
        `tags`, `archived`, `created_at`.
        Times are UTC. Words are `category` where they are few: status, components, names of curves.

    Raises:
        ValueError: of several kinds.
    """
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

    components = ("dataset", "model", "regularizer")
    results = list(dict.fromkeys(name for run in runs for name in run.results))
    rows = []
    for run in runs:
        row: dict[str, Any] = {"id": run.id, "experiment": run.experiment}
        row |= {kind: getattr(run.spec, kind).key for kind in components}
        row |= {"lambda_": run.spec.lambda_, "seed": run.spec.seed, "epochs": run.spec.epochs,
                "status": run.status.value, "progress": run.progress, "device": run.device, "error": run.error,
                "tags": " ".join(run.tags), "archived": run.archived, "checkpoint_step": run.checkpoint_step}
        row |= {name: getattr(run, name) for name in _TIMES}
        for name in results:
            value = run.results.get(name)
            row |= {name: value and value.value, f"{name}.low": value and value.low,
                    f"{name}.high": value and value.high, f"{name}.n": value and value.n}
        for kind in components:
            row |= {f"{kind}.{name}": value for name, value in getattr(run.spec, kind).params.items()}
        rows.append(row)
    types = {**_RUN_TYPES, **dict.fromkeys(("status", *components), "category")}
    for name in results:
        types |= {name: "float64", f"{name}.low": "float64", f"{name}.high": "float64", f"{name}.n": "Int64"}
    return _timed(pd.DataFrame(rows).astype(types))


def _curves(series: list[MetricSeries]) -> "pd.DataFrame":
    import pandas as pd

    points = [(item.run, item.name, point.step, point.epoch, point.value, point.seconds)
              for item in series for point in item.points]
    frame = pd.DataFrame(points, columns=["run", "name", "step", "epoch", "value", "seconds"])
    return frame.astype({"run": "int64", "name": "category", "step": "int64", "epoch": "float64", "value": "float64",
                         "seconds": "float64"})


def _experiments(experiments: list[Experiment]) -> "pd.DataFrame":
    import pandas as pd

    from backend.shared.contracts import Status

    if not experiments:
        return pd.DataFrame()
    counts: list[Mapping[str, int]] = [
        {status.value: item.counts.get(status, 0) for status in Status} for item in experiments
    ]
    rows = [{"id": item.id, "name": item.name, "runs": len(item.runs), **count, "progress": item.progress,
             "notes": item.notes, "tags": " ".join(item.tags), "archived": item.archived,
             "created_at": item.created_at}
            for item, count in zip(experiments, counts, strict=True)]
    return _timed(pd.DataFrame(rows))


def _timed(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Times as datetime64 in UTC, also where none has come yet."""
    import pandas as pd

    for name in _TIMES:
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame
