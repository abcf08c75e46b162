"""Files of other trackers, read again with their own packages. `test_tracker_packages.py` installs all of them."""

import importlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from densitylab.backend.shared.contracts import (
    Evaluation,
    Experiment,
    Flag,
    MetricPoint,
    MetricSeries,
    Origin,
    Run,
    RunSpec,
    Status,
    Value,
)
from densitylab.cli import main
from densitylab.frontend.client.trackers.record import Record, portable

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRACKERS = ["mlflow", "tensorboard", "wandb"]


@dataclass
class Found:
    """Content of one run as read by a tracker's own package."""

    params: dict[str, object] = field(default_factory=dict)
    points: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)
    results: dict[str, float] = field(default_factory=dict)
    text: str = ""


def written_mlflow(folder: Path) -> dict[str, Found]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            found = runs[run.info.run_name] = Found(params=run.data.params)
            for name, value in run.data.metrics.items():
                history = client.get_metric_history(run.info.run_id, name)
                found.points[name] = [(item.step, item.value, item.timestamp / 1000) for item in history]
                found.results[name] = value
            found.text = f"{experiment.name} {run.info.status} {run.data.tags}"
            stored = folder / "artifacts" / run.info.run_id / "artifacts"
            assert Run.model_validate_json((stored / "run.json").read_text()).id
            assert "evaluations" in json.loads((stored / "evaluations.json").read_text())
    return runs


def written_tensorboard(folder: Path) -> dict[str, Found]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    runs = {}
    for path in folder.glob("*/run-*"):
        events = EventAccumulator(str(path), {"scalars": 0, "tensors": 0}).Reload()
        found = runs[path.name.replace("-", " ")] = Found()
        for name in events.Tags()["scalars"]:
            found.points[name] = [(item.step, item.value, item.wall_time) for item in events.Scalars(name)]
            found.results[name] = events.Scalars(name)[-1].value
        plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        given = HParamsPluginData.FromString(plugin).session_start_info.hparams
        found.params = {name: getattr(value, value.WhichOneof("kind")) for name, value in given.items()}
        found.text = events.Tensors("run/text_summary")[0].tensor_proto.string_val[0].decode()
    return runs


def written_wandb(folder: Path) -> dict[str, Found]:
    from wandb.proto.wandb_internal_pb2 import Record as Stored

    def plain(items) -> dict[str, object]:
        return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}

    runs = {}
    for path in folder.glob("wandb/offline-run-*/*.wandb"):
        found, name = Found(), ""
        for record in map(Stored.FromString, log_records(path.read_bytes())):
            match record.WhichOneof("record_type"):
                case "run":
                    name = record.run.display_name
                    config = plain(record.run.config.update)
                    found.params |= config.get("spec", {})
                    found.text += f"{record.run.run_group} {record.run.notes} {list(record.run.tags)} {config}"
                case "history":
                    row = plain(record.history.item)
                    for key in row.keys() - {"_timestamp", "_runtime", "_step", "epoch", "seconds"}:
                        point = (record.history.step.num, float(row[key]), row["_timestamp"])
                        found.points.setdefault(key, []).append(point)
                case "summary":
                    found.results |= plain(record.summary.update)
        assert json.loads((path.parent / "files" / "evaluations.json").read_text()) is not None
        runs[name] = found
    return runs


def log_records(content: bytes) -> list[bytes]:
    """The records of a LevelDB log after W&B's header of 7 bytes: blocks of 32 KiB, fragments that a type joins."""
    records, whole, at = [], b"", 7
    while at < len(content):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            records.append(whole)
            whole = b""
    return records


READERS: dict[str, tuple[str, Callable[[Path], dict[str, Found]]]] = {
    "mlflow": ("mlflow", written_mlflow),
    "tensorboard": ("tensorboard", written_tensorboard),
    "wandb": ("wandb", written_wandb),
}


def reader(tracker: str) -> Callable[[Path], dict[str, Found]]:
    package, read = READERS[tracker]
    pytest.importorskip(package)
    pytest.importorskip(f"densitylab.frontend.client.trackers.{tracker}")
    return read


def series(name: str, values: list[float]) -> MetricSeries:
    points = [
        MetricPoint.model_construct(step=10 * step, epoch=step / 2, value=value, seconds=step / 4)
        for step, value in enumerate(values)
    ]
    return MetricSeries.model_construct(run=7, name=name, points=points, total=len(points))


def record(curves: list[MetricSeries]) -> Record:
    run = Run(
        id=7,
        experiment=3,
        spec=RunSpec(seed=5),
        status=Status.FAILED,
        error="the loss is not finite",
        results={
            "accuracy.accuracy": Value(value=0.75, low=0.5, high=0.875, n=64),
            "leakage.share": Value(value=None, n=0),
        },
        flags=[Flag(key="odd", text="a | warning\nin two lines")],
        task=1,
        notes="a note",
        tags=["good"],
        created_at=BEGAN,
        started_at=BEGAN,
        finished_at=BEGAN.replace(minute=5),
        provenance={"commit": "abc", "packages": {"torch": "2"}},
    )
    experiment = Experiment(id=3, name="a/b: ü", created_at=BEGAN)
    evaluation = Evaluation(
        id=1, run=7, name="accuracy", key="accuracy", params={}, status=Status.SUCCEEDED, task=2, created_at=BEGAN
    )
    return Record(run, experiment, curves, [evaluation])


def write(tracker: str, item: Record, folder: Path) -> None:
    with importlib.import_module(f"densitylab.frontend.client.trackers.{tracker}").open_folder(folder) as add:
        add(item)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_run_is_read_as_it_was_written(tracker: str, tmp_path: Path):
    read = reader(tracker)
    item = record([series("loss", [2.5, 1.25, 0.5]), series("train/acc.ü", [0.0, 0.5])])
    write(tracker, item, tmp_path)
    (name, found), *others = read(tmp_path).items()
    assert (name, others) == ("run 7", [])
    assert float(found.params["seed"]) == 5 and found.params["dataset.key"] == "blockmnist"
    began = BEGAN.timestamp()
    assert [point[:2] for point in found.points["loss"]] == [(0, 2.5), (10, 1.25), (20, 0.5)]
    assert [point[2] for point in found.points["loss"]] == pytest.approx([began, began + 0.25, began + 0.5], abs=1e-3)
    assert [point[:2] for point in found.points["train/acc.ü"]] == [(0, 0.0), (10, 0.5)]
    results = {name: value for name, value in found.results.items() if name.startswith("results/")}
    assert results == {
        "results/accuracy.accuracy": 0.75,
        "results/accuracy.accuracy.low": 0.5,
        "results/accuracy.accuracy.high": 0.875,
        "results/accuracy.accuracy.n": 64,
        "results/leakage.share.n": 0,
    }
    for text in ("a/b: ü (3)", "warning", "abc", "a note", "the loss is not finite"):
        assert text in found.text


@pytest.mark.parametrize("tracker", TRACKERS)
def test_values_that_are_not_finite_and_odd_names_lose_no_point(tracker: str, tmp_path: Path):
    read = reader(tracker)
    names = ["a b", "a(b", "A_B", "../up", "/absolute", "x//y", "λ=0.1", "n" * 300, "results/accuracy.accuracy"]
    item = record([series("odd", [math.nan, math.inf, -math.inf, 1.0]), *(series(name, [1.0]) for name in names)])
    write(tracker, item, tmp_path)
    (found,) = read(tmp_path).values()
    values = [value for _, value, _ in found.points["odd"]]
    assert math.isnan(values[0]) and values[1] > 1e300 and values[2] < -1e300 and values[3] == 1.0
    curves = [name for name in found.points if not name.startswith("results/") or name.endswith("accuracy")]
    assert len(curves) == 1 + len(names)
    assert not (tmp_path.parent / "up").exists()


def test_portable_names_are_distinct_relative_paths():
    given = portable(["a b", "a(b", "A_B", "../up", "/absolute", "x//y", "", "x" * 300, "x" * 299])
    assert given[:6] == ["a_b", "a_b_2", "A_B_3", "_/up", "_/absolute", "x/_/y"]
    assert len({name.casefold() for name in given}) == len(given)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_an_experiment_is_exported_by_the_command(tracker: str, live_api, tmp_path: Path, capsys):
    read = reader(tracker)
    ids = live_api.train({"evaluations": []}, {"seed": [0, 1, 2]})
    experiment = live_api.client.run(ids[0]).experiment
    folder = tmp_path / "files of a tracker"
    command = ["export", str(experiment), "--format", tracker, "--url", live_api.url]
    assert main([*command, "-o", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: 3 runs\n"
    found = read(folder)
    assert sorted(found) == [f"run {number}" for number in ids]
    for seed, number in enumerate(ids):
        run = found[f"run {number}"]
        assert float(run.params["seed"]) == seed
        steps, values, _ = zip(*run.points["loss"], strict=True)
        assert steps == tuple(range(1, 11)) and values == pytest.approx([1 / step for step in steps], rel=1e-6)
        assert run.results["results/accuracy.accuracy"] == pytest.approx(0.9, rel=1e-6)
    assert main([*command, "-o", str(folder)]) == 1
    assert "expected a new or an empty folder" in capsys.readouterr().err
    assert main(command) == 2
    assert "name a new one with --output" in capsys.readouterr().err


def test_a_logged_run_has_the_settings_of_its_own_loop():
    run = record([]).run.model_copy(update={"origin": Origin.LOGGED, "provenance": {"params": {"lr": 0.1}}})
    params = Record(run, record([]).experiment, [], []).params
    assert params["params.lr"] == 0.1 and params["dataset.key"] == "blockmnist" and "epochs" not in params


def test_a_failed_export_leaves_nothing(live_api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("tensorboardX")
    from densitylab.frontend.client.trackers import tensorboard

    ids = live_api.train({"evaluations": []}, {"seed": [0, 1]})
    whole = tensorboard._write

    def full(item: Record, folder: Path) -> None:
        if item.run.id == ids[1]:
            raise OSError(28, "No space left on device", str(folder))
        whole(item, folder)

    monkeypatch.setattr(tensorboard, "_write", full)
    (tmp_path / "empty").mkdir()
    for folder, left in ((tmp_path / "new", False), (tmp_path / "empty", True)):
        with pytest.raises(OSError, match="No space"):
            live_api.client.export_runs("tensorboard", folder, runs=ids)
        assert folder.exists() is left and (not left or list(folder.iterdir()) == [])


def test_a_missing_package_is_one_sentence(live_api, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    (run,) = live_api.train({"evaluations": []})
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "densitylab.frontend.client.trackers.wandb", raising=False)
    experiment = str(live_api.client.run(run).experiment)
    command = ["export", experiment, "--format", "wandb", "-o", str(tmp_path / "w"), "--url", live_api.url]
    assert main(command) == 2
    assert capsys.readouterr().err == ("an export to wandb needs the extra `wandb`: pip install 'densitylab[wandb]'\n")
    assert not (tmp_path / "w").exists()
