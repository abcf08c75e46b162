"""MLflow: a store in SQLite, with the whole answers of the API as files of each run."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from densitylab.backend.shared.contracts import Status
from densitylab.frontend.client.trackers.record import Record

# MLflow reads it when it is imported
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

_STATES = {
    Status.QUEUED: "SCHEDULED",
    Status.RUNNING: "RUNNING",
    Status.SUCCEEDED: "FINISHED",
    Status.FAILED: "FAILED",
    Status.CANCELLED: "KILLED",
}
_LONGEST_PARAM, _LONGEST_TAG = 6000, 5000  # characters; the files have the whole values
_METRICS_AT_ONCE, _OTHERS_AT_ONCE = 1000, 100
Item = TypeVar("Item")


@contextmanager
def open_folder(folder: Path) -> Iterator[Callable[[Record], None]]:
    """Write runs to `folder/mlflow.db`, and the API's answers to `folder/artifacts`.

    `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows them.
    """
    client = MlflowClient(f"sqlite:///{folder.absolute() / 'mlflow.db'}")
    yield lambda record: _write(client, record, (folder.absolute() / "artifacts").as_uri())


def _write(client: MlflowClient, record: Record, artifacts: str) -> None:
    existing = client.get_experiment_by_name(record.group)
    experiment = (
        client.create_experiment(record.group, artifact_location=artifacts)
        if existing is None
        else existing.experiment_id
    )
    run = client.create_run(experiment, start_time=_milliseconds(record.started), run_name=record.name)
    number = run.info.run_id
    for params in _batches(record.params.items(), _OTHERS_AT_ONCE):
        client.log_batch(number, params=[Param(name, str(value)[:_LONGEST_PARAM]) for name, value in params])
    tags = {f"densitylab.{name}": text for name, text in record.facts.items()}
    tags |= {"mlflow.note.content": record.run.notes} if record.run.notes else {}
    tags |= {"mlflow.user": record.run.owner} if record.run.owner else {}
    for chosen in _batches(tags.items(), _OTHERS_AT_ONCE):
        client.log_batch(number, tags=[RunTag(name, text[:_LONGEST_TAG]) for name, text in chosen])
    curves = (Metric(name, point.value, _milliseconds(at), point.step) for name, point, at in record.points())
    end = _milliseconds(record.ended or record.started)
    results = (Metric(name, value, end, record.last_step) for name, value in record.results.items())
    for metrics in _batches(itertools.chain(curves, results), _METRICS_AT_ONCE):
        client.log_batch(number, metrics=metrics)
    client.log_text(number, record.run.model_dump_json(indent=1), "run.json")
    evaluations = [item.model_dump(mode="json") for item in record.evaluations]
    client.log_dict(number, {"evaluations": evaluations}, "evaluations.json")
    if record.run.status.final:
        client.set_terminated(number, _STATES[record.run.status], end)
    else:
        client.update_run(number, _STATES[record.run.status])


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch
