"""Answers as pandas tables."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from densitylab.backend.shared.contracts import Experiment, MetricPoint, MetricSeries, RunPatch
from densitylab.frontend.client import to_dataframe


def test_runs(live_api):
    done, waiting = live_api.launch({"evaluations": []}, {"lambda_": [0.5, 1.0]})
    live_api.finish(done, accuracy__accuracy=0.9)
    live_api.client.change_run(done, RunPatch(name="teacher"))
    frame = to_dataframe(live_api.client.runs_of(live_api.client.run(done).experiment)).set_index("id")
    assert frame.index.dtype == "int64" and list(frame.index) == [done, waiting]
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert (
        types
        | {
            "lambda_": "float64",
            "seed": "Int64",
            "progress": "float64",
            "status": "category",
            "model": "category",
            "archived": "bool",
            "checkpoint_step": "Int64",
            "accuracy.accuracy": "float64",
            "accuracy.accuracy.n": "Int64",
        }
        == types
    )
    for name in ("created_at", "started_at", "finished_at"):
        assert isinstance(frame[name].dtype, pd.DatetimeTZDtype) and str(frame[name].dt.tz) == "UTC"
    assert list(frame["lambda_"]) == [0.5, 1.0] and list(frame["status"]) == ["succeeded", "queued"]
    assert frame["accuracy.accuracy"][done] == 0.9 and frame["accuracy.accuracy.n"][done] == 1000
    assert pd.isna(frame["accuracy.accuracy"][waiting]) and pd.isna(frame["checkpoint_step"][waiting])
    assert pd.isna(frame["finished_at"][waiting]) and frame["finished_at"][done] >= frame["created_at"][done]
    assert "regularizer.estimator" in frame and list(frame["algorithm"]) == ["erm", "erm"]
    assert frame["name"][done] == "teacher" and pd.isna(frame["name"][waiting])


def test_curves(live_api):
    (run_id,) = live_api.launch({"evaluations": []})
    live_api.finish(run_id)
    frame = to_dataframe(live_api.client.metrics(run_id, names=["loss", "gradient_norm"]))
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "run": "int64",
        "name": "category",
        "step": "int64",
        "epoch": "float64",
        "value": "float64",
        "seconds": "float64",
    }
    loss = frame[frame["name"] == "loss"]
    assert list(loss["step"]) == list(range(1, 11)) and loss["value"].iloc[1] == 0.5


def test_a_curve_without_a_point_keeps_its_columns():
    frame = to_dataframe([MetricSeries(run=1, name="loss", points=[], total=0)])
    assert list(frame) == ["run", "name", "step", "epoch", "value", "seconds"] and frame["value"].dtype == "float64"


def test_experiments(live_api):
    run_ids = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    live_api.finish(run_ids[0])
    experiment = live_api.client.experiment(live_api.client.run(run_ids[0]).experiment)
    row = to_dataframe([experiment]).iloc[0]
    assert (row["runs"], row["succeeded"], row["queued"], row["failed"]) == (2, 1, 1, 0)
    assert row["created_at"] == pd.Timestamp(experiment.created_at)


def test_of_one_kind_or_none():
    assert to_dataframe([]).empty
    experiment = Experiment(id=1, name="e", created_at=datetime.now(UTC))
    point = MetricPoint(step=1, epoch=0.1, value=1.0, seconds=0.1)
    with pytest.raises(ValueError, match="Experiment, MetricSeries"):
        to_dataframe([experiment, MetricSeries(run=1, name="loss", points=[point], total=1)])
